"""The commands about training: ``harness train``, ``harness run`` and ``harness methods``."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from atariari_data.errors import AtariariError, UsageError
from atariari_data.games import game
from builders.console import cluster_option, json_option, label_set_option, print_json, print_table, say
from builders.spread import Engine
from harness.cli import options as shared
from harness.methods import METHODS

if TYPE_CHECKING:
    from harness.methods.table import Row
    from harness.methods.units import Unit

_method = click.option("--method", required=True, help="Method to train; see `harness methods`.")
_methods = click.option("--method", required=True, help="Comma-separated methods; see `harness methods`.")
_game = click.option(
    "--game", "--env-name", "game_name", required=True, help="Game name, or Gymnasium id: PongNoFrameskip-v4."
)
_games = click.option(
    "--game",
    "--env-name",
    "game_names",
    required=True,
    help="Comma-separated names of games or suites (all, paper, atari100k), or Gymnasium ids.",
)
_seed = click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Random seed.")
_seeds = click.option(
    "--seed", "seeds", default="0", show_default=True, help="Random seeds: 0, 0,1,2 or 0-4."
)
_POSITIVE = click.FloatRange(min=0, min_open=True)
_TRAINING: tuple[Callable[[Any], Any], ...] = (
    click.option(
        "--encoder", "--encoder-type", default="nature", show_default=True, help="Network: nature or impala."
    ),
    click.option("--size", default="210x160", show_default=True, help="Frame size: 210x160 or 84x84."),
    click.option(
        "--feature-size",
        type=click.IntRange(1, 65536),
        default=256,
        show_default=True,
        help="Features per frame.",
    ),
    click.option(
        "--batch-size", type=click.IntRange(min=2), default=64, show_default=True, help="Samples per step."
    ),
    click.option(
        "--learning-rate",
        "--lr",
        type=_POSITIVE,
        default=3e-4,
        show_default=True,
        help="Adam's learning rate.",
    ),
    click.option(
        "--set",
        "options",
        multiple=True,
        metavar="NAME=VALUE",
        help="Hyperparameter of the method; may be repeated. {game} in VALUE stands for the game.",
    ),
    click.option(
        "--epochs",
        type=click.IntRange(min=1),
        default=100,
        show_default=True,
        help="Maximum number of epochs.",
    ),
    click.option("--steps", type=click.IntRange(min=1), help="Maximum number of steps."),
    click.option(
        "--max-minutes", type=_POSITIVE, help="Maximum training time, including earlier sessions of the run."
    ),
    click.option(
        "--patience",
        type=click.IntRange(min=1),
        default=15,
        show_default=True,
        help="Stop after this many validations without a better loss.",
    ),
    click.option(
        "--validate-every", type=click.IntRange(min=1), help="Steps between validations.  [default: an epoch]"
    ),
    shared.device,
    click.option(
        "--mixed-precision/--full-precision",
        default=None,
        help="Whether to use autocast.  [default: mixed on CUDA]",
    ),
    click.option(
        "--track",
        multiple=True,
        help="Also log to tensorboard, trackio or wandb; may be repeated. metrics.jsonl is always written.",
    ),
    click.option(
        "--save-seconds",
        type=click.FloatRange(min=0),
        default=60.0,
        show_default=True,
        help="Seconds between saved states.",
    ),
    click.option(
        "--checkpoints",
        help="Comma-separated steps after which to keep the encoder, a run in OUT/checkpoints/STEP.",
    ),
    shared.jobs,
    shared.quiet,
    json_option,
)


_out = click.option(
    "--out", type=click.Path(path_type=Path), help="Folder of the run.  [default: runs/GAME-METHOD-SEED]"
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
    """Train an encoder on a game's pretraining split.

    Run the same command again to resume an interrupted run.

    \b
    harness train --method infonce-stdim --game pong --out runs/pong-stdim
    harness evaluate runs/pong-stdim --games pong
    """  # noqa: D301  click keeps the lines after this mark
    unit = _unit(out=out, **options)
    config = unit.train()
    if as_json:
        print_json({"path": str(unit.out), **config.model_dump(mode="json")})
    else:
        click.echo(unit.out)


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
    help="Folder for a table of results, METHOD-SEED.json for each method and seed. Existing ones are kept.  "
    "[default for several methods, games or seeds: results]",
)
@shared.limit
@cluster_option
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
    cluster: str,
    submitter: str | None,
    key: str | None,
    as_json: bool,
    **options: Any,
) -> None:
    """Train an encoder on a game and evaluate it, in one go.

    Several methods, games or seeds give a table of results. Run the same command again to resume. Methods
    that need no training (majority, random-cnn, pixels-pca, random-projection, ram) are only evaluated.

    \b
    harness run --method infonce-stdim --env-name PongNoFrameskip-v4
    harness run --method infonce-stdim,vae,cpc --game all --seed 0-4 --results results --device cuda
    """  # noqa: D301  as above
    from harness.cli.evaluate import evaluate
    from harness.cli.output import check_key, check_writable
    from harness.methods.table import parse_seeds, plan
    from harness.methods.units import train_spread
    from harness.results.declared import check_declared

    methods, games = shared.items(method) or [], _chosen(game_names, label_set)
    if not methods:
        raise UsageError(
            "--method names no method.",
            expected="--method infonce-stdim,vae",
            got=method,
            cure="harness methods lists them.",
        )
    rows = plan(methods, parse_seeds(seeds))
    who = None if submitter is None else {"principal": submitter}
    check_declared(submitter=who)
    check_key(key)
    common = {"device": options["device"], "limit": limit, "label_set": label_set}
    common |= {"jobs": options["jobs"], "cluster": cluster}
    if len(rows) > 1 or len(games) > 1 or results is not None:
        if result is not None:
            raise UsageError(
                "--result names one file, but this command makes several results.",
                cure="Give a folder, --results FOLDER, or one method, game and seed.",
            )
        if options["options"] and len(methods) > 1:
            raise UsageError(
                "--set takes the options of one method.", got=f"--method {method}", cure="Give one --method."
            )
        evaluation = {**common, "probes": probes, "submitter": who, "progress": not options["quiet"]}
        folders = _Folders(out or Path("runs"), results or Path("results"))
        _fill(rows, games, folders, evaluation, options, key=key, as_json=as_json)
        return
    check_writable(result)
    encoder = method = rows[0].method
    if method in METHODS:
        seed = rows[0].seed or 0
        unit = _unit(method=method, game_name=games[0], seed=seed, out=out, label_set=label_set, **options)
        engine, folder = Engine(options["jobs"], cluster), unit.out
        if engine.spreads(1):
            for outcome in train_spread([unit], engine, progress=not options["quiet"]):
                outcome.get()
        else:
            unit.train()
        say(f"Trained: {folder}")
        encoder = str(folder)
    context.invoke(
        evaluate,
        encoders=(encoder,),
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
    """Make the missing results of a table."""
    from harness.cli.output import check_writable, sign_saved, write_result
    from harness.evaluation.evaluate import evaluate
    from harness.methods.table import Wanted, fill, summary
    from harness.protocol import choose_runs

    def units(row: Row) -> list[Unit]:
        folder = folders.runs / row.name
        one = {**options, "method": row.method, "seed": row.seed, "label_set": evaluation["label_set"]}
        return [_unit(game_name=name, out=folder / name, **one) for name in games if row.trains]

    def make(row: Row, path: Path) -> None:
        start = time.monotonic()
        check_writable(path)
        for unit in units(row):
            if engine.is_local:
                unit.train()
            else:
                _check_trained(unit)
        encoder = str(folders.runs / row.name) if row.trains else row.method
        made = evaluate(encoder, games, **evaluation)
        sign_saved(made, write_result(made, path), key)
        say(f"{path}, {time.monotonic() - start:,.0f} s: {summary(made.signed)}")

    engine = Engine(evaluation["jobs"], evaluation["cluster"])
    if engine.spreads(2):
        todo = [row for row in rows if row.trains and not (folders.results / f"{row.name}.json").exists()]
        _train_units([unit for row in todo for unit in units(row)], engine, progress=not options["quiet"])
    runs = choose_runs(evaluation["probes"])
    wanted = Wanted(games, runs, evaluation["label_set"], evaluation["limit"], units)
    done, failed = fill(rows, folders.results, wanted, make)
    if as_json:
        print_json({"made": [str(path) for path in done], "failed": failed})
    else:
        click.echo("\n".join(map(str, done)))
    if failed:
        raise AtariariError(
            f"{len(failed)} of {len(rows)} results failed: {', '.join(failed)}.",
            cure="Fix the cause and run the command again; finished results are kept.",
        )


def _train_units(units: Sequence[Unit], engine: Engine, *, progress: bool) -> None:
    """Train each in a worker; what fails is told, and fails its row later."""
    from harness.methods.units import train_spread

    for outcome in train_spread(units, engine, progress=progress):
        if outcome.error is not None:
            say(f"{outcome.name}: failed on {outcome.worker}. {outcome.error}")


@click.command()
@json_option
def methods(*, as_json: bool) -> None:
    """List the methods and their hyperparameters."""
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
        ("method", "what it is"),
        [(n, " --set ".join([text, *(f"{k}={v}" for k, v in own.items())])) for n, own, text in rows],
    )


def _check_trained(unit: Unit) -> None:
    """Check that a worker has trained this.

    Raises:
        UsageError: The folder is not a run, or is a run with other settings.
        AtariariError: Training failed.
    """
    from harness.methods.units import is_finished

    if not is_finished(unit):
        raise AtariariError(f"{unit.name} was not trained.", cure="See above why, and run the command again.")


def _unit(
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
    checkpoints: str | None,
    jobs: int | None,
    quiet: bool,
    label_set: str | None = None,
    **others: Any,
) -> Unit:
    """Turn the options of a command line into what is trained; a method that learns labels learns those."""
    from harness.methods import load_method
    from harness.methods.run import Budget, Settings, make
    from harness.methods.train import Surroundings
    from harness.methods.units import Unit

    given = dict(_pair(text.replace("{game}", game(game_name).name)) for text in options)
    if label_set is not None and "label_set" in {field.name for field in fields(load_method(method).Options)}:
        given = {"label_set": label_set, **given}
    settings = make(
        Settings,
        method=method,
        game=game(game_name).name,
        size=_size(size),
        options=given,
        mixed_precision=device.startswith("cuda") if mixed_precision is None else mixed_precision,
        **others,
    )
    budget = make(Budget, epochs=epochs, steps=steps, max_minutes=max_minutes)
    folder = out or Path("runs") / f"{settings.game}-{method}-{settings.seed}"
    steps_kept = tuple(_step(text) for text in shared.items(checkpoints) or [])
    around = Surroundings(device, save_seconds, track, None, jobs, not quiet, steps_kept)
    return Unit(settings, folder, budget, around)


def _chosen(names: str, label_set: str) -> list[str]:
    from harness.protocol import choose_games

    return choose_games(shared.items(names) or [], label_set)


def _size(text: str) -> tuple[int, int]:
    height, _, width = text.partition("x")
    if not (height.isdecimal() and width.isdecimal()):
        raise UsageError("Not a frame size.", expected="210x160 or 84x84", got=text)
    return int(height), int(width)


def _step(text: str) -> int:
    if not text.isdecimal():
        raise UsageError("Not a number of steps.", expected="--checkpoints 100,1000", got=text)
    return int(text)


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals:
        raise UsageError("--set needs a name and a value.", expected="--set NAME=VALUE", got=text)
    return name, value
