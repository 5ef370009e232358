"""Predictions on every test row, and the labels they are compared with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from blake3 import blake3

from harness.metrics import Bootstrap, Scored, score_explained, score_f1
from harness.probes.probe import Metric, ProbeRun
from harness.probes.target import Target

Numbers = npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Predicted:
    """What one probe predicts on the test rows of one game, and what is true there.

    Attributes:
        names: Names of the variables.
        truth: float32 [n, v], one column per variable; NaN where its thing is not there.
        episode: int32 [n], the episode of each row.
        step: int32 [n], the step within the episode.
        values: The predictions of each fit, float32 [fits, n, v]. There are several fits where a score is the
            mean over several draws of training rows.
        constants: What each fit predicts without features, float32 [fits, v].
    """

    names: tuple[str, ...]
    truth: Numbers
    episode: npt.NDArray[np.int32]
    step: npt.NDArray[np.int32]
    values: Numbers
    constants: Numbers

    def digest(self) -> str:
        """Return a digest of everything.

        BLAKE3 over episode and step (int32, little-endian), followed for each variable by its name, a
        newline, its true values, its constants and its predictions (float32, little-endian).
        """
        digest = blake3(self.episode.astype("<i4").tobytes() + self.step.astype("<i4").tobytes())
        for v, name in enumerate(self.names):
            digest.update(f"{name}\n".encode())
            for numbers in (self.truth[:, v], self.constants[:, v], self.values[:, :, v]):
                digest.update(np.ascontiguousarray(numbers, "<f4").tobytes())
        return f"blake3:{digest.hexdigest()}"

    def score(self, v: int, metric: Metric, target: Target, bootstrap: Bootstrap) -> Scored:
        """Score a variable.

        Args:
            v: Its number.
            metric: The metric of the probe.
            target: What it is.
            bootstrap: Over the n rows.
        """
        if metric == "f1":
            truth, found = (column.astype(np.uint8) for column in (self.truth[:, v], self.values[0, :, v]))
            return score_f1(truth, found, bootstrap)
        return score_explained(
            self.truth[:, v].astype(np.float64),
            self.values[:, :, v].astype(np.float64),
            self.constants[:, v].astype(np.float64),
            bootstrap,
            nominal=target.kind == "nominal",
            period=target.period,
        )


Predictions = Mapping[ProbeRun, Predicted]
"""The probes' predictions on the test rows of one game."""
