"""Replay: turn a recording into rows with only the ROM and ale-py."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from importlib.metadata import version
from typing import NamedTuple

import numpy as np

from atariari_data.errors import DataError, DriftError
from builders.digest import NULL_ACTION, Row
from builders.emulator import RESET, Emulator, rom
from builders.frames import HEIGHT, WIDTH, Frame, Pooler
from builders.recording import Header, Recording

_BLOCK = 32  # rows whose screens are pooled at once


class Replayed(NamedTuple):
    """A row, its split and episode, its digest, whether it is kept, and the score since the reset."""

    split: int
    episode: int
    row: Row
    digest: bytes
    kept: bool
    score: float


def replay(
    recording: Recording, lane: int, *, split: str | None = None, left_out: bool = False
) -> Iterator[Replayed]:
    """Replay one lane.

    Args:
        recording: The recording of a config.
        lane: Index of the lane.
        split: Yield only the rows of this split (the others are still emulated).
        left_out: Also yield the rows that are left out of validation and test; they have no check byte.

    Yields:
        Rows, in order.

    Raises:
        DataError: The ROM is not the recorded one.
        DriftError: A row differs from the recording. The message names game, split, episode and step.
    """
    header, line = recording.header, recording.lanes[lane]
    path, md5 = rom(header.game)
    if md5 != header.rom_md5:
        raise DataError(
            f"The ROM of {header.game} is not the recorded one.",
            expected=f"MD5 {header.rom_md5}",
            got=f"MD5 {md5} in {path}",
            cure="Reinstall ale-py (pip install --force-reinstall ale-py) and unset ALE_ROMS_DIR.",
        )
    emulator = Emulator(header.game, header.lane_seeds[lane])
    wanted = line.episode >= 0 if left_out else line.kept
    if split is not None:
        wanted = wanted & (line.split == list(header.splits).index(split))
    columns = (line.action, line.frames, line.episode, line.split, wanted, line.kept, line.check)
    first, last = (np.empty((_BLOCK, HEIGHT, WIDTH), np.uint8) for _ in range(2))
    pooler, waiting = Pooler(), list[_Waiting]()
    episode_before, step = -1, 0
    # Lists, because indexing arrays line by line would take as long as the emulator.
    for action, frames, episode, number, want, kept, check in zip(
        *(c.tolist() for c in columns), strict=True
    ):
        step = step + 1 if episode == episode_before else 0
        episode_before = episode
        if want:
            emulator.screens(first[len(waiting)], last[len(waiting)])
            ram, over, lives = emulator.ram(), emulator.game_over(), emulator.lives()
            score = emulator.score
        reward = 0.0
        if action == RESET:
            emulator.reset()
        elif action != NULL_ACTION:
            reward = emulator.act(action, frames)
        if want:
            expected = check if kept else None
            row = (ram, step, action, reward, over, lives)
            waiting.append(_Waiting(number, episode, expected, score, row))
            if len(waiting) == _BLOCK:
                yield from _rows(header, pooler.pool(first, last), waiting)
                waiting.clear()
    if waiting:
        yield from _rows(header, pooler.pool(first[: len(waiting)], last[: len(waiting)]), waiting)


class _Waiting(NamedTuple):
    split: int
    episode: int
    check: int | None
    score: float
    row: tuple[bytes, int, int, float, bool, int]


def _rows(header: Header, frames: Sequence[Frame], waiting: Sequence[_Waiting]) -> Iterator[Replayed]:
    for frame, (split, episode, check, score, rest) in zip(frames, waiting, strict=True):
        row = Row(frame, *rest)
        digest = row.digest()
        if check is not None and digest[0] != check:
            raise _drift(header, header.splits[split], episode, row.step)
        yield Replayed(split, episode, row, digest, check is not None, score)


def _drift(header: Header, split: str, episode: int, step: int) -> DriftError:
    return DriftError(
        f"{header.config}, {split}, episode {episode}, step {step}:"
        " the emulator does not reproduce the recording.",
        expected=f"the pixels, RAM and rewards of ale-py {header.ale_py}",
        got=f"different ones from ale-py {version('ale-py')}",
        cure=f"pip install 'ale-py=={header.ale_py}'",
    )
