"""The input of a probe: features and labels of a split, checked before anything is fitted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from atariari_data.errors import AtariariError, UsageError

Features: TypeAlias = npt.NDArray[np.float32]
Values: TypeAlias = npt.NDArray[np.float64]


class FeatureError(AtariariError):
    """Features are not finite."""


@dataclass(frozen=True)
class Split:
    """Features and labels of the rows of one split.

    Attributes:
        features: float32 [n, d].
        labels: uint8 [n, v], one column for each variable.
    """

    features: npt.NDArray[np.float32]
    labels: npt.NDArray[np.uint8]


def check_probe_input(
    train: Split, validation: Split, test_features: npt.NDArray[np.float32], names: Sequence[str]
) -> None:
    """Check the input of a probe.

    Args:
        train: The rows to fit to.
        validation: The rows to select by.
        test_features: float32 [n_test, d].
        names: The variables' names.

    Raises:
        FeatureError: Some features are not finite.
        UsageError: Shapes or types do not match, or there are no rows.
    """
    check_features({"train": train.features, "validation": validation.features, "test": test_features})
    for split, part in (("train", train), ("validation", validation)):
        expected = (len(part.features), len(names))
        if part.labels.shape != expected or part.labels.dtype != np.uint8:
            raise UsageError(
                f"The labels of {split} do not match its features and the names.",
                expected=f"uint8 {list(expected)}",
                got=f"{part.labels.dtype} {list(part.labels.shape)}",
            )


def check_features(features: Mapping[str, npt.NDArray[np.float32]]) -> None:
    """Check the features of each split: float32 [n, d], with the same d, and finite.

    Raises:
        FeatureError: Some features are not finite.
        UsageError: Shapes or types do not match, or there are no rows.
    """
    width = None
    for split, array in features.items():
        if array.dtype != np.float32 or array.ndim != 2 or not array.size:  # noqa: PLR2004  rows, columns
            raise UsageError(
                f"The features of {split} have a wrong type or shape.",
                expected="float32 [n, d], n and d at least 1",
                got=f"{array.dtype} {list(array.shape)}",
            )
        width = width or array.shape[1]
        if array.shape[1] != width:
            raise UsageError(
                f"The features of {split} and of train differ in length.",
                expected=width,
                got=array.shape[1],
            )
        check_finite(array, split)


def check_finite(features: npt.NDArray[np.float32], split: str) -> None:
    """Check that features are finite.

    Args:
        features: float32 [n, d].
        split: The split's name, for the message.

    Raises:
        FeatureError: Some are not finite.
    """
    step = max(1, 2**22 // features.shape[1])
    bad_rows, first = 0, None
    for start in range(0, len(features), step):
        bad = ~np.isfinite(features[start : start + step]).all(axis=1)
        if bad.any():
            bad_rows += int(bad.sum())
            first = start + int(bad.argmax()) if first is None else first
    if first is not None:
        column = int(np.flatnonzero(~np.isfinite(features[first]))[0])
        raise FeatureError(
            f"{bad_rows:,} of {len(features):,} rows of {split} have features that are not finite.",
            expected="finite numbers",
            got=f"{features[first, column]} first in row {first}, feature {column}",
            cure="Look for overflow or a division by zero in the encoder.",
        )
