"""The archive of a search: the cells that it found, and the file that keeps them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from atariari_data.errors import DataError
from builders.emulator import FIRE, FRAME_SKIP, NOOP
from builders.files import new_file, refuse_newer

FORMAT: Final = 1

_MOST_NOOPS = 30
_KEY = b"atariari"
_NO_STATE = (SystemError, RuntimeError)  # what ale-py 0.12 and 0.11 raise on bytes that are no state
_COLUMNS = ("parent", "actions", "ram", "frame", "reward", "found", "taken", "barren", "state")


class Archive:
    """The cells of a search, in the order of discovery.

    Attributes:
        game: The game's name.
        seed: The seed of the emulator and of the search.
        steps: Agent steps so far.
        generator: Draws what is random, and goes on where it was when a search is resumed.
        parent: For each cell, the one that the search had returned to; -1 for the first.
        actions: ALE's action numbers from the parent on, each held for four frames.
        ram: The RAM, 128 bytes.
        frame: The digest of the pixels (`builders.digest.frame_digest`).
        reward: The sum of rewards since the reset.
        depth: Steps since the reset.
        found: Steps of the search when it was found.
        states: Emulator states; None where memory was full and the state was let go.
        taken: How often the search returned to the cell.
        barren: How often in a row it found no cell from there.
    """

    def __init__(self, game: str, seed: int) -> None:
        """Start an empty archive."""
        self.game, self.seed, self.steps = game, seed, 0
        self.generator = np.random.default_rng(seed)
        self.parent: list[int] = []
        self.actions: list[bytes] = []
        self.ram: list[bytes] = []
        self.frame: list[bytes] = []
        self.reward: list[float] = []
        self.depth: list[int] = []
        self.found: list[int] = []
        self.states: list[Any] = []
        self.taken: list[int] = []
        self.barren: list[int] = []

    def __len__(self) -> int:
        """Return the number of cells."""
        return len(self.parent)

    def add(self, parent: int, actions: bytes, ram: bytes, frame: bytes, reward: float, state: Any) -> None:
        """Add a cell."""
        self.parent.append(parent)
        self.actions.append(actions)
        self.ram.append(ram)
        self.frame.append(frame)
        self.reward.append(reward)
        self.depth.append(len(actions) + (self.depth[parent] if parent >= 0 else 0))
        self.found.append(self.steps)
        self.states.append(state)
        self.taken.append(0)
        self.barren.append(0)

    def before(self) -> list[int]:
        """Return for each cell the last one before it on its path; -1 for the first."""
        found = []
        for cell, parent in enumerate(self.parent):
            latest = cell - 1  # of the same return, unless this cell was the first that it found
            same = latest > 0 and self.parent[latest] == parent
            same = same and self.actions[cell].startswith(self.actions[latest])
            found.append(latest if same else parent)
        return found

    def path(self, cell: int) -> bytes:
        """Return the actions that lead to a cell from the end of the `opening`, each held for four frames."""
        parts = []
        while cell >= 0:
            parts.append(self.actions[cell])
            cell = self.parent[cell]
        return b"".join(reversed(parts))


def opening(seed: int, minimal_actions: Sequence[int]) -> list[tuple[int, int]]:
    """Return what is done after the reset and before the first cell.

    Args:
        seed: The seed of the search, which gives the number of no-ops, 1 to 30.
        minimal_actions: The game's minimal action set, as ALE's numbers.

    Returns:
        Actions, and the frames for which each is held: no-ops, then FIRE where the game has it.
    """
    noops = int(np.random.default_rng((seed, 0)).integers(1, _MOST_NOOPS + 1))
    return [(NOOP, noops), *([(FIRE, FRAME_SKIP)] if FIRE in minimal_actions else [])]


def save(archive: Archive, path: Path) -> None:
    """Write an archive as Parquet, one row per cell, replacing an existing file.

    Raises:
        DataError: It cannot be written.
    """
    about = {
        "format": FORMAT,
        "game": archive.game,
        "seed": archive.seed,
        "steps": archive.steps,
        "generator": archive.generator.bit_generator.state,
        "ale_py": version("ale-py"),
    }
    table = pa.table(
        {
            "parent": pa.array(archive.parent, pa.int32()),
            "actions": pa.array(archive.actions, pa.binary()),
            "ram": pa.array(archive.ram, pa.binary(128)),
            "frame": pa.array(archive.frame, pa.binary(16)),
            "reward": pa.array(archive.reward, pa.float64()),
            "found": pa.array(archive.found, pa.int64()),
            "taken": pa.array(archive.taken, pa.int32()),
            "barren": pa.array(archive.barren, pa.int32()),
            "state": pa.array([s and _stored(s) for s in archive.states], pa.large_binary()),
        }
    ).replace_schema_metadata({_KEY: json.dumps(about)})
    with new_file(path, replace=True) as part:
        pq.write_table(table, part, compression="zstd", row_group_size=4096)


def _stored(state: Any) -> bytes:
    """Return the bytes of an emulator state; ale-py 0.11 gives a tuple, and fails in `serialize`."""
    content = state.__getstate__()
    stored: bytes = content[0] if isinstance(content, tuple) else content
    return stored


def load(path: Path) -> Archive:
    """Read an archive that `save` wrote.

    Raises:
        DataError: It is not one, of a newer format, or of another ale-py, whose states may differ.
    """
    import ale_py

    try:
        with pq.ParquetFile(path) as file:
            about = json.loads((file.schema_arrow.metadata or {})[_KEY])
            refuse_newer(f"archive {path}", about["format"], FORMAT)
            _check_emulator(path, about["ale_py"])
            columns = file.read().to_pydict()
        archive = Archive(about["game"], about["seed"])
        archive.steps = about["steps"]
        archive.generator.bit_generator.state = about["generator"]
        for parent, actions, ram, frame, reward, found, taken, barren, state in zip(
            *(columns[name] for name in _COLUMNS), strict=True
        ):
            kept = None if state is None else ale_py.ALEState(state)
            archive.add(parent, actions, ram, frame, reward, kept)
            archive.found[-1], archive.taken[-1], archive.barren[-1] = found, taken, barren
    except (pa.ArrowException, OSError, KeyError, ValueError, TypeError, *_NO_STATE) as error:
        raise DataError(f"{path} is not an archive of `atariari-data explore`: {error}") from error
    return archive


def _check_emulator(path: Path, found: str) -> None:
    if found != version("ale-py"):
        raise DataError(
            f"{path} was made with another ale-py, whose emulator states may differ.",
            expected=version("ale-py"),
            got=found,
            cure=f"pip install 'ale-py=={found}', or start another search.",
        )
