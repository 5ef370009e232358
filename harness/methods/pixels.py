"""Methods that decode frames: a variational autoencoder, and next-frame prediction."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional

from atariari_data.errors import UsageError
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
        sizes = [size]  # from the frame to the innermost map
        for width, stride in reversed(layers):
            height, breadth = sizes[-1]
            sizes.append(((height - width) // stride + 1, (breadth - width) // stride + 1))
        sizes.reverse()
        self.first = nn.Linear(feature_size, filters[0] * sizes[0][0] * sizes[0][1])
        parts: list[nn.Module] = [nn.ReLU(), nn.Unflatten(1, (filters[0], *sizes[0]))]
        for i, (width, stride) in enumerate(layers):
            height, breadth = sizes[i + 1]
            lost = (
                (height - width) % stride,
                (breadth - width) % stride,
            )  # rows and columns that the stride skips
            layer = nn.ConvTranspose2d(filters[i], filters[i + 1], width, stride, output_padding=lost)
            start_orthogonal(layer)
            parts += [layer, nn.ReLU(inplace=True)]
        self.rest = nn.Sequential(*parts[:-1], nn.Sigmoid())

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Decode features, float32 [n, d], to frames, float32 [n, 1, height, width] in 0..1."""
        drawn: torch.Tensor = self.rest(self.first(features))
        return drawn


@dataclass(frozen=True)
class VAEOptions:
    """Options of the VAE.

    Attributes:
        beta: Weight of the KL divergence.
    """

    beta: float = 1.0


class VariationalAutoEncoder(Method):
    """``vae``: variational autoencoder; the features are the posterior's mean (arXiv 1312.6114).

    The mean is the encoder's output. The logarithm of the variance is a linear function of the last
    convolution (arXiv 1906.08226, appendix A).
    """

    Options = VAEOptions
    encoder: Encoder

    def __init__(self, encoder: Encoder, options: VAEOptions | None = None) -> None:
        """Add a variance layer and a decoder to an encoder."""
        super().__init__()
        self.encoder = encoder
        self.beta = (options or VAEOptions()).beta
        self.log_variance = nn.Linear(encoder.last_size, encoder.feature_size)
        self.decoder = Decoder(encoder.spec.size, encoder.feature_size)

    def loss(self, batch: Batch, generator: torch.Generator) -> Loss:
        """Return squared error plus divergence per frame."""
        encoded = self.encoder.parts(batch.frames)
        log_variance = self.log_variance(encoded.last)
        noise = torch.randn(log_variance.shape, generator=generator, device=log_variance.device)
        drawn = self.decoder(encoded.features + (log_variance / 2).exp() * noise)
        error, divergence = evidence_bound(batch.frames, drawn, encoded.features, log_variance, self.beta)
        return Loss(error + divergence, {"error": error, "divergence": divergence})


@dataclass(frozen=True)
class NextFrameOptions:
    """Options of next-frame prediction.

    Attributes:
        actions: Whether the prediction is conditioned on the action.
        factors: Size of the factored product of features and action.
    """

    actions: bool = False
    factors: int = 2048


class NextFrame(Method):
    """``naff``: next-frame prediction (the paper's PIXEL-PRED).

    It is the baseline naFf ("no-action feed-forward") of Oh et al. (arXiv 1507.08750) with one input frame
    and the VAE's decoder. With ``actions``, features h and action a are combined by their factored
    transformation, W_dec (W_enc h * W_a a) + b, where * is elementwise and a is one-hot over 18 actions.
    """

    Options = NextFrameOptions
    encoder: Encoder
    frames_per_sample = 2

    def __init__(self, encoder: Encoder, options: NextFrameOptions | None = None) -> None:
        """Add a prediction layer and a decoder to an encoder.

        Raises:
            UsageError: There are no factors.
        """
        super().__init__()
        options = options or NextFrameOptions()
        if options.factors < 1:
            raise UsageError(
                "The product of features and action has no factors.",
                expected="at least 1",
                got=options.factors,
            )
        d = encoder.feature_size
        self.encoder = encoder
        self.with_actions = options.actions
        if self.with_actions:
            self.of_features = nn.Linear(d, options.factors, bias=False)
            self.of_action = nn.Embedding(ALE_ACTIONS, options.factors)
        self.predict = nn.Linear(options.factors if self.with_actions else d, d)
        self.decoder = Decoder(encoder.spec.size, d)

    def loss(self, batch: Batch, generator: torch.Generator) -> Loss:
        """Return the mean squared error per pixel."""
        del generator
        now, after = batch.frames[:, :1], batch.frames[:, 1:]
        hidden = self.encoder(now)
        if self.with_actions:
            hidden = self.of_features(hidden) * self.of_action(batch.actions)
        error = functional.mse_loss(self.decoder(self.predict(hidden)), after)
        return Loss(error, {"error": error})
