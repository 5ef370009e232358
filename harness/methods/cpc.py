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
    """What the code of arXiv 1906.08226 had.

    Attributes:
        sequence_length: Frames in a sample (table 5 of the paper).
        first_offset: How far ahead the nearest prediction is, in frames.
        offset_step: Frames between one prediction and the next: 1, 5, 9, ... are predicted.
        context_size: Of the GRU's state.
        layers: Of the GRU.
    """

    sequence_length: int = 100
    first_offset: int = 1
    offset_step: int = 4
    context_size: int = 256
    layers: int = 2


class ContrastivePredictiveCoding(Method):
    """``cpc``: a GRU's context c_t predicts the features z_t+k of later frames.

    The score for k frames ahead is z_t+k' W_k c_t (section 2.2, equation 3), the loss InfoNCE (equation 4),
    where the wrong ones are all other frames of the batch that are predicted k frames ahead;
    the mean over all k.
    """

    Options = CPCOptions
    encoder: Encoder

    def __init__(self, encoder: Encoder, options: CPCOptions | None = None) -> None:
        """Add a GRU and the matrices W_k to an encoder.

        Raises:
            UsageError: The options leave nothing to predict.
        """
        super().__init__()
        options = options or CPCOptions()
        self.offsets = range(options.first_offset, options.sequence_length, max(options.offset_step, 1))
        if options.first_offset < 1 or options.offset_step < 1 or not self.offsets:
            raise UsageError(
                "With these options CPC predicts nothing.",
                expected="1 <= first_offset < sequence_length, and offset_step at least 1",
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
