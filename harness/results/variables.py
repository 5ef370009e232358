"""The scores of the variables of a result, by column, as they are written and checked, and by row.

A leaderboard checks hundreds of thousands of rows.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Annotated, Any, Self, TypeAlias, get_type_hints, overload

import numpy as np
from pydantic import Field, GetCoreSchemaHandler, ValidatorFunctionWrapHandler, create_model
from pydantic_core import CoreSchema, core_schema

from harness.results.canonical import Count, Decimal4, Share, Text
from harness.results.means import Floats, columns_of
from harness.results.provenance import Identifier, Model

Columns: TypeAlias = list[list[Any]]
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


_TYPES = get_type_hints(VariableScores, include_extras=True)
_COLUMNS: dict[str, Any] = {
    name: (
        list.__class_getitem__(_TYPES[name]),
        Field(min_length=1, max_length=200, description=VariableScores.model_fields[name].description),
    )
    for name in VariableScores.model_fields
}
_VariableColumns = create_model("VariableColumns", __base__=Model, __doc__=VariableScores.__doc__, **_COLUMNS)


@dataclass(frozen=True)
class Table(Sequence[VariableScores]):
    """The variables of one game under one probe, written by column: each name once, not once a row.

    Attributes:
        columns: Of each field, its values; not to be changed.
    """

    columns: Mapping[str, list[Any]]

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
            return [self[number] for number in range(len(self))[at]]
        return VariableScores.model_validate({name: column[at] for name, column in self.columns.items()})

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.columns["name"])

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Say to pydantic that it is an object of lists of one length."""
        return core_schema.no_info_wrap_validator_function(
            cls._validate,
            handler.generate_schema(_VariableColumns),
            serialization=core_schema.plain_serializer_function_ser_schema(lambda table: table.columns),
        )

    @classmethod
    def _validate(cls, columns: Any, validate: ValidatorFunctionWrapHandler) -> Self:
        validate(columns)
        if len(set(map(len, columns.values()))) != 1:
            raise ValueError("Columns should be of one length")
        return cls(columns)


def by_row(columns: Mapping[str, Sequence[Any]]) -> list[dict[str, Any]]:
    """Return a table as rows."""
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def by_column(rows: Sequence[Mapping[str, Any]]) -> dict[str, list[Any]]:
    """Return rows as a table, keys in order.

    Raises:
        ValueError: They do not have the same fields.
    """
    names = sorted(rows[0])
    if any(sorted(row) != names for row in rows):
        raise ValueError("variables with different fields")
    return {name: [row[name] for row in rows] for name in names}


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
        found = columns_of([table.columns for _, table in self.tables], NUMBERS)
        ends = [interval or (np.nan, np.nan) for interval in self.column("f1_interval")]
        found["low"], found["high"] = np.array(ends, np.float64).T
        return found

    def where(self, at: int) -> str:
        """Return the game and the variable of a row."""
        places = [f"{game}.{name}" for game, table in self.tables for name in table.columns["name"]]
        return places[at]
