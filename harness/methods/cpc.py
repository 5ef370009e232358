"""Contrastive predictive coding (arXiv 1807.03748)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn

from atariari_data.errors import UsageError
from harness.methods.encoders import Encoder
from harness.methods.losses import info_nce
from harness.methods.method import Batch, Loss, Method


@dataclass(frozen=True)
class CPCOptions:
    """Options of CPC; the defaults are those of the code of arXiv 1906.08226.

    Attributes:
        sequence_length: Frames per sample (table 5 of the paper).
        first_offset: Frames between the context and the nearest prediction.
        offset_step: Frames between predictions; by default frames 1, 5, 9, ... ahead are predicted.
        context_size: Size of the GRU's state.
        layers: Layers of the GRU.
    """

    sequence_length: int = 100
    first_offset: int = 1
    offset_step: int = 4
    context_size: int = 256
    layers: int = 2


class ContrastivePredictiveCoding(Method):
    """``cpc``: contrastive predictive coding; a GRU predicts the features of later frames (arXiv 1807.03748).

    The score for k frames ahead is z_t+k' W_k c_t (section 2.2, equation 3), where c_t is the GRU's state and
    z are the features. The loss is InfoNCE (equation 4), averaged over k. Negatives are all other frames of
    the batch that are predicted k frames ahead.
    """

    Options = CPCOptions
    encoder: Encoder

    def __init__(self, encoder: Encoder, options: CPCOptions | None = None) -> None:
        """Add a GRU and the matrices W_k to an encoder.

        Raises:
            UsageError: The options leave nothing to predict, or nothing to predict it with.
        """
        super().__init__()
        options = options or CPCOptions()
        self.offsets = range(options.first_offset, options.sequence_length, max(options.offset_step, 1))
        if options.first_offset < 1 or options.offset_step < 1 or not self.offsets:
            raise UsageError(
                "These options leave nothing for CPC to predict.",
                expected="1 <= first_offset < sequence_length, and offset_step at least 1",
                got=str(options),
            )
        if options.context_size < 1 or options.layers < 1:
            raise UsageError(
                "CPC's GRU has no state.",
                expected="context_size and layers at least 1",
                got=str(options),
            )
        self.encoder = encoder
        self.frames_per_sample = options.sequence_length
        self.context = nn.GRU(encoder.feature_size, options.context_size, options.layers, batch_first=True)
        self.forms = nn.ModuleList(
            nn.Linear(options.context_size, encoder.feature_size, bias=False) for _ in self.offsets
        )

    def loss(self, batch: Batch, generator: torch.Generator) -> Loss:
        """Return the mean over k of InfoNCE, in nats."""
        del generator
        b, length = batch.frames.shape[:2]
        latents = self.encoder(batch.frames.reshape(b * length, 1, *batch.frames.shape[2:]))
        latents = latents.unflatten(0, (b, length))
        contexts, _ = self.context(latents)
        losses = [
            info_nce(form(contexts[:, :-k]).flatten(0, 1), latents[:, k:].flatten(0, 1))
            for k, form in zip(self.offsets, self.forms, strict=True)
        ]
        total = torch.stack(losses).mean()
        return Loss(total, {"nearest": losses[0], "farthest": losses[-1]})
