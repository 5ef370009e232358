"""What an encoder gave back, as float32 [n, d]."""

from __future__ import annotations

from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt

from atariari_data.errors import AtariariError
from harness.encoders.frame_spec import Layout

Features = npt.NDArray[np.float32]
Pool = Literal["flatten", "mean", "cls"]
POOLS: tuple[Pool, ...] = get_args(Pool)
_HALF = ("float16", "bfloat16")
_HALF_ROUNDS = 16


class EncoderError(AtariariError):
    """An encoder cannot be loaded, raised an error of its own, or gave something else than features."""


def as_features(output: Any, n: int, pool: Pool | None, layout: Layout = "NCHW") -> Features:
    """Take what an encoder returned as float32 [n, d], pooling as it was stated.

    Args:
        output: A torch tensor on any device, or anything that NumPy can read.
        n: Rows that went in.
        pool: ``flatten``; ``mean`` over positions of a feature map or over tokens; ``cls``, the first
            token; or None, where [n, d] is expected.
        layout: Of a feature map.

    Raises:
        EncoderError: It is not float, or no [n, d] after pooling.
    """
    shown = describe(output)
    try:
        array = to_numpy(output)
    except Exception as error:
        raise EncoderError(
            "The encoder returns something that cannot be read as an array.",
            expected=f"floats [{n}, d]",
            got=f"{shown}; {first_line(error)}",
        ) from error
    if array.dtype.kind != "f":
        raise EncoderError(
            "The encoder does not return floats.",
            expected=f"floats [{n}, d]",
            got=shown,
            cure="Return one array or tensor of floating point numbers.",
        )
    if array.ndim <= 1 or len(array) != n or not array.size:
        raise EncoderError(
            "The encoder returns a wrong shape.",
            expected=f"[n, d], that is [{n}, d] for {n} frames",
            got=shown,
        )
    pooled = _pooled(array, pool, layout)
    if pooled is None:
        raise EncoderError(
            "The encoder returns no feature vectors, "
            + ("and nothing says how to pool." if pool is None else f"and {pool!r} does not pool this."),
            expected=f"[n, d], that is [{n}, d]",
            got=shown,
            cure="Return [n, d], or state the pooling: pool='flatten' (every number), 'mean' (over the "
            "positions of a map [n, c, h, w] or the tokens [n, t, d]) or 'cls' (the first token).",
        )
    with np.errstate(over="ignore"):
        # A copy, since an encoder may fill the same buffer again for the next batch.
        return np.array(pooled, dtype=np.float32, order="C")


def _pooled(array: npt.NDArray[Any], pool: Pool | None, layout: Layout) -> npt.NDArray[Any] | None:
    """[n, ...] to [n, d], or None where that cannot be."""
    match array.ndim, pool:
        case 2, _:
            return array
        case _, "flatten":
            return array.reshape(len(array), -1)
        case 4, "mean":
            return np.asarray(array.mean(axis=(2, 3) if layout == "NCHW" else (1, 2), dtype=np.float32))
        case 3, "mean":
            return np.asarray(array.mean(axis=1, dtype=np.float32))
        case 3, "cls":
            return array[:, 0]
    return None


def to_numpy(value: Any) -> npt.NDArray[Any]:
    """A torch tensor (any device, any float type), a sparse matrix or an array as NumPy."""
    if hasattr(value, "detach"):
        tensor = value.detach()
        if tensor.is_floating_point():
            tensor = tensor.float()
        return np.asarray(tensor.cpu().numpy())
    if hasattr(value, "toarray"):
        value = value.toarray()
    try:
        return np.asarray(value)
    except ValueError:  # a ragged list
        return np.asarray(None)


def describe(value: Any) -> str:
    """Type, dtype and shape of a value, for a message."""
    if hasattr(value, "shape") and hasattr(value, "dtype"):
        return f"{str(value.dtype).removeprefix('torch.')} {list(value.shape)}"
    if isinstance(value, tuple | list) and value:
        return f"{type(value).__name__} of {len(value)}: " + ", ".join(describe(v) for v in value[:3])
    return type(value).__name__


def first_line(error: BaseException) -> str:
    """``ValueError: what it says``, one line of at most 300 characters."""
    text = str(error).strip().split("\n", maxsplit=1)[0][:300]
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def rounding(features: Features, precision: str) -> float:
    """Return how far two computations of the same features may lie apart.

    Kernels for another batch size add up in another order. What that changes goes with the size of the
    numbers; what an error of the encoder changes goes with how much its features vary.

    Args:
        features: float32 [n, d]; a single row does not vary, so a thousandth of its size stands for it.
        precision: As in `harness.encoders.encoder.LoadedEncoder`.
    """
    vary = float(np.sqrt(features.var(axis=0, dtype=np.float64).mean()))
    size = float(np.sqrt(np.square(features, dtype=np.float64).mean()))
    tolerance = 1e-3 * (vary if len(features) > 1 else size) + 1e-5 * size
    return tolerance * _HALF_ROUNDS if precision in _HALF else tolerance
