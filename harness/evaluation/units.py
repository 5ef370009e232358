"""The unit of work of an evaluation: an encoder on a game, in this process or in a worker elsewhere."""

from __future__ import annotations

import logging
import multiprocessing
import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, TypeAlias

from blake3 import blake3

from atariari_data.errors import AtariariError, DataError, UsageError
from builders.manifest import Manifest, load_manifest
from builders.package import source_digest
from builders.progress import progress_bar
from builders.spread import Engine, Outcome, Task, spread
from harness.cache import Cache, default_dir
from harness.encoders.named import NAMED
from harness.evaluation import environment
from harness.evaluation.game import EvaluatedGame, Options, Scored, evaluate_game
from harness.evaluation.identity import Identity
from harness.evaluation.parcel import Parcel
from harness.evaluation.progress import Progress
from harness.isolation.opening import open_encoder
from harness.isolation.process import Guards
from harness.probes.probe import ProbeRun
from harness.protocol import game_rules
from harness.results.provenance import Environment, Split

_log = logging.getLogger(__name__)

Source: TypeAlias = tuple[object, Sequence[str]]
"""What `load_encoder` takes, and the games that it is evaluated on."""


@dataclass(frozen=True)
class Evaluated:
    """A game that an encoder was evaluated on.

    Attributes:
        game: Scores and predictions.
        encoder: What identifies the encoder.
        guards: What separated it from the answers.
        environment: Machine and packages.
    """

    game: EvaluatedGame
    encoder: Identity
    guards: Guards
    environment: Environment


def evaluate_games(
    source: object,
    manifests: Mapping[str, Manifest],
    options: Options,
    progress: Callable[[], Progress],
) -> tuple[dict[str, Evaluated], bool]:
    """Open an encoder, and evaluate it on one game after the other.

    Args:
        source: What `load_encoder` takes.
        manifests: The manifest of each game.
        options: What the evaluation is asked for.
        progress: Is called once the encoder is open, and told how far it is.

    Returns:
        The games, and whether nothing but the encoder's own files decided its features.

    Raises:
        EncoderError, UsageError, DataError: As `harness.evaluate`.
    """
    opened = open_encoder(
        source,
        replace(options.loading, device=_own_device(options.loading.device)),
        isolate=options.isolate,
        limits=options.limits,
        cache_dir=options.cache_dir,
    )
    with opened as (loaded, guards):
        bar = progress()
        if not options.isolate and isinstance(source, str | Path) and source not in NAMED:
            options = replace(options, cache=Cache(None))  # nothing shows which files it reads
        key = f"{loaded.cache_key()}-{blake3(repr(guards).encode()).hexdigest()[:8]}"
        games = {g: evaluate_game(loaded, key, manifest, options, bar) for g, manifest in manifests.items()}
        known, where = Identity.of(loaded), environment.describe(loaded.device)
        whole = isinstance(source, str) and (source in NAMED or loaded.reads_only(source))
    return {g: Evaluated(game, known, guards, where) for g, game in games.items()}, whole


def evaluate_elsewhere(sources: Sequence[Source], options: Options, engine: Engine) -> dict[str, Evaluated]:
    """Evaluate each game in a worker, and keep each as it comes.

    An encoder's files travel to workers that do not see this disk. Nothing else is expected of these than the
    same version of the package.

    Args:
        sources: The encoders with their games.
        options: What the evaluation is asked for.
        engine: Where the workers are.

    Raises:
        UsageError: The encoder cannot be sent.
        AtariariError: Games failed. The others are kept, so that the same call goes on from there.
    """
    found: dict[str, Evaluated] = {}
    keys, tasks = dict[str, str | None](), []
    games_at_once = min(engine.jobs or 1, sum(len(games) for _, games in sources))
    limits = options.limits.for_each_of(games_at_once) if engine.is_local else options.limits
    for source, games in sources:
        parcel = _parcel(source, options, engine)
        for game in games:
            keys[game] = None if engine.is_local else _key(source, parcel, game, options)
            kept = _read(options.cache, keys[game])
            if kept is not None:
                _log.info("%s: kept from an earlier call", game)
                found[game] = kept
                continue
            where = source if parcel is None else parcel.source
            plain = replace(options, cache=Cache(None), progress=False, limits=limits)
            rules = game_rules(game, options.label_set)
            tasks.append(Task(game, (where, game, rules, plain, options.cache.folder is not None, parcel)))
    failed: list[Outcome[_There]] = []
    with progress_bar(len(tasks), "Evaluating", "game", shown=options.progress) as bar:
        for outcome in spread(_evaluate_there, tasks, engine):
            bar.update()
            if outcome.made is None:
                failed.append(outcome)
                _log.error("%s failed on %s. %s", outcome.name, outcome.worker, outcome.error)
                continue
            found[outcome.name] = done = outcome.made.evaluated
            if outcome.made.is_self_contained:
                _keep(options.cache, keys[outcome.name], done)
            _log.info("%s: done on %s, %.0f s", outcome.name, outcome.worker, outcome.made.seconds)
    if failed:
        raise failure(failed, len(failed) + len(found))
    _warn_of_differences(found)
    return found


@dataclass(frozen=True)
class _There:
    """What a worker returns.

    Attributes:
        evaluated: The game.
        is_self_contained: Whether nothing but the encoder's own files decided its features.
        seconds: How long it took.
    """

    evaluated: Evaluated
    is_self_contained: bool
    seconds: float


def _evaluate_there(
    source: object,
    game: str,
    rules: str,
    options: Options,
    use_cache: bool,
    parcel: Parcel | None,
) -> _There:
    """Evaluate an encoder on a game in a worker, which must have the same rows and labels."""
    start = time.monotonic()
    _log.info("started")
    if rules != game_rules(game, options.label_set):  # recordings may be elsewhere: ATARIARI_RECORDINGS
        raise DataError(f"The worker {environment.machine()} has other recordings of {game}.")
    loading = options.loading
    if parcel is not None:
        source, loading = parcel.unpack(loading)
    options = replace(options, loading=loading, cache=Cache(default_dir() if use_cache else None))
    manifest = load_manifest(game)
    with Progress({game: {"embedding": 0, "probing": 0}}, shown=False) as progress:
        found, whole = evaluate_games(source, {game: manifest}, options, lambda: progress)
    return _There(found[game], whole, time.monotonic() - start)


def _own_device(devices: str | None) -> str | None:
    """Return this process's device of a comma-separated list: its own, for as many local workers."""
    if devices is None or "," not in devices:
        return devices
    known = [device.strip() for device in devices.split(",")]
    number = re.search(r"[0-9]+$", multiprocessing.current_process().name)
    return known[int(number[0]) % len(known) if number else 0]


def _parcel(source: object, options: Options, engine: Engine) -> Parcel | None:
    if isinstance(source, str | Path):
        return None if engine.is_local else Parcel.of(str(source), options.loading.weights)
    from joblib.externals.loky.backend.reduction import dumps

    try:
        dumps(source)
    except Exception as error:
        raise UsageError(
            "The encoder cannot be sent to other processes.",
            got=f"{type(error).__name__}: {error}"[:300],
            cure="Define it in a Python file and give its name, or evaluate with one job.",
        ) from error
    return None


def _key(source: object, parcel: Parcel | None, game: str, options: Options) -> str | None:
    """Return the key of what this call keeps of a game; None if it cannot be known before it is evaluated."""
    if parcel is None and not (isinstance(source, str) and source in NAMED):
        return None
    parts = (
        source if parcel is None else parcel.digest,
        {**options.loading.plain(), "weights": None},
        options.isolate,
        options.runs,
        options.label_set,
        options.limit,
        options.fresh_seed,
        game_rules(game, options.label_set),
        source_digest(),
        environment.describe("cpu").packages,
    )
    return "game-" + blake3(repr((game, *parts)).encode()).hexdigest()


def _keep(cache: Cache, key: str | None, done: Evaluated) -> None:
    """Keep a game that was evaluated elsewhere."""
    if key is None:
        return
    game, content, arrays = done.game, list[dict[str, Any]](), dict[str, Any]()
    for scores, (run, predicted) in zip(game.scores, game.predictions.items(), strict=True):
        scored = Scored(game.embeddings, scores, predicted, game.machine)
        of_run, its_arrays = scored.stored()
        content.append({**of_run, "run": list(run)})
        arrays |= {f"{len(content) - 1}.{name}": array for name, array in its_arrays.items()}
    about = {
        "encoder": asdict(done.encoder),
        "guards": asdict(done.guards),
        "environment": done.environment.model_dump(),
        "splits": {name: split.model_dump() for name, split in game.splits.items()},
        "runs": content,
    }
    cache.keep_scored(key, about, arrays, {})


def _read(cache: Cache, key: str | None) -> Evaluated | None:
    kept = None if key is None else cache.scored(key, lambda files: not files)
    if kept is None:
        return None
    about, arrays = kept
    runs = {}
    for number, content in enumerate(about["runs"]):
        prefix = f"{number}."
        own = {name.removeprefix(prefix): a for name, a in arrays.items() if name.startswith(prefix)}
        runs[ProbeRun(*content["run"])] = Scored.of_stored(content, own)
    first = next(iter(runs.values()))
    game = EvaluatedGame(
        embeddings=first.embeddings,
        scores=[scored.scores for scored in runs.values()],
        predictions={run: scored.predicted for run, scored in runs.items()},
        splits={name: Split(**split) for name, split in about["splits"].items()},
        machine=first.machine,
    )
    return Evaluated(
        game, Identity(**about["encoder"]), Guards(**about["guards"]), Environment(**about["environment"])
    )


def failure(failed: Sequence[Outcome[Any]], games: int) -> AtariariError:
    """Return one error for all games that failed: theirs, if each failed for the same reason."""
    errors = [outcome.error for outcome in failed if outcome.error is not None]
    if len(failed) == games and len({error.what for error in errors}) == 1:
        return errors[0]
    return AtariariError(
        f"{len(failed)} of {games} games failed: {', '.join(outcome.name for outcome in failed)}.",
        got="; ".join(filter(None, (errors[0].what, errors[0].got))),
        cure="Fix the cause and run it again; finished games are kept.",
    )


def _warn_of_differences(found: Mapping[str, Evaluated]) -> None:
    """Warn if the workers do not have the same packages, which scores may depend on."""
    packages = {game: one.environment.packages for game, one in found.items()}
    first_game, first = next(iter(packages.items()))
    for game, ours in packages.items():
        for name in sorted({*first, *ours}):
            if first.get(name) != ours.get(name):
                _log.warning(
                    "The workers have different packages: %s %s for %s, %s for %s.",
                    name, first.get(name), first_game, ours.get(name), game,
                )  # fmt: skip
                return
