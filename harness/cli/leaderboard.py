"""Commands: ``harness leaderboard init | verify | build`` and ``harness submit``."""

from __future__ import annotations

import json
import re
from pathlib import Path

import click

from atariari_data.errors import UsageError
from harness.cli.result import as_json

_board = click.argument("board", type=click.Path(path_type=Path), default=".")


@click.group()
def leaderboard() -> None:
    """Make, check and show a leaderboard: a git repository of signed results."""


@leaderboard.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--title", default="Atari state representations", show_default=True, help="Heads the site.")
@click.option(
    "--maintainer",
    "maintainers",
    multiple=True,
    help="Address of who may co-sign results, as in allowed_signers; may be given several times.",
)
@click.option(
    "--results",
    type=click.Path(path_type=Path),
    help="Begin with the signed results of this folder and their allowed_signers.",
)
@as_json
def init(
    folder: Path, title: str, maintainers: tuple[str, ...], results: Path | None, *, json_output: bool
) -> None:
    """Make a leaderboard in FOLDER, which must be new or empty, for the installed dataset."""
    from harness.leaderboard.board import SIGNERS
    from harness.leaderboard.create import begin_with, create, draw_frames, protocols_here, read_first
    from harness.results.provenance import PRINCIPAL

    for name in maintainers:
        if not re.fullmatch(PRINCIPAL, name):
            raise UsageError(
                "This is no maintainer's name.",
                expected="an address or a handle in lower case",
                got=ascii(name),
            )
    first = read_first(results) if results else {}
    protocols = protocols_here()
    create(folder, protocols, title=title, maintainers=maintainers, frames=draw_frames)
    if results:
        begin_with(folder, first, results / SIGNERS)
    names = [protocol.name for protocol in protocols]
    if json_output:
        click.echo(json.dumps({"folder": str(folder), "protocols": names, "results": len(first)}))
        return
    click.echo(f"{folder}: made, with protocols {', '.join(names)} and {len(first)} results")
    if not first:
        click.echo(f"Next: your key in {SIGNERS}, then harness submit RESULT --to {folder}", err=True)


@leaderboard.command()
@_board
@click.option("--base", help="Also check the change since this revision, as for a pull request.")
@as_json
def verify(board: Path, base: str | None, *, json_output: bool) -> None:
    """Check every result of BOARD, and that a change only adds: the gate.

    Exit code 0: it may be merged. 1: it may not.
    """
    from harness.leaderboard import gate

    verdict = gate.verify(board, base)
    if json_output:
        content = {
            "verified": not verdict.findings,
            "results": len(verdict.entries),
            "added": verdict.added,
            "notices": verdict.notices,
            "findings": [{"path": f.path, **f.error.as_dict()} for f in verdict.findings],
        }
        click.echo(json.dumps(content))
    else:
        for notice in verdict.notices:
            click.echo(f"look: {notice}", err=True)
        for finding in verdict.findings:
            click.echo(f"{finding.path}: {finding.error}", err=True)
        state = f"{len(verdict.findings)} refused" if verdict.findings else "verified"
        click.echo(f"{len(verdict.entries)} results hold, {len(verdict.added)} of them new: {state}")
    if verdict.findings:
        raise SystemExit(1)


@leaderboard.command()
@_board
@click.option("--out", type=click.Path(path_type=Path), help="Folder of the site.  [default: BOARD/site]")
@as_json
def build(board: Path, out: Path | None, *, json_output: bool) -> None:
    """Check BOARD and make its site: static pages that need no server."""
    from harness.leaderboard import gate, site

    out = out or board / "site"
    pages = site.build(gate.verify(board), out)
    if json_output:
        click.echo(json.dumps({"out": str(out), "pages": pages}))
    else:
        click.echo(f"{out / 'index.html'}: {pages} pages")


@click.command()
@click.argument("result", type=click.Path(path_type=Path))
@click.option(
    "--to", "board", required=True, type=click.Path(path_type=Path), help="Clone of the leaderboard."
)
@as_json
def submit(result: Path, board: Path, *, json_output: bool) -> None:
    """Check RESULT and commit it to a leaderboard's clone, on a branch of its own."""
    from harness.leaderboard.submit import submit as place

    done = place(result, board)
    if json_output:
        click.echo(json.dumps({"path": done.path, "branch": done.branch, "new_key": done.new_key}))
        return
    click.echo(f"{board / done.path}: committed on {done.branch}")
    if done.new_key:
        click.echo("Your key was added to allowed_signers.", err=True)
    click.echo(f"Next: git -C {board} push origin {done.branch}, then open a pull request.", err=True)
