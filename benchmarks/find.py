"""How many of the known bytes `atariari-data find` finds again, without their annotations.

    python -m benchmarks.find [GAME]... [--steps 6000]

For each game: of the positions that are a byte and are drawn, how many are found as a mover along the right
axis with the right scale, and how many of these within three pixels; how many of the scores' and the lives'
bytes are found; and how many of the agent's are among the five that the joystick moves most surely.
"""

from __future__ import annotations

import argparse
import time

from atariari_data.games import Variable, game, game_names
from atariari_data.positions import AXIS
from builders.find import Found, Mover, find

NEAR = 3
FIRST = 5


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("games", nargs="*")
    parser.add_argument("--steps", type=int, default=6000)
    options = parser.parse_args()
    total = [0, 0, 0]
    for name in options.games or game_names():
        begin = time.process_time()
        found = find(name, steps=options.steps)
        seconds = time.process_time() - begin
        placed = [v for v in game(name).variables() if _is_plain(v)]
        moved = [(v, mover) for v in placed if (mover := _mover(found, v))]
        near = [v for v, mover in moved if _is_near(v, mover)]
        total = [a + len(b) for a, b in zip(total, (placed, moved, near), strict=True)]
        counted = {c.address for c in found.counts}
        points = [v for v in game(name).variables() if "score" in v.name or "lives" in v.name]
        steered = {s.address for s in found.steered[:FIRST]}
        agent = [v for v in placed if "agent_localization" in v.categories]
        print(
            f"{name}: of {len(placed)} positions {len(moved)} found, {len(near)} within {NEAR} px; "
            f"of {len(points)} scores and lives {sum(v.address in counted for v in points)}; "
            f"of {len(agent)} of the agent {sum(v.address in steered for v in agent)} steered; "
            f"{seconds:.0f} s",
            flush=True,
        )
    print(f"all: of {total[0]} positions {total[1]} found, {total[2]} within {NEAR} px")


def _is_plain(variable: Variable) -> bool:
    """Return whether a position is a whole byte, and needs no other to be placed."""
    whole = variable.mask == 0xFF and variable.step == 1 and not variable.motion  # noqa: PLR2004
    return (
        whole
        and AXIS.search(variable.name) is not None
        and variable.drawn is not None
        and not variable.drawn.by
    )


def _mover(found: Found, variable: Variable) -> Mover | None:
    """Return the mover of a position's byte along its axis, with its scale; None if there is none."""
    axis = AXIS.search(variable.name)
    assert axis is not None  # noqa: S101  for mypy
    assert variable.drawn is not None  # noqa: S101
    same = (variable.address, axis.group(1), variable.drawn.scale)
    return next((m for m in found.movers if (m.address, m.axis, m.scale) == same), None)


def _is_near(variable: Variable, mover: Mover) -> bool:
    said = variable.drawn.offset if variable.drawn else 0
    return mover.offset is not None and abs(mover.offset - said) <= NEAR


if __name__ == "__main__":
    main()
