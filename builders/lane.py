"""Replay a lane into Arrow tables, checked against the manifest."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from itertools import groupby
from pathlib import Path
from typing import NamedTuple
from uuid import uuid4

import numpy as np
import pyarrow as pa

from atariari_data.errors import DriftError
from atariari_data.labels import RAM_BYTES
from atariari_data.labels import labels as decode
from builders.digest import episode_digest
from builders.manifest import Split, frozen_config, game_of_config, load_recording
from builders.png import to_png
from builders.recording import LEFT_OUT, Recording
from builders.replay import Replayed, replay

PARTIAL = "partial-"
_END = b"\xff\xff\xff\xff\0\0\0\0"  # of an Arrow stream
_TABLE_ROWS = 500


class Source(NamedTuple):
    """A recording, and the digests that its rows must have."""

    recording: Recording
    splits: Mapping[str, Split]
    left_out: Split | None = None


def frozen(config: str) -> Source:
    """Return the recording and the digests of a frozen config."""
    known = frozen_config(config)
    return Source(load_recording(config), known.splits, known.left_out)


def row_schema(schema: pa.Schema) -> pa.Schema:
    """Return the schema without the metadata added by `datasets`."""
    return schema.remove_metadata()


def to_table(rows: Sequence[Replayed], game: str, label_set: str, schema: pa.Schema) -> pa.Table:
    """Convert rows to a table with the dataset's columns."""
    ram = np.frombuffer(b"".join(r.row.ram for r in rows), np.uint8).reshape(-1, RAM_BYTES)
    decoded = decode(ram, game, label_set)
    last = np.array([r.row.is_last for r in rows])
    png = pa.array([to_png(r.row.frame) for r in rows], pa.binary())
    columns = {
        "frame": pa.StructArray.from_arrays([png, pa.nulls(len(rows), pa.string())], ["bytes", "path"]),
        "ram": pa.FixedSizeListArray.from_arrays(pa.array(ram.reshape(-1)), RAM_BYTES),
        "labels": pa.StructArray.from_arrays([pa.array(values) for values in decoded.values()], [*decoded]),
        "episode": pa.array([r.episode for r in rows], pa.int32()),
        "step": pa.array([r.row.step for r in rows], pa.int32()),
        "action": pa.array(np.array([r.row.action for r in rows], np.uint8), mask=last),
        "reward": pa.array(np.array([r.row.reward for r in rows], np.float32), mask=last),
        "is_first": pa.array([r.row.is_first for r in rows], pa.bool_()),
        "is_last": pa.array(last),
        "is_terminal": pa.array([r.row.is_terminal for r in rows], pa.bool_()),
        "lives": pa.array([r.row.lives for r in rows], pa.uint8()),
    }
    return pa.Table.from_arrays([columns[name] for name in schema.names], schema=schema)


def stream_lane(
    config: str, lane: int, split: str, label_set: str, schema: pa.Schema, source: Source | None = None
) -> Iterator[pa.Table]:
    """Replay the rows of one split of a lane, at most one episode at a time.

    Args:
        config: ``GAME``, ``GAME_pretrain`` or ``GAME_deep``.
        lane: Index of the lane.
        split: A split of the recording, or `LEFT_OUT`.
        label_set: Label set of column ``labels``.
        schema: The dataset's columns.
        source: Recording and digests, if not the frozen ones.

    Raises:
        DriftError: The emulator does not reproduce the recording.
    """
    game = game_of_config(config)
    source = source or frozen(config)
    if split == LEFT_OUT:
        episodes = ([r for r in rows if not r.kept] for rows in _episodes(source, lane, left_out=True))
    else:
        episodes = (rows for rows in _episodes(source, lane, split))
    for rows in episodes:
        for start in range(0, len(rows), _TABLE_ROWS):
            yield to_table(rows[start : start + _TABLE_ROWS], game, label_set, schema)


def build_lane(
    config: str, lane: int, folder: Path, label_set: str, schema: pa.Schema, source: Source | None = None
) -> None:
    """Replay a lane into ``folder``, one Arrow file per split; the folder appears once it is complete.

    Args:
        config: ``GAME``, ``GAME_pretrain`` or ``GAME_deep``.
        lane: Index of the lane.
        folder: Where to write.
        label_set: Label set of column ``labels``.
        schema: The dataset's columns.
        source: Recording and digests, if not the frozen ones.

    Raises:
        DriftError: The emulator does not reproduce the recording.
    """
    game = game_of_config(config)
    partial = Path(tempfile.mkdtemp(prefix=PARTIAL, dir=folder.parent))
    source = source or frozen(config)
    names = (*source.recording.header.splits, LEFT_OUT)
    waiting: dict[int, list[Replayed]] = {}
    with ExitStack() as stack:
        sinks = [stack.enter_context(pa.OSFile(str(partial / f"{name}.arrow"), "wb")) for name in names]
        writers = [stack.enter_context(pa.ipc.new_stream(sink, schema)) for sink in sinks]

        def write(split: int) -> None:
            writers[split].write_table(to_table(waiting.pop(split), game, label_set, schema))

        for episode in _episodes(source, lane, left_out=True):
            for row in episode:
                split = row.split if row.kept else names.index(LEFT_OUT)
                rows = waiting.setdefault(split, [])
                rows.append(row)
                if len(rows) == _TABLE_ROWS:
                    write(split)
        for split in sorted(waiting):
            write(split)
    try:
        partial.rename(folder)
    except OSError:
        if not folder.is_dir():
            raise
        discard(partial)  # a worker that outlived its killed parent has finished the lane


def is_whole(folder: Path) -> bool:
    """Return whether the files of a lane end as Arrow streams do, and were not cut by a power failure."""
    for file in folder.glob("*.arrow"):
        with file.open("rb") as stream:
            stream.seek(max(0, file.stat().st_size - len(_END)))
            if stream.read() != _END:
                return False
    return True


def discard(stale: Path) -> None:
    """Delete the leftovers of a killed build, which a surviving worker may still be writing.

    The folder is renamed first, so that the worker either completes its lane or can no longer find it.
    """
    try:
        gone = stale.rename(stale.with_name(f"{PARTIAL}{uuid4().hex}"))
    except FileNotFoundError:
        return
    shutil.rmtree(gone, ignore_errors=True)


def _episodes(
    source: Source, lane: int, split: str | None = None, *, left_out: bool = False
) -> Iterator[list[Replayed]]:
    """Replay a lane by episodes, comparing the kept rows of each with its digest in the manifest."""
    header = source.recording.header
    expected = {episode.number: episode for s in source.splits.values() for episode in s.episodes}
    aside = {episode.number: episode for episode in source.left_out.episodes} if source.left_out else {}
    replayed = replay(source.recording, lane, split=split, left_out=left_out)
    for number, group in groupby(replayed, key=lambda r: r.episode):
        rows = list(group)
        kept, others = ([r.digest for r in rows if r.kept == wanted] for wanted in (True, False))
        parts = [(header.splits[rows[0].split], kept, expected)]
        if source.left_out is not None and left_out:
            parts.append((LEFT_OUT, others, aside))
        for name, digests, known in parts:
            digest = episode_digest(digests)
            if digests and (number not in known or digest != known[number].digest):
                raise DriftError(
                    f"{header.config}, {name}, episode {number}: the rows differ from the manifest.",
                    expected=known[number].digest if number in known else "no such episode",
                    got=digest,
                    cure=f"Reinstall atariari, and pip install 'ale-py=={header.ale_py}'",
                )
        yield rows
