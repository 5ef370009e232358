"""From an encoder to a result: embed every frame once, fit the probes, score, bind it all together."""

from __future__ import annotations

import secrets
import time
from collections.abc import Mapping, Sequence
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
from atariari_data.games import DEFAULT_LABEL_SET, LABEL_SETS
from builders.manifest import DATASET_VERSION, Manifest, load_manifest
from harness import environment
from harness.adapters import by_game, trained_on
from harness.cache import Cache, default_dir
from harness.embedding import embed
from harness.encoder import FrameSpec, LoadedEncoder
from harness.features import Pool
from harness.fresh import record_test
from harness.identity import Opened, identity, sees_ram, weakest
from harness.isolation import TIMEOUT, Limits, open_encoder
from harness.predictions import Predictions
from harness.protocol import (
    PROTOCOL,
    RANKED,
    SETTINGS,
    ProbeRun,
    TrainRows,
    check_sizes,
    choose_games,
    choose_runs,
    protocol_digest,
    seeds,
    suite,
    unranked_reason,
)
from harness.provenance import IS_BOUND
from harness.result import Result, Signed
from harness.scoring import Material, score, truth_of
from harness.splits import SplitRows, open_split
from harness.trivial.store import with_trivial

SPLITS = ("train", "validation", "test")


@dataclass(frozen=True)
class Options:
    """What a run is asked for besides encoder and games; see `evaluate`."""

    runs: tuple[ProbeRun, ...] = RANKED
    label_set: str = DEFAULT_LABEL_SET
    limit: int | None = None
    fresh_seed: int | None = None
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
    spec: FrameSpec | str | None = None,
    autocast: bool = False,
    name: str | None = None,
    probes: Sequence[str] | None = None,
    train_sizes: Sequence[TrainRows] | None = None,
    label_set: str = DEFAULT_LABEL_SET,
    limit: int | None = None,
    fresh_seed: int | None = None,
    pretraining_data: str | None = None,
    submitter: dict[str, str | None] | None = None,
    cache_dir: str | None = None,
    num_proc: int | None = None,
    use_cache: bool = True,
    isolate: bool = True,
    timeout: float = TIMEOUT,
    memory_limit: float | None = None,
    progress: bool = True,
) -> Result:
    """Evaluate an encoder: how much of each game's state a linear probe can read from its features.

    Args:
        encoder: Whatever `harness.load_encoder` takes: a file, a torch module, a NumPy function, ...; or a
            folder of runs of one method, GAME/ by GAME/, with an encoder for each game.
        games: Of the dataset; all of them (or all of the folder's), if not given.
        weights: State dict for a torch module.
        device: Torch device for encoder and probes.
        batch_size: Most rows at once.
        pool: How feature maps or tokens become vectors: ``flatten``, ``mean`` or ``cls``.
        spec: What the encoder sees, in place of its own; a `FrameSpec` or a text as
            ``color=rgb,stack=4,size=84x84``.
        autocast: Run a torch module in half precision (float16 on CUDA, bfloat16 elsewhere).
        name: Of the encoder, in the result.
        probes: ``linear`` (the default) and ``anand2019``.
        train_sizes: Training rows to fit each probe to: ``full`` or ``all``, ``1k`` or 1000 (the same
            frozen rows), and any other numbers, each a superset of the smaller ones. Not given, ``full``
            and ``1k`` for ``linear``, ``full`` for ``anand2019``.
        label_set: ``v1`` or ``anand2019``.
        limit: Only this many evenly spaced rows of every split: a dry run, whose result says so.
        fresh_seed: Record the test split on the spot from this seed (`harness.fresh`); not for ranking.
        pretraining_data: What the encoder was trained on, in words; ``none`` for an untrained one. Not given,
            it is what a run or a named encoder says of itself, and ``not declared`` for others.
        submitter: ``principal``, ``name`` and ``url`` of who vouches for the result.
        cache_dir: Where the dataset is built, as in ``load_dataset``.
        num_proc: Processes to build the dataset with.
        use_cache: Keep features and finished games, and use what an earlier run kept.
        isolate: Run an encoder that comes from a file in a process of its own (`harness.isolation`); a
            Python object stays in this one. ``result.signed.isolation`` says what stood.
        timeout: Seconds that its process may take for a batch.
        memory_limit: Gigabytes that its process may take; most of what is free, if not given.
        progress: Show it on standard error.

    Returns:
        The result, not signed yet, with its predictions (``result.predictions``, by game).

    Raises:
        EncoderError: The encoder cannot be loaded, fails, or gives something else than finite [n, d].
        UnknownNameError: No such game, label set or probe.
        UsageError: A training size that is none, or larger than a game.
        DataError: As `atariari_data.load_dataset`.
        MissingExtraError: The extra ``harness`` is not installed.
    """
    _need_extra()
    started, begin = datetime.now(UTC), time.monotonic()
    if label_set not in LABEL_SETS:
        raise UnknownNameError("label set", label_set, LABEL_SETS)
    own = by_game(encoder)
    chosen = choose_games(games or list(own) or None, label_set)
    sources = _sources(encoder, own, chosen)
    if pretraining_data is None:
        pretraining_data = trained_on(encoder, own)
    runs = choose_runs(probes, train_sizes)
    if limit is not None and limit < 2:  # noqa: PLR2004  one row is no probe
        raise UsageError("A dry run needs at least two rows of each split.", got=f"limit={limit}")
    manifests = {g: load_manifest(g) for g in chosen}
    if limit is None:
        check_sizes(runs, list(manifests.values()))
    cache = Cache(default_dir() if use_cache else None)
    options = Options(runs, label_set, limit, fresh_seed, cache_dir, num_proc, cache, progress)
    rows = sum(_rows(s.rows, limit) for g in chosen for s in manifests[g].configs[g].splits.values())
    scored, predictions, splits = {}, {}, {}
    encoders: dict[str, Opened] = {}
    stood = []
    with tqdm(total=rows, unit="frame", desc="Embedding", disable=not progress) as bar:
        for source, its_games in sources:
            with open_encoder(
                source,
                isolate=isolate,
                limits=Limits(timeout, memory_limit),
                cache_dir=cache_dir,
                weights=weights,
                device=device,
                spec=FrameSpec.parse(spec) if isinstance(spec, str) else spec,
                pool=pool,
                name=name,
                batch_size=batch_size,
                autocast=autocast,
            ) as (loaded, guards):
                key = f"{loaded.cache_key()}-{blake3(repr(guards).encode()).hexdigest()[:8]}"
                for g in its_games:
                    scored[g], predictions[g], splits[g] = _game(loaded, key, manifests[g], options, bar)
                    encoders[g] = loaded
                stood.append(guards)

    finished = datetime.now(UTC)
    is_bound = any(map(sees_ram, encoders.values()))
    reasons = [
        None if fresh_seed is None else f"test split recorded afresh from seed {fresh_seed}",
        unranked_reason(runs) if limit is None else f"dry run: {limit} rows of each split",
        IS_BOUND if is_bound else None,
        "the harness was changed since it was installed" if environment.as_released() is False else None,
    ]
    reason = "; ".join(filter(None, reasons)) or None
    signed = Signed.build(
        run_id=secrets.token_hex(16),
        submitter=None if submitter is None else {"name": None, "url": None, **submitter},
        ranked=reason is None,
        unranked_reason=reason,
        started=_utc(started),
        finished=_utc(finished),
        elapsed_seconds=round(time.monotonic() - begin, 1),
        protocol={"name": PROTOCOL, "digest": protocol_digest(label_set)},
        dataset={
            "version": DATASET_VERSION,
            "label_set": label_set,
            "suite": list(suite(label_set)),
            "fresh_seed": fresh_seed,
            "splits": splits,
        },
        harness={
            "version": version("atariari"),
            "source": environment.source_digest(),
            "as_released": environment.as_released(),
        },
        encoder=identity(encoders, pretraining_data),
        environment=environment.describe(next(iter(encoders.values())).device),
        isolation=None if is_bound else weakest(stood).as_fields(shuffled=True, second_pass=True),
        seeds=seeds(run.probe for run in runs),
        probes=[{**run._asdict(), "settings": dict(sorted(SETTINGS[run.probe].items()))} for run in runs],
        games=scored,
    )
    return Result(signatures=[], signed=signed).with_predictions(predictions)


def _game(
    encoder: Opened, key: str, manifest: Manifest, options: Options, bar: tqdm[Any]
) -> tuple[dict[str, Any], Predictions, dict[str, Any]]:
    """Embed and probe one game, or take what an earlier run kept; return also what it was done on."""
    name = manifest.game
    rules, source = protocol_digest(options.label_set), environment.source_digest("*.py")
    keys = {
        run: blake3(
            repr((key, rules, source, name, options.limit, options.fresh_seed, *run)).encode()
        ).hexdigest()
        for run in options.runs
    }
    kept = {run: options.cache.scored(at) for run, at in keys.items()}
    done = {run: found for run, found in kept.items() if found is not None}
    rows = {
        s: open_split(name, s, limit=options.limit, cache_dir=options.cache_dir, num_proc=options.num_proc)
        for s in SPLITS
    }
    used = {s: (split.rows, split.digest) for s, split in manifest.configs[name].splits.items()}
    if options.fresh_seed is not None:
        fresh = record_test(
            manifest,
            rows,
            options.fresh_seed,
            limit=options.limit,
            cache_dir=options.cache_dir,
            num_proc=options.num_proc,
        )
        rows["test"], used["test"] = fresh.rows, (len(fresh.rows), fresh.digest)
    truth = {s: truth_of(rows[s], manifest, options.label_set) for s in SPLITS}
    if len(done) == len(keys):
        bar.update(sum(map(len, rows.values())))
    else:
        bar.set_description(f"Embedding {name}")
        known_as = {s: f"{key}-{used[s][1][:32]}-{options.limit}" for s in SPLITS}
        features = _embed(encoder, known_as, rows, options, bar)
        digest = blake3()
        for s in SPLITS:
            digest.update(np.ascontiguousarray(features[s]).view(np.uint8).data)
        embeddings = f"blake3:{digest.hexdigest()}"
        dry = options.limit is not None
        material = Material(
            manifest, options.label_set, truth, features, encoder.device, dry, options.fresh_seed is not None
        )
        missing = [run for run in options.runs if run not in done]
        for run in missing:
            scores, predictions = _score(material, run, options)
            done[run] = {"embeddings": embeddings, "scores": scores}, predictions
            options.cache.keep_scored(keys[run], *done[run])
    other_rows = None
    if options.limit is not None or options.fresh_seed is not None:
        kind = "a dry run" if options.limit is not None else "a fresh test split"
        other_rows = f"{kind}: the trivial encoders were scored on all rows of the published splits"
    found = {
        "embeddings": next(iter(done.values()))[0]["embeddings"],
        "scores": [
            with_trivial(done[run][0]["scores"], manifest, options.label_set, other_rows)
            for run in options.runs
        ],
    }
    splits = {s: {"rows": used[s][0], "digest": f"blake3:{used[s][1]}"} for s in sorted(used)}
    return found, Predictions(truth["test"], {run: done[run][1] for run in options.runs}), splits


def _score(
    material: Material, run: ProbeRun, options: Options
) -> tuple[dict[str, Any], npt.NDArray[np.uint8]]:
    with tqdm(
        total=len(material.truth["test"].names),
        unit="variable",
        desc=f"Probing {material.manifest.game}: {run}",
        leave=False,
        disable=not options.progress,
    ) as bar:
        return score(material, run, lambda _: bar.update())


def _embed(
    encoder: Opened,
    known_as: dict[str, str],
    rows: dict[str, SplitRows],
    options: Options,
    bar: tqdm[Any],
) -> dict[str, npt.NDArray[np.float32]]:
    if isinstance(encoder, LoadedEncoder) and encoder.of_ram is not None:
        bar.update(sum(map(len, rows.values())))
        return {s: encoder.of_ram(rows[s].ram) for s in SPLITS}
    kept = {s: options.cache.features(known_as[s]) for s in SPLITS}
    found = {s: features for s, features in kept.items() if features is not None}
    missing = {s: rows[s] for s in SPLITS if s not in found}
    bar.update(sum(len(rows[s]) for s in found))
    if not missing:
        return found
    if isinstance(encoder, LoadedEncoder) and encoder.refit is not None:
        encoder = encoder.refit(rows["train"].batches(encoder.spec))
    part = "-".join([*(known_as[s] for s in missing), "part"])
    part = blake3(part.encode()).hexdigest()
    new = embed(
        encoder,
        missing,
        bar.update,
        done=options.cache.features(part),
        keep=lambda features: options.cache.keep_features(part, features),
    )
    for s, features in new.items():
        options.cache.keep_features(known_as[s], features)
    return found | new


def _sources(
    encoder: object, own: Mapping[str, Path], games: Sequence[str]
) -> list[tuple[object, Sequence[str]]]:
    """Return what is to be opened, and for which games."""
    if not own:
        return [(encoder, games)]
    for game in games:
        if game not in own:
            raise UsageError(
                f"The folder {encoder} has no run for {game}.",
                expected=", ".join(own),
                cure="--games, or train one: harness run --out",
            )
    return [(own[game], (game,)) for game in games]


def _rows(rows: int, limit: int | None) -> int:
    return rows if limit is None else min(rows, limit)


def _utc(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def _need_extra() -> None:
    from importlib.util import find_spec

    for package in ("torch", "sklearn"):
        if find_spec(package) is None:
            raise MissingExtraError(package, "harness")
