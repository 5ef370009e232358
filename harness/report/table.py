"""A result, and the comparison of two, as tables for a terminal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from builders.console import print_table, say
from harness.evaluation.fresh import gaps
from harness.evaluation.reproduction import Reproduction
from harness.probes.probe import ProbeRun, TrainRows
from harness.probes.registry import meaning
from harness.protocol import RANKED, SHOWN
from harness.results.comparison import MULTIPLICITY, Comparison
from harness.results.result import GameScores, ProbeScores, Result

# Scores beside each other in 80 columns: with what they are measured against, and alone.
_MOST = 3
_SIZES = 6
_TITLES = {"trivial_f1": "triv.", "majority_f1": "major.", "ceiling_f1": "ceil.", "normalised_f1": "norm."}


def print_result(result: Result) -> None:
    """Print per-variable, per-category and per-game scores, with the majority baseline beside them.

    The scores of the protocol, or else the first three, stand beside each other with what they are measured
    against. Where there are more, each probe has a table with all its training sizes.
    """
    for name, game in result.signed.games.items():
        known = [s for s in game.scores if s.run in (*RANKED, *SHOWN)]
        first = known or game.scores[:_MOST]
        bounds = _bounds(game)
        columns = ("", *_titles(first, "95 %"), *(_TITLES[b] for b in bounds))
        print_table(columns, _rows(game, first, bounds), f"\n{name}, F1")
        if len(game.scores) > len(first):
            for probe in dict.fromkeys(s.probe for s in game.scores):
                curve = [s for s in game.scores if s.probe == probe]
                for start in range(0, len(curve), _SIZES):
                    part = curve[start : start + _SIZES]
                    columns = ("", *(title_of("linear", s.train_rows) for s in part))
                    print_table(columns, _rows(game, part), f"\n{name}, F1 by training rows, {probe}")
    if len(result.signed.games) > 1:
        lines = []
        for suite in result.signed.suite:
            title, means = title_of(suite.probe, suite.train_rows), suite.means
            said = (
                "no suite mean: " + str(means.reason) if means.f1 is None else f"suite mean F1 {means.f1:.3f}"
            )
            lines.append(f"{title}: {said[:400]}")
        print_table(("\n".join(lines),), [])


def print_gaps(public: Result, fresh: Result) -> None:
    """Print what F1 under the first probe loses on a test split recorded afresh, beside the frozen one's."""
    rows = [
        (name, *("" if row[k] is None else f"{row[k]:.3f}" for k in ("public", "fresh", "gap")))
        for name, row in gaps(public, fresh).items()
        if name != "mean" or len(fresh.signed.games) > 1
    ]
    first = fresh.signed.probes[0]
    title = f"\nF1 on the frozen and on the fresh test split, {first.run}"
    print_table(("", "frozen", "fresh", "lost"), rows, title)


def print_reproduction(found: Reproduction) -> None:
    """Print what a result says beside what it is now."""
    rows = []
    for row in found.rows:
        verdict = "agrees" if row.agrees else "DIFFERS" if row.decides else "differs, as it may"
        short = [text[:19] + "..." if len(text) > 60 else text for text in (row.theirs, row.ours)]  # noqa: PLR2004
        rows.append(
            (row.what, *(short if not row.agrees or row.theirs != row.ours else ("", short[1])), verdict)
        )
    print_table(("", "the result", "this run", ""), rows)


def print_comparison(comparison: Comparison) -> None:
    """Print the differences of two results, a table for each probe and game; what to know, on stderr."""
    say(f"A: {comparison.a}\nB: {comparison.b}")
    groups: dict[tuple[ProbeRun, str | None], list[tuple[str, ...]]] = {}
    for row in comparison.rows:
        indent = {"variable": "  ", "category": "", "game": "", "suite": ""}[row.level]
        name = "mean over categories" if row.level == "game" else row.name
        label = name if row.level == "variable" else name.replace("_", " ")
        numbers = (f"{row.a:.3f}", f"{row.b:.3f}", f"{row.difference:+.3f}")
        cells = (indent + label, *numbers, f"{row.low:+.3f} to {row.high:+.3f}", row.verdict)
        groups.setdefault((ProbeRun(row.probe, row.train_rows), row.game), []).append(cells)
    for (run, game), rows in groups.items():
        title = f"\n{game or 'mean over the games'}, F1, {run}"
        print_table(("", "A", "B", "A - B", "95 %", ""), rows, title)
    lines = []
    for run in dict.fromkeys(run for run, _ in groups):
        said = [
            r.verdict
            for r in comparison.rows
            if r.level == "variable" and ProbeRun(r.probe, r.train_rows) == run
        ]
        counts = ", ".join(f"{said.count(v)} {v}" for v in ("differs", "unclear", "noise"))
        lines.append(f"{run}: of {len(said)} variables {counts}")
    print_table(("\n" + "\n".join(lines),), [])
    for line in (*comparison.statements, MULTIPLICITY):
        say(line)


def metric_note(result: Result) -> str:
    """Say what the numbers of the table mean."""
    games = result.signed.games
    without = {name: game for name, game in games.items() if "majority_f1" in _bounds(game)}
    lines = [
        "Weighted F1 on the test split.",
        *(f"{title_of(*p.run)}: {meaning(p.run)}" for p in result.signed.probes),
        "95 %: interval of the first, from a bootstrap over episodes.",
        "ceil.: the ceiling, the best that a function of the single frame reaches.",
    ]
    if len(without) < len(games):
        lines += [
            "triv.: the best of majority, PCA and random projection of the pixels, probed as the first.",
            "norm.: where the first lies between that (0) and the ceiling (1).",
        ]
    if without:
        lines.append("major.: always the commonest class of training.")
    for name, game in without.items():
        lines.append(f"{name}: no trivial encoders beside it; {game.scores[0].trivial_reason}.")
    return "\n".join(lines)


def title_of(probe: str, train_rows: TrainRows) -> str:
    """Return a probe and its rows in few characters: ``full``, ``1k``, ``500``, ``anand2019, full``."""
    rows = f"{train_rows:,}" if isinstance(train_rows, int) else train_rows
    if probe == "linear":
        return rows
    return f"{probe}, {rows}"


def _titles(scores: Sequence[ProbeScores], *after_first: str) -> list[str]:
    titles = ["anand\n2019" if s.run in SHOWN else title_of(s.probe, s.train_rows) for s in scores]
    return [titles[0], *after_first, *titles[1:]]


def _bounds(game: GameScores) -> tuple[str, ...]:
    """Return what F1 is shown against: the best trivial encoder, where its scores are stored."""
    known = any(v.trivial_f1 is not None for v in game.scores[0].variables)
    return ("trivial_f1", "ceiling_f1", "normalised_f1") if known else ("majority_f1", "ceiling_f1")


def _rows(
    game: GameScores, scores: Sequence[ProbeScores], bounds: Sequence[str] = ()
) -> list[tuple[str, ...]]:
    """Return the rows of a game: F1 under each probe; with ``bounds``, those and an interval of the first."""
    rows = []
    for c, category in enumerate(game.scores[0].means.categories):
        means = [s.means.categories[c] for s in scores]
        rows.append((category.category.replace("_", " "), *_mean_cells(means, bounds)))
        for v, variable in enumerate(game.scores[0].variables):
            if category.category in variable.categories:
                cells = [_number(s.variables[v].f1) for s in scores]
                if bounds:
                    low, high = variable.f1_interval or (None, None)
                    interval = "" if low is None else f"{low:.3f}-{high:.3f}"
                    first = scores[0].variables[v]
                    cells = [cells[0], interval, *cells[1:], *(_number(getattr(first, b)) for b in bounds)]
                rows.append((f" {variable.name}", *cells))
    rows.append(("mean over categories", *_mean_cells([s.means for s in scores], bounds)))
    return rows


def _mean_cells(means: Sequence[Any], bounds: Sequence[str]) -> list[str]:
    cells = [_number(m.f1) for m in means]
    return [cells[0], "", *cells[1:], *(_number(getattr(means[0], b)) for b in bounds)] if bounds else cells


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"
