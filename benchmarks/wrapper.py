"""Steps per second with the wrapper over those without, in one run.

    python benchmarks/wrapper.py [GAME ...]

The hardest case by far is an environment that steps one frame only (NoFrameskip), since little emulation hides the
wrapper there. One emulator is stepped in short turns with and without the wrapper, so that both meet the same game and the machine's
moods; the figures are medians over single steps, which a busy machine moves least.
"""

import sys
import time

import gymnasium
import numpy as np

from atariari_data import AtariARIWrapper, game

# Asteroids has the most variables; Ms. Pac-Man and Pong are the quickest to emulate.
GAMES = ("asteroids", "breakout", "seaquest", "ms_pacman", "pong")
TURNS, STEPS = 400, 25  # an odd number, since some games draw every second frame only


def overhead(env_id, label_set):
    """Return the microseconds of a bare step, and the share that the wrapper adds."""
    bare = gymnasium.make(env_id)
    envs = bare, AtariARIWrapper(bare, label_set=label_set)
    rng = np.random.default_rng(0)
    nanoseconds = [], []
    bare.reset(seed=0)
    for turn in range(TURNS):
        env = envs[turn % 2]
        for action in rng.integers(bare.action_space.n, size=STEPS).tolist():
            start = time.perf_counter_ns()
            _, _, terminated, truncated, _ = env.step(action)
            nanoseconds[turn % 2].append(time.perf_counter_ns() - start)
            if terminated or truncated:
                bare.reset()
    without, with_labels = (np.median(n) / 1e3 for n in nanoseconds)
    return without, with_labels / without - 1


def main():
    print(f"{'environment':32} {'label set':10} {'variables':>9} {'bare us':>8} {'overhead':>9}")
    for name in sys.argv[1:] or GAMES:
        base = game(name).name.title().replace("_", "")
        for label_set, variables in game(name).label_sets.items():
            for env_id in (f"{base}NoFrameskip-v4", f"ALE/{base}-v5"):
                step, share = overhead(env_id, label_set)
                print(f"{env_id:32} {label_set:10} {len(variables):9} {step:8.1f} {share:9.2%}")


if __name__ == "__main__":
    main()
