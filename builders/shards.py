"""The Parquet files of a split in an exported copy: ``DIR/pong/train-00000-of-00008.parquet`` and so on."""

from __future__ import annotations

from pathlib import Path


def shard(config: str, split: str, number: int, count: int, folder: Path) -> Path:
    """Return one file of a split, counted from 0."""
    return folder / config / f"{split}-{number:05}-of-{count:05}.parquet"


def shards(config: str, split: str, folder: Path) -> list[Path]:
    """Return the files of a split that exist, in the order of their rows."""
    return sorted((folder / config).glob(f"{split}-*-of-*.parquet"))


def is_complete(config: str, split: str, folder: Path) -> bool:
    """Return whether all files of a split exist, and no others of that name."""
    files = shards(config, split, folder)
    return bool(files) and files == [
        shard(config, split, number, len(files), folder) for number in range(len(files))
    ]
