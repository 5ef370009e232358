"""The command `harness`: evaluate, check, sign, verify."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from atariari_data.games import DEFAULT_LABEL_SET, LABEL_SETS
from builders.console import Commands, print_json, say
from harness import missing_extra
from harness.leaderboard.cli import leaderboard, submit
from harness.result_cli import keygen, sign, verify

_json = click.option("--json", "as_json", is_flag=True, help="Print the result, or the error, as JSON.")


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="atariari")
def cli() -> None:
    """Evaluate encoders of Atari frames: how much of the game's state their features hold."""


cli.missing_extra = staticmethod(missing_extra)
cli.add_command(keygen)
cli.add_command(sign)
cli.add_command(verify)
cli.add_command(submit)
cli.add_command(leaderboard)


@cli.command()
@click.argument("encoder")
@click.option("--games", help="Names with commas between.  [default: all]")
@click.option("--weights", type=click.Path(path_type=Path), help="State dict, .safetensors or .pt.")
@click.option(
    "--out", type=click.Path(path_type=Path), help="Result file.  [default: results/NAME-TIME.json]"
)
@click.option("--device", help="Torch device of encoder and probes.  [default: cpu]")
@click.option("--batch-size", type=click.IntRange(min=1), help="Most frames at once.")
@click.option("--pool", help="How feature maps or tokens become vectors: flatten, mean or cls.")
@click.option("--limit", type=click.IntRange(min=2), help="Dry run: only so many rows of every split.")
@click.option(
    "--label-set",
    type=click.Choice(LABEL_SETS),
    default=DEFAULT_LABEL_SET,
    show_default=True,
    help="Ours, or the 2019 paper's.",
)
@click.option("--name", help="Of the encoder, in the result.  [default: its class or file]")
@click.option(
    "--pretraining-data",
    default="not declared",
    show_default=True,
    help="What the encoder was trained on; none for an untrained one.",
)
@click.option("--submitter", help="Who vouches for the result: the name in a leaderboard's allowed_signers.")
@click.option("--key", help="SSH key to sign with.  [default: your own, see harness sign --help]")
@click.option("--num-proc", type=click.IntRange(min=1), help="Processes to build the dataset with.")
@click.option("--no-cache", is_flag=True, help="Neither use nor keep features and finished games.")
@click.option("--quiet", is_flag=True, help="No progress.")
@_json
def evaluate(
    encoder: str,
    games: str | None,
    out: Path | None,
    submitter: str | None,
    key: str | None,
    no_cache: bool,
    quiet: bool,
    as_json: bool,
    **options: Any,
) -> None:
    """Evaluate ENCODER and write a signed result.

    ENCODER is a Python file with an encoder in it (examples/my_encoder.py is one to start from).

    \b
    harness evaluate my_encoder.py --games pong,breakout
    harness evaluate my_encoder.py --games pong --limit 500    # does it run at all?
    """  # noqa: D301  click's mark for lines to leave as they are
    from harness.evaluation import evaluate as run_evaluation
    from harness.output import check_writable, default_out, save
    from harness.report import METRIC_NOTE, print_result

    check_writable(out)
    names = None if games is None else [name.strip() for name in games.split(",") if name.strip()]
    result = run_evaluation(
        encoder,
        names,
        submitter=None if submitter is None else {"principal": submitter},
        use_cache=not no_cache,
        progress=not quiet,
        **options,
    )
    path, signed = save(result, out or default_out(result), key)
    if as_json:
        print_json({"path": str(path), "signed": bool(signed.signatures), **result.signed.plain})
        return
    print_result(result)
    say(METRIC_NOTE)
    if result.signed.unranked_reason:
        say(f"Not for ranking: {result.signed.unranked_reason}.")
    click.echo(f"\n{path}")


@cli.command()
@click.argument("encoder")
@click.option("--weights", type=click.Path(path_type=Path), help="State dict, .safetensors or .pt.")
@click.option("--device", help="Torch device.  [default: cpu]")
@click.option("--pool", help="How feature maps or tokens become vectors: flatten, mean or cls.")
@_json
def check(encoder: str, as_json: bool, **options: Any) -> None:
    """Say which rule ENCODER breaks, if any, before an hour is spent on it.

    Exit code 0: it keeps them all. 1: it does not.
    """
    from harness.conformance import check as try_rules
    from harness.conformance import conforms, report

    findings = try_rules(encoder, **options)
    if as_json:
        print_json([finding.as_dict() for finding in findings])
    else:
        click.echo(report(findings))
    if not conforms(findings):
        raise click.exceptions.Exit(1)


@cli.command()
@click.option("--clear", is_flag=True, help="Remove it all.")
def cache(clear: bool) -> None:
    """Say how large the cache of features and finished games is, or clear it."""
    from harness.cache import Cache, default_dir

    kept = Cache(default_dir())
    size = kept.clear() if clear else kept.size()
    click.echo(f"{kept.folder}: {size / 1e6:,.1f} MB" + (" removed" if clear else ""))


def main() -> None:
    """Run the command."""
    cli.main()
