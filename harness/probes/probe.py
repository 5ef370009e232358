"""What a probe is: how it is fitted, what decides its answer, and what its score measures."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from harness.probes.inputs import Split

TrainRows = str | int
"""Training rows to fit a probe to: ``full``, ``1k`` (the frozen ones), or a number."""


class ProbeRun(NamedTuple):
    """A probe and the training rows that it is fitted to: ``full``, ``1k`` or a number of them."""

    probe: str
    train_rows: TrainRows

    def __str__(self) -> str:
        """Return the run for people: ``linear, all rows``."""
        return f"{self.probe}, {self._rows} rows"

    @property
    def key(self) -> str:
        """The run as part of a column's name: ``linear_full``."""
        return f"{self.probe}_{self.train_rows}"

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
        predictions: uint8 [n_test].
        strength: The chosen L2 strength.
        gradient_norm: The norm of the gradient at the end.
        epochs: The number of training epochs.
        notes: What a reader of the score should know about the fit.
    """

    predictions: npt.NDArray[np.uint8]
    strength: float | None = None
    gradient_norm: float | None = None
    epochs: int | None = None
    notes: tuple[str, ...] = ()


class FitProbe(Protocol):
    """The function that fits a probe to every variable and predicts the test rows."""

    def __call__(
        self,
        train: Split,
        validation: Split,
        test_features: npt.NDArray[np.float32],
        *,
        names: Sequence[str],
        device: str,
        progress: Callable[[str], object] | None,
    ) -> list[Fit]:
        """Return one fit for each variable, in the order of ``names``.

        Args:
            train: The rows to fit to.
            validation: The rows to select by.
            test_features: float32 [n_test, d].
            names: The variables' names, in the order of the columns of ``labels``.
            device: A torch device.
            progress: Called with the name of each variable when it is done.

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
        measures: What its score measures, as a sentence with a slot for the training rows.
        settings: What decides its answer besides the rows; part of the protocol's digest.
        fit: Fits it.
        train_sizes: The training rows that it is fitted to by default.
        tolerances: The differences at which a result counts as reproduced, each from a number of training
            rows on, fewest first, from 0.
    """

    measures: str
    settings: Mapping[str, Any]
    fit: FitProbe
    train_sizes: tuple[TrainRows, ...]
    tolerances: tuple[tuple[int, Tolerance], ...]

    def tolerance(self, rows: int) -> Tolerance:
        """Return the tolerance of scores on that number of training rows."""
        return next(tolerance for least, tolerance in reversed(self.tolerances) if rows >= least)
