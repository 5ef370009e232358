"""Export a built dataset as Parquet with a dataset card, readable by stock `datasets`.

    DIR/README.md             the card; says which file is which config and split
    DIR/images/pong.png       example frames
    DIR/images/pong_labels.png  frames with their labels drawn in, where Matplotlib is installed
    DIR/pong/train.parquet    a file for each split

A Parquet file gets its name once its content was read back and verified, so an existing file is complete.
Its metadata contains the manifest's digest.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from atariari_data.dataset import NAME
from atariari_data.errors import DataError, MissingExtraError, UsageError
from builders.card import write_card
from builders.files import new_file
from builders.manifest import PRETRAIN, frozen_config, game_of_config, version_of
from builders.png import from_png
from builders.progress import progress_bar
from builders.verify import split_digest_of

_GROUP_ROWS = 1000
_EXAMPLES = 4
_GAP = 4
_METADATA = b"atariari"


def export(
    configs: Sequence[str],
    to: Path,
    *,
    cache_dir: str | None = None,
    num_proc: int = 1,
    progress: bool = True,
) -> list[Path]:
    """Write configs and a card to a folder; finished files are kept.

    Args:
        configs: ``pong``, ``pong_pretrain``...; they are built first if needed.
        to: The folder; configs that were exported to it before are kept and stay on the card.
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
            _write_split(config, name, builder.as_dataset(split=name), to, progress=progress)
        files += [parquet_file(config, name, to) for name in frozen]
        _write_examples(config, to)
        _write_labels(game_of_config(config), to)
    write_card(to)
    return files


def parquet_file(config: str, split: str, folder: Path) -> Path:
    """Return the file of a split in an exported copy."""
    return folder / config / f"{split}.parquet"


def tables(file: Path) -> Iterator[pa.Table]:
    """Read the rows of an exported split in batches."""
    with pq.ParquetFile(file) as source:
        for batch in source.iter_batches(_GROUP_ROWS):
            yield pa.Table.from_batches([batch])


def finished(config: str, split: str, folder: Path) -> bool:
    """Return whether a split was exported, by the digest in its file's metadata.

    Raises:
        UsageError: A different file with the same name exists.
    """
    file = parquet_file(config, split, folder)
    if not file.exists():
        return False
    try:
        stored = (pq.read_schema(file).metadata or {}).get(_METADATA, b"{}")
    except (pa.ArrowException, OSError) as error:
        stored = str(error).encode()
    if stored != _mark(config, split):
        raise UsageError(
            f"{file} already exists, and is not {config}, {split} of dataset {version_of(config)}.",
            expected=_mark(config, split).decode(),
            got=stored.decode(errors="replace"),
            cure="Name another folder with --to, or remove the file yourself.",
        )
    return True


def _mark(config: str, split: str) -> bytes:
    frozen = frozen_config(config).splits[split]
    mark = {
        "dataset_version": version_of(config),
        "config": config,
        "split": split,
        "digest": frozen.digest,
    }
    return json.dumps(mark).encode()


def _write_split(config: str, split: str, data: Any, to: Path, *, progress: bool) -> None:
    schema = data.features.arrow_schema
    schema = schema.with_metadata({**schema.metadata, _METADATA: _mark(config, split)})
    rows = data.with_format("arrow")
    with new_file(parquet_file(config, split, to)) as part:
        with (
            pq.ParquetWriter(part, schema, compression="zstd", write_page_index=True) as writer,
            progress_bar(len(rows), f"Exporting {config}, {split}", "row", shown=progress) as bar,
        ):
            for start in range(0, len(rows), _GROUP_ROWS):
                table = rows[start : start + _GROUP_ROWS]
                writer.write_table(pa.Table.from_arrays(table.columns, schema=schema))
                bar.update(len(table))
        split_digest_of(config, split, tables(part), cure="Run the export again.")


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
        file = parquet_file(config, split, folder)
        cure = f"Remove {file} and run atariari-data export again."
        if not file.is_file():
            raise DataError(f"{file} does not exist.", cure=f"atariari-data export {config} --to {folder}")
        try:
            digests[split] = split_digest_of(config, split, tables(file), cure=cure)
        except (pa.ArrowException, OSError, KeyError) as error:
            raise DataError(f"{file} cannot be read: {error}", cure=cure) from error
    return digests


def _write_examples(config: str, to: Path) -> None:
    """Draw four frames of the game side by side."""
    from PIL import Image

    file = to / "images" / f"{game_of_config(config)}.png"
    if file.exists():
        return
    split = "validation" if config.endswith(PRETRAIN) else "test"
    with pq.ParquetFile(parquet_file(config, split, to)) as source:
        png = source.read(columns=["frame"])["frame"].combine_chunks().field("bytes")
    frames = [from_png(png[int(i)].as_py()).rgb() for i in np.linspace(0, len(png) - 1, _EXAMPLES)]
    gap = np.full((len(frames[0]), _GAP, 3), 255, np.uint8)
    side_by_side = np.hstack([part for frame in frames for part in (frame, gap)][:-1])
    with new_file(file) as part:
        Image.fromarray(side_by_side).save(part, format="png", optimize=True)


def _write_labels(name: str, to: Path) -> None:
    """Draw the game with its labels, as `atariari-data show` does, if Matplotlib is installed."""
    from builders.show import show

    file = to / "images" / f"{name}_labels.png"
    if not file.exists():
        with contextlib.suppress(MissingExtraError):
            show(name, file)
