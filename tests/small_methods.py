"""An encoder small enough for literal losses, and frames made in code with something to learn in them."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from harness.methods.encoders import Encoder
from harness.methods.rows import Rows

POSITIONS = (84 - 8) // 4


def small_encoder(seed: int = 0) -> Encoder:
    """12 x 10 pixels, a local map [3, 5, 4], five features."""
    torch.manual_seed(seed)
    before = nn.Sequential(nn.Conv2d(1, 3, 4, 2), nn.Tanh())
    after = nn.Sequential(nn.Conv2d(3, 2, 3), nn.Tanh())
    return Encoder(before, after, (12, 10), 5)


def moving_dots(
    episodes: int, *, steps: int = 40, seed: int = 0, noise: int = 160
) -> tuple[Rows, npt.NDArray[np.int64]]:
    """Two squares that move, 84 x 84, on noise that is new in every frame.

    Returns:
        The rows, whose RAM holds the position of one square where Pong has its ball; and those, int64 [n, 2].
    """
    rng = np.random.default_rng(seed)
    frames, stretch, places = [], [], []
    for episode in range(episodes):
        at, speed = rng.integers(0, POSITIONS, (2, 2)), rng.choice([-1, 1], (2, 2))
        for _ in range(steps):
            frame = rng.integers(0, noise, (84, 84)).astype(np.uint8)
            for (y, x), bright in zip(at, (250, 0), strict=True):
                frame[4 * y : 4 * y + 8, 4 * x : 4 * x + 8] = bright
            frames.append(frame)
            stretch.append(episode)
            places.append(at[0])
            speed = np.where((at + speed < 0) | (at + speed >= POSITIONS), -speed, speed)
            at = at + speed
    n = len(frames)
    ram = np.zeros((n, 128), np.uint8)
    ram[:, [54, 49]] = places
    actions = rng.integers(0, 18, n).astype(np.uint8)
    return Rows(np.stack(frames), np.array(stretch), actions, ram, np.array(stretch)), np.array(places)
