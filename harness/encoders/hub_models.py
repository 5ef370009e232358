"""Pretrained vision models of timm and transformers."""

from __future__ import annotations

import contextlib
import difflib
import importlib
import json
import re
import socket
from collections.abc import Callable, Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit
from urllib.request import getproxies

import torch
from torch import nn

from atariari_data.errors import MissingExtraError, UsageError
from harness.encoders.features import EncoderError, Pool, first_line
from harness.encoders.frame_spec import FrameSpec
from harness.encoders.torch_modules import load_weights

RGB = 3
_PATIENCE: Final = 3.0  # seconds to reach the Hub


class Pretrained(nn.Module):
    """A vision model with the color normalization that it was trained with.

    Attributes:
        spec: RGB frames in the size that the model was trained on, or the caller's spec.
        description: The library, its version, and which features are used.
        output: The part of the model's output that holds the features; None if it returns a tensor.
    """

    description: str = ""
    output: str | None = None
    mean: torch.Tensor
    std: torch.Tensor

    def __init__(
        self,
        model: nn.Module,
        features: Callable[[nn.Module, torch.Tensor], Any],
        spec: FrameSpec,
        mean: list[float],
        std: list[float],
    ) -> None:
        """Keep the model and its normalization.

        Raises:
            UsageError: The spec is not three channels in NCHW, in 0..1.
        """
        super().__init__()
        if (spec.channels, spec.layout, spec.scale) != (RGB, "NCHW", "unit"):
            raise UsageError(
                "A pretrained vision model takes one RGB frame.",
                expected="FrameSpec(color='rgb', size=...)",
                got=str(spec),
            )
        self.model = model
        self.features = features
        self.spec = spec
        self.register_buffer("mean", torch.tensor(mean).reshape(-1, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).reshape(-1, 1, 1), persistent=False)

    def forward(self, frames: torch.Tensor) -> Any:
        """Embed float32 [n, 3, height, width] in 0..1; return what the model does."""
        return self.features(self.model, (frames - self.mean) / self.std)


def load_timm(name: str, spec: FrameSpec | None, pool: Pool | None, weights: Path | None) -> Pretrained:
    """Load a timm model, by default with its pretrained weights, from timm's cache or the Hub.

    Without ``pool`` the features are those that the model pools for its classifier; with it, the last feature
    map or the last tokens, pooled that way.

    Raises:
        EncoderError: No such model, no weights for it, or timm cannot be imported.
        MissingExtraError: timm is not installed.
    """
    timm = _import("timm", "timm")
    if not name.startswith(("hf-hub:", "hf_hub:", "local-dir:")) and not timm.is_model(
        name.partition(".")[0]
    ):
        near = difflib.get_close_matches(name, timm.list_models(), n=1, cutoff=0.5)
        raise EncoderError(
            f"timm has no model named {name!r}.", cure=f"Did you mean {near[0]!r}?" if near else None
        )
    with _loading(f"timm cannot load {name!r}."):
        model = timm.create_model(name, pretrained=weights is None, num_classes=0)
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
    """Load a transformers vision model from the Hub, its cache or a folder, without running code from there.

    The features are ``last_hidden_state``, or another part of the model's output that the caller chooses;
    ``pool`` is applied later.

    Raises:
        EncoderError: No such model, or its preprocessing is unknown, or transformers cannot be imported.
        MissingExtraError: transformers is not installed.
    """
    del pool
    transformers = _import("transformers", "hf")
    with _loading(f"transformers cannot load {name!r}."):
        if weights is None:
            model = transformers.AutoModel.from_pretrained(name, trust_remote_code=False)
        else:
            config = transformers.AutoConfig.from_pretrained(name, trust_remote_code=False)
            model = transformers.AutoModel.from_config(config)
        file = transformers.utils.cached_file(name, "preprocessor_config.json")
        pictures = json.loads(Path(str(file)).read_text(encoding="utf-8"))
    model = getattr(model, "vision_model", model)
    if weights is not None:
        load_weights(model, weights)
    try:
        mean, std = list(pictures["image_mean"]), list(pictures["image_std"])
        size = _picture_size(pictures.get("crop_size") or pictures["size"])
    except (KeyError, TypeError) as error:
        raise EncoderError(
            f"The preprocessing of {name!r} is unknown.",
            expected="image_mean, image_std and size in preprocessor_config.json",
            cure="Load it in a Python file with `load_encoder()`.",
        ) from error
    found = Pretrained(
        model,
        lambda model, frames: model(pixel_values=frames),
        spec or FrameSpec(color="rgb", size=size),
        mean,
        std,
    )
    found.description = f"transformers {transformers.__version__} {name}"
    found.output = "last_hidden_state"
    return found


def _import(library: str, extra: str) -> Any:
    """Import a model library.

    Raises:
        MissingExtraError: It, or something that it needs, is not installed.
        EncoderError: It fails, as it does beside a torchvision that was built for another torch.
    """
    try:
        return importlib.import_module(library)
    except ModuleNotFoundError as error:
        raise MissingExtraError(error.name or library, extra) from error
    except Exception as error:
        raise EncoderError(
            f"{library} cannot be imported.", got=first_line(error), cure=_torchvision_cure()
        ) from error


@contextlib.contextmanager
def _loading(what: str) -> Iterator[None]:
    """Turn the errors of a model library into one of ours; without network, at once."""
    from huggingface_hub import constants

    reached, before = _reaches(constants.ENDPOINT), constants.HF_HUB_OFFLINE
    constants.HF_HUB_OFFLINE = before or not reached
    try:
        yield
    except Exception as error:
        cure = _torchvision_cure() if "torchvision" in str(error) else None
        if not reached:
            cure = f"Connect to {constants.ENDPOINT}, or download the model first."
        raise EncoderError(what, got=first_line(error), cure=cure) from error
    finally:
        constants.HF_HUB_OFFLINE = before


def _reaches(address: str) -> bool:
    """Whether a server can be reached; behind a proxy only the attempt tells."""
    url = urlsplit(address)
    if getproxies().get(url.scheme):
        return True
    try:
        port = url.port or (443 if url.scheme == "https" else 80)
        socket.create_connection((url.hostname or "", port), timeout=_PATIENCE).close()
    except OSError:
        return False
    return True


def _torchvision_cure() -> str | None:
    """Say which torchvision fits the installed torch: 0.15 came with torch 2.0, and so on."""
    release = re.match(r"2\.(\d+)\.", torch.__version__)
    try:
        found = version("torchvision")
    except PackageNotFoundError:
        return None
    if release is None:
        return None
    return (
        f"torch {torch.__version__} needs torchvision 0.{15 + int(release[1])}, and {found} is installed: "
        f"pip install 'torchvision==0.{15 + int(release[1])}.*'"
    )


def _picture_size(size: Any) -> tuple[int, int]:
    if isinstance(size, int):
        return size, size
    if "shortest_edge" in size:
        return int(size["shortest_edge"]), int(size["shortest_edge"])
    return int(size["height"]), int(size["width"])
