"""PCA and a random projection of the pixels, to 256 features per frame."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from harness.encoders.digests import object_digest
from harness.encoders.encoder import EncoderError, FrameSpec, GameRows, LoadedEncoder, Seen
from harness.encoders.frame_spec import SCREEN
from harness.encoders.named import PIXELS_PCA, RANDOM_PROJECTION

if TYPE_CHECKING:
    import torch

ENCODERS: Final = (PIXELS_PCA, RANDOM_PROJECTION)

COMPONENTS: Final = 256
SEED: Final = 0
OVERSAMPLED: Final = 32  # additional directions, for accurate last components
PASSES: Final = (4, 4, 1, 1)  # stride over the training rows in each pass
NO_VARIANCE: Final = 1e-9  # relative to the first component; anything below is rounding error

DEFINITION: Final = {
    "components": COMPONENTS,
    "oversampled": OVERSAMPLED,
    "passes": PASSES,
    "pixels": "gray, 210 x 160, one frame, 0 to 1",
    "projection": "normal, variance 1 / components, scikit-learn's GaussianRandomProjection",
    "seed": SEED,
}

_BLOCK = 512
_PIXELS = SCREEN[0] * SCREEN[1]

Floats = npt.NDArray[np.float32]
Pixels = npt.NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class Projection:
    """A linear map of the pixels.

    Attributes:
        name: The encoder's name.
        mean: float32 [33600], taken off first.
        weights: float32 [33600, 256].
    """

    name: str
    mean: Floats
    weights: Floats
    spec = FrameSpec()

    def encode(self, frames: Floats) -> Floats:
        """Embed frames, float32 [n, 1, 210, 160] in 0..1; gives float32 [n, 256]."""
        return np.asarray((frames.reshape(len(frames), -1) - self.mean) @ self.weights, np.float32)

    def project(self, pixels: Pixels) -> Floats:
        """Embed uint8 [n, 33600], a block at a time."""
        return np.concatenate([self.encode(block) for block in _blocks(pixels)])


def random_projection() -> Projection:
    """Make the projection on 256 random directions, the same for every game (seed 0)."""
    from sklearn.random_projection import GaussianRandomProjection

    made = GaussianRandomProjection(COMPONENTS, random_state=SEED).fit(np.zeros((1, _PIXELS)))
    weights = np.ascontiguousarray(made.components_.T, np.float32)
    return Projection(RANDOM_PROJECTION, np.zeros(_PIXELS, np.float32), weights)


def pixels_pca(pixels: Pixels) -> Projection:
    """Fit the PCA of pixels to the training frames of a game.

    Subspace iteration on the covariance matrix, which is never formed: from random directions, a block of
    rows at a time, with a Rayleigh-Ritz step at the end. Pixels that never change are left out on the way.
    Components beyond the rank of the frames are zero.

    Args:
        pixels: uint8 [n, 33600], gray.

    Source: Halko, Martinsson and Tropp, arXiv 0909.4061, algorithm 4.4.
    """
    import torch

    vary = np.flatnonzero(pixels.min(axis=0) != pixels.max(axis=0))
    moving = torch.from_numpy(np.ascontiguousarray(pixels[:, vary]) if len(vary) < _PIXELS else pixels)
    mean = torch.zeros(len(vary), dtype=torch.float64)
    for block in torch.split(moving, _BLOCK):
        mean += block.sum(0, dtype=torch.int32)
    mean = (mean / len(moving)).float()
    weights = np.zeros((_PIXELS, COMPONENTS), np.float32)
    if len(vary):
        start = np.random.default_rng(SEED).standard_normal((len(vary), COMPONENTS + OVERSAMPLED), np.float32)
        image = torch.from_numpy(start[:, : len(vary)])
        for every in PASSES:
            basis = torch.linalg.qr(image)[0]
            image = _times_covariance(moving[::every], mean, basis)
        small = (basis.T @ image).double()
        variances, turn = torch.linalg.eigh((small + small.T) / 2)
        kept = variances > NO_VARIANCE * variances[-1]
        kept[: max(0, len(kept) - COMPONENTS)] = False
        components = basis @ turn[:, kept].float().flip(1)  # the largest variance first
        weights[vary, : components.shape[1]] = components.numpy()
    whole = np.zeros(_PIXELS, np.float32)
    whole[vary] = mean.numpy() / 255
    return Projection(PIXELS_PCA, whole, weights)


@dataclass(frozen=True, eq=False)
class PixelsPCA(LoadedEncoder):
    """``pixels-pca`` before and after it is fitted to a game.

    Attributes:
        components: The number of features, from the largest variance down.
    """

    components: int = COMPONENTS

    def for_game(self, training: GameRows) -> LoadedEncoder:
        """Return the PCA of a game's training frames."""
        frames = [block.reshape(len(block), -1) for block in training.batches(self.spec)]
        fitted = pixels_pca(np.concatenate(frames))
        return replace(self, call=lambda batch: fitted.encode(batch)[:, : self.components])


def load_pixels_pca(components: int = COMPONENTS) -> LoadedEncoder:
    """Make the encoder ``pixels-pca``, which is fitted to the training frames of each game.

    Args:
        components: The number of features; other than 256 it is part of the name and of the source's digest.
    """
    digest, kind = object_digest(pixels_pca)
    name = PIXELS_PCA
    if components != COMPONENTS:
        name = f"{PIXELS_PCA}-{components}"
        digest = hashlib.sha256(f"{digest} {components}".encode()).hexdigest()

    def not_fitted(_: Any) -> Any:
        raise EncoderError(
            f"{name} is not fitted to a game yet.",
            cure="Use it with `harness evaluate`, which fits it to each game.",
        )

    return PixelsPCA(
        name=name,
        components=components,
        spec=Projection.spec,
        source_digest=digest,
        source_kind=kind,
        weights_digest=None,
        parameters=None,
        description=f"PCA of the pixels, {components} components, fitted to the training frames of each game",
        prepare=Projection.spec.prepare,
        call=not_fitted,
        per_game=True,
        _seen=Seen(width=components),
    )


def _blocks(pixels: Pixels) -> Iterator[Floats]:
    """Yield float32 [b, p] in 0..1."""
    for start in range(0, len(pixels), _BLOCK):
        yield np.divide(pixels[start : start + _BLOCK], np.float32(255), dtype=np.float32)


def _times_covariance(pixels: torch.Tensor, mean: torch.Tensor, basis: torch.Tensor) -> torch.Tensor:
    """Return the covariance matrix of the rows, in grays of 0 to 255, times ``basis`` [p, k]."""
    import torch

    image = torch.zeros_like(basis)
    for rows in torch.split(pixels, _BLOCK):
        block = rows.float().sub_(mean)
        image.addmm_(block.T, block @ basis)
    return image / len(pixels)
