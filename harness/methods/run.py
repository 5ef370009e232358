"""The folder of a run: what was asked for, what came out, and how to make the encoder of it again.

``config.json`` is there from the start, ``model.safetensors`` when training has ended, ``metrics.jsonl``
grows, ``state.pt`` holds what an unfinished run needs to go on.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Final, TypeVar

import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn

from atariari_data.errors import UsageError
from builders.files import new_file
from builders.manifest import PRETRAIN
from builders.recording import refuse_newer
from harness.encoders.encoder import EncoderError
from harness.encoders.features import first_line
from harness.encoders.python_files import seeded
from harness.methods import load_method
from harness.methods.method import Network, parse_options

FORMAT: Final = 1
CONFIG: Final = "config.json"
WEIGHTS: Final = "model.safetensors"
METRICS: Final = "metrics.jsonl"
STATE: Final = "state.pt"


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Budget(_Model):
    """How long a run may take; it stops at whatever comes first."""

    epochs: int = Field(default=100, ge=1)
    """Times through the training split."""
    steps: int | None = Field(default=None, ge=1)
    """Batches."""
    max_minutes: float | None = Field(default=None, gt=0)
    """Of training and validation, over all sessions of a run that was resumed."""


class Settings(_Model):
    """What decides the weights, besides the budget."""

    method: str
    """As in `harness.methods.METHODS`."""
    game: str
    """Whose pretraining split is learned from."""
    encoder: str = "nature"
    """As in `harness.methods.encoders.ENCODERS`."""
    size: tuple[int, int] = (210, 160)
    """Height and width of the frames."""
    feature_size: int = Field(default=256, ge=1, le=65536)
    """Numbers that the encoder gives a frame."""
    options: dict[str, bool | int | float | str] = {}
    """The method's own hyperparameters, all of them."""
    batch_size: int = Field(default=64, ge=2)
    """Samples in a batch."""
    learning_rate: float = Field(default=3e-4, gt=0)
    """Of Adam."""
    patience: int = Field(default=15, ge=1)
    """Validations without a better loss after which training stops."""
    validate_every: int | None = Field(default=None, ge=1)
    """Steps; null is an epoch."""
    seed: int = Field(default=0, ge=0)
    """Of initial weights, order of the samples and noise."""
    mixed_precision: bool = False
    """Whether autocast was on."""

    @property
    def network(self) -> Network:
        """Which encoder."""
        return Network(self.encoder, self.size, self.feature_size)


class Training(_Model):
    """What came out."""

    stopped_by: str
    """``epochs``, ``steps``, ``minutes`` or ``patience``; ``untrained`` where there was nothing to train."""
    steps: int
    """Batches in all."""
    samples: int
    """Of all batches; what a sample is, the method says."""
    best_step: int
    """After how many the weights were taken."""
    validation_loss: float | None
    """Of these weights."""
    seconds: float
    """Of training and validation."""
    device: str
    """Where it ran."""
    threads: int
    """That torch used on the CPU."""
    torch: str
    """Its version."""
    finished: str
    """When, in UTC."""


class Config(_Model):
    """The file ``config.json``."""

    format: int = FORMAT
    """Version of this file's format."""
    settings: Settings
    budget: Budget
    data: dict[str, str]
    """Version of the dataset, and digests of the splits."""
    training: Training | None = None
    """Null until it has ended."""

    def described(self) -> str:
        """Say in words what the encoder was trained on, for a result."""
        done, settings = self.training, self.settings
        if agent := settings.options.get("checkpoint"):
            return f"reward, by the agent {str(agent).rpartition('/')[2]}"
        if done is None or done.stopped_by == "untrained":
            return "none"
        return (
            f"{settings.game}{PRETRAIN} {self.data['dataset']}, {settings.method}, "
            f"{done.steps} steps of {settings.batch_size}, seed {settings.seed}"
        )


@dataclass(frozen=True)
class Run:
    """A finished run.

    Attributes:
        encoder: With its weights, in evaluation mode.
        name: Of the method.
        config: All that is known of it.
    """

    encoder: nn.Module
    name: str
    config: Config


_M = TypeVar("_M", bound=_Model)


def make(model: type[_M], **values: Any) -> _M:
    """Make settings or a budget.

    Raises:
        UsageError: A value cannot be; says which.
    """
    try:
        return model(**values)
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(map(str, first["loc"]))
        raise UsageError(f"{name} cannot have this value: {first['msg']}.", got=first["input"]) from error


def complete(settings: Settings) -> Settings:
    """Return the settings with every option of the method in them, of its own type.

    Raises:
        UnknownNameError: No such method, or option.
        UsageError: An option's value cannot be.
    """
    method = load_method(settings.method)
    given = dict(settings.options)
    if "game" in {field.name for field in fields(method.Options)}:
        given["game"] = settings.game
    options = parse_options(method, given)
    return settings.model_copy(update={"options": vars(options)})


def read_config(folder: Path) -> Config:
    """Read ``config.json``.

    Raises:
        EncoderError: There is none, or it is none.
    """
    path = folder / CONFIG
    if not path.is_file():
        raise EncoderError(
            f"The folder {folder} holds no run.",
            expected=f"{CONFIG} and {WEIGHTS}, as harness train writes them",
            got="; ".join(sorted(p.name for p in folder.iterdir())[:5]) or "an empty folder",
        )
    try:
        content = json.loads(path.read_bytes())
        if isinstance(content, dict) and isinstance(content.get("format"), int):
            refuse_newer(f"run {folder}", content["format"], FORMAT)
        return Config.model_validate_json(path.read_bytes())
    except ValueError as error:  # pydantic's are among these
        raise EncoderError(f"{path} is not what harness train writes.", got=first_line(error)) from error


def write_config(folder: Path, config: Config) -> None:
    """Write ``config.json``, in the place of the one before."""
    with new_file(folder / CONFIG, replace=True) as part:
        part.write_text(config.model_dump_json(indent=2) + "\n", encoding="utf-8")


def write_weights(folder: Path, weights: Mapping[str, torch.Tensor]) -> None:
    """Write ``model.safetensors``, in the place of the one before."""
    with new_file(folder / WEIGHTS, replace=True) as part:
        save_file({name: tensor.cpu().contiguous() for name, tensor in weights.items()}, part)


def load_run(folder: Path) -> Run:
    """Make the encoder of a finished run again.

    Raises:
        EncoderError: The folder holds no finished run, or a damaged one.
    """
    config = read_config(folder)
    if config.training is None:
        raise EncoderError(
            f"The run {folder} has not ended.",
            cure="harness train with the same options goes on with it.",
        )
    settings = config.settings
    try:
        method = load_method(settings.method)
        options = parse_options(method, {**settings.options, **_forgotten(settings)})
        with seeded():
            encoder = method.make_encoder(settings.network, options)
        encoder.load_state_dict(load_file(folder / WEIGHTS))
    except (OSError, SafetensorError, RuntimeError, UsageError) as error:
        raise EncoderError(f"The run {folder} is damaged.", got=first_line(error)) from error
    return Run(encoder.eval(), settings.method, config)


def _forgotten(settings: Settings) -> Mapping[str, Any]:
    """Options that only the making of a run needs: the checkpoint may be gone since."""
    return {"checkpoint": ""} if "checkpoint" in settings.options else {}
