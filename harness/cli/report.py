"""The command ``harness report``."""

from __future__ import annotations

import sys
from contextlib import redirect_stdout
from pathlib import Path

import click

from atariari_data.errors import UsageError
from builders.console import json_option, print_json
from harness.cli import options

TRACKERS = ("tensorboard", "trackio", "wandb")  # as in harness.methods.trackers, which needs the extra


@click.command()
@click.argument("results", nargs=-1, required=True, type=options.ResultFile())
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    help="HTML file.  [default: RESULT.report.html next to the first result; none with only --csv or --log]",
)
@click.option(
    "--csv",
    "csv_file",
    type=click.Path(path_type=Path),
    help="Also write CSV: one row per result, game, probe, training size and variable.",
)
@click.option(
    "--log",
    "trackers",
    type=click.Choice(TRACKERS),
    multiple=True,
    help="Also log the scores there. Can be repeated.",
)
@click.option("--replace", is_flag=True, help="Overwrite existing files.")
@json_option
def report(
    results: tuple[Path, ...],
    out: Path | None,
    csv_file: Path | None,
    trackers: tuple[str, ...],
    *,
    replace: bool,
    as_json: bool,
) -> None:
    """Write RESULTS to one self-contained HTML file, and compare them if there are several.

    Intervals of means, pictures of predictions and the comparison need the predictions that
    `harness evaluate` wrote next to each result.

    \b
    harness report results/a.json
    harness report a.json b.json --out a-b.html
    harness report *.json --csv scores.csv
    harness report a.json --log wandb
    """  # noqa: D301  click's mark for lines to leave as they are
    from harness.report.page import write_html
    from harness.report.track import track
    from harness.results.frame import write_csv
    from harness.results.result_file import read

    if out is None and csv_file is None and not trackers:
        out = results[0].with_name(f"{results[0].stem}.report.html")
    files = [path for path in (out, csv_file) if path is not None]
    for path in files:
        if path.exists() and not replace:
            raise UsageError(
                f"{path} already exists.", cure="Choose another file, or overwrite it with --replace."
            )
    if out is not None:
        write_html(out, results, replace=replace)
    if csv_file is not None:
        write_csv(csv_file, *results, replace=replace)
    with redirect_stdout(sys.stderr):  # trackers print messages
        for path in results if trackers else ():
            track(read(path), path.parent, trackers)
    if as_json:
        found = {"html": out, "csv": csv_file}
        print_json({**{k: None if v is None else str(v) for k, v in found.items()}, "logged": list(trackers)})
    else:
        click.echo("\n".join(map(str, files)) if files else f"Logged: {', '.join(trackers)}")
