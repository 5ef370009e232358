"""Export splits as Minari datasets: whole episodes with actions, rewards, RAM and labels.

Each split is a dataset ``atariari/pong/train-v1`` in the folder that ``MINARI_DATASETS_PATH`` names. A
trajectory has no gaps, so the rows that a split leaves out come back, marked in ``infos["left_out"]``. Frames
are stored without loss, as compressed Parquet.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow as pa

from atariari_data.dataset import NAME
from atariari_data.errors import DataError, MissingExtraError, UsageError
from atariari_data.games import game
from builders.files import new_folder
from builders.manifest import DEEP, frozen_config, game_of_config, labels_digest, version_of
from builders.png import from_png
from builders.progress import progress_bar
from builders.recording import LEFT_OUT

if TYPE_CHECKING:
    from minari.data_collector import EpisodeBuffer

ACTIONS: Final = 18
"""ALE's actions; the action of a row is ALE's number."""


def export_trajectories(
    configs: Sequence[str],
    to: Path,
    *,
    cache_dir: str | None = None,
    num_proc: int = 1,
    progress: bool = True,
) -> list[Path]:
    """Write every split of configs as a Minari dataset; finished ones are kept.

    Args:
        configs: ``pong``, ``pong_pretrain``...; they are built first if needed.
        to: The folder to name in ``MINARI_DATASETS_PATH``.
        cache_dir: As in ``load_dataset``.
        num_proc: Number of processes to build with.
        progress: Whether to show progress.

    Returns:
        The folders of the datasets.

    Raises:
        MissingExtraError: Minari is not installed.
        UsageError: A folder of that name exists and holds something else.
        DataError: A config cannot be built or read, or a dataset cannot be written.
    """
    import datasets

    try:
        import minari
    except ImportError as error:
        raise MissingExtraError("minari", "minari") from error
    folders = []
    for config in configs:
        builder = datasets.load_dataset_builder(NAME, config, cache_dir=cache_dir)
        for split in frozen_config(config).splits:
            folder = to / dataset_id(config, split)
            folders.append(folder)
            if _finished(config, split, folder):
                continue
            builder.download_and_prepare(num_proc=num_proc)
            try:
                _write(config, split, builder, folder, version=minari.__version__, progress=progress)
            except OSError as error:
                raise DataError(
                    f"{folder} cannot be written: {error}", cure="Choose a writable place with enough space."
                ) from error
    return folders


def dataset_id(config: str, split: str) -> str:
    """Return what `minari.load_dataset` takes."""
    return f"{NAME}/{config}/{split}-v{version_of(config).partition('.')[0]}"


def _finished(config: str, split: str, folder: Path) -> bool:
    """Return whether a dataset was exported, by the digests of rows and labels in its metadata."""
    from minari.dataset.minari_storage import MinariStorage

    if not folder.exists():
        return False
    expected = _digests(config, split)
    found: object
    try:
        stored = MinariStorage.read_raw_metadata(folder / "data")
        found = {name: stored.get(name) for name in expected}
    except ValueError as error:  # nothing there, or no JSON
        found = error
    if found != expected:
        raise UsageError(
            f"{folder} already exists, and is not {config}, {split} of dataset {version_of(config)}"
            " with the labels of this version.",
            expected=expected,
            got=found,
            cure="Name another folder with --to, or remove this one yourself.",
        )
    return True


def _digests(config: str, split: str) -> dict[str, str]:
    """Return what the metadata of a finished dataset says of its rows and labels."""
    return {
        "atariari_digest": frozen_config(config).splits[split].digest,
        "atariari_labels": labels_digest(game_of_config(config)),
    }


def _write(config: str, split: str, builder: Any, folder: Path, *, version: str, progress: bool) -> None:
    import gymnasium
    from minari.dataset.minari_storage import MinariStorage

    frozen, title = frozen_config(config).splits[split], game(game_of_config(config)).title
    with new_folder(folder) as part:
        storage = MinariStorage.new(
            Path(part, "data").resolve(),  # Arrow takes a relative path to be below another
            observation_space=gymnasium.spaces.Box(0, 255, (210, 160, 3), np.uint8),
            action_space=gymnasium.spaces.Discrete(ACTIONS),
            data_format="parquet",
            jpeg_encoding=False,
        )
        storage.update_metadata(
            {
                "dataset_id": dataset_id(config, split),
                "minari_version": version,
                "description": f"Frames, RAM and labels of {title}: {config}, {split}.",
                "author": {"The atariari authors"},
                "code_permalink": "https://github.com/atariari/atariari",
                "algorithm_name": "archive search, then random play"
                if config.endswith(DEEP)
                else "random play",
                **_digests(config, split),
            }
        )
        with progress_bar(
            frozen.rows + frozen.left_out, f"Exporting {config}, {split}", "row", shown=progress
        ) as bar:
            for buffer in _episodes(config, split, builder):
                storage.update_episodes([buffer])
                bar.update(len(buffer) + 1)
        storage.update_episode_metadata([{"atariari_episode": e.number} for e in frozen.episodes])


def _episodes(config: str, split: str, builder: Any) -> Iterator[EpisodeBuffer]:
    """Yield the split's episodes in order, complete."""
    parts = {name: builder.as_dataset(split=name).with_format("arrow") for name in (split, LEFT_OUT)}
    numbers = {name: _column(rows.select_columns("episode")[:], "episode") for name, rows in parts.items()}
    for episode in frozen_config(config).splits[split].episodes:
        found = []
        for name, rows in parts.items():
            here = np.flatnonzero(numbers[name] == episode.number)
            found.append(rows[here].append_column(LEFT_OUT, pa.array(np.full(len(here), name == LEFT_OUT))))
        table = pa.concat_tables(found).sort_by("step")
        steps = _column(table, "step")
        if not np.array_equal(steps, np.arange(len(steps))):
            raise DataError(
                f"{config}, {split}, episode {episode.number}: steps are missing.",
                cure=f"atariari-data build {config} --rebuild",
            )
        yield _buffer(table)


def _buffer(table: pa.Table) -> EpisodeBuffer:
    """Return an episode of n rows, which are n observations and n - 1 actions."""
    from minari.data_collector import EpisodeBuffer

    frames = [from_png(png.as_py()).rgb() for png in table["frame"].combine_chunks().field("bytes")]
    labels = table["labels"].combine_chunks()
    last, terminal = _column(table, "is_last"), _column(table, "is_terminal")
    infos: dict[str, Any] = {
        "ram": table["ram"].combine_chunks().flatten().to_numpy().reshape(len(table), -1),
        "lives": list(_column(table, "lives")),
        LEFT_OUT: list(_column(table, LEFT_OUT)),
    }
    # Lists of numbers, since Minari reads arrays with one axis back with two; flat, since it reads dicts back
    # as an array of dicts.
    infos |= {f"labels/{field.name}": list(labels.field(field.name).to_numpy()) for field in labels.type}
    return EpisodeBuffer(
        observations=frames,
        actions=table["action"][:-1].to_numpy().astype(np.int64),
        rewards=table["reward"][:-1].to_numpy(),
        terminations=terminal[1:],
        truncations=(last & ~terminal)[1:],
        infos=infos,
    )


def _column(table: pa.Table, name: str) -> Any:
    return table[name].to_numpy()
