"""Commands: ``harness train``, ``harness run`` and ``harness methods``."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from atariari_data.errors import AtariariError, UsageError
from atariari_data.games import game
from builders.console import json_option, label_set_option, print_json, print_table, say
from harness.cli import options as shared
from harness.methods import METHODS
from harness.probes.registry import PROBES

if TYPE_CHECKING:
    from harness.methods.table import Row

_method = click.option("--method", required=True, help="One of those that `harness methods` lists.")
_methods = click.option(
    "--method", required=True, help="Of those that `harness methods` lists; several with commas between."
)
_game = click.option(
    "--game", "--env-name", "game_name", required=True, help="A game, or an id: PongNoFrameskip-v4."
)
_games = click.option(
    "--game",
    "--env-name",
    "game_names",
    required=True,
    help="A game, or an id: PongNoFrameskip-v4; several with commas between, or all.",
)
_seed = click.option(
    "--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Of everything."
)
_seeds = click.option(
    "--seed", "seeds", default="0", show_default=True, help="Of everything: 0, 0,1,2 or 0-4."
)
_TRAINING: tuple[Callable[[Any], Any], ...] = (
    click.option(
        "--encoder", "--encoder-type", default="nature", show_default=True, help="nature or impala."
    ),
    click.option("--size", default="210x160", show_default=True, help="Of the frames: 210x160 or 84x84."),
    click.option(
        "--feature-size", type=click.IntRange(1, 65536), default=256, show_default=True, help="Of a frame."
    ),
    click.option(
        "--batch-size", type=click.IntRange(min=2), default=64, show_default=True, help="Samples a step."
    ),
    click.option("--learning-rate", "--lr", type=float, default=3e-4, show_default=True, help="Of Adam."),
    click.option(
        "--set",
        "options",
        multiple=True,
        metavar="NAME=VALUE",
        help="The method's own hyperparameters; {game} in a value is the game.",
    ),
    click.option(
        "--epochs", type=click.IntRange(min=1), default=100, show_default=True, help="At most so many."
    ),
    click.option("--steps", type=click.IntRange(min=1), help="At most so many batches."),
    click.option("--max-minutes", type=float, help="Train no longer than this, sessions before included."),
    click.option(
        "--patience",
        type=click.IntRange(min=1),
        default=15,
        show_default=True,
        help="Validations without a better loss before it stops.",
    ),
    click.option(
        "--validate-every", type=click.IntRange(min=1), help="Steps between validations.  [default: an epoch]"
    ),
    shared.device,
    click.option(
        "--mixed-precision/--full-precision", default=None, help="Autocast.  [default: mixed on CUDA]"
    ),
    click.option(
        "--track",
        multiple=True,
        help="tensorboard, trackio or wandb, besides metrics.jsonl; may be given twice.",
    ),
    click.option("--save-seconds", type=float, default=60.0, show_default=True, help="Between saved states."),
    shared.num_proc,
    shared.quiet,
    json_option,
)


_out = click.option(
    "--out", type=click.Path(path_type=Path), help="Folder.  [default: runs/GAME-METHOD-SEED]"
)


def _training(command: Callable[..., Any]) -> Callable[..., Any]:
    for option in reversed(_TRAINING):
        command = option(command)
    return command


@click.command()
@_method
@_game
@_seed
@_training
@_out
def train(*, as_json: bool, out: Path | None, **options: Any) -> None:
    """Train an encoder on a game's pretraining split; a run that was interrupted goes on.

    \b
    harness train --method infonce-stdim --game pong --out runs/pong-stdim
    harness evaluate runs/pong-stdim --games pong
    """  # noqa: D301  click's mark for lines to leave as they are
    folder, config = _train(out=out, **options)
    if as_json:
        print_json({"path": str(folder), **config.model_dump(mode="json")})
    else:
        click.echo(folder)


@click.command()
@_methods
@_games
@_seeds
@_training
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    help="Folder of the run.  [default: runs/GAME-METHOD-SEED; with --results, runs/METHOD-SEED/GAME]",
)
@shared.probes
@label_set_option
@click.option(
    "--result", type=click.Path(path_type=Path), help="Result file.  [default: results/NAME-TIME.json]"
)
@click.option(
    "--results",
    type=click.Path(path_type=Path),
    help="Folder for METHOD-SEED.json, one for each method and seed, of all games; what is there is not made "
    "again.  [default, of several methods, games or seeds: results]",
)
@shared.limit
@shared.submitter
@shared.key
@click.pass_context
def run(
    context: click.Context,
    /,
    *,
    method: str,
    game_names: str,
    seeds: str,
    out: Path | None,
    probes: tuple[str, ...],
    label_set: str,
    result: Path | None,
    results: Path | None,
    limit: int | None,
    submitter: str | None,
    key: str | None,
    as_json: bool,
    **options: Any,
) -> None:
    """Train an encoder on a game and evaluate it there, in one go; or many on many, into a table of results.

    Started again, it goes on where it was. Methods that need no training (majority, random-cnn, pixels-pca,
    random-projection, ram) are evaluated only.

    \b
    harness run --method infonce-stdim --env-name PongNoFrameskip-v4
    harness run --method infonce-stdim,vae,cpc --game all --seed 0-4 --results results --device cuda
    """  # noqa: D301  as above
    from harness.cli.evaluate import evaluate
    from harness.cli.output import check_writable
    from harness.methods.table import parse_seeds, plan

    methods, games = shared.items(method) or [], _chosen(game_names, label_set)
    rows = plan(methods, parse_seeds(seeds))
    common = {"device": options["device"], "limit": limit, "label_set": label_set}
    common |= {"num_proc": options["num_proc"]}
    probes = probes or tuple(PROBES)
    if len(rows) > 1 or len(games) > 1 or results is not None:
        if result is not None:
            raise UsageError("A table has more results than one.", cure="--results FOLDER, or one at a time.")
        if options["options"] and len(methods) > 1:
            raise UsageError("--set is of one method.", got=f"--method {method}")
        who = None if submitter is None else {"principal": submitter}
        evaluation = {**common, "probes": probes, "submitter": who, "progress": not options["quiet"]}
        folders = _Folders(out or Path("runs"), results or Path("results"))
        _fill(rows, games, folders, evaluation, options, key=key, as_json=as_json)
        return
    check_writable(result)
    encoder = method
    if method in METHODS:
        folder, _ = _train(method=method, game_name=games[0], seed=rows[0].seed or 0, out=out, **options)
        say(f"Trained: {folder}")
        encoder = str(folder)
    context.invoke(
        evaluate,
        encoder=encoder,
        games=games[0],
        probes=probes,
        out=result,
        submitter=submitter,
        key=key,
        quiet=options["quiet"],
        as_json=as_json,
        **common,
    )


class _Folders(NamedTuple):
    """Where runs and results go."""

    runs: Path
    results: Path


def _fill(
    rows: Sequence[Row],
    games: Sequence[str],
    folders: _Folders,
    evaluation: dict[str, Any],
    options: dict[str, Any],
    *,
    key: str | None,
    as_json: bool,
) -> None:
    """Make the results of a table that are not there yet."""
    from harness.cli.output import check_writable, save
    from harness.evaluation.evaluate import evaluate
    from harness.methods.table import Wanted, fill, summary
    from harness.protocol import choose_runs

    def make(row: Row, path: Path) -> None:
        start = time.monotonic()
        check_writable(path)
        encoder = row.method
        if row.trains:
            folder = folders.runs / row.name
            for name in games:
                _train(method=row.method, game_name=name, seed=row.seed, out=folder / name, **options)
            encoder = str(folder)
        made = evaluate(encoder, games, **evaluation)
        save(made, path, key)
        say(f"{path}, {time.monotonic() - start:,.0f} s: {summary(made.signed)}")

    runs = choose_runs(evaluation["probes"])
    wanted = Wanted(games, runs, evaluation["label_set"], evaluation["limit"])
    done, failed = fill(rows, folders.results, wanted, make)
    if as_json:
        print_json({"made": [str(path) for path in done], "failed": failed})
    else:
        click.echo("\n".join(map(str, done)))
    if failed:
        raise AtariariError(
            f"{len(failed)} of {len(rows)} results could not be made: {', '.join(failed)}.",
            cure="Start it again: what is finished is not done again.",
        )


@click.command()
@json_option
def methods(*, as_json: bool) -> None:
    """List what `harness run` knows by name, and the hyperparameters of what `harness train` trains."""
    from dataclasses import fields

    from harness.encoders.named import NAMED
    from harness.methods import load_method

    rows: list[tuple[str, dict[str, Any], str]] = []
    for name in METHODS:
        kind = load_method(name)
        summary = (kind.__doc__ or "").partition("\n")[0].removeprefix(f"``{name}``").lstrip(" ,:")
        own = {f.name: f.default for f in fields(kind.Options) if f.name != "game"}
        rows.append((name, own, summary))
    rows += [
        (name, {}, f"{known.summary}; not trained") for name, known in NAMED.items() if name not in METHODS
    ]
    if as_json:
        print_json([{"name": n, "options": own, "summary": text} for n, own, text in rows])
        return
    print_table(
        ("method", "--set", "what it is"),
        [(n, " ".join(f"{k}={v}" for k, v in own.items()) or "-", text) for n, own, text in rows],
    )


def _train(
    *,
    method: str,
    game_name: str,
    size: str,
    options: tuple[str, ...],
    out: Path | None,
    epochs: int,
    steps: int | None,
    max_minutes: float | None,
    device: str,
    mixed_precision: bool | None,
    track: tuple[str, ...],
    save_seconds: float,
    num_proc: int | None,
    quiet: bool,
    **others: Any,
) -> tuple[Path, Any]:
    """Make settings of a command line's options, and train."""
    from harness.methods import load_method
    from harness.methods.run import Budget, Settings, make
    from harness.methods.train import Surroundings
    from harness.methods.train import train as run_training

    load_method(method)
    settings = make(
        Settings,
        method=method,
        game=game(game_name).name,
        size=_size(size),
        options=dict(_pair(text.replace("{game}", game(game_name).name)) for text in options),
        mixed_precision=device.startswith("cuda") if mixed_precision is None else mixed_precision,
        **others,
    )
    budget = make(Budget, epochs=epochs, steps=steps, max_minutes=max_minutes)
    folder = out or Path("runs") / f"{settings.game}-{method}-{settings.seed}"
    around = Surroundings(device, save_seconds, track, None, num_proc, progress=not quiet)
    return folder, run_training(settings, folder, budget, around)


def _chosen(names: str, label_set: str) -> list[str]:
    from harness.protocol import choose_games

    named = None if names == "all" else [game(name).name for name in shared.items(names) or []]
    return choose_games(named, label_set)


def _size(text: str) -> tuple[int, int]:
    height, _, width = text.partition("x")
    if not (height.isdecimal() and width.isdecimal()):
        raise UsageError("This is no size.", expected="210x160 or 84x84", got=text)
    return int(height), int(width)


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals:
        raise UsageError("An option of a method has a value.", expected="--set NAME=VALUE", got=text)
    return name, value
