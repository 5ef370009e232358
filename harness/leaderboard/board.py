"""A leaderboard's files: its rules, the protocols it accepts, its keys, and where each result lies."""

from __future__ import annotations

import re
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated, Literal, TypeVar

from pydantic import BaseModel, Field, StringConstraints, ValidationError

from atariari_data.errors import DataError
from harness.results.canonical import MAX_BYTES, Count, Digest, ResultError, Share, Text, Utc
from harness.results.provenance import PRINCIPAL, Identifier, Model, Name, Principal, Split
from harness.results.result import NAMESPACE, Setting, Signed, TrainRows
from harness.results.variables import Columns
from harness.signing import allowed_signers
from harness.signing.allowed_signers import AllowedSigner
from harness.signing.sshsig import PublicKey

RESULTS = "results"
SIGNERS = "allowed_signers"
PATH = re.compile(r"results/[a-z0-9][a-z0-9._@+-]{0,63}/[a-z0-9][a-z0-9-]{0,63}/[0-9a-f]{16}\.json")
_MAX_RULES = 2_000_000
_MAX_FILES = 100_000


class BoardError(DataError):
    """A leaderboard's files, or a change to them, do not keep its rules."""


class Rules(Model):
    """``board.json``."""

    schema_version: Literal[1]
    """Of this file."""
    title: Text
    """Heads the site."""
    url: Annotated[str, StringConstraints(max_length=200, pattern=r"^(https://[A-Za-z0-9._~:/-]+)?$")]
    """Where the site is; empty if nowhere."""
    current: Name
    """Name of the protocol that the front page ranks by."""
    maintainers: Annotated[list[Principal], Field(max_length=100)]
    """Whose co-signature says that a result was reproduced."""
    withdrawn: dict[Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")], Text]
    """SHA-256 of a result's signed bytes to the reason why it no longer counts."""


class KeptVariable(Model):
    """A variable that the protocol probes."""

    name: Identifier
    """As in the label set."""
    categories: list[Identifier]
    """The means it counts in."""
    ceiling_f1: Share
    """Best F1 that a function of the single frame reaches on the test split."""
    ceiling_accuracy: Share
    """Likewise the best accuracy."""


class KeptGame(Model):
    """One game of a protocol."""

    splits: dict[Literal["train", "validation", "test"], Split]
    """As the dataset's manifest has them."""
    variables: list[KeptVariable]
    """Those that it probes, in order."""

    @cached_property
    def columns(self) -> Columns:
        """What results repeat of the variables: their names, categories, ceilings of F1 and of accuracy."""
        rows = [(v.name, v.categories, v.ceiling_f1, v.ceiling_accuracy) for v in self.variables]
        return [list(column) for column in zip(*rows, strict=True)]


class ProbeChoice(Model):
    """A probe and its training size."""

    probe: Identifier
    """Name."""
    train_rows: TrainRows
    """How many rows it is fitted on."""


class TrivialScores(Model):
    """What the trivial encoders score on one game under a probe and training size."""

    game: Identifier
    """Its name."""
    probe: Identifier
    """Its name."""
    train_rows: TrainRows
    """How many rows it is fitted on."""
    pixels_pca_f1: dict[Identifier, Share]
    """F1 of a PCA of the pixels, by variable."""
    random_projection_f1: dict[Identifier, Share]
    """F1 of a random projection of the pixels, by variable."""


class AcceptedProtocol(Model):
    """``protocols/NAME.json``: rules under which results are accepted, and what they must be made on."""

    schema_version: Literal[1]
    """Of this file."""
    name: Name
    """Of this file, and on the site."""
    digest: Digest
    """Of the protocol, as results say it."""
    accepted_until: Utc | None
    """After this, no new result under it comes in; those that are there stay."""
    dataset_version: Name
    """Of the dataset."""
    label_set: Identifier
    """Of the dataset."""
    probes: Annotated[list[ProbeChoice], Field(min_length=1)]
    """What every result has; the first is the one that ranks."""
    shown: list[ProbeChoice]
    """What is shown beside these, of results that have it."""
    settings: dict[Identifier, dict[Identifier, Setting | list[Setting]]]
    """What else decides a probe's answer, by probe; no others are taken."""
    seeds: dict[Identifier, Count]
    """Of everything random that the protocol fixes."""
    trivial: list[TrivialScores]
    """Where they are known."""
    games: dict[Identifier, KeptGame]
    """The suite."""

    @cached_property
    def trivial_of(self) -> dict[tuple[str, str, TrainRows], Columns]:
        """By game, probe and training size, F1 of the variables with the PCA and the random projection."""
        return {
            (known.game, known.probe, known.train_rows): [
                [scores[v.name] for v in self.games[known.game].variables]
                for scores in (known.pixels_pca_f1, known.random_projection_f1)
            ]
            for known in self.trivial
        }

    @property
    def columns(self) -> list[ProbeChoice]:
        """The probes that stand beside each other, those of every result first."""
        return [*self.probes, *self.shown]


@dataclass(frozen=True)
class Board:
    """A leaderboard's rules, without its results.

    Attributes:
        folder: Where it is.
        rules: ``board.json``.
        protocols: By digest.
        signers: ``allowed_signers``.
    """

    folder: Path
    rules: Rules
    protocols: Mapping[str, AcceptedProtocol]
    signers: tuple[AllowedSigner, ...]

    @property
    def current(self) -> AcceptedProtocol:
        """The protocol that the front page ranks by."""
        return next(p for p in self.protocols.values() if p.name == self.rules.current)


M = TypeVar("M", bound=BaseModel)


def read_board(folder: Path) -> Board:
    """Read a leaderboard's rules.

    Raises:
        BoardError: A file is missing, is a link, or does not fit its form.
        SignatureError: ``allowed_signers`` cannot be understood.
    """
    rules = parse_rules(read_file(folder, "board.json"))
    names = sorted(path.name for path in (folder / "protocols").glob("*.json"))
    protocols = [parse_protocol(read_file(folder, f"protocols/{name}"), name) for name in names]
    signers = parse_signers(read_file(folder, SIGNERS))
    by_digest = {protocol.digest: protocol for protocol in protocols}
    if len(by_digest) != len(protocols):
        raise BoardError("Two protocols have the same digest.")
    if rules.current not in {protocol.name for protocol in protocols}:
        raise BoardError(
            "board.json names a protocol that is not there.", expected=f"protocols/{rules.current}.json"
        )
    return Board(folder, rules, by_digest, signers)


def parse_rules(data: bytes) -> Rules:
    """Read ``board.json``'s bytes."""
    return _parse(Rules, data, "board.json")


def parse_protocol(data: bytes, name: str) -> AcceptedProtocol:
    """Read a protocol file's bytes."""
    protocol = _parse(AcceptedProtocol, data, f"protocols/{name}")
    if f"{protocol.name}.json" != name:
        raise BoardError("A protocol's file has another name.", expected=f"{protocol.name}.json", got=name)
    return protocol


def parse_signers(data: bytes) -> tuple[AllowedSigner, ...]:
    """Read ``allowed_signers``'s bytes, which a leaderboard wants plainer than OpenSSH does.

    Raises:
        SignatureError: As `allowed_signers.parse`.
        BoardError: A pattern instead of a name, a key there twice, a key that may sign other things, or two
            names that look alike.
    """
    entries = allowed_signers.parse(data)
    owner: dict[PublicKey, int] = {}
    names: dict[str, str] = {}
    for entry in entries:
        where = f"allowed_signers, line {entry.line}"
        if len(entry.principals) != 1 or not re.fullmatch(PRINCIPAL, entry.principals[0]):
            raise BoardError(
                f"{where}: a line is for one person.",
                expected="an address or a handle in lower case",
                got=ascii(",".join(entry.principals)[:80]),
            )
        if entry.namespaces != (NAMESPACE,):
            raise BoardError(
                f"{where}: the key is not limited to results.", expected=f'namespaces="{NAMESPACE}"'
            )
        if entry.key in owner:
            raise BoardError(
                f"{where}: the key is in line {owner[entry.key]} already.", got=entry.key.fingerprint
            )
        name = entry.principals[0]
        if names.setdefault(skeleton(name), name) != name:
            raise BoardError(f"{where}: {name} looks like {names[skeleton(name)]}.")
        owner[entry.key] = entry.line
    return tuple(entries)


def path_of(signed: Signed) -> str:
    """Return where a result lies in a leaderboard, which follows from its content.

    Raises:
        ResultError: Nobody vouches for it.
    """
    if signed.submitter is None:
        raise ResultError("The result names no submitter, so it cannot be submitted.")
    return f"{RESULTS}/{signed.submitter.principal}/{slug(signed.encoder.name)}/{signed.digest[:16]}.json"


def slug(name: str) -> str:
    """Return an encoder's name as a folder: lower case, everything else a hyphen."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-") or "encoder"


def skeleton(name: str) -> str:
    """Return what a name looks like: two names with one skeleton would be mistaken for each other."""
    plain = re.sub(r"[^a-z0-9@]", "", name.lower())
    for seen, as_if in (("rn", "m"), ("vv", "w"), ("cl", "d")):
        plain = plain.replace(seen, as_if)
    return plain.translate(str.maketrans("01i5", "olls"))


def result_files(folder: Path) -> Iterator[Path]:
    """Walk ``results/`` and yield every file's path, relative to the leaderboard.

    Raises:
        BoardError: Something is there that is not a plain file at a result's path.
    """
    if not (folder / RESULTS).is_dir() or (folder / RESULTS).is_symlink():
        raise BoardError(
            "The leaderboard has no folder `results`.", cure="harness leaderboard init makes one."
        )
    count = 0
    pending = [folder / RESULTS]
    while pending:
        for path in sorted(pending.pop().iterdir()):
            relative = path.relative_to(folder)
            mode = path.lstat().st_mode
            if stat.S_ISDIR(mode):
                pending.append(path)
                continue
            if relative.as_posix() == f"{RESULTS}/.gitkeep":
                continue
            check_place(relative.as_posix(), mode)
            count += 1
            if count > _MAX_FILES:
                raise BoardError("There are too many results.", expected=f"at most {_MAX_FILES:,}")
            yield relative


def check_place(path: str, mode: int) -> None:
    """Refuse what is not a plain file at a result's path.

    Raises:
        BoardError: Says what it is.
    """
    if not stat.S_ISREG(mode) or mode & 0o111:
        raise BoardError(
            f"{ascii(path)[1:-1]} is not a plain file.", expected="neither a link nor executable"
        )
    if not PATH.fullmatch(path):
        raise BoardError(
            "A file in `results` is at no result's path.",
            expected="results/SUBMITTER/ENCODER/DIGEST.json, as harness submit places it",
            got=ascii(path)[1:-1][:200],
        )


def read_file(folder: Path, name: str) -> bytes:
    """Read one of a leaderboard's own files.

    Raises:
        BoardError: It is not there, or a link, or too large.
    """
    path = folder / name
    try:
        if not stat.S_ISREG(path.lstat().st_mode):
            raise BoardError(f"{name} is not a plain file.")
        if path.stat().st_size > _MAX_RULES:
            raise BoardError(f"{name} is too large.", expected=f"at most {_MAX_RULES:,} bytes")
        return path.read_bytes()
    except OSError as error:
        raise BoardError(
            f"{folder} is not a leaderboard: {name} cannot be read: {error.strerror or error}.",
            cure="harness leaderboard init makes one.",
        ) from error


def _parse(model: type[M], data: bytes, name: str) -> M:
    try:
        return model.model_validate_json(data)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise BoardError(
            f"{name} does not fit its form at {ascii(where)[1:-1]}.", got=first["msg"]
        ) from error


__all__ = ["MAX_BYTES", "Board", "BoardError", "path_of", "read_board"]
