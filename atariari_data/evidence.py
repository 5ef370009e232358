"""The audit results that ship with the package; docs/audit.md describes how they were measured."""

from __future__ import annotations

import json
from functools import cache
from importlib import resources
from typing import Any

from atariari_data.errors import DataError
from atariari_data.games import DEFAULT_LABEL_SET, game

FORMAT = 1


@cache
def evidence(game_name: str) -> dict[str, Any] | None:
    """Return the audit of a game's label set v1, or None if the package has none.

    Raises:
        UnknownNameError: No such game.
        DataError: The file is damaged or has a newer format.
    """
    name = game(game_name).name
    file = resources.files("atariari_data").joinpath("audits", f"{name}.json")
    if not file.is_file():
        return None
    try:
        found: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        newer = found["format"] > FORMAT
        whole = found["game"] == name and found["label_set"] == DEFAULT_LABEL_SET and bool(found["variables"])
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"The audit of {name} is damaged.", cure="Reinstall atariari.") from error
    if not whole:
        raise DataError(f"The audit of {name} is damaged.", cure="Reinstall atariari.")
    if newer:
        raise DataError(f"The audit of {name} has a newer format.", cure="pip install --upgrade atariari")
    return found
