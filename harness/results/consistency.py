"""Check that the parts of a result are consistent and that one run can have produced its numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import partial

import numpy as np
import numpy.typing as npt

from harness.encoders.named import RAM
from harness.probes.probe import NOT_CONVERGED
from harness.results.canonical import ResultError
from harness.results.means import METRICS, ONE, Floats, all_means, best_trivial, normalised
from harness.results.result import GameScores, Probe, ProbeScores, Signed
from harness.results.variables import Rows

_ROUNDING = 0.0002
"""Allowed difference of numbers that follow from each other, after rounding to four places."""
_CEILING_SLACK = 0.001
"""How far accuracy may exceed its ceiling: features of equal frames can differ in their last bits."""
_SLOW_CLOCK = 60
"""Seconds by which `elapsed_seconds` may exceed the time from start to end."""
_FURTHEST = 255
"""Largest distance of two labels."""

_CONVERGED = -3.3
"""Largest base-10 logarithm of a converged fit's gradient norm, which is at most 4e-4."""
_NOT_CONVERGED = 0
"""The same for a fit that says that it did not converge."""

_ALWAYS = (*METRICS, "f1_interval")
"""Columns that every run fills."""
_HEAD = ("name", "categories", "n", "ceiling_f1", "ceiling_accuracy")
"""Columns that are the same under every probe."""

_Flags = npt.NDArray[np.bool_]


def check(signed: Signed) -> None:
    """Check that the parts of a result are consistent and that every mean follows from the scores.

    Raises:
        ResultError: They are not; the error names the first contradiction.
    """
    _check_ranked(signed)
    _check_times(signed)
    _check_dataset(signed)
    probes = [(probe.probe, probe.train_rows) for probe in signed.probes]
    if len(set(probes)) != len(probes):
        raise ResultError("Duplicate probe.", got=probes)
    _check_seeds(signed)
    plain = signed.plain
    rows = signed.rows
    for name, game in signed.games.items():
        _check_game(signed, name, game, probes)
    numbers = rows.numbers()
    _check_rows(rows, numbers, signed)
    means, suite = all_means(plain["games"], signed.dataset.suite, plain["probes"], numbers)
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
    expect("dataset.suite", sorted(set(dataset.suite)), dataset.suite)
    expect("games of the dataset's splits", list(signed.games), list(dataset.splits))
    for name, splits in dataset.splits.items():
        if name not in dataset.suite:
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


def _check_game(signed: Signed, name: str, game: GameScores, probes: Sequence[tuple[str, object]]) -> None:
    """Check that a game has the same variables under every probe."""
    expect(f"{name}: probes", probes, [(s.probe, s.train_rows) for s in game.scores])
    heads = [scores.variables.take(_HEAD) for scores in game.scores]
    for head in heads[1:]:
        if head != heads[0]:
            one, other = (list(zip(*columns, strict=True)) for columns in (heads[0], head))
            expect(f"{name}: variables of every probe", one, other)
    names, categories, sizes, *_ = heads[0]
    if len(set(names)) != len(names):
        raise ResultError(f"{name}: duplicate variable.")
    rows = signed.dataset.splits[name]["test"].rows
    if signed.dry_run_rows is not None:
        rows = min(rows, signed.dry_run_rows)
    for variable, members, n in zip(names, categories, sizes, strict=True):
        if n != rows:
            raise ResultError(f"{name}.{variable}: n is not the number of test rows.", expected=rows, got=n)
        if len(set(members)) != len(members):
            raise ResultError(f"{name}.{variable}: duplicate category.", got=members)
    _check_probes(signed, name, game)


def _check_probes(signed: Signed, name: str, game: GameScores) -> None:
    """Check what the scores of a game say under each probe."""
    errors = [[value is None for value in s.variables.columns["mae"]] for s in game.scores]
    if any(other != errors[0] for other in errors):
        raise ResultError(f"{name}: mae is null under some probes only.")
    for probe, scores in zip(signed.probes, game.scores, strict=True):
        _check_fits(name, probe, scores, signed.dataset.splits[name]["train"].rows)
    for scores in game.scores:
        pca, projection = scores.variables.take(("pixels_pca_f1", "random_projection_f1"))
        unknown = 0 if scores.trivial_reason is None else len(pca)
        if (pca.count(None), projection.count(None)) != (unknown, unknown):
            raise ResultError(
                f"{name}: `trivial_reason` must be given if, and only if, all trivial scores are null.",
                got=scores.trivial_reason,
            )


def _check_fits(game: str, probe: Probe, scores: ProbeScores, train_rows: int) -> None:
    """Check that the probe's settings allow what each fit says of itself."""
    strengths, epochs = probe.settings.get("strengths_log10"), probe.settings.get("epochs")
    grid = set(strengths) if isinstance(strengths, list) else None
    most_epochs = epochs if isinstance(epochs, int | float) else None
    columns = scores.variables.take(("name", "classes", "strength_log10", "gradient_log10", "epochs", "note"))
    for name, classes, strength, gradient, ran, note in zip(*columns, strict=True):
        where = f"{game}.{name} under {probe.run}: "
        if not 1 <= classes <= train_rows:
            raise ResultError(where + "impossible number of classes.", got=classes)
        if (grid is None or classes == 1) and (strength, gradient) != (None, None):
            raise ResultError(where + "strength and gradient must be null.", got=(strength, gradient))
        if grid is not None and classes > 1:
            most = _NOT_CONVERGED if NOT_CONVERGED in (note or "") else _CONVERGED
            if strength not in grid:
                raise ResultError(
                    where + "the strength is not on the grid.", expected=strengths, got=strength
                )
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
    f1, accuracy = c["f1"], c["accuracy"]
    for field in _ALWAYS:
        missing = np.array([value is None for value in rows.column(field)])
        refuse(missing, f"{field} is null; every run computes it.", field)
    frozen = signed.dry_run_rows is None and signed.dataset.fresh_seed is None
    for field in ("ceiling_f1", "ceiling_accuracy"):
        missing = np.array([value is None for value in rows.column(field)])
        what = f"{field} is known for the frozen test split" if frozen else f"{field} is unknown here"
        refuse(missing if frozen else ~missing, f"{what}.", field)
    outside = ~np.isnan(c["low"]) & ~((c["low"] <= f1) & (f1 <= c["high"]))
    refuse(outside, "f1_interval does not contain f1.", "f1_interval", f1)
    for metric in ("accuracy", "majority_accuracy", "ceiling_accuracy"):
        odd = ~np.isnan(c[metric]) & ~_are_shares(c[metric], c["n"])
        refuse(odd, f"{metric} is not a fraction of n rows.", metric)
    majority = _least_f1(c["majority_accuracy"])
    refuse(
        np.abs(majority - c["majority_f1"]) > _ROUNDING,
        "majority_f1 does not follow from majority_accuracy.",
        "majority_f1",
        majority,
    )
    least, most = _least_f1(accuracy), 2 * accuracy / (1 + accuracy)
    beyond = (f1 < least - _ROUNDING) | (f1 > most + _ROUNDING)
    refuse(beyond, "no predictions with this accuracy have this f1.", "f1", least, most)
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
        (c["mae"] < wrong - _ROUNDING) | (c["mae"] > _FURTHEST * (wrong + _ROUNDING)),
        f"mae contradicts accuracy: every wrong row is off by 1 to {_FURTHEST}.",
        "mae",
        wrong,
        _FURTHEST * wrong,
    )
    best = best_trivial(c)
    refuse(_differ(best, c["trivial_f1"]), "trivial_f1 contradicts the other scores.", "trivial_f1", best)
    relative = normalised(c["f1"], best, c["ceiling_f1"])
    bad = _differ(relative, c["normalised_f1"])
    refuse(bad, "normalised_f1 contradicts the other scores.", "normalised_f1", relative)


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
