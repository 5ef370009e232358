"""The gate: every result is valid, none is touched, and nothing comes in along with it.

A change is judged by the tip of the branch that it goes to, and by the files that merging it would give.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from atariari_data.errors import AtariariError
from harness.leaderboard.board import (
    RESULTS,
    RULES,
    SIGNERS,
    Board,
    KeyList,
    check_place,
    decoded,
    is_result,
    parse_rules,
    printable,
    read_rules,
)
from harness.leaderboard.change import Change, Finding, check_change, must_stay, stem
from harness.leaderboard.entry import Entry, KeysAt, check_entry, uncollected
from harness.leaderboard.notices import doubts, near_copies, replacements, returns
from harness.leaderboard.repository import Blob, BoardError, Past, Repository, RulesAt, Tree
from harness.leaderboard.together import check_together
from harness.results.canonical import MAX_BYTES, ResultError
from harness.results.result_file import loads
from harness.signing.sshsig import PublicKey

_LAST = 1 << 60
"""Order of a result that is about to come in: after all others."""
_MOST_NAMED = 20


@dataclass(frozen=True)
class Verdict:
    """What the gate says.

    Attributes:
        repository: Where the leaderboard is.
        tree: The files that were judged.
        board: The rules.
        entries: Results that are valid and count.
        findings: What is wrong; empty for a change or a leaderboard that is as it should be.
        added: Paths of results that the change adds.
        notices: What a maintainer should look at before merging.
    """

    repository: Repository
    tree: Tree
    board: Board
    entries: tuple[Entry, ...]
    findings: tuple[Finding, ...]
    added: tuple[str, ...] = ()
    notices: tuple[str, ...] = ()


def verify(folder: Path, base: str | None = None) -> Verdict:
    """Check what is committed of a leaderboard.

    Args:
        folder: The top folder of its repository.
        base: Check a change: HEAD as it would be merged into this revision, the tip of the base branch. What
            was wrong before is then a notice.

    Raises:
        BoardError: Not a leaderboard, its history is missing, or the change cannot be merged.
        UsageError: No such revision.
    """
    repository = Repository(folder)
    tip = repository.commit_of("HEAD" if base is None else base)
    before = repository.tree(tip)
    tree = before if base is None else repository.merged(tip)
    change = Change(before, tree)
    board, problems = read_rules(repository, tree)
    found = _Findings(Finding(path, error) for path, error in problems.items())
    past = repository.past(tip, RESULTS, SIGNERS, RULES)
    keys = _KeyLists(repository, past, before)
    now = datetime.now(UTC)
    gone = {digest[:16]: digest for digest in {**board.rules.withdrawn, **board.rules.removed}}
    entries: list[Entry] = []
    withdrawn: list[Entry] = []
    notices: list[str] = []
    with uncollected():
        for path, data in _contents(repository, tree, found):
            new = path in change.added
            try:
                result = loads(data)
                listed = keys.of(path, changed=path in change.paths)
                order = _LAST if new else past.order.get(path, 0)
                entry = check_entry(board, path, result, listed, new=now if new else None, order=order)
            except AtariariError as error:
                if new or stem(path) not in gone:
                    found.add(path, error)
                continue
            (withdrawn if stem(path) in gone else entries).append(entry)
            notices += [f"{path}: {text}" for text in doubts(result.signed, now)] if new else []
        for entry, clash in check_together(entries, withdrawn, set(gone.values())):
            found.add(entry.path, clash)
    found += _missing(board, tree, past)
    entries = [entry for entry in entries if entry.path not in found.paths]
    if base is not None:
        more, looks = check_change(repository, board, change)
        new_ones = [entry for entry in entries if entry.path in change.added]
        notices += [*looks, *replacements(entries, change.added), *returns(new_ones, withdrawn)]
        notices += near_copies(entries, change.added)
        if not change.of_rules:
            ours = set(map(printable, change.paths))
            notices += [f"wrong already: {f.path}: {f.error.what}" for f in found if f.path not in ours]
            found = _Findings(f for f in found if f.path in ours)
        found += more
    found += _uncommitted(repository)
    findings = tuple(sorted(found, key=lambda finding: finding.path))
    return Verdict(
        repository, tree, board, tuple(entries), findings, tuple(sorted(change.added)), tuple(notices)
    )


class _Findings(list[Finding]):
    """Findings, in the order in which they come up."""

    def add(self, path: str, error: AtariariError) -> None:
        self.append(Finding(printable(path), error))

    @property
    def paths(self) -> set[str]:
        return {finding.path for finding in self}


class _KeyLists:
    """The lists of keys at the commits of a branch, each read once."""

    def __init__(self, repository: Repository, past: Past, tip: Tree) -> None:
        self._repository, self._past = repository, past
        self._known: dict[RulesAt, KeyList] = {}
        now = self._at(RulesAt(*(tip[path].oid if path in tip else "" for path in (SIGNERS, RULES))))
        self._now = KeyList(now.text, now.maintainers, datetime.now(UTC))

    def of(self, path: str, *, changed: bool) -> KeysAt:
        """Return the list that each signature of a file must be in: of the commit that added the signature.

        Args:
            path: The file.
            changed: Whether the change touches it, so that a signature which is not in it yet is new.
        """
        touched = self._past.touched.get(path, ())
        if len(touched) == 1 and not changed:
            return lambda _: self._at(touched[0].rules)
        since: dict[str, RulesAt] = {}
        for rules, oid in touched:
            with suppress(AtariariError):
                for signature in loads(self._repository.content(oid)).signatures:
                    since.setdefault(signature.keyid, rules)

        def keys(key: PublicKey) -> KeyList:
            return self._at(since[key.fingerprint]) if key.fingerprint in since else self._now

        return keys

    def _at(self, rules: RulesAt) -> KeyList:
        if rules not in self._known:
            read = self._repository.content
            text = decoded(read(rules.signers)) if rules.signers else ""
            try:
                people = parse_rules(read(rules.board)).maintainers if rules.board else []
            except AtariariError:  # a mistake of the past
                people = []
            self._known[rules] = KeyList(text, frozenset(people))
        return self._known[rules]


def _contents(repository: Repository, tree: Tree, found: _Findings) -> Iterator[tuple[str, bytes]]:
    """Yield the results of a tree with their content; say what lies where it must not."""
    wanted: list[tuple[str, Blob]] = []
    for path, blob in sorted(tree.items()):
        try:
            check_place(path, blob.mode)
            if blob.size > MAX_BYTES and is_result(path):
                raise ResultError(
                    "The file is too large for a result.", expected=f"at most {MAX_BYTES:,} bytes"
                )
        except AtariariError as error:
            found.add(path, error)
            continue
        if is_result(path):
            wanted.append((path, blob))
    contents = repository.contents([blob for _, blob in wanted])
    yield from ((path, data) for (path, _), data in zip(wanted, contents, strict=True))


def _missing(board: Board, tree: Tree, past: Past) -> Iterator[Finding]:
    """Yield results that are gone unannounced, and ones that are there though the rules say they are gone."""
    there = {stem(path): path for path in tree if is_result(path)}
    removed = {digest[:16] for digest in board.rules.removed}
    for path in sorted(set(past.removed) - set(tree)):
        if is_result(path) and stem(path) not in removed:
            yield Finding(path, must_stay())
    for digest in board.rules.withdrawn:
        if digest[:16] not in there:
            cure = "List it in `removed` instead if its file is to go."
            yield Finding(RULES, BoardError("A withdrawn result is not there.", got=digest, cure=cure))
    for name in sorted(removed & set(there)):
        yield Finding(there[name], BoardError("The result is there, but board.json lists it as removed."))


def _uncommitted(repository: Repository) -> Iterator[Finding]:
    for path in repository.uncommitted()[:_MOST_NAMED]:
        error = BoardError("Not committed, so not checked.", cure="git commit, or remove it")
        yield Finding(printable(path), error)
