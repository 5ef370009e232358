"""Verify a built config: recompute its digests from the files, and compare them with the manifest."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import groupby
from pathlib import Path

import numpy as np
import pyarrow as pa

from atariari_data.errors import AtariariError, DataError
from atariari_data.labels import labels as decode
from builders.digest import NULL_ACTION, Row, bytes_digest, episode_digest, frame_digest, split_digest
from builders.manifest import frozen_config, game_of_config, load_manifest, load_recording
from builders.png import from_png
from builders.recording import LEFT_OUT

_TABLE_ROWS = 1000


def verify(config: str, *, cache_dir: str | None = None) -> dict[str, str]:
    """Recompute the digest of every split of a built config, and check the rows that are left out.

    Args:
        config: ``pong`` or ``pong_pretrain``.
        cache_dir: As in ``load_dataset``.

    Returns:
        The digests by split, which equal the manifest's.

    Raises:
        UnknownNameError: No such game.
        DataError: The config is not built, or the files differ from the manifest. The message names split,
            episode and step if known.
    """
    import datasets

    import atariari_data

    builder = datasets.load_dataset_builder(atariari_data.dataset.NAME, config, cache_dir=cache_dir)
    config = builder.config.name
    known = frozen_config(config)
    if not Path(builder.cache_dir, "dataset_info.json").is_file():
        raise DataError(
            f"{config} is not built in {builder.cache_dir}.", cure=f"atariari-data build {config}"
        )
    digests = {}
    cure = f"atariari-data build {config} --rebuild"
    frames: set[bytes] = set()
    for name in (*known.splits, LEFT_OUT):
        try:
            table = builder.as_dataset(split=name).with_format("arrow")
            parts = (table[start : start + _TABLE_ROWS] for start in range(0, len(table), _TABLE_ROWS))
            if name == LEFT_OUT and known.left_out is None:
                _check_left_out(config, parts, frames, cure=cure)
            else:
                digests[name] = split_digest_of(config, name, parts, cure=cure, frames=frames)
        except AtariariError:
            raise
        except Exception as error:  # pyarrow, datasets and zlib raise all kinds of errors on damaged files
            raise DataError(
                f"{config}, {name}: the Arrow files in {builder.cache_dir} cannot be read: {error}",
                cure=cure,
            ) from error
    return digests


def state_of(config: str, folder: Path) -> str:
    """Digest the files of a built config, and the manifest that they are compared with."""
    parts = [load_manifest(config).to_bytes()]
    for file in sorted(folder.iterdir()):
        if file.is_file():
            parts += [file.name.encode(), file.read_bytes()]
    return bytes_digest("".join(map(bytes_digest, parts)).encode())


def _check_left_out(config: str, tables: Iterable[pa.Table], frames: set[bytes], *, cure: str) -> None:
    """Compare the rows that are left out with the recording, and their frames with those of the splits."""
    lanes = load_recording(config).lanes
    expected = []
    for lane in lanes:
        for episode in np.unique(lane.episode[lane.episode >= 0]).tolist():
            kept = lane.kept[lane.episode == episode]
            expected += [(episode, step) for step in np.flatnonzero(~kept).tolist()]
    found = []
    for episode, row in _rows(config, LEFT_OUT, tables, cure):
        if frame_digest(row.frame) not in frames:
            raise DataError(
                f"{config}, {LEFT_OUT}, episode {episode}, step {row.step}: the file was changed.",
                expected="a frame that is also in a split",
                cure=cure,
            )
        found.append((episode, row.step))
    if found != expected:
        raise DataError(
            f"{config}, {LEFT_OUT}: rows are missing or out of order.",
            expected=f"{len(expected)} rows",
            got=f"{len(found)} rows",
            cure=cure,
        )


def split_digest_of(
    config: str, name: str, tables: Iterable[pa.Table], *, cure: str, frames: set[bytes] | None = None
) -> str:
    """Recompute the digest of a split from its rows.

    Args:
        config: ``pong`` or ``pong_pretrain``.
        name: The split's name.
        tables: Its rows in order, in tables with the dataset's columns.
        cure: Advice for the error message.
        frames: Takes the digest of every frame's pixels.

    Returns:
        The digest, which equals the manifest's.

    Raises:
        DataError: The rows differ from the manifest. The message names episode and step if known.
    """
    known = frozen_config(config)
    frozen = known.left_out if name == LEFT_OUT and known.left_out else known.splits[name]
    expected = {episode.number: episode for episode in frozen.episodes}
    found = []
    for number, group in groupby(_rows(config, name, tables, cure), key=lambda pair: pair[0]):
        rows = []
        for _, row in group:
            of_frame, of_row = row.digests()
            rows.append((row.step, of_row))
            if frames is not None:
                frames.add(of_frame)
        digest = episode_digest(d for _, d in rows)
        if number not in expected or digest != expected[number].digest:
            step = _step(config, number, rows)
            raise DataError(
                f"{config}, {name}, episode {number}{step}: the file was changed.",
                expected=expected[number].digest if number in expected else "no such episode",
                got=digest,
                cure=cure,
            )
        found.append((number, len(rows), digest))
    digest = split_digest(found)
    if digest != frozen.digest:
        raise DataError(
            f"{config}, {name}: episodes are missing or out of order.",
            expected=f"{frozen.digest} ({frozen.rows} rows, {len(frozen.episodes)} episodes)",
            got=f"{digest} ({sum(n for _, n, _ in found)} rows, {len(found)} episodes)",
            cure=cure,
        )
    return digest


def _step(config: str, episode: int, rows: list[tuple[int, bytes]]) -> str:
    """Locate the first step that differs from the recording, by its check bytes."""
    for lane in load_recording(config).lanes:
        line = np.flatnonzero(lane.episode == episode)
        for step, digest in rows if line.size else ():
            if step >= line.size or lane.check[line[step]] != digest[0]:
                return f", step {step}"
    return ""


def _rows(config: str, name: str, tables: Iterable[pa.Table], cure: str) -> Iterator[tuple[int, Row]]:
    """Read the rows, and check the labels and flags, which are redundant, for consistency."""
    fields = ("episode", "step", "action", "reward", "is_terminal", "lives", "is_first", "is_last")
    for part in tables:
        part.validate(full=True)
        ram = part["ram"].combine_chunks().flatten().to_numpy().reshape(part.num_rows, -1)
        png = part["frame"].combine_chunks().field("bytes")
        labels = part["labels"].combine_chunks()
        decoded = decode(ram, game_of_config(config))
        wrong = np.zeros(part.num_rows, np.bool_)
        for variable, values in decoded.items():
            wrong |= labels.field(variable).to_numpy() != values
        columns = (part[field].to_pylist() for field in fields)
        for i, row_fields in enumerate(zip(*columns, strict=True)):
            episode, step, action, reward, terminal, lives, first, last = row_fields
            where = f"{config}, {name}, episode {episode}, step {step}"
            try:
                frame = from_png(png[i].as_py())
            except DataError as error:
                raise DataError(f"{where}: {error.what}", cure=cure) from error
            row = Row(
                frame=frame,
                ram=ram[i].tobytes(),
                step=step,
                action=NULL_ACTION if action is None else action,
                reward=0.0 if reward is None else reward,
                over=terminal,
                lives=lives,
            )
            if wrong[i] or (row.is_first, row.is_last, row.is_terminal) != (first, last, terminal):
                raise DataError(f"{where}: the labels or flags contradict the row.", cure=cure)
            yield episode, row
