"""Policies by name."""

from __future__ import annotations

import pytest

from atariari_data import load_dataset
from builders.agents import load_agent
from builders.policies import POLICIES, load_policy, random_agent


@pytest.mark.parametrize("name", POLICIES)
def test_every_name_gives_a_policy_and_its_digest(name: str) -> None:
    policy, digest = load_policy(name)
    assert callable(policy)
    assert load_agent(name) == (policy, digest)


def test_the_frozen_recordings_policy_is_named() -> None:
    assert load_policy("random_agent")[0] is random_agent


def test_a_name_plays_as_the_function_that_it_names(tmp_path_factory: pytest.TempPathFactory) -> None:
    wanted = {"seed": 3, "steps": 400, "lanes": 1, "split": "train"}
    named = load_dataset(
        "atariari", "pong", policy="random_agent", cache_dir=str(tmp_path_factory.mktemp("a")), **wanted
    )
    default = load_dataset("atariari", "pong", cache_dir=str(tmp_path_factory.mktemp("b")), **wanted)
    assert named["action"] == default["action"]
