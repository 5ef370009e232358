"""What a probe is: how it is fitted, what decides its answer, and what its score is."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple, Protocol, TypeAlias, get_args

from harness.probes.target import Target

if TYPE_CHECKING:
    from harness.probes.inputs import Features, Values

TrainRows = str | int
"""Training rows to fit a probe to: ``full``, ``1k`` (the frozen ones), or a number."""

States: TypeAlias = Literal["play", "deep"]
"""Where rows come from: random play (config ``GAME``), or deep states (config ``GAME_deep``)."""

STATES: Final[tuple[States, ...]] = get_args(States)

Metric: TypeAlias = Literal["f1", "explained"]
"""What a score is: weighted F1, or the share that features explain of what a constant leaves unknown."""

METRICS: Final[dict[Metric, str]] = {
    "f1": "Weighted F1 on the test split.",
    "explained": "Share of what a constant leaves unknown: 1 - error / error of the constant, from 0 to 1.",
}
"""The metrics in words."""

FEW: Final = 100
"""Training rows of which several draws are averaged, since few rows are luck."""

DRAWS: Final = 10
"""Draws of few training rows, whose scores are averaged."""

MOST_LEFT_OUT: Final = 1000
"""With up to so many training rows, these alone select the strength of a readout."""


class ProbeRun(NamedTuple):
    """A probe, and the rows that it is fitted to and scored on.

    Attributes:
        probe: The probe's name.
        train_rows: Training rows: ``full``, ``1k`` or a number of them.
        fitted_on: Where the training rows come from.
        scored_on: Where the test rows come from.
    """

    probe: str
    train_rows: TrainRows
    fitted_on: States = "play"
    scored_on: States = "play"

    def __str__(self) -> str:
        """Return the run for people: ``linear, all rows``, ``readout, transfer``."""
        return f"{self.probe}, {self.title}"

    @property
    def title(self) -> str:
        """The run without the probe: ``play``, ``few``, ``transfer``, ``deep``, or ``1,000 rows``."""
        where = {("play", "deep"): "transfer", ("deep", "deep"): "deep", ("deep", "play"): "back"}.get(
            (self.fitted_on, self.scored_on)
        )
        if self.probe == "readout" and self.train_rows == "full":
            return where or "play"
        if self.probe == "readout" and self.train_rows == FEW:
            return f"few, {where}" if where else "few"
        return f"{self._rows} rows" + (f", {where}" if where else "")

    @property
    def key(self) -> str:
        """The run as part of a column's name: ``linear_full``, ``readout_full_play_deep``."""
        here = self.fitted_on == self.scored_on == "play"
        return f"{self.probe}_{self.train_rows}" + ("" if here else f"_{self.fitted_on}_{self.scored_on}")

    @property
    def is_deep(self) -> bool:
        """Whether it needs deep states."""
        return "deep" in (self.fitted_on, self.scored_on)

    @property
    def _rows(self) -> str:
        if isinstance(self.train_rows, int):
            return f"{self.train_rows:,}"
        return "all" if self.train_rows == "full" else self.train_rows


NOT_CONVERGED: Final = "the fit did not reach its tolerance"
"""The note of a fit that ended without converging."""


@dataclass(frozen=True)
class Fit:
    """One variable's fitted probe; None where a probe has no such thing.

    Attributes:
        predictions: For each test split, float64 [n]; NaN if no training row has the target.
        constant: What is predicted without features; NaN likewise.
        strength: The chosen L2 strength.
        gradient_norm: The norm of the gradient at the end.
        epochs: The number of training epochs.
        notes: What a reader of the score should know about the fit.
    """

    predictions: tuple[Values, ...]
    constant: float
    strength: float | None = None
    gradient_norm: float | None = None
    epochs: int | None = None
    notes: tuple[str, ...] = ()


class FitProbe(Protocol):
    """The function that fits a probe to every target and predicts the test rows."""

    def __call__(
        self,
        features: Features,
        values: Values,
        tests: Sequence[Features],
        targets: Sequence[Target],
        *,
        validation: tuple[Features, Values] | None,
        device: str,
        progress: Callable[[str], object] | None,
    ) -> list[Fit]:
        """Return one fit for each target.

        Args:
            features: float32 [n, d], of the training rows.
            values: float64 [n, t], a column for each target; NaN for rows that do not have the target.
            tests: The features of each test split, float32 [m, d].
            targets: What the columns are.
            validation: Features and values of the rows to select by; None if the training rows have to.
            device: A torch device.
            progress: Called with the name of each target when it is done.

        Raises:
            FeatureError: Some features are not finite.
        """
        ...


class Tolerance(NamedTuple):
    """How far F1 of a result may differ on another kind of machine, where features differ in their last bits.

    Attributes:
        variable: In any variable.
        mean: In the mean of a game.
    """

    variable: float
    mean: float


@dataclass(frozen=True)
class Probe:
    """A probe of `harness.probes.registry.PROBES`.

    Attributes:
        metric: What its score is. Under ``f1``, the targets are the values of the probed variables; under
            ``explained``, the quantities of `harness.targets`.
        settings: What decides its answer besides the rows; part of the protocol's digest.
        fit: Fits it.
        runs: The rows that it is fitted to and scored on by default.
        tolerances: The differences at which a result counts as reproduced, each from a number of training
            rows on, fewest first, from 0.
    """

    metric: Metric
    settings: Mapping[str, Any]
    fit: FitProbe
    runs: tuple[ProbeRun, ...]
    tolerances: tuple[tuple[int, Tolerance], ...]

    def tolerance(self, rows: int) -> Tolerance:
        """Return the tolerance of scores on that number of training rows."""
        return next(tolerance for least, tolerance in reversed(self.tolerances) if rows >= least)
