"""Check that the parts of a result are consistent and that one run can have produced its numbers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any, NoReturn

from harness.encoders.named import RAM
from harness.probes.probe import DRAWS, FEW, NOT_CONVERGED, Metric, States
from harness.results.canonical import PLACES, ResultError
from harness.results.means import ONE, TRIVIAL, all_means
from harness.results.provenance import split_of
from harness.results.result import Signed
from harness.results.variables import Columns, Part, Variables

_ROUNDING = 0.0002
"""Allowed difference of numbers that follow from each other, after rounding to four places."""
_CEILING_SLACK = 0.001
"""How far accuracy may exceed its ceiling: features of equal frames can differ in their last bits."""
_EXPLAINED_SLACK = {"ordered": _CEILING_SLACK, "nominal": 10 * _CEILING_SLACK}
"""The same of a readout's score, which counts wrong rows against those of a constant, a tenth of all or more.

A circular variable has no limit: its ceiling is what the circular mean of equal frames reaches, and another
answer may exceed that a little."""
_PRESENCE = "_present"
"""How the names of targets end that say whether something is there, which is known on every row."""
_SLOW_CLOCK = 60
"""Seconds by which `elapsed_seconds` may exceed the time from start to end."""
_VALUES = 256
"""Most values of a label."""
_FURTHEST = 255
"""Largest distance of two labels."""

_CONVERGED = -3.3
"""Largest base-10 logarithm of a converged fit's gradient norm, which is at most 4e-4."""
_NOT_CONVERGED = 0
"""The same for a fit that says that it did not converge."""

_HEAD = ("name", "n")
"""Columns that are the same under every probe with one metric and test split."""
_CEILINGS = ("ceiling", "ceiling_accuracy")
"""The same of F1. A readout's ceiling follows from the constant of its training rows, as its score does."""


def check(signed: Signed) -> None:
    """Check that the parts of a result are consistent and that every mean follows from the scores.

    Raises:
        ResultError: They are not; the error names the first contradiction.
    """
    _check_ranked(signed)
    _check_weights(signed)
    _check_times(signed)
    _check_dataset(signed)
    probes = [probe.run for probe in signed.probes]
    if len(set(probes)) != len(probes):
        raise ResultError("Duplicate probe.", got=probes)
    _check_seeds(signed)
    for name, game in signed.games.items():
        expect(f"{name}: probes", probes, [scores.run for scores in game.scores])
    _check_heads(signed)
    for metric, parts in signed.parts.items():
        for part in parts:
            _check_rows(signed, metric, part)
        _check_variables(metric, parts)
    plain = signed.plain
    means, suite = all_means(plain["games"], signed.dataset.suite_games, plain["probes"])
    for name, game in plain["games"].items():
        for mean, scores in zip(means[name], game["scores"], strict=True):
            expect(f"{name}: means", mean, scores["means"])
    expect("suite", suite, plain["suite"])


def expect(what: str, expected: object, got: object) -> None:
    """Refuse a value that differs from what is expected, and say where.

    Raises:
        ResultError: The values differ.
    """
    if expected == got:
        return
    if isinstance(expected, dict) and isinstance(got, dict):
        for key, value in expected.items():
            expect(f"{what}.{key}", value, got.get(key))
    if isinstance(expected, list) and isinstance(got, list) and len(expected) == len(got):
        for number, (one, other) in enumerate(zip(expected, got, strict=True)):
            expect(f"{what}[{number}]", one, other)
    raise ResultError(f"The result contradicts itself at {what}.", expected=expected, got=ascii(got)[:200])


def _check_ranked(signed: Signed) -> None:
    expect("ranked without a reason against it", (signed.unranked_reason is None), signed.ranked)
    if signed.ranked and signed.harness.as_released is False:
        raise ResultError("A result of a modified harness cannot be ranked.", expected="ranked: false")
    if signed.ranked and signed.dataset.fresh_seed is not None:
        raise ResultError("A result on a fresh test split cannot be ranked.", expected="ranked: false")
    if signed.ranked and signed.dry_run_rows is not None:
        raise ResultError("A dry run cannot be ranked.", expected="ranked: false")
    expect("encoder.frames, null for ram alone", signed.encoder.name == RAM, signed.encoder.frames is None)
    if signed.ranked and signed.encoder.frames is None:
        raise ResultError("The RAM is an upper bound and cannot be ranked.", expected="ranked: false")
    if signed.isolation is not None and signed.isolation.second_pass is False:
        raise ResultError(
            "The encoder gave different features in a second pass.", expected="second_pass: true"
        )


def _check_weights(signed: Signed) -> None:
    weights = signed.encoder.weights
    if isinstance(weights, dict):
        expect("games of the encoder's weights", list(signed.games), list(weights))
        expect("encoder.per_game with weights for each game", True, signed.encoder.per_game)
    training = signed.encoder.training
    if training is not None:
        games = signed.games if isinstance(weights, dict) else training.steps
        expect(
            "games of the encoder's training",
            [sorted(games)] * 2,
            [sorted(training.steps), sorted(training.data)],
        )


def _check_times(signed: Signed) -> None:
    try:
        started, finished = (datetime.fromisoformat(text) for text in (signed.started, signed.finished))
    except ValueError as error:
        raise ResultError("Not a calendar date.", got=f"{signed.started}, {signed.finished}") from error
    if finished < started or signed.elapsed_seconds < 0:
        raise ResultError("The run ended before it started.", got=f"{signed.started} to {signed.finished}")
    between = (finished - started).total_seconds()
    if signed.elapsed_seconds > between + _SLOW_CLOCK:
        raise ResultError(
            "`elapsed_seconds` is longer than the time from start to end.",
            expected=f"at most {between:.0f} s",
            got=signed.elapsed_seconds,
        )


def _check_dataset(signed: Signed) -> None:
    dataset = signed.dataset
    expect("dataset.suite_games", sorted(set(dataset.suite_games)), dataset.suite_games)
    expect("games of the dataset's rules", list(signed.games), list(dataset.rules))
    expect("games of the dataset's splits", list(signed.games), list(dataset.splits))
    for name, splits in dataset.splits.items():
        if name not in dataset.suite_games:
            raise ResultError(f"The game {name} is not in the suite.")
        if missing := {"train", "validation", "test"} - set(splits):
            raise ResultError(f"{name}: the splits {', '.join(sorted(missing))} are missing.")


def _check_seeds(signed: Signed) -> None:
    """Check that every seed that the probes' settings name is there, and the bootstrap's."""
    own = {p.probe: p.settings["seed"] for p in signed.probes if "seed" in p.settings}
    bootstrap = signed.seeds.get("bootstrap")
    if bootstrap is None:
        raise ResultError("The seed of the bootstrap is missing.", expected="bootstrap", got=signed.seeds)
    for name in {*own, *signed.seeds} - {"bootstrap"}:
        expect(f"seeds.{name}", own.get(name), signed.seeds.get(name))


def _check_heads(signed: Signed) -> None:
    """Check that the splits are there, and that every variable is described once, in the probes' order."""
    for game, found in signed.games.items():
        used: dict[str, dict[str, None]] = {}
        for probe, scores in zip(signed.probes, found.scores, strict=True):
            splits = {split_of(probe.fitted_on, "train"), split_of(probe.scored_on, "test")}
            if splits - set(signed.dataset.splits[game]):
                raise ResultError(f"{game}: the splits of deep states are missing.", got=probe.run)
            used.setdefault(probe.metric, {}).update(dict.fromkeys(scores.variables.column("name")))
        expect(f"{game}: metrics", sorted(used), list(found.variables))
        for metric, variables in found.variables.items():
            expect(f"{game}: variables of {metric}", list(used[metric]), variables.columns["name"])
            _check_kinds(game, variables)


def _check_kinds(game: str, variables: Variables) -> None:
    """Check that variables are in each category once, and that what is circular has a period."""
    columns = variables.columns
    periods = columns.get("period") or [None] * len(variables)
    rows = zip(*(columns[key] for key in ("name", "categories", "kind")), periods, strict=True)
    for name, categories, kind, period in rows:
        if len(set(categories)) < len(categories):
            raise ResultError(f"{game}.{name}: duplicate category.", got=categories)
        if (kind == "circular") != (period is not None):
            raise ResultError(f"{game}.{name}: only what is circular has a period.", got=period)


def _check_variables(metric: Metric, parts: Sequence[Part]) -> None:
    """Check that each game has the same variables as under earlier probes with the same rows."""
    heads: dict[tuple[str, States, States], Columns] = {}
    keys = (*_HEAD, *_CEILINGS) if metric == "f1" else _HEAD
    for _, run, game, table in parts:
        head = table.take(keys)
        first = heads.setdefault((game, run.fitted_on, run.scored_on), head)
        if head != first:
            one, other = (list(zip(*columns, strict=True)) for columns in (first, head))
            expect(f"{game}: variables of every probe", one, other)
        if len(set(head[0])) != len(head[0]):
            raise ResultError(f"{game}: duplicate variable.")


def _refuse(part: Part, at: int, what: str, field: str, *expected: float) -> NoReturn:
    """Refuse the result because of a row.

    Args:
        part: The rows.
        at: Which one.
        what: What is wrong with it.
        field: The field with the wrong value.
        expected: The right value; or the lower and the upper limit.
    """
    name, got = (part.table.column(key)[at] for key in ("name", field))
    limits = " to ".join(f"{round(limit, PLACES):.12g}" for limit in expected)
    raise ResultError(f"{part.game}.{name} under {part.run}: {what}", expected=limits or None, got=got)


def _refuse_known(part: Part, field: str, what: str) -> None:
    """Refuse the result if a column has a number; one that has none is left out of the file."""
    if field in part.table.columns:
        column = part.table.columns[field]
        _refuse(part, next(at for at, value in enumerate(column) if value is not None), what, field)


def _filled(part: Part, field: str, what: str = "") -> list[Any]:
    """Return a column without nulls, and refuse the result if it has one."""
    column = part.table.column(field)
    if None in column:
        _refuse(part, column.index(None), what or f"{field} is null; every run computes it.", field)
    return column


def _rows(part: Part, *fields: str) -> Iterator[tuple[int, tuple[Any, ...]]]:
    """Return the values of each row in some fields, with its number."""
    return enumerate(zip(*part.table.take(fields), strict=True))


def _check_rows(signed: Signed, metric: Metric, part: Part) -> None:
    """Check that the numbers of each row can come from one set of predictions."""
    scores = signed.games[part.game].scores[part.probe]
    alone, without = scores.fits == 1, scores.trivial_reason is not None
    averaged = metric == "explained" and part.run.train_rows == FEW
    expect(f"{part.game}: fits of {part.run}", DRAWS if averaged else 1, scores.fits)
    _check_head(signed, metric, part)
    for field in TRIVIAL if metric == "explained" else TRIVIAL[:2]:
        what = "`trivial_reason` must be given if, and only if, all trivial scores are null."
        (_refuse_known if without else _filled)(part, field, what)
    _check_fits(signed, metric, part, alone=alone)
    filled = zip(*(_filled(part, field) for field in ("score", "constant", "interval")), strict=True)
    for at, (score, _, (low, high)) in enumerate(filled):
        if not low <= score <= high:
            _refuse(part, at, "interval does not contain the score.", "interval", score)
    if metric == "f1":
        _check_f1(signed, part)
    else:
        _check_explained(part, scores.fits)
        if _one_frame(signed):
            _check_explained_ceilings(part)


def _check_head(signed: Signed, metric: Metric, part: Part) -> None:
    """Check on how many rows variables are scored, and which have errors."""
    known = signed.dataset.splits[part.game][split_of(part.run.scored_on, "test")].rows
    most = min(known, signed.dry_run_rows or known)
    for at, (name, n, kind, error) in _rows(part, "name", "n", "kind", "error"):
        least = most if metric == "f1" or name.endswith(_PRESENCE) else 1
        if not least <= n <= most:
            _refuse(part, at, "n is not the number of test rows.", "n", least, most)
        if (kind == "nominal") != (error is None):
            what = "wrong error: it is null if, and only if, the values have no order."
            _refuse(part, at, what, "error")


def _check_fits(signed: Signed, metric: Metric, part: Part, *, alone: bool) -> None:
    """Check that the probe's settings allow what each fit says of itself."""
    settings, is_f1 = signed.probes[part.probe].settings, metric == "f1"
    ordered = settings.get("strengths_log10")
    nominal = settings.get("nominal_strengths_log10", ordered)
    known = signed.dataset.splits[part.game][split_of(part.run.fitted_on, "train")].rows
    most = min(known, _VALUES) if is_f1 else known
    fields = ("kind", "strength_log10", "gradient_log10", "classes", "note")
    for at, (kind, strength, gradient, classes, note) in _rows(part, *fields):
        grid = nominal if kind == "nominal" else ordered
        classifies = is_f1 or (kind == "nominal" and alone and strength is not None)
        if classifies and not 1 <= classes <= most:
            _refuse(part, at, "impossible number of classes.", "classes", most)
        chosen = classifies and classes > 1 and isinstance(grid, list)
        if classifies and not chosen and (strength, gradient) != (None, None):
            _refuse(part, at, "strength and gradient must be null.", "strength_log10")
        off_grid = chosen if strength is None else not isinstance(grid, list) or strength not in grid
        if off_grid or not (classifies or gradient is None):
            what = "the strength is not on the grid, or a gradient is of no single fit."
            _refuse(part, at, what, "strength_log10")
        largest = _NOT_CONVERGED if note and NOT_CONVERGED in note else _CONVERGED
        if chosen and (gradient is None or gradient > largest):
            _refuse(part, at, "the fit did not converge.", "gradient_log10", largest)
    limit = settings.get("epochs")
    for at, epochs in enumerate(part.table.column("epochs")):
        if not (epochs and epochs <= limit if isinstance(limit, int | float) else epochs is None):
            _refuse(part, at, "impossible number of epochs.", "epochs")


def _check_f1(signed: Signed, part: Part) -> None:
    """Check the rows whose score is weighted F1."""
    _check_shares(part, frozen=signed.dry_run_rows is None and signed.dataset.fresh_seed is None)
    one_frame = _one_frame(signed)
    fields = ("score", "accuracy", "constant", "constant_accuracy", "ceiling_accuracy", "error")
    for at, (score, accuracy, constant, of_constant, ceiling, error) in _rows(part, *fields):
        majority = _least_f1(of_constant)
        if abs(majority - constant) > _ROUNDING:
            _refuse(part, at, "constant does not follow from constant_accuracy.", "constant", majority)
        least, most = _least_f1(accuracy), 2 * accuracy / (1 + accuracy)
        if not least - _ROUNDING <= score <= most + _ROUNDING:
            _refuse(part, at, "no predictions with this accuracy have this f1.", "score", least, most)
        if one_frame and ceiling is not None and accuracy > ceiling + _CEILING_SLACK:
            what = "accuracy exceeds that of any function of a single frame."
            _refuse(part, at, what, "accuracy", 0, ceiling)
        wrong = 1 - accuracy
        if error is not None and not wrong - _ROUNDING <= error <= _FURTHEST * (wrong + _ROUNDING):
            what = f"error contradicts accuracy: every wrong row is off by 1 to {_FURTHEST}."
            _refuse(part, at, what, "error", wrong, _FURTHEST * wrong)
    _refuse_known(part, "raw", "raw is not known of F1, which is not cut off.")
    _refuse_known(part, "constant_error", "constant_error is not known of F1.")


def _one_frame(signed: Signed) -> bool:
    """Return whether the encoder sees one frame at a time, so that no score can exceed its ceiling."""
    frames = signed.encoder.frames
    return frames is not None and frames.stack == 1


def _check_shares(part: Part, *, frozen: bool) -> None:
    """Check that accuracies are there, and that they are shares of the test rows.

    Args:
        part: The rows.
        frozen: Whether the test rows are those of the dataset, whose ceilings are known.
    """
    for field in _CEILINGS:
        if frozen:
            _filled(part, field, f"{field} is known for the frozen test split.")
        else:
            _refuse_known(part, field, f"{field} is unknown here.")
    rows = part.table.column("n")
    for field in ("accuracy", "constant_accuracy", *_CEILINGS[1:] * frozen):
        for at, (value, n) in enumerate(zip(_filled(part, field), rows, strict=True)):
            whole = round(value * ONE)  # k/n is within half a ten-thousandth
            if not n or whole / ONE != value or 2 * abs(round(value * n) * ONE - whole * n) > n:
                _refuse(part, at, f"{field} is not a fraction of n rows.", field)


def _check_explained(part: Part, fits: int) -> None:
    """Check the rows whose score is the share of what a constant leaves unknown.

    A score is the mean of what each fit has after it is cut off, and raw the mean before. They differ only if
    some fit is below 0; that one has 0 then, and the others 1 at most.

    Args:
        part: The rows.
        fits: The number of fits whose scores are averaged.
    """
    raws, alone = _filled(part, "raw"), fits == 1
    for at, (score, constant, accuracy, of_constant) in _rows(
        part, "score", "constant", "accuracy", "constant_accuracy"
    ):
        if constant != 0:
            _refuse(part, at, "the score of a constant is not 0.", "constant")
        raw = raws[at]
        cut = min(max(raw, 0), 1)
        most = max(cut, 1 - 1 / fits)
        if not cut - _ROUNDING <= score <= most + _ROUNDING:
            what = "score is not raw, cut off." if alone else f"no {fits} fits with this raw have this score."
            _refuse(part, at, what, "score", cut, most)
        if alone and accuracy is not None and not _follows(raw, accuracy, of_constant):
            _refuse(part, at, "raw does not follow from the accuracies.", "raw")
        if raw > 1:
            _refuse(part, at, "raw is more than 1.", "raw")
    for field in ("error", "constant_error"):
        for at, (accuracy, error) in _rows(part, "accuracy", field):
            if accuracy is None and (error is None or error < 0):
                _refuse(part, at, f"{field} is null or negative.", field)


def _check_explained_ceilings(part: Part) -> None:
    """Check that no score exceeds that of any function of a single frame."""
    for at, (score, kind, ceiling) in _rows(part, "score", "kind", "ceiling"):
        slack = _EXPLAINED_SLACK.get(kind)
        if slack is not None and ceiling is not None and score > ceiling + slack:
            what = "score exceeds that of any function of a single frame."
            _refuse(part, at, what, "score", 0, ceiling)


def _follows(raw: float, accuracy: float, of_constant: float | None) -> bool:
    """Return whether a score that is not cut off follows from the accuracies."""
    if of_constant is None:
        return False
    off = abs((raw - 1) * (1 - of_constant) + (1 - accuracy))
    return off <= _ROUNDING * max(1, abs(raw - 1))  # the rounded constant counts so often


def _least_f1(accuracy: float) -> float:
    """Return the least weighted F1 at accuracy a, 2a^2 / (1 + a), reached by a constant prediction.

    With n_c rows and p_c predictions of class c, t_c of them correct, weighted F1 is the sum over classes of
    2 n_c t_c / (n_c + p_c), divided by n. It decreases as n_c approaches t_c, and the bound follows from
    Cauchy's inequality, since the t_c add up to a n. The greatest value is 2a / (1 + a), by Jensen's
    inequality: every prediction of a class is correct and all recalls are equal.
    """
    return 2 * accuracy * accuracy / (1 + accuracy)
