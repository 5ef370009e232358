"""Observations: frames as agents and encoders of the field want them, from frames as the dataset has them."""

from __future__ import annotations

import io
from functools import cache
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

SMALL = 84


def pixels(png: bytes, *, color: bool = False) -> npt.NDArray[np.uint8]:
    """Decode a frame.

    Args:
        png: The bytes in column ``frame``.
        color: RGB, else gray: ITU-R 601 luma as Pillow's ``convert("L")``.

    Returns:
        uint8 [channels, 210, 160], channels being 3 or 1.
    """
    from PIL import Image

    with Image.open(io.BytesIO(png)) as image:
        rgb = image.convert("RGB")
        # A copy at most, in the order of memory that tensors have.
        return np.ascontiguousarray(np.moveaxis(np.asarray(rgb), -1, 0)) if color else luma(np.asarray(rgb))


def luma(rgb: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Turn RGB uint8 [h, w, 3] into gray uint8 [1, h, w]: ITU-R 601 luma as Pillow's ``convert("L")``."""
    from PIL import Image

    return np.asarray(Image.fromarray(rgb).convert("L"))[None]


def shrink(frames: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Make frames 84 by 84, each pixel the mean of the area that it covers, rounded half to even.

    That is what ``cv2.resize(..., interpolation=cv2.INTER_AREA)`` computes, in whole numbers, so that it is
    the same on every machine.

    Args:
        frames: uint8 [..., h, w].

    Returns:
        uint8 [..., 84, 84].
    """
    height, width = frames.shape[-2:]
    # Whole numbers under 2 ** 24 are exact in float32, whatever the order of the sums.
    total = overlap(height).T @ (frames.astype(np.float32) @ overlap(width))
    mean: npt.NDArray[np.uint8] = np.rint(total.astype(np.float64) / (height * width)).astype(np.uint8)
    return mean


@cache
def overlap(size: int) -> npt.NDArray[np.float32]:
    """Return how much of each of 84 pixels each of ``size`` covers: float32 [size, 84], in whole parts."""
    old, new = np.arange(size)[:, None] * SMALL, np.arange(SMALL)[None] * size
    shared = np.minimum(old + SMALL, new + size) - np.maximum(old, new)
    covered: npt.NDArray[np.float32] = np.maximum(shared, 0).astype(np.float32)
    return covered
