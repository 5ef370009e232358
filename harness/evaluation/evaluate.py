"""Evaluate an encoder: embed every frame once, fit the probes, score, and put the result together."""

from __future__ import annotations

import secrets
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

from atariari_data.checks import count, positive
from atariari_data.errors import UnknownNameError, UsageError, require
from atariari_data.games import DEFAULT_LABEL_SET, LABEL_SETS
from builders.manifest import Manifest, load_manifest
from builders.spread import LOCAL, Engine
from harness.adapters import by_game, origin
from harness.cache import Cache, default_dir
from harness.encoders.encoder import FrameSpec
from harness.encoders.features import Pool
from harness.encoders.named import RAM
from harness.encoders.objects import Request
from harness.evaluation import environment
from harness.evaluation.game import Options, fits
from harness.evaluation.identity import identity, weakest
from harness.evaluation.progress import Progress, Stage
from harness.evaluation.units import Evaluated, Source, evaluate_elsewhere, evaluate_games
from harness.isolation.process import TIMEOUT, Limits
from harness.probes.probe import STATES, TrainRows
from harness.probes.registry import load_probe
from harness.protocol import (
    DATASET,
    PROTOCOL,
    check_sizes,
    choose_games,
    choose_runs,
    game_rules,
    possible_runs,
    protocol_digest,
    seeds,
    settings,
    splits_of,
    suite_of,
    suites,
    unranked_reason,
)
from harness.results.declared import check_declared
from harness.results.provenance import DRY_RUN, IS_BOUND, Dataset, Environment, Isolation, Protocol, Training
from harness.results.result import Probe, Result, Signed
from harness.results.result_file import build_or_keep


def evaluate(
    encoder: object,
    games: Sequence[str] | None = None,
    *,
    weights: str | Path | None = None,
    device: str | None = None,
    batch_size: int | None = None,
    pool: Pool | None = None,
    output: str | None = None,
    spec: FrameSpec | Mapping[str, Any] | str | None = None,
    autocast: bool = False,
    name: str | None = None,
    probes: Sequence[str] | None = None,
    train_sizes: Sequence[TrainRows] | None = None,
    label_set: str = DEFAULT_LABEL_SET,
    limit: int | None = None,
    fresh_seed: int | None = None,
    fresh_of: str | None = None,
    pretraining_data: str | None = None,
    code: str | None = None,
    paper: str | None = None,
    submitter: dict[str, str | None] | None = None,
    cache_dir: str | None = None,
    jobs: int | None = None,
    cluster: str = LOCAL,
    use_cache: bool = True,
    isolate: bool = True,
    timeout: float = TIMEOUT,
    memory_limit: float | None = None,
    progress: bool = True,
) -> Result:
    """Evaluate an encoder: how much of each game's state can be read out of its features.

    Args:
        encoder: Anything that `harness.load_encoder` takes: a file, a torch module, a NumPy function, ...; or
            a folder of trained runs of one method, with one subfolder for each game.
        games: The names of games or suites (``all``, ``paper``, ``atari100k``). By default all games, or all
            that the folder has a run for.
        weights: A state dict file for a torch module.
        device: The torch device of encoder and probes.
        batch_size: The largest number of rows per batch.
        pool: How to turn feature maps or tokens into vectors: ``flatten``, ``mean`` or ``cls``.
        output: The part of the encoder's output that holds the features, if it returns several:
            ``last_hidden_state``.
        spec: The input format, overriding the encoder's own: a `FrameSpec`, or text such as
            ``color=rgb,stack=4,size=84x84``.
        autocast: Run a torch module in half precision (float16 on CUDA, bfloat16 elsewhere).
        name: The encoder's name in the result.
        probes: ``readout`` (the default), ``linear``, ``anand2019``, or several.
        train_sizes: The numbers of training rows to fit each probe to: ``full`` or ``all``, ``1k`` or 1000
            (the same frozen rows), and any other numbers. Larger sizes contain the smaller ones. By default
            ``full`` and 100 for ``readout``, also on deep states; ``full`` and ``1k`` for ``linear``; and
            ``full`` for ``anand2019``.
        label_set: ``v1`` or ``anand2019``.
        limit: Dry run: use only this many evenly spaced rows of each split. The result says so.
        fresh_seed: Record a new test split from this seed and score on it. Such a result is not ranked.
        fresh_of: The digest (`Signed.digest`) of the result that this one tests on a fresh split, for a
            leaderboard.
        pretraining_data: What the encoder was trained on, in words; ``none`` for an untrained one. By default
            what is known of a run or a built-in encoder, else ``not declared``.
        code: The https address of the encoder's code, which a leaderboard links to. By default that of this
            package for its own encoders and the runs of its methods.
        paper: The https address of the paper that describes it. By default that of the method of a run.
        submitter: The ``principal`` and ``name`` of the person who submits the result.
        cache_dir: Where the dataset is built, as in ``load_dataset``.
        jobs: How many processes work at the same time, each on a game; where there are more of them than
            games, the rest helps to build these. By default one here, and all that a cluster has. With
            several, a comma-separated ``device`` such as ``cuda:0,cuda:1`` gives each its own.
        cluster: Where games are evaluated: ``local``, ``dask://HOST:PORT``, ``ray`` or ``ray://HOST:PORT``.
        use_cache: Keep features and finished games, and reuse those of earlier runs.
        isolate: Run an encoder that comes from a file in a separate process. A Python object always runs in
            this one. ``result.signed.isolation`` records which guards were active.
        timeout: The longest time that the encoder's process may take for a batch, in seconds.
        memory_limit: The memory that the encoder's process may use, in gigabytes. By default most of what is
            free.
        progress: Show progress bars on standard error.

    Returns:
        The unsigned result, with its predictions by game in ``result.predictions``.

    Raises:
        EncoderError: The encoder cannot be loaded, fails, or returns something other than finite [n, d].
        UnknownNameError: No such game, label set or probe.
        UsageError: A training size is not a number of rows, or larger than a game's training split.
        DataError: As `atariari_data.load_dataset`.
        MissingExtraError: The extra ``harness`` is not installed, or that of the cluster.
        ClusterError: The cluster cannot be reached, or loses its workers again and again.
    """
    _need_extra()
    device = device and str(device)  # a torch.device will do
    if jobs is None and device and "," in device:
        jobs = len(device.split(","))
    engine = Engine(jobs, cluster)
    if label_set not in LABEL_SETS:
        raise UnknownNameError("label set", label_set, LABEL_SETS)
    if fresh_of is not None and fresh_seed is None:
        raise UsageError("Only a run on a fresh test split tests another result.", cure="--fresh-seed")
    for what, value, least in (("limit", limit, 2), ("fresh_seed", fresh_seed, 0)):
        if value is not None:
            count(what, value, least)
    runs = choose_runs(probes, train_sizes)
    positive("timeout", timeout)
    if memory_limit is not None:
        positive("memory_limit", memory_limit)
    options = Options(
        loading=Request(
            spec=None if spec is None else FrameSpec.of(spec),
            pool=pool,
            output=output,
            name=name,
            weights=None if weights is None else Path(weights),
            device=device,
            batch_size=batch_size,
            autocast=autocast,
        ),
        runs=runs,
        label_set=label_set,
        limit=limit,
        fresh_seed=fresh_seed,
        fresh_of=fresh_of,
        pretraining_data=pretraining_data,
        code=code,
        paper=paper,
        submitter=submitter,
        cache_dir=cache_dir,
        num_proc=None,
        cache=Cache(default_dir() if use_cache else None),
        isolate=isolate,
        limits=Limits(timeout, memory_limit),
        progress=progress,
    )
    return _evaluate(encoder, games, options, engine)


@dataclass(frozen=True)
class _Done:
    """The evaluated games.

    Attributes:
        games: Each game, with the encoder that embedded it.
        own: Whether each has an encoder of its own.
        started: When the evaluation began.
        elapsed: How long it took, in seconds.
    """

    games: dict[str, Evaluated]
    own: bool
    training: Training | None
    started: datetime
    elapsed: float


def _evaluate(encoder: object, games: Sequence[str] | None, options: Options, engine: Engine) -> Result:
    own = by_game(encoder)
    chosen = choose_games(list(own) or None if games is None else games, options.label_set)
    sources = _sources(encoder, own, chosen)
    own = {game: run for game, run in own.items() if game in chosen}
    known = origin(encoder, own)
    if options.pretraining_data is None:
        options = replace(options, pretraining_data=known.pretraining_data)
    if options.paper is None:
        options = replace(options, paper=known.paper)
    if options.code is None:
        options = replace(options, code=known.code)
    check_declared(
        name=options.loading.name,
        submitter=options.submitter,
        pretraining_data=options.pretraining_data,
        code=options.code,
        paper=options.paper,
        sees_ram=isinstance(encoder, str) and encoder == RAM,
    )
    manifests = {g: load_manifest(g) for g in chosen}
    options = replace(
        options, runs=possible_runs(options.runs, chosen), num_proc=engine.left_for_each(len(chosen))
    )
    if options.limit is None:
        check_sizes(options.runs, list(manifests.values()))
    started, begin = datetime.now(UTC), time.monotonic()
    spreads = engine.spreads(len(chosen))
    found = (
        evaluate_elsewhere(sources, options, engine)
        if spreads
        else _evaluate_here(sources, manifests, options)
    )
    done = _Done({g: found[g] for g in chosen}, bool(own), known.training, started, time.monotonic() - begin)
    predictions = {g: one.game.predictions for g, one in done.games.items()}
    return Result(signatures=[], signed=_signed(done, options)).with_predictions(predictions)


def _evaluate_here(
    sources: Sequence[Source], manifests: Mapping[str, Manifest], options: Options
) -> dict[str, Evaluated]:
    """Evaluate one game after the other in this process."""
    work: dict[str, dict[Stage, int]] = {
        g: {
            "embedding": sum(
                _rows(split.rows, options.limit)
                for states in STATES
                if states == "play" or any(run.is_deep for run in options.runs)
                for split in splits_of(g, states).values()
            ),
            "probing": len(fits(options.runs)),
        }
        for g in manifests
    }
    found: dict[str, Evaluated] = {}
    with ExitStack() as stack:

        @cache
        def progress() -> Progress:  # not before an encoder that cannot be loaded says so
            return stack.enter_context(Progress(work, shown=options.progress))

        for source, games in sources:
            found |= evaluate_games(source, {g: manifests[g] for g in games}, options, progress)[0]
    return found


def _signed(done: _Done, options: Options) -> Signed:
    """Put the signed part of the result together."""
    encoders = {g: one.encoder for g, one in done.games.items()}
    is_bound = any(encoder.sees == "ram" for encoder in encoders.values())
    limit, fresh_seed = options.limit, options.fresh_seed
    suite = suite_of(done.games, options.label_set)
    reasons = [
        None if fresh_seed is None else f"test split recorded afresh from seed {fresh_seed}",
        unranked_reason(options.runs) if limit is None else DRY_RUN.format(limit),
        IS_BOUND if is_bound else None,
        "the harness was changed since it was installed" if environment.as_released() is False else None,
    ]
    reason = "; ".join(filter(None, reasons)) or None
    return build_or_keep(
        run_id=secrets.token_hex(16),
        submitter=None if options.submitter is None else {"name": None, **options.submitter},
        ranked=reason is None,
        unranked_reason=reason,
        dry_run_rows=limit,
        started=_utc(done.started),
        finished=_utc(datetime.now(UTC)),
        elapsed_seconds=round(done.elapsed, 1),
        protocol=Protocol(name=PROTOCOL, digest=protocol_digest(options.label_set)),
        dataset=Dataset(
            version=DATASET,
            label_set=options.label_set,
            suite=suite,
            suite_games=list(suites(options.label_set)[suite]),
            rules={g: game_rules(g, options.label_set) for g in done.games},
            fresh_seed=fresh_seed,
            fresh_of=options.fresh_of,
            splits={g: one.game.splits for g, one in done.games.items()},
        ),
        harness=environment.harness_identity(),
        encoder=identity(
            encoders,
            {
                "pretraining_data": str(options.pretraining_data),
                "training": done.training,
                "code": options.code,
                "paper": options.paper,
            },
            own=done.own,
        ),
        environment=_environment(done),
        isolation=None
        if is_bound
        else Isolation(
            **weakest([one.guards for one in done.games.values()]).as_fields(shuffled=True, second_pass=True)
        ),
        seeds=seeds(run.probe for run in options.runs),
        probes=[
            Probe(**run._asdict(), metric=load_probe(run.probe).metric, settings=settings(run.probe))
            for run in options.runs
        ],
        games={
            g: {"embeddings": one.game.embeddings, "scores": one.game.scores} for g, one in done.games.items()
        },
    )


def _environment(done: _Done) -> Environment:
    """Describe the machine of the first game, and name that of each if there are others than this one."""
    first = next(iter(done.games.values())).environment
    machines = {g: one.game.machine for g, one in done.games.items()}
    elsewhere = set(machines.values()) != {environment.machine()}
    return first.model_copy(update={"machines": machines if elsewhere else None})


def _sources(encoder: object, own: Mapping[str, Path], games: Sequence[str]) -> list[Source]:
    """Return the encoders to open, each with its games."""
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
    for package in ("torch", "sklearn"):
        require(package, "harness")
