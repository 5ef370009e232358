"""The command ``harness``: one group, a file of commands for each station."""

from __future__ import annotations

import click

from builders.console import Commands
from harness import missing_extra
from harness.cli.evaluate import cache, check, evaluate, trivial
from harness.cli.leaderboard import leaderboard, submit
from harness.cli.report import report
from harness.cli.reproduce import reproduce
from harness.cli.result import compare, keygen, sign, verify
from harness.cli.train import methods, run, train


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="atariari")
def cli() -> None:
    """Evaluate encoders of Atari frames: how much of the game's state their features hold."""


cli.missing_extra = staticmethod(missing_extra)
for _command in (
    *(evaluate, check, trivial, cache),
    *(train, run, methods),
    *(compare, report, reproduce, verify, sign, keygen),
    *(submit, leaderboard),
):
    cli.add_command(_command)


def main() -> None:
    """Run the command."""
    cli.main()
