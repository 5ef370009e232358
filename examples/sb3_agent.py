"""The features of a Stable-Baselines3 agent: what its policy and value heads see.

Put the checkpoint beside this file as ``agent.zip``. Stable-Baselines3 unpickles parts of it,
so load only checkpoints that you trust.
"""

from pathlib import Path

import torch
from stable_baselines3 import PPO
from stable_baselines3.common.policies import ActorCriticPolicy
from torch import nn
from torch.nn.functional import interpolate

from harness import FrameSpec

CHECKPOINT = Path(__file__).with_name("agent.zip")


class AgentFeatures(nn.Module):
    """The policy's feature extractor, on frames as Atari agents see them."""

    spec = FrameSpec(stack=4, scale="byte")

    def __init__(self, policy: ActorCriticPolicy) -> None:
        """Keep the policy."""
        super().__init__()
        self.policy = policy

    def forward(self, frames: torch.Tensor) -> torch.Tensor:
        """Embed uint8 [n, 4, 210, 160] as [n, 512]; agents see averages of areas, 84 x 84."""
        small = interpolate(frames.float(), (84, 84), mode="area").round().to(torch.uint8)
        features: torch.Tensor = self.policy.extract_features(small)
        return features


def load_encoder() -> AgentFeatures:
    """Load the checkpoint."""
    return AgentFeatures(PPO.load(CHECKPOINT, device="cpu").policy)
