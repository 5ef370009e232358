"""The variables' scores in a result: columns for writing and checking, rows for reading.

Columns keep a leaderboard fast: it checks hundreds of thousands of rows.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from typing import Annotated, Any, Self, TypeAlias, get_type_hints, overload

import numpy as np
import numpy.typing as npt
from pydantic import (
    Field,
    GetCoreSchemaHandler,
    StringConstraints,
    ValidatorFunctionWrapHandler,
    create_model,
)
from pydantic_core import CoreSchema, core_schema

from harness.probes.target import Kind, Target
from harness.results.canonical import Count, Decimal4, Share, Text
from harness.results.means import Floats, columns_of
from harness.results.provenance import Identifier, Model

Columns: TypeAlias = list[list[Any]]
"""Values by field."""

NUMBERS = (
    "accuracy",
    "ceiling",
    "ceiling_accuracy",
    "classes",
    "constant",
    "constant_accuracy",
    "constant_error",
    "epochs",
    "error",
    "gradient_log10",
    "n",
    "normalised",
    "period",
    "pixels_pca",
    "random_cnn",
    "random_projection",
    "raw",
    "score",
    "strength_log10",
    "trivial",
)
"""The numeric columns."""


class Scores(Model):
    """Scores of a variable, or means over variables."""

    score: Share | None
    """The score, by the metric of its probe: weighted F1, or the share explained; cut off at 0 and 1."""
    constant: Share | None
    """Score of the best constant of the training rows: the most frequent value, or the mean."""
    trivial: Share | None
    """Best score of constant and trivial encoders (in means: the mean of these); null if unknown."""
    ceiling: Share | None
    """Best score of any function of a single frame; identical frames can have different labels."""
    normalised: Decimal4 | None
    """Score rescaled so that `trivial` is 0 and `ceiling` is 1; null if they are less than 0.01 apart."""


class _VariableHead(Model):
    name: Identifier
    """The variable's name in the label set, or that of what is made from it."""
    categories: Annotated[list[Identifier], Field(max_length=5)]
    """Categories whose means include the variable."""
    kind: Kind
    """``ordered``, ``circular`` or ``nominal``."""
    unit: Annotated[str, StringConstraints(max_length=40, pattern=r"^[ -~]*$")]
    """Unit of the errors."""
    period: Decimal4 | None
    """The length of the circle, in the unit; null if there is none."""
    n: Count
    """Number of test rows on which it is known."""
    classes: Annotated[int, Field(ge=0, le=100_000)]
    """Number of distinct values in the training rows."""


# Base classes are documented from right to left, so that a row begins with its name.
class VariableScores(Scores, _VariableHead):
    """Scores of one variable under one probe."""

    raw: Decimal4 | None
    """The score before it is cut off at 0 and 1; over several draws of training rows, the mean."""
    interval: Annotated[list[Share], Field(min_length=2, max_length=2)] | None
    """95 % interval of the score from a bootstrap over episodes, widened to include the score."""
    pixels_pca: Share | None
    """Score of a PCA of the pixels, with the same probe and rows."""
    random_projection: Share | None
    """Score of a random projection of the pixels, with the same probe and rows."""
    random_cnn: Share | None
    """Score of a random CNN, with the same probe and rows; null for F1."""
    accuracy: Share | None
    """Fraction of correct predictions; null for a regression."""
    constant_accuracy: Share | None
    """Accuracy of the best constant."""
    ceiling_accuracy: Share | None
    """Best accuracy of any function of a single frame; null for a regression."""
    error: Decimal4 | None
    """Mean absolute error, in the unit; null if the values have no order."""
    constant_error: Decimal4 | None
    """Mean absolute error of the best constant; null for F1."""
    strength_log10: Decimal4 | None
    """Base-10 logarithm of the chosen L2 strength; null if several fits are averaged."""
    gradient_log10: Decimal4 | None
    """Base-10 logarithm of the final gradient norm, which measures convergence."""
    epochs: Count | None
    """Number of training epochs; null for probes without epochs."""
    note: Text | None
    """Why a score is null, or a remark about it."""

    @property
    def target(self) -> Target:
        """What it is."""
        return Target(self.name, self.kind, tuple(self.categories), self.unit, self.period)


_TYPES = get_type_hints(VariableScores, include_extras=True)
_COLUMNS: dict[str, Any] = {
    name: (
        list.__class_getitem__(_TYPES[name]),
        Field(min_length=1, max_length=400, description=VariableScores.model_fields[name].description),
    )
    for name in VariableScores.model_fields
}
_VariableColumns = create_model("VariableColumns", __base__=Model, __doc__=VariableScores.__doc__, **_COLUMNS)


@dataclass(frozen=True)
class Table(Sequence[VariableScores]):
    """The variables of one game under one probe, stored as columns.

    Attributes:
        columns: The values of each field; do not modify them.
    """

    columns: Mapping[str, list[Any]]

    def take(self, keys: Iterable[str]) -> Columns:
        """Return the values of the given fields."""
        return [self.columns[key] for key in keys]

    @overload
    def __getitem__(self, at: int) -> VariableScores: ...
    @overload
    def __getitem__(self, at: slice) -> list[VariableScores]: ...
    def __getitem__(self, at: int | slice) -> VariableScores | list[VariableScores]:
        """Return one row, or a list of rows for a slice."""
        if isinstance(at, slice):
            return [self[number] for number in range(len(self))[at]]
        return VariableScores.model_validate({name: column[at] for name, column in self.columns.items()})

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.columns["name"])

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Tell pydantic that this is an object of lists of equal length."""
        return core_schema.no_info_wrap_validator_function(
            cls._validate,
            handler.generate_schema(_VariableColumns),
            serialization=core_schema.plain_serializer_function_ser_schema(lambda table: table.columns),
        )

    @classmethod
    def _validate(cls, columns: Any, validate: ValidatorFunctionWrapHandler) -> Self:
        validate(columns)
        if len(set(map(len, columns.values()))) != 1:
            raise ValueError("Columns must have equal lengths")
        return cls(columns)


def by_column(rows: Sequence[Mapping[str, Any]]) -> dict[str, list[Any]]:
    """Return rows as columns, with sorted keys.

    Raises:
        ValueError: The rows do not have the same fields.
    """
    names = sorted(rows[0])
    if any(sorted(row) != names for row in rows):
        raise ValueError("variables with different fields")
    return {name: [row[name] for row in rows] for name in names}


@dataclass(frozen=True)
class Rows:
    """The variables of all games under one probe, stacked.

    Attributes:
        tables: The variables by game.
    """

    tables: Mapping[str, Table]

    def column(self, key: str) -> list[Any]:
        """Return the values of one field."""
        return list(chain.from_iterable(table.columns[key] for table in self.tables.values()))

    @cached_property
    def numbers(self) -> Mapping[str, Floats]:
        """`NUMBERS`, and ``low`` and ``high`` of the intervals: float64 [rows], NaN for null."""
        found = columns_of([table.columns for table in self.tables.values()], NUMBERS)
        ends = [interval or (np.nan, np.nan) for interval in self.column("interval")]
        found["low"], found["high"] = np.array(ends, np.float64).T
        return found

    def spread(self, values: Sequence[float]) -> npt.NDArray[Any]:
        """Return a number or flag of each game for each of its rows, [rows]."""
        return np.repeat(values, [len(table) for table in self.tables.values()])

    def where(self, at: int) -> str:
        """Return a row as ``game.variable``."""
        places = [f"{game}.{name}" for game, table in self.tables.items() for name in table.columns["name"]]
        return places[at]
