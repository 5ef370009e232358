"""ST-DIM and its variants (arXiv 1906.08226, section 3 and appendix A).

The notation is the paper's: x_t and x_t+1 are consecutive frames, phi(x) are the features of a frame, and
phi_mn(x) its local features at position (m, n) of the third convolution's map. The paper sums over positions;
here it is a mean, which is the same to Adam.
"""

from __future__ import annotations

import torch
from torch import nn

from harness.methods.encoders import Encoded, Encoder
from harness.methods.losses import info_nce, jensen_shannon
from harness.methods.method import Batch, Loss, Method


def patches(local: torch.Tensor) -> torch.Tensor:
    """Reshape a map [n, c, h, w] to [h * w, n, c]: a batch of local features for each position."""
    return local.flatten(2).permute(2, 0, 1)


class _Contrastive(Method):
    """A method on consecutive frames; all frames of a batch are encoded in one pass."""

    encoder: Encoder
    frames_per_sample = 2

    def __init__(self, encoder: Encoder) -> None:
        super().__init__()
        self.encoder = encoder

    def _encode(self, frames: torch.Tensor) -> list[Encoded]:
        """Encode [b, k, h, w], and return the k encodings."""
        b, k = frames.shape[:2]
        parts = self.encoder.parts(frames.reshape(b * k, 1, *frames.shape[2:]))
        apart = [part.reshape(b, k, *part.shape[1:]) for part in parts]
        return [Encoded(*(part[:, i] for part in apart)) for i in range(k)]


class _WithLocals(_Contrastive):
    """A method that scores features against local features; ``global_form`` is the bilinear form W_g."""

    def __init__(self, encoder: Encoder, options: object = None) -> None:
        super().__init__(encoder)
        del options
        self.global_form = nn.Linear(encoder.feature_size, encoder.local_channels, bias=False)


class SpatioTemporalDIM(_WithLocals):
    """``infonce-stdim``: spatiotemporal Deep InfoMax (ST-DIM; section 3.1, equations 2 and 3).

    The loss is InfoNCE between phi(x_t) and phi_mn(x_t+1) with the score phi(x_t)' W_g phi_mn(x_t+1), plus
    InfoNCE between phi_mn(x_t) and phi_mn(x_t+1) with the score phi_mn(x_t)' W_l phi_mn(x_t+1). Negatives are
    the other samples of the batch at the same position.
    """

    def __init__(self, encoder: Encoder, options: object = None) -> None:
        """Add both bilinear forms to an encoder."""
        super().__init__(encoder, options)
        self.local_form = nn.Linear(encoder.local_channels, encoder.local_channels, bias=False)

    def loss(self, batch: Batch, generator: torch.Generator) -> Loss:
        """Return global-local plus local-local, in nats."""
        del generator
        now, after = self._encode(batch.frames)
        targets = patches(after.local)
        global_local = info_nce(self.global_form(now.features), targets)
        local_local = info_nce(self.local_form(patches(now.local)), targets)
        return Loss(global_local + local_local, {"global_local": global_local, "local_local": local_local})


class JensenShannonDIM(SpatioTemporalDIM):
    """``jsd-stdim``: ST-DIM with the Jensen-Shannon estimator (the paper's ablation JSD-ST-DIM).

    The estimator is equation 4 of arXiv 1808.06670. Each score has a bias, because scores are compared with
    zero and not with each other. The negative frame is from a random time of the same episode, as in the
    published code.
    """

    random_frame = True

    def __init__(self, encoder: Encoder, options: object = None) -> None:
        """Add bilinear forms and biases to an encoder."""
        super().__init__(encoder, options)
        self.global_bias = nn.Parameter(torch.zeros(()))
        self.local_bias = nn.Parameter(torch.zeros(()))

    def loss(self, batch: Batch, generator: torch.Generator) -> Loss:
        """Return global-local plus local-local."""
        del generator
        now, after, other = self._encode(batch.frames)
        right, wrong = patches(after.local), patches(other.local)
        form = self.global_form(now.features)
        global_local = jensen_shannon(
            (form * right).sum(-1) + self.global_bias, (form * wrong).sum(-1) + self.global_bias
        )
        form = self.local_form(patches(now.local))
        local_local = jensen_shannon(
            (form * right).sum(-1) + self.local_bias, (form * wrong).sum(-1) + self.local_bias
        )
        return Loss(global_local + local_local, {"global_local": global_local, "local_local": local_local})


class GlobalLocalDIM(_WithLocals):
    """``global-local-infonce-stdim``: only the global-local loss of ST-DIM (section 3.1, equation 2)."""

    def loss(self, batch: Batch, generator: torch.Generator) -> Loss:
        """Return the global-local loss, in nats."""
        del generator
        now, after = self._encode(batch.frames)
        loss = info_nce(self.global_form(now.features), patches(after.local))
        return Loss(loss, {"global_local": loss})


class GlobalTemporalDIM(_Contrastive):
    """``global-infonce-stdim``: InfoNCE between global features (the paper's ablation Global-T-DIM).

    The score is phi(x_t)' W phi(x_t+1).
    """

    def __init__(self, encoder: Encoder, options: object = None) -> None:
        """Add the bilinear form to an encoder."""
        super().__init__(encoder)
        del options
        self.form = nn.Linear(encoder.feature_size, encoder.feature_size, bias=False)

    def loss(self, batch: Batch, generator: torch.Generator) -> Loss:
        """Return the global-global loss, in nats."""
        del generator
        now, after = self._encode(batch.frames)
        loss = info_nce(self.form(now.features), after.features)
        return Loss(loss, {"global_global": loss})


class DeepInfoMax(_WithLocals):
    """``dim``: Deep InfoMax with the local objective and InfoNCE (arXiv 1808.06670).

    It is ``global-local-infonce-stdim`` with the same frame on both sides.
    """

    frames_per_sample = 1

    def loss(self, batch: Batch, generator: torch.Generator) -> Loss:
        """Return the global-local loss of single frames, in nats."""
        del generator
        (now,) = self._encode(batch.frames)
        loss = info_nce(self.global_form(now.features), patches(now.local))
        return Loss(loss, {"global_local": loss})
