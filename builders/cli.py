"""The command `atariari-data`: record, build, verify and inspect the dataset."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from atariari_data.checks import positive
from atariari_data.errors import UsageError, require
from atariari_data.games import DEFAULT_LABEL_SET, game, game_names, games_named, suites
from builders.console import (
    Commands,
    cluster_option,
    json_option,
    label_set_option,
    print_json,
    print_table,
    say,
)
from builders.files import check_new
from builders.spread import LOCAL, Engine, Task

_processes = click.option(
    "--jobs",
    type=click.IntRange(min=1),
    callback=lambda _context, _option, value: value or _cores(),
    help="Processes that work at the same time, each on a lane of a game; they do not affect the rows.  "
    "[default: cores]",
)
_jobs = click.option(
    "--jobs",
    type=click.IntRange(min=1),
    help="Processes that work at the same time, each on a game.  [default: 1, or all of a cluster]",
)
_cache_dir = click.option("--cache-dir", type=click.Path(), help="Cache folder (default: HF_DATASETS_CACHE).")
_to = click.option(
    "--to", type=click.Path(file_okay=False, path_type=Path), required=True, help="Folder to write to."
)
_memory = click.option(
    "--memory",
    type=float,
    callback=lambda _context, _option, value: positive("--memory", value),
    default=2.0,
    show_default=True,
    help="Gigabytes for the emulator states of a search.",
)
_SEED = click.IntRange(0, 2**31 - 1)  # what the emulator takes
_all = click.option("--all", "everything", is_flag=True, help="All configs of all games.")


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


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="atariari")
def cli() -> None:
    """Build, verify and inspect Atari frames with labels from RAM.

    Each game has three configs: pong (train, validation and test splits for probing), pong_pretrain
    (different rows for representation learning) and pong_deep (states that random play does not reach).
    """


@cli.command()
@click.argument("configs", nargs=-1)
@_all
@click.option(
    "--jobs",
    type=click.IntRange(min=1),
    help="Processes that work at the same time, each on a lane of a game; on a cluster, workers.  "
    "[default: cores, or all of a cluster]",
)
@cluster_option
@_cache_dir
@click.option("--rebuild", is_flag=True, help="Rebuild configs that are already built.")
@json_option
def build(
    configs: tuple[str, ...],
    everything: bool,
    jobs: int | None,
    cluster: str,
    cache_dir: str | None,
    rebuild: bool,
    as_json: bool,
) -> None:
    """Build configs from their recordings, and check them against the manifest.

    \b
    atariari-data build pong
    atariari-data build pong pong_pretrain --jobs 8
    atariari-data build atari100k atari100k_deep
    atariari-data build --all --cluster dask://HOST:PORT

    On a cluster, each worker builds a config at a time in its own cache, or in one that all share.
    """  # noqa: D301  click's mark for lines to leave as they are
    from builders import units
    from builders.manifest import frozen_config

    chosen = _chosen(configs, everything)
    lanes = jobs or _cores() if cluster == LOCAL else 1
    engine = Engine(1 if cluster == LOCAL else jobs, cluster)
    tasks = [Task(config, (config, cache_dir, lanes, rebuild)) for config in chosen]
    failed: list[str] = []
    for config, (seconds, folder) in units.done(units.build, tasks, engine, what="Building", failed=failed):
        say(f"{config}: {seconds} s, in {folder}")
    units.refuse_failures(failed, len(tasks))
    rows = [
        (config, name, split.rows, len(split.episodes), split.digest)
        for config in chosen
        for name, split in frozen_config(config).splits.items()
    ]
    _print(("config", "split", "rows", "episodes", "digest"), rows, as_json=as_json)


@cli.command()
@click.argument("configs", nargs=-1)
@_all
@_jobs
@cluster_option
@_cache_dir
@click.option(
    "--copy",
    type=click.Path(file_okay=False, path_type=Path),
    help="Check a copy that `export` wrote to this folder, instead of the cache.",
)
@json_option
def verify(
    configs: tuple[str, ...],
    everything: bool,
    jobs: int | None,
    cluster: str,
    cache_dir: str | None,
    copy: Path | None,
    as_json: bool,
) -> None:
    """Recompute digests from the files on disk and compare them with the manifest."""
    from builders import units

    engine, failed = Engine(jobs, cluster), list[str]()
    tasks = [Task(config, (config, cache_dir, copy)) for config in _chosen(configs, everything)]
    found = dict(units.done(units.verify, tasks, engine, what="Verifying", failed=failed))
    units.refuse_failures(failed, len(tasks))
    rows = [(task.name, split, digest, "ok") for task in tasks for split, digest in found[task.name].items()]
    _print(("config", "split", "digest", "verified"), rows, as_json=as_json)


@cli.command("list")
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
        _print(columns, rows, as_json=True)
    else:  # titles are hardly more than the names, and the numbers fill 80 columns
        print_table((columns[0], *columns[2:]), [(row[0], *row[2:]) for row in rows])


@cli.command()
@click.argument("name", metavar="GAME | GAME_deep")
@label_set_option
@json_option
def info(name: str, label_set: str, as_json: bool) -> None:
    """Describe a game's variables: RAM address, meaning, statistics, and verdict of the audit.

    The statistics are those of random play, or of the deep states.
    """
    from atariari_data.evidence import evidence
    from builders.manifest import DEEP, load_manifest, recorded_games

    known = game(name.removesuffix(DEEP))
    config = known.name + (DEEP if name.endswith(DEEP) else "")
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
    _print(columns, rows, as_json=as_json, title=f"{known.title}, label set {label_set}")


@cli.command()
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
@click.option("--seed", type=_SEED, default=0, show_default=True, help="Random seed.")
@_jobs
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

    The evidence comes from play, a search, and writing to the RAM (docs/audit.md). Takes about a minute per
    game. GAME is also the name of a suite: all (the default), paper, atari100k.
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


@cli.command()
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
    file = out or Path(f"{known}.png")
    shown = show_game(known, file, label_set=label_set, episode=episode)
    row = (str(file), file.stat().st_size, shown.split, shown.number, len(shown.rows))
    _print(("file", "bytes", "split", "episode", "rows"), [row], as_json=as_json)


@cli.command()
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
@click.option("--seed", type=_SEED, default=0, show_default=True, help="Random seed.")
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


@cli.command()
@click.argument("names", metavar="GAME...", nargs=-1, required=True)
@click.option(
    "--steps", type=click.IntRange(min=1), default=300_000, show_default=True, help="Agent steps of each."
)
@click.option("--seed", type=_SEED, default=0, show_default=True, help="Random seed.")
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("explored"),
    show_default=True,
    help="Folder for the archive, the table and the picture.",
)
@_memory
@_jobs
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
    _print(("file", "bytes"), [(str(f), f.stat().st_size) for f in files], as_json=as_json)


@cli.command()
@click.argument("configs", nargs=-1)
@_all
@click.option(
    "--to", "target", required=True, help="Folder, or hf://datasets/ORG/NAME for the Hugging Face Hub."
)
@click.option(
    "--format",
    "form",
    type=click.Choice(("parquet", "minari")),
    default="parquet",
    show_default=True,
    help="Parquet for stock `datasets`, or trajectories for Minari (extra `minari`).",
)
@click.option(
    "--files-per-split",
    type=click.IntRange(min=1),
    help="Parquet files of each split: as many streaming workers can share it.  [default: 8]",
)
@_processes
@_cache_dir
@json_option
def export(
    configs: tuple[str, ...],
    everything: bool,
    target: str,
    form: str,
    files_per_split: int | None,
    jobs: int,
    cache_dir: str | None,
    as_json: bool,
) -> None:
    """Write configs for other tools: as Parquet with a dataset card, or as Minari datasets.

    \b
    atariari-data export pong pong_pretrain --to copy
    atariari-data export --all --to hf://datasets/ORG/NAME
    atariari-data export pong --format minari --to minari

    The first can be read with datasets.load_dataset("copy", "pong"), without this package, and has Croissant
    metadata. The last, with MINARI_DATASETS_PATH=minari, with minari.load_dataset("atariari/pong/train-v1").
    An interrupted export resumes when it is run again. Other files are never overwritten.
    """  # noqa: D301  click's mark for lines to leave as they are
    from builders import hub
    from builders.export import SHARDS
    from builders.export import export as export_configs
    from builders.trajectories import export_trajectories

    chosen = _chosen(configs, everything)
    repo_id = hub.repository(target) if target.startswith("hf://") else None
    if form == "minari":
        if repo_id:
            raise UsageError("Minari datasets are written to a folder only.", got=target)
        if files_per_split is not None:
            raise UsageError(
                "--files-per-split has no meaning with --format minari.",
                got=f"--files-per-split {files_per_split}",
                cure="Leave it out, or take --format parquet.",
            )
        folders = export_trajectories(chosen, Path(target), cache_dir=cache_dir, num_proc=jobs)
        _print(("folder",), [(str(folder),) for folder in folders], as_json=as_json)
        return
    if repo_id:
        hub.check_access(repo_id)
    folder = hub.staging(repo_id) if repo_id else Path(target)
    files = export_configs(
        chosen, folder, files_per_split=files_per_split or SHARDS, cache_dir=cache_dir, num_proc=jobs
    )
    if repo_id:
        say(f"Uploaded to {hub.upload(folder, repo_id)}")
    _print(("file", "bytes"), [(str(f), f.stat().st_size) for f in files], as_json=as_json)


@cli.command()
@click.argument("name", metavar="GAME | GAME_deep")
@_processes
@_to
@click.option(
    "--steps",
    type=click.IntRange(min=1),
    default=300_000,
    show_default=True,
    help="Agent steps of each of the two searches for GAME_deep.",
)
@_memory
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
    from builders.manifest import DEEP

    known = game(name.removesuffix(DEEP)).name
    if name.endswith(DEEP):
        files = record_deep_game(known, to, steps=steps, num_proc=jobs, gigabytes=memory)
    else:
        try:
            files = record_game(known, to, num_proc=jobs)
        except KeyboardInterrupt:
            say("Interrupted; nothing is kept of a game before all of it was played.")
            raise click.exceptions.Exit(130) from None
    _print(("file", "bytes"), [(str(f), f.stat().st_size) for f in files], as_json=as_json)


@cli.command()
@click.argument("name", metavar="GAME | GAME_deep")
@_processes
@_to
@json_option
def relabel(name: str, jobs: int, to: Path, as_json: bool) -> None:
    """Write a new manifest after a game's annotations changed, from the same recordings.

    With GAME_deep also coverage/GAME.json, the table of what its rows show beside random play.
    """
    from builders.freeze import relabel as relabel_config
    from builders.manifest import DEEP

    suffix = DEEP if name.endswith(DEEP) else ""
    files = relabel_config(game(name.removesuffix(DEEP)).name + suffix, to, num_proc=jobs)
    _print(("file", "bytes"), [(str(f), f.stat().st_size) for f in files], as_json=as_json)


def _chosen(configs: tuple[str, ...], everything: bool) -> tuple[str, ...]:
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


def _print(
    columns: tuple[str, ...], rows: Sequence[Sequence[object]], *, as_json: bool, title: str | None = None
) -> None:
    if as_json:
        print_json([dict(zip(columns, row, strict=True)) for row in rows])
    else:
        print_table(columns, rows, title)


def _cores() -> int:
    return min(os.cpu_count() or 1, 8)


def main() -> None:
    """Run the command."""
    cli.main()
