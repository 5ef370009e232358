"""The features as probes see them: standardised, in the eigenbasis of their covariance."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

ROTATED: Final = 4096  # above this many features the eigenvectors cost more than they save
ROUNDING: Final = 8 * float(np.finfo(np.float32).eps)
_BLOCK: Final = 2**24  # numbers handled at once


@dataclass(frozen=True)
class Basis:
    """The map from features to coordinates, made from the training rows alone.

    Standardised features times orthonormal eigenvectors: an orthogonal change of coordinates, which leaves
    an L2-penalised solution what it is, and makes its problem easy to precondition. Directions in which the
    training rows do not vary are dropped; the penalty keeps their weights at zero anyway.

    Attributes:
        mean: The mean of each feature, float64 [d].
        scale: One over the deviation, float64 [d]; 0 for a feature that is constant up to rounding.
        vectors: The eigenvectors, float32 [d, r]; None if features are only standardised.
        variances: The variance of each coordinate, float32 [r + 1]; 1 for the constant one at the end, the
            intercept's.
    """

    mean: npt.NDArray[np.float64]
    scale: npt.NDArray[np.float64]
    vectors: Tensor | None
    variances: Tensor

    @classmethod
    def of(cls, features: npt.NDArray[np.float32], device: str = "cpu", *, common: bool = False) -> Basis:
        """Make the basis of training rows.

        Args:
            features: float32 [n, d].
            device: A torch device.
            common: Divide all features by one number, the root of their total variance, in place of each by
                its own deviation.
        """
        mean, scale = _moments(features)
        if common and scale.any():
            total = (1 / scale[scale > 0] ** 2).sum()
            scale = np.where(scale > 0, 1 / np.sqrt(total), 0.0)
        n, d = features.shape
        used = np.flatnonzero(scale)
        if min(n, d) > ROTATED:
            ones = np.append((scale > 0).astype(np.float32), np.float32(1))
            return cls(mean, scale, None, torch.from_numpy(ones).to(device))
        values, vectors = _eigen(features, mean, scale, device) if len(used) else (torch.zeros(0), None)
        if vectors is None:
            vectors = torch.zeros(d, 0)
        variances = torch.cat([values.float(), torch.ones(1)])
        return cls(mean, scale, vectors.float().to(device), variances.to(device))

    def coordinates(self, features: npt.NDArray[np.float32]) -> Coordinates:
        """Return rows of any split, float32 [n, d], in this basis."""
        lazy = Coordinates(self, features, None)
        if self.vectors is None:
            return lazy
        parts = [lazy.chunk(*part) for part in _blocks(features)]
        return Coordinates(self, features, torch.cat(parts))


@dataclass(frozen=True)
class Coordinates:
    """Rows in a basis, with a last column of ones: ready-made, or made chunk by chunk to save memory."""

    basis: Basis
    features: npt.NDArray[np.float32]
    ready: Tensor | None

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.features)

    @property
    def device(self) -> torch.device:
        """The device of its chunks."""
        return self.basis.variances.device

    def chunk(self, start: int, stop: int) -> Tensor:
        """Return float32 [stop - start, r + 1]."""
        if self.ready is not None:
            return self.ready[start:stop]
        basis = self.basis
        rows = _standardised(self.features[start:stop], basis.mean, basis.scale, self.device)
        if basis.vectors is not None:
            rows = rows @ basis.vectors
        return torch.nn.functional.pad(rows, (0, 1), value=1.0)


def _standardised(
    features: npt.NDArray[np.float32],
    mean: npt.NDArray[np.float64],
    scale: npt.NDArray[np.float64],
    device: torch.device | str,
) -> Tensor:
    # In float64 first, since a feature may be huge or tiny where its standardised value is not.
    rows = (features - mean) * scale
    return torch.from_numpy(rows.astype(np.float32)).to(device)


def _blocks(features: npt.NDArray[np.float32]) -> list[tuple[int, int]]:
    n, d = features.shape
    step = max(1, _BLOCK // d)
    return [(start, min(n, start + step)) for start in range(0, n, step)]


def _moments(
    features: npt.NDArray[np.float32],
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    n, d = features.shape
    total, low, high = np.zeros(d), np.full(d, np.inf), np.full(d, -np.inf)
    for start, stop in _blocks(features):
        block = features[start:stop]
        total += block.sum(axis=0, dtype=np.float64)
        low, high = np.minimum(low, block.min(axis=0)), np.maximum(high, block.max(axis=0))
    mean = total / n
    square = np.zeros(d)
    for start, stop in _blocks(features):
        square += ((features[start:stop] - mean) ** 2).sum(axis=0)
    constant = high - low <= ROUNDING * np.maximum(np.abs(low), np.abs(high))
    deviation = np.sqrt(square / n)
    return mean, np.where(constant, 0.0, 1 / np.where(constant, 1.0, deviation))


def _eigen(
    features: npt.NDArray[np.float32],
    mean: npt.NDArray[np.float64],
    scale: npt.NDArray[np.float64],
    device: str,
) -> tuple[Tensor, Tensor]:
    """Return eigenvalues [r] and orthonormal eigenvectors [d, r] of the correlation matrix."""
    n, d = features.shape
    if n < d:  # the same values from the smaller matrix of products of rows
        rows = _standardised(features, mean, scale, device).double()
        values, left = torch.linalg.eigh(rows @ rows.T / n)
        keep = values > 1e-10 * values[-1]
        values, left = values[keep], left[:, keep]
        vectors = torch.linalg.qr(rows.T @ left / (values * n).sqrt()).Q
        return values.cpu(), vectors
    gram = torch.zeros(d, d, dtype=torch.float64, device=device)
    for start, stop in _blocks(features):
        rows = _standardised(features[start:stop], mean, scale, device)
        gram += rows.T @ rows
    values, vectors = torch.linalg.eigh(gram / n)
    keep = values > 1e-10 * values[-1]
    return values[keep].cpu(), vectors[:, keep]
