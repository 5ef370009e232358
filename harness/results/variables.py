"""The variables' scores in a result: columns for writing and checking, rows for reading.

Columns keep a leaderboard fast: it checks hundreds of thousands of rows. For the same reason a file says once
for each game what its variables are, leaves out columns of nulls, and leaves out what follows from the rest.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from typing import Annotated, Any, ClassVar, NamedTuple, Self, TypeAlias, get_type_hints, overload

from pydantic import (
    Field,
    GetCoreSchemaHandler,
    StringConstraints,
    ValidatorFunctionWrapHandler,
    create_model,
)
from pydantic_core import CoreSchema, core_schema

from harness.probes.probe import ProbeRun
from harness.probes.target import Kind, Target
from harness.results.canonical import Count, Decimal4, Share, Text
from harness.results.means import best_trivial, column_of, normalised
from harness.results.provenance import Identifier, Model

Columns: TypeAlias = list[list[Any]]
"""Values by field."""


class Scores(Model):
    """Scores of a variable, or means over variables."""

    score: Share | None
    """The score, by the metric of its probe: weighted F1, or the share explained; cut off at 0 and 1."""
    constant: Share | None
    """Score of the best constant, the most frequent value or the mean; 0 under a readout."""
    trivial: Share | None
    """Best score of constant and trivial encoders (in means: the mean of these); null if unknown."""
    ceiling: Share | None
    """Best score of any function of a single frame; identical frames can have different labels."""
    normalised: Decimal4 | None
    """Score rescaled so that `trivial` is 0 and `ceiling` is 1, at least -1; null if these are less than 0.05
    apart."""


class Variable(Model):
    """What a variable is, as far as its scores go."""

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


class _Fit(Model):
    n: Count
    """Number of test rows on which it is known."""
    classes: Annotated[int, Field(ge=0, le=100_000)]
    """Number of distinct values in the training rows."""


# Base classes are documented from right to left, so that a row begins with its name.
class VariableScores(Scores, _Fit, Variable):
    """Scores of one variable under one probe."""

    raw: Decimal4 | None
    """The score before it is cut off at 0 and 1; over several draws of training rows, the mean.

    Null for F1, which is not cut off."""
    interval: Annotated[list[Share], Field(min_length=2, max_length=2)] | None
    """95 % interval of the score from a bootstrap over episodes, which allows for few of them, centred on
    the score."""
    pixels_pca: Share | None
    """Score of a PCA of the pixels, with the same probe and rows."""
    random_projection: Share | None
    """Score of a random projection of the pixels, with the same probe and rows."""
    random_cnn: Share | None
    """Score of a random CNN, with the same probe and rows; null for F1."""
    accuracy: Share | None
    """Fraction of correct predictions; null for a regression."""
    constant_accuracy: Share | None
    """Accuracy of the best constant: of the training rows; under a readout, of the scored rows."""
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


_HEAD = tuple(Variable.model_fields)
_DERIVED = ("trivial", "normalised")
"""Columns that follow from others, and are in no file."""


def _columns(name: str, row: type[Model], fields: Iterable[str], required: Iterable[str]) -> type[Model]:
    """Return a model of columns; one that is not required is left out where all its values are null."""
    types = get_type_hints(row, include_extras=True)
    columns: dict[str, Any] = {
        field: (
            list.__class_getitem__(types[field]),
            Field(
                *(() if field in required else (None,)),
                min_length=1,
                max_length=400,
                description=row.model_fields[field].description,
            ),
        )
        for field in fields
    }
    return create_model(name, __base__=Model, __doc__=row.__doc__, **columns)


@dataclass(frozen=True)
class _Columns:
    """Columns of equal length, as in a file.

    Attributes:
        columns: The values of each field that is not null throughout; do not modify them.
    """

    columns: Mapping[str, list[Any]]
    model: ClassVar[type[Model]]

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.columns["name"])

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Tell pydantic that this is an object of lists of equal length."""
        return core_schema.no_info_wrap_validator_function(
            cls._validate,
            handler.generate_schema(cls.model),
            serialization=core_schema.plain_serializer_function_ser_schema(lambda table: table.columns),
        )

    @classmethod
    def _validate(cls, columns: Any, validate: ValidatorFunctionWrapHandler) -> Self:
        validate(columns)
        if len(set(map(len, columns.values()))) != 1:
            raise ValueError("Columns must have equal lengths")
        for name, column in columns.items():
            if column[0] is None and not any(value is not None for value in column):
                raise ValueError(f"The column {name} holds nothing but nulls, and must be left out")
        return cls(columns)


class Variables(_Columns):
    """The variables of a game that one metric scores."""

    model = _columns("VariablesOfMetric", Variable, _HEAD, ("name", "categories", "kind", "unit"))

    @cached_property
    def at(self) -> Mapping[str, int]:
        """The row of each variable."""
        return {name: row for row, name in enumerate(self.columns["name"])}


class Table(_Columns, Sequence[VariableScores]):
    """The scores of one game under one probe, stored as columns; a sequence of `VariableScores`."""

    model = _columns(
        "VariableColumns",
        VariableScores,
        (field for field in VariableScores.model_fields if field not in {*_HEAD[1:], *_DERIVED}),
        ("name", "n", "classes"),
    )

    def join(self, variables: Variables) -> None:
        """Look up what the variables are.

        Raises:
            ValueError: Some variable is not there.
        """
        names, head = self.columns["name"], variables.columns
        if names == head["name"]:
            self.__dict__["head"] = head
            return
        try:
            rows = [variables.at[name] for name in names]
        except KeyError as error:
            raise ValueError(f"{error.args[0]} is not among the variables of its metric") from error
        self.__dict__["head"] = {key: [column[row] for row in rows] for key, column in head.items()}

    @cached_property
    def head(self) -> Mapping[str, list[Any]]:
        """What the variables are, by column; known once the table is part of a result."""
        raise TypeError("This table is not part of a result.")

    def column(self, key: str) -> list[Any]:
        """Return the values of one field of `VariableScores`, null where the file has none."""
        found = self.columns.get(key)
        if found is not None:
            return found
        of = self._derived if key in _DERIVED else self.head
        return of[key] if key in of else [None] * len(self)

    def take(self, keys: Iterable[str]) -> Columns:
        """Return the values of the given fields."""
        return [self.column(key) for key in keys]

    @cached_property
    def _derived(self) -> Mapping[str, list[Any]]:
        trivial = best_trivial(self.columns)
        score, ceiling = (column_of(self.columns, key) for key in ("score", "ceiling"))
        return {"trivial": trivial, "normalised": list(map(normalised, score, trivial, ceiling))}

    @cached_property
    def _rows(self) -> Sequence[VariableScores]:
        fields = tuple(VariableScores.model_fields)
        return [
            VariableScores.model_validate(dict(zip(fields, row, strict=True)))
            for row in zip(*self.take(fields), strict=True)
        ]

    @overload
    def __getitem__(self, at: int) -> VariableScores: ...
    @overload
    def __getitem__(self, at: slice) -> Sequence[VariableScores]: ...
    def __getitem__(self, at: int | slice) -> VariableScores | Sequence[VariableScores]:
        """Return one row, or several for a slice."""
        return self._rows[at]

    def __iter__(self) -> Iterator[VariableScores]:
        """Iterate over the rows."""
        return iter(self._rows)


def by_column(scores: Sequence[Sequence[Mapping[str, Any]]]) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Return rows as a file has them: what the variables are, and the columns of each table.

    Args:
        scores: For each probe of one metric, a row for each variable, with the fields of `VariableScores`.

    Raises:
        ValueError: The rows do not have the same fields, or disagree on what a variable is.
    """
    heads: dict[str, dict[str, Any]] = {}
    for row in chain.from_iterable(scores):
        head = {key: row[key] for key in _HEAD}
        if heads.setdefault(row["name"], head) != head:
            raise ValueError(f"two kinds of {row['name']}")
    rest = [[{key: row[key] for key in row if key not in _HEAD[1:]} for row in rows] for rows in scores]
    return _by_column(list(heads.values())), list(map(_by_column, rest))


def _by_column(rows: Sequence[Mapping[str, Any]]) -> dict[str, list[Any]]:
    names = sorted(rows[0])
    if any(sorted(row) != names for row in rows):
        raise ValueError("variables with different fields")
    columns = {name: [row[name] for row in rows] for name in names}
    return {name: column for name, column in columns.items() if any(value is not None for value in column)}


class Part(NamedTuple):
    """One game under one probe.

    Attributes:
        probe: The probe's number.
        run: The probe and its rows.
        game: The game.
        table: The variables.
    """

    probe: int
    run: ProbeRun
    game: str
    table: Table
