"""The picture that `builders.show` writes, drawn with Matplotlib. Places and sizes are in pixels."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from textwrap import wrap
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from matplotlib.ticker import MaxNLocator

from builders.digest import Row
from builders.frames import HEIGHT, WIDTH
from builders.manifest import Statistics

if TYPE_CHECKING:
    from atariari_data.positions import Thing
    from builders.episode import Episode

Values = Mapping[str, npt.NDArray[np.uint8]]
Place = npt.NDArray[np.float32]

_DPI = 100
_ZOOM = 2
_FRAME_WIDTH, _FRAME_HEIGHT = WIDTH * _ZOOM, HEIGHT * _ZOOM
_TEXT_WIDTH = 180
_MARGIN = 20
_CELL_WIDTH, _CELL_HEIGHT = _FRAME_WIDTH + _TEXT_WIDTH, _FRAME_HEIGHT + 30
_COLUMNS = 4
_PAGE = 2 * _MARGIN + _COLUMNS * _CELL_WIDTH
_MATRIX_ROW = 14
_MATRIX_NAMES, _MATRIX_RANGES = 170, 60
_HISTOGRAM_COLUMNS, _HISTOGRAM_HEIGHT, _HISTOGRAM_GAP = 8, 66, 44
_HEAD = 74
_SECTION = 48

# Bright, and apart from one another on a dark and on a light ground; black is drawn around each.
_COLOURS = (
    *("#ffffff", "#ffe119", "#42d4f4", "#ff5ccd", "#5dff4f", "#ff9d3b"),
    *("#9aa8ff", "#ff5050", "#c8ffb0", "#e0b0ff", "#80fff0", "#ffd0a0"),
)
_PROBED, _NOT_PROBED = "#3b6fb5", "#b5b5b5"
_ABOUT = (
    "+ where the annotation says the value is drawn, for most things the left end and the top"
    "    \N{MULTIPLICATION SIGN} the raw value taken for the pixel, where the annotation gives no offset"
    "    a line: only its row or its column is a variable"
)


def moment(frame: npt.NDArray[np.uint8], things: Sequence[Thing], places: Sequence[Place]) -> Figure:
    """Draw one frame, twice its size, with a mark and a name where each thing is said to be.

    Args:
        frame: uint8 [210, 160, 3].
        things: To mark.
        places: Column and row of each, float32 [2].
    """
    size = (_FRAME_WIDTH / _DPI, _FRAME_HEIGHT / _DPI)
    figure = Figure(figsize=size, dpi=_DPI)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_axis_off()
    axes.imshow(frame, interpolation="nearest", extent=(0, WIDTH, HEIGHT, 0), aspect="auto")
    for i, (thing, place) in enumerate(zip(things, places, strict=True)):
        _draw(axes, thing, place, _COLOURS[i % len(_COLOURS)])
    return figure


class _Page:
    """A figure on which axes are placed by pixels from the upper left."""

    def __init__(self, height: float) -> None:
        self.height = height
        self.figure = Figure(figsize=(_PAGE / _DPI, height / _DPI), dpi=_DPI, facecolor="white")

    def axes(self, left: float, top: float, width: float, height: float) -> Axes:
        """Add axes, without ticks or frame."""
        place = (
            left / _PAGE,
            1 - (top + height) / self.height,
            width / _PAGE,
            height / self.height,
        )
        axes = self.figure.add_axes(place)
        axes.set_xticks([])
        axes.set_yticks([])
        axes.spines[:].set_visible(False)
        return axes

    def text(self, left: float, top: float, text: str, size: float, weight: str = "normal") -> None:
        """Write a line whose top is at ``top``."""
        self.figure.text(
            left / _PAGE, 1 - top / self.height, text, fontsize=size, fontweight=weight, va="top"
        )


def picture(
    *,
    title: str,
    episode: Episode,
    things: Sequence[Thing],
    values: Values,
    lane_values: Values,
    statistics: Mapping[str, Statistics],
    frames: int,
) -> Figure:
    """Draw the contact sheet, the label matrix and the histograms.

    Args:
        title: The title of the page.
        episode: The episode to show.
        things: The things that have a place on the screen.
        values: The values of each variable in the episode's rows, uint8 [n].
        lane_values: The values of each variable in the lane's rows, uint8 [m].
        statistics: The manifest's statistics of each variable.
        frames: The number of frames to show, evenly spread over the rows.
    """
    rows = episode.rows
    chosen = np.unique(np.linspace(0, len(rows) - 1, frames).astype(int))
    sheet = -(-len(chosen) // _COLUMNS) * _CELL_HEIGHT
    matrix = len(values) * _MATRIX_ROW
    histograms = -(-len(values) // _HISTOGRAM_COLUMNS) * (_HISTOGRAM_HEIGHT + _HISTOGRAM_GAP)
    page = _Page(_HEAD + sheet + _SECTION + matrix + 30 + _SECTION + histograms + _MARGIN)
    page.text(_MARGIN, 14, title, 14, "bold")
    page.text(_MARGIN, 44, _ABOUT, 8)
    places = {thing.name: thing.places(episode.ram) for thing in things}
    colours = {thing.name: _COLOURS[i % len(_COLOURS)] for i, thing in enumerate(things)}
    for i, at in enumerate(chosen):
        left, top = _MARGIN + i % _COLUMNS * _CELL_WIDTH, _HEAD + i // _COLUMNS * _CELL_HEIGHT
        labels = {name: int(v[at]) for name, v in values.items()}
        row = rows[at]
        page.text(left, top, f"{i + 1}  {_caption(row)}", 7.5)
        axes = page.axes(left, top + 18, _FRAME_WIDTH, _FRAME_HEIGHT)
        axes.imshow(row.frame.rgb(), interpolation="nearest", extent=(0, WIDTH, HEIGHT, 0))
        for thing in things:
            _draw(axes, thing, places[thing.name][at], colours[thing.name])
        beside = page.axes(left + _FRAME_WIDTH, top + 18, _TEXT_WIDTH, _FRAME_HEIGHT)
        _list(beside, _lines(labels, things), colours)
    top = _HEAD + sheet
    page.text(
        _MARGIN,
        top + 8,
        "Every variable over the episode, dark to light from its least to its greatest value there."
        " Numbers: the frames above. White: rows left out, because train or validation has their pixels.",
        9,
    )
    _matrix(page, top + _SECTION, values, [row.step for row in rows], [int(c) for c in chosen])
    top += _SECTION + matrix + 30
    page.text(
        _MARGIN,
        top + 8,
        f"How often each value occurs, in the {len(episode.lane_ram):,} rows of lane {episode.lane} (all"
        " splits). Blue: probed. Gray: not probed, under 0.6 nats over the whole config or hardly on screen.",
        9,
    )
    _histograms(page, top + _SECTION, lane_values, statistics)
    return page.figure


def _caption(row: Row) -> str:
    if row.is_last:
        return f"step {row.step}, the last; lives {row.lives}"
    return f"step {row.step}; action {row.action}, reward {row.reward:g}, lives {row.lives}"


def _draw(axes: Axes, thing: Thing, place: Place, colour: str) -> None:
    x, y = (None if np.isnan(pixel) else float(pixel) for pixel in place)
    if x is None and y is None:
        return
    outline = [withStroke(linewidth=2.2, foreground="black")]
    # The middle of the pixel; what is off the screen is named at its edge.
    column = None if x is None else x + 0.5
    line = None if y is None else y + 0.5
    style = "-" if thing.stated else ":"
    if column is not None and line is not None:
        mark = "+" if thing.stated else "x"
        axes.plot(column, line, mark, ms=9, mew=1.2, color=colour, path_effects=outline)
    elif line is not None:
        axes.axhline(line, lw=1, ls=style, color=colour, alpha=0.8, path_effects=outline)
    elif column is not None:
        axes.axvline(column, lw=1, ls=style, color=colour, alpha=0.8, path_effects=outline)
    axes.set_xlim(0, WIDTH)
    axes.set_ylim(HEIGHT, 0)
    near_right = column is not None and column > WIDTH * 0.7
    beside = min(max(3 if column is None else column, 0), WIDTH)
    below = min(max(9 if line is None else line, 8), HEIGHT - 1)
    axes.annotate(
        thing.name + ("" if _inside(column, line) else " (off)"),
        (beside, below),
        xytext=(-5 if near_right else 5, 4),
        textcoords="offset points",
        ha="right" if near_right else "left",
        fontsize=7,
        color=colour,
        bbox={"boxstyle": "square,pad=0.1", "facecolor": "black", "alpha": 0.55, "linewidth": 0},
    )


def _inside(column: float | None, line: float | None) -> bool:
    return (column is None or 0 <= column <= WIDTH) and (line is None or 0 <= line <= HEIGHT)


def _lines(labels: Mapping[str, int], things: Sequence[Thing]) -> Iterator[tuple[str, str | None]]:
    """Say all labels: a line for each thing with its name, then the others, numbered families together."""
    of_things = {name for thing in things for name in thing.variables}
    for thing in things:
        parts = [f"{'xy'[i]} {labels[axis.name]}" for i, axis in enumerate((thing.x, thing.y)) if axis]
        yield f"{thing.name}  {'  '.join(parts)}", thing.name
    others = [name for name in labels if name not in of_things]
    for stem, group in groupby(others, key=lambda name: re.sub(r"_\d+$", "", name)):
        names = list(group)
        if len(names) < 3:  # noqa: PLR2004  two of a kind read better by name
            yield from ((f"{name}  {labels[name]}", None) for name in names)
        else:
            first, last = (name.rpartition("_")[2] for name in (names[0], names[-1]))
            yield f"{stem}_{first} to {last}:", None
            yield from ((f"   {line}", None) for line in wrap(" ".join(str(labels[n]) for n in names), 24))


def _list(axes: Axes, lines: Iterator[tuple[str, str | None]], colours: Mapping[str, str]) -> None:
    all_lines = list(lines)
    step = min(15, _FRAME_HEIGHT / max(len(all_lines), 1))
    axes.set_xlim(0, _TEXT_WIDTH)
    axes.set_ylim(_FRAME_HEIGHT, 0)
    for i, (text, thing) in enumerate(all_lines):
        y = (i + 0.5) * step
        if thing:
            axes.plot(9, y, "s", ms=5, color=colours[thing], mec="black", mew=0.5)
        axes.text(17, y, text, fontsize=min(6.8, step * 0.55), va="center")


def _matrix(page: _Page, top: float, values: Values, steps: Sequence[int], chosen: Sequence[int]) -> None:
    width = _PAGE - 2 * _MARGIN - _MATRIX_NAMES - _MATRIX_RANGES
    axes = page.axes(_MARGIN + _MATRIX_NAMES, top, width, len(values) * _MATRIX_ROW)
    cells = np.full((len(values), steps[-1] + 1), np.nan)
    for i, column in enumerate(values.values()):
        low, high = int(column.min()), int(column.max())
        cells[i, steps] = (column.astype(float) - low) / (high - low) if high > low else 0.0
        text = f"{low}" if low == high else f"{low} to {high}"
        axes.annotate(
            text,
            (1, 1 - (i + 0.5) / len(values)),
            (5, 0),
            "axes fraction",
            "offset points",
            va="center",
            fontsize=6.5,
        )
    colours = colormaps["viridis"].with_extremes(bad="white")
    axes.imshow(
        cells,
        aspect="auto",
        cmap=colours,
        vmin=0,
        vmax=1,
        interpolation="nearest",
        extent=(-0.5, steps[-1] + 0.5, len(values), 0),
    )
    axes.set_yticks(np.arange(len(values)) + 0.5, list(values), fontsize=6.5)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=16))
    axes.tick_params(length=2, labelsize=7)
    axes.set_xlabel("step", fontsize=7, labelpad=1)
    for number, at in enumerate(chosen, start=1):
        axes.axvline(steps[at], lw=0.6, color="white", alpha=0.7)
        axes.annotate(
            str(number), (steps[at], 0), (0, 2), textcoords="offset points", ha="center", fontsize=7
        )


def _histograms(page: _Page, top: float, values: Values, statistics: Mapping[str, Statistics]) -> None:
    pitch = (_PAGE - 2 * _MARGIN) / _HISTOGRAM_COLUMNS
    for i, (name, column) in enumerate(values.items()):
        left = _MARGIN + i % _HISTOGRAM_COLUMNS * pitch
        line = top + i // _HISTOGRAM_COLUMNS * (_HISTOGRAM_HEIGHT + _HISTOGRAM_GAP)
        axes = page.axes(left, line, pitch - 24, _HISTOGRAM_HEIGHT)
        frozen = statistics[name]
        low, high = int(column.min()), int(column.max())
        count = np.bincount(column, minlength=high + 1)[low:]
        axes.stairs(
            count, np.arange(low, high + 2) - 0.5, fill=True, color=_PROBED if frozen.probed else _NOT_PROBED
        )
        axes.set_xlim(low - 1, high + 1)
        axes.set_ylim(0, None)
        axes.spines["bottom"].set_visible(True)
        axes.set_xticks(sorted({low, high}))
        axes.tick_params(length=2, labelsize=6.5)
        axes.set_title(f"{name}\n{abs(frozen.entropy):.2f} nats", fontsize=6.8, pad=2)
