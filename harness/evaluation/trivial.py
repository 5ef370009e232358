"""Score the trivial encoders with `harness.evaluate`, for the package to keep."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from atariari_data.games import game
from builders.files import new_file
from builders.manifest import Manifest, load_manifest
from builders.progress import progress_bar
from builders.spread import LOCAL, Engine, Task, spread
from harness.evaluation.ceilings import ceilings_of
from harness.evaluation.evaluate import evaluate
from harness.evaluation.units import failure
from harness.probes.probe import ProbeRun
from harness.protocol import check_sizes, choose_games, choose_runs, possible_runs
from harness.trivial import store

_log = logging.getLogger(__name__)


def make(
    games: Sequence[str] | None,
    folder: Path,
    *,
    probes: Sequence[str] | None = None,
    train_sizes: Sequence[str | int] | None = None,
    device: str = "cpu",
    cache_dir: str | None = None,
    jobs: int | None = None,
    cluster: str = LOCAL,
    use_cache: bool = True,
    progress: bool = True,
) -> list[Path]:
    """Score the trivial encoders on games, for all label sets, and compute the ceilings.

    Args:
        games: The games' names; by default all games.
        folder: Where ``GAME.json`` is written. Scores that are there under the current rules are kept, and
            what is missing is computed.
        probes: As for `harness.evaluate`.
        train_sizes: As for `harness.evaluate`.
        device: Torch device of the probes.
        cache_dir: Where the dataset is built, as in ``load_dataset``.
        jobs: How many processes work at the same time, each on a game, as for `harness.evaluate`.
        cluster: Where they are, as for `harness.evaluate`.
        use_cache: Keep features and scores, and reuse those of earlier runs.
        progress: Show progress bars on standard error.

    Returns:
        The files, in the order of the games.

    Raises:
        UnknownNameError: No such game or probe.
        UsageError: A training size is not a number of rows.
        DataError: A file is damaged; or as `atariari_data.load_dataset`.
    """
    chosen = choose_games(games, "v1")
    manifests = {name: load_manifest(name) for name in chosen}
    runs = possible_runs(choose_runs(probes, train_sizes), chosen)
    check_sizes(runs, list(manifests.values()))
    files = {name: folder / f"{name}.json" for name in chosen}
    engine = Engine(jobs, cluster)
    options = {"device": device, "cache_dir": cache_dir, "use_cache": use_cache}
    tasks = []
    for name, file in files.items():
        kept = store.current(file, manifests[name])
        missing = {
            label_set: [run for run in runs if (label_set, run) not in kept]
            for label_set in game(name).label_sets
        }
        if any(missing.values()):
            tasks.append(Task(name, (name, missing, train_sizes, options)))
    if not engine.spreads(len(tasks)):
        for task in tasks:
            scores = _missing_scores(*task.arguments, jobs=engine.jobs, progress=progress)
            _write(files[task.name], manifests[task.name], scores)
        return list(files.values())
    failed = []
    with progress_bar(len(tasks), "Scoring", "game", shown=progress) as bar:
        for outcome in spread(_missing_scores, tasks, engine):
            bar.update()
            if outcome.made is None:
                _log.error("%s failed on %s. %s", outcome.name, outcome.worker, outcome.error)
                failed.append(outcome)
            else:
                _write(files[outcome.name], manifests[outcome.name], outcome.made)
    if failed:
        raise failure(failed, len(tasks))
    return list(files.values())


def _write(file: Path, manifest: Manifest, scores: list[dict[str, Any]]) -> None:
    """Add scores to those of a file that are current."""
    made = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    scores = [*store.current(file, manifest).values(), *scores]
    with new_file(file, replace=True) as part:
        part.write_text(store.content(manifest, made, version("atariari"), scores), encoding="ascii")
    _log.info("%s", file)


def _missing_scores(
    name: str,
    missing: Mapping[str, Sequence[ProbeRun]],
    train_sizes: Sequence[str | int] | None,
    options: Mapping[str, Any],
    *,
    jobs: int | None = None,
    progress: bool = False,
) -> list[dict[str, Any]]:
    """Score the trivial encoders on a game, in this process or in a worker."""
    start = time.monotonic()
    more = {**options, "jobs": jobs, "progress": progress, "train_sizes": train_sizes}
    scores = [one for label_set, runs in missing.items() for one in _scores(name, label_set, runs, **more)]
    _log.info("%s: %.0f s", name, time.monotonic() - start)
    return scores


def _scores(name: str, label_set: str, runs: Sequence[ProbeRun], **options: Any) -> list[dict[str, Any]]:
    """Score the trivial encoders on a game under each run, and compute the ceilings."""
    found: dict[ProbeRun, dict[str, Any]] = {
        run: {**run._asdict(), "label_set": label_set, "scores": {}, "ceilings": {}} for run in runs
    }
    for encoder in dict.fromkeys(e for run in runs for e in store.encoders_of(run)):
        probes = list(dict.fromkeys(run.probe for run in runs if encoder in store.encoders_of(run)))
        result = evaluate(encoder, [name], probes=probes, label_set=label_set, **options)
        for scored in result.signed.games[name].scores:
            if scored.run in found:
                found[scored.run]["scores"][encoder] = {v.name: v.score for v in scored.variables}
        without = [run for run, each in found.items() if not each["ceilings"]]  # no encoder changes them
        for run, ceilings in ceilings_of(result, name, without, options["cache_dir"]).items():
            found[run]["ceilings"] = ceilings
    return list(found.values())
