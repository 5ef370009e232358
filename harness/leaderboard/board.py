"""A leaderboard's files: its rules, the protocols it accepts, its keys, and where each result belongs."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Annotated, Final, Literal, Self, TypeVar

from pydantic import AfterValidator, BaseModel, Field, StringConstraints, ValidationError, model_validator

from atariari_data.errors import AtariariError
from harness.leaderboard.names import skeleton, slug
from harness.leaderboard.repository import EXECUTABLE, PLAIN, BoardError, Repository, Tree
from harness.probes.probe import ProbeRun
from harness.results.canonical import Digest, ResultError, Share, Text, Utc
from harness.results.complaint import first_complaint
from harness.results.provenance import PRINCIPAL, Identifier, Model, Name, Principal, Split, SplitName
from harness.results.result import NAMESPACE, OfRun, Setting, Signed
from harness.results.variables import Columns, Variable
from harness.signing import allowed_signers
from harness.signing.allowed_signers import AllowedSigner
from harness.signing.sshsig import PublicKey, SignatureError

RESULTS = "results"
SIGNERS = "allowed_signers"
RULES = "board.json"
PATH = re.compile(r"results/[a-z0-9][a-z0-9._@+-]{0,63}/[a-z0-9][a-z0-9-]{0,63}/([0-9a-f]{16})\.json")
PROTOCOL_FORMAT: Final = 2
"""Version of the format of a protocol's file."""
_PLACEHOLDER = f"{RESULTS}/.gitkeep"
_MAX_RULES = 2_000_000

_SIGNER = re.compile(
    rf'({PRINCIPAL[1:-1]}) namespaces="{NAMESPACE}"'
    r'(?:,valid-after="(20\d{6}|20\d{10}|20\d{12})Z")?(?:,valid-before="(20\d{6}|20\d{10}|20\d{12})Z")?'
    r" ((?:ssh-ed25519|sk-ssh-ed25519@openssh\.com|ssh-rsa) [A-Za-z0-9+/]+={0,2})(?: [!-~][ -~]*)?"
)
"""The one form of a line: narrower than OpenSSH's, so that both read it alike."""

_FIRST = f"{SIGNERS}, line 1: "
_SIGNER_FORM = f'NAME namespaces="{NAMESPACE}"[,valid-after="YYYYMMDDZ"][,valid-before="YYYYMMDDZ"] KEY'


def _in_the_calendar(text: str) -> str:
    datetime.fromisoformat(text)
    return text


_Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
Moment = Annotated[Utc, AfterValidator(_in_the_calendar)]


class Rules(Model):
    """``board.json``."""

    schema_version: Literal[1]
    """Version of this file's format."""
    title: Text
    """Title of the site."""
    url: Annotated[str, StringConstraints(max_length=200, pattern=r"^(https://[A-Za-z0-9._~:/-]+)?$")]
    """Address of the site, or empty."""
    current: Name
    """Name of the protocol that the front page ranks by."""
    maintainers: Annotated[list[Principal], Field(max_length=100)]
    """Who may co-sign results as reproduced and submit results on fresh splits."""
    withdrawn: dict[_Sha256, Text]
    """Results that no longer count: SHA-256 of the signed bytes, and the reason. Their files stay."""
    removed: dict[_Sha256, Text] = Field(default_factory=dict)
    """Results whose files are gone: likewise. Their names and features are free again."""


class KeptVariable(Model):
    """A variable that the protocol probes."""

    name: Identifier
    """The variable's name in the label set."""
    categories: list[Identifier]
    """The category means that it counts in."""
    ordered: bool
    """Whether its values have an order, so that results have a mean absolute error."""
    ceiling: Share
    """Best F1 that any function of a single frame reaches on the test split."""
    ceiling_accuracy: Share
    """Best accuracy that any function of a single frame reaches on the test split."""


class KeptGame(Model):
    """One game of a protocol."""

    rules: Digest
    """Digest of what decides its rows and labels, as in results."""
    splits: dict[SplitName, Split]
    """Rows and digests, from the dataset's manifest."""
    variables: Annotated[list[KeptVariable], Field(min_length=1)]
    """The probed variables, in order."""
    targets: Annotated[list[Variable], Field(min_length=1)]
    """What a readout may read out, in order; not all of it varies enough to be scored."""

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if not {"train", "validation", "test"} <= set(self.splits):
            raise ValueError("train, validation and test are needed")
        return self

    @cached_property
    def columns(self) -> Columns:
        """Name, categories, kind, ceiling of F1 and of accuracy of each variable, by field."""
        rows = [
            (v.name, v.categories, "ordered" if v.ordered else "nominal", v.ceiling, v.ceiling_accuracy)
            for v in self.variables
        ]
        return [list(column) for column in zip(*rows, strict=True)]

    @cached_property
    def target_of(self) -> dict[str, Variable]:
        """The targets of a readout, by name."""
        return {target.name: target for target in self.targets}


class ProbeChoice(OfRun):
    """A probe, and the rows that it is fitted to and scored on."""

    metric: Literal["f1", "explained"]
    """What its score is."""


class Baseline(OfRun):
    """What every result repeats of one game under one probe, because it does not depend on the encoder."""

    game: Identifier
    """The game's name."""
    classes: dict[Identifier, int] | None
    """Number of different training labels, by variable; null if not known."""
    constant: dict[Identifier, Share] | None
    """Score of the best constant."""
    constant_accuracy: dict[Identifier, Share] | None
    """Accuracy of the same."""
    pixels_pca: dict[Identifier, Share] | None
    """Score of a PCA of the pixels."""
    random_projection: dict[Identifier, Share] | None
    """Score of a random projection of the pixels."""
    random_cnn: dict[Identifier, Share] | None
    """Score of a random CNN."""
    ceiling: dict[Identifier, Share] | None
    """Best score that any function of a single frame reaches; null for F1, whose ceilings are in the game."""


BASELINES = (
    "classes",
    "constant",
    "constant_accuracy",
    "pixels_pca",
    "random_projection",
    "random_cnn",
    "ceiling",
)


class AcceptedProtocol(Model):
    """``protocols/NAME.json``: the rules that results are made under, and what they are made on."""

    schema_version: Literal[2]
    """Version of this file's format."""
    name: Name
    """Name of the file and of the ranking."""
    digest: Digest
    """The protocol's digest, as in results."""
    accepted_until: Moment | None
    """No new results after this time; those that are there stay."""
    dataset_version: Name
    """Version of the dataset."""
    label_set: Identifier
    """Label set of the dataset."""
    probes: Annotated[list[ProbeChoice], Field(min_length=1)]
    """What every result must have; the first one ranks."""
    shown: list[ProbeChoice]
    """What is shown beside these, where a result has it."""
    settings: dict[Identifier, dict[Identifier, Setting | list[Setting]]]
    """All settings, by probe."""
    seeds: dict[Identifier, int]
    """Seeds that the protocol fixes."""
    reserved: dict[Name, Digest]
    """Names of built-in encoders, and the source digest that a result under such a name must have."""
    baselines: list[Baseline]
    """Scores that do not depend on the encoder, where known."""
    games: Annotated[dict[Identifier, KeptGame], Field(min_length=1)]
    """All games."""
    suites: Annotated[dict[Identifier, list[Identifier]], Field(min_length=1)]
    """The games of each suite by its name, sorted."""

    @model_validator(mode="after")
    def _baselines_are_complete(self) -> Self:
        for known in self.baselines:
            if known.game not in self.games:
                raise ValueError(f"baselines: no game {known.game}")
            given = [set(values) for field in BASELINES if (values := getattr(known, field)) is not None]
            if any(names != given[0] for names in given):
                raise ValueError(f"baselines: those of {known.game} are of different variables")
        return self

    @cached_property
    def baselines_of(self) -> dict[tuple[str, ProbeRun], dict[str, dict[str, float]]]:
        """The known baselines by game and run: field to values by variable."""
        return {
            (known.game, known.run): {
                field: values for field in BASELINES if (values := getattr(known, field)) is not None
            }
            for known in self.baselines
        }

    @cached_property
    def _stacked(self) -> dict[tuple[str, ProbeRun, tuple[str, ...]], dict[str, list[float | None]] | None]:
        return {}

    def baselines_by_column(
        self, game: str, run: ProbeRun, names: tuple[str, ...]
    ) -> dict[str, list[float | None]] | None:
        """Return the known baselines of variables, by field; None if they are known of other variables.

        They are looked up once, since all results ask for the same.
        """
        key = (game, run, names)
        if key not in self._stacked:
            known = self.baselines_of.get((game, run), {})
            right = all(values.keys() == set(names) for values in known.values())
            columns = {field: list(map(values.get, names)) for field, values in known.items()}
            self._stacked[key] = columns if right else None
        return self._stacked[key]

    @property
    def columns(self) -> list[ProbeChoice]:
        """The probes of the table, those that every result has first."""
        return [*self.probes, *self.shown]


@dataclass(frozen=True)
class Board:
    """A leaderboard's rules, without its results.

    Attributes:
        rules: Content of ``board.json``.
        protocols: The accepted protocols, by digest.
        keys: The list of keys as it is now.
    """

    rules: Rules
    protocols: Mapping[str, AcceptedProtocol]
    keys: KeyList

    @property
    def current(self) -> AcceptedProtocol:
        """The protocol that the front page ranks by."""
        return next(p for p in self.protocols.values() if p.name == self.rules.current)


@dataclass(frozen=True)
class KeyList:
    """Whose key was whose at one point of a leaderboard's history.

    Attributes:
        text: Content of ``allowed_signers``.
        maintainers: Who was a maintainer.
        at: When a key must be valid; None for a list of the past, which was checked when it counted.
    """

    text: str
    maintainers: frozenset[str]
    at: datetime | None = None

    def owner(self, key: PublicKey) -> AllowedSigner | None:
        """Return the line of a key, or None. Lines that cannot be read do not count."""
        wanted, at = key.line, self.text.find(key.line)
        while at >= 0:
            end = self.text.find("\n", at)
            line = self.text[self.text.rfind("\n", 0, at) + 1 : None if end < 0 else end]
            entry = _entry(line)
            if entry is not None and entry.key == key:
                return entry
            at = self.text.find(wanted, at + 1)
        return None

    @cached_property
    def entries(self) -> tuple[AllowedSigner, ...]:
        """Every line that can be read."""
        return tuple(e for line in self.text.split("\n") if (e := _entry(line)) is not None)


def parse_signers(text: str, maintainers: Sequence[str] = ()) -> list[AllowedSigner]:
    """Read a list of keys in the one form that a leaderboard takes.

    Raises:
        BoardError: A line has another form, a key is there twice, or two names look alike.
    """
    entries: list[AllowedSigner] = []
    lines: dict[PublicKey, int] = {}
    names = {skeleton(name): name for name in maintainers}
    for number, line in enumerate(text.split("\n"), 1):
        if not line or line.startswith("#"):
            continue
        try:
            entry = parse_line(line)
        except AtariariError as error:
            raise BoardError(
                f"{SIGNERS}, line {number}: {error.what.removeprefix(_FIRST)}",
                expected=error.expected,
                got=error.got,
                cure=error.cure,
            ) from error
        name = entry.principals[0]
        if entry.key in lines:
            raise BoardError(f"{SIGNERS}, line {number}: the key is in line {lines[entry.key]} already.")
        if names.setdefault(skeleton(name), name) != name:
            raise BoardError(
                f"{SIGNERS}, line {number}: {name} looks like {names[skeleton(name)]}.",
                cure="Choose a name that cannot be mistaken for another one.",
            )
        lines[entry.key] = number
        entries.append(entry)
    return entries


@lru_cache(maxsize=100_000)
def parse_line(line: str) -> AllowedSigner:
    """Read one line of a list of keys.

    Raises:
        BoardError: It does not have the one form that a leaderboard takes.
        SignatureError: The key or a time in it is broken.
    """
    match = _SIGNER.fullmatch(line) if line.isascii() else None
    if match is None:
        raise BoardError(
            "Not a line of the form that a leaderboard takes.", expected=_SIGNER_FORM, got=ascii(line[:100])
        )
    (entry,) = allowed_signers.parse(line.encode())
    if entry.key.line != match[4]:
        raise SignatureError("A key is not in its shortest base64 form.", got=match[4][:60])
    return entry


def _entry(line: str) -> AllowedSigner | None:
    try:
        return None if not line or line.startswith("#") else parse_line(line)
    except AtariariError:
        return None


def read_board(folder: Path) -> Board:
    """Read a leaderboard's rules as they are committed.

    Raises:
        BoardError: Not a leaderboard, or a file of it breaks its form.
    """
    repository = Repository(folder)
    board, problems = read_rules(repository, repository.tree("HEAD"))
    if problems:
        raise next(iter(problems.values()))
    return board


def read_rules(repository: Repository, tree: Tree) -> tuple[Board, dict[str, AtariariError]]:
    """Read a leaderboard's rules, and say by file what is wrong with them; what can be read still counts.

    Raises:
        BoardError: ``board.json``, or the protocol that it ranks by, cannot be read.
    """
    rules = _parse(Rules, _read(repository, tree, RULES), RULES)
    problems: dict[str, AtariariError] = {}
    protocols: dict[str, AcceptedProtocol] = {}
    for path in sorted(p for p in tree if re.fullmatch(r"protocols/[^/]+\.json", p)):
        try:
            protocol = _parse(AcceptedProtocol, _read(repository, tree, path), path)
            if path != f"protocols/{protocol.name}.json":
                raise BoardError(
                    "A protocol's file has another name.",
                    expected=f"protocols/{protocol.name}.json",
                    got=path,
                )
            if protocol.digest in protocols:
                raise BoardError(f"The protocol {protocols[protocol.digest].name} has the same digest.")
            protocols[protocol.digest] = protocol
        except AtariariError as error:
            problems[path] = error
    if rules.current not in {protocol.name for protocol in protocols.values()}:
        path = f"protocols/{rules.current}.json"
        raise problems.get(path) or BoardError(
            "board.json ranks by a protocol that is missing.", expected=path
        )
    text = ""
    try:
        text = decoded(_read(repository, tree, SIGNERS))
        parse_signers(text, rules.maintainers)
    except AtariariError as error:
        problems[SIGNERS] = error
    return Board(rules, protocols, KeyList(text, frozenset(rules.maintainers))), problems


def decoded(data: bytes) -> str:
    """Return a list of keys as text. A byte that is not ASCII makes its line unreadable, nothing else."""
    return data.decode("ascii", "surrogateescape")


def path_of(signed: Signed) -> str:
    """Return a result's path in a leaderboard, which follows from its content.

    Raises:
        ResultError: The result names no submitter.
    """
    if signed.submitter is None:
        raise ResultError("The result names no submitter, so it cannot be submitted.")
    return f"{RESULTS}/{signed.submitter.principal}/{slug(signed.encoder.name)}/{signed.digest[:16]}.json"


def check_place(path: str, mode: int) -> None:
    """Refuse anything but plain files, and in ``results`` anything but results.

    Raises:
        BoardError: Says what it is.
    """
    inside = path == RESULTS or path.startswith(f"{RESULTS}/")
    if mode != PLAIN and (inside or mode != EXECUTABLE):
        raise BoardError(
            f"{printable(path)} is not a plain file.",
            expected="neither a link, nor a submodule, nor (in results) executable",
            got=f"mode {mode:o}",
        )
    if inside and not PATH.fullmatch(path) and path != _PLACEHOLDER:
        raise BoardError(
            "A file in `results` is not at a result's path.",
            expected="results/SUBMITTER/ENCODER/DIGEST.json, where harness submit puts it",
            got=printable(path)[:200],
        )


def printable(path: str) -> str:
    """Return a path as ASCII text."""
    return ascii(path)[1:-1]


def is_result(path: str) -> bool:
    """Whether a path is a result's."""
    return PATH.fullmatch(path) is not None


def _read(repository: Repository, tree: Tree, path: str) -> bytes:
    blob = tree.get(path)
    if blob is None:
        raise BoardError(
            f"{repository.folder} is not a leaderboard: {path} is missing.",
            cure="harness leaderboard init makes one.",
        )
    check_place(path, blob.mode)
    if blob.size > _MAX_RULES:
        raise BoardError(f"{path} is too large.", expected=f"at most {_MAX_RULES:,} bytes", got=blob.size)
    return repository.content(blob.oid)


M = TypeVar("M", bound=BaseModel)


def parse_rules(data: bytes) -> Rules:
    """Read the bytes of ``board.json``."""
    return _parse(Rules, data, RULES)


def _parse(model: type[M], data: bytes, name: str) -> M:
    try:
        return model.model_validate_json(data)
    except ValidationError as error:
        where, expected, got = first_complaint(error)
        if where == "schema_version":
            raise BoardError(
                f"{name} has another format than this version of the harness reads.",
                expected=f"{where}: {expected}",
                got=got,
                cure="`harness leaderboard init` of this version writes its format, in a new folder: "
                "take the file from there. A newer format needs a newer harness.",
            ) from error
        raise BoardError(
            f"{name} does not have the right form at {printable(where) or 'its top'}.", got=expected
        ) from error
