"""The scores of the variables of a result: by row, as they are written, and by column, as they are checked.

A leaderboard checks hundreds of thousands of rows.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from operator import itemgetter
from typing import Annotated, Any, Self, TypeAlias, get_type_hints, overload

import numpy as np
from pydantic import Field, GetCoreSchemaHandler, ValidatorFunctionWrapHandler, create_model
from pydantic_core import CoreSchema, core_schema

from harness.canonical import Count, Decimal4, Share, Text
from harness.means import Floats
from harness.provenance import Identifier, Model

Columns: TypeAlias = list[tuple[Any, ...]]
"""The values of some fields, by field."""

NUMBERS = (
    "accuracy",
    "ceiling_accuracy",
    "ceiling_f1",
    "f1",
    "mae",
    "majority_accuracy",
    "majority_f1",
    "n",
    "normalised_f1",
    "pixels_pca_f1",
    "random_projection_f1",
    "trivial_f1",
)
"""The columns that are computed with."""


class Scores(Model):
    """What a variable and a mean over variables have."""

    f1: Share | None
    """Weighted F1, as scikit-learn defines it."""
    accuracy: Share | None
    """Share of rows that are right."""
    majority_f1: Share | None
    """F1 of always answering the class that is commonest in training."""
    majority_accuracy: Share | None
    """Accuracy of the same."""
    trivial_f1: Share | None
    """Best F1 of majority, PCA and random projection of the pixels, or its mean; null if not known."""
    ceiling_f1: Share | None
    """Best F1 that a function of the single frame reaches: equal pixels can have different labels."""
    normalised_f1: Decimal4 | None
    """Where F1 lies between `trivial_f1` (0) and `ceiling_f1` (1); null if they are not 0.01 apart."""


class _VariableHead(Model):
    name: Identifier
    """Of the variable, as in the label set."""
    categories: Annotated[list[Identifier], Field(max_length=5)]
    """The means it counts in."""
    n: Count
    """Test rows."""
    classes: Annotated[int, Field(ge=0, le=256)]
    """Different values in training."""


# Fields are documented in the order of the classes read from the right, so that a row begins with its name.
class VariableScores(Scores, _VariableHead):
    """One variable under one probe."""

    f1_interval: Annotated[list[Share], Field(min_length=2, max_length=2)] | None
    """95 % bootstrap interval of F1 over episodes, widened to F1 where that lies outside."""
    pixels_pca_f1: Share | None
    """F1 of a PCA of the pixels under the same probe and rows."""
    random_projection_f1: Share | None
    """F1 of a random projection of the pixels under the same probe and rows."""
    ceiling_accuracy: Share | None
    """As the ceiling of F1, the best accuracy, which no encoder of single frames can pass."""
    mae: Decimal4 | None
    """Mean absolute error of the value; null for values without an order."""
    strength_log10: Decimal4 | None
    """Decimal logarithm of the chosen L2 strength."""
    gradient_log10: Decimal4 | None
    """Decimal logarithm of the gradient's norm at the end; how far the fit converged."""
    epochs: Count | None
    """Epochs, for a probe that has them."""
    note: Text | None
    """Why a score is null, or what to know about it."""


_LENGTH = Field(min_length=1, max_length=200)
_TYPES = get_type_hints(VariableScores, include_extras=True)
_FIELDS = tuple(sorted(VariableScores.model_fields))
_COLUMNS: dict[str, Any] = {name: (tuple.__class_getitem__((_TYPES[name], ...)), _LENGTH) for name in _FIELDS}
_ByColumn = create_model("_ByColumn", __base__=Model, **_COLUMNS)


@dataclass(frozen=True)
class Table(Sequence[VariableScores]):
    """The variables of one game under one probe.

    Attributes:
        rows: As dicts, which are not to be changed.
        columns: Of each field, its values.
    """

    rows: list[dict[str, Any]]
    columns: Mapping[str, tuple[Any, ...]]

    @classmethod
    def of(cls, rows: list[dict[str, Any]]) -> Self:
        """Gather the columns of rows, which have all fields."""
        columns = zip(*map(itemgetter(*_FIELDS), rows), strict=True)
        return cls(rows, dict(zip(_FIELDS, columns, strict=True)))

    def take(self, keys: Iterable[str]) -> Columns:
        """Return the values of some fields."""
        return [self.columns[key] for key in keys]

    @overload
    def __getitem__(self, at: int) -> VariableScores: ...
    @overload
    def __getitem__(self, at: slice) -> list[VariableScores]: ...
    def __getitem__(self, at: int | slice) -> VariableScores | list[VariableScores]:
        """Return a row as an object."""
        if isinstance(at, slice):
            return [VariableScores.model_validate(row) for row in self.rows[at]]
        return VariableScores.model_validate(self.rows[at])

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.rows)

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Say to pydantic that it is a list of rows, validated by `_validate`."""
        return core_schema.no_info_wrap_validator_function(
            cls._validate,
            handler.generate_schema(Annotated[list[VariableScores], _LENGTH]),
            serialization=core_schema.plain_serializer_function_ser_schema(lambda table: table.rows),
        )

    @classmethod
    def _validate(cls, rows: Any, by_row: ValidatorFunctionWrapHandler) -> Self:
        """Validate rows by column, in a fifth of the time; by row, if they do not hold, to say why."""
        if isinstance(rows, list) and all(isinstance(row, dict) and len(row) == len(_FIELDS) for row in rows):
            try:
                table = cls.of(rows)
                _ByColumn.model_validate(table.columns)
            except (LookupError, ValueError):
                pass
            else:
                return table
        return cls.of([row.model_dump() for row in by_row(rows)])


@dataclass(frozen=True)
class Rows:
    """The variables of all games under all probes, one below the other.

    Attributes:
        tables: Each with its game.
    """

    tables: Sequence[tuple[str, Table]]

    def column(self, key: str) -> list[Any]:
        """Return the values of a field."""
        return list(chain.from_iterable(table.columns[key] for _, table in self.tables))

    def numbers(self) -> dict[str, Floats]:
        """Return the columns in `NUMBERS` and both ends of the intervals, float64 [rows], NaN for null."""
        found = {key: np.array(self.column(key), np.float64) for key in NUMBERS}
        ends = [interval or (np.nan, np.nan) for interval in self.column("f1_interval")]
        found["low"], found["high"] = np.array(ends, np.float64).T
        return found

    def where(self, at: int) -> str:
        """Return the game and the variable of a row."""
        places = [f"{game}.{name}" for game, table in self.tables for name in table.columns["name"]]
        return places[at]
