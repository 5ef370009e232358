"""The encoders of the paper: gray frames to a feature vector and a map of local features."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final, NamedTuple

import torch
from torch import nn
from torch.nn import functional

from atariari_data.errors import UnknownNameError, UsageError
from harness.encoders.frame_spec import SCREEN, FrameSpec

FEATURE_SIZE: Final = 256
SMALL: Final = (84, 84)
SIZES: Final = (SCREEN, SMALL)


class Encoded(NamedTuple):
    """The encoding of n frames.

    Attributes:
        features: The features that are probed, float32 [n, d].
        local: Local features of h x w overlapping patches, float32 [n, c, h, w].
        last: Output of the last convolution, flattened, float32 [n, k].
    """

    features: torch.Tensor
    local: torch.Tensor
    last: torch.Tensor


class Encoder(nn.Module):
    """Base of the encoders: convolutions up to a local map, convolutions after it, one linear layer.

    Attributes:
        spec: The input format: one gray frame in 0..1.
        feature_size: The number of features, d.
        local_channels: The channels of the local map, c.
        last_size: The size of the last convolution's output, k.
    """

    def __init__(self, before: nn.Module, after: nn.Module, size: tuple[int, int], feature_size: int) -> None:
        """Store the convolutions, and measure the sizes of their outputs."""
        super().__init__()
        self.spec = FrameSpec(size=size)
        self.feature_size = feature_size
        self.before, self.after = before, after
        with torch.no_grad():
            local = before(torch.zeros(1, 1, *size))
            self.last_size = after(local).numel()
        self.local_channels = int(local.shape[1])
        self.features = nn.Linear(self.last_size, feature_size)

    def parts(self, frames: torch.Tensor) -> Encoded:
        """Encode float32 [n, 1, height, width] in 0..1, and return the intermediate maps, too."""
        local = self.before(frames)
        last = self.after(local).flatten(1)
        return Encoded(self.features(last), local, last)

    def forward(self, frames: torch.Tensor) -> torch.Tensor:
        """Encode float32 [n, 1, height, width] in 0..1 as [n, d]."""
        return self.parts(frames).features


class NatureCNN(Encoder):
    """The network of Mnih et al. (doi:10.1038/nature14236), for whole frames as in arXiv 1906.08226.

    Of 210 x 160 (appendix A, figure 4 of the paper): 32 filters of 8 x 8 with stride 4, 64 of 4 x 4 with
    stride 2, 128 of 4 x 4 with stride 2, 64 of 3 x 3. Of 84 x 84 (Mnih et al., "Model architecture"): 32 of
    8 x 8 with stride 4, 64 of 4 x 4 with stride 2, 64 of 3 x 3. A ReLU after each; then a linear layer
    without one. The local map is that of the third convolution: [128, 11, 8] or [64, 7, 7].

    Weights start orthogonal with gain sqrt(2), biases at zero, as in the published code.
    """

    def __init__(self, size: tuple[int, int] = SCREEN, feature_size: int = FEATURE_SIZE) -> None:
        """Make it for frames of a size.

        Raises:
            UsageError: The size is neither 210 x 160 nor 84 x 84.
        """
        _check(size)
        if size == SMALL:
            before, after = [(1, 32, 8, 4), (32, 64, 4, 2), (64, 64, 3, 1)], []
        else:
            before, after = [(1, 32, 8, 4), (32, 64, 4, 2), (64, 128, 4, 2)], [(128, 64, 3, 1)]
        super().__init__(_stack(before), _stack(after), size, feature_size)
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d | nn.Linear):
                start_orthogonal(layer)


class ImpalaCNN(Encoder):
    """The residual network of Espeholt et al. (arXiv 1802.01561, figure 3, right; without the LSTM).

    Sections of a 3 x 3 convolution, a 3 x 3 maximum with stride 2 and two residual blocks, with 16, 32 and
    32 channels, and for whole frames a fourth with 32, as in the code of arXiv 1906.08226. Then a ReLU and a
    linear layer; unlike in the IMPALA paper no ReLU ends it, so that all encoders are probed alike. The local
    map is that of the third section: [32, 27, 20] or [32, 11, 11].
    """

    def __init__(self, size: tuple[int, int] = SCREEN, feature_size: int = FEATURE_SIZE) -> None:
        """Make it for frames of a size.

        Raises:
            UsageError: The size is neither 210 x 160 nor 84 x 84.
        """
        _check(size)
        before = nn.Sequential(_section(1, 16), _section(16, 32), _section(32, 32))
        after = nn.Sequential(nn.ReLU()) if size == SMALL else nn.Sequential(_section(32, 32), nn.ReLU())
        super().__init__(before, after, size, feature_size)


class _Residual(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels, channels, 3, padding=1)
        self.second = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        inner: torch.Tensor = self.second(functional.relu(self.first(functional.relu(x))))
        return x + inner


def _section(channels: int, filters: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(channels, filters, 3, padding=1),
        nn.MaxPool2d(3, stride=2, padding=1),
        _Residual(filters),
        _Residual(filters),
    )


def _stack(layers: list[tuple[int, int, int, int]]) -> nn.Sequential:
    parts: list[nn.Module] = []
    for channels, filters, width, stride in layers:
        parts += [nn.Conv2d(channels, filters, width, stride), nn.ReLU(inplace=True)]
    return nn.Sequential(*parts)


def start_orthogonal(layer: nn.Conv2d | nn.ConvTranspose2d | nn.Linear) -> None:
    """Draw orthogonal weights with gain sqrt(2), and set the bias to zero."""
    nn.init.orthogonal_(layer.weight, math.sqrt(2))
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)


def _check(size: tuple[int, int]) -> None:
    if size not in SIZES:
        raise UsageError(
            "The encoders do not take frames of this size.",
            expected=" or ".join(f"{height}x{width}" for height, width in SIZES),
            got=f"{size[0]}x{size[1]}",
        )


ENCODERS: Final[dict[str, Callable[[tuple[int, int], int], Encoder]]] = {
    "nature": NatureCNN,
    "impala": ImpalaCNN,
}


def make_encoder(name: str, size: tuple[int, int] = SCREEN, feature_size: int = FEATURE_SIZE) -> Encoder:
    """Make an encoder with weights drawn from torch's global generator.

    Raises:
        UnknownNameError: No such encoder.
        UsageError: The encoder does not take frames of this size, or ``feature_size`` is less than 1.
    """
    if name not in ENCODERS:
        raise UnknownNameError("encoder", name, ENCODERS)
    if feature_size < 1:
        raise UsageError("An encoder must give at least one feature.", got=feature_size)
    return ENCODERS[name](size, feature_size)
