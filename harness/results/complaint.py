"""Pydantic's complaints as parts of our own errors."""

from __future__ import annotations

from pydantic import ValidationError


def first_complaint(error: ValidationError) -> tuple[str, str, str]:
    """Return the first complaint: where, what is expected, and what was found there, all of it printable."""
    first = error.errors(include_url=False)[0]
    where = ".".join(map(str, first["loc"]))
    return ascii(where)[1:-1], first["msg"], ascii(first["input"])[:80]
