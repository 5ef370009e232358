"""The base class of methods: an encoder, the modules it is trained with, and a loss."""

from __future__ import annotations

import math
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
    """A batch of b samples, on the device of the method.

    Attributes:
        frames: k consecutive gray frames, oldest first, float32 [b, k, height, width] in 0..1. If the method
            sets ``random_frame``, the last one is from a random time of the same episode.
        actions: ALE's number of the action taken at the first frame, int64 [b].
        ram: RAM at the first frame, uint8 [b, 128].
    """

    frames: torch.Tensor
    actions: torch.Tensor
    ram: torch.Tensor


class Loss(NamedTuple):
    """The loss, and its terms by name, for the log."""

    total: torch.Tensor
    parts: Mapping[str, torch.Tensor]


@dataclass(frozen=True)
class NoOptions:
    """Options of a method without options."""


@dataclass(frozen=True)
class Network:
    """An encoder's architecture: its name, the size of its frames, and the number of features."""

    name: str = "nature"
    size: tuple[int, int] = SCREEN
    feature_size: int = FEATURE_SIZE


class Method(nn.Module, ABC):
    """Base of all methods.

    A method is constructed from an encoder and its options.

    Attributes:
        trains: Whether the method needs training.
        Options: A frozen dataclass of the method's hyperparameters, with the published values as defaults.
        random_frame: Whether each sample ends with a frame from a random time of the same episode.
        encoder: The module that turns frames into features; only its weights are kept after training.
        frames_per_sample: Consecutive frames per sample.
    """

    trains: ClassVar[bool] = True
    Options: ClassVar[type] = NoOptions
    random_frame: ClassVar[bool] = False

    encoder: nn.Module
    frames_per_sample: int = 1

    @classmethod
    def make_encoder(cls, network: Network, options: Any) -> nn.Module:
        """Make the encoder with weights drawn from torch's global generator.

        Raises:
            UnknownNameError: No such encoder.
            UsageError: The encoder does not support this size.
        """
        del options
        return make_encoder(network.name, network.size, network.feature_size)

    @classmethod
    def check_options(cls, options: Any) -> None:
        """Check the options of a new run; those of a finished one are not checked again.

        Raises:
            UsageError: A required option is missing.
        """

    @abstractmethod
    def loss(self, batch: Batch, generator: torch.Generator) -> Loss:
        """Compute the loss of a batch; all randomness comes from ``generator``."""


def parse_options(method: type[Method], given: Mapping[str, Any]) -> Any:
    """Make a method's options from names and values; values may be strings, as on a command line.

    Raises:
        UnknownNameError: The method has no such option.
        UsageError: A value does not have the option's type.
    """
    known = {field.name: field for field in fields(method.Options)}
    values: dict[str, Any] = {}
    for name, value in given.items():
        if name not in known:
            if not known:
                raise UsageError("This method has no options.", got=name)
            raise UnknownNameError("option of this method", name, known)
        values[name] = _typed(name, value, type(known[name].default))
    return method.Options(**values)


def _typed(name: str, value: Any, kind: type) -> Any:
    words = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
    try:
        if kind is bool:
            return words[str(value).lower()]
        return _finite(value) if kind is float else kind(value)
    except (KeyError, ValueError, OverflowError) as error:
        raise UsageError(
            f"Invalid value of the option {name}.", expected=kind.__name__, got=repr(value)
        ) from error


def _finite(value: Any) -> float:
    if not math.isfinite(number := float(value)):
        raise ValueError(f"{number} is not finite")
    return number
