"""Facts: what ALE says of score, lives and joystick, and what a variable says of itself, against its values.

A fact that contradicts a variable is a sentence; none means that nothing contradicts it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from atariari_data.games import Variable
from builders.audit.branches import Branches
from builders.audit.information import Coverage, Values, unknown_given
from builders.audit.play import Play
from builders.emulator import NOOP
from builders.statistics import entropy

OUTSIDE = 0.001  # share of rows outside the stated range
NO_DECIMAL = 0.01  # share of rows on which a BCD byte holds no decimal
SCORE = 0.9  # share of rows on which a score is what the rewards add up to
LIVES = 0.8  # share of the entropy of ALE's lives that the variable determines
LIVES_BACK = 0.5  # share of its own entropy that ALE's lives determine
CLOCK = 0.9  # share of changes of a clock that are by one to three, one way
REGULAR = 0.4  # share of them that come after the median time, give or take a tenth
CONTROLLED = 0.1  # share of states in which the joystick moves what belongs to the agent
FOLLOWS, AT_ONCE = (
    0.5,
    0.15,
)  # what it moves in more than these, but at once in less, may only follow the agent
ENEMY_CONTROLLED = 0.6  # and within eight frames, from which on a thing is no enemy
_LENGTHS = (8, 16, 32, 64)  # frames
_BASE = {"s": 60, "min": 60}
_PLACE = re.compile(r"score_(1(?:0+)?)s$")


def controlled(console: Branches, states: Sequence[Any]) -> npt.NDArray[np.uint8]:
    """Hold each action, and tap it, for 64 frames from each state.

    Returns:
        The RAM after 8, 16, 32 and 64 frames, uint8 [states, ways, 4, 128], of the states in which any of
        this makes a difference to the screen; NOOP held is the first way.
    """
    at = np.array(_LENGTHS) - 1
    ways = [(NOOP, False), *((a, t) for a in console.minimal_actions if a != NOOP for t in (False, True))]
    found = []
    for state in states:
        branches = [console.branch(state, _LENGTHS[-1], action=a, tapped=t) for a, t in ways]
        idle = branches[0][0]
        if any((screens[at] != idle[at]).any() for screens, _ in branches):
            found.append([ram[at] for _, ram in branches])
    return np.array(found, np.uint8).reshape(-1, len(ways), len(at), 128)


def control(values: Values) -> tuple[float, float]:
    """Measure how often the joystick makes a difference.

    Args:
        values: uint8 [states, ways, lengths].

    Returns:
        The share of the states in which it does after any length, and after the least.
    """
    if len(values) == 0:
        return 0.0, 0.0
    differs = (values != values[:, :1]).any(axis=1)
    return float(differs.any(axis=1).mean()), float(differs[:, 0].mean())


@dataclass(frozen=True)
class Moved:
    """Shares of the states in which the joystick makes a difference.

    Attributes:
        ever: To the variable, after any length.
        at_once: To its thing (its column or its row), after the least.
        others: To that of all other things with a place which it moves most often, after the least.
    """

    ever: float
    at_once: float
    others: float


def contradictions(
    variable: Variable, values: Values, ram: Values, met: Coverage, play: Play, moved: Moved
) -> Iterator[str]:
    """Yield what contradicts a variable.

    Args:
        variable: As annotated.
        values: uint8 [n], on the rows of the play.
        ram: uint8 [n], its byte.
        met: Its values in play and archive.
        play: The rows.
        moved: What the joystick does to it, and to others.
    """
    if met.outside > OUTSIDE:
        low, high = variable.values
        yield f"its values reach from {met.low} to {met.high}, not from {low} to {high}"
    if variable.bcd:
        bits = (ram & variable.mask) // (variable.mask & -variable.mask)
        if float(((bits & 15 > 9) | (bits >> 4 > 9)).mean()) > NO_DECIMAL:  # noqa: PLR2004  digits end at 9
            yield "it is said to be BCD, but holds digits above 9"
    if met.count == 1:
        return
    yield from _score(variable, values, play)
    yield from _lives(variable, values, play)
    yield from _clock(variable, values, play)
    ever, at_once = f"the joystick changes it in {moved.ever:.0%} of the states", f"{moved.at_once:.0%}"
    if variable.categories == ("agent_localization",):
        if moved.ever < CONTROLLED:
            yield f"{ever}, so it is not the agent's place"
        elif moved.ever >= FOLLOWS and moved.at_once < AT_ONCE and moved.others >= FOLLOWS:
            # What follows the agent, as an opponent does, comes to move in other ways, too. Where nothing
            # moves at once, the agent itself is slow: a skier turns first.
            yield f"{ever}, but at once in {at_once} only, and something else in {moved.others:.0%}"
    if "enemy" in variable.name and variable.ordered and moved.at_once > ENEMY_CONTROLLED:
        yield f"the joystick changes it at once in {at_once} of the states, so it does not belong to an enemy"


def _score(variable: Variable, values: Values, play: Play) -> Iterator[str]:
    place = _PLACE.search(variable.name)
    sides: Mapping[str, npt.NDArray[np.float64]] = {
        "player_score": play.gained,
        "enemy_score": play.lost,
        "score": play.gained - play.lost,
    }
    if variable.unit not in ("points", "digit") or not (place or variable.name in sides):
        return
    total = sides.get(variable.name, play.gained - play.lost)
    worth = int(place[1]) if place else 1
    base = 10 if variable.unit == "digit" else 100
    shown = np.where(values > 9, 0, values) if base == 10 else values  # noqa: PLR2004  above: a blank
    none_yet = shown[(play.gained == 0) & (play.lost == 0)]
    start = int(np.bincount(none_yet).argmax()) * worth if none_yet.size else 0
    # The score at the start may have lower digits, which count once points are taken away.
    begins = start + np.arange(10) * worth // 10
    if np.unique(total // worth).size > 1 or np.unique(shown).size > 1:
        share = max(float(((begin + total) // worth % base == shown).mean()) for begin in begins)
        if share < SCORE:
            yield f"it is what the rewards add up to on {share:.0%} of the rows only"


def _lives(variable: Variable, values: Values, play: Play) -> Iterator[str]:
    nats = entropy(play.lives)
    if variable.unit != "lives" or nats < 0.05:  # noqa: PLR2004  nats; hardly a life was lost
        return
    told = 1 - unknown_given(play.lives, values) / nats
    back = 1 - unknown_given(values, play.lives) / max(entropy(values), 1e-9)
    if told < LIVES or back < LIVES_BACK:
        yield (
            f"it tells {max(told, 0):.0%} of the entropy of ALE's lives,"
            f" and they {max(back, 0):.0%} of its own"
        )


def _clock(variable: Variable, values: Values, play: Play) -> Iterator[str]:
    base = _BASE.get(variable.unit)
    inside = np.diff(play.episode) == 0
    change = np.where(inside, np.diff(values.astype(int)), 0)
    at = np.flatnonzero(change)
    if base is None or np.count_nonzero(change) < 5:  # noqa: PLR2004
        return
    # By more than one where a game adds a penalty.
    one_way = max(float(np.isin(sign * change[at] % base, (1, 2, 3)).mean()) for sign in (1, -1))
    if one_way < CLOCK:
        yield f"{one_way:.0%} of its changes are by one to three, one way, so it is no clock"
        return
    waited = np.diff(play.step[at])[np.diff(play.episode[at]) == 0]
    if waited.size < 20:  # noqa: PLR2004  too few to tell
        return
    middle = np.median(waited)
    regular = float((np.abs(waited - middle) <= max(1, middle / 10)).mean())
    if regular < REGULAR:
        yield f"{regular:.0%} of its changes come after the usual time, so it is no clock"
