"""Options that several commands have, and what they do with them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import click

from atariari_data.checks import positive
from atariari_data.errors import UsageError
from atariari_data.games import game, game_names, suites
from builders.console import print_json, print_table

processes_option = click.option(
    "--jobs",
    type=click.IntRange(min=1),
    callback=lambda _context, _option, value: value or cores(),
    help="Processes that work at the same time, each on a lane of a game; they do not affect the rows.  "
    "[default: cores]",
)
jobs_option = click.option(
    "--jobs",
    type=click.IntRange(min=1),
    help="Processes that work at the same time, each on a game.  [default: 1, or all of a cluster]",
)
cache_dir_option = click.option(
    "--cache-dir", type=click.Path(), help="Cache folder (default: HF_DATASETS_CACHE)."
)
to_option = click.option(
    "--to", type=click.Path(file_okay=False, path_type=Path), required=True, help="Folder to write to."
)
memory_option = click.option(
    "--memory",
    type=float,
    callback=lambda _context, _option, value: positive("--memory", value),
    default=2.0,
    show_default=True,
    help="Gigabytes for the emulator states of a search.",
)
seed_option = click.option(
    "--seed",
    type=click.IntRange(0, 2**31 - 1),  # what the emulator takes
    default=0,
    show_default=True,
    help="Random seed.",
)
all_option = click.option("--all", "everything", is_flag=True, help="All configs of all games.")


def game_or_deep(name: str) -> str:
    """Return the config that ``GAME`` or ``GAME_deep`` means.

    Raises:
        UsageError: It is ``GAME_pretrain``.
        UnknownNameError: No such game.
    """
    from builders.manifest import DEEP, PRETRAIN

    if name.endswith(PRETRAIN):
        known = game(name.removesuffix(PRETRAIN)).name
        raise UsageError(
            "This command takes a game or its deep states.",
            expected=f"{known} or {known}{DEEP}",
            got=name,
            cure=f"{known} covers {name}, too.",
        )
    return game(name.removesuffix(DEEP)).name + (DEEP if name.endswith(DEEP) else "")


def chosen_configs(configs: tuple[str, ...], everything: bool) -> tuple[str, ...]:
    """Return the configs with these names, each once; a suite's name stands for its games' configs."""
    from builders.manifest import SUFFIXES, recorded_configs

    if everything == bool(configs):
        raise UsageError(
            "Name the configs, or use --all.",
            cure=f"atariari-data list shows them: {', '.join(game_names())}",
        )
    if everything:
        return recorded_configs()
    from builders.atariari import config_of_name

    of_suites = {
        suite + suffix: [name + suffix for name in games]
        for suite, games in suites().items()
        for suffix in SUFFIXES
    }
    found = (one for name in configs for one in of_suites.get(name) or [config_of_name(name)])
    return tuple(dict.fromkeys(found))


def print_rows(
    columns: tuple[str, ...], rows: Sequence[Sequence[object]], *, as_json: bool, title: str | None = None
) -> None:
    """Print a table, or an object for each row as JSON."""
    if as_json:
        print_json([dict(zip(columns, row, strict=True)) for row in rows])
    else:
        print_table(columns, rows, title)


def cores() -> int:
    """Return how many processes work at the same time by default."""
    return min(os.cpu_count() or 1, 8)
