"""Splits as an encoder sees them: pixels in batches, decoded while the batch before is being embedded."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from atariari_data.dataset import load_dataset
from builders.frames import gray, rgb
from harness.frame_spec import FrameSpec

_BATCH = 512


@dataclass(frozen=True)
class SplitRows:
    """The rows of one split of one game.

    Attributes:
        ram: uint8 [n, 128].
        episode: int32 [n].
        step: int32 [n], in the episode.
        before: int64 [n], the row before each in its episode; itself at the start of one.
    """

    ram: npt.NDArray[np.uint8]
    episode: npt.NDArray[np.int32]
    step: npt.NDArray[np.int32]
    before: npt.NDArray[np.int64]
    _rows: npt.NDArray[np.int64]
    _png: Any

    def __len__(self) -> int:
        """Return n."""
        return len(self._rows)

    def batches(self, spec: FrameSpec) -> Iterator[npt.NDArray[np.uint8]]:
        """Decode the frames, in order, each batch while the caller works on the one before.

        Yields:
            uint8 ``spec.raw_shape(b)``. A stacked input holds the frame last and those before it in its
            episode; the first frame stands in for those before the episode began.
        """
        starts = range(0, len(self), _BATCH)
        with ThreadPoolExecutor(1) as pool:
            waiting = pool.submit(self._decode, starts[0], spec) if starts else None
            for start in starts:
                assert waiting is not None  # noqa: S101  for the type checker
                batch = waiting.result()
                if start + _BATCH < len(self):
                    waiting = pool.submit(self._decode, start + _BATCH, spec)
                yield batch

    def _decode(self, start: int, spec: FrameSpec) -> npt.NDArray[np.uint8]:
        needed = [self._rows[start : start + _BATCH]]
        for _ in range(spec.stack - 1):
            needed.insert(0, self.before[needed[0]])
        stacks = np.stack(needed, axis=1)
        unique, place = np.unique(stacks, return_inverse=True)
        low, high = int(unique[0]), int(unique[-1]) + 1
        png = self._png.slice(low, high - low).combine_chunks().field("bytes")
        decode = gray if spec.color == "gray" else rgb
        frames = decode(png[int(row) - low].as_py() for row in unique)
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
    table = data.with_format("arrow")[:]
    n = table.num_rows
    rows = np.arange(n) if limit is None or limit >= n else np.linspace(0, n - 1, limit).astype(np.int64)
    episode = table["episode"].to_numpy()
    before = np.maximum(np.arange(n) - 1, 0)
    before = np.where(episode[before] == episode, before, np.arange(n))
    ram = table["ram"].combine_chunks().flatten().to_numpy().reshape(n, -1)
    step = table["step"].to_numpy()
    return SplitRows(ram[rows], episode[rows], step[rows], before, rows, table["frame"])
