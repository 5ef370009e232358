"""Options that several commands share."""

from __future__ import annotations

import logging
from pathlib import Path

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


RESULT_COMMANDS = (
    ["verify"],
    ["sign"],
    ["compare", "{good}"],
    ["export", "--format", "csv"],
    ["merge", "--out", "merged.json"],
    ["report"],
    ["reproduce", "{good}"],
    ["submit", "--to", "."],
    ["evaluate", "majority", "--fresh-seed", "1", "--fresh-of"],
)


@pytest.mark.parametrize("command", RESULT_COMMANDS, ids=lambda command: command[0])
def test_what_is_no_result_is_refused_as_such(
    command: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    good = "good.json"
    Path(good).write_text("{}", encoding="utf-8")
    Path("README.md").write_text("# atariari\n", encoding="utf-8")
    asked = [part.format(good=good) for part in command]
    for file, code, said in (
        ("README.md", 1, "README.md is not a result file."),
        ("nothing.json", 2, "File 'nothing.json' does not exist"),
    ):
        order = [asked[0], file, *asked[1:]] if command[0] == "reproduce" else [*asked, file]
        done = CliRunner().invoke(cli, order)
        assert (done.exit_code, done.stdout) == (code, "")
        assert said in done.stderr


def test_a_file_that_begins_as_a_result_does_gets_the_finer_error(tmp_path: Path) -> None:
    for content, said in (("{", "not JSON"), (" {}", "Not a result file"), ("", "is empty")):
        (tmp_path / "a.json").write_text(content, encoding="utf-8")
        done = CliRunner().invoke(cli, ["verify", str(tmp_path / "a.json")])
        assert (done.exit_code, said in done.stderr) == (1, True), done.stderr


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
