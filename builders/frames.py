"""Frames: pooling two screens, one canonical form, and the PNG that holds it.

The *canonical form* of a frame is a pair of byte strings: its distinct RGB colours in ascending order
(3 bytes each), and one byte a pixel, in raster order, that counts into them. It says exactly what the RGB
pixels say, in a third of the bytes, so digests are taken over it. A frame of more than 256 colours has no
palette and holds its RGB pixels instead; none was ever seen.
"""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Iterable
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from isal import isal_zlib

from atariari_data.errors import DataError

HEIGHT, WIDTH = 210, 160
MAX_COLOURS = 256
_PIXELS = HEIGHT * WIDTH

Screen = npt.NDArray[np.uint8]

# The NTSC palette of the 2600 as ALE draws it, RGB of the even indices 0, 2, ..., 254 (the lowest bit of a
# colour register is not wired). `Emulator` compares it with what ALE really draws.
PALETTE: npt.NDArray[np.uint8] = np.frombuffer(
    bytes.fromhex(
        "0000004a4a4a6f6f6f8e8e8eaaaaaac0c0c0d6d6d6ececec48480069690f86861da2a22abbbb35d2d240e8e84afcfc54"
        "7c2c00904811a26221b47a30c3903dd2a44adfb755ecc860901c00a33915b55328c66c3ad5824ae39759f0aa67fcbc74"
        "940000a71a1ab83232c84848d65c5ce46f6ff08080fc909084006497197aa8308fb846a2c659b3d46cc3e07cd2ec8ce0"
        "50008468199a7d30ad9246c0a459d0b56ce0c57ceed48cfc140090331aa34e32b56848c67f5cd5956fe3a980f0bc90fc"
        "000094181aa72d32b84248c8545cd6656fe47580f08490fc001c88183b9d2d57b04272c2548ad265a0e175b5ef84c8fc"
        "0030641850802d6d984288b054a0c565b7d975cceb84e0fc00403018624e2d8169429e8254b89965d1ae75e7c284fcd4"
        "0044001a661a32843248a0485cba5c6fd26f80e88090fc90143c00355f18527e2d6e9c4287b7549ed065b4e775c8fc84"
        "3038005059166d762b88923ea0ab4fb7c25fccd86ee0ec7c482c00694d14866a26a28638bb9f47d2b656e8cc63fce070"
    ),
    np.uint8,
).reshape(128, 3)


class Frame(NamedTuple):
    """A frame in canonical form (see the module)."""

    colours: bytes
    pixels: bytes

    def head(self) -> bytes:
        """Return the number of colours (uint16) and the colours."""
        return struct.pack("<H", len(self.colours) // 3) + self.colours

    def content(self) -> bytes:
        """Return the bytes that a digest covers: `head`, then the pixels."""
        return self.head() + self.pixels

    def rgb(self) -> Screen:
        """Return uint8 [210, 160, 3]."""
        pixels = np.frombuffer(self.pixels, np.uint8)
        if self.colours:
            pixels = np.frombuffer(self.colours, np.uint8).reshape(-1, 3).take(pixels, axis=0)
        return pixels.reshape(HEIGHT, WIDTH, 3)


def _pack(rgb: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint32]:
    """RGB [..., 3] as one number a colour, in the order of the canonical form."""
    red, green, blue = (rgb[..., i].astype(np.uint32) for i in range(3))
    packed: npt.NDArray[np.uint32] = red << np.uint32(16) | green << np.uint32(8) | blue
    return packed


def _unpack(colours: npt.NDArray[np.uint32]) -> bytes:
    return np.stack([colours >> 16, colours >> 8, colours], axis=-1).astype(np.uint8).tobytes()


def _pooled_colours() -> tuple[npt.NDArray[np.uint16], npt.NDArray[np.uint32]]:
    """Tabulate the maximum of any two palette colours.

    Returns:
        uint16 [128, 128], a number for each pair, under 128 where it is the palette's own colour; and the
        packed RGB of each number.
    """
    own = _pack(PALETTE)
    pairs = _pack(np.maximum(PALETTE[:, None], PALETTE[None, :]))
    mixed = np.setdiff1d(pairs, own)
    colours = np.concatenate([own, mixed])
    order = np.argsort(colours, kind="stable")
    return order[np.searchsorted(colours, pairs, sorter=order)].astype(np.uint16), colours


_POOLED, _COLOURS = _pooled_colours()
_NOTHING: npt.NDArray[np.uint16] = np.empty(0, np.uint16)


class Pooler:
    """Takes the pixelwise maximum of two screens, as the 2019 protocol does, without leaving the palette.

    Consecutive frames are much alike: only words of eight pixels that differ are looked at, to pool, to keep
    count of the colours in use, and to bring into canonical form. One pooler serves one lane, in order.
    """

    def __init__(self) -> None:
        """Start from a black screen."""
        self._before = np.zeros(_PIXELS, np.uint8)
        self._count = np.bincount(self._before, minlength=256)
        self._table = b""
        self._frame = Frame(b"", b"")
        self._pixels = np.zeros(_PIXELS, np.uint8)

    def pool(self, first: Screen, last: Screen) -> Frame:
        """Pool two screens of palette indices.

        Args:
            first: uint8 [210, 160], as ``ALEInterface.getScreen`` gives it.
            last: The next screen.

        Raises:
            DataError: A colour register with its lowest bit set, which no game of the suite shows.
        """
        pooled = last.reshape(-1).copy()
        mixed = _NOTHING
        words = np.flatnonzero(first.reshape(-1).view(np.uint64) != pooled.view(np.uint64))
        if words.size:
            old, new = first.reshape(-1, 8)[words], last.reshape(-1, 8)[words]
            number = _POOLED[old >> 1, new >> 1]
            index = (number << 1).astype(np.uint8)
            outside = number >= len(PALETTE)
            if outside.any():
                numbers = number[outside]
                mixed = np.flatnonzero(np.bincount(numbers)).astype(np.uint16)
                if mixed.size > MAX_COLOURS - len(PALETTE):
                    return canonical(np.maximum(PALETTE[first >> 1], PALETTE[last >> 1]))
                index[outside] = 2 * np.searchsorted(mixed, numbers) + 1  # the odd indices are free
            pooled.reshape(-1, 8)[words] = index
        return self._canonical(pooled, mixed)

    def _canonical(self, pooled: npt.NDArray[np.uint8], mixed: npt.NDArray[np.uint16]) -> Frame:
        words = np.flatnonzero(self._before.view(np.uint64) != pooled.view(np.uint64))
        old, new = self._before.reshape(-1, 8)[words], pooled.reshape(-1, 8)[words]
        self._count += np.bincount(new.reshape(-1), minlength=256)
        self._count -= np.bincount(old.reshape(-1), minlength=256)
        self._before = pooled
        colours, table = _ranked(np.flatnonzero(self._count).tobytes(), mixed.tobytes())
        if table != self._table:
            pixels = pooled.tobytes().translate(table)
            self._pixels = np.frombuffer(bytearray(pixels), np.uint8)
        elif words.size:
            self._pixels.reshape(-1, 8)[words] = np.frombuffer(table, np.uint8)[new]
            pixels = self._pixels.tobytes()
        else:
            pixels = self._frame.pixels
        self._table, self._frame = table, Frame(colours, pixels)
        return self._frame


@lru_cache(maxsize=4096)
def _ranked(used: bytes, mixed: bytes) -> tuple[bytes, bytes]:
    """Return the colours of a set of indices in ascending order, and the table from index to rank."""
    indices, numbers = np.frombuffer(used, np.intp), np.frombuffer(mixed, np.uint16)
    odd = indices & 1 == 1
    if np.count_nonzero(odd) != numbers.size:
        raise DataError("A screen holds a colour that is not in the palette of the 2600.")
    number = indices.astype(np.uint16) >> 1
    number[odd] = numbers
    colours, rank = np.unique(_COLOURS[number], return_inverse=True)
    table = np.zeros(256, np.uint8)
    table[indices] = rank
    return _unpack(colours), table.tobytes()


def canonical(rgb: Screen) -> Frame:
    """Bring RGB pixels uint8 [210, 160, 3] into canonical form."""
    colours, index = np.unique(_pack(rgb), return_inverse=True)
    if colours.size > MAX_COLOURS:
        return Frame(b"", np.ascontiguousarray(rgb).tobytes())
    return Frame(_unpack(colours), index.astype(np.uint8).tobytes())


_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_INDEXED, _RGB = 3, 2


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def _head(colour_type: int) -> bytes:
    return _SIGNATURE + _chunk(b"IHDR", struct.pack(">IIBBBBB", WIDTH, HEIGHT, 8, colour_type, 0, 0, 0))


_INDEXED_HEAD = _head(_INDEXED)
_END = _chunk(b"IEND", b"")


def to_png(frame: Frame) -> bytes:
    """Write a frame as a lossless PNG, indexed where it has a palette.

    A PNG of our own hand because Pillow's takes three times as long: it is three chunks around one deflate.
    """
    pixels = np.frombuffer(frame.pixels, np.uint8).reshape(HEIGHT, -1)
    lines = np.zeros((HEIGHT, pixels.shape[1] + 1), np.uint8)  # PNG's filter type 0 stands before each
    lines[:, 1:] = pixels
    data = isal_zlib.compress(lines, 1)
    head = _INDEXED_HEAD + _chunk(b"PLTE", frame.colours) if frame.colours else _head(_RGB)
    return head + _chunk(b"IDAT", data) + _END


def from_png(png: bytes) -> Frame:
    """Read a PNG, ours or any other of the right size, into canonical form.

    Raises:
        DataError: It is not a readable PNG of 160 x 210 pixels.
    """
    ours = _read_own(png)
    if ours is not None:
        colours, lines = ours
        frame = Frame(colours, np.ascontiguousarray(lines[:, 1:]).tobytes())
        return frame if _is_canonical(frame) else canonical(frame.rgb())
    return canonical(_read_any(png))


def gray(pngs: Iterable[bytes]) -> npt.NDArray[np.uint8]:
    """Decode PNGs to ITU-R 601 luma, equal to Pillow's ``convert("RGB").convert("L")``.

    Returns:
        uint8 [n, 210, 160].
    """
    return _stack([_gray(png) for png in pngs], (HEIGHT, WIDTH))


def rgb(pngs: Iterable[bytes]) -> npt.NDArray[np.uint8]:
    """Decode PNGs to colour.

    Returns:
        uint8 [n, 210, 160, 3].
    """
    return _stack([_rgb(png) for png in pngs], (HEIGHT, WIDTH, 3))


def _stack(frames: list[Screen], shape: tuple[int, ...]) -> npt.NDArray[np.uint8]:
    return np.stack(frames) if frames else np.empty((0, *shape), np.uint8)


def _gray(png: bytes) -> Screen:
    ours = _read_own(png)
    if ours is None:
        return _luma(_read_any(png))
    colours, lines = ours
    table = np.zeros(MAX_COLOURS, np.uint8)
    table[: len(colours) // 3] = _luma(np.frombuffer(colours, np.uint8).reshape(-1, 3))
    return np.frombuffer(lines.tobytes().translate(table.tobytes()), np.uint8).reshape(lines.shape)[:, 1:]


def _rgb(png: bytes) -> Screen:
    ours = _read_own(png)
    if ours is None:
        return _read_any(png)
    colours, lines = ours
    return np.frombuffer(colours, np.uint8).reshape(-1, 3).take(lines[:, 1:], axis=0)


def _luma(rgb: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """ITU-R 601 in Pillow's fixed point: 16 fractional bits, rounded."""
    weighted = rgb.astype(np.uint32) @ np.array([19595, 38470, 7471], np.uint32)
    return (weighted + 0x8000 >> 16).astype(np.uint8)


def _read_own(png: bytes) -> tuple[bytes, npt.NDArray[np.uint8]] | None:
    """Return the palette and uint8 [210, 161] lines with their filter byte, or None if it is another's."""
    start = len(_INDEXED_HEAD)
    if not png.startswith(_INDEXED_HEAD) or png[start + 4 : start + 8] != b"PLTE":
        return None
    size = int.from_bytes(png[start : start + 4], "big")
    colours = png[start + 8 : start + 8 + size]
    start += 12 + size
    if png[start + 4 : start + 8] != b"IDAT":
        return None
    size = int.from_bytes(png[start : start + 4], "big")
    if png[start + 12 + size :] != _END:
        return None
    try:
        data = isal_zlib.decompress(png[start + 8 : start + 8 + size])
    except isal_zlib.error as error:  # type: ignore[misc]  # the stub takes the class for an instance
        raise DataError(f"A frame's PNG does not decompress: {error}") from error
    if len(data) != HEIGHT * (WIDTH + 1):
        return None
    lines = np.frombuffer(data, np.uint8).reshape(HEIGHT, WIDTH + 1)
    if lines[:, 0].any() or int(lines.max(initial=0)) >= len(colours) // 3:
        return None
    return colours, lines


def _is_canonical(frame: Frame) -> bool:
    colours = _pack(np.frombuffer(frame.colours, np.uint8).reshape(-1, 3)).astype(np.int64)
    used = np.count_nonzero(np.bincount(np.frombuffer(frame.pixels, np.uint8)))
    return bool((np.diff(colours) > 0).all()) and used == colours.size


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
