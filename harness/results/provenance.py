"""Where a result comes from: protocol, dataset, harness, encoder, submitter and machine."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal, Self, TypeAlias, cast

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    StringConstraints,
    model_serializer,
)

from harness.probes.probe import States
from harness.results.canonical import Count, Digest, Text

Name: TypeAlias = Annotated[
    str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9 ._+()/-]{0,62}[A-Za-z0-9)+]$")
]
"""A name for people: plain ASCII, so that it cannot contain invisible or look-alike characters."""

PRINCIPAL = r"^[a-z0-9][a-z0-9._@+-]{0,62}[a-z0-9]$"
Principal: TypeAlias = Annotated[str, StringConstraints(pattern=PRINCIPAL)]
"""A person's name in an ``allowed_signers`` file: an address or a handle, in lower case."""

Url: TypeAlias = Annotated[
    str, StringConstraints(max_length=200, pattern=r"^https://[A-Za-z0-9._~:/?#@!&()*+,;=%-]+$")
]
"""A page on the web."""

Identifier: TypeAlias = Annotated[str, StringConstraints(pattern=r"^[a-zA-Z0-9][a-zA-Z0-9_]{0,63}$")]
"""The name of a game, variable, category, probe or label set."""


class Model(BaseModel):
    """Part of a result file: immutable, all fields required, no unknown fields, no type conversion."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, use_attribute_docstrings=True)


class Protocol(Model):
    """The evaluation protocol."""

    name: Name
    """The protocol's name, such as ``v2``."""
    digest: Digest
    """Digest of the rules that hold for all games: probes, scores, training rows, bootstrap."""


SplitName: TypeAlias = Literal["train", "validation", "test", "deep_train", "deep_validation", "deep_test"]


def split_of(states: States, part: str) -> SplitName:
    """Return the name of a split: ``train``, ``deep_train``..."""
    return cast("SplitName", part if states == "play" else f"{states}_{part}")


class Split(Model):
    """One split of one game."""

    rows: Count
    """Number of rows."""
    digest: Digest
    """Digest of the decoded content of all rows, from the manifest, checked when the dataset is built."""


class Dataset(Model):
    """Frames and labels."""

    version: Name
    """The dataset's version."""
    label_set: Identifier
    """The annotations that the labels come from."""
    suite: Identifier
    """The suite's name: ``all``, ``paper``, ``atari100k``."""
    suite_games: Annotated[list[Identifier], Field(min_length=1, max_length=200)]
    """All games of the suite in this dataset version, sorted; its mean needs every one of them."""
    rules: Annotated[dict[Identifier, Digest], Field(min_length=1, max_length=200)]
    """Digest of what decides rows and labels, by evaluated game; scores with the same one are comparable."""
    fresh_seed: Count | None
    """Seed of a freshly recorded test split; null for the published split."""
    fresh_of: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")] | None = None
    """SHA-256 of the signed result that a fresh test split tests; left out for the published split."""
    splits: Annotated[
        dict[Identifier, dict[SplitName, Split]],
        Field(min_length=1, max_length=200),
    ]
    """Splits used, by evaluated game."""

    @model_serializer(mode="wrap")
    def _only_if_fresh(self, serialize: SerializerFunctionWrapHandler) -> dict[str, Any]:
        found: dict[str, Any] = serialize(self)
        if found["fresh_of"] is None:
            del found["fresh_of"]
        return found


class Harness(Model):
    """The program that made the result."""

    version: Name
    """Version of the package."""
    source: Digest
    """Digest of its source files."""
    as_released: bool | None
    """Whether that is the released source; null if unknown."""


DRY_RUN: Final = "dry run: {} rows of each split"
"""Why a dry run is not ranked."""
IS_BOUND: Final = "features are the RAM, which holds the answers: a bound, not an encoder"
"""Why its result is not ranked."""


class Frames(Model):
    """The encoder's input."""

    color: Literal["gray", "rgb"]
    """Gray is ITU-R 601 luma."""
    stack: Annotated[int, Field(ge=1, le=64)]
    """Consecutive frames in one input."""
    layout: Annotated[str, StringConstraints(pattern=r"^[a-z]{2,8}$")]
    """Order of the axes, such as ``nchw``."""
    scale: Annotated[str, StringConstraints(pattern=r"^[a-z0-9_]{1,20}$")]
    """Range of the values: ``unit`` (0 to 1) or ``byte`` (0 to 255)."""
    size: Annotated[list[Annotated[int, Field(ge=1, le=10_000)]], Field(min_length=2, max_length=2)]
    """Height and width in pixels."""


class Training(Model):
    """How a method of this package trained an encoder, or one for each game."""

    method: Name
    """The method's name, as `harness train` takes it."""
    seed: Count
    """Seed of initial weights, sample order and noise."""
    batch_size: Annotated[int, Field(ge=1, le=10_000_000)]
    """Samples per step."""
    settings: Annotated[dict[Identifier, Text], Field(max_length=200)]
    """All other settings that determine the weights, options of the method among them, by name."""
    steps: Annotated[dict[Identifier, Count], Field(min_length=1, max_length=200)]
    """Steps, by the game whose rows it learned from."""
    data: Annotated[dict[Identifier, Name], Field(min_length=1, max_length=200)]
    """Version of the dataset that has these rows, by game."""

    @property
    def described(self) -> str:
        """Method and budget, in words."""
        low, high = min(self.steps.values()), max(self.steps.values())
        steps = f"{low}" if low == high else f"{low} to {high}"
        return f"{self.method}, {steps} steps of {self.batch_size}"

    @property
    def without_games(self) -> Self:
        """It without what may differ between games, for a comparison; not a valid part of a result."""
        return self.model_copy(update={"steps": {}, "data": {}})


class Encoder(Model):
    """The evaluated encoder."""

    name: Name
    """The name shown in rankings."""
    source: Digest
    """Digest of the encoder's source file or exported program."""
    source_kind: Literal["file", "files", "source", "name"]
    """What `source` covers: a file, a file and its siblings, the code of an object without comments and
    docstrings, or only a name."""
    weights: Digest | Annotated[dict[Identifier, Digest], Field(min_length=1, max_length=200)] | None
    """Digest of its parameters, by game if each game has an encoder of its own; null if it has none."""
    weights_part: Text | None
    """Prefix of the part of a larger model's weights that was loaded, such as ``encoder.``; null for a file
    of the encoder alone."""
    feature_size: Annotated[int, Field(ge=1, le=10_000_000)]
    """Number of features per frame."""
    parameters: Count | None
    """Number of parameters; null if unknown."""
    per_game: bool
    """Whether each game has its own encoder, as in the paper, or one encoder is fitted to each, as PCA is."""
    frames: Frames | None
    """Its input; null for `ram`, whose features are the RAM."""
    pool: Literal["flatten", "mean", "cls"] | None
    """How feature maps or tokens became vectors; null if the encoder returns vectors."""
    output: Text | None
    """The part of its output that holds the features, such as ``last_hidden_state``; null if it returns
    nothing else."""
    precision: Name
    """Floating-point precision: ``float32``, or the type autocast used."""
    pretraining_data: Text
    """What it was trained on, in the submitter's words; ``none`` if untrained."""
    training: Training | None
    """How a method of this package trained it; null for any other encoder."""
    code: Url | None
    """Where its code is."""
    paper: Url | None
    """The paper that describes it."""

    def weights_for(self, game: str) -> str | None:
        """Return the digest of the parameters that embed a game; None if there are none."""
        return self.weights.get(game) if isinstance(self.weights, dict) else self.weights

    @property
    def described(self) -> str:
        """What it was trained on, and how if that is known, without the seed."""
        how = [] if self.training is None else [self.training.described]
        return ", ".join([self.pretraining_data, *how])

    @property
    def trained_on(self) -> str:
        """The same with the seed."""
        return self.described + ("" if self.seed is None else f", seed {self.seed}")

    @property
    def seed(self) -> int | None:
        """The seed of its training, if a method of this package trained it."""
        return None if self.training is None else self.training.seed

    @property
    def steps(self) -> int:
        """The most steps of its training over the games; 0 if no method of this package trained it."""
        return 0 if self.training is None else max(self.training.steps.values())


class Submitter(Model):
    """Who submits the result."""

    principal: Principal
    """The submitter's name in ``allowed_signers``; their key must sign the result."""
    name: Text | None
    """Display name."""


class Environment(Model):
    """Machine and software."""

    python: Text
    """Python version."""
    platform: Text
    """Operating system and architecture."""
    cpu: Text
    """Processor model."""
    cores: Annotated[int, Field(ge=1, le=100_000)]
    """Number of processor cores available."""
    device: Text
    """Device the encoder ran on."""
    packages: Annotated[
        dict[Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9._-]{1,64}$")], Text],
        Field(max_length=200),
    ]
    """Versions of the packages that affect the scores."""
    machines: Annotated[dict[Identifier, Text], Field(min_length=1, max_length=200)] | None = None
    """Where each game was computed, by name, processor and cores; left out if all were on this machine."""

    @property
    def machine(self) -> str:
        """This machine without its name, which is only told if there are several."""
        return f"{self.cpu[:100]}, {self.cores} cores"

    @model_serializer(mode="wrap")
    def _only_if_several(self, serialize: SerializerFunctionWrapHandler) -> dict[str, Any]:
        found: dict[str, Any] = serialize(self)
        if found["machines"] is None:
            del found["machines"]
        return found


class Isolation(Model):
    """How the encoder was isolated from the labels."""

    own_process: bool
    """The encoder ran in its own process."""
    shuffled: bool
    """It received the frames in random order."""
    second_pass: bool | None
    """A second pass with another order and batch size gave the same features; null if there was none."""
    no_network: bool
    """It had no network access."""
    no_dataset: bool
    """It could not read the dataset."""
    note: Text | None
    """Why a protection was not available."""
