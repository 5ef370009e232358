"""The command `atariari-data`: one group, a file of commands for each purpose."""

from __future__ import annotations

import click

from builders.cli.configs import build, export, verify
from builders.cli.games import info, list_games, show
from builders.cli.labels import audit, find
from builders.cli.recordings import explore, record, relabel
from builders.console import Commands


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="atariari")
def cli() -> None:
    """Build, verify and inspect Atari frames with labels from RAM.

    Each game has three configs: pong (train, validation and test splits for probing), pong_pretrain
    (different rows for representation learning) and pong_deep (states whose frames random play does not
    show).
    """


for _command in (build, verify, export, list_games, info, show, find, audit, explore, record, relabel):
    cli.add_command(_command)


def main() -> None:
    """Run the command."""
    cli.main()
