"""Coverage: what deep states show of a game, beside random play."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from typing import Any

import numpy as np

from atariari_data.games import game as game_of
from atariari_data.labels import labels as decode
from builders.archive import Archive
from builders.cells import Cells
from builders.content import Content
from builders.recording import PROBE_SPLITS
from builders.statistics import entropy


def coverage(
    game: str,
    archives: Sequence[Archive],
    random: Content,
    deep: Content,
    seen: Collection[bytes],
    refused: int,
) -> bytes:
    """Compare the rows of ``GAME_deep`` with those of ``GAME``, rows that are left out included.

    Args:
        game: The game's name.
        archives: The searches that the deep states come from.
        random: The rows of ``GAME``.
        deep: The rows of ``GAME_deep``.
        seen: Digests of all frames of random play.
        refused: Paths of the searches that did not lead again to what was seen.

    Returns:
        JSON: of each search its seed, steps, cells and highest score; the highest score and the number of
        rooms (1 where the game has none) in either; the share of deep test frames that random play does not
        show; and for each variable of label set v1, in either, its lowest and highest value and its entropy
        in nats.
    """
    test = np.flatnonzero(deep.split == PROBE_SPLITS.index("test"))
    fresh = sum(deep.frame[int(row)] not in seen for row in test) / len(test)
    searches = [{"seed": a.seed, "steps": a.steps, "cells": len(a), "score": max(a.reward)} for a in archives]
    found: dict[str, Any] = {
        "game": game,
        "searches": searches,
        "refused": refused,
        "score": {"random": float(random.score.max()), "deep": float(deep.score.max())},
        "rooms": {},
        "fresh": round(fresh, 4),
    }
    return _json(found | _labelled(game, random, deep))


def relabelled(before: bytes, random: Content, deep: Content) -> bytes:
    """Return a game's coverage with what follows from its labels computed anew: rooms and variables.

    Args:
        before: What `coverage` returned.
        random: The rows of ``GAME``.
        deep: The rows of ``GAME_deep``.
    """
    found: dict[str, Any] = json.loads(before)
    return _json(found | _labelled(found["game"], random, deep))


def _labelled(game: str, random: Content, deep: Content) -> dict[str, Any]:
    read = Cells.of(game).reader()
    rooms = [len({read(ram).room for ram in map(bytes, np.unique(c.ram, axis=0))}) for c in (random, deep)]
    played, reached = (decode(content.ram, game) for content in (random, deep))
    variables = {
        v.name: {
            name: [int(values[v.name].min()), int(values[v.name].max()), round(entropy(values[v.name]), 4)]
            for name, values in (("random", played), ("deep", reached))
        }
        for v in game_of(game).variables()
    }
    return {"rooms": dict(zip(("random", "deep"), rooms, strict=True)), "variables": variables}


def _json(found: dict[str, Any]) -> bytes:
    return (json.dumps(found, indent=1) + "\n").encode()
