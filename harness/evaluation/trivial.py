"""Score the trivial encoders with `harness.evaluate`, for the package to keep."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from atariari_data.games import game
from builders.files import new_file
from builders.manifest import load_manifest
from harness.evaluation.ceilings import ceilings_of
from harness.evaluation.evaluate import evaluate
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
    num_proc: int | None = None,
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
        num_proc: The number of processes that build the dataset.
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
    for name, file in files.items():
        start = time.monotonic()
        kept = store.current(file, manifests[name])
        scores = list(kept.values())
        for label_set in game(name).label_sets:
            missing = [run for run in runs if (label_set, run) not in kept]
            scores += _scores(
                name,
                label_set,
                missing,
                train_sizes=train_sizes,
                device=device,
                cache_dir=cache_dir,
                num_proc=num_proc,
                use_cache=use_cache,
                progress=progress,
            )
        if len(scores) == len(kept):
            continue
        made = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        with new_file(file, replace=True) as part:
            part.write_text(
                store.content(manifests[name], made, version("atariari"), scores), encoding="ascii"
            )
        _log.info("%s: %.0f s, %s", name, time.monotonic() - start, file)
    return list(files.values())


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
        for run, ceilings in ceilings_of(result, name, options["cache_dir"]).items():
            if run in found:
                found[run]["ceilings"] = ceilings
    return list(found.values())
