"""Frames: pooling two screens, and one canonical form.

The *canonical form* of a frame is a pair of byte strings: its distinct RGB colours in ascending order
(3 bytes each), and one byte a pixel, in raster order, that counts into them. It says exactly what the RGB
pixels say, in a third of the bytes, so digests are taken over it. A frame of more than 256 colours has no
palette and holds its RGB pixels instead; none was ever seen.
"""

from __future__ import annotations

import struct
from functools import lru_cache
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from atariari_data.errors import DataError

HEIGHT, WIDTH = 210, 160
MAX_COLOURS = 256
_PIXELS = HEIGHT * WIDTH
_WORD = 8  # pixels that are compared at once
_WORDS = _PIXELS // _WORD

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


class Pooler:
    """Takes the pixelwise maximum of two screens, as the 2019 protocol does, without leaving the palette.

    Consecutive frames are much alike: only words of eight pixels that differ are looked at, to pool, to keep
    count of the colours in use, and to bring into canonical form. Many rows in one call take a third of the
    time of one by one, because the emulator between two rows drives all of this from the processor's caches.
    One pooler serves one lane, in order.
    """

    def __init__(self) -> None:
        """Start from a black screen."""
        self._before = np.zeros(_PIXELS, np.uint8)
        self._count = np.bincount(self._before, minlength=256)
        self._table = b""
        self._pixels = np.zeros((_WORDS, _WORD), np.uint8)

    def pool(self, first: Screen, last: Screen) -> list[Frame]:
        """Pool pairs of screens of palette indices.

        Args:
            first: uint8 [n, 210, 160], each as ``ALEInterface.getScreen`` gives it.
            last: uint8 [n, 210, 160], the screen after each of ``first``.

        Raises:
            DataError: A colour register with its lowest bit set, which no game of the suite shows.
        """
        n = len(last)
        screens = np.concatenate([self._before, last.reshape(-1)]).reshape(-1, _WORD)
        mixed, many = _mix(first.reshape(-1, _WORD), screens[_WORDS:], n)
        whole = screens.view(np.uint64)
        changed = np.flatnonzero(whole[_WORDS:] != whole[:-_WORDS])
        row, new = changed // _WORDS, screens[changed + _WORDS]
        more, fewer = (_count(row, words, n) for words in (new, screens[changed]))
        count = self._count + np.cumsum(more - fewer, axis=0)
        used, starts = np.packbits(count > 0, axis=1), np.searchsorted(row, np.arange(n + 1))
        frames = []
        for i in range(n):
            colours, table = _ranked(used[i].tobytes(), mixed[i].tobytes())
            if table != self._table:
                pixels = screens[(i + 1) * _WORDS : (i + 2) * _WORDS].tobytes().translate(table)
                self._pixels = np.frombuffer(bytearray(pixels), np.uint8).reshape(_WORDS, _WORD)
                self._table = table
            else:
                here = slice(starts[i], starts[i + 1])
                self._pixels[changed[here] - i * _WORDS] = np.frombuffer(table, np.uint8)[new[here]]
                pixels = self._pixels.tobytes()
            frames.append(Frame(colours, pixels))
        self._before, self._count = screens[-_WORDS:].reshape(-1), count[-1]
        for i in many:
            frames[i] = canonical(np.maximum(PALETTE[first[i] >> 1], PALETTE[last[i] >> 1]))
        return frames


def _mix(
    first: npt.NDArray[np.uint8], last: npt.NDArray[np.uint8], n: int
) -> tuple[list[npt.NDArray[np.uint16]], list[int]]:
    """Pool two runs of words [n * 4200, 8], in place of the second.

    Where the palette does not have the maximum, an odd index, free in the 2600's palette, counts the row's
    colours of that kind.

    Returns:
        For each row, the numbers of these colours (see `_pooled_colours`); and the rows that have too many
        of them, whose words stay those of ``last``.
    """
    words = np.flatnonzero(first.view(np.uint64) != last.view(np.uint64))
    number = _POOLED[first[words] >> 1, last[words] >> 1]
    index = (number << 1).astype(np.uint8)
    outside = np.flatnonzero(number >= len(PALETTE))
    row = words[outside // _WORD] // _WORDS
    colours, place = np.unique(row << 16 | number.reshape(-1)[outside], return_inverse=True)
    starts = np.searchsorted(colours, np.arange(n + 1) << 16)
    index.reshape(-1)[outside] = 2 * (place - starts[row]) + 1
    many = np.flatnonzero(np.diff(starts) > MAX_COLOURS - len(PALETTE)).tolist()
    mixed = [(colours[a:b] & 0xFFFF).astype(np.uint16) for a, b in pairwise(starts)]
    for i in many:
        mixed[i] = mixed[i][:0]
        here = words // _WORDS == i
        index[here] = last[words[here]]
    last[words] = index
    return mixed, many


def _count(row: npt.NDArray[np.intp], words: npt.NDArray[np.uint8], n: int) -> npt.NDArray[np.intp]:
    """Count each row's indices: from [m] and [m, 8] to [n, 256]."""
    return np.bincount((row[:, None] << 8 | words).reshape(-1), minlength=n << 8).reshape(n, 256)


@lru_cache(maxsize=4096)
def _ranked(used: bytes, mixed: bytes) -> tuple[bytes, bytes]:
    """Return the colours of a set of indices in ascending order, and the table from index to rank."""
    indices = np.flatnonzero(np.unpackbits(np.frombuffer(used, np.uint8)))
    numbers = np.frombuffer(mixed, np.uint16)
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


def is_canonical(frame: Frame) -> bool:
    """Return whether a frame with a palette is in canonical form."""
    n = len(frame.colours) // 3
    return (
        _ascending(frame.colours)
        and np.frombuffer(frame.pixels, np.uint8).max() == n - 1
        and all(bytes((index,)) in frame.pixels for index in range(n))
    )


@lru_cache(maxsize=4096)
def _ascending(colours: bytes) -> bool:
    packed = _pack(np.frombuffer(colours, np.uint8).reshape(-1, 3)).astype(np.int64)
    return bool((np.diff(packed) > 0).all())
