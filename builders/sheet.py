"""A sheet of screens, drawn with Matplotlib: the states that bytes were sought in, and what a byte moves."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from builders.audit.branches import Array
from builders.files import new_file
from builders.find import Found
from builders.frames import HEIGHT, PALETTE, WIDTH

COLUMNS = 4
MOST = 16
_WIDTH, _HEIGHT = 3.4, 4.4  # inches of a screen with its axes
_BEFORE, _AFTER = "#ffe119", "#ff5ccd"


def draw(found: Found, folder: Path) -> list[Path]:
    """Write ``GAME-states.png`` and ``GAME-bytes.png``.

    Args:
        found: What was found.
        folder: Where; nothing is overwritten.

    Raises:
        UsageError: A file already exists.
        DataError: It cannot be written.
    """
    files = sheets(found.game, folder)
    for file, figure in zip(files, (_states, _bytes), strict=True):
        with new_file(file) as part:
            figure(found).savefig(part, format="png")
    return files


def sheets(game: str, folder: Path) -> list[Path]:
    """Return the files of a game's two pictures."""
    return [folder / f"{game}-{name}.png" for name in ("states", "bytes")]


def _states(found: Found) -> Figure:
    """Draw the screen of each state, with columns and rows at its edges."""
    titles = [f"state {number}" for number in range(len(found.screens))]
    figure, axes = _sheet(titles)
    for each, screen in zip(axes, found.screens, strict=True):
        _show(each, screen)
    return figure


def _bytes(found: Found) -> Figure:
    """Draw what each byte moves: framed where it stands, and where it goes with another value (pink)."""
    movers = found.movers[:MOST]
    titles = [f"byte {m.address}, {m.axis}: {m.scale:g} px, {m.share:.0%}" for m in movers]
    figure, axes = _sheet(titles)
    for each, mover in zip(axes, movers, strict=True):
        before, after = mover.shown
        _show(each, before)
        differs = before != after
        for screen, colour in ((before, _BEFORE), (after, _AFTER)):
            mask = differs & (screen != _usual(screen))
            if mask.any() and not mask.all():
                each.contour(np.arange(WIDTH) + 0.5, np.arange(HEIGHT) + 0.5, mask, [0.5], colors=colour)
    return figure


def _usual(screen: Array) -> int:
    return int(np.bincount(screen.ravel()).argmax())


def _sheet(titles: Sequence[str]) -> tuple[Figure, Sequence[Axes]]:
    rows = max(1, -(-len(titles) // COLUMNS))
    figure = Figure(figsize=(COLUMNS * _WIDTH, rows * _HEIGHT), layout="constrained")
    axes = []
    for number, title in enumerate(titles):
        each = figure.add_subplot(rows, COLUMNS, number + 1)
        each.set_title(title, fontsize=10)
        axes.append(each)
    return figure, axes


def _show(axes: Axes, screen: Array) -> None:
    axes.imshow(PALETTE[screen], interpolation="nearest", extent=(0, WIDTH, HEIGHT, 0), aspect="auto")
    axes.set_xticks(range(0, WIDTH + 1, 20))
    axes.set_yticks(range(0, HEIGHT + 1, 20))
    axes.tick_params(labelsize=7)
