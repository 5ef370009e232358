"""Sources: which other bytes hold what a variable holds, and whether writing one of them does more."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from builders.audit.branches import Branches
from builders.audit.cause import State
from builders.audit.information import Same, same_bytes

FRAMES = 2
STATES = 8
MORE = 0.25  # by how much more often writing a byte must change the screen to be the better source
_VALUES = 2


def effects(
    console: Branches, states: Sequence[State], ram: npt.NDArray[np.uint8], generator: np.random.Generator
) -> dict[int, float]:
    """Write two values that play has shown into each byte of some states.

    Args:
        console: To branch in.
        states: Eight of them are taken.
        ram: uint8 [n, 128], of play; a byte that is constant there is left out.
        generator: Chooses the values.

    Returns:
        Byte to the share of the writes after which the screen is another within two frames.
    """
    found = {}
    for byte in np.flatnonzero((ram != ram[0]).any(axis=0)).tolist():
        changed = writes = 0
        for state in states[:: max(1, len(states) // STATES)]:
            met = np.unique(ram[:, byte])
            met = met[met != state.ram[byte]]
            for value in generator.choice(met, min(_VALUES, met.size), replace=False).tolist():
                screens, _ = console.branch(state.kept, FRAMES, write=(byte, value))
                changed += bool((screens != state.screens[:FRAMES]).any())
                writes += 1
        found[byte] = changed / max(writes, 1)
    return found


@dataclass(frozen=True)
class Redundancy:
    """Other bytes with the same information, and the one among them whose writing does clearly more."""

    same: Sequence[Same]
    better: int | None


def redundancy(
    values: npt.NDArray[np.uint8], ram: npt.NDArray[np.uint8], byte: int, changing: dict[int, float]
) -> Redundancy:
    """Compare a variable with the other bytes.

    Args:
        values: uint8 [n].
        ram: uint8 [n, 128].
        byte: The variable's.
        changing: Of `effects`.
    """
    same = same_bytes(values, ram, byte)
    own = changing.get(byte, 0.0)
    more = [s.byte for s in same if changing.get(s.byte, 0.0) >= own + MORE]
    return Redundancy(same, max(more, key=lambda b: (changing[b], -b), default=None))
