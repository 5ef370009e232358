"""Compare the speed of an environment with and without the wrapper.

    python benchmarks/wrapper.py [GAME ...]

The hardest case is an environment that steps a single frame (NoFrameskip), because there is little
emulation to hide the wrapper. One emulator alternates between short turns with and without the wrapper, so
that both see the same game and the same load. Figures are per step: the 10th percentile is that of a quiet
machine, the median includes other load.
"""

import sys
import time
from typing import Any

import gymnasium
import numpy as np
import numpy.typing as npt

from atariari_data import AtariARIWrapper, game

# Asteroids has the most variables; Ms. Pac-Man and Pong are the quickest to emulate.
GAMES = ("asteroids", "breakout", "seaquest", "ms_pacman", "pong")
TURNS, STEPS = 400, 25  # an odd number, since some games draw every second frame only


def step_microseconds(env_id: str, label_set: str) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return the 10th and 50th percentile of a step, for the bare and for the wrapped environment."""
    bare: gymnasium.Env[Any, Any] = gymnasium.make(env_id)
    envs = bare, AtariARIWrapper(bare, label_set=label_set)
    rng = np.random.default_rng(0)
    nanoseconds: tuple[list[int], list[int]] = ([], [])
    bare.reset(seed=0)
    actions = len(bare.unwrapped.ale.getMinimalActionSet())  # type: ignore[attr-defined]
    for turn in range(TURNS):
        env = envs[turn % 2]
        for action in rng.integers(actions, size=STEPS).tolist():
            start = time.perf_counter_ns()
            _, _, terminated, truncated, _ = env.step(action)
            nanoseconds[turn % 2].append(time.perf_counter_ns() - start)
            if terminated or truncated:
                bare.reset()
    without, with_labels = (np.percentile(n, [10, 50]) / 1e3 for n in nanoseconds)
    return without, with_labels


def main() -> None:
    print(f"{'environment':26} {'label set':10} {'variables':>9} {'bare us':>13} {'overhead':>14}")
    for name in sys.argv[1:] or GAMES:
        base = game(name).name.title().replace("_", "")
        for label_set, variables in game(name).label_sets.items():
            for env_id in (f"{base}NoFrameskip-v4", f"ALE/{base}-v5"):
                without, with_labels = step_microseconds(env_id, label_set)
                low, median = with_labels / without - 1
                steps = f"{without[0]:6.1f} {without[1]:6.1f}"
                print(f"{env_id:26} {label_set:10} {len(variables):9} {steps} {low:7.2%} {median:6.2%}")


if __name__ == "__main__":
    main()
