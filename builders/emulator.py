"""The emulator as the protocol uses it: ALE without wrappers, held actions, and the last two screens."""

from __future__ import annotations

import contextlib
import hashlib
import sys
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from atariari_data.errors import DataError, DriftError
from builders.frames import HEIGHT, PALETTE, WIDTH, Frame, Pooler, Screen

FRAME_SKIP = 4
NOOP, FIRE, RESET = 0, 1, 40  # ALE's action numbers

# No sticky actions; everything else is ALE's default, made explicit so that it cannot change.
SETTINGS: dict[str, int] = {
    "repeat_action_probability": 0,
    "frame_skip": 1,
    "max_num_frames_per_episode": 0,
    "difficulty": 0,
    "mode": 0,
}


@cache
def rom(game: str) -> tuple[Path, str]:
    """Return the path of a game's ROM in ale-py's wheel (or in ``ALE_ROMS_DIR``) and its MD5.

    Raises:
        DataError: ale-py has no such ROM, or its file was changed.
    """
    from ale_py import roms

    try:
        with contextlib.redirect_stdout(sys.stderr):  # ale-py prints the path
            path = roms.get_rom_path(game)
    except OSError as error:
        raise DataError(
            f"The ROM of {game} is not the one that ale-py ships: {error}",
            cure="Reinstall ale-py (pip install --force-reinstall ale-py) and unset ALE_ROMS_DIR.",
        ) from error
    if path is None:
        raise DataError(f"ale-py has no ROM of {game}.", cure="pip install 'ale-py>=0.11.2,<0.13'")
    return path, hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()


class Emulator:
    """One emulator with one game.

    Attributes:
        minimal_actions: The game's minimal action set, as ALE's numbers.
        score: The sum of rewards since the reset.
    """

    def __init__(self, game: str, seed: int) -> None:
        """Load the game's ROM.

        Args:
            game: Name of ale-py's ROM: ``ms_pacman``.
            seed: ALE's ``random_seed``, which determines the RAM at power-on.
        """
        import ale_py

        self._game = game
        ale_py.ALEInterface.setLoggerMode(ale_py.LoggerMode.Error)
        self._ale: Any = ale_py.ALEInterface()
        self._ale.setInt("random_seed", seed)
        self._ale.setFloat("repeat_action_probability", SETTINGS["repeat_action_probability"])
        self._ale.setInt("frame_skip", SETTINGS["frame_skip"])
        self._ale.setInt("max_num_frames_per_episode", SETTINGS["max_num_frames_per_episode"])
        self._ale.loadROM(rom(game)[0])
        if self._ale.getScreenDims() != (HEIGHT, WIDTH):
            raise DataError(
                f"{game} has an unexpected screen size.",
                expected=(HEIGHT, WIDTH),
                got=self._ale.getScreenDims(),
            )
        self._actions = {action.value: action for action in self._ale.getLegalActionSet()}
        self.minimal_actions = tuple(action.value for action in self._ale.getMinimalActionSet())
        self.score = 0.0
        self._pooler = Pooler()
        self._before = np.zeros((HEIGHT, WIDTH), np.uint8)
        self._now = np.zeros((HEIGHT, WIDTH), np.uint8)

    def reset(self) -> None:
        """Start a new game."""
        self._ale.reset_game()
        self.score = 0.0
        self._look()
        if not np.array_equal(PALETTE[self._now >> 1], self._ale.getScreenRGB()):
            raise DriftError(
                f"This version of ale-py draws {self._game} in other colours.",
                cure="pip install 'ale-py==0.12.1'",
            )

    def act(self, action: int, frames: int) -> float:
        """Hold an action for some frames or until the game is over; return the sum of rewards."""
        held, reward = self._actions[action], 0
        for _ in range(frames):
            reward += self._ale.act(held)
            self._look()
            if self._ale.game_over():
                break
        self.score += reward
        return float(reward)

    def _look(self) -> None:
        self._before, self._now = self._now, self._before
        self._ale.getScreen(self._now)

    def frame(self) -> Frame:
        """Return the pixelwise maximum of the last two screens."""
        return self._pooler.pool(self._before[None], self._now[None])[0]

    def screens(self, before: Screen, now: Screen) -> None:
        """Write the last two screens into two uint8 [210, 160] of palette indices, for `Pooler`."""
        before[:], now[:] = self._before, self._now

    def ram(self) -> bytes:
        """Return the 128 bytes of RAM of the same emulator step as the last screen."""
        ram: bytes = self._ale.getRAM().tobytes()
        return ram

    def lives(self) -> int:
        """Return ALE's count of lives, 0 where the game has none."""
        return int(self._ale.lives())

    def game_over(self) -> bool:
        """Return whether the game is over."""
        return bool(self._ale.game_over())
