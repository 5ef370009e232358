"""Commands for those who annotate a game: find, audit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from atariari_data.errors import UsageError, require
from atariari_data.games import game, game_names, games_named, suites
from builders.cli.options import jobs_option, seed_option
from builders.console import cluster_option, json_option, label_set_option, print_json, print_table, say
from builders.files import check_new
from builders.spread import Engine, Task


@click.command()
@click.argument("name", metavar="GAME")
@click.option(
    "--steps",
    type=click.IntRange(min=100),
    default=6000,
    show_default=True,
    help="Agent steps of random play.",
)
@click.option(
    "--states", type=click.IntRange(min=2), default=12, show_default=True, help="States to write bytes into."
)
@seed_option
@click.option(
    "--at", type=(int, int), metavar="X Y", help="Only what moves the thing at this column and row..."
)
@click.option("--state", type=click.IntRange(min=0), help="... of this state.  [default: 0]")
@click.option(
    "--to",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder for two pictures: states and bytes.",
)
@json_option
def find(
    name: str,
    steps: int,
    states: int,
    seed: int,
    at: tuple[int, int] | None,
    state: int | None,
    to: Path | None,
    as_json: bool,
) -> None:
    """Find the bytes of RAM that hold what a game shows; annotations are not needed.

    \b
    atariari-data find gravitar --to found
    atariari-data find gravitar --at 80 120 --state 3

    Plays at random, holds the joystick in opposite directions, and writes other values into every byte.
    Ranks the bytes that count points and lives, that the joystick changes, and that move something on the
    screen. These are proposals: annotate them, and let atariari-data audit decide.
    """  # noqa: D301  click's mark for lines to leave as they are
    from builders import find as finding
    from builders.progress import progress_bar

    if state is not None and at is None:
        raise UsageError("--state says where --at looks.", got=f"--state {state}", cure="Add --at X Y.")
    name = finding.rom_of(name)
    if to:
        require("matplotlib", "plots")
        from builders.sheet import draw, sheets

        for file in sheets(name, to):
            check_new(file)
    with progress_bar(128, f"Searching {name}", "byte", shown=not as_json) as bar:
        found = finding.find(
            name, steps=steps, states=states, seed=seed, at=at, state=state or 0, progress=bar.update
        )
    pictures = draw(found, to) if to else []
    if as_json:
        print_json({**found.plain(), "pictures": list(map(str, pictures))})
        return
    for title, columns, rows in found.tables(at):
        print_table(columns, rows, title=title)
    for file in pictures:
        say(str(file))


@click.command()
@click.argument("names", metavar="[GAME]...", nargs=-1)
@click.option(
    "--annotations",
    type=click.Path(dir_okay=False, exists=True, path_type=Path),
    help="Audit this annotation file instead of the package's (default GAME: the file's name).",
)
@label_set_option
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder for GAME.json; nothing is overwritten (default: print the result only).",
)
@click.option("--rows", type=click.IntRange(min=200), default=12000, show_default=True, help="Rows of play.")
@click.option(
    "--states", type=click.IntRange(min=4), default=40, show_default=True, help="States to write to."
)
@click.option(
    "--search", type=click.IntRange(min=100), default=20000, show_default=True, help="Search steps."
)
@seed_option
@jobs_option
@cluster_option
@json_option
def audit(
    names: tuple[str, ...],
    annotations: Path | None,
    label_set: str,
    out: Path | None,
    rows: int,
    states: int,
    search: int,
    seed: int,
    jobs: int | None,
    cluster: str,
    as_json: bool,
) -> None:
    """Measure whether labels are correct: cause, visibility, alignment, coverage, and a verdict.

    \b
    atariari-data audit pong
    atariari-data audit breakout --annotations breakout.toml

    The evidence comes from play, a search, and writing to the RAM. Takes about a minute per game. GAME is
    also the name of a suite: all (the default), paper, atari100k. What the verdicts mean:
    https://atariari.github.io/atariari/audit.html
    """  # noqa: D301  click's mark for lines to leave as they are
    from builders import units
    from builders.audit.audit import Budget, summary

    budget = Budget(rows=rows, shown=rows // 5, search=search, states=states, seed=seed)
    own = annotations.read_bytes() if annotations else None
    chosen = games_named(names or ((annotations.stem,) if annotations else ("all",)), suites(label_set))
    if annotations is None:
        for name in chosen:
            game(name).variables(label_set)  # told before the first is audited
    elif len(chosen) > 1 or annotations.stem in set(game_names()) - set(chosen):
        raise UsageError(
            "An annotation file is of one game, and does not have another game's name.",
            expected="one game",
            got=f"{annotations.name} for {', '.join(chosen)}",
            cure="Name the game that the file is of, or rename the file.",
        )
    if out is not None:
        for name in chosen:
            units.audit_file(name, out)
    engine, failed, found = Engine(jobs, cluster), list[str](), dict[str, dict[str, Any]]()
    tasks = [Task(name, (name, label_set, budget, own)) for name in chosen]
    say(f"Auditing {', '.join(chosen)}")
    for name, findings in units.done(units.audit, tasks, engine, what="Auditing", failed=failed):
        found[name] = findings
        if out is not None:
            units.write_audit(findings, out)
    units.refuse_failures(failed, len(tasks))
    if as_json:
        print_json([found[name] for name in chosen])
    else:
        for one in (found[name] for name in chosen):
            print_table(*summary(one), title=f"{game(one['game']).title}, label set {one['label_set']}")
