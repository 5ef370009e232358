"""Freeze: write the recordings and the manifest of a game; how the files in the package were made."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from atariari_data.errors import DriftError, UsageError
from builders.content import Content, config_of, few_rows, statistics_of
from builders.coverage import coverage, relabelled
from builders.deep import ROWS, record_deep
from builders.digest import frame_digest
from builders.explore import searched
from builders.files import new_file
from builders.manifest import (
    DATASET_VERSION,
    DEEP,
    FORMAT,
    PRETRAIN,
    Config,
    Manifest,
    Statistics,
    data_dir,
    frozen_config,
    game_of_config,
    load_manifest,
    load_recording,
)
from builders.progress import progress_bar
from builders.record import PRETRAIN as PRETRAIN_PROTOCOL
from builders.record import PROBE, Protocol, record
from builders.recording import PROBE_SPLITS
from builders.replay import replay
from builders.search import GIGABYTES

LEARN_SEED, TEST_SEED = 2042, 3042
"""Seeds of the searches that the splits for learning and for testing come from."""


def record_game(
    game: str,
    to: Path,
    *,
    num_proc: int,
    protocols: tuple[Protocol, Protocol] = (PROBE, PRETRAIN_PROTOCOL),
    progress: bool = True,
) -> list[Path]:
    """Play a game for both configs and write ``recordings/`` and ``manifests/`` below a folder.

    Raises:
        UsageError: One of the files already exists; nothing is written then.
        DataError: The folder cannot be written.
    """
    names = (game, game + PRETRAIN)
    files = [to / "recordings" / f"{name}.parquet" for name in names] + [to / "manifests" / f"{game}.json"]
    _refuse_to_overwrite(files)
    contents, configs = [], {}
    label_sets: dict[str, dict[str, Statistics]] = {}
    played_by = ""
    for name, protocol in zip(names, protocols, strict=True):
        with progress_bar(protocol.rows, f"Recording {name}", "row", shown=progress) as bar:
            recording, content = record(game, name, protocol, num_proc=num_proc, progress=bar.update)
        contents.append(recording.to_bytes())
        configs[name] = config_of(recording, content)
        played_by = recording.header.ale_py
        if protocol.splits == PROBE_SPLITS:
            label_sets = statistics_of(game, content, PROBE_SPLITS.index("test"))
    manifest = _manifest(game, [played_by], configs, label_sets)
    for file, content_bytes in zip(files, [*contents, manifest.to_bytes()], strict=True):
        with new_file(file) as part:
            part.write_bytes(content_bytes)
    return files


def record_deep_game(
    game: str,
    to: Path,
    *,
    steps: int,
    num_proc: int,
    rows: Mapping[str, int] = ROWS,
    gigabytes: float = GIGABYTES,
    progress: bool = True,
) -> list[Path]:
    """Search a game twice, freeze what was reached, and write it below a folder.

    The searches are kept in ``explored/``, so that an interrupted run goes on where it was.

    Args:
        game: The game's name.
        to: Gets ``recordings/GAME_deep.parquet``, ``manifests/GAME_deep.json`` and ``coverage/GAME.json``.
        steps: Agent steps of each search.
        num_proc: Number of processes; it does not affect the result.
        rows: Rows by split, about.
        gigabytes: Memory for the emulator states of a search.
        progress: Whether to show progress.

    Raises:
        UsageError: One of the files already exists, or the searches did not reach enough.
        DataError: The folder cannot be written.
    """
    config = game + DEEP
    files = [to / "recordings" / f"{config}.parquet", to / "manifests" / f"{config}.json"]
    files.append(to / "coverage" / f"{game}.json")
    _refuse_to_overwrite(files)
    archives = []
    for seed in (LEARN_SEED, TEST_SEED):
        name = f"Searching {game}, seed {seed}"
        with progress_bar(steps, name, "step", shown=progress) as bar:
            archives.append(
                searched(
                    game,
                    to / "explored" / f"{game}-{seed}.parquet",
                    steps=steps,
                    seed=seed,
                    gigabytes=gigabytes,
                    progress=lambda reached, bar=bar: bar.update(reached.steps - bar.n),  # type: ignore[misc]
                )
            )
    random = [replayed_content(name, num_proc=num_proc) for name in (game, game + PRETRAIN)]
    seen = {frame for content in random for frame in content.frame}
    with progress_bar(sum(rows.values()), f"Recording {config}", "row", shown=progress) as bar:
        learn, test = archives
        recording, content, refused = record_deep(config, learn, test, seen, rows=rows, progress=bar.update)
    statistics = statistics_of(game, content, PROBE_SPLITS.index("test"))
    manifest = _manifest(game, [recording.header.ale_py], {config: config_of(recording, content)}, statistics)
    found = coverage(game, archives, random[0], content, seen, refused)
    written = (recording.to_bytes(), manifest.to_bytes(), found)
    for file, content_bytes in zip(files, written, strict=True):
        with new_file(file) as part:
            part.write_bytes(content_bytes)
    return files


def relabel(config: str, to: Path, *, num_proc: int) -> list[Path]:
    """Compute anew what follows from a game's labels, and write it below a folder.

    If a statistic changes, the manifest gets the present version of the dataset. If it does not name the
    installed ale-py yet, all its configs are replayed and compared with their digests, and the version joins
    the others.

    Args:
        config: ``GAME``, whose manifest has ``GAME_pretrain``, too, or ``GAME_deep``.
        to: Gets ``manifests/CONFIG.json``, and with ``GAME_deep`` also ``coverage/GAME.json``.
        num_proc: Number of processes; it does not affect the result.

    Returns:
        The files.

    Raises:
        UsageError: One of the files already exists.
        DriftError: The emulator does not give what was recorded.
    """
    game, manifest, emulator = game_of_config(config), load_manifest(config), version("ale-py")
    files = [to / "manifests" / f"{config}.json"]
    before = data_dir() / "coverage" / f"{game}.json"
    if config.endswith(DEEP) and before.is_file():
        files.append(to / "coverage" / before.name)
    _refuse_to_overwrite(files)
    content = replayed_content(config, num_proc=num_proc)
    _compare(config, content)
    if emulator not in manifest.ale_py:
        for other in manifest.configs:
            if other != config:
                _compare(other, replayed_content(other, num_proc=num_proc))
    label_sets = statistics_of(game, content, PROBE_SPLITS.index("test"))
    is_same = label_sets == manifest.label_sets
    manifest = replace(
        manifest,
        dataset_version=manifest.dataset_version if is_same else DATASET_VERSION,
        ale_py=list(dict.fromkeys([*manifest.ale_py, emulator])),
        label_sets=label_sets,
    )
    written = [manifest.to_bytes()]
    if len(files) > 1:
        random = replayed_content(game, num_proc=num_proc)
        written.append(relabelled(before.read_bytes(), random, content))
    for file, content_bytes in zip(files, written, strict=True):
        with new_file(file) as part:
            part.write_bytes(content_bytes)
    return files


def _compare(config: str, content: Content) -> None:
    """Compare the digests of what a replay gave with those of the manifest."""
    frozen = frozen_config(config)
    found = config_of(load_recording(config), content)
    if (found.splits, found.left_out) != (frozen.splits, frozen.left_out):
        raise DriftError(
            f"ale-py {version('ale-py')} does not give the rows of {config} that were recorded.",
            expected=", ".join(split.digest for split in frozen.splits.values()),
            got=", ".join(split.digest for split in found.splits.values()),
            cure=f"Install one of the versions that did: {', '.join(load_manifest(config).ale_py)}.",
        )


def replayed_content(config: str, *, num_proc: int) -> Content:
    """Replay a config, left-out rows included, and keep what its rows show."""
    from joblib import Parallel, delayed

    recording = load_recording(config)
    jobs = (delayed(_shown)(config, lane) for lane in range(len(recording.lanes)))
    lanes: Sequence[_Shown] = Parallel(num_proc)(jobs)
    ram = b"".join(row for lane in lanes for row in lane[0])

    def column(name: str) -> list[Any]:
        return [getattr(lane, name)[lane.episode >= 0] for lane in recording.lanes]

    return Content(
        episode=np.concatenate(column("episode")),
        split=np.concatenate(column("split")),
        kept=np.concatenate(column("kept")),
        ram=np.frombuffer(ram, np.uint8).reshape(-1, 128),
        frame=[digest for lane in lanes for digest in lane[1]],
        digest=[digest for lane in lanes for digest in lane[2]],
        score=np.array([score for lane in lanes for score in lane[3]], np.float32),
    )


_Shown = tuple[list[bytes], list[bytes], list[bytes], list[float]]


def _shown(config: str, lane: int) -> _Shown:
    ram: list[bytes] = []
    frame: list[bytes] = []
    digest: list[bytes] = []
    score: list[float] = []
    for r in replay(load_recording(config), lane, left_out=True):
        ram.append(r.row.ram)
        frame.append(frame_digest(r.row.frame))
        digest.append(r.digest)
        score.append(r.score)
    return ram, frame, digest, score


def _manifest(
    game: str,
    ale_py: Sequence[str],
    configs: dict[str, Config],
    label_sets: dict[str, dict[str, Statistics]],
) -> Manifest:
    return Manifest(
        format=FORMAT,
        dataset_version=DATASET_VERSION,
        game=game,
        ale_py=ale_py,
        configs=configs,
        label_sets=label_sets,
        train_rows_1k=few_rows(next(iter(configs.values())).splits["train"].rows),
    )


def _refuse_to_overwrite(files: Sequence[Path]) -> None:
    if there := [str(file) for file in files if file.exists()]:
        raise UsageError(
            f"{', '.join(there)} already exists.",
            cure="Recordings are never edited: name another folder with --to, or remove the file yourself.",
        )
