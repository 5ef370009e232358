"""An encoder trained on the labels."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional

from atariari_data.games import DEFAULT_LABEL_SET
from atariari_data.labels import decoder
from harness.methods.encoders import Encoder
from harness.methods.method import Batch, Loss, Method

_VALUES = 256


@dataclass(frozen=True)
class SupervisedOptions:
    """Options of the supervised encoder.

    Attributes:
        label_set: The label set to learn.
        game: The game; set from the run's settings.
    """

    label_set: str = DEFAULT_LABEL_SET
    game: str = ""


class Supervised(Method):
    """``supervised``: classification of all variables from the labels (arXiv 1906.08226, appendix A).

    Each variable has a linear layer on the encoder's features. One network learns all variables, and the loss
    is the mean of their cross-entropies; the paper trained a network for each variable.
    """

    Options = SupervisedOptions
    encoder: Encoder
    addresses: torch.Tensor
    values: torch.Tensor

    def __init__(self, encoder: Encoder, options: SupervisedOptions) -> None:
        """Add a linear layer for each variable to an encoder.

        Raises:
            UnknownNameError: No such game or label set.
        """
        super().__init__()
        known = decoder(options.game, options.label_set)
        self.encoder = encoder
        self.variables = len(known.names)
        self.classify = nn.Linear(encoder.feature_size, self.variables * _VALUES)
        self.register_buffer("addresses", torch.from_numpy(known.addresses))
        self.register_buffer("values", torch.from_numpy(known.values).long())

    def labels(self, ram: torch.Tensor) -> torch.Tensor:
        """Decode RAM, uint8 [b, 128], to labels, int64 [b, v]."""
        found = ram[:, self.addresses].long()
        return self.values[torch.arange(self.variables, device=ram.device), found]

    def loss(self, batch: Batch, generator: torch.Generator) -> Loss:
        """Return the cross-entropy, averaged over variables, in nats."""
        del generator
        scores = self.classify(self.encoder(batch.frames)).unflatten(1, (self.variables, _VALUES))
        loss = functional.cross_entropy(scores.flatten(0, 1), self.labels(batch.ram).flatten())
        return Loss(loss, {"cross_entropy": loss})
