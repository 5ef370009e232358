"""What the probes predicted for every test row, and the truth it is compared with."""

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
    """What a split of a game holds besides pixels.

    Attributes:
        names: Of the variables.
        labels: uint8 [n, v], a column a variable.
        episode: int32 [n].
        step: int32 [n], in the episode.
    """

    names: tuple[str, ...]
    labels: Labels
    episode: npt.NDArray[np.int32]
    step: npt.NDArray[np.int32]

    def digest(self, predictions: Labels) -> str:
        """Digest predictions, uint8 [n, v], with all that they are compared with.

        BLAKE3 over episode and step (int32, little-endian) and then, for each variable, its name, a
        newline, its labels and its predictions.
        """
        digest = blake3(self.episode.astype("<i4").tobytes() + self.step.astype("<i4").tobytes())
        for v, name in enumerate(self.names):
            digest.update(f"{name}\n".encode() + self.labels[:, v].tobytes() + predictions[:, v].tobytes())
        return f"blake3:{digest.hexdigest()}"


@dataclass(frozen=True, eq=False)
class Predictions:
    """What the probes of one game said of every test row.

    Attributes:
        truth: Of the test split.
        by_run: uint8 [n, v] for each probe and training size.
    """

    truth: Truth
    by_run: Mapping[ProbeRun, Labels]
