"""The majority baseline of every game: the same for all encoders, so a leaderboard's protocol fixes it."""

from __future__ import annotations

import csv
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from builders.manifest import Manifest

FILE: Final = "majority.csv"
RULES_DIGITS: Final = 16
FIELDS: Final = {"classes": int, "constant_accuracy": float, "constant": float}


def majority(manifest: Manifest, label_set: str, train_rows: str | int) -> dict[str, dict[str, Any]] | None:
    """Return number of classes, accuracy and F1 of the majority class, by field and variable.

    None where they are not known: for other rows than the published, and other training sizes.
    """
    rules = manifest.rules(label_set)[:RULES_DIGITS]
    rows = [
        row
        for row in _table()
        if (row["label_set"], row["game"], row["rules"], row["train_rows"])
        == (label_set, manifest.game, rules, str(train_rows))
    ]
    if not rows:
        return None
    return {name: {row["variable"]: kind(row[name]) for row in rows} for name, kind in FIELDS.items()}


@cache
def _table() -> list[dict[str, str]]:
    text = resources.files("harness.leaderboard").joinpath("data", FILE).read_text(encoding="ascii")
    return list(csv.DictReader(text.splitlines()))
