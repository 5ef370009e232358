"""Commands: ``harness train``, ``harness run`` and ``harness methods``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from atariari_data.errors import UsageError
from atariari_data.games import game
from builders.console import json_option, label_set_option, print_json, print_table, say
from harness import options as shared
from harness.methods import METHODS

_TRAINING: tuple[Callable[[Any], Any], ...] = (
    click.option("--method", required=True, help="One of those that `harness methods` lists."),
    click.option(
        "--game", "--env-name", "game_name", required=True, help="A game, or an id: PongNoFrameskip-v4."
    ),
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
        "--set", "options", multiple=True, metavar="NAME=VALUE", help="The method's own hyperparameters."
    ),
    click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Of everything."),
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
@_training
@_out
@shared.probes
@label_set_option
@click.option(
    "--result", type=click.Path(path_type=Path), help="Result file.  [default: results/NAME-TIME.json]"
)
@shared.limit
@shared.submitter
@shared.key
@click.pass_context
def run(
    context: click.Context,
    /,
    *,
    out: Path | None,
    probes: tuple[str, ...],
    label_set: str,
    result: Path | None,
    limit: int | None,
    submitter: str | None,
    key: str | None,
    as_json: bool,
    **options: Any,
) -> None:
    """Train an encoder on a game and evaluate it there, in one go.

    \b
    harness run --method infonce-stdim --env-name PongNoFrameskip-v4
    """  # noqa: D301  as above
    from harness.cli import evaluate
    from harness.output import check_writable

    check_writable(result)
    folder, config = _train(out=out, **options)
    say(f"Trained: {folder}")
    context.invoke(
        evaluate,
        encoder=str(folder),
        games=config.settings.game,
        probes=probes or shared.PROBES,
        out=result,
        device=options["device"],
        limit=limit,
        label_set=label_set,
        submitter=submitter,
        key=key,
        num_proc=options["num_proc"],
        quiet=options["quiet"],
        as_json=as_json,
    )


@click.command()
@json_option
def methods(*, as_json: bool) -> None:
    """List the methods that `harness train` knows, and their own hyperparameters."""
    from dataclasses import fields

    from harness.methods import load_method

    rows = []
    for name in METHODS:
        kind = load_method(name)
        summary = (kind.__doc__ or "").partition("\n")[0].removeprefix(f"``{name}``").lstrip(" ,:")
        own = {f.name: f.default for f in fields(kind.Options) if f.name != "game"}
        rows.append((name, own, summary))
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
        options=dict(_pair(text) for text in options),
        mixed_precision=device.startswith("cuda") if mixed_precision is None else mixed_precision,
        **others,
    )
    budget = make(Budget, epochs=epochs, steps=steps, max_minutes=max_minutes)
    folder = out or Path("runs") / f"{settings.game}-{method}-{settings.seed}"
    around = Surroundings(device, save_seconds, track, None, num_proc, progress=not quiet)
    return folder, run_training(settings, folder, budget, around)


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
