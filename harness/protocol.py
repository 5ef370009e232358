"""The evaluation protocol: probes, training rows and games, and a digest over all rules."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from blake3 import blake3

from atariari_data.errors import UnknownNameError, UsageError
from atariari_data.games import games_named
from atariari_data.games import suites as known_suites
from builders.manifest import (
    DATASET_VERSION,
    DEEP,
    Manifest,
    Split,
    load_manifest,
    recorded_configs,
    recorded_games,
)
from builders.recording import PROBE_SPLITS
from harness.metrics import RESAMPLES
from harness.metrics import SEED as BOOTSTRAP_SEED
from harness.probes.probe import DRAWS, FEW, ProbeRun, States, TrainRows
from harness.probes.registry import PROBES, load_probe
from harness.targets import SCORED, rules_of

PROTOCOL: Final = "v2"
DATASET: Final = DATASET_VERSION
"""Version of the dataset whose rows the protocol is about."""
MOST_RUNS: Final = 16
"""The largest number of runs in a result."""

RANKED: Final = (
    ProbeRun("readout", FEW),
    ProbeRun("readout", "full"),
    ProbeRun("readout", "full", "play", "deep"),
)
"""What every ranked result contains: few, play and transfer. The first one decides the ranking."""

SHOWN: Final = (
    ProbeRun("readout", "full", "deep", "deep"),
    *load_probe("linear").runs,
    *load_probe("anand2019").runs,
)
"""What a leaderboard also shows, for results that contain it."""

_ROW_ORDER = "atariari train rows"
_DRAW_ORDER = "atariari few rows"
_INTERVALS = "percentile, centred on the score and widened as Student's distribution is"


def settings(probe: str) -> dict[str, Any]:
    """Return the settings that decide a probe's answer, sorted by name."""
    return dict(sorted(load_probe(probe).settings.items()))


def seeds(probes: Iterable[str]) -> dict[str, int]:
    """Return the random seeds that these probes use, by the names that a result gives them."""
    own = {probe: seed for probe in probes if (seed := load_probe(probe).settings.get("seed")) is not None}
    return dict(sorted({**own, "bootstrap": BOOTSTRAP_SEED}.items()))


def protocol_digest(label_set: str) -> str:
    """Return a digest of the rules that hold for all games; see `game_rules` for the rest.

    Scores of a game are comparable if both digests are the same. A new game changes nothing for the others.
    """
    rules = {
        "protocol": PROTOCOL,
        "label_set": label_set,
        "probes": [(probe, sorted(load_probe(probe).settings.items())) for probe in PROBES],
        "row_order": _ROW_ORDER,
        "draws": (DRAWS, FEW, _DRAW_ORDER),
        "scored": SCORED,
        "bootstrap": (RESAMPLES, BOOTSTRAP_SEED, _INTERVALS),
    }
    return f"blake3:{blake3(repr(rules).encode()).hexdigest()}"


def game_rules(game_name: str, label_set: str) -> str:
    """Return a digest of what decides the rows and labels of a game: its splits, and its annotations."""
    deep = splits_of(game_name, "deep") if has_deep(game_name) else {}
    rules = {
        "play": load_manifest(game_name).rules(label_set),
        "deep": [(split, frozen.digest) for split, frozen in deep.items()],
        "targets": rules_of(game_name, label_set),
    }
    return f"blake3:{blake3(repr(rules).encode()).hexdigest()}"


def suites(label_set: str) -> dict[str, tuple[str, ...]]:
    """Return the games of `atariari_data.suites` that are recorded."""
    recorded = set(recorded_games())
    return {name: tuple(g for g in of_it if g in recorded) for name, of_it in known_suites(label_set).items()}


def suite_of(games: Iterable[str], label_set: str) -> str:
    """Return the name of the suite that has exactly these games; ``all``, if none has."""
    chosen = tuple(sorted(games))
    return next((name for name, of_it in suites(label_set).items() if of_it == chosen), "all")


def choose_games(games: Sequence[str] | None, label_set: str) -> list[str]:
    """Return the games with these names, sorted. A suite's name stands for its games; default: ``all``.

    Raises:
        UsageError: Not a list of names, or an empty one.
        UnknownNameError: No such game or suite, or the label set does not have it.
    """
    of_suites = suites(label_set)
    known = of_suites["all"]
    if games is None:
        return list(known)
    if isinstance(games, str) or not games:
        raise UsageError(
            "`games` must be a list of names.", expected="games=['pong', 'breakout']", got=repr(games)
        )
    names = sorted(games_named(games, of_suites))
    for name in sorted(set(names) - set(known)):
        raise UnknownNameError(f"game with label set {label_set}", name, known)
    return names


def choose_runs(
    probes: Sequence[str] | None = None,
    train_sizes: Sequence[TrainRows] | None = None,
) -> tuple[ProbeRun, ...]:
    """Return the probes and training sizes to fit, in the order of the registry and largest size first.

    Args:
        probes: ``readout``, ``linear``, ``anand2019``; what ranks, if none is named.
        train_sizes: ``full`` (or ``all``), ``1k`` (or 1000, which are the same frozen rows) and other
            numbers, of random play. Not given, it is what the probe does by default. What is there twice
            counts once.

    Raises:
        UnknownNameError: No such probe.
        UsageError: A size is not a number of rows, or there are more pairs than a result holds.
    """
    for argument in (probes, train_sizes):
        if isinstance(argument, str):
            raise UsageError(
                "Probes and training sizes must be lists.", expected=f"[{argument!r}]", got=repr(argument)
            )
    for probe in probes or ():
        if probe not in PROBES:
            raise UnknownNameError("probe", probe, PROBES)
    chosen = [probe for probe in PROBES if probe in (probes or [RANKED[0].probe])]
    if train_sizes is None:
        return tuple(run for probe in chosen for run in load_probe(probe).runs)
    sizes = sorted({_size(size) for size in train_sizes}, key=_rows, reverse=True)
    if not sizes:
        raise UsageError("No training sizes.", expected="for example 100,1000,10000,all")
    runs = tuple(ProbeRun(probe, size) for probe in chosen for size in sizes)
    if len(runs) > MOST_RUNS:
        raise UsageError(
            "Too many probes and training sizes for one result.", expected=MOST_RUNS, got=len(runs)
        )
    return runs


def possible_runs(runs: Sequence[ProbeRun], games: Iterable[str]) -> tuple[ProbeRun, ...]:
    """Return the runs without those that need deep states, unless all games have some."""
    deep = all(map(has_deep, games))
    return tuple(run for run in runs if deep or not run.is_deep)


def check_sizes(runs: Sequence[ProbeRun], manifests: Sequence[Manifest]) -> None:
    """Refuse more training rows than a game has.

    Raises:
        UsageError: Says which game and how many it has.
    """
    for manifest in manifests:
        there = manifest.configs[manifest.game].splits["train"].rows
        for run in runs:
            if isinstance(run.train_rows, int) and run.train_rows > there:
                raise UsageError(
                    f"{manifest.game} does not have that many training rows.",
                    expected=f"at most {there:,}, or `all`",
                    got=f"{run.train_rows:,}",
                )


def few_draws(game_name: str, states: States, there: int) -> list[npt.NDArray[np.int64]]:
    """Return the frozen draws of `FEW` training rows, ascending, each int64 [100]; fewer if there are fewer.

    Draw k takes the rows ``BLAKE3("atariari few rows GAME STATES k j") mod there`` for j = 0, 1, 2, ..., with
    the first 8 bytes as a little-endian number, until it has as many different ones.

    Args:
        game_name: The game's name.
        states: Where the rows come from.
        there: The number of training rows.
    """
    draws = []
    for draw in range(DRAWS):
        rows: set[int] = set()
        j = 0
        while len(rows) < min(FEW, there):
            digest = blake3(f"{_DRAW_ORDER} {game_name} {states} {draw} {j}".encode()).digest(length=8)
            rows.add(int.from_bytes(digest, "little") % there)
            j += 1
        draws.append(np.array(sorted(rows), np.int64))
    return draws


def training_rows(manifest: Manifest, run: ProbeRun) -> npt.NDArray[np.int64] | None:
    """Return the rows of the train split that a run is fitted to, in ascending order; None for all rows.

    The rows of ``1k`` are frozen in the manifest. Other sizes take rows in one fixed order: first those of
    ``1k``, then the rest, each ordered by the BLAKE3 of the game's name and the row's number. So a larger
    size contains the smaller ones, on every machine and with every version of NumPy.
    """
    if run.train_rows == "full":
        return None
    few = manifest.train_rows_1k
    if run.train_rows == "1k":
        return np.array(few, np.int64)
    known = set(few)

    def place(row: int) -> tuple[bool, bytes]:
        return row not in known, blake3(f"{_ROW_ORDER} {manifest.game} {row}".encode()).digest()

    order = sorted(range(manifest.configs[manifest.game].splits["train"].rows), key=place)
    return np.sort(np.array(order[: int(run.train_rows)], np.int64))


def unranked_reason(runs: Sequence[ProbeRun]) -> str | None:
    """Return why results with these probes are not ranked; None if the protocol's probes are among them."""
    missing = [str(run) for run in RANKED if run not in runs]
    return f"other probes than the protocol's: without {' and '.join(missing)}" if missing else None


def has_deep(game_name: str) -> bool:
    """Return whether a game has deep states."""
    return game_name + DEEP in recorded_configs()


def splits_of(game_name: str, states: States) -> Mapping[str, Split]:
    """Return the splits of a game's rows of random play or deep states: train, validation and test."""
    config = game_name + (DEEP if states == "deep" else "")
    splits = load_manifest(config).configs[config].splits
    return {name: split for name, split in splits.items() if name in PROBE_SPLITS}


def _size(size: TrainRows) -> TrainRows:
    text = str(size).strip().lower().replace("_", "")
    if text in {"all", "full"}:
        return "full"
    if text in {"1k", "1000"}:
        return "1k"
    if not text.isascii() or not text.isdecimal() or int(text) < 1 or isinstance(size, bool):
        raise UsageError(
            "Not a number of training rows.",
            expected="a positive number, `1k` or `all`, as in 100,1000,10000,all",
            got=repr(size),
        )
    return int(text)


def _rows(size: TrainRows) -> float:
    return {"full": math.inf, "1k": 1000}.get(str(size), 0) or int(size)
