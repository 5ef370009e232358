"""Export a built dataset as Parquet with a dataset card, readable by stock `datasets`.

    DIR/README.md             the card; says which files are which config and split
    DIR/croissant.json        the same for programs
    DIR/images/pong.png       example frames
    DIR/images/pong_labels.png  frames with their labels drawn in, where Matplotlib is installed
    DIR/pong/train-00000-of-00008.parquet   several files for each split, which streaming workers share

The files of a split get their names once all were read back and verified. Their metadata contains the
manifest's digest, and that of how labels are decoded.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.dataset
import pyarrow.parquet as pq

from atariari_data.dataset import NAME
from atariari_data.errors import DataError, MissingExtraError, UsageError
from builders.card import write_card
from builders.croissant import write_croissant
from builders.files import new_file
from builders.manifest import PRETRAIN, frozen_config, game_of_config, labels_digest, version_of
from builders.png import from_png
from builders.progress import progress_bar
from builders.shards import is_complete, shard, shards
from builders.verify import split_digest_of

SHARDS = 8
"""Files of a split by default: as many streaming workers can share it."""

_GROUP_ROWS = 1000
_EXAMPLES = 4
_GAP = 4
_METADATA = b"atariari"


def export(
    configs: Sequence[str],
    to: Path,
    *,
    files_per_split: int = SHARDS,
    cache_dir: str | None = None,
    num_proc: int = 1,
    progress: bool = True,
) -> list[Path]:
    """Write configs, a card and Croissant metadata to a folder; finished splits are kept.

    Args:
        configs: ``pong``, ``pong_pretrain``...; they are built first if needed.
        to: The folder; configs that were exported to it before are kept and stay on the card.
        files_per_split: Number of files of each split; a split that was begun keeps its number.
        cache_dir: As in ``load_dataset``.
        num_proc: Number of processes to build with.
        progress: Whether to show progress.

    Returns:
        The Parquet files of the configs.

    Raises:
        UnknownNameError: No such config.
        UsageError: A different file with the same name exists.
        DataError: A config cannot be built, read or written.
    """
    import datasets

    files = []
    for config in configs:
        builder = datasets.load_dataset_builder(NAME, config, cache_dir=cache_dir)
        frozen = frozen_config(config).splits
        todo = [name for name in frozen if not finished(config, name, to)]
        if todo:
            builder.download_and_prepare(num_proc=num_proc)
        for name in todo:
            _write_split(config, name, builder.as_dataset(split=name), to, files_per_split, progress=progress)
        files += [file for name in frozen for file in shards(config, name, to)]
        _write_examples(config, to)
        _write_labels(game_of_config(config), to)
    write_card(to)
    write_croissant(to)
    return files


def tables(files: Sequence[Path]) -> Iterator[pa.Table]:
    """Read the rows of an exported split in batches."""
    for file in files:
        with pq.ParquetFile(file) as source:
            for batch in source.iter_batches(_GROUP_ROWS):
                yield pa.Table.from_batches([batch])


def finished(config: str, split: str, folder: Path) -> bool:
    """Return whether all files of a split were exported, by the digests of rows and labels in their metadata.

    Raises:
        UsageError: A different file with such a name exists.
    """
    files = shards(config, split, folder)
    for file in files:
        try:
            stored = (pq.read_schema(file).metadata or {}).get(_METADATA, b"{}")
        except (pa.ArrowException, OSError) as error:
            stored = str(error).encode()
        if stored != _mark(config, split):
            raise UsageError(
                f"{file} already exists, and is not {config}, {split} of dataset {version_of(config)}"
                " with the labels of this version.",
                expected=_mark(config, split).decode(),
                got=stored.decode(errors="replace"),
                cure="Name another folder with --to, or remove the file yourself.",
            )
    if len({_count(file) for file in files}) > 1:
        raise UsageError(
            f"{folder / config} has files of two exports of {split}.",
            got=", ".join(file.name for file in files),
            cure="Remove the files of one of them.",
        )
    return is_complete(config, split, folder)


def _count(file: Path) -> int:
    """Return the number of files of a split, from the name of one of them."""
    return int(file.stem.rpartition("-")[2])


def _mark(config: str, split: str) -> bytes:
    frozen = frozen_config(config).splits[split]
    mark = {
        "dataset_version": version_of(config),
        "config": config,
        "split": split,
        "digest": frozen.digest,
        "labels": labels_digest(game_of_config(config)),
    }
    return json.dumps(mark).encode()


def _write_split(config: str, split: str, data: Any, to: Path, count: int, *, progress: bool) -> None:
    schema = data.features.arrow_schema
    schema = schema.with_metadata({**schema.metadata, _METADATA: _mark(config, split)})
    rows = data.with_format("arrow")
    count = next(map(_count, shards(config, split, to)), min(count, len(rows)))
    files = [shard(config, split, number, count, to) for number in range(count)]
    ends = [len(rows) * (number + 1) // count for number in range(count)]
    with contextlib.ExitStack() as stack:
        parts = [stack.enter_context(new_file(file, replace=file.exists())) for file in files]
        bar = stack.enter_context(
            progress_bar(len(rows), f"Exporting {config}, {split}", "row", shown=progress)
        )
        for part, first, end in zip(parts, [0, *ends], ends, strict=False):
            with pq.ParquetWriter(part, schema, compression="zstd", write_page_index=True) as writer:
                for start in range(first, end, _GROUP_ROWS):
                    table = rows[start : min(start + _GROUP_ROWS, end)]
                    writer.write_table(pa.Table.from_arrays(table.columns, schema=schema))
                    bar.update(len(table))
        split_digest_of(config, split, tables(parts), cure="Run the export again.")


def verify_copy(config: str, folder: Path) -> dict[str, str]:
    """Recompute the digest of every split of a config in an exported copy.

    Returns:
        The digests by split, which equal the manifest's.

    Raises:
        UnknownNameError: No such game.
        DataError: A file is missing, cannot be read or differs from the manifest.
    """
    digests = {}
    for split in frozen_config(config).splits:
        files = shards(config, split, folder)
        cure = f"Remove {folder / config / split}-*.parquet and run atariari-data export again."
        if not is_complete(config, split, folder):
            raise DataError(
                f"{config}, {split} is not complete in {folder}.",
                got=", ".join(file.name for file in files) or "no file",
                cure=f"atariari-data export {config} --to {folder}",
            )
        try:
            digests[split] = split_digest_of(config, split, tables(files), cure=cure)
        except DataError:
            raise
        except Exception as error:  # as in `builders.verify`
            raise DataError(f"{config}, {split} in {folder} cannot be read: {error}", cure=cure) from error
    return digests


def _write_examples(config: str, to: Path) -> None:
    """Draw four frames of the game side by side."""
    from PIL import Image

    file = to / "images" / f"{game_of_config(config)}.png"
    if file.exists():
        return
    split = "validation" if config.endswith(PRETRAIN) else "test"
    rows = pa.dataset.dataset(shards(config, split, to))
    numbers = np.linspace(0, rows.count_rows() - 1, _EXAMPLES).astype(int)
    png = rows.take(numbers, columns=["frame"])["frame"].combine_chunks().field("bytes")
    frames = [from_png(content.as_py()).rgb() for content in png]
    gap = np.full((len(frames[0]), _GAP, 3), 255, np.uint8)
    side_by_side = np.hstack([part for frame in frames for part in (frame, gap)][:-1])
    with new_file(file) as part:
        Image.fromarray(side_by_side).save(part, format="png", optimize=True)


def _write_labels(name: str, to: Path) -> None:
    """Draw the game with its labels, as `atariari-data show` does, if Matplotlib is installed.

    A picture that it drew of other labels is drawn again.
    """
    from builders.show import labels_of, show

    file = to / "images" / f"{name}_labels.png"
    if file.exists() and labels_of(file) in (None, labels_digest(name)):
        return
    with contextlib.suppress(MissingExtraError):
        show(name, file, replace=True)
