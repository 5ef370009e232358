"""Splits as an encoder sees them: pixels in batches."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from atariari_data.dataset import load_dataset
from builders.png import gray, rgb
from harness.encoders.frame_spec import FrameSpec

Item = TypeVar("Item")
Made = TypeVar("Made")

_BATCH = 512


@dataclass(frozen=True)
class SplitRows:
    """The rows of one split of one game.

    Attributes:
        ram: uint8 [n, 128].
        episode: int32 [n].
        step: int32 [n], in the episode.
        before: int64, for every row of the split the one before it in its episode; itself at the start.
        png: bytes, the frames of every row of the split, also of those that are left out by a limit.
    """

    ram: npt.NDArray[np.uint8]
    episode: npt.NDArray[np.int32]
    step: npt.NDArray[np.int32]
    before: npt.NDArray[np.int64]
    png: pa.Array
    _rows: npt.NDArray[np.int64]

    def __len__(self) -> int:
        """Return n."""
        return len(self._rows)

    def batches(self, spec: FrameSpec) -> Iterator[npt.NDArray[np.uint8]]:
        """Decode the frames, in order.

        Yields:
            As `frames`.
        """
        for start in range(0, len(self), _BATCH):
            yield self.frames(np.arange(start, min(start + _BATCH, len(self))), spec)

    def frames(self, rows: npt.NDArray[np.int64], spec: FrameSpec) -> npt.NDArray[np.uint8]:
        """Decode the frames of some rows.

        Args:
            rows: int64 [b], of 0 to n-1.
            spec: What the encoder wants to see.

        Returns:
            uint8 ``spec.raw_shape(b)``. A stacked input holds the frame last and those before it in its
            episode; the first frame stands in for those before the episode began.
        """
        needed = [self._rows[rows]]
        for _ in range(spec.stack - 1):
            needed.insert(0, self.before[needed[0]])
        stacks = np.stack(needed, axis=1)
        unique, place = np.unique(stacks, return_inverse=True)
        decode = gray if spec.color == "gray" else rgb
        frames = decode(self.png.take(unique).to_pylist())
        return frames[place.reshape(stacks.shape)]


def open_split(
    game: str,
    split: str,
    *,
    limit: int | None = None,
    cache_dir: str | None = None,
    num_proc: int | None = None,
) -> SplitRows:
    """Open a split, building the game if it is not there yet.

    Args:
        game: As in the dataset's configs.
        split: ``train``, ``validation`` or ``test``.
        limit: Only this many rows, evenly spaced.
        cache_dir: As in ``load_dataset``.
        num_proc: Processes to build with.

    Raises:
        UnknownNameError: No such game.
        DataError: As `atariari_data.load_dataset`.
    """
    data = load_dataset(name=game, split=split, cache_dir=cache_dir, num_proc=num_proc)
    n = len(data)
    some = None if limit is None or limit >= n else np.linspace(0, n - 1, limit).astype(np.int64)
    return rows_of(data.with_format("arrow")[:], some)


def rows_of(table: pa.Table, some: npt.NDArray[np.int64] | None = None) -> SplitRows:
    """Return the rows of a table of the dataset, or some of them: int64 [n], ascending."""
    n = table.num_rows
    rows = np.arange(n) if some is None else some
    episode = table["episode"].to_numpy()
    before = np.maximum(np.arange(n) - 1, 0)
    before = np.where(episode[before] == episode, before, np.arange(n))
    png = pc.struct_field(table["frame"], "bytes").combine_chunks()
    ram = table["ram"].combine_chunks().flatten().to_numpy().reshape(n, -1)
    step = table["step"].to_numpy()
    return SplitRows(ram[rows], episode[rows], step[rows], before, png, rows)


def prefetch(items: Iterable[Item], make: Callable[[Item], Made]) -> Iterator[tuple[Item, Made]]:
    """Give each item, in order, with what ``make`` makes of it; one is made ahead, in a thread."""
    with ThreadPoolExecutor(1) as pool:
        waiting = None
        for item in items:
            following = (item, pool.submit(make, item))
            if waiting is not None:
                yield waiting[0], waiting[1].result()
            waiting = following
        if waiting is not None:
            yield waiting[0], waiting[1].result()
