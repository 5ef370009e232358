"""The command ``harness``: one group, a file of commands for each station."""

from __future__ import annotations

import logging
import sys
from functools import partial
from typing import Final

import click

from builders.console import Commands
from harness import missing_extra
from harness.cli.evaluate import cache, check, evaluate, init, trivial
from harness.cli.leaderboard import leaderboard, submit
from harness.cli.report import report
from harness.cli.reproduce import reproduce
from harness.cli.result import compare, export, keygen, merge, sign, verify
from harness.cli.train import methods, run, train

SECTIONS: Final = {
    "Evaluate": (init, check, evaluate, merge, compare, report, export),
    "Train": (train, run, methods),
    "Sign and verify": (keygen, sign, verify, reproduce),
    "Leaderboard": (submit, leaderboard),
    "Maintenance": (cache, trivial),
}


class _Narrator(logging.Handler):
    """Prints what the library logs on standard error, above any progress bar."""

    def emit(self, record: logging.LogRecord) -> None:
        if "tqdm" not in sys.modules:  # so that there is no bar
            click.echo(record.getMessage(), err=True)
            return
        from tqdm import tqdm

        tqdm.write(record.getMessage(), file=sys.stderr)


class _Harness(Commands):
    """The group of all commands; its help lists them by section."""

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        del ctx
        width = max(map(len, self.commands))
        for title, commands in SECTIONS.items():
            with formatter.section(title):
                formatter.write_dl([(f"{c.name:{width}}", c.get_short_help_str(limit=200)) for c in commands])


@click.group(cls=_Harness, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="atariari")
@click.pass_context
def cli(context: click.Context) -> None:
    """Measure how much of a game's state an encoder of Atari frames captures.

    Exit codes: 0 success, 1 failed or not verified, 2 wrong usage (an unknown name, a missing encoder or
    result), 130 interrupted.
    """
    log = logging.getLogger("harness")
    narrator = _Narrator()
    log.addHandler(narrator)
    log.setLevel(logging.INFO)
    context.call_on_close(partial(log.removeHandler, narrator))
    context.call_on_close(partial(log.setLevel, logging.NOTSET))


cli.missing_extra = staticmethod(missing_extra)
for _commands in SECTIONS.values():
    for _command in _commands:
        cli.add_command(_command)


def main() -> None:
    """Run the command."""
    cli.main()
