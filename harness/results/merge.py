"""One result of several partial ones: the same encoder under the same rules, on different games."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from harness.protocol import DATASET, suite_of, suites
from harness.results import predictions_file
from harness.results.canonical import ResultError
from harness.results.consistency import check
from harness.results.provenance import Encoder, Isolation
from harness.results.result import Result, Signed
from harness.results.result_file import read
from harness.results.verify import check_signatures

_SAME: Final[Mapping[str, Callable[[Signed], object]]] = {
    "encoder": lambda s: _shared(s.encoder),
    "protocol": lambda s: s.protocol,
    "version of the dataset": lambda s: s.dataset.version,
    "label set": lambda s: s.dataset.label_set,
    "fresh test split": lambda s: (s.dataset.fresh_seed, s.dataset.fresh_of),
    "harness": lambda s: s.harness,
    "probes": lambda s: s.probes,
    "seeds": lambda s: s.seeds,
    "rows of a dry run": lambda s: s.dry_run_rows,
    "reason against ranking it": lambda s: s.unranked_reason,
    "submitter": lambda s: s.submitter,
}
"""What partial results must have in common."""


def merge(paths: Sequence[str | os.PathLike[str]]) -> Result:
    """Make one unsigned result of partial ones, with their predictions if all of them have theirs.

    Means are computed again. Signatures are verified, and do not carry over: nobody has signed the whole.

    Args:
        paths: Result files, signed or not, two or more.

    Raises:
        ResultError: They do not belong together, one contradicts itself, or a game has two scores.
        SignatureError: A signature is invalid.
        PredictionsError: A file of predictions belongs to another result.
    """
    results = {str(path): read(path) for path in paths}
    if len(results) < 2:  # noqa: PLR2004
        raise ResultError("There is nothing to merge.", expected="two or more results", got=len(results))
    for result in results.values():
        if result.signatures:
            check_signatures(result, None)
        check(result.signed)
    parts = {path: result.signed for path, result in results.items()}
    _check_same(parts)
    owners = _owners(parts)
    signed = _joined(list(parts.values()), {game: parts[path] for game, path in owners.items()})
    check(signed)
    beside = {path: predictions_file.file_beside(path) for path in parts}
    if not all(file.is_file() for file in beside.values()):
        return Result(signatures=[], signed=signed)
    predictions = {path: predictions_file.read(file, parts[path]) for path, file in beside.items()}
    return Result(signatures=[], signed=signed).with_predictions(
        {game: predictions[path][game] for game, path in sorted(owners.items())}
    )


def lacks_predictions(paths: Sequence[str | os.PathLike[str]]) -> list[Path]:
    """Return the results that have no predictions beside them."""
    return [Path(path) for path in paths if not predictions_file.file_beside(path).is_file()]


def _check_same(parts: Mapping[str, Signed]) -> None:
    (first_path, first), *others = parts.items()
    for path, signed in others:
        for what, of in _SAME.items():
            if of(signed) != of(first):
                expected, got = _difference(of(first), of(signed))
                raise ResultError(
                    f"{path} does not belong to {first_path}: it has another {what}.",
                    expected=expected,
                    got=got,
                    cure="Merge results of one encoder under one version.",
                )


def _difference(one: object, other: object) -> tuple[str, str]:
    """Return what differs, field by field where there are fields."""
    a, b = (getattr(part, "__dict__", None) for part in (one, other))
    if a is None or b is None:
        return str(one)[:300], str(other)[:300]
    names = [name for name in a if a[name] != b.get(name)]
    told = (", ".join(f"{name} {part.get(name)}" for name in names)[:300] for part in (a, b))
    return next(told), next(told)


def _owners(parts: Mapping[str, Signed]) -> dict[str, str]:
    """Return the result that each game is taken from.

    Raises:
        ResultError: Two of them have the game with other weights, rows or numbers.
    """
    owners: dict[str, str] = {}
    for path, signed in parts.items():
        for game in signed.games:
            other = owners.setdefault(game, path)
            if _numbers(parts[other], game) != _numbers(signed, game):
                raise ResultError(
                    f"{other} and {path} have other weights or numbers for {game}.",
                    cure="Find out which is right, and merge without the other.",
                )
    return owners


def _numbers(signed: Signed, game: str) -> list[Any]:
    dataset = signed.plain["dataset"]
    return [
        signed.encoder.weights_for(game),
        signed.plain["games"][game],
        dataset["rules"][game],
        dataset["splits"][game],
    ]


def _shared(encoder: Encoder) -> Encoder:
    """Return what must be the same in all parts: all but the weights of single games and their steps."""
    if not isinstance(encoder.weights, dict):
        return encoder
    training = encoder.training and encoder.training.without_games
    return encoder.model_copy(update={"weights": {}, "training": training})


def _encoder(by_game: Mapping[str, Signed]) -> dict[str, Any]:
    """Return the encoder of all games, from those of the parts."""
    encoders = {game: signed.plain["encoder"] for game, signed in by_game.items()}
    games = sorted(encoders)
    whole: dict[str, Any] = dict(encoders[games[0]])
    if isinstance(whole["weights"], dict):
        whole["weights"] = {game: encoders[game]["weights"][game] for game in games}
        if whole["training"] is not None:
            known = {game: encoders[game]["training"] for game in games}
            by = {name: {g: known[g][name][g] for g in games} for name in ("steps", "data")}
            whole["training"] = {**whole["training"], **by}
    return whole


def _joined(parts: Sequence[Signed], by_game: Mapping[str, Signed]) -> Signed:
    first, games = parts[0], sorted(by_game)
    widest = max(parts, key=lambda part: len(part.dataset.suite_games)).dataset
    suite, of_suite = widest.suite, widest.suite_games
    if first.dataset.version == DATASET:
        suite = suite_of(games, first.dataset.label_set)
        of_suite = list(suites(first.dataset.label_set)[suite])
    machines = {
        game: (signed.environment.machines or {}).get(game, signed.environment.machine)
        for game, signed in by_game.items()
    }
    spread = len(set(machines.values())) > 1 or any(part.environment.machines for part in parts)
    fields = {name: getattr(first, name) for name in type(first).model_fields}
    for name in ("schema_version", "suite"):
        del fields[name]
    started, finished = min(p.started for p in parts), max(p.finished for p in parts)
    between = (datetime.fromisoformat(finished) - datetime.fromisoformat(started)).total_seconds()
    return Signed.build(
        **fields
        | {
            "run_id": secrets.token_hex(16),
            "started": started,
            "finished": finished,
            "elapsed_seconds": min(sum(p.elapsed_seconds for p in parts), between),
            "dataset": {
                **first.plain["dataset"],
                "suite": suite,
                "suite_games": of_suite,
                "rules": {game: by_game[game].dataset.rules[game] for game in games},
                "splits": {game: by_game[game].plain["dataset"]["splits"][game] for game in games},
            },
            "encoder": _encoder(by_game),
            "environment": {
                **first.plain["environment"],
                **({"machines": dict(sorted(machines.items()))} if spread else {}),
            },
            "isolation": _weakest([p.isolation for p in parts if p.isolation is not None]),
            "games": {game: by_game[game].plain["games"][game] for game in games},
        }
    )


def _weakest(parts: Sequence[Isolation]) -> Isolation | None:
    """Return what holds for all parts."""
    if not parts:
        return None
    held = {
        name: all(getattr(part, name) for part in parts)
        for name in ("own_process", "shuffled", "no_network", "no_dataset")
    }
    second = None if any(part.second_pass is None for part in parts) else True
    return Isolation(**held, second_pass=second, note=next((p.note for p in parts if p.note), None))
