"""Deep recordings: what two searches of a game reached, as episodes that begin where random play ends.

A config ``GAME_deep`` has its train and validation rows from one search and its test rows from another, so
that no path is shared between them. From an archive (`builders.archive`) come the paths that together cover
most of it: every room, every amount of reward, every number of lives. An episode is the part of a path that
no earlier episode has, followed by random play over lost lives, up to the end of the game; what comes before
is played and not recorded. Each path is played from a reset in a new emulator, and is dropped if RAM or
pixels are not what the search saw.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import Final

import numpy as np
import numpy.typing as npt

from atariari_data.errors import UsageError
from builders.archive import Archive, opening
from builders.cells import Cells
from builders.content import Content
from builders.digest import NULL_ACTION, Row, frame_digest
from builders.emulator import FRAME_SKIP, RESET, SETTINGS, Emulator, rom
from builders.record import Tape, freeze
from builders.recording import FORMAT, PROBE_SPLITS, Header, Recording
from builders.search import HOLD_ON

ROWS: Final[Mapping[str, int]] = {"train": 20_000, "validation": 4_000, "test": 10_000}
MOST_STEPS: Final = 150_000
"""Agent steps that are replayed for a game at most, those before the episodes included."""
MOST_LANES: Final = 250
_LONGEST_PART = 1_000  # rows of a path in one episode
_TAIL = (40, 600)  # rows of random play after a path


@dataclass(frozen=True)
class Found:
    """What an archive gave.

    Attributes:
        tapes: One per episode, each in a lane of its own.
        steps: Agent steps of all tapes.
        refused: Paths that did not lead again to what the search saw.
    """

    tapes: list[Tape]
    steps: int
    refused: int


class _Choice:
    """Chooses cells whose paths cover most of what is not covered yet."""

    def __init__(self, archive: Archive) -> None:
        n = len(archive)
        self._up = archive.before()
        self._depth = np.array(archive.depth)
        self.covered = np.zeros(n, np.bool_)
        self._dead = np.zeros(n, np.bool_)
        read = Cells.of(archive.game).reader()
        seen = [read(ram) for ram in archive.ram]
        aspects = ([s.room for s in seen], [s.stock for s in seen], [s.lives for s in seen])
        self._groups = [_numbers(values) for values in (*aspects, archive.reward)]

    def best(self, tail: int) -> int | None:
        """Return the cell whose path and ``tail`` further steps cover most for their length."""
        worth = np.zeros(len(self.covered))
        for group in self._groups:
            count = np.bincount(group, weights=self.covered, minlength=int(group.max()) + 1)
            worth += (np.sqrt(count + 1) - np.sqrt(count))[group]
        gain = np.where(self.covered, 0.0, worth).tolist()
        for cell, up in enumerate(self._up):  # an earlier cell comes before it
            if up >= 0:
                gain[cell] += gain[up]
                self._dead[cell] |= self._dead[up]
        score = np.where(self._dead | self.covered, 0.0, np.array(gain) / (self._depth + tail))
        cell = int(score.argmax())
        return cell if score[cell] > 0 else None

    def path(self, cell: int) -> list[int]:
        """Return the cells on the path to a cell, in order."""
        cells = []
        while cell >= 0:
            cells.append(cell)
            cell = self._up[cell]
        return cells[::-1]

    def part(self, cell: int) -> list[int]:
        """Return the cells on the path that are not covered, of the last rows only."""
        first = self._depth[cell] - _LONGEST_PART
        return [c for c in self.path(cell) if not self.covered[c] and self._depth[c] >= first]

    def cover(self, cells: list[int]) -> None:
        self.covered[cells] = True

    def refuse(self, cell: int) -> None:
        """Choose neither this cell nor one whose path leads through it."""
        self._dead[cell] = True


def _numbers(values: Sequence[Hashable]) -> npt.NDArray[np.intp]:
    """Number what is different, in the order of appearance."""
    number: dict[Hashable, int] = {}
    return np.array([number.setdefault(value, len(number)) for value in values], np.intp)


def episodes(
    archive: Archive, rows: int, steps: int, lanes: int, *, progress: Callable[[int], object] = lambda _: None
) -> Found:
    """Play the paths that cover an archive.

    Args:
        archive: What a search reached.
        rows: Rows wanted; the last episode may give more.
        steps: Agent steps at most.
        lanes: Episodes at most.
        progress: Called with the rows of each episode.
    """
    choice = _Choice(archive)
    found: list[Tape] = []
    done = played = refused = 0
    tail = float(max(_TAIL[0], rows // (2 * lanes)))
    while done < rows and played < steps and len(found) < lanes:
        cell = choice.best(int(tail))
        if cell is None:
            break
        part = choice.part(cell)
        tape = _play(archive, choice.path(cell), part[0], int(tail), len(found))
        if isinstance(tape, int):
            choice.refuse(tape)
            refused += 1
            continue
        choice.cover(part)
        found.append(tape)
        done += len(tape.ram)
        played += len(tape.lines)
        progress(len(tape.ram))
        # Where steps or lanes run out before the rows do, more is recorded after each path.
        spent = max(played / steps, len(found) / lanes)
        tail = float(np.clip(tail * (1.25 if spent > done / rows else 0.8), *_TAIL))
    return Found(found, played, refused)


def _play(archive: Archive, cells: list[int], first: int, tail: int, number: int) -> Tape | int:
    """Play a path from a reset, and record its end and what follows as an episode.

    Args:
        archive: The archive.
        cells: The cells on the path.
        first: The first of them in the episode, which begins after the cell before it.
        tail: Rows of random play after the path.
        number: The number of the episode, for the seed.

    Returns:
        The episode, or the first cell that does not show what the search saw.
    """
    emulator, tape = Emulator(archive.game, archive.seed), Tape()
    generator = np.random.default_rng((archive.seed, number))
    path = archive.path(cells[-1])
    seen = {archive.depth[cell]: cell for cell in cells}
    before = [archive.depth[cell] for cell in cells if archive.depth[cell] < archive.depth[first]]
    start = max(before[-1] + 1 if before else 0, len(path) - _LONGEST_PART)
    tape.do(RESET, 0)
    emulator.reset()
    for action, frames in opening(archive.seed, emulator.minimal_actions):
        tape.do(action, frames)
        emulator.act(action, frames)
    action = path[-1] if path else emulator.minimal_actions[0]
    for depth in range(len(path) + tail + 1):
        over = emulator.game_over()
        last = over or depth == len(path) + tail
        if depth < len(path):
            action = path[depth]
        elif generator.random() > HOLD_ON:
            action = emulator.minimal_actions[int(generator.integers(len(emulator.minimal_actions)))]
        ram, cell = emulator.ram(), seen.get(depth)
        if cell is not None and ram != archive.ram[cell]:
            return cell
        if depth < start:
            tape.do(action, FRAME_SKIP)
            emulator.act(action, FRAME_SKIP)
            continue
        frame, lives, score = emulator.frame(), emulator.lives(), emulator.score
        if cell is not None and frame_digest(frame) != archive.frame[cell]:
            return cell
        reward = 0.0 if last else emulator.act(action, FRAME_SKIP)
        row = Row(frame, ram, depth - start, NULL_ACTION if last else action, reward, over, lives)
        tape.see(row, 0, score)
        if last:
            break
    return tape


def record_deep(
    config: str,
    learn: Archive,
    test: Archive,
    seen: Collection[bytes],
    *,
    rows: Mapping[str, int] = ROWS,
    steps: int = MOST_STEPS,
    progress: Callable[[int], object] = lambda _: None,
) -> tuple[Recording, Content, int]:
    """Freeze what two searches reached.

    Args:
        config: ``GAME_deep``.
        learn: The archive that train and validation come from.
        test: The archive that test comes from, of another seed.
        seen: Digests of the frames of the game's other configs; rows that show one are left out.
        rows: Rows by split, about.
        steps: Agent steps that are played at most.
        progress: Called with the rows of each episode.

    Returns:
        The recording, what it shows, and the number of paths that did not lead again to what was seen.

    Raises:
        UsageError: The archives are of one seed, of different games, or too small for three splits.
    """
    if learn.game != test.game or learn.seed == test.seed:
        raise UsageError(
            "Two searches of one game with different seeds are needed.",
            got=f"{learn.game}, seed {learn.seed}, and {test.game}, seed {test.seed}",
        )
    wanted = (rows["train"] + rows["validation"], rows["test"])
    found = []
    for archive, share in zip((learn, test), wanted, strict=True):
        part = share / sum(wanted)
        found.append(episodes(archive, share, int(part * steps), int(part * MOST_LANES), progress=progress))
    split_of = _split(found[0].tapes, rows, learn.seed) + [PROBE_SPLITS.index("test")] * len(found[1].tapes)
    if set(split_of) != set(range(len(PROBE_SPLITS))):
        raise UsageError(
            f"The searches of {learn.game} did not reach enough for {', '.join(PROBE_SPLITS)}.",
            cure="Search for more steps.",
        )
    header = Header(
        format=FORMAT,
        game=learn.game,
        config=config,
        rom_md5=rom(learn.game)[1],
        ale_py=version("ale-py"),
        settings=SETTINGS,
        policy=f"archive searches of {learn.steps} and {test.steps} steps",
        seed=learn.seed,
        lane_seeds=[a.seed for a, f in zip((learn, test), found, strict=True) for _ in f.tapes],
        splits=PROBE_SPLITS,
    )
    tapes = [tape for f in found for tape in f.tapes]
    recording, content = freeze(header, tapes, np.array(split_of, np.int8), seen)
    return recording, content, sum(f.refused for f in found)


def _split(tapes: list[Tape], rows: Mapping[str, int], seed: int) -> list[int]:
    """Shuffle the episodes and give validation its share of the rows; train has the rest."""
    total = sum(len(tape.ram) for tape in tapes)
    wanted = total * rows["validation"] // (rows["train"] + rows["validation"])
    split, there = [PROBE_SPLITS.index("train")] * len(tapes), 0
    for number in np.random.default_rng(seed).permutation(len(tapes)).tolist():
        if there >= wanted:
            break
        split[number] = PROBE_SPLITS.index("validation")
        there += len(tapes[number].ram)
    return split
