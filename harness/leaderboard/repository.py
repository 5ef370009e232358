"""A leaderboard's git repository: the files of a commit, their history, and what a merge would give.

Only committed files are read, by their object names. So no link is followed, and nothing changes while it is
read.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from atariari_data.errors import DataError, UsageError

PLAIN, EXECUTABLE = 0o100644, 0o100755

_QUIET = {
    "GIT_OPTIONAL_LOCKS": "0",
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_LITERAL_PATHSPECS": "1",
    "GIT_NO_REPLACE_OBJECTS": "1",
    "LC_ALL": "C",
}
_KEPT = ("GIT_AUTHOR_", "GIT_COMMITTER_", "GIT_CONFIG_GLOBAL", "GIT_CONFIG_NOSYSTEM", "GIT_EXEC_PATH")
"""Git's variables that are passed on. The others could point it at another repository."""


class BoardError(DataError):
    """A leaderboard's files, or a change to them, break its rules."""


class Blob(NamedTuple):
    """A file in a commit: git's mode, object name and size in bytes."""

    mode: int
    oid: str
    size: int


Tree = Mapping[str, Blob]
"""The files of a commit by path."""


class RulesAt(NamedTuple):
    """Object names of the files that decided who could sign at some commit; empty if there were none."""

    signers: str
    board: str


class Touched(NamedTuple):
    """A commit that added or changed a file: the rules at it, and the object name of the file."""

    rules: RulesAt
    oid: str


@dataclass(frozen=True)
class Past:
    """What the first-parent history says of the files in a folder.

    Attributes:
        order: Number of the commit in which each file came in.
        touched: The commits that added or changed each file, the first one first.
        removed: Object names of files that were there once.
    """

    order: Mapping[str, int]
    touched: Mapping[str, Sequence[Touched]]
    removed: Mapping[str, str]


def git(folder: Path, *arguments: str, stdin: bytes | None = None) -> bytes:
    """Run git in a folder and return its standard output.

    Raises:
        BoardError: git is not installed, or it failed.
    """
    try:
        done = subprocess.run(
            _command(folder, arguments), input=stdin, capture_output=True, check=False, env=_environment()
        )
    except FileNotFoundError as error:
        raise BoardError("git is not installed.") from error
    if done.returncode:
        said = (done.stderr or done.stdout).decode(errors="replace").strip()[:500]
        raise BoardError(f"git {arguments[0]} failed.", got=ascii(said)[1:-1])
    return done.stdout


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
            "The commit failed.",
            got=error.got,
            cure="git config --global user.name and user.email; if commits are signed, check commit.gpgsign",
        ) from error


class Repository:
    """The repository of a leaderboard, with its whole history.

    Attributes:
        folder: Its top folder.
    """

    def __init__(self, folder: Path) -> None:
        """Check that ``folder`` is the top of a git repository that has its history.

        Raises:
            BoardError: It is not, or git refuses to read it.
        """
        self.folder = folder
        try:
            top = git(folder, "rev-parse", "--show-toplevel").decode(errors="replace").rstrip("\n")
        except BoardError as error:
            owner = "dubious ownership" in (error.got or "")
            raise BoardError(
                f"{folder} is not a leaderboard: git cannot read it, so its history is missing.",
                got=error.got,
                cure=f"git config --global --add safe.directory {folder.resolve()}"
                if owner
                else "git clone the leaderboard (a ZIP has no history), or harness leaderboard init",
            ) from error
        if Path(top).resolve() != folder.resolve():
            raise BoardError(
                f"{folder} is not a leaderboard: it is not the top of a git repository.",
                expected="a repository of its own",
                got=f"a folder in {top}",
            )
        if git(folder, "rev-parse", "--is-shallow-repository").strip() == b"true":
            raise BoardError(
                "The leaderboard's history is missing: this is a shallow clone.",
                cure="git fetch --unshallow (in a workflow: fetch-depth: 0)",
            )

    def commit_of(self, revision: str) -> str:
        """Return the commit that a revision names.

        Raises:
            UsageError: No such commit.
        """
        if revision.startswith("-") or not revision:
            raise UsageError("Not a revision.", got=ascii(revision))
        try:
            name = git(self.folder, "rev-parse", "--verify", "--quiet", f"{revision}^{{commit}}")
        except BoardError as error:
            raise UsageError(
                f"The revision {revision!a} does not exist.", cure="git fetch, or git commit first"
            ) from error
        return name.decode().strip()

    def tree(self, revision: str) -> Tree:
        """Return the files of a commit or tree."""
        found = {}
        for line in git(self.folder, "ls-tree", "-r", "-l", "-z", "--full-tree", revision).split(b"\0")[:-1]:
            head, _, path = line.partition(b"\t")
            mode, _, oid, size = head.split()
            found[_text(path)] = Blob(int(mode, 8), oid.decode(), 0 if size == b"-" else int(size))
        return found

    def merged(self, base: str) -> Tree:
        """Return the files that merging HEAD into ``base``, a commit, would give.

        Raises:
            BoardError: They conflict, or git is older than 2.38.
        """
        try:
            oid = git(self.folder, "merge-tree", "--write-tree", "--no-messages", base, "HEAD")
        except BoardError as error:
            raise BoardError(
                "The change cannot be merged.",
                got=error.got,
                cure="Merge the base branch into it (or rebase it), and resolve the conflict.",
            ) from error
        return self.tree(oid.decode().strip())

    def contents(self, blobs: Iterable[Blob]) -> Iterator[bytes]:
        """Yield the content of files, in order."""
        with tempfile.TemporaryFile() as names:
            names.write("".join(f"{blob.oid}\n" for blob in blobs).encode())
            names.seek(0)
            command = _command(self.folder, ("cat-file", "--batch"))
            with subprocess.Popen(
                command, stdin=names, stdout=subprocess.PIPE, env=_environment()
            ) as process:
                assert process.stdout is not None  # noqa: S101  for mypy
                while head := process.stdout.readline():
                    size = int(head.split()[2])
                    yield process.stdout.read(size + 1)[:-1]

    def content(self, oid: str) -> bytes:
        """Return the content of one file by its object name."""
        return git(self.folder, "cat-file", "blob", oid)

    def past(self, revision: str, under: str, signers: str, board: str) -> Past:
        """Return the first-parent history of a folder's files up to a commit.

        Only its order counts. Dates are what a committer's clock said.

        Args:
            revision: The last commit.
            under: The folder.
            signers: Path of the list of keys.
            board: Path of the rules that name maintainers.
        """
        log = git(
            self.folder,
            *("-c", "log.showRoot=true", "log", "--first-parent", "--diff-merges=first-parent", "--reverse"),
            *("--no-renames", "--raw", "--no-abbrev", "--no-ext-diff", "-z", "--format=%x01"),
            *(revision, "--", under, signers, board),
        )
        order: dict[str, int] = {}
        touched: defaultdict[str, list[Touched]] = defaultdict(list)
        removed: dict[str, str] = {}
        now = RulesAt("", "")
        for number, step in enumerate(log.split(b"\x01")[1:]):
            fields = step.strip(b"\0\n").split(b"\0")
            changes = list(zip(fields[::2], map(_text, fields[1::2]), strict=False))
            after = {path: head.split()[3].decode() for head, path in changes if head[:1] == b":"}
            now = RulesAt(after.get(signers, now.signers), after.get(board, now.board))
            for head, path in changes:
                if path in {signers, board}:
                    continue
                _, _, before, _, status = head.split()
                if status == b"D":
                    removed[path] = before.decode()
                    order.pop(path, None)
                    touched.pop(path, None)
                    continue
                removed.pop(path, None)
                order.setdefault(path, number)
                touched[path].append(Touched(now, after[path]))
        return Past(order, touched, removed)

    def uncommitted(self) -> list[str]:
        """Return paths that differ between HEAD, the index and the working tree, untracked ones included.

        Executable bits on disk do not count: some file systems, as WSL's, show them on every file.
        """
        plain = ("-c", "core.fileMode=false")
        fields = git(
            self.folder, *plain, "status", "--porcelain", "-z", "--no-renames", "--untracked-files=all"
        )
        return [_text(field[3:]) for field in fields.split(b"\0")[:-1]]


def _command(folder: Path, arguments: Sequence[str]) -> list[str]:
    return ["git", "-c", "core.quotePath=false", "-C", str(folder), *arguments]


def _environment() -> dict[str, str]:
    kept = {k: v for k, v in os.environ.items() if not k.startswith("GIT_") or k.startswith(_KEPT)}
    return {**kept, **_QUIET}


def _text(path: bytes) -> str:
    return path.decode("utf-8", "backslashreplace")
