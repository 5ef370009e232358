"""Compiled encoders: TorchScript archives, ``torch.export`` programs, ONNX files."""

from __future__ import annotations

import os
import warnings
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from atariari_data.errors import MissingExtraError, UsageError
from harness.encoders.features import EncoderError, first_line
from harness.encoders.frame_spec import FrameSpec

PROGRAM_SUFFIXES = (".pt", ".pth", ".ts", ".jit", ".pt2", ".onnx")
_ONNX_FLOATS = {"tensor(float)": np.float32, "tensor(double)": np.float64, "tensor(float16)": np.float16}


def load_program(path: Path, spec: FrameSpec | None, device: str | None) -> Any:
    """Load a compiled encoder as a torch module, or as an object with ``spec`` and ``encode``.

    Args:
        path: ``.onnx``; ``.pt2`` from ``torch.export.save``; ``.ts``, ``.jit``, ``.pt`` or ``.pth`` from
            ``torch.jit.save``.
        spec: The frames that it takes, which a compiled program does not contain.
        device: The device to run on.

    Raises:
        EncoderError: Not a program, or it would run pickled code, or does not fit ``spec``.
        UsageError: The device is not available.
        MissingExtraError: onnxruntime is not installed.
    """
    if path.suffix == ".onnx":
        return OnnxEncoder(path, spec, device or "cpu")
    names = _members(path)
    if any(name.endswith("/archive_format") for name in names):
        return _load_exported(path, device)
    if any("/code/" in name for name in names):
        return _load_script(path)
    weights = any(name.endswith("/data.pkl") for name in names)
    raise EncoderError(
        f"{path.name} contains weights, but no encoder." if weights else f"{path.name} contains no encoder.",
        expected="a program saved by torch.jit.save or torch.export.save",
        cure=f"Pass the Python file of the encoder, and this file with --weights {path.name}."
        if weights
        else None,
    )


class OnnxEncoder:
    """An ONNX model with one input, run by onnxruntime.

    Attributes:
        spec: The frames that it takes: as given, or gray frames in the type of its input.
        device: ``cpu`` or ``cuda``.
    """

    __slots__ = ("_batch", "_dtype", "_input", "_outputs", "_session", "description", "device", "spec")

    def __init__(self, path: Path, spec: FrameSpec | None, device: str) -> None:
        """Start a session, and check that its input takes frames."""
        try:
            import onnxruntime
        except ImportError as error:
            raise MissingExtraError("onnxruntime", "onnx") from error
        provider = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}.get(
            device.partition(":")[0]
        )
        if provider not in onnxruntime.get_available_providers():
            cure = "For CUDA, install onnxruntime-gpu in place of onnxruntime."
            raise UsageError(f"onnxruntime cannot use the device {device!r}.", cure=cure)
        try:
            self._session = onnxruntime.InferenceSession(path, providers=[provider])
        except Exception as error:
            raise EncoderError(f"{path.name} is not a readable ONNX model.", got=first_line(error)) from error
        inputs, outputs = self._session.get_inputs(), self._session.get_outputs()
        if len(inputs) != 1:
            raise EncoderError(
                f"{path.name} does not have the inputs of an encoder.",
                expected="one input (frames)",
                got=f"inputs {_names(inputs)}",
                cure="Export it with only this one.",
            )
        self._outputs = [output.name for output in outputs]
        (self._input,) = inputs
        wants_bytes = self._input.type == "tensor(uint8)"
        self.spec = spec or FrameSpec(scale="byte" if wants_bytes else "unit")
        self._dtype: Any = np.uint8 if wants_bytes else _ONNX_FLOATS.get(self._input.type)
        self._check(path)
        self._batch = self._input.shape[0] if isinstance(self._input.shape[0], int) else None
        self.device = device
        self.description = f"ONNX model {path.name} by onnxruntime {onnxruntime.__version__}"

    def encode(self, frames: npt.NDArray[Any]) -> npt.NDArray[Any] | dict[str, npt.NDArray[Any]]:
        """Run the model; one exported for a fixed batch size gets batches of that size.

        Returns:
            Its output; several by name.
        """
        frames = frames.astype(self._dtype, copy=False)
        batches = [frames] if self._batch is None else _parts(frames, self._batch)
        runs = [self._session.run(None, {self._input.name: batch}) for batch in batches]
        whole = [np.concatenate(parts)[: len(frames)] for parts in zip(*runs, strict=True)]
        return whole[0] if len(whole) == 1 else dict(zip(self._outputs, whole, strict=True))

    def _check(self, path: Path) -> None:
        wanted = list(self._input.shape)
        given = list(self.spec.shape(0))
        fits = len(wanted) == len(given) and all(
            not isinstance(w, int) or w == g for w, g in zip(wanted[1:], given[1:], strict=True)
        )
        if not fits or self._dtype is None or (self._dtype == np.uint8) != (self.spec.scale == "byte"):
            raise EncoderError(
                f"{path.name} takes different frames.",
                expected=str(self.spec),
                got=f"{self._input.type.removeprefix('tensor')} {wanted}".replace("'", ""),
                cure="Set its frames, such as --spec color=rgb,size=224x224.",
            )


def _names(values: Any) -> str:
    return ", ".join(value.name for value in values)


def _parts(frames: Any, size: int) -> Iterator[Any]:
    """Yield batches of exactly ``size`` rows; the last is filled up with its last row."""
    for start in range(0, len(frames), size):
        part = frames[start : start + size]
        yield part if len(part) == size else part[[*range(len(part)), *[-1] * (size - len(part))]]


def _load_script(path: Path) -> Any:
    import torch

    try:
        with warnings.catch_warnings():
            warnings.simplefilter(
                "ignore", DeprecationWarning
            )  # torch.jit is deprecated, its archives remain
            return torch.jit.load(str(path), map_location="cpu")  # type: ignore[no-untyped-call]
    except Exception as error:
        raise EncoderError(f"{path.name} is not readable TorchScript.", got=first_line(error)) from error


def _load_exported(path: Path, device: str | None) -> Any:
    import torch
    from torch import nn

    try:
        with _only_weights():
            program = torch.export.load(path)
    except Exception as error:
        raise EncoderError(
            f"{path.name} is not a torch.export program that can be read without running pickled code.",
            got=first_line(error),
            cure="Export and save it again with a recent torch, with plain tensors as example inputs.",
        ) from error
    if device not in (None, "cpu"):
        from torch.export.passes import move_to_device_pass

        program = move_to_device_pass(program, device)
    inputs = [n for n in program.graph.nodes if n.name in program.graph_signature.user_inputs]
    if len(inputs) != 1:
        raise EncoderError(f"{path.name} has {len(inputs)} inputs.", expected="one input (frames)")
    rows = inputs[0].meta["val"].shape[0]
    run = program.module()
    if not isinstance(rows, int):
        return run

    class InFixedBatches(nn.Module):
        """A program that was exported for a fixed batch size."""

        def __init__(self) -> None:
            super().__init__()
            self.program = run

        def forward(self, frames: torch.Tensor) -> torch.Tensor:
            return torch.cat([self.program(part) for part in _parts(frames, rows)])[: len(frames)]

    return InFixedBatches()


@contextmanager
def _only_weights() -> Iterator[None]:
    """Make ``torch.load`` refuse pickled code, which ``torch.export.load`` allows in three places."""
    name = "TORCH_FORCE_WEIGHTS_ONLY_LOAD"
    before = os.environ.get(name)
    os.environ[name] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before


def _members(path: Path) -> list[str]:
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.namelist()
    except (OSError, zipfile.BadZipFile):
        return []
