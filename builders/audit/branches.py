"""Branches: an emulator that goes back to a state and on from it in another way."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from builders.emulator import FRAME_SKIP, NOOP, Emulator
from builders.frames import HEIGHT, WIDTH

Array = npt.NDArray[np.uint8]


@contextlib.contextmanager
def silenced() -> Iterator[None]:
    """Silence the emulator's own messages: a byte written into RAM may make a game run invalid code."""
    sys.stdout.flush()
    sys.stderr.flush()
    kept = {number: os.dup(number) for number in (1, 2)}
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        for number in kept:
            os.dup2(nowhere, number)
        yield
    finally:
        for number, before in kept.items():
            os.dup2(before, number)
            os.close(before)
        os.close(nowhere)


class Branches(Emulator):
    """One console whose states can be kept, gone back to, and written into.

    It works around two faults of ale-py 0.12.1, which `docs/wrapper.md` lists: a state that is restored in an
    emulator which has drawn no frame yet may go on wrongly (Q*bert), and the first screen after a restore may
    have some pixels of what was drawn before the restore (Yars' Revenge).
    """

    def __init__(self, game: str, seed: int) -> None:
        """Load the game's ROM; see `Emulator`."""
        super().__init__(game, seed)
        self._is_new = True

    def keep(self) -> Any:
        """Return the present state."""
        return self._ale.cloneState()

    def go_back(self, state: Any) -> None:
        """Go back to a state; what it shows is known only after the next frame."""
        if self._is_new:
            self._ale.act(self._actions[NOOP])
            self._is_new = False
        self._ale.restoreState(state)

    def write(self, address: int, byte: int) -> None:
        """Write one byte of the RAM."""
        self._ale.setRAM(address, byte)

    def look(self) -> Array:
        """Return the last screen, uint8 [210, 160], palette numbers 0 to 127; a copy."""
        screen: Array = np.right_shift(self._now, 1, dtype=np.uint8)
        return screen

    def branch(
        self,
        state: Any,
        frames: int,
        *,
        write: tuple[int, int] | None = None,
        action: int = NOOP,
        tapped: bool = False,
    ) -> tuple[Array, Array]:
        """Go back to a state, write a byte if asked to, and hold an action.

        The same state, byte and action give the same screens, whatever was drawn before: the first frame
        after the state is drawn once, without the byte, before the branch begins. In Yars' Revenge a few
        pixels of the first screen may still be wrong, but they are the same in all branches of the state.

        Args:
            state: A state from `keep`.
            frames: How many.
            write: Address and byte.
            action: ALE's number.
            tapped: Hold it for four frames, let go for four, and so on.

        Returns:
            The screens, uint8 [frames, 210, 160], and the RAM after each, uint8 [frames, 128].
        """
        self.go_back(state)
        self._ale.act(self._actions[NOOP])
        self._ale.restoreState(state)
        if write is not None:
            self.write(*write)
        screens = np.empty((frames, HEIGHT, WIDTH), np.uint8)
        ram = np.empty((frames, 128), np.uint8)
        held, idle = self._actions[action], self._actions[NOOP]
        for i in range(frames):
            self._ale.act(idle if tapped and i // FRAME_SKIP % 2 else held)
            self._ale.getScreen(screens[i])
            ram[i] = self._ale.getRAM()
        screens >>= 1
        return screens, ram
