"""Check that the parts of a result are consistent and that one run can have produced its numbers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from functools import partial

import numpy as np
import numpy.typing as npt

from harness.encoders.named import RAM
from harness.probes.probe import NOT_CONVERGED, ProbeRun
from harness.results.canonical import ResultError
from harness.results.means import METRICS, ONE, TRIVIAL, Floats, all_means, best_trivial, normalised
from harness.results.provenance import split_of
from harness.results.result import GameScores, Probe, ProbeScores, Signed
from harness.results.variables import Columns, Rows

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

_ALWAYS = (*METRICS, "raw", "interval")
"""Columns that every run fills."""
_HEAD = ("name", "categories", "kind", "unit", "period", "n", "ceiling", "ceiling_accuracy")
"""Columns that are the same under every probe with one metric and test split."""

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
    plain = signed.plain
    rows = signed.rows
    for name, game in signed.games.items():
        _check_game(signed, name, game, probes)
    numbers = rows.numbers()
    _check_rows(rows, numbers, signed)
    means, suite = all_means(plain["games"], signed.dataset.suite_games, plain["probes"], numbers)
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


def _check_game(signed: Signed, name: str, game: GameScores, probes: Sequence[ProbeRun]) -> None:
    """Check that a game has the same variables under every probe."""
    expect(f"{name}: probes", probes, [scores.run for scores in game.scores])
    heads: dict[tuple[str, str, str], Columns] = {}
    for probe, scores in zip(signed.probes, game.scores, strict=True):
        head = scores.variables.take(_HEAD)
        alike = (probe.metric, probe.fitted_on, probe.scored_on)
        first = heads.setdefault(alike, head)
        if head != first:
            one, other = (list(zip(*columns, strict=True)) for columns in (first, head))
            expect(f"{name}: variables of every probe", one, other)
        _check_head(signed, name, probe, scores)
        _check_fits(name, probe, scores, signed.dataset.splits[name][split_of(probe.fitted_on, "train")].rows)
        _check_floors(name, probe, scores)


def _check_head(signed: Signed, game: str, probe: Probe, scores: ProbeScores) -> None:
    """Check what the variables of a probe are, and on how many rows they are scored."""
    names, categories, kinds, periods, sizes, errors = scores.variables.take(
        ("name", "categories", "kind", "period", "n", "error")
    )
    if len(set(names)) != len(names):
        raise ResultError(f"{game}: duplicate variable.")
    known = signed.dataset.splits[game].get(split_of(probe.scored_on, "test"))
    if known is None:
        raise ResultError(f"{game}: the splits of deep states are missing.", got=probe.run)
    rows = known.rows if signed.dry_run_rows is None else min(known.rows, signed.dry_run_rows)
    for name, members, kind, period, n, error in zip(
        names, categories, kinds, periods, sizes, errors, strict=True
    ):
        where = f"{game}.{name}: "
        if (n != rows) if probe.metric == "f1" else not 1 <= n <= rows:
            expected = rows if probe.metric == "f1" else f"1 to {rows}"
            raise ResultError(where + "n is not the number of test rows.", expected=expected, got=n)
        if len(set(members)) != len(members):
            raise ResultError(where + "duplicate category.", got=members)
        if (kind == "circular") != (period is not None):
            raise ResultError(where + "only what is circular has a period.", got=(kind, period))
        if (error is None) != (kind == "nominal"):
            expected = "null: its values have no order" if kind == "nominal" else "a number"
            raise ResultError(where + "wrong error.", expected=expected, got=error)


def _check_floors(game: str, probe: Probe, scores: ProbeScores) -> None:
    """Check that trivial scores are there, or a reason why not."""
    columns = scores.variables.take(TRIVIAL if probe.metric == "explained" else TRIVIAL[:2])
    n = 0 if scores.trivial_reason is None else len(columns[0])
    if any(column.count(None) != n for column in columns):
        raise ResultError(
            f"{game}: `trivial_reason` must be given if, and only if, all trivial scores are null.",
            got=scores.trivial_reason,
        )


def _check_fits(game: str, probe: Probe, scores: ProbeScores, train_rows: int) -> None:
    """Check that the probe's settings allow what each fit says of itself."""
    strengths, epochs = probe.settings.get("strengths_log10"), probe.settings.get("epochs")
    nominal = probe.settings.get("nominal_strengths_log10")
    most_epochs = epochs if isinstance(epochs, int | float) else None
    columns = scores.variables.take(
        ("name", "kind", "classes", "strength_log10", "gradient_log10", "epochs", "note")
    )
    under = f" under {probe.run}: "
    grids = {
        is_nominal: (allowed, set(allowed) if isinstance(allowed, list) else None)
        for is_nominal, allowed in ((True, strengths if nominal is None else nominal), (False, strengths))
    }
    for name, kind, classes, strength, gradient, ran, note in zip(*columns, strict=True):
        where = f"{game}.{name}{under}"
        allowed, grid = grids[kind == "nominal"]
        if probe.metric == "explained" and (scores.fits > 1 or kind != "nominal" or strength is None):
            if gradient is not None or (strength is not None and strength not in (grid or ())):
                raise ResultError(where + "the strength is not on the grid.", expected=allowed, got=strength)
            continue
        if not 1 <= classes <= (min(train_rows, _VALUES) if probe.metric == "f1" else train_rows):
            raise ResultError(where + "impossible number of classes.", got=classes)
        if (grid is None or classes == 1) and (strength, gradient) != (None, None):
            raise ResultError(where + "strength and gradient must be null.", got=(strength, gradient))
        if grid is not None and classes > 1:
            most = _NOT_CONVERGED if NOT_CONVERGED in (note or "") else _CONVERGED
            if strength not in grid:
                raise ResultError(where + "the strength is not on the grid.", expected=allowed, got=strength)
            if gradient is None or gradient > most:
                expected = f"gradient_log10 of at most {most}"
                raise ResultError(where + "the fit did not converge.", expected=expected, got=gradient)
        if (ran is None) != (most_epochs is None) or (most_epochs and not 1 <= ran <= most_epochs):
            expected = "null" if most_epochs is None else f"1 to {most_epochs:.0f}"
            raise ResultError(where + "impossible number of epochs.", expected=expected, got=ran)


def _refuse(
    rows: Rows, bad: _Flags, what: str, got: str, expected: Floats | None = None, to: Floats | None = None
) -> None:
    """Refuse the result if any row is bad, and name the first one.

    Args:
        rows: All rows of the result.
        bad: bool [rows].
        what: What is wrong with a bad row.
        got: The field with the wrong value.
        expected: The right value or the lower limit, by row.
        to: The upper limit, by row.
    """
    if not bad.any():
        return
    at = int(bad.argmax())
    least = None if expected is None else f"{expected[at]:.4f}"
    raise ResultError(
        f"{rows.where(at)}: {what}",
        expected=least if to is None else f"{least} to {to[at]:.4f}",
        got=rows.column(got)[at],
    )


def _check_rows(rows: Rows, c: Mapping[str, Floats], signed: Signed) -> None:
    """Check that the numbers of each row can come from one set of predictions."""
    refuse = partial(_refuse, rows)
    f1, accuracy = c["score"], c["accuracy"]
    for field in _ALWAYS:
        missing = np.array([value is None for value in rows.column(field)])
        refuse(missing, f"{field} is null; every run computes it.", field)
    frozen = signed.dry_run_rows is None and signed.dataset.fresh_seed is None
    is_f1 = _of_rows(signed, lambda probe, _: probe.metric == "f1")
    for field in ("accuracy", "constant_accuracy"):
        missing = np.array([value is None for value in rows.column(field)])
        refuse(is_f1 & missing, f"{field} is null; every run computes it.", field)
    for field in ("ceiling", "ceiling_accuracy"):
        missing = np.array([value is None for value in rows.column(field)])
        what = f"{field} is known for the frozen test split" if frozen else f"{field} is unknown here"
        refuse(is_f1 & (missing if frozen else ~missing), f"{what}.", field)
    outside = ~np.isnan(c["low"]) & ~((c["low"] <= f1) & (f1 <= c["high"]))
    refuse(outside, "interval does not contain the score.", "interval", f1)
    for metric in ("accuracy", "constant_accuracy", "ceiling_accuracy"):
        odd = is_f1 & ~np.isnan(c[metric]) & ~_are_shares(c[metric], c["n"])
        refuse(odd, f"{metric} is not a fraction of n rows.", metric)
    majority = _least_f1(c["constant_accuracy"])
    refuse(
        is_f1 & ~(np.abs(majority - c["constant"]) <= _ROUNDING),
        "constant does not follow from constant_accuracy.",
        "constant",
        majority,
    )
    least, most = _least_f1(accuracy), 2 * accuracy / (1 + accuracy)
    beyond = is_f1 & ~((f1 >= least - _ROUNDING) & (f1 <= most + _ROUNDING))
    refuse(beyond, "no predictions with this accuracy have this f1.", "score", least, most)
    if signed.encoder.frames is not None and signed.encoder.frames.stack == 1:
        refuse(
            is_f1 & (accuracy > c["ceiling_accuracy"] + _CEILING_SLACK),
            "accuracy exceeds that of any function of a single frame.",
            "accuracy",
            np.zeros_like(accuracy),
            c["ceiling_accuracy"],
        )
    wrong = 1 - accuracy
    refuse(
        is_f1 & ((c["error"] < wrong - _ROUNDING) | (c["error"] > _FURTHEST * (wrong + _ROUNDING))),
        f"error contradicts accuracy: every wrong row is off by 1 to {_FURTHEST}.",
        "error",
        wrong,
        _FURTHEST * wrong,
    )
    refuse(is_f1 & (c["raw"] != f1), "raw is not the score.", "raw", f1)
    refuse(is_f1 & ~np.isnan(c["constant_error"]), "constant_error is not known of F1.", "constant_error")
    _check_explained(rows, c, ~is_f1, _of_rows(signed, lambda _, scores: scores.fits == 1))
    best = best_trivial(c)
    refuse(_differ(best, c["trivial"]), "trivial contradicts the other scores.", "trivial", best)
    relative = normalised(c["score"], best, c["ceiling"])
    bad = _differ(relative, c["normalised"])
    refuse(bad, "normalised contradicts the other scores.", "normalised", relative)


def _of_rows(signed: Signed, holds: Callable[[Probe, ProbeScores], bool]) -> _Flags:
    """Return for each row whether something holds of its probe and game."""
    return np.concatenate(
        [
            np.full(len(scores.variables), holds(probe, scores))
            for game in signed.games.values()
            for probe, scores in zip(signed.probes, game.scores, strict=True)
        ]
    )


def _check_explained(rows: Rows, c: Mapping[str, Floats], here: _Flags, alone: _Flags) -> None:
    """Check the rows whose score is the share of what a constant leaves unknown.

    Args:
        rows: All rows of the result.
        c: Their numbers.
        here: bool [rows], whether a row has such a score.
        alone: bool [rows], whether it is the score of one fit, and not a mean.
    """
    refuse = partial(_refuse, rows)
    refuse(here & (c["constant"] != 0), "the score of a constant is not 0.", "constant")
    cut = np.clip(c["raw"], 0, 1)
    refuse(here & (c["score"] < cut - _ROUNDING), "score is less than raw, cut off at 0 and 1.", "score", cut)
    refuse(here & alone & (np.abs(c["score"] - cut) > _ROUNDING), "score is not raw, cut off.", "score", cut)
    nominal = here & ~np.isnan(c["accuracy"])
    unknown = 1 - c["constant_accuracy"]
    off = np.abs((c["raw"] - 1) * unknown + (1 - c["accuracy"]))
    refuse(nominal & alone & ~(off <= _ROUNDING), "raw does not follow from the accuracies.", "raw")
    refuse(here & (c["raw"] > 1), "raw is more than 1.", "raw")
    numbers = here & np.isnan(c["accuracy"])
    refuse(numbers & ~(c["error"] >= 0), "error is null or negative.", "error")
    refuse(numbers & ~(c["constant_error"] >= 0), "constant_error is null or negative.", "constant_error")


def _differ(a: Floats, b: Floats) -> _Flags:
    return np.asarray((a != b) & ~(np.isnan(a) & np.isnan(b)))


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
