"""Pretrained vision models by name: timm and transformers."""

from __future__ import annotations

import difflib
import importlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import nn

from atariari_data.errors import MissingExtraError, UsageError
from harness.encoders.features import EncoderError, Pool, first_line
from harness.encoders.frame_spec import FrameSpec
from harness.encoders.torch_modules import load_weights

RGB = 3


class Pretrained(nn.Module):
    """A vision model behind the normalisation of colours that it was trained with.

    Attributes:
        spec: RGB frames in the size that the model was trained on, or as the caller said.
        description: The library, its version, and where the features come from.
    """

    description: str = ""
    mean: torch.Tensor
    std: torch.Tensor

    def __init__(
        self,
        model: nn.Module,
        features: Callable[[nn.Module, torch.Tensor], torch.Tensor],
        spec: FrameSpec,
        mean: list[float],
        std: list[float],
    ) -> None:
        """Keep the model and what it was trained with.

        Raises:
            UsageError: The spec has other than three channels in NCHW, in 0..1.
        """
        super().__init__()
        if (spec.channels, spec.layout, spec.scale) != (RGB, "NCHW", "unit"):
            raise UsageError(
                "A pretrained vision model sees one RGB frame.",
                expected="FrameSpec(color='rgb', size=...)",
                got=str(spec),
            )
        self.model = model
        self.features = features
        self.spec = spec
        self.register_buffer("mean", torch.tensor(mean).reshape(-1, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).reshape(-1, 1, 1), persistent=False)

    def forward(self, frames: torch.Tensor) -> torch.Tensor:
        """Embed float32 [n, 3, height, width] in 0..1."""
        return self.features(self.model, (frames - self.mean) / self.std)


def load_timm(name: str, spec: FrameSpec | None, pool: Pool | None, weights: Path | None) -> Pretrained:
    """Make a timm model; without ``weights`` with its pretrained ones, which timm downloads or has cached.

    Without ``pool`` the features are what the model itself pools for its classifier; with it, the last
    feature map or the last tokens, pooled so.

    Raises:
        EncoderError: No such model, or no weights for it.
        MissingExtraError: timm is not installed.
    """
    try:
        import timm
    except ImportError as error:
        raise MissingExtraError(error.name or "timm", "timm") from error
    if not name.startswith(("hf-hub:", "hf_hub:", "local-dir:")) and not timm.is_model(
        name.partition(".")[0]
    ):
        near = difflib.get_close_matches(name, timm.list_models(), n=1, cutoff=0.5)
        raise EncoderError(
            f"timm has no model {name!r}.", cure=f"Did you mean {near[0]!r}?" if near else None
        )
    try:
        model = timm.create_model(name, pretrained=weights is None, num_classes=0)
    except Exception as error:
        raise EncoderError(f"timm cannot make {name!r}.", got=first_line(error)) from error
    if weights is not None:
        load_weights(model, weights)
    config = timm.data.resolve_model_data_config(model)
    own = FrameSpec(color="rgb", size=tuple(config["input_size"][1:]))

    def unpooled(model: Any, frames: torch.Tensor) -> torch.Tensor:
        features: torch.Tensor = model.forward_features(frames)
        channels_last = getattr(model, "output_fmt", "NCHW") == "NHWC"
        return features.permute(0, 3, 1, 2) if channels_last else features

    found = Pretrained(
        model,
        unpooled if pool else lambda model, frames: model(frames),
        spec or own,
        list(config["mean"]),
        list(config["std"]),
    )
    found.description = f"timm {timm.__version__} {name}, " + (
        f"last features pooled by {pool}" if pool else "pooled as its classifier does"
    )
    return found


def load_transformers(
    name: str, spec: FrameSpec | None, pool: Pool | None, weights: Path | None
) -> Pretrained:
    """Make a transformers vision model from the Hub, its cache or a folder; no code of the repo is run.

    The features are ``last_hidden_state``; ``pool`` is applied to them afterwards.

    Raises:
        EncoderError: No such model, or it does not say how its pictures are normalised.
        MissingExtraError: transformers is not installed.
    """
    del pool
    try:
        transformers: Any = importlib.import_module("transformers")
    except ImportError as error:
        raise MissingExtraError(error.name or "transformers", "hf") from error
    try:
        if weights is None:
            model = transformers.AutoModel.from_pretrained(name, trust_remote_code=False)
        else:
            config = transformers.AutoConfig.from_pretrained(name, trust_remote_code=False)
            model = transformers.AutoModel.from_config(config)
        file = transformers.utils.cached_file(name, "preprocessor_config.json")
        pictures = json.loads(Path(str(file)).read_text(encoding="utf-8"))
    except Exception as error:
        raise EncoderError(f"transformers cannot load {name!r}.", got=first_line(error)) from error
    model = getattr(model, "vision_model", model)
    if weights is not None:
        load_weights(model, weights)
    try:
        mean, std = list(pictures["image_mean"]), list(pictures["image_std"])
        size = _picture_size(pictures.get("crop_size") or pictures["size"])
    except (KeyError, TypeError) as error:
        raise EncoderError(
            f"{name!r} does not say how its pictures are made.",
            expected="image_mean, image_std and size in preprocessor_config.json",
            cure="Wrap it in a Python file with `encoder`.",
        ) from error
    found = Pretrained(
        model,
        lambda model, frames: model(pixel_values=frames).last_hidden_state,
        spec or FrameSpec(color="rgb", size=size),
        mean,
        std,
    )
    found.description = f"transformers {transformers.__version__} {name}, last_hidden_state"
    return found


def _picture_size(size: Any) -> tuple[int, int]:
    if isinstance(size, int):
        return size, size
    if "shortest_edge" in size:
        return int(size["shortest_edge"]), int(size["shortest_edge"])
    return int(size["height"]), int(size["width"])
