"""A change to a leaderboard: it adds results, or keys, or changes rules, and never two of these."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from atariari_data.errors import AtariariError
from harness.leaderboard.board import PATH, RESULTS, RULES, SIGNERS, Board, KeyList, decoded, printable
from harness.leaderboard.notices import key_changes
from harness.leaderboard.repository import BoardError, Repository, Tree
from harness.results.canonical import MAX_BYTES
from harness.results.result_file import loads


@dataclass(frozen=True)
class Finding:
    """Something that is wrong: with which file, and what."""

    path: str
    error: AtariariError


@dataclass(frozen=True)
class Change:
    """The files of a base branch, and what they would be after a merge."""

    before: Tree
    after: Tree

    @cached_property
    def paths(self) -> set[str]:
        """Everything that changes."""
        return {p for p in {*self.before, *self.after} if self.before.get(p) != self.after.get(p)}

    @cached_property
    def results(self) -> set[str]:
        """What changes in ``results``."""
        return {path for path in self.paths if path == RESULTS or path.startswith(f"{RESULTS}/")}

    @cached_property
    def added(self) -> set[str]:
        """What is new in ``results``."""
        return {path for path in self.results if path not in self.before}

    @property
    def of_rules(self) -> bool:
        """Whether it changes what results are checked against, so that it can break those that are there."""
        return RULES in self.paths or any(path.startswith("protocols/") for path in self.paths)


def check_change(repository: Repository, board: Board, change: Change) -> tuple[list[Finding], list[str]]:
    """Return what a change must not do, and what to look at."""
    findings: list[Finding] = []

    def refuse(path: str, what: str, cure: str) -> None:
        findings.append(Finding(printable(path), BoardError(what, cure=cure)))

    removed = {digest[:16] for digest in board.rules.removed}
    for path in sorted(change.results - change.added):
        if path in change.after:
            if (error := _touched(repository, path, change)) is not None:
                findings.append(Finding(printable(path), error))
        elif stem(path) not in removed:
            findings.append(Finding(printable(path), must_stay()))
    if change.results & set(change.after):
        for path in sorted(change.paths - change.results):
            refuse(
                path,
                "A change with results must leave everything else alone.",
                "harness leaderboard admit, in a change of its own"
                if path == SIGNERS
                else "Make two changes of it.",
            )
        return findings, []
    if SIGNERS not in change.paths:
        return findings, [f"the rules change: look at {printable(path)}" for path in sorted(change.paths)]
    for path in sorted(change.paths - {SIGNERS}):
        refuse(path, "A change of keys must leave everything else alone.", "Make two changes of it.")
    submitters = {path.split("/")[1] for path in change.before if PATH.fullmatch(path)}
    return findings, list(key_changes(_keys_before(repository, board, change), board.keys, submitters))


def must_stay() -> BoardError:
    """Return the error for a result that is gone."""
    return BoardError(
        "A result that is there must stay.",
        expected="an entry in `withdrawn` of board.json, or in `removed` if the file is to go",
        got="removed",
    )


def stem(path: str) -> str:
    """Return the digits of a result's digest that its path has; empty for other paths."""
    match = PATH.fullmatch(path)
    return match[1] if match else ""


def _keys_before(repository: Repository, board: Board, change: Change) -> KeyList:
    blob = change.before.get(SIGNERS)
    text = decoded(repository.content(blob.oid)) if blob else ""
    return KeyList(text, frozenset(board.rules.maintainers))


def _touched(repository: Repository, path: str, change: Change) -> BoardError | None:
    """Allow one change to a result that is there: further signatures."""
    changed = BoardError("A result that is there must not be changed.")
    blobs = change.before[path], change.after[path]
    if any(blob.size > MAX_BYTES for blob in blobs) or blobs[0].mode != blobs[1].mode:
        return changed
    try:
        before, after = map(loads, repository.contents(blobs))
    except AtariariError:
        return changed
    if before.signed.payload != after.signed.payload:
        return changed
    if after.signatures[: len(before.signatures)] != before.signatures:
        return BoardError("A result's signatures are only added to.")
    return None
