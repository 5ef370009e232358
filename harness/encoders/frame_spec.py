"""The frames that an encoder takes, and how they are made."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt

from atariari_data.errors import UnknownNameError, UsageError

Frames = npt.NDArray[np.uint8]
Color = Literal["gray", "rgb"]
Layout = Literal["NCHW", "NHWC"]
Scale = Literal["unit", "byte"]

SCREEN = (210, 160)
MAX_STACK = 16
MAX_SIDE = 1024


@dataclass(frozen=True)
class FrameSpec:
    """The frames that an encoder takes.

    Attributes:
        color: ``gray`` (ITU-R 601 luma, as Pillow's ``convert("L")``) or ``rgb``.
        stack: Number of consecutive frames, oldest first; 1 is the current frame alone.
        layout: ``NCHW`` or ``NHWC``, where C = stack * (1 or 3), the colors of a frame side by side.
        scale: ``unit`` is float32 in 0..1, ``byte`` is uint8 in 0..255.
        size: Height and width. For other sizes than 210 x 160, every picture is resized on the CPU with
            Pillow's ``BILINEAR`` (which averages over the area when it shrinks) and rounded to uint8, so that
            pixels are the same on every device.
    """

    color: Color = "gray"
    stack: int = 1
    layout: Layout = "NCHW"
    scale: Scale = "unit"
    size: tuple[int, int] = SCREEN

    def validate(self) -> FrameSpec:
        """Return the spec with ``size`` as a tuple of two integers.

        Raises:
            UsageError: A field has an invalid value.
        """
        for name, known in (("color", Color), ("layout", Layout), ("scale", Scale)):
            if getattr(self, name) not in get_args(known):
                raise UsageError(
                    f"Invalid {name} of a frame spec.",
                    expected="one of " + ", ".join(get_args(known)),
                    got=repr(getattr(self, name)),
                )
        if not _is_count(self.stack, MAX_STACK):
            raise UsageError(
                "Invalid stack of a frame spec.",
                expected=f"an integer from 1 to {MAX_STACK}",
                got=repr(self.stack),
            )
        if not _is_size(self.size):
            raise UsageError(
                "Invalid size of a frame spec.",
                expected=f"(height, width), each from 1 to {MAX_SIDE}",
                got=repr(self.size),
            )
        return replace(self, size=(self.size[0], self.size[1]))

    @classmethod
    def of(cls, value: FrameSpec | Mapping[str, Any] | str) -> FrameSpec:
        """Return the spec that a spec, a mapping of its fields, or text stands for; see `parse`.

        Raises:
            UnknownNameError: No such field.
            UsageError: Something else, or an invalid value.
        """
        if isinstance(value, str):
            return cls.parse(value)
        if isinstance(value, Mapping):
            for name in value:
                if name not in cls.__dataclass_fields__:
                    raise UnknownNameError("field of a frame spec", str(name), cls.__dataclass_fields__)
            return cls(**value).validate()
        if not isinstance(value, cls):
            raise UsageError(
                "`spec` must be a FrameSpec.",
                expected="FrameSpec(...), a dict of its fields, or text such as 'color=rgb,stack=4'",
                got=repr(value),
            )
        return value.validate()

    @classmethod
    def parse(cls, text: str) -> FrameSpec:
        """Parse a spec such as ``color=rgb,stack=4,size=84x84``; fields that are missing keep their defaults.

        Raises:
            UnknownNameError: No such field.
            UsageError: An invalid value.
        """
        values: dict[str, Any] = {}
        for part in filter(None, text.replace(" ", "").split(",")):
            name, _, value = part.partition("=")
            if name not in cls.__dataclass_fields__:
                raise UnknownNameError("field of a frame spec", name, cls.__dataclass_fields__)
            values[name] = value
        if str(values.get("stack", "")).isdecimal():
            values["stack"] = int(values["stack"])
        if re.fullmatch(r"[0-9]{1,4}x[0-9]{1,4}", values.get("size", "")):
            values["size"] = tuple(int(side) for side in values["size"].split("x"))
        return cls(**values).validate()

    @property
    def channels(self) -> int:
        """The number of channels: colors times stacked frames."""
        return self.stack * (3 if self.color == "rgb" else 1)

    def shape(self, n: int) -> tuple[int, int, int, int]:
        """Return the shape of the encoder's input for ``n`` rows."""
        height, width = self.size
        if self.layout == "NCHW":
            return (n, self.channels, height, width)
        return (n, height, width, self.channels)

    def raw_shape(self, n: int) -> tuple[int, ...]:
        """Return the shape of the uint8 frames that ``prepare`` takes for ``n`` rows."""
        return (n, self.stack, *SCREEN, *((3,) if self.color == "rgb" else ()))

    def arrange(self, frames: Frames) -> Frames:
        """Resize and lay out uint8 frames: what ``prepare`` does, except for the scale.

        Args:
            frames: uint8 [n, stack, 210, 160], for RGB [n, stack, 210, 160, 3].

        Returns:
            uint8 of ``shape(n)``, contiguous; a view of ``frames`` if nothing had to move.

        Raises:
            UsageError: The frames have another shape or are not uint8.
        """
        n = len(frames) if frames.ndim else 0
        if frames.dtype != np.uint8 or frames.shape != self.raw_shape(n):
            raise UsageError(
                "The frames do not match the spec.",
                expected=f"uint8 {['n', *self.raw_shape(0)[1:]]}".replace("'", ""),
                got=f"{frames.dtype} {list(frames.shape)}",
            )
        if self.size != SCREEN:
            frames = _resize(frames, self.size)
        if self.color == "rgb" and self.layout == "NCHW":
            frames = np.moveaxis(frames, -1, 2)
        elif self.layout == "NHWC":
            frames = np.moveaxis(frames, 1, 3)
        return np.ascontiguousarray(frames).reshape(self.shape(n))

    def prepare(self, frames: Frames) -> npt.NDArray[Any]:
        """Turn frames into the encoder's input.

        Args:
            frames: uint8 [n, stack, 210, 160], for RGB [n, stack, 210, 160, 3].

        Returns:
            A new array of ``shape(n)``: float32 in 0..1, or uint8 if ``scale`` is ``byte``.

        Raises:
            UsageError: The frames have another shape or are not uint8.
        """
        arranged = self.arrange(frames)
        if self.scale == "unit":
            return np.divide(arranged, np.float32(255), dtype=np.float32)
        return arranged.copy() if np.shares_memory(arranged, frames) else arranged

    def __str__(self) -> str:
        """Describe the input: ``float32 0..1 [n, 1, 210, 160], gray``."""
        values = "float32 0..1" if self.scale == "unit" else "uint8 0..255"
        shape = str(["n", *self.shape(0)[1:]]).replace("'", "")
        stacked = f", {self.stack} frames stacked" if self.stack > 1 else ""
        return f"{values} {shape}, {self.color}{stacked}"


def sample_frames(spec: FrameSpec, n: int, seed: int = 0) -> Frames:
    """Return frames that look like a game: flat ground with bars and blocks, drawn from ``seed``.

    Returns:
        uint8 of ``spec.raw_shape(n)``.
    """
    rng = np.random.default_rng(seed)
    height, width = SCREEN
    frames = np.empty((n, spec.stack, height, width, 3), np.uint8)
    for picture in frames.reshape(-1, height, width, 3):
        picture[:] = rng.integers(0, 256, 3)
        for _ in range(rng.integers(2, 12)):
            top, left = rng.integers(0, height - 4), rng.integers(0, width - 4)
            tall, wide = rng.integers(2, 40, 2)
            picture[top : top + tall, left : left + wide] = rng.integers(0, 256, 3)
    return frames if spec.color == "rgb" else np.ascontiguousarray(frames[..., 1])


def _resize(frames: Frames, size: tuple[int, int]) -> Frames:
    from PIL import Image

    flat = frames.reshape(-1, *frames.shape[2:])
    small = np.empty((len(flat), *size, *frames.shape[4:]), np.uint8)
    for target, picture in zip(small, flat, strict=True):
        target[:] = Image.fromarray(picture).resize((size[1], size[0]), Image.Resampling.BILINEAR)
    return small.reshape(*frames.shape[:2], *small.shape[1:])


def _is_count(value: object, most: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= most


def _is_size(value: object) -> bool:
    if not isinstance(value, tuple | list):
        return False
    return len(value) == len(SCREEN) and all(_is_count(side, MAX_SIDE) for side in value)
