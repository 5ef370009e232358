"""Submitting: a result, checked, at its place in a clone of the leaderboard, on a branch of its own."""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from atariari_data.errors import UsageError
from harness.leaderboard import repository
from harness.leaderboard.board import SIGNERS, Board, parse_signers, path_of, read_board
from harness.leaderboard.entry import Dates, check_entry
from harness.leaderboard.gate import verify
from harness.results import result_file
from harness.results.result import NAMESPACE, Result
from harness.signing import sshsig as signing
from harness.signing.sshsig import SignatureError


@dataclass(frozen=True)
class Submitted:
    """Where a result went: its path, the branch, whether the submitter's key was added."""

    path: str
    branch: str
    new_key: str | None


def submit(result_path: Path, folder: Path) -> Submitted:
    """Put a result into a clone of a leaderboard, commit it on a new branch, and run the gate on that.

    Raises:
        UsageError: The clone has changes that are not committed, or the result is there already.
        BoardError, ResultError, SignatureError: The leaderboard would not take it; nothing was changed.
    """
    board = read_board(folder)
    result = result_file.read(result_path)
    path = path_of(result.signed)
    if not repository.is_repository(folder):
        raise UsageError(
            f"{folder} is not a git repository.", cure="git clone the leaderboard, and name that."
        )
    if (folder / path).exists():
        raise UsageError("The leaderboard has this result already.", got=path)
    if repository.git(folder, "status", "--porcelain", "-z"):
        raise UsageError(f"{folder} has changes that are not committed.", cure="git stash, or a fresh clone.")
    added = _key_to_add(board, result)
    signers = parse_signers(_with_line(folder, added)) if added else board.signers
    now = datetime.now(UTC)
    check_entry(board, path, result, Dates(now, now), signers, new=True)
    return _place(folder, result, path, added)


def _place(folder: Path, result: Result, path: str, added: str | None) -> Submitted:
    signed = result.signed
    base = repository.git(folder, "rev-parse", "HEAD").decode().strip()
    before = repository.git(folder, "rev-parse", "--abbrev-ref", "HEAD").decode().strip()
    branch = f"submit/{Path(path).parent.name}-{signed.digest[:8]}"
    if repository.git(folder, "branch", "--list", branch):
        raise UsageError(
            "The result has been submitted from this clone already.",
            got=f"branch {branch}",
            cure=f"git push origin {branch}, or git branch -D {branch} to do it again.",
        )
    repository.git(folder, "switch", "--quiet", "--create", branch)
    try:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        result_file.write(result, folder / path)
        if added:
            (folder / SIGNERS).write_bytes(_with_line(folder, added))
        repository.git(folder, "add", "--", path, SIGNERS)
        repository.commit(folder, _message(result, path, new_key=added is not None))
        _gate(folder, base)
    except BaseException:
        (folder / path).unlink(missing_ok=True)
        repository.git(folder, "reset", "--quiet", "--hard", base)
        repository.git(folder, "switch", "--quiet", *(["--detach", base] if before == "HEAD" else [before]))
        repository.git(folder, "branch", "--quiet", "-D", branch)
        raise
    return Submitted(path, branch, added)


def _gate(folder: Path, base: str) -> None:
    if findings := verify(folder, base).findings:
        raise findings[0].error


def _message(result: Result, path: str, *, new_key: bool) -> str:
    signed = result.signed
    means = signed.suite[0].means
    score = "no suite mean" if means.f1 is None else f"suite F1 {means.f1:.4f}"
    lines = [
        f"Submit {signed.encoder.name}: {score}, {len(signed.games)} of {len(signed.dataset.suite)} games",
        "",
        f"Submitter: {signed.submitter.principal if signed.submitter else ''}",
        f"Protocol: {signed.protocol.name}",
        f"Pretraining data: {signed.encoder.pretraining_data}",
        f"File: {path}",
        *(["Adds the submitter's key to allowed_signers."] if new_key else []),
    ]
    return "\n".join(lines) + "\n"


def _key_to_add(board: Board, result: Result) -> str | None:
    """Return the line for ``allowed_signers`` that a first-time submitter needs, or None."""
    principal = result.signed.submitter.principal if result.signed.submitter else None
    if principal is None or not result.signatures:
        raise SignatureError("The result is not signed.", cure="harness sign RESULT")
    key = signing.verify(result.signatures[0].sig, result.signed.payload, NAMESPACE)
    people = {entry.principals[0] for entry in board.signers}
    if principal not in people:
        return f'{principal} namespaces="{NAMESPACE}" {key.line}\n'
    if key not in {entry.key for entry in board.signers}:
        raise SignatureError(
            f"The key {key.fingerprint} is not one of {principal}'s.",
            cure="Sign with the key that is in allowed_signers, or have a maintainer add this one first.",
        )
    return None


def _with_line(folder: Path, line: str) -> bytes:
    content = (folder / SIGNERS).read_bytes()
    return content + (b"" if content.endswith(b"\n") or not content else b"\n") + os.fsencode(line)
