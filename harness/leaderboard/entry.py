"""One result on a leaderboard: checked against its protocol and the keys that counted when it came in."""

from __future__ import annotations

import gc
from array import array
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from sys import intern
from typing import Literal, TypeAlias

from harness.leaderboard.board import AcceptedProtocol, Board, KeyList, path_of
from harness.leaderboard.made_on import check_made_on
from harness.leaderboard.names import slug
from harness.leaderboard.repository import BoardError
from harness.results.consistency import check
from harness.results.means import APART, ONE
from harness.results.provenance import Encoder
from harness.results.result import NAMESPACE, GameScores, Means, Result, Signed, SuiteMeans
from harness.results.variables import Table
from harness.results.verify import signers_of
from harness.signing.sshsig import PublicKey, SignatureError

Tier = Literal["self-reported", "reproduced", "fresh-seed"]
FRESH_TOLERANCE = 0.03
"""How far the score may fall on a fresh test split before it looks as if the published one was memorised."""

_CLOCK_SKEW = timedelta(days=1)
_NEAR_MAJORITY = 0.002
_NEARLY_PERFECT = 0.999

NO_CELL = -1
_CELL = 10_001
_OF_CELL = ("score", "accuracy", "error", "constant", "ceiling")

KeysAt: TypeAlias = Callable[[PublicKey], KeyList]


@dataclass(frozen=True, slots=True)
class GameHead:
    """A game of a result.

    Attributes:
        means: Means under each probe.
        outputs: Digests of the features and of the first probe's predictions; none where all cells are
            `NO_CELL`, as for encoders that have collapsed, which are alike.
        variables: Names of the variables of the first probe.
        cells: Score and accuracy (or error) of each variable under the first probe, as one number; `NO_CELL`
            where different encoders can have the same by chance, at the majority or the ceiling.
        halves: Half of the interval of the game's mean under each probe, as if all its variables erred
            together; None if some interval is missing.
    """

    means: tuple[Means, ...]
    outputs: tuple[str, ...]
    variables: tuple[str, ...]
    cells: Sequence[int]
    halves: tuple[float | None, ...]

    @classmethod
    def of(cls, game: GameScores) -> GameHead:
        """Take it from a game of a result."""
        outputs = (game.embeddings, game.scores[0].predictions)
        cells = array("i", map(_cell, *game.scores[0].variables.take(_OF_CELL)))
        means = tuple(scores.means for scores in game.scores)
        names = tuple(map(intern, game.scores[0].variables.column("name")))
        halves = tuple(_half(scores.variables) for scores in game.scores)
        return cls(means, outputs if informative(cells) else (), names, cells, halves)


def _half(variables: Table) -> float | None:
    """Return half of the mean interval: over the variables of a category, then over categories."""
    halves: dict[str, list[float]] = {}
    for ends, categories in zip(*variables.take(("interval", "categories")), strict=True):
        if ends is None:
            return None
        for category in categories:
            if category not in APART:
                halves.setdefault(category, []).append((ends[1] - ends[0]) / 2)
    means = [sum(found) / len(found) for found in halves.values()]
    return round(sum(means) / len(means), 4) if means else None


def _cell(
    score: float | None,
    accuracy: float | None,
    error: float | None,
    constant: float | None,
    ceiling: float | None,
) -> int:
    """Return the cell of a row with these numbers."""
    other = error if accuracy is None else accuracy
    if score is None or other is None or score >= _NEARLY_PERFECT or score == ceiling:
        return NO_CELL
    if constant is not None and abs(score - constant) <= _NEAR_MAJORITY:
        return NO_CELL
    return round(score * ONE) * _CELL + round(other * ONE) % _CELL


def informative(cells: Sequence[int]) -> int:
    """Return how many cells are other than `NO_CELL`."""
    return len(cells) - cells.count(NO_CELL)


def score_of(cell: int) -> int:
    """Return the score of a cell other than `NO_CELL`, in units of 0.0001."""
    return cell // _CELL


@dataclass(frozen=True, slots=True)
class Head:
    """What rankings and plots show of a result; the scores of its variables stay in the file.

    A thousand results take megabytes this way, and gigabytes otherwise.
    """

    digest: str
    run_id: str
    finished: str
    fresh_seed: int | None
    fresh_of: str | None
    encoder: Encoder
    suite: tuple[SuiteMeans, ...]
    games: Mapping[str, GameHead]

    @classmethod
    def of(cls, signed: Signed) -> Head:
        """Take it from a result."""
        return cls(
            signed.digest,
            signed.run_id,
            signed.finished,
            signed.dataset.fresh_seed,
            signed.dataset.fresh_of,
            signed.encoder,
            tuple(signed.suite),
            {name: GameHead.of(game) for name, game in signed.games.items()},
        )


@dataclass(frozen=True, slots=True)
class Entry:
    """A result that has been checked.

    Attributes:
        path: Its path in the leaderboard.
        submitter: Whose key signed it.
        head: What it says.
        protocol: The accepted protocol that it was made under.
        cosigners: Maintainers, other than the submitter, who co-signed it.
        order: When it came in: the number of the commit; within one, those of fewer games are earlier.
    """

    path: str
    submitter: str
    head: Head
    protocol: AcceptedProtocol
    cosigners: tuple[str, ...]
    order: tuple[int, int]


@contextmanager
def uncollected() -> Iterator[None]:
    """Read results without the garbage collector, which takes half of the time and finds no cycle in them."""
    on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if on:
            gc.enable()


def check_entry(
    board: Board,
    path: str | None,
    result: Result,
    keys: KeysAt | None = None,
    *,
    new: datetime | None = None,
    order: int = 0,
) -> Entry:
    """Check a result against a leaderboard's rules.

    Args:
        board: The rules.
        path: Where it lies; None for a result that is not on a leaderboard yet.
        result: The result.
        keys: Returns the list that a key must be in: that of the commit that added its signature. The
            leaderboard's present list, if not given.
        new: The time now, for a result that is about to come in: its protocol must be open and its run over.
        order: Number of the commit in which it came in.

    Raises:
        BoardError: The place, the protocol, or what it was made on is wrong.
        ResultError: As `harness.results.consistency.check`.
        SignatureError: A signature is not valid or does not count.
    """
    signed = result.signed
    place = path_of(signed)
    submitter = signed.submitter.principal if signed.submitter else ""
    cosigners = _check_signatures(result, submitter, keys or (lambda _: board.keys))
    check(signed)
    protocol = board.protocols.get(signed.protocol.digest)
    if protocol is None:
        raise BoardError(
            "The result was made under a protocol that this leaderboard does not accept.",
            expected="one of " + ", ".join(p.name for p in board.protocols.values()),
            got=f"{signed.protocol.name} ({signed.protocol.digest[:23]}...)",
        )
    if new is not None:
        _check_time(signed, protocol, new)
    if not signed.ranked and not signed.is_bound and signed.dataset.fresh_seed is None:
        raise BoardError(f"The result is not for ranking: {signed.unranked_reason}.")
    _check_fresh(signed)
    check_made_on(signed, protocol, new=new is not None)
    if path is not None and path != place:
        raise BoardError("The file is not where its content belongs.", expected=place, got=path)
    return Entry(place, submitter, Head.of(signed), protocol, cosigners, (order, len(signed.games)))


def tier(entry: Entry, fresh: Mapping[str, Sequence[Entry]]) -> Tier:
    """Return how far an entry can be trusted.

    Args:
        entry: The entry.
        fresh: Runs on fresh test splits, by the digest of the result that they test.
    """
    if any(gap is not None and gap <= FRESH_TOLERANCE for gap in fresh_gaps(entry, fresh)):
        return "fresh-seed"
    return "reproduced" if entry.cosigners else "self-reported"


def fresh_gaps(entry: Entry, fresh: Mapping[str, Sequence[Entry]]) -> list[float | None]:
    """Return how far the score falls on test splits recorded afresh, one number for each such run."""
    found = []
    for other in fresh.get(entry.head.digest, ()):
        pairs = [
            (game.means[0].score, other.head.games[name].means[0].score)
            for name, game in entry.head.games.items()
            if name in other.head.games
        ]
        whole = len(pairs) == len(entry.head.games)
        gaps = [a - b for a, b in pairs if a is not None and b is not None]
        found.append(sum(gaps) / len(gaps) if whole and len(gaps) == len(pairs) else None)
    return found


def latest(entries: Iterable[Entry]) -> dict[tuple[str, str], list[Entry]]:
    """Group entries by protocol and encoder. The first stands for it: what came in last of the most games.

    A later run on fewer games does not hide what is known of the others.
    """
    found: dict[tuple[str, str], list[Entry]] = defaultdict(list)
    for entry in sorted(entries, key=lambda e: (len(e.head.games), e.order, e.path), reverse=True):
        found[entry.protocol.name, slug(entry.head.encoder.name)].append(entry)
    return found


def _check_time(signed: Signed, protocol: AcceptedProtocol, now: datetime) -> None:
    until = protocol.accepted_until
    if until is not None and now > datetime.fromisoformat(until):
        raise BoardError(
            f"The protocol {protocol.name} is closed.",
            expected=f"a result that comes in until {until}",
            got=f"{now.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}",
        )
    if datetime.fromisoformat(signed.finished) > now + _CLOCK_SKEW:
        raise BoardError("The run ended in the future.", got=signed.finished)


def _check_fresh(signed: Signed) -> None:
    dataset = signed.dataset
    if (dataset.fresh_seed is None) != (dataset.fresh_of is None):
        raise BoardError(
            "A run on a fresh test split names the result that it tests, and no other run does.",
            expected="fresh_seed and fresh_of, or neither",
            got=f"fresh_seed {dataset.fresh_seed}, fresh_of {dataset.fresh_of}",
            cure="harness evaluate --fresh-seed N --fresh-of RESULT.json",
        )
    if dataset.fresh_seed is not None and signed.dry_run_rows is not None:
        raise BoardError(
            "The result is from a dry run.", expected="all test rows", got=signed.unranked_reason
        )


def _check_signatures(result: Result, submitter: str, keys: KeysAt) -> tuple[str, ...]:
    """Return the maintainers who co-signed."""
    maintainers: set[str] = set()

    def owner(key: PublicKey) -> str:
        known = keys(key)
        entry = known.owner(key)
        refusal = "it is not in the list of keys"
        if entry is not None:
            refusal = (known.at and entry.refusal(NAMESPACE, known.at)) or ""
        if entry is None or refusal:
            raise SignatureError(
                f"The key {key.fingerprint} is not accepted: {refusal}.",
                cure="A new key is merged first, in a change of its own: harness leaderboard admit",
            )
        (person,) = entry.principals
        maintainers.update(known.maintainers & {person})
        return person

    found = signers_of(result, owner)
    others = sorted({str(each.principal) for each in found if each.principal != submitter})
    for person in others:
        if person not in maintainers:
            raise SignatureError("Only maintainers co-sign.", got=person)
    if result.signed.dataset.fresh_seed is not None and submitter not in maintainers:
        raise SignatureError("Only maintainers submit results on a fresh split.", got=submitter)
    return tuple(others)
