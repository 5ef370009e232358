"""Torch modules as encoders: how they are called, and weights from files that hold nothing but weights."""

from __future__ import annotations

import contextlib
import pickle
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from atariari_data.errors import MissingExtraError, UsageError
from harness.encoders.features import EncoderError, first_line
from harness.encoders.frame_spec import Frames, FrameSpec

WEIGHT_SUFFIXES = (".safetensors", ".pt", ".pth", ".bin", ".ckpt")
_CONV2D = 4  # axes of its weight
_CONTAINERS = ("state_dict", "model_state_dict", "model")
_PREFIXES = ("module.", "_orig_mod.")


def resolve_device(device: str) -> torch.device:
    """The torch device of this name.

    Raises:
        UsageError: There is no such device here.
    """
    try:
        chosen = torch.device(device)
        torch.empty(1, device=chosen)
    except (RuntimeError, AssertionError, ValueError) as error:
        here = "cpu" + ", cuda" * torch.cuda.is_available() + ", mps" * torch.backends.mps.is_available()
        raise UsageError(
            f"The device {device!r} cannot be used here.", expected=f"one of {here}", got=first_line(error)
        ) from error
    if chosen.type == "meta":
        raise UsageError("The device 'meta' holds no numbers.", expected="cpu or cuda")
    return chosen


def tensor_maker(
    spec: FrameSpec, device: torch.device, dtype: torch.dtype
) -> Callable[[Frames], torch.Tensor]:
    """Make the function from uint8 frames to the tensor that a module gets.

    The tensor is a copy on ``device``: uint8 where the spec says ``byte``, else ``dtype`` in 0..1. Away from
    the CPU the division happens on the device, so that a quarter of the bytes travel there.
    """

    def prepare(frames: Frames) -> torch.Tensor:
        if device.type == "cpu" and dtype == torch.float32:
            return torch.from_numpy(spec.prepare(frames))  # one pass where torch makes two
        arranged = spec.arrange(frames)
        if not arranged.flags.writeable:
            arranged = np.array(arranged)  # torch warns about memory that it could write to and must not
        pixels = torch.from_numpy(arranged)
        if spec.scale == "byte":
            return pixels.to(device, copy=True)
        return pixels.to(device).to(dtype).div_(255)

    return prepare


def caller(
    module: nn.Module, device: torch.device, *, autocast: torch.dtype | None
) -> Callable[[torch.Tensor], Any]:
    """Make the function that runs a module: evaluation mode, no gradients, nothing left behind.

    On CUDA without autocast, cuDNN picks deterministic kernels and no TF32, so that the features are those
    of the CPU but for rounding.
    """
    encode: Callable[[torch.Tensor], Any] = getattr(module, "encode", module)

    def call(frames: torch.Tensor) -> Any:
        with evaluating(module), torch.no_grad(), contextlib.ExitStack() as stack:
            if autocast is not None:
                stack.enter_context(torch.autocast(device.type, dtype=autocast))
            elif device.type == "cuda":
                stack.enter_context(
                    torch.backends.cudnn.flags(enabled=True, deterministic=True, allow_tf32=False)
                )
            return encode(frames)

    return call


@contextlib.contextmanager
def evaluating(module: nn.Module) -> Iterator[None]:
    """Evaluation mode for a while; afterwards every submodule is in the mode it was."""
    training = [part for part in module.modules() if getattr(part, "training", False)]
    for part in training:
        part.training = False
    try:
        yield
    finally:
        for part in training:
            part.training = True


def prefer_channels_last(module: nn.Module, call: Callable[[Any], Any], sample: torch.Tensor) -> None:
    """Lay convolution weights out with channels last, where the module still does the same.

    On the CPU convolutions are 1.3 times as fast so (``benchmarks/embed.py``). A module that takes a ``view``
    of a feature map does not run then, and keeps the layout it had.
    """
    if not any(weight.ndim == _CONV2D for weight in module.parameters()):
        return
    try:
        before = call(sample)
        _lay_out(module, torch.channels_last)
        after = call(sample)
        same = torch.allclose(after, before, rtol=1e-3, atol=1e-3 * float(before.abs().max()))
    except Exception:  # noqa: BLE001 - whatever it was, it shows in the layout that the author knows
        same = False
    if not same:
        _lay_out(module, torch.contiguous_format)


def read_weights(path: Path) -> dict[str, torch.Tensor]:
    """Read a state dict, running no code from the file.

    Args:
        path: ``.safetensors``, or what ``torch.save`` wrote of a state dict, alone or under the key
            ``state_dict``, ``model_state_dict`` or ``model`` of a dict.

    Raises:
        EncoderError: No such file, or it holds something else than named tensors.
    """
    if not path.is_file():
        raise EncoderError(f"There is no weights file {str(path)!r}.")
    if path.suffix not in WEIGHT_SUFFIXES:
        raise EncoderError(
            f"{path.name} is no weights file by its name.",
            expected="a name with " + ", ".join(WEIGHT_SUFFIXES),
        )
    try:
        found = _read_safetensors(path) if path.suffix == ".safetensors" else _read_torch(path)
    except (MissingExtraError, EncoderError):
        raise
    except Exception as error:
        raise EncoderError(f"{path.name} cannot be read as weights.", got=first_line(error)) from error
    inner = [
        found[key]
        for key in _CONTAINERS
        if isinstance(found, Mapping) and isinstance(found.get(key), Mapping)
    ]
    state = inner[0] if len(inner) == 1 else found
    if (
        not isinstance(state, Mapping)
        or not state
        or not all(isinstance(v, torch.Tensor) for v in state.values())
    ):
        keys = ", ".join(map(str, list(found)[:8])) if isinstance(found, Mapping) else type(found).__name__
        raise EncoderError(
            f"{path.name} holds no state dict.",
            expected="names and tensors, alone or under one of the keys " + ", ".join(_CONTAINERS),
            got=keys,
            cure="torch.save(encoder.state_dict(), 'weights.pt')",
        )
    return {str(name): tensor for name, tensor in state.items()}


def load_weights(module: nn.Module, path: Path) -> None:
    """Put the weights of a file into a module; every one must have its place.

    Raises:
        EncoderError: As ``read_weights``; or names or shapes differ.
    """
    state = read_weights(path)
    own = module.state_dict()
    for prefix in _PREFIXES:
        if all(name.startswith(prefix) for name in state) and not any(
            name.startswith(prefix) for name in own
        ):
            nn.modules.utils.consume_prefix_in_state_dict_if_present(state, prefix)
    try:
        problems = module.load_state_dict(state, strict=False)
    except RuntimeError as error:
        lines = [line.strip() for line in str(error).splitlines() if "size mismatch" in line]
        raise EncoderError(
            f"The weights of {path.name} have other shapes than the encoder's.",
            got="; ".join(lines[:3]) or first_line(error),
        ) from error
    given = {tensor.data_ptr() for name, tensor in module.state_dict().items() if name in state}
    missing = [name for name in problems.missing_keys if module.state_dict()[name].data_ptr() not in given]
    if missing or problems.unexpected_keys:
        raise EncoderError(
            f"The weights of {path.name} are not those of this encoder.",
            expected=f"{len(own)} tensors: {_some(list(own))}",
            got=f"{len(missing)} missing ({_some(missing)}), {len(problems.unexpected_keys)} without a place "
            f"({_some(problems.unexpected_keys)})",
        )


def materialise(module: nn.Module, call: Callable[[Any], Any], sample: torch.Tensor) -> None:
    """Let lazy layers find their shapes from one frame, with fixed random numbers.

    Raises:
        EncoderError: The module fails on it.
    """
    if any(nn.parameter.is_lazy(p) for p in (*module.parameters(), *module.buffers())):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            call(sample)


def _lay_out(module: nn.Module, memory_format: torch.memory_format) -> None:
    for weight in module.parameters():
        if weight.ndim == _CONV2D:
            weight.data = weight.data.contiguous(memory_format=memory_format)


def _read_safetensors(path: Path) -> Any:
    try:
        from safetensors.torch import load_file
    except ImportError as error:
        raise MissingExtraError("safetensors", "harness") from error
    return load_file(path)


def _read_torch(path: Path) -> Any:
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise EncoderError(
            f"{path.name} is not only weights: reading it would run code from it.",
            got=first_line(error),
            cure="torch.save(encoder.state_dict(), 'weights.pt'), or safetensors.torch.save_file",
        ) from error


def _some(names: list[str], most: int = 4) -> str:
    return ", ".join(names[:most]) + (", ..." if len(names) > most else "") if names else "none"
