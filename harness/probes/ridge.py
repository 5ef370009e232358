"""Ridge regressions of many targets on one feature matrix, solved exactly in float64.

All targets that are known on the same rows share one Gram matrix, and all strengths share it too. The Gram
matrix of a part of the rows is that of all rows less that of the rows that are missing, whichever is cheaper.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

_BLOCK: Final = 2**22  # numbers of a block of rows in float64
_FLAT: Final = 1e-12  # of a feature's squared mean: a variance that is rounding in float32, at most

Features = npt.NDArray[np.float32]
Values = npt.NDArray[np.float64]
Indices = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Ridge:
    """The fitted ridge regression of one target.

    Attributes:
        weights: float64 [d, k].
        intercept: float64 [k]; NaN if no training row has the target.
        strength: The chosen strength; None if only the mean was fitted.
    """

    weights: Values
    intercept: Values
    strength: float | None


def fit_ridge(
    features: Features,
    targets: Sequence[Values],
    validation: tuple[Features, Sequence[Values]] | None,
    *,
    strengths: Sequence[float],
    least_rows: int,
    device: str = "cpu",
) -> list[Ridge]:
    """Fit a ridge regression with a free intercept to every target.

    The objective is that of scikit-learn's ``Ridge(alpha=n * variance * strength)``, where ``n`` is the
    number of rows that have the target and ``variance`` the sum of the variances of all features over all
    rows. So all features are on one common scale, and the solution does not depend on their rotation or unit.
    The strength has the least squared error on the validation rows, or without validation rows the least
    leave-one-out error on the training rows; the strongest of equals.

    Args:
        features: float32 [n, d], finite.
        targets: float64 [n, k] each; NaN in all columns of the rows that do not have the target.
        validation: The same of the rows that select the strength; None for leave-one-out, whose cost grows
            with the cube of the number of rows.
        strengths: The grid, strongest first, in units of the features' total variance per row.
        least_rows: With fewer rows a target is predicted by its mean.
        device: A torch device.

    Returns:
        One fit for each target.
    """
    mean, variance = _moments(features)
    rows = _Rows(features, mean, device)
    fits: dict[int, Ridge] = {}
    for known, members in _by_rows(targets):
        y = np.concatenate([targets[m][known] for m in members], axis=1)
        if len(known) < least_rows or not variance or not np.ptp(y, axis=0).any():
            fits |= {m: _mean_alone(targets[m][known], features.shape[1]) for m in members}
            continue
        added = [len(known) * variance * strength for strength in strengths]
        if validation is None:
            weights, errors = _leave_one_out(rows, known, y, added)
        else:
            weights = _solve(rows, known, y, added)
        intercepts = torch.from_numpy(y.mean(axis=0)).to(device) - rows.mean_of(known) @ weights
        if validation is not None:
            seen = np.concatenate([validation[1][m] for m in members], axis=1)
            errors = _validated(_Rows(validation[0], mean, device), seen, weights, intercepts)
        column = 0
        for m in members:
            part = slice(column, column := column + targets[m].shape[1])
            best = int(torch.nan_to_num(errors[:, part].sum(1), nan=torch.inf).argmin())
            found, intercept = (array[best, ..., part].cpu().numpy() for array in (weights, intercepts))
            fits[m] = Ridge(found, intercept - mean @ found, strengths[best])
    return [fits[m] for m in range(len(targets))]


def predict_ridge(fits: Sequence[Ridge], features: Features, *, device: str = "cpu") -> list[Values]:
    """Return the predictions of each fit, float64 [n, k]."""
    if not fits:
        return []
    weights = torch.from_numpy(np.concatenate([fit.weights for fit in fits], axis=1)).to(device)
    intercepts = torch.from_numpy(np.concatenate([fit.intercept for fit in fits])).to(device)
    blocks = [
        (torch.from_numpy(features[part]).to(device).double() @ weights + intercepts).cpu().numpy()
        for part in _blocks(*features.shape)
    ]
    ends = np.cumsum([len(fit.intercept) for fit in fits])[:-1]
    return np.split(np.concatenate(blocks), ends, axis=1)


class _Rows:
    """Rows of features, taken off a mean and turned into float64 a block at a time."""

    def __init__(self, features: Features, mean: Values, device: str) -> None:
        self.features, self.mean, self.device = features, mean, device

    def take(self, rows: Indices) -> Tensor:
        """Return some rows, float64 [m, d]."""
        taken = torch.from_numpy(self.features)[torch.from_numpy(rows)].to(self.device)
        return taken.double() - self._mean

    @cached_property
    def _mean(self) -> Tensor:
        return torch.from_numpy(self.mean).to(self.device)

    def blocks(self, rows: Indices) -> Iterator[tuple[slice, Tensor]]:
        """Yield parts of some rows: a slice of ``rows``, and float64 [b, d]."""
        for part in _blocks(len(rows), self.features.shape[1]):
            yield part, self.take(rows[part])

    def mean_of(self, rows: Indices) -> Tensor:
        """Return the mean of some rows, float64 [d]."""
        total = torch.zeros(self.features.shape[1], dtype=torch.float64, device=self.device)
        for _, block in self.blocks(rows):
            total += block.sum(0)
        return total / len(rows)

    def gram_of(self, rows: Indices) -> Tensor:
        """Return the products of features summed over some rows, float64 [d, d], in memory of its own."""
        n = len(self.features)
        if 2 * len(rows) <= n:
            return self._gram(rows)
        return self._whole - self._gram(np.setdiff1d(np.arange(n), rows))

    @cached_property
    def _whole(self) -> Tensor:
        return self._gram(np.arange(len(self.features)))

    def _gram(self, rows: Indices) -> Tensor:
        d = self.features.shape[1]
        total = torch.zeros(d, d, dtype=torch.float64, device=self.device)
        for _, block in self.blocks(rows):
            total.addmm_(block.T, block)
        return total


def _solve(rows: _Rows, known: Indices, y: Values, strengths: Sequence[float]) -> Tensor:
    """Return the weights at every strength, float64 [s, d, t]; NaN where the matrix is singular."""
    n, d = len(known), rows.features.shape[1]
    targets = torch.from_numpy(y - y.mean(axis=0)).to(rows.device)
    average = rows.mean_of(known)
    if n <= d:
        centred = rows.take(known) - average
        return torch.stack([centred.T @ one for one in _shrunk(centred @ centred.T, targets, strengths)])
    products = torch.zeros(d, y.shape[1], dtype=torch.float64, device=rows.device)
    for part, block in rows.blocks(known):
        products.addmm_(block.T, targets[part])
    gram = rows.gram_of(known).addr_(average, average, alpha=-n)
    return torch.stack(list(_shrunk(gram, products, strengths)))


def _shrunk(matrix: Tensor, right: Tensor, strengths: Sequence[float]) -> Iterator[Tensor]:
    """Yield the solution for each strength that is added to the diagonal."""
    diagonal = matrix.diagonal().clone()
    for strength in strengths:
        matrix.diagonal().copy_(diagonal + strength)
        factor, failed = torch.linalg.cholesky_ex(matrix)
        if failed:
            yield torch.full_like(right, torch.nan)
        else:
            yield torch.cholesky_solve(right, factor)


def _leave_one_out(
    rows: _Rows, known: Indices, y: Values, strengths: Sequence[float]
) -> tuple[Tensor, Tensor]:
    """Return the weights at every strength, float64 [s, d, t], and the squared errors left out, [s, t].

    The error of a row that is left out follows from the fit to all rows: in an orthonormal basis of the
    deviations from the mean, in which the intercept is gone, it is ``a_i / c_ii``, where ``a`` are the dual
    coefficients and ``c`` is the inverse of the kernel plus the strength.
    """
    n = len(known)
    centred = rows.take(known)
    centred -= centred.mean(0)
    deviations = _deviations(n, rows.device)
    kernel = deviations.T @ (centred @ centred.T) @ deviations
    values, vectors = torch.linalg.eigh((kernel + kernel.T) / 2)
    turned = deviations @ vectors
    along = turned.T @ torch.from_numpy(y - y.mean(axis=0)).to(rows.device)
    weights, errors = [], []
    for strength in strengths:
        inverse = 1 / (values.clamp_min(0) + strength)
        dual = turned @ (inverse[:, None] * along)
        left = dual / (turned.square() @ inverse)[:, None]
        weights.append(centred.T @ dual)
        errors.append(left.square().sum(0))
    return torch.stack(weights), torch.stack(errors)


def _deviations(n: int, device: str) -> Tensor:
    """Return an orthonormal basis of the vectors of n numbers that add up to zero, float64 [n, n - 1]."""
    ones = torch.ones(n, 1, dtype=torch.float64, device=device)
    whole = torch.cat([ones, torch.eye(n, dtype=torch.float64, device=device)[:, 1:]], 1)
    basis: Tensor = torch.linalg.qr(whole).Q
    return basis[:, 1:]


def _validated(rows: _Rows, y: Values, weights: Tensor, intercepts: Tensor) -> Tensor:
    """Return the squared errors on validation rows at every strength, float64 [s, t].

    Args:
        rows: The validation rows.
        y: float64 [n, t], NaN where a row does not have the target.
        weights: float64 [s, d, t].
        intercepts: float64 [s, t].
    """
    known = np.flatnonzero(~np.isnan(y).all(axis=1))
    errors = torch.zeros_like(intercepts)
    flat = weights.permute(1, 0, 2).reshape(weights.shape[1], -1)
    for part in _blocks(len(known), max(flat.shape)):
        block = rows.take(known[part])
        found = (block @ flat).view(len(block), *intercepts.shape) + intercepts
        right = torch.from_numpy(y[known[part]]).to(rows.device)[:, None]
        # A strength whose matrix is singular has weights that are NaN, and its errors have to stay so.
        errors += torch.where(right.isnan(), 0, (found - right).square()).sum(0)
    return errors


def _mean_alone(y: Values, d: int) -> Ridge:
    """Return the fit that predicts the mean of y, float64 [n, k]."""
    mean = y.mean(axis=0) if len(y) else np.full(y.shape[1], np.nan)
    return Ridge(np.zeros((d, y.shape[1])), mean, None)


def _by_rows(targets: Sequence[Values]) -> Iterator[tuple[Indices, list[int]]]:
    """Yield the rows of targets that are known on the same rows, and the targets' numbers."""
    groups: dict[bytes, list[int]] = {}
    for number, y in enumerate(targets):
        groups.setdefault((~np.isnan(y[:, 0])).tobytes(), []).append(number)
    for present, members in groups.items():
        yield np.flatnonzero(np.frombuffer(present, np.bool_)), members


def _moments(features: Features) -> tuple[Values, float]:
    """Return the mean of each feature, and the sum of their variances, but for those that are rounding."""
    n, d = features.shape
    mean = sum(features[part].sum(axis=0, dtype=np.float64) for part in _blocks(n, d)) / n
    variances = sum(((features[part] - mean) ** 2).sum(axis=0) for part in _blocks(n, d)) / n
    return mean, float(variances[variances > _FLAT * mean**2].sum())


def _blocks(n: int, d: int) -> Iterator[slice]:
    step = max(1, _BLOCK // d)
    for start in range(0, n, step):
        yield slice(start, min(n, start + step))
