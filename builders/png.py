"""The PNG that holds a frame: written and read by hand where it is ours, by Pillow where it is not."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable, Iterable
from functools import lru_cache

import numpy as np
import numpy.typing as npt
from zlib_ng import zlib_ng

from atariari_data.errors import DataError
from builders.frames import HEIGHT, MAX_COLOURS, WIDTH, Frame, Screen, canonical, is_canonical

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_INDEXED, _RGB = 3, 2
_FEW = 16  # colours, of which two pixels go into a byte
_LEVEL = 5  # of deflate: level 4 makes 950 bytes a row of 24 games, 6 takes a third longer


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def _head(depth: int, colour_type: int) -> bytes:
    size = struct.pack(">IIBBBBB", WIDTH, HEIGHT, depth, colour_type, 0, 0, 0)
    return _SIGNATURE + _chunk(b"IHDR", size)


_PAIRS_HEAD, _INDEXED_HEAD, _RGB_HEAD = _head(4, _INDEXED), _head(8, _INDEXED), _head(8, _RGB)
_END = _chunk(b"IEND", b"")


def to_png(frame: Frame) -> bytes:
    """Write a frame as a lossless PNG, indexed where it has a palette.

    A PNG of our own hand because Pillow's takes three times as long: it is three chunks around one deflate.
    Up to 16 colours two pixels share a byte, so that deflate has half to do.
    """
    pixels = np.frombuffer(frame.pixels, np.uint8).reshape(HEIGHT, -1)
    head = _INDEXED_HEAD if frame.colours else _RGB_HEAD
    if 0 < len(frame.colours) // 3 <= _FEW:
        pairs = pixels.view("<u2")
        head, pixels = _PAIRS_HEAD, ((pairs & 0xF) << 4 | pairs >> 8).astype(np.uint8)
    lines = np.zeros((HEIGHT, 1 + pixels.shape[1]), np.uint8)  # PNG's filter type 0 stands before each
    lines[:, 1:] = pixels
    palette = _chunk(b"PLTE", frame.colours) if frame.colours else b""
    return head + palette + _chunk(b"IDAT", zlib_ng.compress(lines, _LEVEL)) + _END


def from_png(png: bytes) -> Frame:
    """Read a PNG, ours or any other of the right size, into canonical form.

    Raises:
        DataError: It is not a readable PNG of 160 x 210 pixels.
    """
    ours = _read_own(png)
    if ours is not None:
        colours, lines = ours
        frame = Frame(colours, _indices(lines).tobytes())
        return frame if is_canonical(frame) else canonical(frame.rgb())
    return canonical(_read_any(png))


def gray(pngs: Iterable[bytes]) -> npt.NDArray[np.uint8]:
    """Decode PNGs to ITU-R 601 luma, equal to Pillow's ``convert("RGB").convert("L")``.

    Returns:
        uint8 [n, 210, 160].
    """
    return _decode(pngs, (HEIGHT, WIDTH), _gray)


def rgb(pngs: Iterable[bytes]) -> npt.NDArray[np.uint8]:
    """Decode PNGs to colour.

    Returns:
        uint8 [n, 210, 160, 3].
    """
    return _decode(pngs, (HEIGHT, WIDTH, 3), _rgb)


def _decode(
    pngs: Iterable[bytes], shape: tuple[int, ...], into: Callable[[bytes, Screen], None]
) -> npt.NDArray[np.uint8]:
    pngs = list(pngs)
    frames = np.empty((len(pngs), *shape), np.uint8)
    for png, frame in zip(pngs, frames, strict=True):
        into(png, frame)
    return frames


def _gray(png: bytes, frame: Screen) -> None:
    ours = _read_own(png)
    if ours is None:
        frame[:] = _luma(_read_any(png))
        return
    colours, lines = ours
    _look_up(_gray_levels(colours), lines, frame)


def _rgb(png: bytes, frame: Screen) -> None:
    ours = _read_own(png)
    if ours is None:
        frame[:] = _read_any(png)
        return
    colours, lines = ours
    frame[:] = np.frombuffer(colours, np.uint8).reshape(-1, 3).take(_indices(lines), axis=0)


def _luma(rgb: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """ITU-R 601 in Pillow's fixed point: 16 fractional bits, rounded."""
    weighted = rgb.astype(np.uint32) @ np.array([19595, 38470, 7471], np.uint32)
    return (weighted + 0x8000 >> 16).astype(np.uint8)


def _read_own(png: bytes) -> tuple[bytes, npt.NDArray[np.uint8]] | None:
    """Return the palette and the indices, uint8 [210, 160], or [210, 80] where each holds two pixels.

    None where it is a PNG of another hand.
    """
    start, few = len(_INDEXED_HEAD), png.startswith(_PAIRS_HEAD)
    if (not few and not png.startswith(_INDEXED_HEAD)) or png[start + 4 : start + 8] != b"PLTE":
        return None
    size = int.from_bytes(png[start : start + 4], "big")
    colours = png[start + 8 : start + 8 + size]
    start += 12 + size
    if png[start + 4 : start + 8] != b"IDAT":
        return None
    size = int.from_bytes(png[start : start + 4], "big")
    if png[start + 12 + size :] != _END:
        return None
    length = 1 + (WIDTH // 2 if few else WIDTH)
    try:
        data = zlib_ng.decompress(png[start + 8 : start + 8 + size], bufsize=HEIGHT * length)
    except zlib_ng.error as error:  # type: ignore[misc]  # the stub takes the class for an instance
        raise DataError(f"A frame's PNG does not decompress: {error}") from error
    if len(data) != HEIGHT * length:
        return None
    lines = np.frombuffer(data, np.uint8).reshape(HEIGHT, length)
    highest = int(lines.max())
    if few:
        highest = max(highest >> 4, int((lines & 0xF).max()))
    if lines[:, 0].any() or highest >= len(colours) // 3:
        return None
    return colours, lines[:, 1:]


@lru_cache(maxsize=4096)
def _gray_levels(colours: bytes) -> bytes:
    """Return the luma of each index, 256 bytes."""
    return _luma(np.frombuffer(colours, np.uint8).reshape(-1, 3)).tobytes().ljust(MAX_COLOURS, b"\0")


@lru_cache(maxsize=4096)
def _of_pairs(table: bytes) -> npt.NDArray[np.uint16]:
    """Return a table for two pixels in a byte, little-endian uint16 [256], from one for one pixel."""
    few = np.frombuffer(table, np.uint8)[:_FEW].astype("<u2")
    pairs: npt.NDArray[np.uint16] = (few[:, None] | few[None, :] << 8).reshape(-1)
    return pairs


def _indices(lines: npt.NDArray[np.uint8]) -> Screen:
    """Return the indices that `_read_own` gives, one for each pixel, uint8 [210, 160]."""
    if lines.shape[1] == WIDTH:
        return lines
    pairs = lines.astype("<u2")
    return (pairs >> 4 | (pairs & 0xF) << 8).view(np.uint8)


def _look_up(table: bytes, lines: npt.NDArray[np.uint8], frame: Screen) -> None:
    """Look up the indices that `_read_own` gives in a table of 256 bytes."""
    if lines.shape[1] < WIDTH:  # a byte is never out of range; mode "raise" would go through a buffer
        _of_pairs(table).take(lines, out=frame.view("<u2"), mode="clip")
    else:
        frame[:] = np.frombuffer(lines.tobytes().translate(table), np.uint8).reshape(HEIGHT, WIDTH)


def _read_any(png: bytes) -> Screen:
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(io.BytesIO(png)) as image:
            pixels = np.asarray(image.convert("RGB"))
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError) as error:
        raise DataError(f"A frame is not a readable PNG: {error}") from error
    if pixels.shape != (HEIGHT, WIDTH, 3):
        raise DataError(
            "A frame has the wrong size.",
            expected=f"{HEIGHT} x {WIDTH} x 3",
            got=" x ".join(map(str, pixels.shape)),
        )
    return pixels
