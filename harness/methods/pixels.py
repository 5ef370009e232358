"""Methods that draw frames: a variational autoencoder, and the prediction of the next frame."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional

from harness.methods.encoders import SMALL, Encoder, start_orthogonal
from harness.methods.losses import evidence_bound
from harness.methods.method import Batch, Loss, Method

ALE_ACTIONS = 18
_WIDTHS_AND_STRIDES = {True: ((3, 1), (4, 2), (8, 4)), False: ((3, 1), (4, 2), (4, 2), (8, 4))}
_FILTERS = {True: (64, 64, 32, 1), False: (64, 128, 64, 32, 1)}


class Decoder(nn.Module):
    """The transpose of `harness.methods.encoders.NatureCNN` (arXiv 1906.08226, appendix A).

    A linear layer, transposed convolutions with a ReLU between them, and a sigmoid at the end.
    """

    def __init__(self, size: tuple[int, int], feature_size: int) -> None:
        """Make it for frames of 210 x 160 or 84 x 84."""
        super().__init__()
        layers, filters = _WIDTHS_AND_STRIDES[size == SMALL], _FILTERS[size == SMALL]
        sizes = [size]  # from the frame back to the innermost map
        for width, stride in reversed(layers):
            height, breadth = sizes[-1]
            sizes.append(((height - width) // stride + 1, (breadth - width) // stride + 1))
        sizes.reverse()
        self.first = nn.Linear(feature_size, filters[0] * sizes[0][0] * sizes[0][1])
        parts: list[nn.Module] = [nn.ReLU(), nn.Unflatten(1, (filters[0], *sizes[0]))]
        for i, (width, stride) in enumerate(layers):
            height, breadth = sizes[i + 1]
            lost = ((height - width) % stride, (breadth - width) % stride)  # what the stride left out
            layer = nn.ConvTranspose2d(filters[i], filters[i + 1], width, stride, output_padding=lost)
            start_orthogonal(layer)
            parts += [layer, nn.ReLU(inplace=True)]
        self.rest = nn.Sequential(*parts[:-1], nn.Sigmoid())

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Draw frames, float32 [n, 1, height, width] in 0..1, from float32 [n, d]."""
        drawn: torch.Tensor = self.rest(self.first(features))
        return drawn


@dataclass(frozen=True)
class VAEOptions:
    """Options of the VAE.

    Attributes:
        beta: Weight of the divergence.
    """

    beta: float = 1.0


class VariationalAutoEncoder(Method):
    """``vae`` (arXiv 1312.6114): what is probed is the mean of the posterior.

    The mean is the encoder's output, the logarithm of the variance a linear function of its last
    convolution (arXiv 1906.08226, appendix A).
    """

    Options = VAEOptions
    encoder: Encoder

    def __init__(self, encoder: Encoder, options: VAEOptions | None = None) -> None:
        """Add the variance and a decoder to an encoder."""
        super().__init__()
        self.encoder = encoder
        self.beta = (options or VAEOptions()).beta
        self.log_variance = nn.Linear(encoder.last_size, encoder.feature_size)
        self.decoder = Decoder(encoder.spec.size, encoder.feature_size)

    def loss(self, batch: Batch, generator: torch.Generator) -> Loss:
        """Return squared error plus divergence, a frame."""
        encoded = self.encoder.parts(batch.frames)
        log_variance = self.log_variance(encoded.last)
        noise = torch.randn(log_variance.shape, generator=generator, device=log_variance.device)
        drawn = self.decoder(encoded.features + (log_variance / 2).exp() * noise)
        error, divergence = evidence_bound(batch.frames, drawn, encoded.features, log_variance, self.beta)
        return Loss(error + divergence, {"error": error, "divergence": divergence})


@dataclass(frozen=True)
class NextFrameOptions:
    """Options of the prediction of the next frame.

    Attributes:
        actions: Whether the action is known to the prediction.
        factors: Of the product of features and action.
    """

    actions: bool = False
    factors: int = 2048


class NextFrame(Method):
    """``naff``, the paper's PIXEL-PRED: the next frame is drawn from the features of this one.

    The baseline naFf, "no-action feed-forward", of Oh et al. (arXiv 1507.08750), with one frame in and the
    decoder of the VAE. With ``actions``, features h and action a meet as in their factored transformation:
    W_dec (W_enc h * W_a a) + b, where * is by element and a is one-hot over ALE's 18 actions.
    """

    Options = NextFrameOptions
    encoder: Encoder
    frames_per_sample = 2

    def __init__(self, encoder: Encoder, options: NextFrameOptions | None = None) -> None:
        """Add the prediction and a decoder to an encoder."""
        super().__init__()
        options = options or NextFrameOptions()
        d = encoder.feature_size
        self.encoder = encoder
        self.with_actions = options.actions
        if self.with_actions:
            self.of_features = nn.Linear(d, options.factors, bias=False)
            self.of_action = nn.Embedding(ALE_ACTIONS, options.factors)
        self.predict = nn.Linear(options.factors if self.with_actions else d, d)
        self.decoder = Decoder(encoder.spec.size, d)

    def loss(self, batch: Batch, generator: torch.Generator) -> Loss:
        """Return the mean squared error of a pixel."""
        del generator
        now, after = batch.frames[:, :1], batch.frames[:, 1:]
        hidden = self.encoder(now)
        if self.with_actions:
            hidden = self.of_features(hidden) * self.of_action(batch.actions)
        error = functional.mse_loss(self.decoder(self.predict(hidden)), after)
        return Loss(error, {"error": error})
