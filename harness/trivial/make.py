"""Scores of the trivial encoders: one pass over the frames of a game, then the probes."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from blake3 import blake3
from tqdm.auto import tqdm

from atariari_data.errors import UsageError
from atariari_data.games import game
from atariari_data.labels import labels as decode
from builders.console import say
from builders.files import new_file
from builders.manifest import Manifest, load_manifest
from harness.cache import Cache, default_dir
from harness.frame_spec import FrameSpec
from harness.metrics import weighted_f1
from harness.predictions import Truth
from harness.protocol import ProbeRun, check_sizes, choose_games, choose_runs
from harness.scoring import Features, Material, fit_probes
from harness.splits import SplitRows, open_split
from harness.trivial import store
from harness.trivial.encoders import DEFINITION, ENCODERS, pixels_pca, random_projection

SPLITS = ("train", "validation", "test")

Labels = npt.NDArray[np.uint8]


def make(
    games: Sequence[str] | None,
    folder: Path,
    *,
    probes: Sequence[str] | None = None,
    train_sizes: Sequence[str | int] | None = None,
    device: str = "cpu",
    cache_dir: str | None = None,
    num_proc: int | None = None,
    use_cache: bool = True,
    progress: bool = True,
) -> list[Path]:
    """Score PCA and random projection of the pixels on games, for all label sets of each.

    Args:
        games: Of the dataset; all of them, if not given.
        folder: Where ``GAME.json`` is written. A game whose file is there, whole and under the rules of
            today, is not made again.
        probes: As for `harness.evaluate`.
        train_sizes: As for `harness.evaluate`.
        device: Torch device of the probes.
        cache_dir: Where the dataset is built, as in ``load_dataset``.
        num_proc: Processes to build it with.
        use_cache: Keep features, and use what an earlier run kept.
        progress: Show it on standard error.

    Returns:
        The files, by game.

    Raises:
        UnknownNameError: No such game or probe.
        UsageError: A training size that is none; or a file that is there has other scores.
        DataError: As `atariari_data.load_dataset`.
    """
    chosen, runs = choose_games(games, "v1"), choose_runs(probes, train_sizes)
    manifests = {name: load_manifest(name) for name in chosen}
    check_sizes(runs, list(manifests.values()))
    files = {name: folder / f"{name}.json" for name in chosen}
    missing = []
    for name, file in files.items():
        if not file.exists():
            missing.append(name)
        elif not store.is_complete(file, manifests[name], _label_sets(name), runs):
            raise UsageError(
                f"{file} is there, and holds other scores than these.",
                cure="Name another folder, or remove it.",
            )
    cache = Cache(default_dir() if use_cache else None)
    for name in missing:
        start = time.monotonic()
        rows = {s: open_split(name, s, cache_dir=cache_dir, num_proc=num_proc) for s in SPLITS}
        scores = _scores(manifests[name], rows, runs, device, cache, progress=progress)
        made = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        with new_file(files[name]) as part:
            part.write_text(
                store.content(manifests[name], made, version("atariari"), scores), encoding="ascii"
            )
        if progress:
            say(f"{name}: {time.monotonic() - start:.0f} s, {files[name]}")
    return list(files.values())


def _features(
    manifest: Manifest, rows: Mapping[str, SplitRows], cache: Cache, bar: tqdm[Any]
) -> dict[str, dict[str, Features]]:
    """Return the features of both encoders, which are kept, since probes may change where pixels do not."""
    rules = blake3(repr(sorted(DEFINITION.items())).encode()).hexdigest()[:16]
    digests = {s: split.digest[:32] for s, split in manifest.configs[manifest.game].splits.items()}
    places = {(e, s): f"{e}-{rules}-{digests[s]}" for e in ENCODERS for s in SPLITS}
    kept = {place: cache.features(key) for place, key in places.items()}
    found: dict[str, dict[str, Features]] = {encoder: {} for encoder in ENCODERS}
    for (encoder, split), features in kept.items():
        if features is None:
            found = embed(rows, bar)
            for at, key in places.items():
                cache.keep_features(key, found[at[0]][at[1]])
            return found
        found[encoder][split] = features
    return found


def embed(rows: Mapping[str, SplitRows], bar: tqdm[Any]) -> dict[str, dict[str, Features]]:
    """Decode every frame of a game once; return the features of both encoders, by encoder and split."""
    train = np.empty((len(rows["train"]), 210 * 160), np.uint8)
    start = 0
    for block in _decoded(rows["train"], bar):
        train[start : start + len(block)] = block
        start += len(block)
    bar.set_postfix_str("fitting the PCA")
    encoders = {made.name: made for made in (pixels_pca(train), random_projection())}
    features = {name: {"train": made.project(train)} for name, made in encoders.items()}
    del train
    for split in SPLITS[1:]:
        parts: dict[str, list[Features]] = {name: [] for name in encoders}
        for block in _decoded(rows[split], bar):
            for name, made in encoders.items():
                parts[name].append(made.project(block))
        for name in encoders:
            features[name][split] = np.concatenate(parts[name])
    return features


def _scores(
    manifest: Manifest,
    rows: Mapping[str, SplitRows],
    runs: Sequence[ProbeRun],
    device: str,
    cache: Cache,
    *,
    progress: bool,
) -> list[dict[str, Any]]:
    with tqdm(
        total=sum(map(len, rows.values())),
        unit="frame",
        desc=manifest.game,
        disable=not progress,
        leave=False,
    ) as bar:
        features = _features(manifest, rows, cache, bar)
    label_sets = _label_sets(manifest.game)
    columns, place = _columns(manifest, rows, label_sets)
    names = tuple(f"column_{i}" for i in range(columns["train"].shape[1]))
    truth = {s: Truth(names, columns[s], rows[s].episode, rows[s].step) for s in SPLITS}
    found: list[dict[str, Any]] = [
        {"label_set": label_set, **run._asdict(), "f1": {}} for label_set in label_sets for run in runs
    ]
    total = len(runs) * len(names) * len(ENCODERS)
    with tqdm(
        total=total, unit="variable", desc=f"Probing {manifest.game}", disable=not progress, leave=False
    ) as bar:
        for encoder in ENCODERS:
            material = Material(manifest, "", truth, features.pop(encoder), device, dry=False)
            for run in runs:
                fits = fit_probes(material, run, lambda _: bar.update())
                f1 = [
                    weighted_f1(columns["test"][:, v].copy(), fit.predictions) for v, fit in enumerate(fits)
                ]
                for item in found:
                    if (item["probe"], item["train_rows"]) == run:
                        at = place[item["label_set"]]
                        item["f1"][encoder] = {name: round(f1[v], 4) for name, v in at.items()}
    return found


def _columns(
    manifest: Manifest, rows: Mapping[str, SplitRows], label_sets: Iterable[str]
) -> tuple[dict[str, Labels], dict[str, dict[str, int]]]:
    """Return the labels of all label sets, uint8 [n, v] by split, and the column of each variable.

    Variables of two label sets that are the same in every row share a column, and so a probe.
    """
    known: dict[bytes, int] = {}
    kept: list[dict[str, Labels]] = []
    place: dict[str, dict[str, int]] = {}
    for label_set in label_sets:
        decoded = {s: decode(rows[s].ram, manifest.game, label_set) for s in SPLITS}
        place[label_set] = {}
        for name in manifest.probed(label_set):
            parts = {s: decoded[s][name] for s in SPLITS}
            at = known.setdefault(b"".join(parts[s].tobytes() for s in SPLITS), len(kept))
            if at == len(kept):
                kept.append(parts)
            place[label_set][name] = at
    return {s: np.stack([parts[s] for parts in kept], axis=1) for s in SPLITS}, place


def _decoded(rows: SplitRows, bar: tqdm[Any]) -> Iterable[Labels]:
    for batch in rows.batches(FrameSpec()):
        yield batch.reshape(len(batch), -1)
        bar.update(len(batch))


def _label_sets(name: str) -> list[str]:
    return list(game(name).label_sets)
