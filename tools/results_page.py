"""The page of a folder of signed results, beside the published ones; ``python -m tools.results_page``."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, stdev
from typing import Final, NamedTuple

from atariari_data.errors import DataError
from builders.files import new_file
from harness.leaderboard.board import SIGNERS
from harness.leaderboard.published import SOURCE, Published, published, same_label
from harness.pages.words import game_title, probe_title
from harness.probes.probe import METRICS, ProbeRun
from harness.protocol import RANKED, SHOWN
from harness.results.result import Signed
from harness.results.result_file import read
from harness.results.verify import verify
from tools.marks import table

FOLDER: Final = Path("docs/results")
PAGE: Final = Path("docs/results.md")
COMMAND: Final = "python -m tools.results_page"

PUBLISHED_AS: Final = {
    "majority": "Majority",
    "random-cnn": "Random CNN",
    "vae": "VAE",
    "naff": "Pixel-Pred",
    "cpc": "CPC",
    "infonce-stdim": "ST-DIM",
    "supervised": "Supervised",
}
"""Our names to those of the paper's tables."""

LEARNED: Final = "learned.md"
"""A file beside the results that begins the page: what they show, in words."""

_RUNS: Final = (*RANKED, *SHOWN)
_PAPER_RUN: Final = ProbeRun("anand2019", "full")

_WHY: Final = """
Our numbers differ from the published ones for these reasons:

- **The probe.** `anand2019` is the published procedure with its sampling errors fixed: it keeps the weights
  with the best validation accuracy and scores every test row once. Like the original, it is not converged and
  depends on the scale of the features. `linear` is converged, so it is higher for almost every encoder, and
  closest to the ceiling for encoders that preserve the pixels. [lab_notebook.md](lab_notebook.md) compares
  both on the same features.
- **The data.** Our recordings are other random play under the same settings; the original drew new data in
  every run. Here a frame and its label come from the same emulator step; there, the last frame of an episode
  was the first of the next. Here validation rows that also occur in training are removed, and the test
  episodes are sampled instead of being the last ones.
- **The means.** The paper averages majority over variables and everything else over categories; we average
  everything over categories. Variables that the paper counts twice or not at all count once here.
- **The budget.** The paper trained for up to 100 epochs of 80,000 frames. Our budgets are in the table, as
  steps times samples per step; a sample of CPC is a sequence of 100 frames. The paper has one seed per cell
  and no error bars.
- **Chance.** A variable stops when its validation accuracy does not improve, so one that learns slowly can
  stop before it has learned anything. Freeway's `player_y` gets 0.29, 0.62 and 0.66 with three probe seeds
  (`python benchmarks/probes.py freeway --adam --learning-rate 5e-4 --variables player_y`; the paper has
  0.09), and it is half of that game's score. Majority depends on whether the most frequent training value is
  also frequent in the test episodes, which for levels and scores depends on a few episodes.
- **The method.** [methods.md](methods.md#differences-from-the-2019-code) lists our changes.
""".strip()

_LABELS: Final = """
- **The labels.** These are labels of `v1`: corrected addresses, decoded decimals, no constants. The published
  numbers use `anand2019`.
""".strip()

_UNEXPLAINED: Final = """
Not explained: every variable of Tennis is lower here. The weights of the random CNN are not the reason:
`enemy_score` gets 0.33, with two other seeds 0.34 and 0.27, and 0.59 to 0.62 under `linear`; the paper
has 0.95 (`python benchmarks/probes.py tennis --variables enemy_score --encoder-seed 1`, with and without
`--adam --seeds 1`).
""".strip()

_NONE: Final = "-"
_COMPARED: Final = (
    "The paper's appendix has the F1 of each variable. This table compares the variables that are the same "
    "bits of the same byte in both label sets, in the games that the encoder was evaluated on. Means over "
    "variables."
)
_NEAR: Final = (0.05, 0.1)
_FAR: Final = 0.2


@dataclass(frozen=True)
class Group:
    """An encoder, with one result for each seed.

    Attributes:
        name: The encoder's name.
        trained_on: What it was trained on, in words, without the seed.
        results: Its results under one label set.
    """

    name: str
    trained_on: str
    results: Sequence[Signed]

    def suite(self, run: ProbeRun) -> list[float]:
        """Return the score of the suite by seed; none where a game is missing."""
        found = (s.means.score for r in self.results for s in r.suite if s.run == run)
        return [f1 for f1 in found if f1 is not None]

    def game(self, name: str, run: ProbeRun) -> list[float]:
        """Return the score of a game by seed."""
        scores = (s for r in self.results if name in r.games for s in r.games[name].scores)
        found = (s.means.score for s in scores if s.run == run)
        return [f1 for f1 in found if f1 is not None]

    def variables(self, run: ProbeRun) -> dict[tuple[str, str], float]:
        """Return F1 of the variables by game and name, the mean over the seeds."""
        found: dict[tuple[str, str], list[float]] = {}
        games = ((name, of_it) for result in self.results for name, of_it in result.games.items())
        scores = ((name, s) for name, of_it in games for s in of_it.scores if s.run == run)
        for key, f1 in (((name, v.name), v.score) for name, s in scores for v in s.variables):
            if f1 is not None:
                found.setdefault(key, []).append(f1)
        return {key: fmean(f1) for key, f1 in found.items()}

    @property
    def games(self) -> set[str]:
        """Those of any of its results."""
        return set().union(*(result.games for result in self.results))


def page(folder: Path) -> str:
    """Return the page, Markdown.

    Args:
        folder: A folder of result files, nested or not, with ``allowed_signers``.

    Raises:
        ResultError, SignatureError: A result does not hold, or none of the listed keys signed it.
        DataError: There is none, or two of one label set were made under different rules.
    """
    files = sorted(folder.rglob("*.json"))
    if not files:
        raise DataError(f"No results in {folder}.", cure="harness run --results " + str(folder))
    for file in files:
        verify(file, folder / SIGNERS)
    results = [read(file).signed for file in files]
    parts = [_head(folder, results)]
    for label_set in sorted({r.dataset.label_set for r in results}, reverse=True):
        of_it = [r for r in results if r.dataset.label_set == label_set]
        rules = {r.protocol.digest for r in of_it}
        if len(rules) > 1:
            raise DataError("Results of one label set were made under different rules.", got=sorted(rules))
        parts += _label_set(label_set, _groups(of_it))
    return "\n\n".join(parts) + "\n"


def main(folder: Path = FOLDER, out: Path = PAGE) -> None:
    """Write the page."""
    text = page(folder)
    with new_file(out, replace=True) as part:
        part.write_text(text, encoding="utf-8")


def _head(folder: Path, results: Sequence[Signed]) -> str:
    machines = sorted({f"{r.environment.cpu}, {r.environment.device}" for r in results})
    dry = any(r.dry_run_rows is not None for r in results)
    learned = folder / LEARNED
    metrics = dict.fromkeys(probe.metric for r in results for probe in r.probes)
    return (
        "# Results\n\n"
        + (f"{learned.read_text(encoding='utf-8').strip()}\n\n" if learned.is_file() else "")
        + f"Made by `{COMMAND}` from the {len(results)} signed results in `{folder.as_posix()}`. Check one "
        f"with `harness verify FILE --allowed-signers {folder.as_posix()}/{SIGNERS}`. Run on "
        f"{'; '.join(machines)}. "
        + " ".join(f"{_probes(results, metric)}: {METRICS[metric]}" for metric in metrics)
        + " Scores are averaged over the variables of a category, then over categories, then over games. The "
        "mean of a suite needs all of its games. After `±` is the standard deviation over seeds."
        + ("\n\n**Some of these are dry runs, on a few rows of each split.**" if dry else "")
    )


def _probes(results: Iterable[Signed], metric: str) -> str:
    """Return the names of the probes that have a metric, for people."""
    names = dict.fromkeys(probe.probe for r in results for probe in r.probes if probe.metric == metric)
    return " and ".join(f"`{name}`" for name in names)


def _groups(results: Iterable[Signed]) -> list[Group]:
    found: dict[tuple[str, str], list[Signed]] = {}
    for result in results:
        found.setdefault((result.encoder.name, result.encoder.described), []).append(result)
    groups = [Group(*key, of_it) for key, of_it in found.items()]
    shared = set.intersection(*(g.games for g in groups))

    def place(group: Group) -> tuple[float, float, str]:
        of_shared = [fmean(found) for name in shared if (found := group.game(name, _RUNS[0]))]
        return -fmean(group.suite(_RUNS[0]) or [0]), -fmean(of_shared or [0]), group.name

    return sorted(groups, key=place)


def _label_set(label_set: str, groups: Sequence[Group]) -> list[str]:
    papers = {p.name: p for p in published()}
    runs = [run for run in _RUNS if any(_has(g, run) for g in groups)]
    has_paper = _PAPER_RUN in runs
    whole = [run for run in runs if any(g.suite(run) for g in groups)]
    rows = [
        [
            f"`{g.name}`" + (" (a bound)" if g.results[0].encoder.frames is None else ""),
            g.trained_on,
            str(len(g.results)),
            ", ".join(str(n) for n in sorted({len(r.games) for r in g.results}, reverse=True)),
            *(_spread(g.suite(run)) for run in whole),
            *([_two(p.mean) if (p := _paper(g, papers)) else ""] if has_paper else []),
        ]
        for g in groups
    ]
    head = ["encoder", "trained on", "results", "games", *map(probe_title, whole), *["paper"] * has_paper]
    told = "Mean over the games of the suite" if whole else "No encoder has all games of the suite yet"
    paper = f"; the last column is the [paper's]({SOURCE}) mean over its 22 games" if has_paper else ""
    parts = [f"## Label set `{label_set}`", f"{told}{paper}.", table(head, rows)]
    games = sorted(set().union(*(g.games for g in groups)))
    for some in sorted({tuple(sorted(g.games)) for g in groups}, key=len):
        parts += _over_games([g for g in groups if g.games >= set(some)], some, runs)
    if has_paper:
        probed = [g for g in groups if _has(g, _PAPER_RUN)]
        if any(_paper(g, papers) for g in probed):
            parts += _beside(probed, games, papers, _PAPER_RUN)
            parts += _by_variable(probed, label_set, papers, _PAPER_RUN)
            parts += [_WHY + ("\n" + _LABELS if label_set != "anand2019" else ""), _UNEXPLAINED]
    for run in runs:
        parts += [
            f"### By game: {probe_title(run)}",
            _by_game(groups, games, run),
        ]
    return parts


def _over_games(groups: Sequence[Group], games: Sequence[str], runs: Sequence[ProbeRun]) -> list[str]:
    """Return a table of means over some games, the best first, of the encoders that have all of them."""

    def mean(group: Group, run: ProbeRun) -> list[float]:
        found = [group.game(name, run) for name in games]
        return [fmean(map(fmean, found))] if all(found) else []

    shown = [run for run in runs if any(mean(g, run) for g in groups)]
    if not shown or all(g.suite(shown[0]) for g in groups):
        return []
    ranked = sorted(groups, key=lambda g: (-sum(mean(g, shown[0])), g.name))
    return [
        f"### Means over {', '.join(map(game_title, games))}",
        table(
            ["encoder", *map(probe_title, shown)],
            [[f"`{g.name}`", *(_spread(mean(g, run)) for run in shown)] for g in ranked],
        ),
    ]


def _beside(
    groups: Sequence[Group], games: Sequence[str], papers: dict[str, Published], run: ProbeRun
) -> list[str]:
    """Return a table of ours with the published in brackets, and the means over the paper's games of ours."""
    of_paper = next(iter(papers.values())).games
    rows = []
    means: list[list[tuple[float, float | None]]] = [[] for _ in groups]
    for name in games:
        row = [game_title(name)]
        for g, pairs in zip(groups, means, strict=True):
            ours, paper = g.game(name, run), _paper(g, papers)
            theirs = paper.games.get(name) if paper else None
            if ours and name in of_paper:
                pairs.append((fmean(ours), theirs))
            row.append(_bracketed(fmean(ours) if ours else None, theirs))
        rows.append(row)
    last = ["mean, paper's games"]
    for pairs in means:
        mean = fmean(a for a, _ in pairs) if pairs else None
        known = [b for _, b in pairs if b is not None]
        last.append(_bracketed(mean, fmean(known) if known else None))
    return [
        "### Compared with the paper",
        f"Our F1 under the probe `anand2019`, and in brackets the paper's (tables 2 and 3 of {SOURCE}).",
        table(["game", *(f"`{g.name}`" for g in groups)], [*rows, last]),
    ]


def _by_variable(
    groups: Sequence[Group], label_set: str, papers: dict[str, Published], run: ProbeRun
) -> list[str]:
    """Return how near the published F1 of variables are, and those of untrained encoders that are not."""
    rows, far = [], []
    for g in groups:
        pairs = _pairs(g, papers, label_set, run)
        if not pairs:
            continue
        apart = [p.ours - p.paper for p in pairs]
        rows.append(
            [
                f"`{g.name}`",
                str(len(pairs)),
                _two(fmean(p.ours for p in pairs)),
                _two(fmean(p.paper for p in pairs)),
                f"{fmean(apart):+.3f}",
                *(str(sum(abs(d) <= most for d in apart)) for most in _NEAR),
            ]
        )
        if g.trained_on == "none" and g.name != "majority":
            far += [(g.name, p) for p in pairs if abs(p.ours - p.paper) > _FAR]
    if not rows:
        return []
    head = ["encoder", "variables", "ours", "paper", "difference", *(f"within {most}" for most in _NEAR)]
    parts = ["### Variable by variable", _COMPARED, table(head, rows)]
    if far:
        far.sort(key=lambda f: -abs(f[1].ours - f[1].paper))
        parts += [
            f"Differences of more than {_FAR}, for encoders that were not trained:",
            table(
                ["encoder", "game", "variable", "ours", "paper"],
                [
                    [f"`{name}`", game_title(p.game), f"`{p.variable}`", _two(p.ours), _two(p.paper)]
                    for name, p in far
                ],
            ),
        ]
    return parts


class _Pair(NamedTuple):
    """F1 of a variable, ours and the published one."""

    game: str
    variable: str
    ours: float
    paper: float


def _pairs(group: Group, papers: dict[str, Published], label_set: str, run: ProbeRun) -> list[_Pair]:
    """Return the variables that can be compared."""
    ours, paper = group.variables(run), _paper(group, papers)
    pairs = []
    for (game_name, published_as), theirs in paper.variables.items() if paper else ():
        name = same_label(game_name, published_as, label_set)
        if name and (game_name, name) in ours:
            pairs.append(_Pair(game_name, name, ours[game_name, name], theirs))
    return pairs


def _by_game(groups: Sequence[Group], games: Sequence[str], run: ProbeRun) -> str:
    head = ["game", *(f"`{g.name}`" for g in groups)]
    rows = [[game_title(name), *(_spread(g.game(name, run)) for g in groups)] for name in games]
    return table(head, rows)


def _paper(group: Group, papers: dict[str, Published]) -> Published | None:
    return papers.get(PUBLISHED_AS.get(group.name, ""))


def _has(group: Group, run: ProbeRun) -> bool:
    return any(s.run == run for r in group.results for s in r.suite)


def _spread(values: Sequence[float]) -> str:
    """Return the mean, and the standard deviation over seeds if there are several."""
    if not values:
        return _NONE
    return f"{fmean(values):.3f}" + (f" ± {stdev(values):.3f}" if len(values) > 1 else "")


def _bracketed(ours: float | None, theirs: float | None) -> str:
    return _two(ours) + ("" if theirs is None else f" ({_two(theirs)})")


def _two(value: float | None) -> str:
    return _NONE if value is None else f"{value:.2f}"


if __name__ == "__main__":
    main()
