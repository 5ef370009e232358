"""An encoder to start from: a plain torch module that turns a gray frame into 256 numbers.

Try it with ``harness check examples/my_encoder.py`` and score it with ``harness evaluate``. It has random
weights. Trained ones come in with ``--weights weights.safetensors`` (or a ``.pt`` that holds the state dict),
or are loaded here, after ``encoder`` is made:
``encoder.load_state_dict(torch.load("weights.pt", weights_only=True))``.
"""

import torch
from torch import nn


class MyEncoder(nn.Module):
    """The convolutional network of Mnih et al. (2015), widened for whole frames as in Anand et al. (2019)."""

    def __init__(self, input_channels: int = 1, feature_size: int = 256) -> None:
        """Lay out four convolutions and one linear layer, which ends without a ReLU."""
        super().__init__()
        self.convolutions = nn.Sequential(
            nn.Conv2d(input_channels, 32, kernel_size=8, stride=4),
            nn.ReLU(),
            nn.Conv2d(32, 64, kernel_size=4, stride=2),
            nn.ReLU(),
            nn.Conv2d(64, 128, kernel_size=4, stride=2),
            nn.ReLU(),
            nn.Conv2d(128, 64, kernel_size=3, stride=1),
            nn.ReLU(),
            nn.Flatten(),
        )
        self.features = nn.Linear(64 * 9 * 6, feature_size)

    def forward(self, frames: torch.Tensor) -> torch.Tensor:
        """Embed float32 [n, 1, 210, 160] in 0..1 as [n, feature_size]."""
        embedded: torch.Tensor = self.features(self.convolutions(frames))
        return embedded


torch.manual_seed(0)
encoder = MyEncoder(input_channels=1, feature_size=256)
