"""The output of an encoder, as float32 [n, d]."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any, Literal, NamedTuple, get_args

import numpy as np
import numpy.typing as npt

from atariari_data.errors import AtariariError, UsageError
from harness.encoders.frame_spec import Layout

Features = npt.NDArray[np.float32]
Pool = Literal["flatten", "mean", "cls"]
POOLS: tuple[Pool, ...] = get_args(Pool)
_TOLERANCE = {"float32": (1e-3, 2**-20), "float16": (1.6e-2, 2**-9), "bfloat16": (1.6e-2, 2**-6)}
"""By precision: relative to a column's deviation and to its size (8 units in the last place, 2 if half)."""
_SINGLE = 10
_SHOWN = 8  # parts of an output, in a message


class Excess(NamedTuple):
    """How two computations of features differ; see `excess`."""

    times: npt.NDArray[np.float64]
    tolerance: npt.NDArray[np.float64]


class EncoderError(AtariariError):
    """An encoder cannot be loaded, failed, or returned something other than features."""


class NoEncoderError(EncoderError, UsageError):
    """There is no such encoder."""

    exit_code = 2


def choose(output: Any, name: str | None) -> Any:
    """Return the part of an encoder's output that holds the features.

    Args:
        output: An array or tensor; or several with names, in a mapping, a dataclass (as transformers'
            ``ModelOutput`` is) or a named tuple; or a list or tuple of them.
        name: The name of the part. Dots lead into what is nested, and numbers count the parts of a list or
            tuple: ``last_hidden_state``, ``vision.pooled``, ``hidden_states.-2``. None for an output that is
            an array already.

    Raises:
        EncoderError: There is no such part; or the output has names, and none is chosen.
    """
    if name is None:
        if named := parts_of(output):
            raise EncoderError(
                "The encoder returns parts with names, and none is chosen.",
                got=describe(output),
                cure="Choose one with output= or --output, or as an attribute of the encoder: "
                f"output = {next(iter(named))!r}.",
            )
        return output
    if isinstance(output, Mapping) and name in output:
        return output[name]
    part, seen = output, ""
    for step in name.split("."):
        inside = parts_of(part) or _numbered(part)
        if step not in inside:
            raise EncoderError(
                f"The encoder's output{seen and f' {seen!r}'} has no part {step!r}.",
                expected="one of " + ", ".join(inside) if inside else "an output with parts",
                got=describe(part),
                cure=None if inside else "Remove the option `output`.",
            )
        part, seen = inside[step], f"{seen}.{step}".lstrip(".")
    return part


def parts_of(output: Any) -> dict[str, Any]:
    """Return the parts of an output by name, without those that are None; nothing if they have no names."""
    if isinstance(output, Mapping):
        found = {str(name): part for name, part in output.items()}
    elif is_dataclass(output) and not isinstance(output, type):
        found = {field.name: getattr(output, field.name) for field in fields(output)}
    elif isinstance(output, tuple) and hasattr(output, "_asdict"):
        found = output._asdict()
    else:
        return {}
    return {name: part for name, part in found.items() if part is not None}


def _numbered(output: Any) -> dict[str, Any]:
    if not isinstance(output, tuple | list):
        return {}
    return {str(i): output[i] for i in (*range(len(output)), *range(-len(output), 0))}


def as_features(output: Any, n: int, pool: Pool | None, layout: Layout = "NCHW") -> Features:
    """Convert the output of an encoder to float32 [n, d].

    Args:
        output: A torch tensor on any device, or anything that NumPy can read.
        n: The number of frames.
        pool: ``flatten``; ``mean`` over positions of a feature map or over tokens; ``cls``, the first token;
            or None for an output of [n, d].
        layout: The layout of a feature map.

    Raises:
        EncoderError: The output is not float, or not [n, d] after pooling.
    """
    shown = describe(output)
    try:
        array = to_numpy(output)
    except Exception as error:
        raise EncoderError(
            "The encoder's output cannot be read as an array.",
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
            "The encoder returns the wrong shape.",
            expected=f"[n, d], that is [{n}, d] for {n} frames",
            got=shown,
        )
    pooled = _pooled(array, pool, layout)
    if pooled is None:
        raise EncoderError(
            "The encoder does not return feature vectors, "
            + ("and no pooling is set." if pool is None else f"and {pool!r} cannot pool its output."),
            expected=f"[n, d], that is [{n}, d]",
            got=shown,
            cure="Return [n, d], or set the pooling: pool='flatten' (all values), 'mean' (over the positions "
            "of a map [n, c, h, w] or the tokens [n, t, d]) or 'cls' (the first token).",
        )
    with np.errstate(over="ignore"):
        # A copy, since an encoder may fill the same buffer again for the next batch.
        return np.array(pooled, dtype=np.float32, order="C")


def _pooled(array: npt.NDArray[Any], pool: Pool | None, layout: Layout) -> npt.NDArray[Any] | None:
    """Pool [n, ...] to [n, d]; return None if this is not possible."""
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
    """Convert a torch tensor (any device, any float type), a sparse matrix or an array to NumPy."""
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
    """Describe type, dtype and shape of a value, for a message."""
    if hasattr(value, "shape") and hasattr(value, "dtype"):
        return f"{str(value.dtype).removeprefix('torch.')} {list(value.shape)}"
    if named := parts_of(value):
        shown = ", ".join(f"{name} {describe(part)}" for name, part in list(named.items())[:_SHOWN])
        return f"{type(value).__name__} of {len(named)}: {shown}" + ", ..." * (len(named) > _SHOWN)
    if isinstance(value, tuple | list) and value:
        return f"{type(value).__name__} of {len(value)}: " + ", ".join(describe(v) for v in value[:3])
    return type(value).__name__


def first_line(error: BaseException) -> str:
    """Return type and message of an error as one line of at most 300 characters."""
    text = str(error).strip().split("\n", maxsplit=1)[0][:300]
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def excess(before: Features, after: Features, precision: str, like: Features | None = None) -> Excess:
    """Compare two computations of the same features, each column on its own scale.

    Kernels for another batch size add up in another order, which changes the last digits of a feature. An
    error of the encoder is large compared with how much the column varies, and a probe would see it. The root
    mean square of a column's differences must be within its tolerance, a single difference within ten times
    that.

    Args:
        before: float32 [n, d].
        after: float32 [n, d].
        precision: The encoder's, as in `harness.encoders.encoder.LoadedEncoder`.
        like: float32 [m, d] of other rows that show how the columns vary; ``before``, if not given.

    Returns:
        Every difference as a multiple of the largest that rounding explains, float64 [n, d]: over 1 it is an
        error. The tolerance of each column, float64 [d].
    """
    known = np.asarray(before if like is None else like, np.float64)
    vary, size = known.std(axis=0), np.sqrt(np.square(known).mean(axis=0))
    relative, units = _TOLERANCE.get(precision, _TOLERANCE["float32"])
    alive = vary > units * size
    # A unit that is almost always zero is as noisy as the others. A constant column must not hide them.
    typical = float(np.median(np.abs(known[:, alive]).max(axis=0))) if alive.any() else 0.0
    tolerance = relative * vary + units * (size + typical) + np.finfo(np.float32).tiny
    distance = np.abs(np.asarray(after, np.float64) - before)
    spread = np.sqrt(np.square(distance).mean(axis=0)) > tolerance
    return Excess(distance / np.where(spread, tolerance, _SINGLE * tolerance), tolerance)


def sketch(features: Features, precision: str) -> npt.NDArray[np.int64]:
    """Return a few whole numbers that stay the same when rounding errors change, int64 [2, n].

    They are the logarithm of each row's length, and a fixed random projection of its direction, in units of
    1e-3 (for half precision, 0.1). Rounding errors are thousands of times smaller, so that hardly ever one
    of the numbers lies between two units.

    Args:
        features: float32 [n, d].
        precision: The encoder's, as in `harness.encoders.encoder.LoadedEncoder`.
    """
    rows = np.asarray(features, np.float64)
    length = np.maximum(np.sqrt(np.square(rows).sum(axis=1)), np.finfo(np.float32).tiny)
    direction = rows @ np.random.default_rng(0).standard_normal(rows.shape[1]) / length
    scale = 1e3 if precision == "float32" else 10
    return np.rint(np.stack([np.log(length), direction]) * scale).astype(np.int64)
