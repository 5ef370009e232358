"""Read splits as encoders see them: pixels in batches."""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from atariari_data.dataset import NAME
from builders.png import gray, rgb
from builders.recording import LEFT_OUT
from builders.verify import state_of, verify
from harness.cache import default_dir
from harness.encoders.frame_spec import FrameSpec

Item = TypeVar("Item")
Made = TypeVar("Made")

FRAMES = 2
"""Version of the frames that an encoder is given for a row; part of the key of kept features."""
_BATCH = 512


@dataclass(frozen=True)
class SplitRows:
    """The rows of one split of one game.

    Attributes:
        ram: uint8 [n, 128].
        episode: int32 [n].
        step: int32 [n], in the episode.
        before: int64 [m], for each frame the one before it in the emulator, or itself if it is the first.
        png: bytes [m], all frames of the split: of its rows, and of rows that are left out of it.
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
        """Decode the frames in order, in batches as from `frames`."""
        for start in range(0, len(self), _BATCH):
            yield self.frames(np.arange(start, min(start + _BATCH, len(self))), spec)

    def frames(self, rows: npt.NDArray[np.int64], spec: FrameSpec) -> npt.NDArray[np.uint8]:
        """Decode the frames of some rows.

        Args:
            rows: int64 [b], from 0 to n-1.
            spec: The encoder's input.

        Returns:
            uint8 ``spec.raw_shape(b)``. Stacked frames are those before the row in the emulator, also where
            they are no rows of the split, and the row's frame last. At the start of an episode its first
            frame is repeated.
        """
        stacks = self.stacks(rows, spec.stack)
        decode = gray if spec.color == "gray" else rgb
        unique, place = np.unique(stacks, return_inverse=True)
        if len(unique) == stacks.size:
            frames = decode(self.png.take(stacks.ravel()).to_pylist())
            return frames.reshape(*stacks.shape, *frames.shape[1:])
        return decode(self.png.take(unique).to_pylist())[place.reshape(stacks.shape)]

    def stacks(self, rows: npt.NDArray[np.int64], stack: int) -> npt.NDArray[np.int64]:
        """Return the numbers of the frames of some rows in ``png``, int64 [b, stack]."""
        needed = [self._rows[rows]]
        for _ in range(stack - 1):
            needed.insert(0, self.before[needed[0]])
        return np.stack(needed, axis=1)


def first_of_its_kind(splits: Sequence[SplitRows], stack: int | None) -> npt.NDArray[np.int64]:
    """Find the rows of all splits, one after the other, for which an encoder is given the same.

    Args:
        splits: The splits.
        stack: How many frames it is given for a row; None if it is given the RAM.

    Returns:
        int64 [n]: for each row the first one whose frames are the same in every pixel, or whose RAM is.
    """
    inputs = [split.ram for split in splits] if stack is None else _numbered(splits, stack)
    _, first, kind = np.unique(np.concatenate(inputs), axis=0, return_index=True, return_inverse=True)
    return np.asarray(first[kind.reshape(-1)])


def _numbered(splits: Sequence[SplitRows], stack: int) -> list[npt.NDArray[np.int32]]:
    """Return the stack of each row of each split, int32 [n, stack]; equal frames have the same number."""
    kinds = pa.chunked_array([split.png for split in splits]).dictionary_encode()
    frames = [chunk.indices.to_numpy() for chunk in kinds.unify_dictionaries().chunks]
    return [
        kind[split.stacks(np.arange(len(split)), stack)] for kind, split in zip(frames, splits, strict=True)
    ]


def open_split(
    game: str,
    split: str,
    *,
    limit: int | None = None,
    cache_dir: str | None = None,
    num_proc: int | None = None,
) -> SplitRows:
    """Open a split, building the game if needed; the files are compared with the manifest first.

    Args:
        game: A config of the dataset.
        split: ``train``, ``validation`` or ``test``.
        limit: Number of rows, evenly spaced; all by default.
        cache_dir: As in ``load_dataset``.
        num_proc: Number of processes to build with.

    Raises:
        UnknownNameError: No such game.
        DataError: The copy on disk is not what the manifest says; or as for `atariari_data.load_dataset`.
    """
    import datasets

    builder = datasets.load_dataset_builder(NAME, game, cache_dir=cache_dir)
    builder.download_and_prepare(num_proc=num_proc)
    _verify_once(builder.config.name, Path(builder.cache_dir), cache_dir)
    table, left_out = (builder.as_dataset(name).with_format("arrow")[:] for name in (split, LEFT_OUT))
    n = table.num_rows
    some = None if limit is None or limit >= n else np.linspace(0, n - 1, limit).astype(np.int64)
    return rows_of(table, some, left_out)


def _verify_once(config: str, folder: Path, cache_dir: str | None) -> None:
    """Verify a built copy, unless files with the same content were verified before."""
    stamp = default_dir() / "verified" / state_of(config, folder)
    if stamp.is_file():
        return
    verify(config, cache_dir=cache_dir)
    with contextlib.suppress(OSError):
        stamp.parent.mkdir(parents=True, exist_ok=True)
        stamp.touch()


def rows_of(
    table: pa.Table, some: npt.NDArray[np.int64] | None = None, left_out: pa.Table | None = None
) -> SplitRows:
    """Return rows of a table of the dataset.

    Args:
        table: A split, or any rows.
        some: int64 [n], the rows to return, ascending; all by default.
        left_out: Rows of the same episodes, or of others, that only serve as the frames before a row.
    """
    n = table.num_rows
    rows = np.arange(n) if some is None else some
    parts = [table.select(["episode", "step", "frame"])]
    if left_out is not None:
        ours = pc.is_in(left_out["episode"], value_set=pc.unique(table["episode"]))
        parts.append(left_out.select(parts[0].column_names).filter(ours).cast(parts[0].schema))
    frames = pa.concat_tables(parts)
    episode, step = (frames[name].to_numpy() for name in ("episode", "step"))
    order = np.lexsort((step, episode))
    follows = (np.diff(episode[order]) == 0) & (np.diff(step[order]) == 1)
    before = np.arange(len(order))
    before[order[1:][follows]] = order[:-1][follows]
    png = pc.struct_field(frames["frame"], "bytes").combine_chunks()
    ram = table["ram"].combine_chunks().flatten().to_numpy().reshape(n, -1)
    return SplitRows(ram[rows], episode[rows], step[rows], before, png, rows)


def prefetch(
    items: Iterable[Item], make: Callable[[Item], Made], *, threads: int = 1
) -> Iterator[tuple[Item, Made]]:
    """Yield each item with ``make(item)``, in order; each thread computes one ahead."""
    waiting: deque[tuple[Item, Future[Made]]] = deque()
    with ThreadPoolExecutor(threads) as pool:
        for item in items:
            waiting.append((item, pool.submit(make, item)))
            if len(waiting) > threads:
                first, made = waiting.popleft()
                yield first, made.result()
        for first, made in waiting:
            yield first, made.result()
