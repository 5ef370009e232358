"""The result file: one signed JSON document with the scores and everything that determines them.

``docs/result.md`` describes every field, ``docs/result.schema.json`` is the JSON Schema of this module.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self, TypeAlias, TypedDict, Unpack, cast

from pydantic import (
    Field,
    StringConstraints,
    ValidationError,
    model_validator,
)

from harness.probes.probe import Metric, ProbeRun
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
from harness.results.complaint import first_complaint
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
from harness.results.variables import Part, Scores, Table, Variables, by_column

if TYPE_CHECKING:
    import pandas as pd

    from harness.results.predictions import Predictions

SCHEMA_VERSION = 1
NAMESPACE = "atariari-result-v1"
"""Namespace of the SSH signatures: a signature made for another purpose never counts for a result."""

TrainRows: TypeAlias = Literal["full", "1k"] | Annotated[int, Field(ge=1, le=10_000_000)]
"""Training rows of a probe: all, the frozen 1,000, or another number."""

States: TypeAlias = Literal["play", "deep"]

Setting: TypeAlias = bool | Decimal4 | Text | None


class OfRun(Model):
    """A probe, and the rows that it is fitted to and scored on."""

    probe: Identifier
    """``readout``, ``linear`` or ``anand2019``."""
    train_rows: TrainRows
    """Number of training rows; ``full`` is all of them, ``1k`` the frozen 1,000."""
    fitted_on: States
    """Where the training rows come from: random play, or deep states, whose frames it does not show."""
    scored_on: States
    """Where the test rows come from."""

    @property
    def run(self) -> ProbeRun:
        """The probe and its rows."""
        return ProbeRun(self.probe, self.train_rows, self.fitted_on, self.scored_on)


class Probe(OfRun):
    """A probe, and the rows that it is fitted to and scored on."""

    metric: Metric
    """What its score is: weighted F1, or the share of what a constant leaves unknown."""
    settings: Annotated[
        dict[Identifier, Setting | Annotated[list[Setting], Field(max_length=100)]],
        Field(max_length=100),
    ]
    """All other settings that affect its predictions."""


class _CategoryHead(Model):
    category: Identifier
    """The category's name."""
    count: Count
    """Number of variables (of a game) or games (of the suite) in the mean."""


class CategoryMeans(Scores, _CategoryHead):
    """Means over the variables of one category, or over the games that have it."""


class Means(Scores):
    """Means over the categories (of a game), or over the games (of the suite)."""

    categories: list[CategoryMeans]
    """One entry for each category that occurs, sorted by name."""
    reason: Annotated[str, StringConstraints(max_length=8000)] | None
    """Why a mean is null."""


class ProbeScores(OfRun):
    """Scores of one game under one probe."""

    fits: Annotated[int, Field(ge=1, le=255)]
    """Number of fits to different draws of training rows, whose scores are averaged."""
    predictions: Digest
    """Digest of the labels and predictions of every variable on every test row, stored in a separate file."""
    trivial_reason: Text | None
    """Why the trivial encoders' scores are null."""
    means: Means
    """Means over the variables, computed from the rounded scores below."""
    variables: Table
    """One entry for each scored variable; a column is left out if all its values are null."""


class GameScores(Model):
    """Scores of one game."""

    embeddings: Digest
    """Digest of the features of all rows of all splits."""
    variables: Annotated[dict[Metric, Variables], Field(min_length=1)]
    """What is scored, by metric; one entry for each variable, in the order of the probes."""
    scores: Annotated[list[ProbeScores], Field(min_length=1, max_length=16)]
    """One entry for each of ``probes``, in the same order."""


class SuiteMeans(OfRun):
    """Means over the suite under one probe."""

    means: Means
    """Means over the games; null if a game is missing."""


class RunFields(TypedDict):
    """What a run knows of its result; see `Signed`, which adds the means."""

    run_id: str
    submitter: Submitter | Mapping[str, str | None] | None
    ranked: bool
    unranked_reason: str | None
    dry_run_rows: int | None
    started: str
    finished: str
    elapsed_seconds: float
    protocol: Protocol
    dataset: Dataset
    harness: Harness
    encoder: Encoder
    environment: Environment
    isolation: Isolation | None
    seeds: Mapping[str, int]
    probes: Sequence[Probe]
    games: Mapping[str, Any]


class Signed(Model):
    """The signed content; signatures cover its RFC 8785 form."""

    schema_version: Literal[1]
    """Version of the format; readers refuse newer versions."""
    run_id: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{32}$")]
    """Random identifier of the run."""
    submitter: Submitter | None
    """Who submits the result; null if it is not meant for submission."""
    ranked: bool
    """Whether the result can be ranked."""
    unranked_reason: Text | None
    """Why it cannot be ranked: a dry run, a fresh test split, a modified harness, an upper bound."""
    dry_run_rows: Annotated[int, Field(ge=1)] | None
    """Number of rows of each split in a dry run; null if all were used."""
    started: Utc
    """Start of the run."""
    finished: Utc
    """End of the run."""
    elapsed_seconds: Decimal4
    """Wall-clock time of the run."""
    protocol: Protocol
    """The evaluation protocol."""
    dataset: Dataset
    """The frames and labels."""
    harness: Harness
    """The evaluating program."""
    encoder: Encoder
    """The evaluated encoder."""
    environment: Environment
    """Machine and software."""
    isolation: Isolation | None
    """How the encoder was isolated from the labels; null if that does not apply."""
    seeds: Annotated[dict[Identifier, Count], Field(max_length=50)]
    """Random seeds, by purpose."""
    probes: Annotated[list[Probe], Field(min_length=1, max_length=16)]
    """Probes and training sizes."""
    suite: list[SuiteMeans]
    """Means over the games, one entry for each of ``probes``."""
    games: Annotated[dict[Identifier, GameScores], Field(min_length=1, max_length=200)]
    """Scores by game."""

    @classmethod
    def build(cls, **fields: Unpack[RunFields]) -> Self:
        """Build the signed part from plain Python and NumPy values, and compute its means.

        Floats are rounded to four places. ``games`` has the fields of `GameScores` except those that are
        computed from the rounded scores (see :mod:`harness.results.means`), ``means``, and of ``variables``:
        those of each probe are rows, with the fields of `harness.results.variables.VariableScores` that do
        not follow from others. Games of another result's ``plain`` are taken as they are.

        Raises:
            ResultError: A value is NaN, out of range or missing.
        """
        plain = to_plain({"schema_version": SCHEMA_VERSION, **fields})
        try:
            metrics = [probe["metric"] for probe in plain["probes"]]
            for game in plain["games"].values():
                if "variables" in game:
                    continue
                game["variables"] = {}
                for metric in sorted(set(metrics)):
                    found = [s for s, m in zip(game["scores"], metrics, strict=True) if m == metric]
                    game["variables"][metric], columns = by_column([each["variables"] for each in found])
                    for scores, table in zip(found, columns, strict=True):
                        scores["variables"] = table
            fill(plain)
            return cls.model_validate(plain)
        except ValidationError as error:
            raise explain(error) from error
        except (LookupError, TypeError, ValueError, AttributeError) as error:
            raise ResultError(f"These values do not make a result: {error!r}.") from error

    @model_validator(mode="after")
    def _join(self) -> Self:
        for name, game in self.games.items():
            for probe, scores in zip(self.probes, game.scores, strict=False):
                if probe.metric not in game.variables:
                    raise ValueError(f"{name} does not say what {probe.metric} scores")
                scores.variables.join(game.variables[probe.metric])
        return self

    @cached_property
    def plain(self) -> dict[str, Any]:
        """The same as dicts and lists; do not modify them."""
        return cast("dict[str, Any]", whole_as_integers(self.model_dump()))

    def means(self) -> Iterator[tuple[str, ProbeRun, Means]]:
        """Yield name, run and means of the suite, and then those of each game."""
        for of_suite in self.suite:
            yield self.dataset.suite, of_suite.run, of_suite.means
        for game, found in self.games.items():
            yield from ((game, scores.run, scores.means) for scores in found.scores)

    def fitted(self, run: ProbeRun) -> ProbeRun:
        """Return a run with the training rows it really had: in a dry run, at most those of the dry run."""
        limit = self.dry_run_rows
        if limit is None:
            return run
        size = {"full": limit, "1k": 1000}.get(str(run.train_rows), run.train_rows)
        return run._replace(train_rows=min(limit, int(size)))

    def at(self, run: ProbeRun) -> int:
        """Return the place of a run among the probes, and so among the scores of a game and of the suite."""
        return [probe.run for probe in self.probes].index(run)

    @property
    def distinct_runs(self) -> list[ProbeRun]:
        """The runs, without those of a dry run that were fitted to the same rows as an earlier one."""
        found: dict[ProbeRun, ProbeRun] = {}
        for probe in self.probes:
            found.setdefault(self.fitted(probe.run), probe.run)
        return list(found.values())

    @property
    def is_bound(self) -> bool:
        """Whether this is `ram` on all rows, with no other reason against ranking it."""
        return self.encoder.frames is None and self.unranked_reason == IS_BOUND

    @cached_property
    def parts(self) -> Mapping[Metric, Sequence[Part]]:
        """The games under all probes with one metric; that of the first probe first."""
        parts: dict[Metric, list[Part]] = {}
        for number, probe in enumerate(self.probes):
            parts.setdefault(probe.metric, []).extend(
                Part(number, probe.run, name, game.scores[number].variables)
                for name, game in self.games.items()
            )
        return parts

    @cached_property
    def payload(self) -> bytes:
        """The bytes that are signed."""
        return canonical(self.plain)

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the signed bytes, in hexadecimal; it identifies the result."""
        return hashlib.sha256(self.payload).hexdigest()

    @cached_property
    def scores_digest(self) -> str:
        """SHA-256 of all scores, in hexadecimal: the same wherever and whenever they were computed."""
        games = {
            name: {
                **{k: v for k, v in game.items() if k != "embeddings"},
                "scores": [{k: v for k, v in one.items() if k != "predictions"} for one in game["scores"]],
            }
            for name, game in self.plain["games"].items()
        }
        whole = {"rules": self.plain["dataset"]["rules"], "games": games, "suite": self.plain["suite"]}
        return hashlib.sha256(canonical(whole)).hexdigest()


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
    """Any number of signatures; a leaderboard co-signs results it has reproduced."""
    signed: Signed
    """The signed content."""

    @cached_property
    def predictions(self) -> Mapping[str, Predictions] | None:
        """Predictions on every test row, by game; None if the result was read from a file."""
        return None

    def with_predictions(self, predictions: Mapping[str, Predictions] | None) -> Self:
        """Return the same result with predictions attached; they are not part of the result file."""
        same = type(self)(signatures=self.signatures, signed=self.signed)
        same.__dict__["predictions"] = predictions
        return same

    def __str__(self) -> str:
        """Return a table of a few lines: encoder, games, signatures, and mean scores by probe."""
        from harness.results.summary import text

        return text(self)

    def __repr__(self) -> str:
        """Return one line."""
        state = "signed" if self.signatures else "not signed"
        return f"<Result of {self.signed.encoder.name} on {', '.join(self.signed.games)}, {state}>"

    def _repr_html_(self) -> str:
        from harness.results.summary import html

        return html(self)

    def to_frame(self) -> pd.DataFrame:
        """Return the scores as a pandas DataFrame; see :func:`harness.report.to_frame`."""
        from harness.results.frame import to_frame

        return to_frame(self)

    @cached_property
    def content(self) -> bytes:
        """The content of the result file; each result has exactly one."""
        signatures = [signature.model_dump() for signature in self.signatures]
        return file_form(signatures, self.signed.payload)


def explain(error: ValidationError) -> ResultError:
    """Return a validation error as a `ResultError`."""
    where, expected, got = first_complaint(error)
    more = f" (and {error.error_count() - 1} more)" if error.error_count() > 1 else ""
    return ResultError(f"The result does not match its schema at {where}{more}.", expected=expected, got=got)
