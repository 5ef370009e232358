"""A score as a bar in a table: F1, its interval, and the marks that it is read against."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from markupsafe import Markup


def bar(
    f1: float | None,
    interval: Sequence[float] | None = None,
    marks: Mapping[str, float | None] | None = None,
    colour: str = "",
) -> Markup:
    """Return a bar from 0 to 1 as SVG; it says nothing that the numbers beside it do not.

    Args:
        f1: Its length; None leaves the track empty.
        interval: Ends of the thin line.
        marks: Class of each mark (``majority``, ``ceiling``...), a word of ours, and where it stands.
        colour: Class beside ``f1``, a word of ours too.
    """
    # Leaderboards have hundreds of thousands of these, so they are joined as plain text.
    parts = ['<svg class="bar" viewBox="0 0 100 10" aria-hidden="true">']
    parts.append('<rect class="track" width="100" height="10" rx="2"/>')
    if f1 is not None:
        kind = f"f1 {colour}" if colour else "f1"
        parts.append(f'<rect class="{kind}" width="{f1 * 100:.1f}" height="10" rx="2"/>')
    if interval is not None:
        low, high = interval
        parts.append(f'<path class="interval" d="M{low * 100:.1f} 5H{high * 100:.1f}"/>')
    for name, value in (marks or {}).items():
        if value is not None:
            parts.append(f'<path class="{name}" d="M{value * 100:.1f} 0V10"/>')
    return Markup("".join([*parts, "</svg>"]))  # noqa: S704  numbers, and classes of ours
