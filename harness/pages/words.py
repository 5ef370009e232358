"""How pages say things: scores, counts, probes, categories and games."""

from __future__ import annotations

from functools import cache

from atariari_data.errors import UnknownNameError
from atariari_data.games import game

DASH = "\u2013"
CATEGORY_TITLES = {
    "agent_localization": "Agent",
    "small_object_localization": "Small objects",
    "other_localization": "Other objects",
    "score_clock_lives_display": "Score and lives",
    "misc": "Misc",
}


def score(value: float | None) -> str:
    """Return a score as the tables show it: three places, a dash for none."""
    return DASH if value is None else f"{value:.3f}"


def size(value: int | None) -> str:
    """Return a count in few characters: ``1.3M``."""
    if value is None:
        return DASH
    for bound, unit in ((10**9, "G"), (10**6, "M"), (10**3, "k")):
        if value >= bound:
            return f"{value / bound:.3g}{unit}"
    return str(value)


def probe_title(probe: str, train_rows: str | int) -> str:
    """Return a probe's name for people."""
    return f"{probe}, {'all rows' if train_rows == 'full' else f'{train_rows} rows'}"


def probe_meaning(probe: str, train_rows: str | int) -> str:
    """Return what a probe's score measures, in a sentence."""
    if probe != "linear":
        return "The 2019 paper's probe: what a small budget of Adam can use. Not to be mixed with the others."
    if train_rows == "full":
        return "A converged linear probe on all training rows: what is linearly there at all."
    return f"The converged probe on {train_rows} training rows: how much of it few labels are enough for."


@cache
def game_title(name: str) -> str:
    """Return a game's name for people; the name itself where we do not have the game."""
    try:
        return game(name).title
    except UnknownNameError:
        return name


def harmless(value: object) -> object:
    """Keep a spreadsheet from taking a text in a CSV file for a formula."""
    return f"'{value}" if isinstance(value, str) and value[:1] in {"=", "+", "-", "@", "\t", "\r"} else value
