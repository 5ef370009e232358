"""Options that several commands share."""

from __future__ import annotations

import click
import datasets
from click.testing import CliRunner

from harness.cli import options


def test_quiet_silences_the_building_of_datasets_while_the_command_runs() -> None:
    @click.command()
    @options.quiet
    def command(*, quiet: bool) -> None:
        click.echo(f"{quiet} {datasets.is_progress_bar_enabled()}")

    assert datasets.is_progress_bar_enabled()
    assert CliRunner().invoke(command, ["--quiet"]).output == "True False\n"
    assert datasets.is_progress_bar_enabled()
    assert CliRunner().invoke(command, []).output == "False True\n"


def test_quiet_leaves_bars_off_that_were_off() -> None:
    @click.command()
    @options.quiet
    def command(*, quiet: bool) -> None:
        del quiet

    datasets.disable_progress_bars()
    try:
        CliRunner().invoke(command, ["--quiet"])
        assert not datasets.is_progress_bar_enabled()
    finally:
        datasets.enable_progress_bars()
