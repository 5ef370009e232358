"""Convert the dataset's frames to the observations that agents and encoders commonly use."""

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
        color: RGB if true, else gray: ITU-R 601 luma as in Pillow's ``convert("L")``.

    Returns:
        uint8 [channels, 210, 160] with 3 or 1 channels.
    """
    from PIL import Image

    with Image.open(io.BytesIO(png)) as image:
        rgb = image.convert("RGB")
        # Contiguous, channels first, as tensors are.
        return np.ascontiguousarray(np.moveaxis(np.asarray(rgb), -1, 0)) if color else luma(np.asarray(rgb))


def luma(rgb: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Convert RGB uint8 [h, w, 3] to gray uint8 [1, h, w]: ITU-R 601 luma as in Pillow's ``convert("L")``."""
    from PIL import Image

    return np.asarray(Image.fromarray(rgb).convert("L"))[None]


def shrink(frames: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Resize frames to 84 x 84 by averaging areas, rounded half to even.

    Same as ``cv2.resize(..., interpolation=cv2.INTER_AREA)``, but in exact arithmetic, so the result is the
    same on every machine.

    Args:
        frames: uint8 [..., h, w].

    Returns:
        uint8 [..., 84, 84].
    """
    height, width = frames.shape[-2:]
    # Integers below 2 ** 24 are exact in float32, whatever the order of summation.
    total = overlap(height).T @ (frames.astype(np.float32) @ overlap(width))
    mean: npt.NDArray[np.uint8] = np.rint(total.astype(np.float64) / (height * width)).astype(np.uint8)
    return mean


@cache
def overlap(size: int) -> npt.NDArray[np.float32]:
    """Return the overlap of each of ``size`` pixels with each of 84: float32 [size, 84], whole numbers."""
    old, new = np.arange(size)[:, None] * SMALL, np.arange(SMALL)[None] * size
    shared = np.minimum(old + SMALL, new + size) - np.maximum(old, new)
    covered: npt.NDArray[np.float32] = np.maximum(shared, 0).astype(np.float32)
    return covered
