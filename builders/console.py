"""Shared by both command lines: common options, errors and exit codes, tables, JSON.

Standard output carries the result, standard error the narration and the progress. Exit codes: 0 ok, 1 failed
or not verified, 2 wrong usage, 130 interrupted.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NoReturn

import click
from rich.console import Console
from rich.table import Table

from atariari_data.errors import AtariariError
from atariari_data.games import DEFAULT_LABEL_SET, LABEL_SETS

_WIDE = 10_000

json_option = click.option("--json", "as_json", is_flag=True, help="Print the result or the error as JSON.")
label_set_option = click.option(
    "--label-set",
    type=click.Choice(LABEL_SETS),
    default=DEFAULT_LABEL_SET,
    show_default=True,
    help="Label set: this package's (v1), or the 2019 paper's.",
)


class Commands(click.Group):
    """A command group that turns errors into one message (one object with ``--json``) and an exit code.

    Attributes:
        missing_extra: What to tell of a package that is not there, where it belongs to an extra.
    """

    missing_extra: Callable[[ModuleNotFoundError], AtariariError | None] = staticmethod(lambda _: None)

    def main(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Run the command line, and exit with its code."""
        given = kwargs.get("args") if not args else args[0]
        as_json = "--json" in (sys.argv[1:] if given is None else given)
        try:
            code = super().main(*args, **{**kwargs, "standalone_mode": False})
            sys.exit(code if isinstance(code, int) else 0)
        except click.exceptions.Exit as error:
            sys.exit(error.exit_code)
        except click.ClickException as error:
            _tell(as_json, {"error": "UsageError", "what": error.format_message()}, error.format_message())
            sys.exit(2)
        except AtariariError as error:
            _fail(as_json, error)
        except ModuleNotFoundError as error:
            missing = self.missing_extra(error)
            if missing is None:
                raise
            _fail(as_json, missing)
        except (KeyboardInterrupt, click.Abort):
            say("Interrupted; what was finished is kept.")
            sys.exit(130)
        except BrokenPipeError:  # the reader, `head` say, has had enough
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            sys.exit(0)


def _fail(as_json: bool, error: AtariariError) -> NoReturn:
    _tell(as_json, error.as_dict(), str(error))
    sys.exit(error.exit_code)


def _tell(as_json: bool, error: dict[str, Any], text: str) -> None:
    if as_json:
        print_json(error)
    else:
        say(f"Error: {text}")


def say(text: str) -> None:
    """Print a message to standard error."""
    click.echo(text, err=True)


def print_json(value: Any) -> None:
    """Print a result as JSON."""
    click.echo(json.dumps(value, indent=2))


def print_table(columns: Sequence[str], rows: Iterable[Sequence[object]], title: str | None = None) -> None:
    """Print a table with numbers aligned right; in a pipe, columns have their full width."""
    console = Console(width=None if sys.stdout.isatty() else _WIDE, highlight=False)
    cells = [[_cell(value) for value in row] for row in rows]
    table = Table(title=title, title_justify="left", box=None, pad_edge=False, header_style="bold")
    for i, name in enumerate(columns):
        number = all(_is_number(row[i]) for row in cells) and bool(cells)
        table.add_column(name, justify="right" if number else "left", overflow="fold")
    for row in cells:
        table.add_row(*row)
    console.print(table)


def _cell(value: object) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:,}" if isinstance(value, int) else str(value)


def _is_number(cell: str) -> bool:
    return cell == "-" or cell.replace(",", "").replace(".", "", 1).removeprefix("-").isdigit()
