"""A score as a bar in a table: its value, its interval, and reference marks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from markupsafe import Markup


def bar(
    score: float | None,
    interval: Sequence[float] | None = None,
    marks: Mapping[str, float | None] | None = None,
    colour: str = "",
) -> Markup:
    """Return a bar from 0 to 1 as SVG; the same numbers are printed beside it.

    Args:
        score: Length of the bar; None draws an empty track.
        interval: Ends of the thin line.
        marks: Position of each reference mark by CSS class (``majority``, ``ceiling``). Trusted text.
        colour: Additional CSS class of the bar. Trusted text.
    """
    # A leaderboard has hundreds of thousands of bars, so they are joined as plain text.
    parts = ['<svg class="bar" viewBox="0 0 100 10" aria-hidden="true">']
    parts.append('<rect class="track" width="100" height="10" rx="2"/>')
    if score is not None:
        parts.append(
            f'<rect class="{f"score {colour}".strip()}" width="{score * 100:.1f}" height="10" rx="2"/>'
        )
    if interval is not None:
        low, high = interval
        parts.append(f'<path class="interval" d="M{low * 100:.1f} 5H{high * 100:.1f}"/>')
    for name, value in (marks or {}).items():
        if value is not None:
            parts.append(f'<path class="{name}" d="M{value * 100:.1f} 0V10"/>')
    return Markup("".join([*parts, "</svg>"]))  # noqa: S704  numbers and trusted class names
