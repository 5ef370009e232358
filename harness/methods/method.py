"""What a method is: an encoder, what it learns with, and a loss of a batch."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, ClassVar, NamedTuple

import torch
from torch import nn

from atariari_data.errors import UnknownNameError, UsageError
from harness.encoders.frame_spec import SCREEN
from harness.methods.encoders import FEATURE_SIZE, make_encoder


class Batch(NamedTuple):
    """Samples of b, on the device of the method.

    Attributes:
        frames: float32 [b, k, height, width] in 0..1, gray: k consecutive frames, oldest first, and after
            them, where the method wants one, a frame from a random time of the same episode.
        actions: int64 [b], ALE's number of the action that was taken at the first frame.
        ram: uint8 [b, 128], at the first frame.
    """

    frames: torch.Tensor
    actions: torch.Tensor
    ram: torch.Tensor


class Loss(NamedTuple):
    """What is minimised, and the parts that it is the sum of, by name, for the log."""

    total: torch.Tensor
    parts: Mapping[str, torch.Tensor]


@dataclass(frozen=True)
class NoOptions:
    """Options of a method that has none."""


@dataclass(frozen=True)
class Network:
    """Which encoder: its name, the size of its frames, and how many features it gives."""

    name: str = "nature"
    size: tuple[int, int] = SCREEN
    feature_size: int = FEATURE_SIZE


class Method(nn.Module, ABC):
    """Base of all methods: made of an encoder and options, it gives a loss.

    Attributes:
        trains: Whether there is anything to train.
        Options: A frozen dataclass: the method's own hyperparameters, the published ones as defaults.
        random_frame: Whether samples end with a frame from a random time of the same episode.
        encoder: From frames to features; alone what is kept in the end.
        frames_per_sample: Consecutive frames in a sample.
    """

    trains: ClassVar[bool] = True
    Options: ClassVar[type] = NoOptions
    random_frame: ClassVar[bool] = False

    encoder: nn.Module
    frames_per_sample: int = 1

    @classmethod
    def make_encoder(cls, network: Network, options: Any) -> nn.Module:
        """Make the encoder with fresh weights from torch's generator.

        Raises:
            UnknownNameError: No such encoder.
            UsageError: It cannot be made so.
        """
        del options
        return make_encoder(network.name, network.size, network.feature_size)

    @classmethod
    def check_options(cls, options: Any) -> None:
        """Refuse options that a new run cannot be made of; a finished one needs them no more.

        Raises:
            UsageError: Something is missing.
        """

    @abstractmethod
    def loss(self, batch: Batch, generator: torch.Generator) -> Loss:
        """Compute the loss of a batch; chance comes from ``generator`` alone."""


def parse_options(method: type[Method], given: Mapping[str, Any]) -> Any:
    """Make a method's options from names and values, texts as from a command line among them.

    Raises:
        UnknownNameError: The method has no such option.
        UsageError: A value is not of the option's type.
    """
    known = {field.name: field for field in fields(method.Options)}
    values: dict[str, Any] = {}
    for name, value in given.items():
        if name not in known:
            if not known:
                raise UsageError("This method has no options of its own.", got=name)
            raise UnknownNameError("option of this method", name, known)
        values[name] = _typed(name, value, type(known[name].default))
    return method.Options(**values)


def _typed(name: str, value: Any, kind: type) -> Any:
    words = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
    try:
        if kind is bool:
            return words[str(value).lower()]
        return kind(value)
    except (KeyError, ValueError) as error:
        raise UsageError(
            f"The option {name} cannot have this value.", expected=kind.__name__, got=repr(value)
        ) from error
