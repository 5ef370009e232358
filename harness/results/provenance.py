"""Where a result comes from: rules, data, program, encoder, person and machine."""

from __future__ import annotations

from typing import Annotated, Final, Literal, TypeAlias

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
)

from harness.results.canonical import Count, Digest, Text

Name: TypeAlias = Annotated[
    str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9 ._+()/-]{0,62}[A-Za-z0-9)+]$")
]
"""A name that people see and compare: plain ASCII, so that nothing invisible or look-alike fits in."""

PRINCIPAL = r"^[a-z0-9][a-z0-9._@+-]{0,62}[a-z0-9]$"
Principal: TypeAlias = Annotated[str, StringConstraints(pattern=PRINCIPAL)]
"""Who someone is in an ``allowed_signers`` file: an address or a handle, in lower case."""

Identifier: TypeAlias = Annotated[str, StringConstraints(pattern=r"^[a-zA-Z0-9][a-zA-Z0-9_]{0,63}$")]
"""Name of a game, a variable, a category, a probe or a label set."""


class Model(BaseModel):
    """Part of a result file: immutable, nothing unknown, nothing left out, nothing converted."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, use_attribute_docstrings=True)


class Protocol(Model):
    """The rules under which the scores were made."""

    name: Name
    """Of the protocol, as ``v1``."""
    digest: Digest
    """Over all that the rules fix, so that two results with one digest are comparable."""


SplitName: TypeAlias = Literal["train", "validation", "test"]


class Split(Model):
    """One split of one game."""

    rows: Count
    """Number of rows."""
    digest: Digest
    """Over the decoded content of all rows, from the manifest, checked at build time."""


class Dataset(Model):
    """The frames and labels."""

    version: Name
    """Of the dataset."""
    label_set: Identifier
    """Which annotations the labels come from."""
    suite: Annotated[list[Identifier], Field(min_length=1, max_length=200)]
    """All games of this version, sorted: the suite mean wants every one of them."""
    fresh_seed: Count | None
    """Seed of a test split recorded on the spot; null for the published split."""
    splits: Annotated[
        dict[Identifier, dict[SplitName, Split]],
        Field(min_length=1, max_length=200),
    ]
    """Per evaluated game, the splits that were used."""


class Harness(Model):
    """The program that made the result."""

    version: Name
    """Of the package."""
    source: Digest
    """Over its source files."""
    as_released: bool | None
    """Whether that digest is the released one; null where this could not be told."""


IS_BOUND: Final = "features are the RAM, which holds the answers: a bound, not an encoder"
"""Why its result is not for ranking."""


class Frames(Model):
    """What the encoder was given."""

    color: Literal["gray", "rgb"]
    """Gray is ITU-R 601 luma."""
    stack: Annotated[int, Field(ge=1, le=64)]
    """Consecutive frames to an input."""
    layout: Annotated[str, StringConstraints(pattern=r"^[a-z]{2,8}$")]
    """Order of the axes, as ``nchw``."""
    scale: Annotated[str, StringConstraints(pattern=r"^[a-z0-9_]{1,20}$")]
    """Range of the values, as ``unit`` or ``byte``."""
    size: Annotated[list[Annotated[int, Field(ge=1, le=10_000)]], Field(min_length=2, max_length=2)]
    """Height and width in pixels."""


class Encoder(Model):
    """What was evaluated."""

    name: Name
    """As it appears in the table."""
    source: Digest
    """Over the encoder's source file, or over its exported program."""
    source_kind: Literal["file", "files", "source", "name"]
    """What that is a digest of: a file, a file and those beside it, the source of an object, only a name."""
    weights: Digest | None
    """Over its parameters; null where it has none."""
    feature_size: Annotated[int, Field(ge=1, le=10_000_000)]
    """Numbers per frame."""
    parameters: Count | None
    """How many parameters it has; null where this cannot be told."""
    per_game: bool
    """Whether every game had one of its own, as in the paper; `weights` is then over all of theirs."""
    frames: Frames | None
    """What it asked for; null for `ram`, whose features are the RAM: it bounds what a probe can read."""
    pool: Literal["flatten", "mean", "cls"] | None
    """How maps or tokens became vectors; null where it gives vectors."""
    precision: Name
    """Of its arithmetic: ``float32``, or what autocast uses."""
    pretraining_data: Text
    """What it was trained on, in the submitter's words; ``none`` for an untrained one."""


class Submitter(Model):
    """Who vouches for the result."""

    principal: Principal
    """Whose key signs: the name in ``allowed_signers``."""
    name: Text | None
    """For people."""
    url: (
        Annotated[
            str, StringConstraints(max_length=200, pattern=r"^https://[A-Za-z0-9._~:/?#@!&()*+,;=%-]+$")
        ]
        | None
    )
    """A page about the method."""


class Environment(Model):
    """The machine and what ran on it."""

    python: Text
    """Version of Python."""
    platform: Text
    """Operating system and architecture."""
    cpu: Text
    """Model of the processor."""
    cores: Annotated[int, Field(ge=1, le=100_000)]
    """Cores that the program could use."""
    device: Text
    """Where the encoder ran."""
    packages: Annotated[
        dict[Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9._-]{1,64}$")], Text],
        Field(max_length=200),
    ]
    """Versions of what decides the numbers."""


class Isolation(Model):
    """Which guards held between the encoder and the answers."""

    own_process: bool
    """The encoder ran in a process of its own."""
    shuffled: bool
    """It was handed the frames in an order that says nothing."""
    second_pass: bool | None
    """A second pass in another order and batch size agreed; null where none was made."""
    no_network: bool
    """It had no network."""
    no_dataset: bool
    """It could not read the dataset's folder."""
    note: Text | None
    """Why a guard was not there."""
