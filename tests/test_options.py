"""Options that several commands share."""

from __future__ import annotations

import logging

import click
import datasets
import pytest
from click.testing import CliRunner

from harness.cli import options
from harness.cli.main import cli


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


@click.command()
@options.quiet
def narrate(*, quiet: bool) -> None:
    del quiet
    logging.getLogger("harness.methods.train").info("step %s", 7)
    logging.getLogger("harness.cache").warning("not cached")


@pytest.mark.parametrize(
    ("arguments", "seen"), [((), "step 7\nnot cached\n"), (("--quiet",), "not cached\n")], ids=["", "quiet"]
)
def test_what_the_library_logs_is_narrated_on_standard_error(
    arguments: tuple[str, ...], seen: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(cli.commands, "narrate", narrate)
    before = logging.getLogger("harness").handlers, logging.getLogger("harness").level
    done = CliRunner().invoke(cli, ["narrate", *arguments])
    assert (done.stdout, done.stderr) == ("", seen)
    assert (logging.getLogger("harness").handlers, logging.getLogger("harness").level) == before
