"""What may come into a leaderboard: every result holds, no two contradict each other, nobody's is touched."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from atariari_data.errors import AtariariError
from harness.leaderboard import repository
from harness.leaderboard.board import (
    RESULTS,
    SIGNERS,
    Board,
    BoardError,
    check_place,
    parse_signers,
    read_board,
    result_files,
    skeleton,
    slug,
)
from harness.leaderboard.entry import Dates, Entry, read_bytes, read_entry, uncollected
from harness.pages.words import probe_title
from harness.results.result_file import loads
from harness.signing.allowed_signers import AllowedSigner

_RULES = (SIGNERS,)
"""What a change with results may touch besides them, by adding lines."""


@dataclass(frozen=True)
class Finding:
    """Something that is wrong: with which file, and what."""

    path: str
    error: AtariariError


@dataclass(frozen=True)
class Verdict:
    """What the gate says.

    Attributes:
        board: The leaderboard's rules.
        entries: Results that hold, by path.
        findings: What is wrong; empty for a leaderboard that may be merged.
        added: Paths of results that came in since the base.
        notices: What a maintainer should look at before merging.
    """

    board: Board
    entries: tuple[Entry, ...]
    findings: tuple[Finding, ...]
    added: tuple[str, ...] = ()
    notices: tuple[str, ...] = ()


def verify(folder: Path, base: str | None = None) -> Verdict:
    """Check a leaderboard, and with ``base`` also the change since that revision.

    Raises:
        BoardError: It is not a leaderboard, or the change may not be made at all.
        SignatureError: ``allowed_signers`` cannot be understood.
    """
    board = read_board(folder)
    now = datetime.now(UTC)
    dates = repository.dates(folder, RESULTS)
    change = None if base is None else repository.change(folder, base)
    signers: Sequence[AllowedSigner] | None = None
    added: set[str] = set()
    notices: list[str] = []
    findings: list[Finding] = []
    if change is not None and base is not None:
        added, notices, findings = _check_change(folder, base, change)
        if added or any(path.startswith(f"{RESULTS}/") for path in change):
            signers = _trusted(folder, base, board, notices)
    entries: list[Entry] = []
    with uncollected():
        for relative in _files(folder, findings):
            path = relative.as_posix()
            new = path in added or path not in dates
            when = Dates(now, now) if new else dates[path]
            if change is not None and path in change:
                when = Dates(when.added, now)
            try:
                entries.append(read_entry(board, path, when, signers, new=new))
            except AtariariError as error:
                findings.append(Finding(path, error))
    looked_at = {entry.path for entry in entries} | {finding.path for finding in findings}
    findings += [
        Finding(path, BoardError("The result is committed, but not in the working tree."))
        for path in sorted(added - looked_at)
    ]
    findings += check_together(entries, added, board.rules.withdrawn)
    notices += _doubts(entry for entry in entries if entry.path in added)
    findings += [
        Finding("board.json", BoardError("A withdrawn result is not there.", got=digest))
        for digest in sorted(set(board.rules.withdrawn) - {entry.head.digest for entry in entries})
    ]
    return Verdict(board, tuple(entries), tuple(findings), tuple(sorted(added)), tuple(notices))


def check_together(
    entries: Iterable[Entry], added: Iterable[str] = (), withdrawn: Container[str] = ()
) -> list[Finding]:
    """Find results that cannot stand beside each other: copies, contradictions, names to be mistaken.

    Args:
        entries: All of them.
        added: Paths of those that are about to come in, which have to give way.
        withdrawn: Digests of results that no other has to agree with.
    """
    late = set(added)
    ordered = sorted(entries, key=lambda entry: (entry.path in late, entry.added, entry.path))
    findings: list[Finding] = []
    runs: dict[str, Entry] = {}
    names: dict[str, Entry] = {}
    outputs: dict[str, Entry] = {}
    baselines: dict[tuple[object, ...], tuple[Entry, bytes]] = {}
    for entry in ordered:
        head = entry.head
        findings += _clash(entry, runs.setdefault(head.run_id, entry), "is the same run as")
        named = names.setdefault(skeleton(head.encoder.name), entry)
        if named.head.encoder.name != head.encoder.name:
            findings += _clash(entry, named, f"has a name that looks like {named.head.encoder.name!r} of")
        elif named.submitter != entry.submitter and head.fresh_seed is None:
            findings += _clash(entry, named, f"uses {named.submitter}'s name for an encoder, in")
        for digest in (output for game in head.games.values() for output in game.outputs):
            first = outputs.setdefault(digest, entry)
            if first.submitter != entry.submitter and head.fresh_seed is None:
                findings += _clash(entry, first, f"has the features or predictions of {first.submitter}'s")
                break
        if head.fresh_seed is None and head.digest not in withdrawn:
            findings += _check_baselines(entry, baselines)
    return findings


def _check_baselines(entry: Entry, known: dict[tuple[object, ...], tuple[Entry, bytes]]) -> list[Finding]:
    """Compare what is the same for every encoder with the first result that says it."""
    for name, game in entry.head.games.items():
        for run, found in game.baselines.items():
            first, digest = known.setdefault((entry.protocol.digest, name, *run), (entry, found))
            if digest != found:
                error = BoardError(
                    f"The classes or majority scores of {name} under {probe_title(*run)}, are not those of "
                    f"{first.path}, though they are the same for every encoder.",
                    cure="One of the two is forged or broken: run one of them again.",
                )
                return [Finding(entry.path, error)]
    return []


def _doubts(entries: Iterable[Entry]) -> Iterator[str]:
    for entry in entries:
        if entry.head.as_released is None:
            yield f"{entry.path} was made from a checkout, which need not be the released harness"
        if not entry.head.own_process:
            yield f"{entry.path} was made without keeping the encoder away from the answers"


def _clash(entry: Entry, other: Entry, what: str) -> list[Finding]:
    if entry is other:
        return []
    cure = "A result that was reproduced is co-signed (harness sign), not submitted again."
    return [Finding(entry.path, BoardError(f"The result {what} {other.path}.", cure=cure))]


def _files(folder: Path, findings: list[Finding]) -> Iterable[Path]:
    files = result_files(folder)
    while True:
        try:
            yield next(files)
        except StopIteration:
            return
        except BoardError as error:
            findings.append(Finding(RESULTS, error))
            return


def _check_change(
    folder: Path, base: str, change: Mapping[str, repository.Changed]
) -> tuple[set[str], list[str], list[Finding]]:
    """Return the results that a change adds, what to look at, and what it must not do."""
    results = {path: c for path, c in change.items() if path == RESULTS or path.startswith(f"{RESULTS}/")}
    others = sorted(set(change) - set(results))
    findings: list[Finding] = []
    added = set()
    for path, changed in results.items():
        try:
            check_place(path, changed.mode) if changed.status != "D" else None
            if changed.status == "A":
                added.add(path)
            else:
                _check_touched(folder, base, path, changed)
        except AtariariError as error:
            findings.append(Finding(ascii(path)[1:-1], error))
    if results:
        findings += [
            Finding(
                ascii(path)[1:-1],
                BoardError(
                    "A change with results must leave the rest of the leaderboard alone.",
                    cure="Make two changes of it.",
                ),
            )
            for path in others
            if path not in _RULES
        ]
        notices = [f"{path} changes too: look at it by eye" for path in others if path in _RULES]
    else:
        notices = [f"the rules change: look at {ascii(path)[1:-1]} by eye" for path in others]
    return added, notices, findings


def _check_touched(folder: Path, base: str, path: str, changed: repository.Changed) -> None:
    """Allow one change to a result that is there: further signatures."""
    if changed.status != "M":
        raise BoardError(
            "A result that is there must stay.",
            expected="a line in `withdrawn` of board.json, by a maintainer",
            got={"D": "removed", "T": "made something else"}.get(changed.status, changed.status),
        )
    before, after = loads(repository.content(folder, base, path)), loads(read_bytes(folder / path))
    if before.signed != after.signed:
        raise BoardError("A result that is there must not be changed.")
    kept = after.signatures[: len(before.signatures)]
    if kept != before.signatures:
        raise BoardError("A result's signatures are only added to.")


def _trusted(folder: Path, base: str, board: Board, notices: list[str]) -> list[AllowedSigner]:
    """Return the keys to trust for a change with results: those of the base, and of people new to it.

    A key that the change itself gives to somebody who is on the list already does not count: anyone can
    write such a line.
    """
    known = parse_signers(repository.content(folder, base, SIGNERS))
    people = {entry.principals[0] for entry in known}
    before = {(entry.principals, entry.key, entry.valid_after, entry.valid_before) for entry in known}
    after = {(entry.principals, entry.key, entry.valid_after, entry.valid_before) for entry in board.signers}
    if before - after:
        gone = sorted(principals[0] for principals, *_ in before - after)
        raise BoardError(
            "A change with results must leave the keys of others alone.",
            got=f"changed or removed: {', '.join(gone)}",
            cure="Make two changes of it.",
        )
    fresh = [entry for entry in board.signers if entry.principals[0] not in people]
    for entry in fresh:
        notices.append(f"{entry.principals[0]} is new: is {entry.key.fingerprint} really theirs?")
        if entry.principals[0] in board.rules.maintainers:
            raise BoardError(
                "A change with results must not give a maintainer a key.", got=entry.principals[0]
            )
    late = [e for e in board.signers if e.principals[0] in people and e.key not in {k.key for k in known}]
    if late:
        notices.append(f"a further key for {late[0].principals[0]} counts only once it is merged")
    return [*known, *fresh]


def latest(entries: Iterable[Entry]) -> dict[tuple[str, str], list[Entry]]:
    """Group entries by protocol and encoder, the newest run first."""
    found: dict[tuple[str, str], list[Entry]] = defaultdict(list)
    for entry in sorted(entries, key=lambda e: (e.head.finished, e.path), reverse=True):
        found[entry.protocol.name, slug(entry.head.encoder.name)].append(entry)
    return found
