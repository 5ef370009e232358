"""Scatter plots as SVG, so that the pages need no plotting library."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from harness.pages.axes import ticks

_WIDTH, _HEIGHT = 560, 320
_LEFT, _RIGHT, _TOP, _BOTTOM = 48, 16, 24, 44
_TRIES = (
    *((side, base, anchor) for base in (4, -2, 10) for side, anchor in ((8, "start"), (-8, "end"))),
    *(
        (side, base, anchor)
        for base in (-9, 17)
        for side, anchor in ((0, "middle"), (5, "end"), (-5, "start"))
    ),
)
"""Where a name may stand: pixels right of its point and below it, and which end of it is there."""
_LETTER, _CAPITAL, _THIN = 6.7, 8.2, 3.5  # pixels, the width of one


@dataclass(frozen=True)
class Point:
    """An encoder in a plot: position, name and link to its page."""

    x: float
    y: float
    name: str
    link: str


def scatter(points: Sequence[Point], across: str, upright: str, *, log: bool = False) -> Markup | None:
    """Return a scatter plot of a score as SVG, or None if there are no points.

    Names stand beside their points where there is room; every point has its name as a tooltip.

    Args:
        points: The encoders.
        across: Label of the horizontal axis.
        upright: Label of the vertical axis, the name of the score.
        log: Use a logarithmic horizontal axis.
    """
    known = [(math.log10(p.x) if log else p.x, p) for p in points]
    if not known:
        return None
    low, high = min(x for x, _ in known), max(x for x, _ in known)
    pad = max((high - low) * 0.05, 0.15 if log else 0.01)
    low, high = low - pad, high + pad
    bottom = math.floor(min(p.y for _, p in known) * 20 - 0.2) / 20
    top = math.ceil(max(p.y for _, p in known) * 20 + 0.2) / 20

    def right(x: float) -> float:
        return round(_LEFT + (x - low) / (high - low) * (_WIDTH - _LEFT - _RIGHT), 1)

    def down(y: float) -> float:
        return round(_HEIGHT - _BOTTOM - (y - bottom) / (top - bottom) * (_HEIGHT - _TOP - _BOTTOM), 1)

    line = Markup('<line class="grid" x1="{}" x2="{}" y1="{}" y2="{}"/>')
    text = Markup('<text class="{}" x="{}" y="{}" text-anchor="{}">{}</text>')
    dot = Markup(
        '<a href="{}" tabindex="-1"><circle cx="{}" cy="{}" r="4.5"><title>{}: {}</title></circle></a>'
    )
    parts = []
    for tick in ticks(bottom, top, 5):
        parts.append(line.format(_LEFT, _WIDTH - _RIGHT, down(tick), down(tick)))
        parts.append(text.format("tick", _LEFT - 6, down(tick) + 4, "end", f"{tick:.2f}"))
    for tick in ticks(low, high, 4, whole=log):
        if right(tick) <= _WIDTH - 40:  # a label in the corner would be cut
            label = _power(tick) if log else f"{tick:.2f}"
            parts.append(text.format("tick", right(tick), _HEIGHT - _BOTTOM + 18, "middle", label))
    parts.append(text.format("axis", (_WIDTH + _LEFT) / 2, _HEIGHT - 6, "middle", across))
    parts.append(text.format("axis", _LEFT - 40, _TOP - 12, "start", upright))
    places = [(right(x), down(p.y), p.name) for x, p in known]
    for (x, y, name), point in zip(places, points, strict=True):
        parts.append(dot.format(point.link, x, y, name, f"{point.y:.3f}"))
    parts += [text.format("name", *label) for label in _labels(places)]
    return Markup('<svg class="plot" viewBox="0 0 {} {}" role="img" aria-label="{}">{}</svg>').format(
        _WIDTH, _HEIGHT, f"{upright} against {across}; the table has the same numbers", Markup("").join(parts)
    )


def _labels(places: Sequence[tuple[float, float, str]]) -> Iterator[tuple[float, float, str, str]]:
    """Yield where names fit, as x, y, anchor and name: right or left of a point, above or below it."""
    taken = [(x - 5, y - 5, x + 5, y + 5) for x, y, _ in places]
    for x, y, name in places:
        wide = sum(_CAPITAL if c.isupper() else _THIN if c in " ,.-()ijl" else _LETTER for c in name)
        for right, down, anchor in _TRIES:
            at, base = x + right, y + down
            left = at - {"start": 0, "end": wide, "middle": wide / 2}[anchor]
            box = (left, base - 10, left + wide, base + 2)
            inside = box[0] >= _LEFT and box[2] <= _WIDTH and box[1] >= 0 and box[3] <= _HEIGHT - _BOTTOM
            if inside and not any(_overlap(box, other) for other in taken):
                taken.append(box)
                yield at, base, anchor, name
                break


def _overlap(one: tuple[float, ...], other: tuple[float, ...]) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


def _power(tick: float) -> str:
    for power, unit in ((9, "G"), (6, "M"), (3, "k")):
        if tick >= power:
            return f"{10 ** (tick - power):.3g}{unit}"
    return f"{10**tick:.3g}"
