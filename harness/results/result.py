"""The result file: one signed JSON document that binds everything that decides a score.

``docs/result.md`` describes every field, ``docs/result.schema.json`` is the JSON Schema of this module.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self, TypeAlias, cast

from pydantic import (
    Field,
    StringConstraints,
    ValidationError,
)

from harness.probes.probe import ProbeRun
from harness.results.canonical import (
    Count,
    Decimal4,
    Digest,
    ResultError,
    Text,
    Utc,
    canonical,
    file_form,
    to_plain,
    whole_as_integers,
)
from harness.results.means import fill
from harness.results.provenance import (
    IS_BOUND,
    Dataset,
    Encoder,
    Environment,
    Harness,
    Identifier,
    Isolation,
    Model,
    Protocol,
    Submitter,
)
from harness.results.variables import Rows, Scores, Table, by_column

if TYPE_CHECKING:
    import pandas as pd

    from harness.results.predictions import Predictions

SCHEMA_VERSION = 1
NAMESPACE = "atariari-result-v1"
"""Of the SSH signatures, so that a signature made for another purpose never counts for a result."""

TrainRows: TypeAlias = Literal["full", "1k"] | Annotated[int, Field(ge=1, le=10_000_000)]
"""Rows that a probe was fitted on: all, the 1,000 frozen ones, or another number."""

Setting: TypeAlias = bool | Decimal4 | Text | None


class _OfRun:
    """A model with the fields ``probe`` and ``train_rows``."""

    if TYPE_CHECKING:
        probe: str
        train_rows: str | int

    @property
    def run(self) -> ProbeRun:
        """The probe and its training rows."""
        return ProbeRun(self.probe, self.train_rows)


class Probe(_OfRun, Model):
    """A probe and the rows it was fitted on."""

    probe: Identifier
    """``linear`` or ``anand2019``."""
    train_rows: TrainRows
    """How many rows it was fitted on."""
    settings: Annotated[
        dict[Identifier, Setting | Annotated[list[Setting], Field(max_length=100)]],
        Field(max_length=100),
    ]
    """What else decides its answer."""


class _CategoryHead(Model):
    category: Identifier
    """Of the variables."""
    count: Count
    """How many variables (in a game) or games (in the suite) it is the mean of."""


class CategoryMeans(Scores, _CategoryHead):
    """The plain mean over the variables of one category, or over the games that have it."""


class Means(Scores):
    """The mean over the categories (of a game), or over the games (of the suite)."""

    categories: list[CategoryMeans]
    """One for each category that occurs, sorted."""
    reason: Annotated[str, StringConstraints(max_length=8000)] | None
    """Why a mean is null."""


class ProbeScores(_OfRun, Model):
    """One game under one probe."""

    probe: Identifier
    """As in ``probes``."""
    train_rows: TrainRows
    """As in ``probes``."""
    predictions: Digest
    """Over labels and predicted classes of every variable on every test row; those are in a file beside."""
    trivial_reason: Text | None
    """Why the scores of the trivial encoders are null."""
    means: Means
    """Over the variables, computed from the rounded scores below."""
    variables: Table
    """Every variable that the dataset keeps."""


class GameScores(Model):
    """One game."""

    embeddings: Digest
    """Over the features of all rows of all splits."""
    scores: Annotated[list[ProbeScores], Field(min_length=1, max_length=16)]
    """One for each of ``probes``, in that order."""


class SuiteMeans(_OfRun, Model):
    """The suite under one probe."""

    probe: Identifier
    """As in ``probes``."""
    train_rows: TrainRows
    """As in ``probes``."""
    means: Means
    """Over the games; null where one is missing."""


class Signed(Model):
    """What the signatures are over, in its RFC 8785 form."""

    schema_version: Literal[1]
    """Of this format; a reader refuses a newer one."""
    run_id: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{32}$")]
    """A random number for this run."""
    submitter: Submitter | None
    """Who vouches for it; null for a result that nobody means to submit."""
    ranked: bool
    """Whether it may stand in a ranking."""
    unranked_reason: Text | None
    """Why not: a dry run, a fresh seed, a changed harness, a bound."""
    started: Utc
    """Begin of the run."""
    finished: Utc
    """End of the run."""
    elapsed_seconds: Decimal4
    """Wall time of the run."""
    protocol: Protocol
    """The rules."""
    dataset: Dataset
    """The frames and labels."""
    harness: Harness
    """The program."""
    encoder: Encoder
    """What was evaluated."""
    environment: Environment
    """The machine."""
    isolation: Isolation | None
    """Guards between encoder and answers; null where none was tried."""
    seeds: Annotated[dict[Identifier, Count], Field(max_length=50)]
    """Of everything random, by what it was used for."""
    probes: Annotated[list[Probe], Field(min_length=1, max_length=16)]
    """Probes and training sizes."""
    suite: list[SuiteMeans]
    """Means over the games, one for each of ``probes``."""
    games: Annotated[dict[Identifier, GameScores], Field(min_length=1, max_length=200)]
    """The scores, by game."""

    @classmethod
    def build(cls, **fields: Any) -> Self:
        """Make the signed part from plain Python and NumPy values; means are computed here.

        Floats are rounded to four places. ``variables`` may be rows or columns. ``means`` of the games,
        ``suite`` and the variables' ``trivial_f1`` and ``normalised_f1`` are not to be given: they follow
        from the rounded scores (see :mod:`harness.results.means`).

        Raises:
            ResultError: A value is NaN, out of range or missing; says which.
        """
        plain = to_plain({"schema_version": SCHEMA_VERSION, **fields})
        try:
            for game in plain["games"].values():
                for scores in game["scores"]:
                    if isinstance(scores["variables"], list):
                        scores["variables"] = by_column(scores["variables"])
            fill(plain)
            return cls.model_validate(plain)
        except ValidationError as error:
            raise explain(error) from error
        except (LookupError, TypeError, ValueError, AttributeError) as error:
            raise ResultError(f"The values of a result do not fit its form: {error!r}.") from error

    @cached_property
    def plain(self) -> dict[str, Any]:
        """The same as dicts and lists, which are not to be changed."""
        return cast("dict[str, Any]", whole_as_integers(self.model_dump()))

    @property
    def is_bound(self) -> bool:
        """Whether this is `ram` on all rows, and nothing else is against ranking it."""
        return self.encoder.frames is None and self.unranked_reason == IS_BOUND

    @cached_property
    def rows(self) -> Rows:
        """All variables of all games under all probes, by column."""
        return Rows([(name, scores.variables) for name, game in self.games.items() for scores in game.scores])

    @cached_property
    def payload(self) -> bytes:
        """The bytes that are signed."""
        return canonical(self.plain)

    @cached_property
    def digest(self) -> str:
        """The SHA-256 of the signed bytes, in hexadecimal: the result's identity."""
        return hashlib.sha256(self.payload).hexdigest()


class Signature(Model):
    """An SSH signature."""

    keyid: Annotated[str, StringConstraints(pattern=r"^SHA256:[A-Za-z0-9+/]{43}$")]
    """Fingerprint of the key, as ``ssh-keygen -l`` prints it."""
    sig: Annotated[
        str,
        StringConstraints(
            max_length=8000,
            pattern=r"^-----BEGIN SSH SIGNATURE-----\n[A-Za-z0-9+/=\n]+-----END SSH SIGNATURE-----\n$",
        ),
    ]
    """The armoured signature, as ``ssh-keygen -Y sign -n atariari-result-v1`` writes it."""


class Result(Model):
    """A result file."""

    signatures: Annotated[list[Signature], Field(max_length=16)]
    """None, one, or several (a leaderboard co-signs what it reproduced)."""
    signed: Signed
    """Everything else."""

    @cached_property
    def predictions(self) -> Mapping[str, Predictions] | None:
        """What the probes said of every test row, by game; None for a result that was read from a file."""
        return None

    def with_predictions(self, predictions: Mapping[str, Predictions] | None) -> Self:
        """Return the same result with predictions, which its digests bind; they are no part of its file."""
        same = type(self)(signatures=self.signatures, signed=self.signed)
        same.__dict__["predictions"] = predictions
        return same

    def to_frame(self) -> pd.DataFrame:
        """Return the scores as a pandas DataFrame; see :func:`harness.report.to_frame`."""
        from harness.results.frame import to_frame

        return to_frame(self)

    @cached_property
    def content(self) -> bytes:
        """The file's content; there is one for each result."""
        signatures = [signature.model_dump() for signature in self.signatures]
        return file_form(signatures, self.signed.payload)


def explain(error: ValidationError) -> ResultError:
    """Return the first of pydantic's complaints as an error of ours."""
    first = error.errors(include_url=False)[0]
    where = ".".join(str(part) for part in first["loc"])
    more = f" (and {error.error_count() - 1} more)" if error.error_count() > 1 else ""
    return ResultError(
        f"The result does not fit its schema at {ascii(where)[1:-1]}{more}.",
        expected=first["msg"],
        got=ascii(first["input"])[:80],
    )
