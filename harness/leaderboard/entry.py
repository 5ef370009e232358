"""One result on a leaderboard: checked against the protocol it names, and how far it can be believed."""

from __future__ import annotations

import gc
import os
import stat
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal, cast

import orjson
from blake3 import blake3

from harness.leaderboard.board import AcceptedProtocol, Board, BoardError, path_of
from harness.leaderboard.made_on import check_made_on
from harness.results.canonical import MAX_BYTES, ResultError
from harness.results.consistency import check
from harness.results.provenance import Encoder
from harness.results.result import GameScores, Means, Result, Signed, SuiteMeans, TrainRows
from harness.results.result_file import loads
from harness.results.verify import signers_of, whose
from harness.signing.allowed_signers import AllowedSigner
from harness.signing.sshsig import PublicKey, SignatureError

Tier = Literal["self-reported", "reproduced", "fresh-seed"]
FRESH_TOLERANCE = 0.03
"""How much lower F1 on a fresh test split may be before it looks like memory of the published one."""

_CLOCK_SKEW = timedelta(days=1)


_SAME_FOR_ALL = ("name", "classes", "majority_f1", "majority_accuracy")


@dataclass(frozen=True, slots=True)
class GameHead:
    """A game of a result.

    Attributes:
        means: Under each probe.
        outputs: Digests of what the encoder gave.
        baselines: By probe and training size, a digest of what is the same for every encoder: the classes
            and the majority's scores.
    """

    means: tuple[Means, ...]
    outputs: tuple[str, ...]
    baselines: Mapping[tuple[str, TrainRows], bytes]

    @classmethod
    def of(cls, game: GameScores) -> GameHead:
        """Take it from a game of a result."""
        return cls(
            tuple(scores.means for scores in game.scores),
            (game.embeddings, *(scores.predictions for scores in game.scores)),
            {
                (scores.probe, scores.train_rows): blake3(
                    orjson.dumps(scores.variables.take(_SAME_FOR_ALL))
                ).digest()
                for scores in game.scores
            },
        )


@dataclass(frozen=True, slots=True)
class Head:
    """What rankings and plots show of a result; the scores of its variables stay in the file.

    A thousand results take megabytes so, and gigabytes otherwise.
    """

    digest: str
    run_id: str
    finished: str
    fresh_seed: int | None
    as_released: bool | None
    own_process: bool
    encoder: Encoder
    suite: tuple[SuiteMeans, ...]
    games: Mapping[str, GameHead]

    @classmethod
    def of(cls, signed: Signed) -> Head:
        """Take it from a result."""
        games = {name: GameHead.of(game) for name, game in signed.games.items()}
        seed = signed.dataset.fresh_seed
        return cls(
            signed.digest,
            signed.run_id,
            signed.finished,
            seed,
            signed.harness.as_released,
            signed.isolation is not None and signed.isolation.own_process,
            signed.encoder,
            tuple(signed.suite),
            games,
        )


@dataclass(frozen=True, slots=True)
class Entry:
    """A result that holds.

    Attributes:
        path: Relative to the leaderboard.
        submitter: Who vouches for it.
        head: What it says.
        protocol: Which of the accepted protocols it was made under.
        cosigners: Maintainers, other than the submitter, who say that they got the same.
        added: When it came in.
        file: BLAKE3 of the file that was checked.
    """

    path: str
    submitter: str
    head: Head
    protocol: AcceptedProtocol
    cosigners: tuple[str, ...]
    added: datetime
    file: str

    def content(self, folder: Path) -> bytes:
        """Read the file again.

        Raises:
            BoardError: It is not the one that was checked.
        """
        data = read_bytes(folder / self.path)
        if blake3(data).hexdigest() != self.file:
            raise BoardError(f"{self.path} was changed while it was read.", cure="Once more.")
        return data

    def signed(self, folder: Path) -> dict[str, Any]:
        """Read what is signed again, as dicts and lists; as `content`."""
        return cast("dict[str, Any]", orjson.loads(self.content(folder))["signed"])


@dataclass(frozen=True)
class Dates:
    """When a file came in and when it was last changed; both now, for one that is about to come in."""

    added: datetime
    changed: datetime


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


def read_entry(
    board: Board, path: str, dates: Dates, signers: Sequence[AllowedSigner] | None = None, *, new: bool
) -> Entry:
    """Read and check one result of a leaderboard.

    Args:
        board: Its rules.
        path: Of the file, relative to the leaderboard.
        dates: When the keys must have been valid.
        signers: Keys to trust; the leaderboard's, if not given.
        new: Whether it is about to come in, so that a protocol's cut-off holds for it.

    Raises:
        BoardError: The place is wrong, or the protocol, or what it was made on.
        ResultError: As `harness.results.consistency.check`.
        SignatureError: A signature does not hold or does not count.
    """
    result = loads(read_bytes(board.folder / path))
    return check_entry(board, path, result, dates, signers, new=new)


def check_entry(
    board: Board,
    path: str | None,
    result: Result,
    dates: Dates,
    signers: Sequence[AllowedSigner] | None = None,
    *,
    new: bool,
) -> Entry:
    """Check a result that has been read; as `read_entry`. Without ``path``, any place is right."""
    signed = result.signed
    if signed.submitter is None:
        raise ResultError("The result names no submitter, so it cannot be submitted.")
    submitter = signed.submitter.principal
    trusted = board.signers if signers is None else signers
    cosigners = _check_signatures(board, result, submitter, dates, trusted)
    check(signed)
    protocol = _protocol(board, signed, dates, new=new)
    if not signed.ranked and not signed.is_bound and signed.dataset.fresh_seed is None:
        raise BoardError(f"The result is not for ranking: {signed.unranked_reason}.")
    _check_whole(signed)
    check_made_on(signed, protocol)
    if datetime.fromisoformat(signed.finished) > dates.added + _CLOCK_SKEW:
        raise BoardError("The run ended in the future.", got=signed.finished)
    place = path_of(signed)
    if path is not None and path != place:
        raise BoardError("The file does not lie where its content belongs.", expected=place, got=path)
    file = blake3(result.content).hexdigest()
    return Entry(place, submitter, Head.of(signed), protocol, cosigners, dates.added, file)


def tier(entry: Entry, fresh: Mapping[tuple[str, str | None], Sequence[Entry]]) -> Tier:
    """Return how far an entry can be believed."""
    if any(gap is not None and gap <= FRESH_TOLERANCE for gap in fresh_gaps(entry, fresh)):
        return "fresh-seed"
    return "reproduced" if entry.cosigners else "self-reported"


def fresh_gaps(entry: Entry, fresh: Mapping[tuple[str, str | None], Sequence[Entry]]) -> list[float | None]:
    """Return how much F1 falls on test splits recorded afresh, one number for each such run."""
    found = []
    for other in fresh.get(identity(entry), ()):
        pairs = [
            (game.means[0].f1, other.head.games[name].means[0].f1)
            for name, game in entry.head.games.items()
            if name in other.head.games
        ]
        whole = len(pairs) == len(entry.head.games)
        gaps = [a - b for a, b in pairs if a is not None and b is not None]
        found.append(sum(gaps) / len(gaps) if whole and len(gaps) == len(pairs) else None)
    return found


def identity(entry: Entry) -> tuple[str, str | None]:
    """Return what makes two runs runs of the same encoder."""
    return entry.head.encoder.source, entry.head.encoder.weights


def read_bytes(path: Path) -> bytes:
    """Read a file that may be anything.

    Raises:
        BoardError: A link, no plain file, or it cannot be read.
        ResultError: It is too large for a result.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0))
        with os.fdopen(descriptor, "rb") as file:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                raise BoardError("This is not a plain file.")
            if status.st_size > MAX_BYTES:
                raise ResultError(
                    "The file is too large for a result.", expected=f"at most {MAX_BYTES:,} bytes"
                )
            return file.read(MAX_BYTES + 1)
    except OSError as error:
        raise BoardError(f"The file cannot be read: {error.strerror or error}.") from error


def _protocol(board: Board, signed: Signed, dates: Dates, *, new: bool) -> AcceptedProtocol:
    protocol = board.protocols.get(signed.protocol.digest)
    if protocol is None:
        raise BoardError(
            "The result was made under a protocol that this leaderboard does not accept.",
            expected="one of " + ", ".join(p.name for p in board.protocols.values()),
            got=f"{signed.protocol.name} ({signed.protocol.digest[:23]}...)",
        )
    if protocol.accepted_until is not None:
        until = datetime.fromisoformat(protocol.accepted_until)
        if (dates.added if not new else datetime.now(UTC)) > until:
            raise BoardError(
                f"The protocol {protocol.name} is closed.",
                expected=f"a result that came in until {protocol.accepted_until}",
                got=f"{dates.added:%Y-%m-%dT%H:%M:%SZ}",
            )
    return protocol


def _check_whole(signed: Signed) -> None:
    """Refuse a dry run on a fresh split, which says too little of an encoder to move its tier."""
    if signed.dataset.fresh_seed is not None and signed.dry_run_rows is not None:
        raise BoardError("The result is of a dry run.", expected="all test rows", got=signed.unranked_reason)


def _check_signatures(
    board: Board, result: Result, submitter: str, dates: Dates, signers: Sequence[AllowedSigner]
) -> tuple[str, ...]:
    signed = result.signed
    found = signers_of(result, lambda key: _signer(key, signers, dates, submitter))
    others = sorted({str(each.principal) for each in found if each.principal != submitter})
    for person in others:
        if person not in board.rules.maintainers:
            raise SignatureError(
                "Only maintainers co-sign.", expected=", ".join(board.rules.maintainers), got=person
            )
    if signed.dataset.fresh_seed is not None and submitter not in board.rules.maintainers:
        raise SignatureError("Only maintainers submit results on a fresh split.", got=submitter)
    return tuple(others)


def _signer(key: PublicKey, signers: Sequence[AllowedSigner], dates: Dates, submitter: str) -> str:
    """Return whose key it is: valid when the file came in or, for a later signature, when it was changed."""
    try:
        return whose(key, signers, at=dates.added, submitter=submitter)
    except SignatureError:
        person = whose(key, signers, at=dates.changed, submitter=submitter)
        if person == submitter:
            raise
        return person
