"""Play: what the recorded splits show, replayed, with screens and states of the emulator kept on the way."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from builders.audit.branches import Array, Branches
from builders.digest import NULL_ACTION
from builders.emulator import RESET
from builders.frames import HEIGHT, WIDTH, Frame, Pooler
from builders.recording import Lane, Recording

BLOCK = 24  # rows whose screens are kept together, so that two and four frames can be looked at
OTHER = 255  # of the colours of a game, those past the first 255
_LANES = 4


@dataclass(frozen=True)
class Play:
    """Rows of recorded play, n of them, screens of m of these, and states to branch from.

    Attributes:
        ram: uint8 [n, 128].
        episode: int32 [n], in order.
        step: int32 [n], in the episode.
        gained: float64 [n], sum of the positive rewards since the game was reset.
        lost: float64 [n], minus the sum of the negative ones.
        lives: uint8 [n], ALE's count.
        shown: intp [m], the rows whose screens are kept, in order; blocks of 24 that follow one another.
        pooled: uint8 [m, 210, 160], the dataset's frame; a number for each colour of the game.
        last: uint8 [m, 210, 160], the last screen alone; palette numbers.
        states: Emulator states at some of the rows.
        at: intp, the row of each state.
    """

    ram: npt.NDArray[np.uint8]
    episode: npt.NDArray[np.int32]
    step: npt.NDArray[np.int32]
    gained: npt.NDArray[np.float64]
    lost: npt.NDArray[np.float64]
    lives: npt.NDArray[np.uint8]
    shown: npt.NDArray[np.intp]
    pooled: Array
    last: Array
    states: Sequence[Any]
    at: npt.NDArray[np.intp]


@dataclass
class _Tape:
    """Columns of `Play` while they grow."""

    rows: list[tuple[bytes, int, int, float, float, int]] = field(default_factory=list)
    shown: list[int] = field(default_factory=list)
    pooled: list[Array] = field(default_factory=list)
    last: list[Array] = field(default_factory=list)
    states: list[Any] = field(default_factory=list)
    at: list[int] = field(default_factory=list)


class Colours:
    """Numbers the RGB colours of a game as they come up."""

    def __init__(self) -> None:
        """Start without colours."""
        self._numbers: dict[bytes, int] = {}

    def pixels(self, frame: Frame) -> Array:
        """Return uint8 [210, 160]."""
        colours = (frame.colours[i : i + 3] for i in range(0, len(frame.colours), 3))
        table = bytes(min(self._numbers.setdefault(c, len(self._numbers)), OTHER) for c in colours)
        pixels = frame.pixels.translate(table.ljust(256, b"\0"))
        return np.frombuffer(pixels, np.uint8).reshape(HEIGHT, WIDTH)


def replay(recording: Recording, console_of: Any, *, rows: int, shown: int, states: int) -> Play:
    """Replay the beginnings of some lanes.

    Args:
        recording: A config's recording. Its digests are not checked; `builders.replay` does that.
        console_of: Called with a lane's seed, gives its `Branches`.
        rows: How many rows in all, at most.
        shown: How many of them with screens, about.
        states: How many of them with states, about.
    """
    lanes = recording.lanes[:: max(1, len(recording.lanes) // _LANES)]
    seeds = recording.header.lane_seeds[:: max(1, len(recording.lanes) // _LANES)]
    share = min(rows // len(lanes), *(int((lane.episode >= 0).sum()) for lane in lanes))
    every_block = max(1, share * len(lanes) // max(shown, 1)) * BLOCK
    every_state = max(1, share * len(lanes) // max(states, 1))
    tape, colours = _Tape(), Colours()
    for lane, seed in zip(lanes, seeds, strict=True):
        pooler, console = Pooler(), console_of(seed)
        first = len(tape.rows)
        for row in walk(lane, console, share):
            number = len(tape.rows)
            tape.rows.append(row)
            if (number - first) % every_block < BLOCK:
                before, now = (np.empty((1, HEIGHT, WIDTH), np.uint8) for _ in range(2))
                console.screens(before[0], now[0])
                tape.shown.append(number)
                tape.last.append(console.look())
                tape.pooled.append(colours.pixels(pooler.pool(before, now)[0]))
            if (number - first) % every_state == every_state // 2:
                tape.states.append(console.keep())
                tape.at.append(number)
    ram, episode, step, gained, lost, lives = zip(*tape.rows, strict=True)
    return Play(
        ram=np.frombuffer(b"".join(ram), np.uint8).reshape(-1, 128),
        episode=np.array(episode, np.int32),
        step=np.array(step, np.int32),
        gained=np.array(gained, np.float64),
        lost=np.array(lost, np.float64),
        lives=np.array(lives, np.uint8),
        shown=np.array(tape.shown, np.intp),
        pooled=np.array(tape.pooled, np.uint8).reshape(-1, HEIGHT, WIDTH),
        last=np.array(tape.last, np.uint8).reshape(-1, HEIGHT, WIDTH),
        states=tape.states,
        at=np.array(tape.at, np.intp),
    )


def walk(lane: Lane, console: Branches, rows: int) -> Iterator[tuple[bytes, int, int, float, float, int]]:
    """Do what a lane did; stop at each row, before its action."""
    gained = lost = 0.0
    before, step, done = -1, 0, 0
    columns = (lane.action.tolist(), lane.frames.tolist(), lane.episode.tolist())
    for action, frames, episode in zip(*columns, strict=True):
        if episode >= 0:
            step = step + 1 if episode == before else 0
            yield console.ram(), episode, step, gained, lost, console.lives()
            done += 1
            if done == rows:
                return
        before = episode
        if action == RESET:
            console.reset()
            gained = lost = 0.0
        elif action != NULL_ACTION:
            reward = console.act(action, frames)
            gained, lost = gained + max(reward, 0.0), lost + max(-reward, 0.0)
