"""Shared by both command lines: common options, errors and exit codes, tables, JSON.

Standard output carries the result, standard error the narration and the progress. Exit codes: 0 ok, 1 failed
or not verified, 2 wrong usage, 130 interrupted.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NoReturn

import click

from atariari_data.errors import AtariariError
from atariari_data.games import DEFAULT_LABEL_SET, LABEL_SETS
from builders.spread import LOCAL

if TYPE_CHECKING:
    from rich.console import Console, JustifyMethod, RenderableType
    from rich.table import Table

_WIDTH = 80  # of what is no terminal
_LEAST = 30  # columns of a text that is wrapped beside others

json_option = click.option("--json", "as_json", is_flag=True, help="Print the result or the error as JSON.")
cluster_option = click.option(
    "--cluster",
    default=LOCAL,
    show_default=True,
    help="Where to work: local, dask://HOST:PORT, ray or ray://HOST:PORT "
    "(https://atariari.github.io/atariari/scaling.html).",
)
label_set_option = click.option(
    "--label-set",
    type=click.Choice(LABEL_SETS),
    default=DEFAULT_LABEL_SET,
    show_default=True,
    help="Label set: this package's (v1), or the 2019 paper's.",
)


_NO_COMMAND = getattr(click.exceptions, "NoArgsIsHelpError", ())  # since click 8.2


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
            if isinstance(error, _NO_COMMAND):
                say(error.format_message())
                sys.exit(2)
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

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; a reader that has had enough, as `head`, ends it with success."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            ctx.exit(0)


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


def print_text(text: str) -> None:
    """Print lines, wrapped as `print_table` does."""
    from rich.text import Text

    _print([Text(text)], _console())


def print_table(columns: Sequence[str], rows: Iterable[Sequence[object]], title: str | None = None) -> None:
    """Print a table as wide as the terminal, or 80 columns where there is none, numbers aligned right.

    If it is too wide, its longest columns of text are written below each row, with their names.
    """
    from rich.cells import cell_len
    from rich.padding import Padding
    from rich.text import Text

    console = _console()
    cells = [[_cell(value) for value in row] for row in rows]
    numbers = [_are_numbers([row[i] for row in cells]) for i in range(len(columns))]
    widths = [
        max(cell_len(line) for text in texts for line in text.split("\n"))
        for texts in zip(columns, *cells, strict=True)
    ]
    layout = _Layout.of(widths, numbers, console.width)
    console.width = max(console.width, layout.width)  # a path in the first column is never broken
    found: list[RenderableType] = [Text(title, "italic")] if title else []
    if any(columns[i] for i in layout.beside):
        found.append(layout.line(columns, numbers, "bold"))
    for row in cells:
        found.append(layout.line(row, numbers))
        found += [
            Padding(Text(f"{columns[i]}: {row[i]}"), (0, 0, 0, 4))
            for i in layout.below
            if row[i] not in ("", "-")
        ]
    _print(found, console)


@dataclass(frozen=True)
class _Layout:
    """Which columns stand side by side at which widths, and which are written below each row."""

    beside: dict[int, int]
    below: list[int]
    gap: int

    @classmethod
    def of(cls, widths: Sequence[int], numbers: Sequence[bool], room: int) -> _Layout:
        beside, below, gap = dict(enumerate(widths)), [], 2
        if sum(beside.values()) + gap * (len(beside) - 1) > room:
            gap = 1
        while (over := sum(beside.values()) + gap * (len(beside) - 1) - room) > 0:
            text = [i for i in beside if i and not numbers[i]]
            if len(text) == 1 and beside[text[0]] - over >= _LEAST:
                beside[text[0]] -= over
                break
            if not text:
                break
            below.append(max(text, key=lambda i: widths[i]))
            del beside[below[-1]]
        for i in sorted(below, reverse=True):  # the last that fits may be wrapped beside the others
            left = room - sum(beside.values()) - 2 * len(beside)
            if left >= _LEAST:
                beside[i], gap = left, 2
                below.remove(i)
        return cls(dict(sorted(beside.items())), sorted(below), gap)

    @property
    def width(self) -> int:
        """Columns that a line needs."""
        return sum(self.beside.values()) + self.gap * (len(self.beside) - 1)

    def line(self, cells: Sequence[str], numbers: Sequence[bool], style: str = "") -> Table:
        from rich.table import Table
        from rich.text import Text

        line = Table.grid(padding=(0, self.gap, 0, 0), pad_edge=False)
        for i, width in self.beside.items():
            justify: JustifyMethod = "right" if numbers[i] else "left"
            line.add_column(justify=justify, width=width, overflow="fold", style=style)
        line.add_row(*(Text(cells[i]) for i in self.beside))
        return line


def _console() -> Console:
    from rich.console import Console

    return Console(width=None if sys.stdout.isatty() else _WIDTH, highlight=False)


def _print(parts: Iterable[RenderableType], console: Console) -> None:
    """Print without the spaces that fill lines up."""
    with console.capture() as capture:
        for part in parts:
            console.print(part)
    click.echo("\n".join(line.rstrip() for line in capture.get().split("\n")), nl=False)


def _cell(value: object) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:,}" if isinstance(value, int) else str(value)


def _are_numbers(cells: Sequence[str]) -> bool:
    return any(cell not in ("", "-") for cell in cells) and all(map(_is_number, cells))


def _is_number(cell: str) -> bool:
    return cell in ("", "-") or cell.replace(",", "").replace(".", "", 1).removeprefix("-").isdigit()
