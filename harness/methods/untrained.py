"""Untrained encoders, as lower bounds."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from harness.encoders.frame_spec import FrameSpec
from harness.encoders.python_files import seeded
from harness.methods.encoders import NatureCNN
from harness.methods.method import Method, Network


class RandomCNN(Method):
    """``random-cnn``: the encoder with its initial weights (arXiv 1906.08226, appendix A)."""

    trains = False


class Constant(nn.Module):
    """Gives one zero for every frame, so that a probe can only learn how frequent the values are."""

    spec = FrameSpec(size=(1, 1))
    name = "majority"

    def forward(self, frames: torch.Tensor) -> torch.Tensor:
        """Return zeros float32 [n, 1]."""
        return torch.zeros(len(frames), 1, device=frames.device)


class Majority(Method):
    """``majority``: a constant feature; the probe always predicts the most frequent training class."""

    trains = False

    @classmethod
    def make_encoder(cls, network: Network, options: Any) -> nn.Module:
        """Make the constant encoder."""
        del network, options
        return Constant()


def random_cnn(seed: int = 0) -> NatureCNN:
    """Make the random encoder for whole frames, with the same weights every time."""
    with seeded(seed):
        return NatureCNN()
