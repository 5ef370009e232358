"""From an encoder to a result: embed every frame once, fit the probes, score, bind it all together."""

from __future__ import annotations

import math
import re
import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from blake3 import blake3
from tqdm.auto import tqdm

from atariari_data.errors import MissingExtraError, UnknownNameError, UsageError
from atariari_data.games import DEFAULT_LABEL_SET, LABEL_SETS, game
from atariari_data.labels import labels as decode
from builders.manifest import DATASET_VERSION, Manifest, load_manifest, recorded_games
from harness import environment
from harness.adapters import load_encoder
from harness.cache import Cache, default_dir
from harness.encoder import LoadedEncoder
from harness.features import Pool
from harness.metrics import RESAMPLES, Bootstrap, Counts, interval, majority_class
from harness.metrics import SEED as BOOTSTRAP_SEED
from harness.probes import FIRST_STRENGTH, SELECTED_BY, STRENGTHS, LinearFit, Split, fit_linear
from harness.result import Result, Signed
from harness.splits import SplitRows, open_split

PROTOCOL = "v1"
SPLITS = ("train", "validation", "test")
TRAIN_ROWS = ("full", "1k")
_SETTINGS = {
    "first_strength_log10": math.log10(FIRST_STRENGTH),
    "intercept_penalised": False,
    "selected_by": SELECTED_BY,
    "standardised": True,
    "strengths_log10": [math.log10(strength) for strength in STRENGTHS],
}


@dataclass(frozen=True)
class Options:
    """What a run is asked for besides encoder and games; see `evaluate`."""

    label_set: str = DEFAULT_LABEL_SET
    limit: int | None = None
    cache_dir: str | None = None
    num_proc: int | None = None
    cache: Cache = field(default_factory=lambda: Cache(None))
    progress: bool = True


def evaluate(
    encoder: object,
    games: Sequence[str] | None = None,
    *,
    weights: str | Path | None = None,
    device: str | None = None,
    batch_size: int | None = None,
    pool: Pool | None = None,
    name: str | None = None,
    label_set: str = DEFAULT_LABEL_SET,
    limit: int | None = None,
    pretraining_data: str = "not declared",
    submitter: dict[str, str | None] | None = None,
    cache_dir: str | None = None,
    num_proc: int | None = None,
    use_cache: bool = True,
    progress: bool = True,
) -> Result:
    """Evaluate an encoder: how much of each game's state a linear probe can read from its features.

    Args:
        encoder: Whatever `harness.load_encoder` takes: a file, a torch module, a NumPy function, ...
        games: Of the dataset; all of them, if not given.
        weights: State dict for a torch module.
        device: Torch device for encoder and probes.
        batch_size: Most rows at once.
        pool: How feature maps or tokens become vectors: ``flatten``, ``mean`` or ``cls``.
        name: Of the encoder, in the result.
        label_set: ``v1`` or ``anand2019``.
        limit: Only this many evenly spaced rows of every split: a dry run, whose result says so.
        pretraining_data: What the encoder was trained on, in words; ``none`` for an untrained one.
        submitter: ``principal``, ``name`` and ``url`` of who vouches for the result.
        cache_dir: Where the dataset is built, as in ``load_dataset``.
        num_proc: Processes to build the dataset with.
        use_cache: Keep features and finished games, and use what an earlier run kept.
        progress: Show it on standard error.

    Returns:
        The result, not signed yet.

    Raises:
        EncoderError: The encoder cannot be loaded, fails, or gives something else than finite [n, d].
        UnknownNameError: No such game or label set.
        DataError: As `atariari_data.load_dataset`.
        MissingExtraError: The extra ``harness`` is not installed.
    """
    _need_extra()
    started, begin = datetime.now(UTC), time.monotonic()
    if label_set not in LABEL_SETS:
        raise UnknownNameError("label set", label_set, LABEL_SETS)
    chosen = _chosen(games, label_set)
    if limit is not None and limit < 2:  # noqa: PLR2004  one row is no probe
        raise UsageError("A dry run needs at least two rows of each split.", got=f"limit={limit}")
    loaded = load_encoder(
        encoder, weights=weights, device=device, name=name, batch_size=batch_size, pool=pool
    )
    cache = Cache(default_dir() if use_cache else None)
    options = Options(label_set, limit, cache_dir, num_proc, cache, progress)
    manifests = {g: load_manifest(g) for g in chosen}

    key = loaded.cache_key()
    rows = sum(_rows(s.rows, limit) for g in chosen for s in manifests[g].configs[g].splits.values())
    scored = {}
    with tqdm(total=rows, unit="frame", desc="Embedding", disable=not progress) as bar:
        for g in chosen:
            scored[g] = _game(loaded, key, manifests[g], options, bar)

    finished = datetime.now(UTC)
    signed = Signed.build(
        run_id=secrets.token_hex(16),
        submitter=None if submitter is None else {"name": None, "url": None, **submitter},
        ranked=limit is None,
        unranked_reason=None if limit is None else f"dry run: {limit} rows of each split",
        started=_utc(started),
        finished=_utc(finished),
        elapsed_seconds=round(time.monotonic() - begin, 1),
        protocol={"name": PROTOCOL, "digest": protocol_digest(label_set)},
        dataset={
            "version": DATASET_VERSION,
            "label_set": label_set,
            "suite": list(suite(label_set)),
            "fresh_seed": None,
            "splits": {
                g: {
                    s: {"rows": split.rows, "digest": f"blake3:{split.digest}"}
                    for s, split in sorted(manifests[g].configs[g].splits.items())
                }
                for g in chosen
            },
        },
        harness={
            "version": version("atariari"),
            "source": environment.source_digest(),
            "as_released": environment.as_released(),
        },
        encoder=_identity(loaded, pretraining_data),
        environment=environment.describe(loaded.device),
        isolation=None,
        seeds={"bootstrap": BOOTSTRAP_SEED},
        probes=[{"probe": "linear", "train_rows": t, "settings": _SETTINGS} for t in TRAIN_ROWS],
        games=scored,
    )
    return Result(signatures=[], signed=signed)


def protocol_digest(label_set: str) -> str:
    """Digest the rules: what two results must share to be compared."""
    rules = {
        "protocol": PROTOCOL,
        "dataset": DATASET_VERSION,
        "label_set": label_set,
        "probe": sorted(_SETTINGS.items()),
        "train_rows": TRAIN_ROWS,
        "bootstrap": (RESAMPLES, BOOTSTRAP_SEED),
        "manifests": [blake3(load_manifest(name).to_bytes()).hexdigest() for name in suite(label_set)],
    }
    return f"blake3:{blake3(repr(rules).encode()).hexdigest()}"


def _game(
    encoder: LoadedEncoder, key: str, manifest: Manifest, options: Options, bar: tqdm[Any]
) -> dict[str, Any]:
    """Embed and probe one game, or take what an earlier run kept."""
    name = manifest.game
    splits = manifest.configs[name].splits
    decisive = (
        key,
        protocol_digest(options.label_set),
        environment.source_digest(),
        name,
        options.limit,
    )
    scores_key = blake3(repr(decisive).encode()).hexdigest()
    kept = options.cache.scores(scores_key)
    if kept is not None:
        bar.update(sum(_rows(split.rows, options.limit) for split in splits.values()))
        return dict(kept)
    rows = {
        s: open_split(name, s, limit=options.limit, cache_dir=options.cache_dir, num_proc=options.num_proc)
        for s in SPLITS
    }
    bar.set_description(f"Embedding {name}")
    digest, features = blake3(), {}
    for s in SPLITS:
        features[s] = _embed(encoder, f"{key}-{splits[s].digest[:32]}-{options.limit}", rows[s], options, bar)
        digest.update(np.ascontiguousarray(features[s]).view(np.uint8).data)
    scores = _probe(manifest, rows, features, encoder.device, options)
    found = {"embeddings": f"blake3:{digest.hexdigest()}", "scores": scores}
    options.cache.keep_scores(scores_key, found)
    return found


def _embed(
    encoder: LoadedEncoder, key: str, rows: SplitRows, options: Options, bar: tqdm[Any]
) -> npt.NDArray[np.float32]:
    kept = options.cache.features(key)
    if kept is not None:
        bar.update(len(rows))
        return kept
    features: npt.NDArray[np.float32] | None = None
    start = 0
    for frames in rows.batches(encoder.spec):
        part = encoder.embed(frames)
        if features is None:
            features = np.empty((len(rows), part.shape[1]), np.float32)
        features[start : start + len(part)] = part
        start += len(part)
        bar.update(len(part))
    if features is None:
        raise UsageError("A split has no rows.")
    options.cache.keep_features(key, features)
    return features


def _probe(
    manifest: Manifest,
    rows: dict[str, SplitRows],
    features: dict[str, npt.NDArray[np.float32]],
    device: str,
    options: Options,
) -> list[dict[str, Any]]:
    names = manifest.probed(options.label_set)
    decoded = {s: decode(rows[s].ram, manifest.game, options.label_set) for s in SPLITS}
    labels = {s: np.stack([decoded[s][name] for name in names], axis=1) for s in SPLITS}
    train, validation = (Split(features[s], labels[s]) for s in ("train", "validation"))
    few = np.array(manifest.train_rows_1k)
    if options.limit is not None:
        few = np.arange(min(len(few), len(rows["train"])))
    bootstrap = Bootstrap.over(rows["test"].episode)
    found = []
    with tqdm(
        total=len(names) * len(TRAIN_ROWS),
        unit="variable",
        desc=f"Probing {manifest.game}",
        leave=False,
        disable=not options.progress,
    ) as bar:
        for train_rows in TRAIN_ROWS:
            fits = fit_linear(
                train,
                validation,
                features["test"],
                names=names,
                rows=few if train_rows == "1k" else None,
                device=device,
                progress=lambda _: bar.update(),
            )
            baseline = labels["train"][few] if train_rows == "1k" else labels["train"]
            digest = blake3()
            variables = []
            for v, fit in enumerate(fits):
                digest.update(fit.name.encode() + b"\n" + fit.predictions.tobytes())
                majority = majority_class(baseline[:, v])
                variables.append(_scores(manifest, options, fit, labels["test"][:, v], majority, bootstrap))
            found.append(
                {
                    "probe": "linear",
                    "train_rows": train_rows,
                    "predictions": f"blake3:{digest.hexdigest()}",
                    "variables": variables,
                }
            )
    return found


def _scores(
    manifest: Manifest,
    options: Options,
    fit: LinearFit,
    labels: npt.NDArray[np.uint8],
    majority: int,
    bootstrap: Bootstrap,
) -> dict[str, Any]:
    variable = next(v for v in game(manifest.game).variables(options.label_set) if v.name == fit.name)
    ours = Counts.of(labels, fit.predictions)
    simple = Counts.of(labels, np.full_like(labels, majority))
    frozen = manifest.label_sets[options.label_set][fit.name]
    notes = [
        *([] if fit.converged else ["the fit did not reach its tolerance"]),
        *(["the best strength is at the edge of the grid"] if fit.at_edge else []),
        *(["one class in training"] if fit.classes == 1 else []),
    ]
    return {
        "name": fit.name,
        "categories": list(variable.categories),
        "n": len(labels),
        "classes": fit.classes,
        "f1": float(ours.f1()[0]),
        "accuracy": float(ours.accuracy()[0]),
        "majority_f1": float(simple.f1()[0]),
        "majority_accuracy": float(simple.accuracy()[0]),
        "f1_interval": list(interval(bootstrap.draws(labels, fit.predictions).f1())),
        "ceiling_accuracy": frozen.ceiling_accuracy if options.limit is None else None,
        "mae": float(ours.absolute_error()[0]) if variable.ordered else None,
        "strength_log10": math.log10(fit.strength) if fit.strength > 0 else None,
        "gradient_log10": math.log10(fit.gradient_norm) if fit.gradient_norm > 0 else None,
        "epochs": None,
        "note": "; ".join(notes) or None,
    }


def _identity(encoder: LoadedEncoder, pretraining_data: str) -> dict[str, Any]:
    spec = encoder.spec
    return {
        "name": re.sub(r"[^A-Za-z0-9 ._+()/-]+", " ", encoder.name).strip(" ._/-")[:64] or "encoder",
        "source": f"sha256:{encoder.source_digest}",
        "weights": None if encoder.weights_digest is None else f"sha256:{encoder.weights_digest}",
        "feature_size": encoder.feature_size,
        "parameters": encoder.parameters,
        "frames": {
            "color": spec.color,
            "stack": spec.stack,
            "layout": spec.layout.lower(),
            "scale": spec.scale,
            "size": list(spec.size),
        },
        "pretraining_data": pretraining_data,
    }


def suite(label_set: str) -> tuple[str, ...]:
    """Return the games that a suite mean is over: those that have the label set."""
    return tuple(name for name in recorded_games() if label_set in game(name).label_sets)


def _chosen(games: Sequence[str] | None, label_set: str) -> list[str]:
    known = suite(label_set)
    if games is None:
        return list(known)
    if isinstance(games, str) or not games:
        raise UsageError("Games are a list of names.", expected="games=['pong', 'breakout']", got=repr(games))
    for name in games:
        if name not in known:
            raise UnknownNameError(f"game with label set {label_set}", name, known)
    return sorted(set(games))


def _rows(rows: int, limit: int | None) -> int:
    return rows if limit is None else min(rows, limit)


def _utc(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def _need_extra() -> None:
    from importlib.util import find_spec

    for package in ("torch", "sklearn"):
        if find_spec(package) is None:
            raise MissingExtraError(package, "harness")
