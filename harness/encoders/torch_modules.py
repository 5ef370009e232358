"""Torch modules as encoders: how they are called, and how weights are loaded without running code."""

from __future__ import annotations

import contextlib
import pickle
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
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
_WRAPPERS = {"module", "_orig_mod"}


def resolve_device(device: str) -> torch.device:
    """Return the torch device of a name.

    Raises:
        UsageError: The device is not available.
    """
    try:
        chosen = torch.device(device)
        torch.empty(1, device=chosen)
    except (RuntimeError, AssertionError, ValueError) as error:
        here = "cpu" + ", cuda" * torch.cuda.is_available() + ", mps" * torch.backends.mps.is_available()
        raise UsageError(
            f"The device {device!r} is not available.", expected=f"one of {here}", got=first_line(error)
        ) from error
    if chosen.type == "meta":
        raise UsageError("The device 'meta' cannot hold data.", expected="cpu or cuda")
    return chosen


def tensor_maker(
    spec: FrameSpec, device: torch.device, dtype: torch.dtype
) -> Callable[[Frames], torch.Tensor]:
    """Make the function that turns uint8 frames into the tensor that a module takes.

    The tensor is a copy on ``device``: uint8 if the spec says ``byte``, else ``dtype`` in 0..1. Other devices
    than the CPU divide there, so that only a quarter of the bytes is transferred.
    """

    def prepare(frames: Frames) -> torch.Tensor:
        if device.type == "cpu" and dtype == torch.float32:
            return torch.from_numpy(spec.prepare(frames))  # one pass where torch makes two
        arranged = spec.arrange(frames)
        if not arranged.flags.writeable:
            arranged = np.array(arranged)  # torch warns about read-only memory
        pixels = torch.from_numpy(arranged)
        if spec.scale == "byte":
            return pixels.to(device, copy=True)
        return pixels.to(device).to(dtype).div_(255)

    return prepare


def caller(
    module: nn.Module, device: torch.device, *, autocast: torch.dtype | None
) -> Callable[[torch.Tensor], Any]:
    """Make the function that runs a module in evaluation mode and without gradients.

    On CUDA without autocast, cuDNN uses deterministic kernels and no TF32, so that features equal those of
    the CPU up to rounding.
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
    """Switch to evaluation mode, and restore the mode of every submodule afterwards."""
    training = [part for part in module.modules() if getattr(part, "training", False)]
    for part in training:
        part.training = False
    try:
        yield
    finally:
        for part in training:
            part.training = True


def prefer_channels_last(module: nn.Module, call: Callable[[Any], Any], sample: torch.Tensor) -> None:
    """Store convolution weights with channels last, if the module still gives the same output.

    On the CPU this makes convolutions 1.3 times as fast (``benchmarks/embed.py``). A module that takes a
    ``view`` of a feature map does not run this way and keeps its layout.
    """
    if not any(weight.ndim == _CONV2D for weight in module.parameters()):
        return
    try:
        before = call(sample)
        _lay_out(module, torch.channels_last)
        after = call(sample)
        same = torch.allclose(after, before, rtol=1e-3, atol=1e-3 * float(before.abs().max()))
    except Exception:  # noqa: BLE001 - if it is not the layout, it is raised again later
        same = False
    if not same:
        _lay_out(module, torch.contiguous_format)


def read_weights(path: Path) -> dict[str, torch.Tensor]:
    """Read a state dict without running code from the file.

    Args:
        path: A ``.safetensors`` file, or a state dict written by ``torch.save``, alone or in a dict under
            ``state_dict``, ``model_state_dict`` or ``model``. NumPy scalars and arrays may be beside it.

    Raises:
        EncoderError: No such file, or it does not contain named tensors.
    """
    if not path.is_file():
        raise EncoderError(f"No such weights file: {str(path)!r}.")
    if path.suffix not in WEIGHT_SUFFIXES:
        raise EncoderError(
            f"{path.name} is not a supported weights file.",
            expected="a file name that ends in " + ", ".join(WEIGHT_SUFFIXES),
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
            f"{path.name} does not contain a state dict.",
            expected="names and tensors, alone or under one of the keys " + ", ".join(_CONTAINERS),
            got=keys,
            cure="torch.save(encoder.state_dict(), 'weights.pt')",
        )
    return {str(name): tensor for name, tensor in state.items()}


def load_weights(module: nn.Module, path: Path) -> str:
    """Load the weights of a file into a module; every tensor must match.

    What ``DataParallel`` and ``torch.compile`` add to names does not count, wherever it is. If the file holds
    a larger model and the module is exactly one part of it, that part is taken. If the module is only a shell
    around the file's model, that is where the weights go.

    Returns:
        The prefix of the part, such as ``encoder.``; empty if the file is of the module alone.

    Raises:
        EncoderError: As ``read_weights``; or names or shapes differ, or several parts match.
    """
    own = module.state_dict()
    state, part = _named_alike(read_weights(path), own, path)
    try:
        problems = module.load_state_dict(state, strict=False)
    except RuntimeError as error:
        lines = [line.strip() for line in str(error).splitlines() if "size mismatch" in line]
        raise EncoderError(
            f"The weights in {path.name} have different shapes from the encoder's.",
            got="; ".join(lines[:3]) or first_line(error),
        ) from error
    given = {tensor.data_ptr() for name, tensor in module.state_dict().items() if name in state}
    missing = [name for name in problems.missing_keys if module.state_dict()[name].data_ptr() not in given]
    if missing or problems.unexpected_keys:
        raise EncoderError(
            f"The weights in {path.name} do not match the encoder.",
            expected=f"{len(own)} tensors: {_some(list(own))}",
            got=f"{len(missing)} missing ({_some(missing)}), {len(problems.unexpected_keys)} unexpected "
            f"({_some(problems.unexpected_keys)})",
        )
    return part


def _named_alike(
    state: Mapping[str, torch.Tensor], own: Mapping[str, torch.Tensor], path: Path
) -> tuple[dict[str, torch.Tensor], str]:
    """Return the tensors of a file under the module's names, and the prefix of the part that they are of.

    A name that the module lacks stays as it is. If the names have nothing in common, either the module is
    the only part of the file's model that has its names and shapes, or all names of the module are those of
    the file with one prefix.

    Raises:
        EncoderError: Several parts match.
    """
    ours, theirs = _without_wrappers(own), _without_wrappers(state)
    if ours and not ours.keys() & theirs.keys():
        fitting = [
            prefix
            for prefix in _prefixes(theirs, ours)
            if {name for name in theirs if name.startswith(prefix)} == {prefix + name for name in ours}
            and all(_fits(state[theirs[prefix + name]], own[mine]) for name, mine in ours.items())
        ]
        if len(fitting) > 1:
            raise EncoderError(
                f"{len(fitting)} parts of the model in {path.name} match the encoder.",
                expected="one",
                got=", ".join(fitting),
                cure="Save the state dict of the part that is meant.",
            )
        if fitting:
            return {mine: state[theirs[fitting[0] + name]] for name, mine in ours.items()}, fitting[0]
        for prefix in _prefixes(ours, theirs):
            if {prefix + name for name in theirs} == ours.keys():
                theirs = {prefix + name: given for name, given in theirs.items()}
                break
    return {ours.get(name, given): state[given] for name, given in theirs.items()}, ""


def _without_wrappers(names: Iterable[str]) -> dict[str, str]:
    """Return names by what they are without wrappers, or by themselves if two would become the same."""
    names = list(names)
    found = {".".join(part for part in name.split(".") if part not in _WRAPPERS): name for name in names}
    return found if len(found) == len(names) else {name: name for name in names}


def _prefixes(longer: Iterable[str], shorter: Iterable[str]) -> list[str]:
    """Return what can stand before the shorter names to make them longer ones."""
    first = next(iter(shorter))
    return sorted({name.removesuffix(first) for name in longer if name.endswith(f".{first}")})


def materialise(module: nn.Module, call: Callable[[Any], Any], sample: torch.Tensor) -> None:
    """Initialize lazy layers with one frame and a fixed seed.

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
        with torch.serialization.safe_globals(_of_numpy()):
            return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        found = re.search(r"GLOBAL ([\w.]+)", str(error))
        raise EncoderError(
            f"{path.name} contains more than weights: reading it would run code from it.",
            expected="tensors, numbers and text",
            got=found[1] if found else re.sub(r"\x1b\[[0-9;]*m", "", first_line(error)),
            cure="torch.save(encoder.state_dict(), 'weights.pt'), or safetensors.torch.save_file",
        ) from error


def _of_numpy() -> list[Any]:
    """Return what a pickle of NumPy's scalars and arrays refers to, by its names in NumPy 1 and 2."""
    functions: list[Any] = [np.float64(0).__reduce__()[0], np.zeros(0).__reduce__()[0]]
    named = [(f, f"numpy.{core}.multiarray.{f.__name__}") for f in functions for core in ("core", "_core")]
    return [*named, np.ndarray, np.dtype, *(type(np.dtype(code)) for code in "?bhilqBHILQefdFDSU")]


def _fits(given: torch.Tensor, own: torch.Tensor) -> bool:
    return nn.parameter.is_lazy(own) or given.shape == own.shape


def _some(names: list[str], most: int = 4) -> str:
    return ", ".join(names[:most]) + (", ..." if len(names) > most else "") if names else "none"
