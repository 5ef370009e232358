"""Make the tables of ``docs/score.md`` from results: ``python -m tools.score_page RESULTS...``."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from harness.pages.words import game_title
from harness.probes.probe import ProbeRun
from harness.report.intervals import mean_intervals
from harness.results import predictions_file
from harness.results.result_file import read

PAGE = Path("docs/score.md")
_BEGIN, _END = "<!-- tables: begin -->\n", "<!-- tables: end -->\n"


def table(paths: Sequence[Path]) -> str:
    """Return the mean of every game and run of the results, with its interval, as Markdown."""
    results = [read(path) for path in paths]
    runs = list(dict.fromkeys(probe.run for result in results for probe in result.signed.probes))
    rows = ["| game | encoder | " + " | ".join(map(str, runs)) + " |", "| --- " * (len(runs) + 2) + "|"]
    cells: dict[tuple[str, str], dict[ProbeRun, str]] = {}
    for path, result in zip(paths, results, strict=True):
        signed = result.signed
        known = mean_intervals(signed, predictions_file.read(predictions_file.file_beside(path), signed))
        for game, found in signed.games.items():
            for scores in found.scores:
                low, high = known.get((game, scores.run, None), (None, None))
                ends = "" if low is None else f" ({low:.3f} to {high:.3f})"
                mean = scores.means.score
                shown = "-" if mean is None else f"{mean:.3f}{ends}"
                cells.setdefault((game, signed.encoder.name), {})[scores.run] = shown
    for (game, encoder), of_it in sorted(cells.items()):
        shown = " | ".join(of_it.get(run, "") for run in runs)
        rows.append(f"| {game_title(game)} | `{encoder}` | {shown} |")
    return "\n".join(rows) + "\n"


def main(arguments: Sequence[str]) -> None:
    """Write the page's tables anew."""
    before, rest = PAGE.read_text(encoding="utf-8").split(_BEGIN)
    made = table([Path(argument) for argument in arguments])
    PAGE.write_text(before + _BEGIN + made + _END + rest.split(_END)[1], encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
