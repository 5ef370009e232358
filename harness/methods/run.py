"""The folder of a run: settings, outcome, weights, and how to load the encoder.

``config.json`` is written at the start, ``metrics.jsonl`` grows during training, ``state.pt`` is the saved
state of an unfinished run, and ``model.safetensors`` is written at the end.
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
from builders.files import new_file, refuse_newer
from harness.encoders.encoder import EncoderError
from harness.encoders.features import first_line
from harness.encoders.python_files import seeded
from harness.methods import load_method
from harness.methods.method import Network, parse_options
from harness.results.complaint import first_complaint

FORMAT: Final = 1
CONFIG: Final = "config.json"
WEIGHTS: Final = "model.safetensors"
METRICS: Final = "metrics.jsonl"
STATE: Final = "state.pt"
LOCK: Final = ".lock"
CHECKPOINTS: Final = "checkpoints"


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Budget(_Model):
    """Limits on training; the first one reached ends it."""

    epochs: int = Field(default=100, ge=1)
    """Maximum number of epochs."""
    steps: int | None = Field(default=None, ge=1)
    """Maximum number of steps."""
    max_minutes: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    """Maximum time of training and validation, over all sessions of a resumed run."""


class Settings(_Model):
    """Everything but the budget that determines the weights."""

    method: str
    """A name in `harness.methods.METHODS`."""
    game: str
    """The game whose pretraining split is used."""
    encoder: str = "nature"
    """A name in `harness.methods.encoders.ENCODERS`."""
    size: tuple[int, int] = (210, 160)
    """Height and width of the frames."""
    feature_size: int = Field(default=256, ge=1, le=65536)
    """Features per frame."""
    options: dict[str, bool | int | float | str] = {}
    """All hyperparameters of the method."""
    batch_size: int = Field(default=64, ge=2)
    """Samples per batch."""
    learning_rate: float = Field(default=3e-4, gt=0, allow_inf_nan=False)
    """Adam's learning rate."""
    patience: int = Field(default=15, ge=1)
    """Validations without a better loss after which training stops."""
    validate_every: int | None = Field(default=None, ge=1)
    """Steps between validations; null means an epoch."""
    seed: int = Field(default=0, ge=0, lt=2**63)
    """Random seed for initial weights, sample order and noise."""
    mixed_precision: bool = False
    """Whether autocast is used."""

    @property
    def network(self) -> Network:
        """The encoder's architecture."""
        return Network(self.encoder, self.size, self.feature_size)


class Training(_Model):
    """The outcome of training."""

    stopped_by: str
    """``epochs``, ``steps``, ``minutes`` or ``patience``; ``checkpoint`` if the run went on from there;
    ``untrained`` if the method needs no training."""
    steps: int
    """Steps taken."""
    samples: int
    """Samples seen."""
    best_step: int
    """The step at which the weights were taken."""
    validation_loss: float | None
    """The validation loss of these weights."""
    seconds: float
    """Time of training and validation."""
    device: str
    """Torch device."""
    threads: int
    """CPU threads of torch."""
    torch: str
    """Version of torch."""
    finished: str
    """UTC time of the end."""


class Config(_Model):
    """The file ``config.json``."""

    format: int = FORMAT
    """Format version of this file."""
    settings: Settings
    budget: Budget
    data: dict[str, str]
    """Version of the dataset, and digests of the splits."""
    training: Training | None = None
    """Null until training has ended."""


@dataclass(frozen=True)
class Run:
    """A finished run.

    Attributes:
        encoder: The encoder with its weights, in evaluation mode.
        name: The method's name.
        config: The content of ``config.json``.
    """

    encoder: nn.Module
    name: str
    config: Config


_M = TypeVar("_M", bound=_Model)


def make(model: type[_M], **values: Any) -> _M:
    """Make settings or a budget.

    Raises:
        UsageError: A value is invalid.
    """
    try:
        return model(**values)
    except ValidationError as error:
        name, expected, got = first_complaint(error)
        raise UsageError(f"Invalid {name}: {expected}.", got=got) from error


def complete(settings: Settings) -> Settings:
    """Return the settings with all options of the method filled in.

    Raises:
        UnknownNameError: No such method or option.
        UsageError: The value of an option is invalid.
    """
    method = load_method(settings.method)
    given = dict(settings.options)
    if "game" in {field.name for field in fields(method.Options)}:
        given["game"] = settings.game
    options = parse_options(method, given)
    return settings.model_copy(update={"options": vars(options)})


def check_same(folder: Path, there: Settings, wanted: Settings) -> None:
    """Check that the settings of a run are the wanted ones.

    Raises:
        UsageError: They are not.
    """
    other = [name for name in Settings.model_fields if getattr(wanted, name) != getattr(there, name)]
    if other:
        raise UsageError(
            f"{folder} is a run with different settings.",
            expected=", ".join(f"{name}={getattr(there, name)}" for name in other),
            got=", ".join(f"{name}={getattr(wanted, name)}" for name in other),
            cure="Choose another folder with --out, or use the settings of the run.",
        )


def read_config(folder: Path) -> Config:
    """Read ``config.json``.

    Raises:
        EncoderError: The file is missing or damaged.
    """
    path = folder / CONFIG
    if not path.is_file():
        raise EncoderError(
            f"The folder {folder} is not a run.",
            expected=f"{CONFIG} and {WEIGHTS}, as written by harness train",
            got="; ".join(sorted(p.name for p in folder.iterdir())[:5]) or "an empty folder",
        )
    try:
        content = json.loads(path.read_bytes())
        if isinstance(content, dict) and isinstance(content.get("format"), int):
            refuse_newer(f"run {folder}", content["format"], FORMAT)
        return Config.model_validate_json(path.read_bytes())
    except ValueError as error:  # pydantic's are among these
        raise EncoderError(
            f"{path} was not written by harness train, or is damaged.", got=first_line(error)
        ) from error


def write_config(folder: Path, config: Config) -> None:
    """Write or replace ``config.json``."""
    with new_file(folder / CONFIG, replace=True) as part:
        part.write_text(config.model_dump_json(indent=2) + "\n", encoding="utf-8")


def write_weights(folder: Path, weights: Mapping[str, torch.Tensor]) -> None:
    """Write or replace ``model.safetensors``."""
    with new_file(folder / WEIGHTS, replace=True) as part:
        save_file({name: tensor.cpu().contiguous() for name, tensor in weights.items()}, part)


def load_run(folder: Path) -> Run:
    """Load the encoder of a finished run.

    Raises:
        EncoderError: The folder is not a run, or the run is unfinished or damaged.
    """
    config = read_config(folder)
    if config.training is None:
        raise EncoderError(
            f"The run {folder} is not finished.",
            cure="Run harness train again with the same options to resume it.",
        )
    settings = config.settings
    try:
        encoder = blank_encoder(settings)
        encoder.load_state_dict(load_file(folder / WEIGHTS))
    except (OSError, SafetensorError, RuntimeError, UsageError) as error:
        raise EncoderError(f"The run {folder} is damaged.", got=first_line(error)) from error
    return Run(encoder.eval(), settings.method, config)


def blank_encoder(settings: Settings) -> nn.Module:
    """Make the encoder of a run, without its weights.

    Raises:
        UsageError: There is no such encoder.
    """
    method = load_method(settings.method)
    options = parse_options(method, {**settings.options, **_forgotten(settings)})
    with seeded():
        return method.make_encoder(settings.network, options)


def _forgotten(settings: Settings) -> Mapping[str, Any]:
    """Options that only a new run needs; the checkpoint file may be gone."""
    return {"checkpoint": ""} if "checkpoint" in settings.options else {}
