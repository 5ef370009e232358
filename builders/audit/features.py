"""Features: yes-or-no questions about the pixels, from which models guess what a variable is.

Asked of each screen, for each of the most frequent foreground colours: is it anywhere in this column, in
this row, in this column of a band of 30 rows, in this row of a band of 20 columns; and for single pixels,
whether they show anything but their most frequent colour, and which. Foreground is what is not a pixel's
most frequent colour.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from builders.audit.branches import Array
from builders.frames import HEIGHT, WIDTH

COLOURS = 12
_BAND_ROWS, _BAND_COLUMNS = 30, 20
_BANDS = HEIGHT // _BAND_ROWS, WIDTH // _BAND_COLUMNS
_RARE = 0.004  # of the screens; what is so on fewer teaches nothing
_PIXELS = 6000
_CHUNK = 400


@dataclass(frozen=True)
class Features:
    """Answers for m screens.

    Attributes:
        asked: uint8 [m, d], 0 or 1; no column is constant, rare or the same as another.
        x: uint8 [m, colours, 160], the colour is in the column.
        y: uint8 [m, colours, 210], the colour is in the row.
    """

    asked: npt.NDArray[np.uint8]
    x: npt.NDArray[np.uint8]
    y: npt.NDArray[np.uint8]


def most_frequent(screens: Array, colours: int = 256) -> tuple[Array, npt.NDArray[np.int64]]:
    """Return each pixel's most frequent number, uint8 [210, 160], and how often each is not that: [256]."""
    some = screens[:: max(1, len(screens) // 600)].reshape(-1, HEIGHT * WIDTH)
    used = np.unique(some)
    votes = np.stack([(some == c).sum(axis=0) for c in used])
    background = used[votes.argmax(axis=0)].reshape(HEIGHT, WIDTH)
    count = np.zeros(colours, np.int64)
    count[used] = votes.sum(axis=1) - np.bincount(votes.argmax(axis=0), votes.max(axis=0), len(used)).astype(
        int
    )
    return background, count


def features(screens: Array) -> Features:
    """Ask all questions of uint8 [m, 210, 160]."""
    background, count = most_frequent(screens)
    colours = np.argsort(-count, kind="stable")[:COLOURS]
    colours = colours[count[colours] > 0]
    rank = np.full(256, len(colours), np.uint8)
    rank[colours] = np.arange(len(colours))
    m, k = len(screens), len(colours) + 1
    column = np.zeros((m, k, _BANDS[0], WIDTH), np.uint8)
    row = np.zeros((m, k, _BANDS[1], HEIGHT), np.uint8)
    share = np.zeros((HEIGHT, WIDTH))
    for start in range(0, m, _CHUNK):
        part = screens[start : start + _CHUNK]
        foreground = part != background
        share += foreground.sum(axis=0)
        number, y, x = np.nonzero(foreground)
        kind = rank[part[number, y, x]]
        column[start + number, kind, y // _BAND_ROWS, x] = 1
        row[start + number, kind, x // _BAND_COLUMNS, y] = 1
    by_column, by_row = column.max(axis=2)[:, :-1], row.max(axis=2)[:, :-1]
    asked = [by_column, by_row, column[:, :-1], row[:, :-1], _pixels(screens, background, share)]
    flat = [_useful(a.reshape(m, -1)) for a in asked]
    return Features(_distinct(np.concatenate(flat, axis=1)), by_column, by_row)


def _useful(asked: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    ones = asked.sum(axis=0, dtype=np.int64)
    few = max(2, _RARE * len(asked))
    return asked[:, (ones >= few) & (ones <= len(asked) - few)]


def _pixels(screens: Array, background: Array, foreground: npt.NDArray[np.float64]) -> npt.NDArray[np.uint8]:
    """Ask of the pixels that change: is it foreground, and is it the colour most frequent there."""
    changing = np.flatnonzero(foreground.reshape(-1) >= max(2, _RARE * len(screens)))
    if changing.size > _PIXELS:
        changing = changing[np.linspace(0, changing.size - 1, _PIXELS).round().astype(int)]
    pixels = screens.reshape(len(screens), -1)[:, changing]
    other = pixels != background.reshape(-1)[changing]
    best, most = np.zeros(changing.size, np.uint8), np.zeros(changing.size, np.int64)
    for colour in np.unique(pixels):
        count = ((pixels == colour) & other).sum(axis=0)
        best[count > most] = colour
        most = np.maximum(most, count)
    return np.concatenate([other, pixels == best], axis=1).astype(np.uint8)


def _distinct(asked: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    packed = np.ascontiguousarray(np.packbits(asked, axis=0).T)
    _, first = np.unique(packed.view(f"V{packed.shape[1]}").reshape(-1), return_index=True)
    return np.ascontiguousarray(asked[:, np.sort(first)])
