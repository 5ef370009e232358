"""Tables for a terminal: a result, a reproduction, and the comparison of two results."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from builders.console import print_table, print_text, say
from harness.evaluation.fresh import gaps
from harness.evaluation.reproduction import Reproduction
from harness.probes.probe import METRICS, ProbeRun
from harness.probes.registry import meaning
from harness.protocol import RANKED
from harness.results.comparison import MULTIPLICITY, Comparison
from harness.results.result import CategoryMeans, GameScores, Means, ProbeScores, Result, Signed
from harness.results.variables import VariableScores

# Most scores side by side in 80 columns, with and without the columns that they are compared with.
_MOST = 3
_SIZES = 6
_BOUNDS: Final = {
    "constant": ("const.", "the best constant: the mean or the most frequent value in training."),
    "trivial": (
        "triv.",
        "the best of the trivial encoders, under the same probe as the first column.",
    ),
    "ceiling": ("ceil.", "the best score of any function of a single frame."),
    "normalised": (
        "norm.",
        "the first column, rescaled so that triv. is 0 and ceil. is 1; <0 is below triv.",
    ),
}
"""What a score is compared with: the column's title and meaning."""

_Scored = VariableScores | CategoryMeans | Means


def print_result(result: Result) -> None:
    """Print scores per variable, category and game, next to what it is compared with.

    The scores of the protocol, or else the first three, are shown side by side. If there are more, each of
    their probes has a table with all its rows.
    """
    signed = result.signed
    for name, game in signed.games.items():
        scores = _distinct(signed, game)
        first = [s for s in scores if s.run in RANKED] or scores[:_MOST]
        bounds = _bounds(game)
        columns = ("", *_titles(signed, first, "95 %"), *(_BOUNDS[b][0] for b in bounds))
        print_table(columns, _rows(first, bounds), f"\n{name}")
        if len(scores) > len(first):
            for probe in dict.fromkeys(s.probe for s in scores if s not in first):
                curve = [s for s in scores if s.probe == probe]
                for start in range(0, len(curve), _SIZES):
                    part = curve[start : start + _SIZES]
                    columns = ("", *(_rows_title(signed.fitted(s.run)) for s in part))
                    print_table(columns, _rows(part), f"\n{name}, {probe}")
    if len(signed.games) > 1:
        lines = []
        for suite in signed.suite:
            if suite.run in signed.distinct_runs:
                score = suite.means.score
                mean = f"no suite mean: {suite.means.reason}" if score is None else f"suite mean {score:.3f}"
                lines.append(f"{_title(signed, suite.run)}: {mean[:400]}")
        print_text("\n".join(lines))


def print_gaps(public: Result, fresh: Result) -> None:
    """Print how much the first score loses on a fresh test split, compared with the frozen one."""
    rows = [
        (name, *("" if row[k] is None else f"{row[k]:.3f}" for k in ("public", "fresh", "gap")))
        for name, row in gaps(public, fresh).items()
        if name != "mean" or len(fresh.signed.games) > 1
    ]
    first = fresh.signed.probes[0]
    title = f"\nScore on the frozen and on the fresh test split, {fresh.signed.fitted(first.run)}"
    print_table(("", "frozen", "fresh", "lost"), rows, title)


def print_reproduction(found: Reproduction) -> None:
    """Print a result next to its reproduction."""
    rows = []
    for row in found.rows:
        verdict = "agrees" if row.agrees else "DIFFERS" if row.decides else "differs (allowed)"
        short = [text[:19] + "..." if len(text) > 60 else text for text in (row.theirs, row.ours)]  # noqa: PLR2004
        rows.append(
            (row.what, *(short if not row.agrees or row.theirs != row.ours else ("", short[1])), verdict)
        )
    print_table(("", "the result", "this run", ""), rows)


def print_comparison(comparison: Comparison) -> None:
    """Print the differences of two results, one table per probe and game; remarks go to standard error."""
    say(f"A: {comparison.a}\nB: {comparison.b}")
    groups: dict[tuple[ProbeRun, str | None], list[tuple[str, ...]]] = {}
    for row in comparison.rows:
        indent = {"variable": "  ", "category": "", "game": "", "suite": ""}[row.level]
        name = "mean over categories" if row.level == "game" else row.name
        label = name if row.level == "variable" else name.replace("_", " ")
        numbers = (f"{row.a:.3f}", f"{row.b:.3f}", f"{row.difference:+.3f}")
        cells = (indent + label, *numbers, f"{row.low:+.3f} to {row.high:+.3f}", row.verdict)
        groups.setdefault((row.run, row.game), []).append(cells)
    for (run, game), rows in groups.items():
        title = f"\n{game or 'mean over the games'}, {run}"
        print_table(("", "A", "B", "A - B", "95 %", ""), rows, title)
    lines = []
    for run in dict.fromkeys(run for run, _ in groups):
        verdicts = [r.verdict for r in comparison.rows if r.level == "variable" and r.run == run]
        differ, unclear, noise = (verdicts.count(v) for v in ("differs", "unclear", "noise"))
        verb = "differs" if differ == 1 else "differ"
        lines.append(f"{run}: {differ} of {len(verdicts)} variables {verb}, {unclear} unclear, {noise} noise")
    print_text("\n" + "\n".join(lines))
    for line in (*comparison.statements, MULTIPLICITY):
        say(line)


def metric_note(result: Result) -> str:
    """Return what the columns of the table mean."""
    signed = result.signed
    lines = [METRICS[metric] for metric in dict.fromkeys(probe.metric for probe in signed.probes)]
    if signed.dry_run_rows is not None:
        lines.append(f"Dry run: only {signed.dry_run_rows:,} rows of each split were used.")
    lines += [f"{_title(signed, run)}: {meaning(signed.fitted(run))}" for run in signed.distinct_runs]
    lines.append("95 %: interval of the first column, from a bootstrap over episodes.")
    shown = {bound for game in signed.games.values() for bound in _bounds(game)}
    lines += [f"{title}: {text}" for bound, (title, text) in _BOUNDS.items() if bound in shown]
    reasons = {name: game.scores[0].trivial_reason for name, game in signed.games.items()}
    lines += [
        f"{name}: no scores of trivial encoders; {reason}."
        for name, reason in reasons.items()
        if reason is not None
    ]
    return "\n".join(lines)


def _distinct(signed: Signed, game: GameScores) -> list[ProbeScores]:
    return [scores for scores in game.scores if scores.run in signed.distinct_runs]


def _title(signed: Signed, run: ProbeRun) -> str:
    """Return a probe and its rows in few characters: ``full``, ``1k``, ``500``, ``anand2019, full``."""
    rows = _rows_title(signed.fitted(run))
    return rows if run.probe in {"linear", "readout"} else f"{run.probe}, {rows}"


def _rows_title(run: ProbeRun) -> str:
    if run.probe == "readout":
        return run.title
    return f"{run.train_rows:,} rows" if isinstance(run.train_rows, int) else run.train_rows


def _titles(signed: Signed, scores: Sequence[ProbeScores], *after_first: str) -> list[str]:
    titles = ["anand\n2019" if s.probe == "anand2019" else _title(signed, s.run) for s in scores]
    return [titles[0], *after_first, *titles[1:]]


def _bounds(game: GameScores) -> tuple[str, ...]:
    """Return what a score is compared with: the trivial encoders, or majority if their scores are unknown."""
    table = game.scores[0].variables
    known = [bound for bound in _BOUNDS if any(value is not None for value in table.column(bound))]
    return tuple(bound for bound in known if bound != "constant" or "trivial" not in known)


def _rows(scores: Sequence[ProbeScores], bounds: Sequence[str] = ()) -> list[tuple[str, ...]]:
    """Return the rows of a game: scores under each probe; with ``bounds``, also the first interval."""
    rows = []
    names = {v.name: v.categories for s in scores for v in s.variables}
    for category in dict.fromkeys(c.category for s in scores for c in s.means.categories):
        means = [next((c for c in s.means.categories if c.category == category), None) for s in scores]
        rows.append((category.replace("_", " "), *_cells(means, bounds)))
        for name in (name for name, categories in names.items() if category in categories):
            found = [next((v for v in s.variables if v.name == name), None) for s in scores]
            low, high = (found[0].interval if found[0] else None) or (None, None)
            interval = "" if low is None else f"{low:.3f}-{high:.3f}"
            rows.append((f" {name}", *_cells(found, bounds, interval)))
    rows.append(("mean over categories", *_cells([s.means for s in scores], bounds)))
    return rows


def _cells(scored: Sequence[_Scored | None], bounds: Sequence[str], interval: str = "") -> list[str]:
    first, *others = [_number(each.score if each else None) for each in scored]
    return [first, interval, *others, *(_bound(scored[0], b) for b in bounds)] if bounds else [first, *others]


def _bound(scored: _Scored | None, bound: str) -> str:
    value = getattr(scored, bound, None)
    below = bound == "normalised" and value is not None and value < 0
    return "<0" if below else _number(value)  # how far below says little where there is little room


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"
