"""Check that the parts of a result are consistent and that one run can have produced its numbers."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from functools import partial

import numpy as np
import numpy.typing as npt

from harness.encoders.named import RAM
from harness.probes.probe import NOT_CONVERGED, Metric, States
from harness.results.canonical import PLACES, ResultError
from harness.results.means import AVERAGED, ONE, TRIVIAL, Floats, all_means
from harness.results.provenance import split_of
from harness.results.result import Signed
from harness.results.variables import Columns, Rows, Variables

_ROUNDING = 0.0002
"""Allowed difference of numbers that follow from each other, after rounding to four places."""
_CEILING_SLACK = 0.001
"""How far accuracy may exceed its ceiling: features of equal frames can differ in their last bits."""
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

_ALWAYS = {"score": "score", "constant": "constant", "interval": "low"}
"""Columns that every run fills, and where their numbers are."""
_HEAD = ("name", "n")
"""Columns that are the same under every probe with one metric and test split."""
_CEILINGS = ("ceiling", "ceiling_accuracy")
"""The same of F1. A readout's ceiling follows from the constant of its training rows, as its score does."""

_Flags = npt.NDArray[np.bool_]


def check(signed: Signed) -> None:
    """Check that the parts of a result are consistent and that every mean follows from the scores.

    Raises:
        ResultError: They are not; the error names the first contradiction.
    """
    _check_ranked(signed)
    _check_times(signed)
    _check_dataset(signed)
    probes = [probe.run for probe in signed.probes]
    if len(set(probes)) != len(probes):
        raise ResultError("Duplicate probe.", got=probes)
    _check_seeds(signed)
    for name, game in signed.games.items():
        expect(f"{name}: probes", probes, [scores.run for scores in game.scores])
    _check_heads(signed)
    for metric, rows in signed.rows.items():
        _check_rows(signed, metric, rows)
        _check_variables(metric, rows)
    plain, columns = signed.plain, _averaged(list(signed.rows.values()))
    means, suite = all_means(plain["games"], signed.dataset.suite_games, plain["probes"], columns)
    for name, game in plain["games"].items():
        for mean, scores in zip(means[name], game["scores"], strict=True):
            expect(f"{name}: means", mean, scores["means"])
    expect("suite", suite, plain["suite"])


def _averaged(found: Sequence[Rows]) -> dict[str, Floats]:
    """Return the numbers to average: of all games under the first probe, then under the next one."""
    order = np.argsort(np.concatenate([rows.probes for rows in found]), kind="stable")
    columns = {
        key: [rows.trivial if key == "trivial" else rows.numbers[key] for rows in found] for key in AVERAGED
    }
    return {key: np.concatenate(parts)[order] for key, parts in columns.items()}


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


def _check_variables(metric: Metric, rows: Rows) -> None:
    """Check that each game has the same variables as under earlier probes with the same rows."""
    heads: dict[tuple[str, States, States], Columns] = {}
    keys = (*_HEAD, *_CEILINGS) if metric == "f1" else _HEAD
    for _, run, game, table in rows.parts:
        head = table.take(keys)
        first = heads.setdefault((game, run.fitted_on, run.scored_on), head)
        if head != first:
            one, other = (list(zip(*columns, strict=True)) for columns in (first, head))
            expect(f"{game}: variables of every probe", one, other)
        if len(set(head[0])) != len(head[0]):
            raise ResultError(f"{game}: duplicate variable.")


def _refuse(
    rows: Rows, bad: _Flags, what: str, got: str, expected: object = None, to: Floats | None = None
) -> None:
    """Refuse the result if any row is bad, and name the first one.

    Args:
        rows: The rows.
        bad: bool [rows].
        what: What is wrong with a bad row.
        got: The field with the wrong value.
        expected: The right value or the lower limit, by row; or what is right in any row.
        to: The upper limit, by row.
    """
    if not bad.any():
        return
    at = int(bad.argmax())
    if isinstance(expected, np.ndarray):
        limits = [f"{round(limit[at], PLACES):.12g}" for limit in (expected, to) if limit is not None]
        expected = " to ".join(limits)
    raise ResultError(f"{rows.where(at)}: {what}", expected=expected, got=rows.column(got)[at])


def _check_rows(signed: Signed, metric: Metric, rows: Rows) -> None:
    """Check that the numbers of each row can come from one set of predictions."""
    c, refuse = rows.numbers, partial(_refuse, rows)
    scores = [signed.games[part.game].scores[part.probe] for part in rows.parts]
    alone = rows.spread([each.fits == 1 for each in scores])
    _check_head(signed, metric, rows)
    without = rows.spread([each.trivial_reason is not None for each in scores])
    for field in TRIVIAL if metric == "explained" else TRIVIAL[:2]:
        what = "`trivial_reason` must be given if, and only if, all trivial scores are null."
        refuse(np.isnan(c[field]) != without, what, field)
    _check_fits(signed, metric, rows, alone)
    for field, numbers in _ALWAYS.items():
        refuse(np.isnan(c[numbers]), f"{field} is null; every run computes it.", field)
    outside = ~((c["low"] <= c["score"]) & (c["score"] <= c["high"]))
    refuse(outside, "interval does not contain the score.", "interval", c["score"])
    if metric == "f1":
        _check_f1(signed, rows)
    else:
        _check_explained(rows, alone)


def _check_head(signed: Signed, metric: Metric, rows: Rows) -> None:
    """Check on how many rows variables are scored, and which have errors."""
    c, refuse = rows.numbers, partial(_refuse, rows)
    splits = signed.dataset.splits
    known = [splits[part.game][split_of(part.run.scored_on, "test")].rows for part in rows.parts]
    most = rows.spread([min(n, signed.dry_run_rows or n) for n in known])
    least = most if metric == "f1" else np.ones_like(most)
    refuse((c["n"] < least) | (c["n"] > most), "n is not the number of test rows.", "n", least, most)
    what = "wrong error: it is null if, and only if, the values have no order."
    refuse(rows.nominal != np.isnan(c["error"]), what, "error")


def _check_fits(signed: Signed, metric: Metric, rows: Rows, alone: _Flags) -> None:
    """Check that the probes' settings allow what each fit says of itself."""
    c, refuse, is_f1 = rows.numbers, partial(_refuse, rows), metric == "f1"
    nominal = rows.nominal
    strength, gradient, classes, epochs = (
        c[field] for field in ("strength_log10", "gradient_log10", "classes", "epochs")
    )
    no_strength, no_gradient = np.isnan(strength), np.isnan(gradient)
    has_grid, on_grid, epochs_off = (np.zeros(len(strength), np.bool_) for _ in range(3))
    for number in dict.fromkeys(part.probe for part in rows.parts):
        settings, at = signed.probes[number].settings, rows.probes == number
        grid = settings.get("strengths_log10")
        nominal_grid = settings.get("nominal_strengths_log10", grid)
        for here, allowed in ((at & ~nominal, grid), (at & nominal, nominal_grid)):
            has_grid[here] = isinstance(allowed, list)
            on_grid[here] = _among(strength[here], allowed)
        limit = settings.get("epochs")
        if isinstance(limit, int | float):
            epochs_off[at] = ~((epochs[at] >= 1) & (epochs[at] <= limit))
        else:
            epochs_off[at] = ~np.isnan(epochs[at])
    classifies = is_f1 | (nominal & alone & ~no_strength)
    splits = signed.dataset.splits
    known = [splits[part.game][split_of(part.run.fitted_on, "train")].rows for part in rows.parts]
    most = rows.spread([min(n, _VALUES) if is_f1 else n for n in known])
    bad = classifies & ((classes < 1) | (classes > most))
    refuse(bad, "impossible number of classes.", "classes", most)
    chosen = classifies & has_grid & (classes > 1)
    bad = classifies & ~chosen & ~(no_strength & no_gradient)
    refuse(bad, "strength and gradient must be null.", "strength_log10")
    bad = np.where(no_strength, chosen, ~on_grid) | (~classifies & ~no_gradient)
    what = "the strength is not on the grid, or a gradient is of no single fit."
    refuse(bad, what, "strength_log10")
    stopped = np.array([NOT_CONVERGED in (note or "") for note in rows.column("note")])
    most = np.where(stopped, _NOT_CONVERGED, _CONVERGED)
    refuse(chosen & ~(gradient <= most), "the fit did not converge.", "gradient_log10", most)
    refuse(epochs_off, "impossible number of epochs.", "epochs")


def _among(values: Floats, grid: object) -> _Flags:
    return np.isin(values, [s for s in grid if isinstance(s, int | float)] if isinstance(grid, list) else [])


def _check_f1(signed: Signed, rows: Rows) -> None:
    """Check the rows whose score is weighted F1."""
    c, refuse = rows.numbers, partial(_refuse, rows)
    f1, accuracy = c["score"], c["accuracy"]
    for field in ("accuracy", "constant_accuracy"):
        refuse(np.isnan(c[field]), f"{field} is null; every run computes it.", field)
    frozen = signed.dry_run_rows is None and signed.dataset.fresh_seed is None
    for field in ("ceiling", "ceiling_accuracy"):
        what = f"{field} is known for the frozen test split." if frozen else f"{field} is unknown here."
        refuse(np.isnan(c[field]) == frozen, what, field)
    for metric in ("accuracy", "constant_accuracy", "ceiling_accuracy"):
        odd = ~np.isnan(c[metric]) & ~_are_shares(c[metric], c["n"])
        refuse(odd, f"{metric} is not a fraction of n rows.", metric)
    majority = _least_f1(c["constant_accuracy"])
    odd = ~(np.abs(majority - c["constant"]) <= _ROUNDING)
    refuse(odd, "constant does not follow from constant_accuracy.", "constant", majority)
    least, most = _least_f1(accuracy), 2 * accuracy / (1 + accuracy)
    beyond = ~((f1 >= least - _ROUNDING) & (f1 <= most + _ROUNDING))
    refuse(beyond, "no predictions with this accuracy have this f1.", "score", least, most)
    if signed.encoder.frames is not None and signed.encoder.frames.stack == 1:
        refuse(
            accuracy > c["ceiling_accuracy"] + _CEILING_SLACK,
            "accuracy exceeds that of any function of a single frame.",
            "accuracy",
            np.zeros_like(accuracy),
            c["ceiling_accuracy"],
        )
    wrong = 1 - accuracy
    refuse(
        (c["error"] < wrong - _ROUNDING) | (c["error"] > _FURTHEST * (wrong + _ROUNDING)),
        f"error contradicts accuracy: every wrong row is off by 1 to {_FURTHEST}.",
        "error",
        wrong,
        _FURTHEST * wrong,
    )
    refuse(~np.isnan(c["raw"]), "raw is not known of F1, which is not cut off.", "raw")
    refuse(~np.isnan(c["constant_error"]), "constant_error is not known of F1.", "constant_error")


def _check_explained(rows: Rows, alone: _Flags) -> None:
    """Check the rows whose score is the share of what a constant leaves unknown.

    Args:
        rows: The rows.
        alone: bool [rows], whether a score is that of one fit, and not a mean.
    """
    c, refuse = rows.numbers, partial(_refuse, rows)
    refuse(np.isnan(c["raw"]), "raw is null; every run computes it.", "raw")
    refuse(c["constant"] != 0, "the score of a constant is not 0.", "constant")
    cut = np.clip(c["raw"], 0, 1)
    refuse(c["score"] < cut - _ROUNDING, "score is less than raw, cut off at 0 and 1.", "score", cut)
    refuse(alone & (np.abs(c["score"] - cut) > _ROUNDING), "score is not raw, cut off.", "score", cut)
    numbers = np.isnan(c["accuracy"])
    unknown = 1 - c["constant_accuracy"]
    off = np.abs((c["raw"] - 1) * unknown + (1 - c["accuracy"]))
    rounding = _ROUNDING * np.maximum(1, np.abs(c["raw"] - 1))  # the rounded constant counts so often
    refuse(~numbers & alone & ~(off <= rounding), "raw does not follow from the accuracies.", "raw")
    refuse(c["raw"] > 1, "raw is more than 1.", "raw")
    refuse(numbers & ~(c["error"] >= 0), "error is null or negative.", "error")
    refuse(numbers & ~(c["constant_error"] >= 0), "constant_error is null or negative.", "constant_error")


def _least_f1(accuracy: Floats) -> Floats:
    """Return the least weighted F1 at accuracy a, 2a^2 / (1 + a), reached by a constant prediction.

    With n_c rows and p_c predictions of class c, t_c of them correct, weighted F1 is the sum over classes of
    2 n_c t_c / (n_c + p_c), divided by n. It decreases as n_c approaches t_c, and the bound follows from
    Cauchy's inequality, since the t_c add up to a n. The greatest value is 2a / (1 + a), by Jensen's
    inequality: every prediction of a class is correct and all recalls are equal.
    """
    return 2 * accuracy * accuracy / (1 + accuracy)


def _are_shares(values: Floats, n: Floats) -> _Flags:
    """Return whether numbers with four places are rounded fractions k/n."""
    whole = np.rint(values * ONE)
    near = 2 * np.abs(np.rint(values * n) * ONE - whole * n) <= n
    return np.asarray((n > 0) & (whole / ONE == values) & near)
