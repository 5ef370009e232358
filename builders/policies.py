"""Policies: what chooses actions while a recording is made. Replay knows none of this."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from builders.emulator import Emulator


class Policy(Protocol):
    """Chooses one of ALE's action numbers for the state that the emulator is in."""

    def __call__(self, emulator: Emulator, generator: np.random.Generator, step: int) -> int:
        """Return the action to hold for the next frames; ``step`` counts from 0 in the episode."""


def random_agent(emulator: Emulator, generator: np.random.Generator, step: int) -> int:
    """Choose uniformly from the minimal action set without its first action, NOOP (arXiv 1906.08226)."""
    del step
    actions = emulator.minimal_actions
    return actions[int(generator.integers(1, len(actions)))]
