"""Verdict: one word for each variable, from its evidence, by stated thresholds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

CAUSAL, VISIBLE, PARTLY = "causal", "derived but visible", "partly visible"
NOT_VISIBLE, CONSTANT, WRONG = "not visible", "constant", "wrong"
VERDICTS = (CAUSAL, VISIBLE, PARTLY, NOT_VISIBLE, CONSTANT, WRONG)
OF_CONCERN = (NOT_VISIBLE, CONSTANT, WRONG)

CHANGES = 0.25  # share of the writes that change the screen within four frames: causal
SOMETIMES = 0.05  # and partly visible
DETERMINED = 0.5  # share of the entropy that the frame determines: visible
A_LITTLE = 0.1  # and partly visible
STANDS = 0.4  # lift in play of a position, along its axis: visible


def verdict(axis: str | None, found: Mapping[str, Any]) -> str:
    """Judge a variable.

    Args:
        axis: ``x`` or ``y`` of a position.
        found: Its evidence, as stored.
    """
    if found["disputes"]:
        return WRONG
    if found["coverage"]["play"]["values"] == found["coverage"]["archive"]["values"] == 1:
        return CONSTANT
    changed = found["cause"]["changed"]
    if changed >= CHANGES:
        return CAUSAL
    determined = found["visibility"]["one"]["determined"] if found["visibility"] else 0.0
    place = found.get("in_play")
    stands = place is not None and place["axis"] == axis and place["lift"] >= STANDS
    if determined >= DETERMINED or stands:
        return VISIBLE
    return PARTLY if determined >= A_LITTLE or changed >= SOMETIMES else NOT_VISIBLE
