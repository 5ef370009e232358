"""An encoder of four stacked frames: what there is, and how it moved.

The harness stacks the emulator's last four frames, oldest first.
"""

import torch
from torch import nn

from harness import FrameSpec


class StackedFrames(nn.Module):
    """The last frame and its differences from the one before, each on a grid of 21 x 21 means."""

    spec = FrameSpec(stack=4, size=(84, 84))

    def __init__(self) -> None:
        """Lay out the averaging; there is nothing to train."""
        super().__init__()
        self.grid = nn.Sequential(nn.AvgPool2d(4), nn.Flatten())

    def forward(self, frames: torch.Tensor) -> torch.Tensor:
        """Embed float32 [n, 4, 84, 84] in 0..1 as [n, 882]."""
        last, moved = frames[:, 3:], frames[:, 3:] - frames[:, 2:3]
        return torch.cat([self.grid(last), self.grid(moved)], dim=1)


encoder = StackedFrames()
