"""Pictures: one frame of each game with the places of label set v1 on it, for `docs/audit.md`."""

from __future__ import annotations

import io
from itertools import islice, pairwise
from pathlib import Path

import numpy as np
import numpy.typing as npt

from atariari_data.games import game as game_of
from atariari_data.labels import RAM_BYTES
from atariari_data.positions import things
from builders.digest import Row
from builders.files import new_file
from builders.frames import HEIGHT, WIDTH
from builders.manifest import load_recording
from builders.replay import replay

_ROWS = 1500  # of a lane, from which the moment is chosen
_NEAR = 8  # pixels from a place within which the thing shows
_COLOURS = 32
_FLASH = 0.15  # share of the pixels that are others than a step ago: an explosion, another scene


def paint(game: str, folder: Path) -> Path:
    """Write ``GAME.png``: the moment of recorded play at which most things are where the labels say.

    Args:
        game: Its name.
        folder: Where the pictures are written; existing ones are replaced.
    """
    from PIL import Image

    from builders.picture import moment

    rows = [shown.row for shown in islice(replay(load_recording(game), 0), _ROWS)]
    ram = np.frombuffer(b"".join(row.ram for row in rows), np.uint8).reshape(-1, RAM_BYTES)
    known = [thing for thing in things(game_of(game).variables()) if thing.stated]
    places = np.stack([thing.places(ram) for thing in known], axis=1)
    screens = [np.frombuffer(row.frame.pixels, np.uint8) for row in rows]
    flash = [True, *((now != last).mean() > _FLASH for last, now in pairwise(screens))]
    # Of those with as many the one with most colours, which has most else to see.
    chosen = max(
        range(len(rows)), key=lambda i: (_met(rows[i], places[i]), not flash[i], len(rows[i].frame.colours))
    )
    raw = io.BytesIO()
    moment(rows[chosen].frame.rgb(), known, list(places[chosen])).savefig(raw, format="png")
    small = Image.open(raw).convert("RGB").quantize(_COLOURS, dither=Image.Dither.NONE)
    file = folder / f"{game}.png"
    with new_file(file, replace=True) as part:
        small.save(part, "PNG", optimize=True)
    return file


def _met(row: Row, places: npt.NDArray[np.float32]) -> int:
    """Count the places [things, 2] next to which the frame shows anything but its row's commonest colour."""
    frame = np.frombuffer(row.frame.pixels, np.uint8).reshape(HEIGHT, WIDTH)
    return sum(_shows(frame, x, y) for x, y in places)


def _shows(frame: npt.NDArray[np.uint8], x: float, y: float) -> bool:
    if np.isnan(x) and np.isnan(y):
        return False
    if not ((np.isnan(x) or 0 <= x < WIDTH) and (np.isnan(y) or 0 <= y < HEIGHT)):
        return False
    rows = slice(None) if np.isnan(y) else slice(int(y), int(y) + _NEAR)
    columns = slice(None) if np.isnan(x) else slice(int(x), int(x) + _NEAR)
    ground = np.median(frame[rows], axis=1, keepdims=True)
    return bool((frame[rows, columns] != ground).any())
