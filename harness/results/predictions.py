"""Predictions on every test row, and the labels they are compared with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from blake3 import blake3

from harness.probes.probe import ProbeRun

Labels = npt.NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class Truth:
    """Labels and positions of the rows of one split of a game.

    Attributes:
        names: Names of the variables.
        labels: uint8 [n, v], one column per variable.
        episode: int32 [n], the episode of each row.
        step: int32 [n], the step within the episode.
    """

    names: tuple[str, ...]
    labels: Labels
    episode: npt.NDArray[np.int32]
    step: npt.NDArray[np.int32]

    def digest(self, predictions: Labels) -> str:
        """Return the digest of predictions, uint8 [n, v], and the labels they are compared with.

        BLAKE3 over episode and step (int32, little-endian), followed for each variable by its name, a
        newline, its labels and its predictions.
        """
        digest = blake3(self.episode.astype("<i4").tobytes() + self.step.astype("<i4").tobytes())
        for v, name in enumerate(self.names):
            digest.update(f"{name}\n".encode() + self.labels[:, v].tobytes() + predictions[:, v].tobytes())
        return f"blake3:{digest.hexdigest()}"


@dataclass(frozen=True, eq=False)
class Predictions:
    """The probes' predictions on the test rows of one game.

    Attributes:
        truth: Labels of the test rows.
        by_run: Predictions, uint8 [n, v], for each probe and training size.
    """

    truth: Truth
    by_run: Mapping[ProbeRun, Labels]
