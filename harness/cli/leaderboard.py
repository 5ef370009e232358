"""Commands: ``harness leaderboard init | verify | build | admit`` and ``harness submit``."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING

import click

from atariari_data.errors import UsageError
from builders.console import json_option
from harness.cli import options

if TYPE_CHECKING:
    from harness.leaderboard.gate import Verdict
    from harness.leaderboard.submit import Submitted

_folder = click.Path(exists=True, file_okay=False, path_type=Path)
_board = click.argument("board", type=_folder, default=".")
_to = click.option("--to", "board", required=True, type=_folder, help="Clone of the leaderboard.")


@click.group()
def leaderboard() -> None:
    """Create, check and publish a leaderboard: a git repository of signed results."""


@leaderboard.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--title", default="Atari state representations", show_default=True, help="Title of the site.")
@click.option(
    "--maintainer",
    "maintainers",
    multiple=True,
    help="Name of a maintainer, as in allowed_signers. Can be repeated.",
)
@click.option(
    "--results",
    type=click.Path(path_type=Path),
    help="Folder of signed results to start with, and their allowed_signers.",
)
@json_option
def init(
    folder: Path, title: str, maintainers: tuple[str, ...], results: Path | None, *, as_json: bool
) -> None:
    """Create a leaderboard for the installed dataset in FOLDER, which must be new or empty."""
    from harness.leaderboard.board import SIGNERS
    from harness.leaderboard.create import begin_with, create, draw_frames, protocols_here, read_first

    for name in maintainers:
        _check_name(name)
    first = read_first(results) if results else {}
    protocols = protocols_here()
    create(folder, protocols, title=title, maintainers=maintainers, frames=draw_frames)
    if results:
        begin_with(folder, first, results / SIGNERS)
    names = [protocol.name for protocol in protocols]
    if as_json:
        click.echo(json.dumps({"folder": str(folder), "protocols": names, "results": len(first)}))
        return
    click.echo(f"{folder}: created with protocols {', '.join(names)} and {len(first)} results")
    if not first:
        click.echo(f"Next: harness leaderboard admit NAME KEY.pub --to {folder}", err=True)


@leaderboard.command()
@_board
@click.option(
    "--base",
    help="Check a change, as of a pull request: HEAD merged into this revision, such as origin/main.",
)
@json_option
def verify(board: Path, base: str | None, *, as_json: bool) -> None:
    """Check what is committed in BOARD.

    With --base, check a change: it adds results, or keys, or changes rules, and touches nothing else.

    Exit code 0: no findings. 1: findings.
    """
    from harness.leaderboard import gate

    verdict = gate.verify(board, base)
    if as_json:
        content = {
            "verified": not verdict.findings,
            "results": len(verdict.entries),
            "added": verdict.added,
            "notices": verdict.notices,
            "findings": [{"path": f.path, **f.error.as_dict()} for f in verdict.findings],
        }
        click.echo(json.dumps(content))
    else:
        _show(verdict)
        click.echo(f"{len(verdict.entries)} results verified ({len(verdict.added)} new){_refused(verdict)}")
    if verdict.findings:
        raise SystemExit(1)


@leaderboard.command()
@_board
@click.option("--out", type=click.Path(path_type=Path), help="Folder of the site.  [default: BOARD/site]")
@json_option
def build(board: Path, out: Path | None, *, as_json: bool) -> None:
    """Check BOARD and build its site: static pages that need no server.

    Exit code 0: everything is shown. 1: something was wrong and is left out.
    """
    from harness.leaderboard import gate, site

    out = out or board / "site"
    verdict = gate.verify(board)
    pages = site.build(verdict, out)
    if as_json:
        findings = [{"path": f.path, **f.error.as_dict()} for f in verdict.findings]
        click.echo(json.dumps({"out": str(out), "pages": pages, "findings": findings}))
    else:
        _show(verdict)
        click.echo(f"{out / 'index.html'}: {pages} pages{_refused(verdict)}")
    if verdict.findings:
        raise SystemExit(1)


@leaderboard.command()
@click.argument("name")
@click.argument("key", type=click.Path(path_type=Path))
@_to
@json_option
def admit(name: str, key: Path, board: Path, *, as_json: bool) -> None:
    """Commit the public KEY of the person called NAME to a leaderboard's clone, on a branch of its own."""
    from harness.leaderboard.submit import admit as place
    from harness.signing.sshsig import PublicKey

    _check_name(name)
    try:
        public = PublicKey.from_line(key.read_text(encoding="utf-8", errors="replace"))
    except OSError as error:
        raise UsageError(
            f"{key} cannot be read: {error.strerror or error}.", cure="harness keygen makes a key."
        ) from error
    _done(place(name, public, board), board, as_json=as_json)


@click.command()
@click.argument("result", type=options.ResultFile())
@_to
@json_option
def submit(result: Path, board: Path, *, as_json: bool) -> None:
    """Check RESULT and commit it to a leaderboard's clone, on a branch of its own."""
    from harness.leaderboard.submit import submit as place

    _done(place(result, board), board, as_json=as_json)


def _done(done: Submitted, board: Path, *, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps({"path": done.path, "branch": done.branch}))
        return
    click.echo(f"{board / done.path}: committed on {done.branch}")
    click.echo(f"Next: git -C {board} push origin {done.branch}, then open a pull request.", err=True)


def _show(verdict: Verdict) -> None:
    for notice in verdict.notices:
        click.echo(f"look: {notice}", err=True)
    for finding in verdict.findings:
        click.echo(f"{finding.path}: {finding.error}", err=True)


def _refused(verdict: Verdict) -> str:
    count = len(verdict.findings)
    return f", {count} finding{'' if count == 1 else 's'}" if count else ""


def _check_name(name: str) -> None:
    from harness.results.provenance import PRINCIPAL

    if not re.fullmatch(PRINCIPAL, name):
        raise UsageError("Not a name.", expected="an address or a handle in lower case", got=ascii(name))
