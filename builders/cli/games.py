"""Commands that describe games: list, info, show."""

from __future__ import annotations

from pathlib import Path

import click

from atariari_data.errors import UsageError
from atariari_data.games import DEFAULT_LABEL_SET, game
from builders.cli.options import game_or_deep, print_rows
from builders.console import json_option, label_set_option, print_table


@click.command("list")
@json_option
def list_games(as_json: bool) -> None:
    """List the games with the size of their splits and the number of variables."""
    from builders.manifest import DEEP, load_manifest, recorded_configs, recorded_games
    from builders.recording import PROBE_SPLITS

    rows = []
    for name in recorded_games():
        manifest = load_manifest(name)
        splits = manifest.configs[name].splits
        config, deep = name + DEEP, None
        if config in recorded_configs():
            deep = sum(s.rows for s in load_manifest(config).configs[config].splits.values())
        rows.append(
            (
                name,
                game(name).title,
                *(splits[s].rows for s in PROBE_SPLITS),
                sum(len(s.episodes) for s in splits.values()),
                deep,
                len(manifest.probed(DEFAULT_LABEL_SET)),
                len(game(name).variables(DEFAULT_LABEL_SET)),
            )
        )
    columns = ("game", "title", "train", "validation", "test", "episodes", "deep", "probed", "variables")
    if as_json:
        print_rows(columns, rows, as_json=True)
    else:  # titles are hardly more than the names, and the numbers fill 80 columns
        print_table((columns[0], *columns[2:]), [(row[0], *row[2:]) for row in rows])


@click.command()
@click.argument("name", metavar="GAME | GAME_deep")
@label_set_option
@json_option
def info(name: str, label_set: str, as_json: bool) -> None:
    """Describe a game's variables: RAM address, meaning, statistics, and verdict of the audit.

    The statistics are those of random play, or of the deep states.
    """
    from atariari_data.evidence import evidence
    from builders.manifest import game_of_config, load_manifest, recorded_games

    config = game_or_deep(name)
    known = game(game_of_config(config))
    found = evidence(known.name) if label_set == DEFAULT_LABEL_SET else None
    variables, rows = known.variables(label_set), []
    frozen = load_manifest(config).label_sets.get(label_set, {}) if known.name in recorded_games() else {}
    for v in variables:
        s = frozen.get(v.name)
        code = f"{v.address}" + (f" & 0x{v.mask:02x}" if v.mask != 0xFF else "") + (" bcd" if v.bcd else "")  # noqa: PLR2004
        values = f"{v.values[0]}..{v.values[1]} {v.unit}".strip()
        verdict = found["variables"].get(v.name, {}).get("verdict") if found else None
        numbers = (verdict, *((s.entropy, s.probed, s.ceiling_f1) if s else (None, None, None)))
        rows.append((v.name, code, ", ".join(v.categories), values, *numbers, v.description, v.source))
    columns = (
        *("variable", "byte", "category", "values", "verdict", "entropy", "probed", "ceiling F1", "what"),
        "source",
    )
    print_rows(columns, rows, as_json=as_json, title=f"{known.title}, label set {label_set}")


@click.command()
@click.argument("name", metavar="CONFIG")
@click.option(
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    help="PNG to write (default: CONFIG.png); nothing is overwritten.",
)
@label_set_option
@click.option("--episode", type=int, help="Episode to show (default: the longest of the last split).")
@json_option
def show(name: str, out: Path | None, label_set: str, episode: int | None, as_json: bool) -> None:
    """Draw a game's labels on its frames, over an episode, and as histograms.

    Writes a PNG from which you can see whether the labels are right. Requires the extra `plots`; the game
    does not need to be built.
    """
    from builders.atariari import config_of_name
    from builders.show import show as show_game

    known = config_of_name(name)
    if episode is not None:
        _check_episode(known, episode)
    file = out or Path(f"{known}.png")
    shown = show_game(known, file, label_set=label_set, episode=episode)
    row = (str(file), file.stat().st_size, shown.split, shown.number, len(shown.rows))
    print_rows(("file", "bytes", "split", "episode", "rows"), [row], as_json=as_json)


def _check_episode(config: str, episode: int) -> None:
    """Check that a config has an episode of this number.

    Raises:
        UsageError: It has none.
    """
    from builders.manifest import frozen_config

    known = {e.number for split in frozen_config(config).splits.values() for e in split.episodes}
    if episode not in known:
        lost = max(known) - min(known) + 1 - len(known)
        raise UsageError(
            f"{config} has no episode {episode}.",
            expected=f"a number from {min(known)} to {max(known)}"
            + (f" ({lost} of these are not in it)" if lost else ""),
            got=episode,
            cure="Leave --episode out to see the longest one of the last split.",
        )
