"""Scatter plots as SVG, so that the pages need no plotting library."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from markupsafe import Markup

from harness.pages.axes import ticks

_WIDTH, _HEIGHT = 560, 320
_LEFT, _RIGHT, _TOP, _BOTTOM = 48, 16, 16, 44


@dataclass(frozen=True)
class Point:
    """An encoder in a plot: position, name and link to its page."""

    x: float | None
    y: float
    name: str
    link: str


def scatter(points: Sequence[Point], kind: str, label: str, *, log: bool = False) -> Markup | None:
    """Return a scatter plot of F1 as SVG, or None if no point has an x.

    Args:
        points: The encoders; a date is given as its ordinal.
        kind: Format of the ticks: ``parameters`` or ``date``.
        label: Label of the horizontal axis.
        log: Use a logarithmic horizontal axis.
    """
    known = [(math.log10(p.x) if log else p.x, p) for p in points if p.x]
    if not known:
        return None
    low, high = min(x for x, _ in known), max(x for x, _ in known)
    pad = max((high - low) * 0.05, 0.15 if log else 3)
    low, high = low - pad, high + pad
    bottom = math.floor(min(p.y for _, p in known) * 20 - 0.2) / 20
    top = math.ceil(max(p.y for _, p in known) * 20 + 0.2) / 20

    def across(x: float) -> float:
        return round(_LEFT + (x - low) / (high - low) * (_WIDTH - _LEFT - _RIGHT), 1)

    def down(y: float) -> float:
        return round(_HEIGHT - _BOTTOM - (y - bottom) / (top - bottom) * (_HEIGHT - _TOP - _BOTTOM), 1)

    parts = []
    for tick in ticks(bottom, top, 5):
        parts.append(
            Markup('<line class="grid" x1="{}" x2="{}" y1="{}" y2="{}"/>').format(
                _LEFT, _WIDTH - _RIGHT, down(tick), down(tick)
            )
        )
        parts.append(
            Markup('<text class="tick" x="{}" y="{}" text-anchor="end">{}</text>').format(
                _LEFT - 6, down(tick) + 4, f"{tick:.2f}"
            )
        )
    parts += [
        Markup('<text class="tick" x="{}" y="{}" text-anchor="middle">{}</text>').format(
            across(tick), _HEIGHT - _BOTTOM + 18, _label(tick, kind)
        )
        for tick in ticks(low, high, 4, whole=log)
        if across(tick) <= _WIDTH - 40  # a label in the corner would be cut
    ]
    parts.append(
        Markup('<text class="axis" x="{}" y="{}" text-anchor="middle">{}</text>').format(
            (_WIDTH + _LEFT) / 2, _HEIGHT - 6, label
        )
    )
    parts += [
        Markup(
            '<a href="{}" tabindex="-1"><circle cx="{}" cy="{}" r="4.5"><title>{}: {}</title></circle></a>'
        ).format(p.link, across(x), down(p.y), p.name, f"{p.y:.3f}")
        for x, p in known
    ]
    return Markup('<svg class="plot" viewBox="0 0 {} {}" role="img" aria-label="{}">{}</svg>').format(
        _WIDTH, _HEIGHT, f"Suite F1 against {label}; the table has the same numbers", Markup("").join(parts)
    )


def _label(tick: float, kind: str) -> str:
    if kind == "date":
        return date.fromordinal(round(tick)).isoformat()
    for power, unit in ((9, "G"), (6, "M"), (3, "k")):
        if tick >= power:
            return f"{10 ** (tick - power):.3g}{unit}"
    return f"{10**tick:.3g}"
