"""Commands that play games: explore, record, relabel."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from atariari_data.games import games_named, suites
from builders.cli.options import (
    game_or_deep,
    jobs_option,
    memory_option,
    print_rows,
    processes_option,
    seed_option,
    to_option,
)
from builders.console import cluster_option, json_option, say
from builders.spread import Engine, Task


@click.command()
@click.argument("names", metavar="GAME...", nargs=-1, required=True)
@click.option(
    "--steps", type=click.IntRange(min=1), default=300_000, show_default=True, help="Agent steps of each."
)
@seed_option
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("explored"),
    show_default=True,
    help="Folder for the archive, the table and the picture.",
)
@memory_option
@jobs_option
@cluster_option
@click.option("--quiet", is_flag=True, help="Hide progress.")
@json_option
def explore(
    names: tuple[str, ...],
    steps: int,
    seed: int,
    out: Path,
    memory: float,
    jobs: int | None,
    cluster: str,
    quiet: bool,
    as_json: bool,
) -> None:
    """Search a game for states that random play does not reach.

    \b
    atariari-data explore montezuma_revenge
    atariari-data explore pong --steps 1000000 --seed 1

    Returns again and again to a state that was reached and goes on from there with random actions, as
    Go-Explore does (arXiv 1901.10995). Run the same command again to resume. Writes GAME-SEED.parquet (every
    state with the actions that lead to it), a table of what was reached over time, and a picture of it.
    """  # noqa: D301  click's mark for lines to leave as they are
    from builders.search import STATE_BYTES

    say(f"Keeps up to {memory:g} GB of emulator states, about {memory * 1e9 / STATE_BYTES:,.0f} cells.")
    engine, games, files = Engine(jobs, cluster), games_named(names, suites()), list[Path]()
    if engine.spreads(len(games)):
        search = _explore_beside if engine.is_local else _explore_elsewhere
        files = search(games, out, engine, steps=steps, seed=seed, memory=memory, quiet=quiet)
    else:
        for name in games:
            files += _explore_here(name, out, steps=steps, seed=seed, memory=memory, quiet=quiet)
    print_rows(("file", "bytes"), [(str(f), f.stat().st_size) for f in files], as_json=as_json)


def _explore_here(name: str, out: Path, *, steps: int, seed: int, memory: float, quiet: bool) -> list[Path]:
    """Search a game in this process, with a bar."""
    from builders.explore import explore
    from builders.progress import progress_bar
    from builders.search import Reached

    with progress_bar(steps, f"Searching {name}", "step", shown=not quiet) as bar:

        def progress(reached: Reached) -> None:
            bar.update(reached.steps - bar.n)
            bar.set_postfix(
                cells=reached.cells, reward=reached.reward, rooms=reached.rooms, longest=reached.longest
            )

        return explore(name, out, steps=steps, seed=seed, gigabytes=memory, progress=progress)


def _explore_beside(
    games: Sequence[str], out: Path, engine: Engine, *, steps: int, seed: int, memory: float, quiet: bool
) -> list[Path]:
    """Search games in processes of this machine, which keep what they reach in the folder."""
    from builders import units

    tasks, failed = [Task(name, (name, out, steps, seed, memory)) for name in games], list[str]()
    made = units.done(units.explore_in, tasks, engine, what="Searching", failed=failed, shown=not quiet)
    files = [file for _, some in made for file in some]
    units.refuse_failures(failed, len(tasks))
    return sorted(files)


def _explore_elsewhere(
    games: Sequence[str], out: Path, engine: Engine, *, steps: int, seed: int, memory: float, quiet: bool
) -> list[Path]:
    """Search games on a cluster, whose workers get what was reached before and send what they reached."""
    from builders import units
    from builders.files import new_file

    tasks = []
    for name in games:
        archive = out / f"{name}-{seed}.parquet"
        before = archive.read_bytes() if archive.is_file() else None
        tasks.append(Task(name, (name, before, steps, seed, memory)))
    files, failed = list[Path](), list[str]()
    for _, made in units.done(units.explore, tasks, engine, what="Searching", failed=failed, shown=not quiet):
        for file, content in made.items():
            with new_file(out / file, replace=True) as part:
                part.write_bytes(content)
            files.append(out / file)
    units.refuse_failures(failed, len(tasks))
    return sorted(files)


@click.command()
@click.argument("name", metavar="GAME | GAME_deep")
@processes_option
@to_option
@click.option(
    "--steps",
    type=click.IntRange(min=1),
    default=300_000,
    show_default=True,
    help="Agent steps of each of the two searches for GAME_deep.",
)
@memory_option
@json_option
def record(name: str, jobs: int, to: Path, steps: int, memory: float, as_json: bool) -> None:
    """Play a game with the published protocol, or search it, and write recordings and a manifest.

    \b
    atariari-data record pong --to recorded
    atariari-data record pong_deep --to recorded

    This is how the files in the package were made. They are never edited: any change makes a new version
    of the dataset. Nothing is overwritten. The searches for GAME_deep are kept if they are interrupted.
    """  # noqa: D301  click's mark for lines to leave as they are
    from builders.freeze import record_deep_game, record_game
    from builders.manifest import DEEP, game_of_config

    known = game_or_deep(name)
    if known.endswith(DEEP):
        known = game_of_config(known)
        files = record_deep_game(known, to, steps=steps, num_proc=jobs, gigabytes=memory)
    else:
        try:
            files = record_game(known, to, num_proc=jobs)
        except KeyboardInterrupt:
            say("Interrupted; nothing is kept of a game before all of it was played.")
            raise click.exceptions.Exit(130) from None
    print_rows(("file", "bytes"), [(str(f), f.stat().st_size) for f in files], as_json=as_json)


@click.command()
@click.argument("name", metavar="GAME | GAME_deep")
@processes_option
@to_option
@json_option
def relabel(name: str, jobs: int, to: Path, as_json: bool) -> None:
    """Write a new manifest after a game's annotations changed, from the same recordings.

    With GAME_deep also coverage/GAME.json, the table of what its rows show beside random play.
    """
    from builders.freeze import relabel as relabel_config

    files = relabel_config(game_or_deep(name), to, num_proc=jobs)
    print_rows(("file", "bytes"), [(str(f), f.stat().st_size) for f in files], as_json=as_json)
