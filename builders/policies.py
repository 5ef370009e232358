"""Policies by name. A policy chooses the actions of a recording; replay does not need it."""

from __future__ import annotations

import inspect
from importlib import import_module
from typing import Final, Protocol

import numpy as np

from builders.digest import bytes_digest
from builders.emulator import Emulator

POLICIES: Final = {"random_agent": "builders.policies:random_agent"}
"""Home of each named policy, as ``module:function``; the first one made the frozen recordings."""


class Policy(Protocol):
    """A function that chooses the next action, as one of ALE's action numbers."""

    def __call__(self, emulator: Emulator, generator: np.random.Generator, step: int) -> int:
        """Return the action for the next frames; ``step`` counts from 0 in each episode."""


def random_agent(emulator: Emulator, generator: np.random.Generator, step: int) -> int:
    """Choose uniformly from the minimal action set without its first action, NOOP (arXiv 1906.08226)."""
    del step
    actions = emulator.minimal_actions
    return actions[int(generator.integers(1, len(actions)))]


def load_policy(name: str) -> tuple[Policy, str]:
    """Return a policy of `POLICIES`, and a digest of the source of its module."""
    home, _, function = POLICIES[name].partition(":")
    module = import_module(home)
    return getattr(module, function), bytes_digest(inspect.getsource(module).encode())
