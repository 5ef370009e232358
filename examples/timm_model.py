"""An earlier layer of a timm model.

``harness evaluate timm:resnet18`` needs no file. Write one to choose the layer or the crop:
``harness evaluate examples/timm_model.py --weights resnet18.safetensors``.
"""

import timm
import torch
from torch import nn

from harness import FrameSpec


class ThirdStage(nn.Module):
    """ResNet-18 up to its third stage, averaged over positions."""

    spec = FrameSpec(color="rgb", size=(224, 224))
    pool = "mean"

    def __init__(self) -> None:
        """Create the network with random weights, which ``--weights`` replaces."""
        super().__init__()
        self.network = timm.create_model("resnet18", pretrained=False, features_only=True, out_indices=(3,))
        self.register_buffer("mean", torch.tensor([0.485, 0.456, 0.406]).reshape(-1, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor([0.229, 0.224, 0.225]).reshape(-1, 1, 1), persistent=False)

    def forward(self, frames: torch.Tensor) -> torch.Tensor:
        """Embed float32 [n, 3, 224, 224] in 0..1 as a feature map [n, 256, 14, 14]."""
        features: torch.Tensor = self.network((frames - self.mean) / self.std)[0]
        return features


encoder = ThirdStage()
