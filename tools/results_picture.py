"""The picture at the top of the README: scores of the signed results in docs/results.

``python -m tools.results_picture`` writes docs/img/results.png.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from matplotlib.figure import Figure

from harness.pages.words import game_title
from harness.probes.probe import ProbeRun
from harness.protocol import RANKED
from harness.results.result_file import read

RESULTS: Final = Path(__file__).parents[1] / "docs" / "results"
PICTURE: Final = RESULTS.parent / "img" / "results.png"
COLORS: Final = ("#1f5fbf", "#e08a1e", "#5b9f4a")


def draw(game: str = "pong") -> Figure:
    """Draw the ranked scores of every encoder (its first seed) on a game, the best encoder first."""
    found: dict[str, list[float | None]] = {}
    for path in sorted(RESULTS.glob("*.json")):
        signed = read(path).signed
        means: dict[ProbeRun, float | None] = {
            ProbeRun(s.probe, s.train_rows, s.fitted_on, s.scored_on): s.means.score
            for s in signed.games[game].scores
        }
        found.setdefault(signed.encoder.name, [means[run] for run in RANKED])
    names = sorted(found, key=lambda name: found[name][0] or 0)
    figure = Figure(figsize=(8, 3.4), layout="constrained")
    axes = figure.subplots()
    axes.hlines(range(len(names)), 0, 1, color="#dddddd", linewidth=1)
    for number, (run, color) in enumerate(zip(RANKED, COLORS, strict=True)):
        scores = [found[name][number] or 0.0 for name in names]
        axes.plot(scores, range(len(names)), "o", markersize=8, color=color, label=run.title)
    axes.set_yticks(range(len(names)), names)
    axes.set_xlim(-0.02, 1.02)
    axes.set_xlabel(
        f"score on {game_title(game)}: share of what a constant leaves unknown (0 nothing, 1 all)"
    )
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.tick_params(left=False)
    figure.legend(loc="outside upper right", ncols=len(RANKED), frameon=False)
    return figure


if __name__ == "__main__":
    draw().savefig(PICTURE, dpi=150)
