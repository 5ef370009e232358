"""Pictures of predicted against true values: a confusion matrix for few values, an image for many.

True values are on the x axis, predictions on the y axis. Each column is shaded by the distribution of its
predictions.
"""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from markupsafe import Markup
from PIL import Image

from atariari_data.errors import UnknownNameError
from atariari_data.games import Variable, game
from harness.metrics import VALUES
from harness.pages.axes import ticks
from harness.probes.probe import ProbeRun
from harness.report.panels import variables_of
from harness.report.subject import Subject
from harness.results.predictions import Numbers

_NUMBERED = 10
"""Most classes of a matrix with numbers in its cells."""
_SIDE, _LEFT, _TOP, _RIGHT, _BOTTOM = 216, 46, 8, 10, 40
_COLOUR = (122, 108, 240)  # visible on white and on black
_MOST_CELLS = 96
"""Most cells along an axis; more values than that share cells."""
_FAINTEST = 0.12
_DARKEST = 0.65  # for cells with a number
_MISTAKES = 3
_NEAR = (1, 5)

_NO_UNITS = ("bit map", "code", "column", "count", "digit")

Counts = npt.NDArray[np.int64]
Shares = npt.NDArray[np.float64]
Whole = npt.NDArray[np.int64]
"""True values or predictions as whole numbers; motions can be negative."""


@dataclass(frozen=True)
class Picture:
    """One variable under one probe in one result.

    Attributes:
        subject: The result.
        run: The probe and its training rows.
        svg: The picture.
        said: The same in words.
    """

    subject: Subject
    run: ProbeRun
    svg: Markup
    said: str


@dataclass(frozen=True)
class Pictures:
    """All pictures of a variable.

    Attributes:
        name: The variable's name.
        what: Its description, if known.
        pictures: One for each probe and result.
    """

    name: str
    what: str
    pictures: Sequence[Picture]


def pictures(subjects: Sequence[Subject], runs: Sequence[ProbeRun], name: str) -> list[Pictures]:
    """Return the pictures of a game's variables, for the results with predictions."""
    there = [s for s in subjects if s.predictions is not None and name in s.predictions]
    if not there:
        return []
    described = _described(name, there[0].signed.dataset.label_set)
    found = []
    for variable in variables_of(there, name):
        about = described.get(variable)
        made = [
            picture
            for run in runs
            for subject in there
            if run in subject.runs and (picture := _picture(subject, run, name, variable))
        ]
        if made:
            found.append(Pictures(variable, "" if about is None else about.description, made))
    return found


def _described(name: str, label_set: str) -> dict[str, Variable]:
    """Return the annotated variables by name; empty for an unknown game or label set."""
    try:
        return {variable.name: variable for variable in game(name).variables(label_set)}
    except UnknownNameError:
        return {}


def _picture(subject: Subject, run: ProbeRun, name: str, variable: str) -> Picture | None:
    scores, pair = subject.scores(name, run), subject.predicted(name, run, variable)
    if scores is None or pair is None or np.isnan(pair[1]).any():  # no row of the variable was fitted to
        return None
    about = next(scored for scored in scores.variables if scored.name == variable)
    labels, predicted = _whole(*pair)
    ordered = about.kind != "nominal"
    said = in_words(
        labels,
        predicted,
        ordered=ordered,
        unit=about.unit,
        period=about.period,
        error=_error(*pair, about.period),
    )
    if scores.fits > 1:
        said = f"First of {scores.fits} draws of training rows. {said}"
    title = f"{variable}, {run}, {subject.name}: predicted against true. {said}"
    return Picture(subject, run, draw(labels, predicted, title, ordered=ordered), said)


def _whole(truth: Numbers, predicted: Numbers) -> tuple[Whole, Whole]:
    """Round both to whole numbers; predictions far from all true values move to the edge of the picture."""
    labels = truth.round().astype(np.int64)
    low, high = labels.min(), labels.max()
    lowest, highest = min(low, high - VALUES), max(high, low + VALUES)
    return labels, predicted.astype(np.float64).round().clip(lowest, highest).astype(np.int64)


def _error(truth: Numbers, predicted: Numbers, period: float | None) -> float:
    """Return the mean distance of predictions that are not rounded."""
    return float(_distances(truth.astype(np.float64), predicted, period).mean())


def _distances(truth: Whole | Shares, predicted: Whole | Numbers, period: float | None) -> Shares:
    """Return the distance of each prediction, around the circle if there is one."""
    distance = np.abs(truth - predicted)
    return np.asarray(distance if period is None else np.minimum(distance % period, -distance % period))


def in_words(
    labels: Whole,
    predicted: Whole,
    *,
    ordered: bool,
    unit: str = "",
    period: float | None = None,
    error: float | None = None,
) -> str:
    """Describe how often predictions are correct, how far off they are, and the most frequent mistakes.

    Args:
        labels: int64 [n].
        predicted: int64 [n].
        ordered: Whether neighbouring values mean neighbouring states.
        unit: The unit of the values, such as ``px``, or ``2 px`` for steps of two.
        period: The length of the circle, if the values wrap around.
        error: The mean error of predictions that are not rounded; None if they are whole numbers.
    """
    distance = _distances(labels, predicted, period)
    said = f"Correct {np.mean(distance == 0):.1%}"
    if ordered:
        mean = distance.mean() if error is None else error
        near = [f"within {most} {np.mean(distance <= most):.1%}" for most in _NEAR if distance.max() > most]
        said = ", ".join([said, *near, f"mean error {_amount(mean, unit)}"])
    wrong = distance > 0
    pairs, rows = np.unique(np.stack([labels[wrong], predicted[wrong]]), axis=1, return_counts=True)
    most = np.argsort(-rows, kind="stable")[:_MISTAKES]
    mistakes = [f"{pairs[0, at]} for {pairs[1, at]} ({rows[at]:,})" for at in most]
    return f"{said}. Most frequent mistakes (rows): {', '.join(mistakes)}." if mistakes else f"{said}."


def _amount(mean: float, unit: str) -> str:
    """Return a mean of differences in its unit: 6.36 steps of ``2 px`` are ``12.72 px``."""
    size, _, name = unit.partition(" ")
    if unit in _NO_UNITS:
        return f"{mean:.2f}"
    return f"{mean * int(size):.2f} {name}" if size.isdecimal() else f"{mean:.2f} {unit}".rstrip()


def draw(labels: Whole, predicted: Whole, title: str, *, ordered: bool) -> Markup:
    """Draw predicted against true values as SVG: numbered cells for few classes, else a shaded image.

    Args:
        labels: int64 [n].
        predicted: int64 [n].
        title: Description for screen readers.
        ordered: Whether the axes include values that do not occur.
    """
    values = np.union1d(labels, predicted)
    few = len(values) <= _NUMBERED
    if ordered and not few:
        values = np.arange(values[0], values[-1] + 1)
    counts = np.zeros((len(values), len(values)), np.int64)  # [true, predicted]
    np.add.at(counts, (np.searchsorted(values, labels), np.searchsorted(values, predicted)), 1)
    width = math.ceil(len(values) / _MOST_CELLS) if ordered and not few else 1
    counts = _pooled(counts, width)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    axes = _axes(values, len(shares) * width, few=few, ordered=ordered)
    parts = [*(_cells(shares) if few else _image(shares)), *axes]
    return Markup('<svg class="picture" viewBox="0 0 {} {}" role="img" aria-label="{}">{}</svg>').format(
        _LEFT + _SIDE + _RIGHT, _TOP + _SIDE + _BOTTOM, title, Markup("").join(parts)
    )


def _pooled(counts: Counts, width: int) -> Counts:
    """Sum square blocks of ``width`` values; the last ones may be smaller."""
    size = math.ceil(len(counts) / width)
    padded = np.zeros((size * width, size * width), np.int64)
    padded[: len(counts), : len(counts)] = counts
    return np.asarray(padded.reshape(size, width, size, width).sum(axis=(1, 3)))


def _cells(shares: Shares) -> Iterator[Markup]:
    cell = _SIDE / len(shares)
    for (true, predicted), share in np.ndenumerate(shares):
        if share == 0:
            continue
        x, y = _LEFT + true * cell, _TOP + _SIDE - (predicted + 1) * cell
        shade = _FAINTEST + (_DARKEST - _FAINTEST) * share
        kind = "cell right" if true == predicted else "cell"
        yield Markup('<rect class="{}" x="{}" y="{}" width="{}" height="{}" fill-opacity="{}"/>').format(
            kind, f"{x:.1f}", f"{y:.1f}", f"{cell:.1f}", f"{cell:.1f}", f"{shade:.2f}"
        )
        said = f"{share:.0%}".rstrip("%") if share >= 0.005 else "<1"  # noqa: PLR2004  what rounds to nothing
        yield Markup('<text class="share" x="{}" y="{}" dy="4" text-anchor="middle">{}</text>').format(
            f"{x + cell / 2:.1f}", f"{y + cell / 2:.1f}", said
        )


def _image(shares: Shares) -> Iterator[Markup]:
    """Yield the matrix as a PNG, one pixel per cell with the index as opacity, and the diagonal."""
    opacity = np.where(shares > 0, _FAINTEST + (1 - _FAINTEST) * np.sqrt(shares), 0)
    pixels = np.round(opacity * (VALUES - 1)).astype(np.uint8).T[::-1]
    image = Image.fromarray(np.ascontiguousarray(pixels)).convert("P")
    image.putpalette(_COLOUR * VALUES)
    file = io.BytesIO()
    image.save(file, "PNG", optimize=True, transparency=bytes(range(VALUES)))
    yield Markup(
        '<image href="data:image/png;base64,{}" x="{}" y="{}" width="{}" height="{}" '
        'preserveAspectRatio="none"/>'
    ).format(base64.b64encode(file.getvalue()).decode(), _LEFT, _TOP, _SIDE, _SIDE)
    yield Markup('<line class="identity" x1="{}" y1="{}" x2="{}" y2="{}"/>').format(
        _LEFT, _TOP + _SIDE, _LEFT + _SIDE, _TOP
    )


def _axes(values: Counts, extent: int, *, few: bool, ordered: bool) -> Iterator[Markup]:
    """Yield frame and labels; ``extent`` is the number of values along an axis."""
    yield Markup('<rect class="frame" x="{}" y="{}" width="{}" height="{}"/>').format(
        _LEFT, _TOP, _SIDE, _SIDE
    )
    if few:
        at = list(range(len(values)))
    elif ordered:
        at = [int(tick - values[0]) for tick in ticks(float(values[0]), float(values[-1]), 4, whole=True)]
    else:
        at = list(range(0, len(values), math.ceil(len(values) / 6)))
    for index in at:
        place = (index + 0.5) / extent * _SIDE
        yield Markup('<text x="{}" y="{}" text-anchor="middle">{}</text>').format(
            f"{_LEFT + place:.1f}", _TOP + _SIDE + 15, values[index]
        )
        yield Markup('<text x="{}" y="{}" dy="4" text-anchor="end">{}</text>').format(
            _LEFT - 5, f"{_TOP + _SIDE - place:.1f}", values[index]
        )
    yield Markup('<text x="{}" y="{}" text-anchor="middle">true</text>').format(
        _LEFT + _SIDE / 2, _TOP + _SIDE + 33
    )
    yield Markup(
        '<text transform="translate(11 {}) rotate(-90)" text-anchor="middle">predicted</text>'
    ).format(_TOP + _SIDE / 2)
