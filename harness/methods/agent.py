"""The features of an agent that was trained with reinforcement learning."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from atariari_data.errors import DataError, UsageError
from atariari_data.observations import overlap
from builders.agents import STACK, STRIDES, load_layers
from harness.encoders.frame_spec import SCREEN, FrameSpec
from harness.methods.method import Method, Network

HIDDEN = 512
_SHAPES = ((32, STACK, 8, 8), (64, 32, 4, 4), (64, 64, 3, 3), (HIDDEN, 64 * 7 * 7))


class AgentEncoder(nn.Module):
    """The network of doi:10.1038/nature14236 up to its hidden layer.

    It sees what agents see: the last four frames of the episode in gray, 84 by 84 by the mean of areas (see
    `atariari_data.observations.shrink`).
    """

    spec = FrameSpec(stack=STACK, scale="byte")
    rows: torch.Tensor
    columns: torch.Tensor

    def __init__(self) -> None:
        """Lay out three convolutions and a linear layer."""
        super().__init__()
        *convolutions, hidden = _SHAPES
        self.convolutions = nn.ModuleList(
            nn.Conv2d(shape[1], shape[0], shape[2], stride)
            for shape, stride in zip(convolutions, STRIDES, strict=True)
        )
        self.hidden = nn.Linear(hidden[1], hidden[0])
        self.register_buffer("rows", torch.from_numpy(overlap(SCREEN[0])), persistent=False)
        self.register_buffer("columns", torch.from_numpy(overlap(SCREEN[1])), persistent=False)

    def shrink(self, frames: torch.Tensor) -> torch.Tensor:
        """Make uint8 [n, 4, 210, 160] float32 [n, 4, 84, 84] in 0..255, whole numbers."""
        total = self.rows.T @ (frames.float() @ self.columns)  # whole numbers under 2 ** 24, so exact
        return (total.double() / (SCREEN[0] * SCREEN[1])).round().float()

    def forward(self, frames: torch.Tensor) -> torch.Tensor:
        """Encode uint8 [n, 4, 210, 160] as float32 [n, 512], none negative."""
        x = self.shrink(frames) / 255
        for convolution in self.convolutions:
            x = functional.relu(convolution(x))
        return functional.relu(self.hidden(x.flatten(1)))


@dataclass(frozen=True)
class AgentOptions:
    """Options of the agent.

    Attributes:
        checkpoint: A path or ``hf:ORG/REPO/FILE``, as in `atariari_data.get_episodes`.
    """

    checkpoint: str = ""


class PretrainedAgent(Method):
    """``pretrained-rl-agent``: the last hidden layer of a trained agent (arXiv 1906.08226, table 10).

    The checkpoint is from Stable-Baselines3 (PPO or A2C with `CnnPolicy`) or CleanRL's `ppo_atari`. Features
    are taken after the ReLU.
    """

    trains = False
    Options = AgentOptions

    @classmethod
    def make_encoder(cls, network: Network, options: AgentOptions) -> nn.Module:
        """Make the encoder, with the weights of the checkpoint if one is given.

        Raises:
            DataError: The checkpoint cannot be read, or has another architecture.
        """
        del network
        encoder = AgentEncoder()
        if options.checkpoint:
            _fill(encoder, load_layers(options.checkpoint)[0], options.checkpoint)
        return encoder

    @classmethod
    def check_options(cls, options: AgentOptions) -> None:
        """Require a checkpoint.

        Raises:
            UsageError: None is given.
        """
        if not options.checkpoint:
            raise UsageError(
                "The method pretrained-rl-agent needs a checkpoint.",
                cure="Add --set checkpoint=FILE, a Stable-Baselines3 .zip or a CleanRL .cleanrl_model.",
            )


def _fill(encoder: AgentEncoder, layers: Sequence[tuple[torch.Tensor, torch.Tensor]], name: Any) -> None:
    shapes = tuple(tuple(weight.shape) for weight, _ in layers[:-1])
    if shapes != _SHAPES:
        raise DataError(f"The agent {name} has another architecture.", expected=str(_SHAPES), got=str(shapes))
    for layer, (weight, bias) in zip((*encoder.convolutions, encoder.hidden), layers[:-1], strict=True):
        layer.weight.data.copy_(weight)
        layer.bias.data.copy_(bias)
