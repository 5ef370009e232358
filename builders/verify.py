"""Verify: recompute the digests of a built config from what is on disk, and compare with the manifest."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import groupby
from pathlib import Path

import numpy as np
import pyarrow as pa

from atariari_data.errors import AtariariError, DataError
from atariari_data.labels import labels as decode
from builders.digest import NULL_ACTION, Row, episode_digest, split_digest
from builders.manifest import PRETRAIN, load_manifest, load_recording
from builders.png import from_png

_TABLE_ROWS = 1000


def verify(config: str, *, cache_dir: str | None = None) -> dict[str, str]:
    """Recompute the digest of every split of a built config.

    Args:
        config: ``pong`` or ``pong_pretrain``.
        cache_dir: As in ``load_dataset``.

    Returns:
        Split to digest; they are the manifest's.

    Raises:
        UnknownNameError: No such game.
        DataError: The config is not built, or what is on disk is not what the manifest says; names split,
            episode and step where that is known.
    """
    import datasets

    import atariari_data

    frozen = load_manifest(config.removesuffix(PRETRAIN)).configs[config].splits
    builder = datasets.load_dataset_builder(atariari_data.dataset.NAME, config, cache_dir=cache_dir)
    if not Path(builder.cache_dir, "dataset_info.json").is_file():
        raise DataError(
            f"{config} is not built in {builder.cache_dir}.", cure=f"atariari-data build {config}"
        )
    digests = {}
    cure = f"atariari-data build {config} --rebuild"
    for name in frozen:
        try:
            table = builder.as_dataset(split=name).with_format("arrow")
            parts = (table[start : start + _TABLE_ROWS] for start in range(0, len(table), _TABLE_ROWS))
            digests[name] = split_digest_of(config, name, parts, cure=cure)
        except AtariariError:
            raise
        except Exception as error:  # whatever pyarrow, datasets or zlib say of bytes that make no sense
            raise DataError(
                f"{config}, {name}: the Arrow files in {builder.cache_dir} cannot be read: {error}",
                cure=cure,
            ) from error
    return digests


def split_digest_of(config: str, name: str, tables: Iterable[pa.Table], *, cure: str) -> str:
    """Recompute the digest of a split from its rows, wherever they come from.

    Args:
        config: ``pong`` or ``pong_pretrain``.
        name: Of the split.
        tables: Its rows, in order, in tables of the dataset's columns.
        cure: What to do where they are wrong.

    Returns:
        The digest; it is the manifest's.

    Raises:
        DataError: The rows are not what the manifest says; names episode and step where that is known.
    """
    frozen = load_manifest(config.removesuffix(PRETRAIN)).configs[config].splits[name]
    expected = {episode.number: episode for episode in frozen.episodes}
    found = []
    for number, group in groupby(_rows(config, name, tables, cure), key=lambda pair: pair[0]):
        rows = [(row.step, row.digest()) for _, row in group]
        digest = episode_digest(d for _, d in rows)
        if number not in expected or digest != expected[number].digest:
            step = _step(config, number, rows)
            raise DataError(
                f"{config}, {name}, episode {number}{step}: what is on disk was changed.",
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
    """Find the first step that is not as recorded, by the recording's check bytes."""
    for lane in load_recording(config).lanes:
        line = np.flatnonzero(lane.episode == episode)
        for step, digest in rows if line.size else ():
            if step >= line.size or lane.check[line[step]] != digest[0]:
                return f", step {step}"
    return ""


def _rows(config: str, name: str, tables: Iterable[pa.Table], cure: str) -> Iterator[tuple[int, Row]]:
    """Read the rows, after comparing with one another what is there twice: flags and labels."""
    fields = ("episode", "step", "action", "reward", "is_terminal", "lives", "is_first", "is_last")
    for part in tables:
        part.validate(full=True)
        ram = part["ram"].combine_chunks().flatten().to_numpy().reshape(part.num_rows, -1)
        png = part["frame"].combine_chunks().field("bytes")
        labels = part["labels"].combine_chunks()
        decoded = decode(ram, config.removesuffix(PRETRAIN))
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
