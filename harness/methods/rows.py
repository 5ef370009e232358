"""Training data of methods: a split's frames as one array on disk, decoded once, and its other columns."""

from __future__ import annotations

import logging
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from atariari_data.dataset import load_dataset
from atariari_data.errors import DataError
from builders.files import new_file
from builders.manifest import PRETRAIN, load_manifest
from builders.progress import progress_bar
from harness.cache import default_dir
from harness.encoders.frame_spec import SCREEN, FrameSpec
from harness.splits import open_split

_log = logging.getLogger(__name__)

FORMAT: Final = "gray1"  # changes when the conversion from RGB changes
GIGA: Final = 1e9


@dataclass(frozen=True, eq=False)
class Rows:
    """The rows of a split.

    Attributes:
        frames: Gray frames, uint8 [n, height, width]; may be memory-mapped.
        stretch: The number of each row's stretch of consecutive steps, int64 [n]. A stretch ends with the
            episode, and where the split left out a row.
        actions: ALE's number of the action taken at the row, uint8 [n]; 0 in the last row of an episode.
        ram: RAM, uint8 [n, 128].
        episode: The number of each row's episode, int64 [n], ascending.
    """

    frames: npt.NDArray[np.uint8]
    stretch: npt.NDArray[np.int64]
    actions: npt.NDArray[np.uint8]
    ram: npt.NDArray[np.uint8]
    episode: npt.NDArray[np.int64]

    def __len__(self) -> int:
        """Return n."""
        return len(self.frames)

    def starts(self, length: int) -> npt.NDArray[np.int64]:
        """Return the rows that start ``length`` consecutive rows, ascending."""
        if length > len(self):
            return np.empty(0, np.int64)
        last = len(self) - length + 1
        return np.flatnonzero(self.stretch[:last] == self.stretch[length - 1 :])

    def bounds(self) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Return the first row and the number of rows of each episode, both int64 [episodes]."""
        _, first, count = np.unique(self.episode, return_index=True, return_counts=True)
        return first, count


def open_rows(
    game: str,
    split: str,
    size: tuple[int, int] = SCREEN,
    *,
    cache_dir: str | None = None,
    num_proc: int | None = None,
    progress: bool = True,
) -> Rows:
    """Open a split of ``GAME_pretrain``, decoding its frames on first use.

    Args:
        game: A name from `builders.manifest.recorded_games`.
        split: ``train`` or ``validation``.
        size: Height and width of the frames; they are resized as by `FrameSpec`.
        cache_dir: Folder of the built dataset, as in ``load_dataset``.
        num_proc: Processes that build it.
        progress: Show progress bars.

    Raises:
        UnknownNameError: No such game.
        DataError: As `atariari_data.load_dataset`, or the disk is too full for the frames.
    """
    frozen = load_manifest(game).configs[game + PRETRAIN].splits[split]
    path = default_dir() / "frames" / f"{frozen.digest[:32]}-{FORMAT}-{size[0]}x{size[1]}.npy"
    if not path.is_file():
        _decode(game, split, path, (frozen.rows, *size), cache_dir, num_proc, progress=progress)
    frames = np.load(path, mmap_mode="r")
    table = load_dataset(name=game + PRETRAIN, split=split, cache_dir=cache_dir, num_proc=num_proc)
    columns = table.select_columns(["episode", "step", "action", "ram"]).with_format("arrow")[:]
    episode, step = (columns[name].to_numpy() for name in ("episode", "step"))
    other = np.diff(episode, prepend=-1) != 0
    broken = other | (np.diff(step, prepend=-1) != 1)
    actions = columns["action"].combine_chunks().fill_null(0).to_numpy()
    ram = columns["ram"].combine_chunks().flatten().to_numpy().reshape(len(step), -1)
    return Rows(frames, np.cumsum(broken), actions, ram, np.cumsum(other))


def _decode(
    game: str,
    split: str,
    path: Path,
    shape: tuple[int, int, int],
    cache_dir: str | None,
    num_proc: int | None,
    *,
    progress: bool,
) -> None:
    """Decode a split to an array file, atomically."""
    needed = int(np.prod(shape))
    path.parent.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(path.parent).free
    _log.info("Decoding %s%s/%s once, to %s (%.2f GB).", game, PRETRAIN, split, path, needed / GIGA)
    if needed > free:
        raise DataError(
            f"Not enough disk space in {path.parent} for the frames of {game}.",
            expected=f"{needed / GIGA:.2f} GB free",
            got=f"{free / GIGA:.2f} GB free",
            cure="Set ATARIARI_CACHE to a folder on another disk.",
        )
    rows = open_split(game + PRETRAIN, split, cache_dir=cache_dir, num_proc=num_proc)
    spec = FrameSpec(size=shape[1:])
    with (
        new_file(path, replace=True) as part,  # another process may have written the same meanwhile
        progress_bar(shape[0], f"Decoding {split}", "frame", shown=progress) as bar,
    ):
        frames = np.lib.format.open_memmap(part, "w+", np.uint8, shape)
        _reserve(part)
        start = 0
        for batch in rows.batches(FrameSpec()):
            frames[start : start + len(batch)] = spec.arrange(batch)[:, 0]
            start += len(batch)
            bar.update(len(batch))
        frames.flush()


def _reserve(path: Path) -> None:
    """Take a file's space on the disk; mapped into memory, it would end the process once the disk is full."""
    if hasattr(os, "posix_fallocate"):
        with path.open("r+b") as file:
            os.posix_fallocate(file.fileno(), 0, path.stat().st_size)
