"""Policies by name."""

from __future__ import annotations

import pytest

from builders.agents import load_agent
from builders.policies import POLICIES, load_policy
from builders.record import Protocol, record


@pytest.mark.parametrize("name", POLICIES)
def test_every_name_gives_a_policy_that_plays(name: str) -> None:
    policy, digest = load_agent(name)
    assert (policy, digest) == load_policy(name)
    protocol = Protocol(rows=200, seed=1, splits=("train",), cuts=())
    recording, _ = record("pong", "pong", protocol, policy=policy, lanes=1)
    (lane,) = recording.lanes
    assert len(set(lane.action[lane.frames > 0].tolist())) > 1


def test_the_policy_of_the_frozen_recordings_is_the_default() -> None:
    protocol = Protocol(rows=200, seed=1, splits=("train",), cuts=())
    named, _ = record("pong", "pong", protocol, policy=load_policy("random_agent")[0], lanes=1)
    default, _ = record("pong", "pong", protocol, lanes=1)
    assert (named.lanes[0].action == default.lanes[0].action).all()
