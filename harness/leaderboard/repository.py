"""What git knows of a leaderboard: what changed, when a file came in, what it was."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from atariari_data.errors import UsageError
from harness.leaderboard.board import BoardError
from harness.leaderboard.entry import Dates

# Names that a submission could carry are only ever passed after `--`, NUL-separated, and never to a shell.
_QUIET = {"GIT_OPTIONAL_LOCKS": "0", "GIT_TERMINAL_PROMPT": "0", "GIT_LITERAL_PATHSPECS": "1", "LC_ALL": "C"}

_RAW = ("--raw", "--no-renames", "--no-abbrev", "--no-ext-diff", "--ignore-submodules=none", "-z")


@dataclass(frozen=True)
class Changed:
    """How a file changed: git's letter (A, M, D, T), and its mode now."""

    status: str
    mode: int


def git(folder: Path, *arguments: str, stdin: bytes | None = None) -> bytes:
    """Run git in a leaderboard and return what it prints.

    Raises:
        BoardError: git is not installed, or it failed; with what it said.
    """
    command = ["git", "-c", "core.quotePath=false", "-C", str(folder), *arguments]
    try:
        done = subprocess.run(
            command, input=stdin, capture_output=True, check=False, env={**os.environ, **_QUIET}
        )
    except FileNotFoundError as error:
        raise BoardError("git is not installed.") from error
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip()[:500]
        raise BoardError(f"git {arguments[0]} failed.", got=ascii(said)[1:-1])
    return done.stdout


def is_repository(folder: Path) -> bool:
    """Whether ``folder`` is the top of a git repository."""
    try:
        top = git(folder, "rev-parse", "--show-toplevel").decode().rstrip("\n")
    except BoardError:
        return False
    return Path(top).resolve() == folder.resolve()


def change(folder: Path, base: str) -> dict[str, Changed]:
    """Return the files that differ between where the branch left ``base`` and its head or the working tree.

    Both, since a merge takes the head, whose submodules for instance the working tree need not have.

    Raises:
        UsageError: There is no such revision.
        BoardError: git failed.
    """
    start = _start(folder, base)
    found = {}
    for revisions in ([start, "HEAD"], [start]):
        raw = git(folder, "diff", *_RAW, *revisions, "--")
        fields = raw.split(b"\0")[:-1]
        for head, name in zip(fields[::2], fields[1::2], strict=True):
            _, mode, _, _, status = head.decode().lstrip(":").split(" ")
            found[name.decode("utf-8", "backslashreplace")] = Changed(status, int(mode, 8))
    untracked = git(folder, "ls-files", "--others", "--exclude-standard", "-z").split(b"\0")[:-1]
    for name in untracked:
        path = name.decode("utf-8", "backslashreplace")
        found[path] = Changed("A", (folder / os.fsdecode(name)).lstat().st_mode)
    return found


def content(folder: Path, base: str, path: str) -> bytes:
    """Return a file as it was where the branch left ``base``.

    Raises:
        BoardError: It was not there.
    """
    return git(folder, "cat-file", "blob", f"{_start(folder, base)}:{path}")


def dates(folder: Path, under: str) -> dict[str, Dates]:
    """Return when each file came in and was last changed, as the first-parent history tells.

    A merge is dated by who merged; what a submission's own commits say of the time is not looked at.
    Files that are in no commit are left out.
    """
    if not is_repository(folder) or not git(folder, "rev-list", "-n1", "--all"):
        return {}
    log = git(
        folder,
        *("log", "--first-parent", "-m", "--no-renames", "--diff-filter=AM", "--name-only", "-z"),
        *("--format=%x01%ct", "--", under),
    )
    found: dict[str, Dates] = {}
    for commit in log.split(b"\x01")[1:]:
        stamp, _, names = commit.partition(b"\0")
        when = datetime.fromtimestamp(int(stamp), UTC)
        for name in names.strip(b"\n\0").split(b"\0"):
            path = name.decode("utf-8", "backslashreplace").lstrip("\n")
            found[path] = Dates(when, found[path].changed if path in found else when)  # newest first
    return found


def _start(folder: Path, base: str) -> str:
    if base.startswith("-") or not base:
        raise UsageError("This is not a revision.", got=ascii(base))
    try:
        return git(folder, "merge-base", base, "HEAD").decode().strip()
    except BoardError as error:
        raise UsageError(f"The revision {base!a} is not to be found.", got=error.got) from error


def commit(folder: Path, message: str) -> None:
    """Commit what is staged.

    Raises:
        BoardError: git failed, for instance because it does not know the user's name.
    """
    try:
        git(
            folder,
            "commit",
            "--quiet",
            "--no-verify",
            "--cleanup=verbatim",
            "-F",
            "-",
            stdin=message.encode(),
        )
    except BoardError as error:
        raise BoardError(
            "The commit could not be made.",
            got=error.got,
            cure="git config --global user.name and user.email",
        ) from error
