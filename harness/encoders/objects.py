"""Python objects as encoders: torch modules, objects with ``encode``, transformers, functions."""

from __future__ import annotations

import functools
import inspect
import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from atariari_data.checks import count
from atariari_data.errors import MissingExtraError, UsageError
from harness.encoders.digests import arrays_of, object_digest, weights_digest
from harness.encoders.encoder import (
    POOLS,
    BatchSize,
    EncoderError,
    FrameSpec,
    LoadedEncoder,
    Pool,
    sample_frames,
)
from harness.encoders.features import choose
from harness.encoders.programs import OnnxEncoder
from harness.encoders.python_files import PythonFile, encoder_errors, find_encoder, is_encoder_class, seeded

CPU_BATCH = 64
CUDA_BATCH = 4096
FEATURE_SIZE = 256
_LONGEST = 100
_ABOUT_SHAPES = re.compile(
    r"^(RuntimeError|ValueError|IndexError|AssertionError|EinopsError)\b.*"
    r"(shape|size|dimension|channel|broadcast|ax[ie]s\b|matmul|mat1|reshape)",
    re.IGNORECASE | re.DOTALL,
)


@dataclass(frozen=True)
class Request:
    """The caller's options, and where the encoder comes from.

    Attributes:
        spec: Replaces the encoder's own.
        pool: Replaces the encoder's own.
        output: Replaces the encoder's own.
        name: Replaces the encoder's own.
        weights: A file with the weights.
        device: None for where the encoder is, or the CPU if it is new.
        batch_size: None for automatic.
        autocast: Half precision where torch considers it safe.
        home: The Python file that defines it.
        source: The digest of its code, and what was digested.
    """

    spec: FrameSpec | None = None
    pool: Pool | None = None
    output: str | None = None
    name: str | None = None
    weights: Path | None = None
    device: str | None = None
    batch_size: int | None = None
    autocast: bool = False
    home: PythonFile | None = None
    source: tuple[str, str] | None = None

    def validate(self) -> None:
        """Check the caller's options.

        Raises:
            UsageError: No such pooling, no possible name of an output, an empty batch, or an invalid spec.
        """
        if self.pool is not None and self.pool not in POOLS:
            raise UsageError("No such pooling.", expected="one of " + ", ".join(POOLS), got=repr(self.pool))
        if self.output is not None and not _is_plain(self.output):
            raise UsageError(
                "Not the name of a part of an output.",
                expected="1 to 100 printable ASCII characters, such as last_hidden_state",
                got=ascii(self.output),
            )
        if self.batch_size is not None:
            count("batch_size", self.batch_size)
        if self.spec is not None:
            FrameSpec.of(self.spec)

    def plain(self) -> dict[str, Any]:
        """Return what a caller chose as JSON values, paths absolute, for another process."""
        weights = None if self.weights is None else str(self.weights.expanduser().resolve())
        spec = None if self.spec is None else asdict(self.spec)
        chosen = ("pool", "output", "name", "device", "batch_size", "autocast")
        return {"weights": weights, "spec": spec, **{name: getattr(self, name) for name in chosen}}

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> Request:
        """Read what `plain` gave."""
        weights, spec = plain["weights"], plain["spec"]
        return cls(
            **{
                **plain,
                "weights": None if weights is None else Path(weights),
                "spec": None if spec is None else FrameSpec(**{**spec, "size": tuple(spec["size"])}),
            }
        )


def adapt(thing: Any, request: Request) -> LoadedEncoder:
    """Turn an object into a loaded encoder, as `harness.load_encoder` does."""
    with encoder_errors("Looking at", request.home):
        return _adapt(thing, request)


def _adapt(thing: Any, request: Request) -> LoadedEncoder:
    if isinstance(thing, ModuleType):
        thing = _of_module(thing)
    if inspect.isclass(thing):
        thing = _instance(thing, request)
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(thing, torch.nn.Module):
        return _torch_module(thing, request)
    if request.weights is not None:
        raise EncoderError(
            "Only torch modules take a weights file.",
            got=type(thing).__name__,
            cure="Load the weights in the encoder's own code.",
        )
    if request.autocast:
        raise EncoderError("Only torch modules support autocast.", got=type(thing).__name__)
    if request.device not in (None, "cpu"):
        raise EncoderError(
            f"Only torch modules can be moved to a device; this is a {type(thing).__name__}.",
            cure="Choose the device in the encoder's own code.",
        )
    if callable(getattr(thing, "encode", None)):
        return _numpy(thing, thing.encode, request, "object")
    if callable(getattr(thing, "transform", None)):
        return _transformer(thing, request)
    if callable(thing):
        return _numpy(thing, thing, request, "function")
    raise EncoderError(
        "Not an encoder.",
        expected="a torch module, an object with `encode`, a fitted transformer or a function",
        got=type(thing).__name__,
    )


def _of_module(module: ModuleType) -> Any:
    if callable(getattr(module, "encode", None)):
        return module
    file = getattr(module, "__file__", None)
    return find_encoder(module, PythonFile(Path(file or module.__name__)))


def _instance(cls: type, request: Request) -> Any:
    """Instantiate an encoder class, with the arguments that the original's encoders take."""
    if not is_encoder_class(cls) and not hasattr(cls, "transform") and "__call__" not in vars(cls):
        raise EncoderError(
            f"The class {cls.__name__} is not an encoder.",
            expected="a torch.nn.Module or a method `encode`",
        )
    spec = _spec_of(cls, request)
    known = {"input_channels": spec.channels, "feature_size": FEATURE_SIZE}
    try:
        parameters = inspect.signature(cls).parameters.values()
    except (TypeError, ValueError):
        parameters = {}.values()
    needed = [
        p.name for p in parameters if p.default is p.empty and p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)
    ]
    unknown = [name for name in needed if name not in known]
    if unknown:
        raise EncoderError(
            f"The class {cls.__name__} cannot be instantiated without arguments.",
            expected="defaults for all arguments but input_channels and feature_size",
            got=", ".join(unknown),
            cure=f"Instantiate it in the file: `encoder = {cls.__name__}(...)`.",
        )
    with seeded(), encoder_errors(f"Instantiating {cls.__name__} of", request.home):
        return cls(**{name: known[name] for name in needed})


def _torch_module(module: Any, request: Request) -> LoadedEncoder:
    import torch

    from harness.encoders import torch_modules as tm

    spec = _spec_of(module, request)
    tensors = [*module.parameters(), *module.buffers()]
    device = tm.resolve_device(request.device or str(next((t.device for t in tensors), "cpu")))
    source = request.source or object_digest(module)
    with encoder_errors("Moving to its device", request.home):
        module.to(device)
    floats = [p.dtype for p in module.parameters() if p.is_floating_point()]
    dtype = floats[0] if floats else torch.float32
    half = None
    if request.autocast and dtype is torch.float32:  # what is in half precision already stays as it is
        half = torch.float16 if device.type == "cuda" else torch.bfloat16
    prepare = tm.tensor_maker(spec, device, dtype)
    output = _output_of(module, request)
    call = _choosing(_careful(tm.caller(module, device, autocast=half), spec, request.home), output)
    part = tm.load_weights(module, request.weights) if request.weights is not None else ""
    tm.materialise(module, call, prepare(sample_frames(spec, 1)))
    if request.home is not None and device.type == "cpu":  # made here: no other code relies on its layout
        tm.prefer_channels_last(module, call, prepare(sample_frames(spec, 2)))
    precision = str(half or dtype).removeprefix("torch.")
    kind = f"torch module {type(module).__name__}.{'encode' if hasattr(module, 'encode') else 'forward'}"
    return LoadedEncoder(
        name=_name(module, request),
        spec=spec,
        source_digest=source[0],
        source_kind=source[1],
        weights_digest=_weights_of(module, request),
        parameters=sum(p.numel() for p in module.parameters()),
        pool=_pool_of(module, request),
        output=output,
        weights_part=_printable(part) if part else None,
        device=str(device),
        precision=precision,
        description=f"{_described(module, kind)} on {device}, sees {spec}{_gives(output)}"
        + (f", weights of {part.rstrip('.')!r}" if part else ""),
        prepare=prepare,
        call=call,
        batches=_batches(request, device.type),
    )


def _numpy(thing: Any, function: Callable[[Any], Any], request: Request, kind: str) -> LoadedEncoder:
    spec = _spec_of(thing, request)
    own = function if inspect.ismodule(thing) else thing  # a module of Python is no encoder, its function is
    source = request.source or object_digest(own)
    shown = getattr(thing, "__name__", None) or type(thing).__name__
    output = _output_of(thing, request)
    return LoadedEncoder(
        name=_name(thing, request),
        spec=spec,
        source_digest=source[0],
        source_kind=source[1],
        weights_digest=_weights_of(own, request),
        parameters=None,
        pool=_pool_of(thing, request),
        output=output,
        device=thing.device if isinstance(thing, OnnxEncoder) else "cpu",
        description=f"{_described(thing, f'{kind} {shown}')}, sees {spec}{_gives(output)}",
        prepare=spec.prepare,
        call=_choosing(_careful(_without_gradients(function), spec, request.home), output),
        batches=_batches(request, "cpu"),
    )


def _transformer(thing: Any, request: Request) -> LoadedEncoder:
    try:
        from sklearn.exceptions import NotFittedError
        from sklearn.utils.validation import check_is_fitted
    except ImportError as error:
        raise MissingExtraError("scikit-learn", "harness") from error
    try:
        check_is_fitted(thing)
    except NotFittedError as error:
        raise EncoderError(
            f"The transformer {type(thing).__name__} is not fitted.",
            cure="Fit it first, for example on frames of the pretraining set.",
        ) from error
    except TypeError:  # not an estimator by its methods, but it has transform
        pass
    return _numpy(
        thing, lambda x: thing.transform(x.reshape(len(x), -1)), request, "transformer of flat frames"
    )


def _careful(call: Callable[[Any], Any], spec: FrameSpec, home: PythonFile | None) -> Callable[[Any], Any]:
    """Let errors of the encoder name its line, and its input where that may be the cause."""

    @functools.wraps(call)
    def run(frames: Any) -> Any:
        try:
            with encoder_errors("Running", home):
                return call(frames)
        except EncoderError as error:
            if error.expected or error.__cause__ is None or not _about_shapes(error.__cause__):
                raise
            raise EncoderError(
                error.what,
                expected=f"that it takes {spec}",
                got=error.got,
                cure="If it takes other frames, set them: spec = FrameSpec(color='rgb', size=(84, 84)).",
            ) from error.__cause__

    return run


def _choosing(call: Callable[[Any], Any], output: str | None) -> Callable[[Any], Any]:
    """Let an encoder return the part of its output that holds the features."""

    @functools.wraps(call)
    def run(frames: Any) -> Any:
        return choose(call(frames), output)

    return run


def _about_shapes(error: BaseException) -> bool:
    return bool(_ABOUT_SHAPES.search(f"{type(error).__name__}: {error}"))


def _without_gradients(function: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Disable gradients where torch is used inside, which would fill memory."""

    def call(frames: Any) -> Any:
        torch = sys.modules.get("torch")
        if torch is None:
            return function(frames)
        with torch.no_grad():
            return function(frames)

    return call


def _weights_of(thing: Any, request: Request) -> str | None:
    with encoder_errors("Reading the weights of", request.home):
        return weights_digest(dict(arrays_of(thing)))


def _spec_of(thing: Any, request: Request) -> FrameSpec:
    spec = request.spec or getattr(thing, "spec", None)
    if spec is None:
        return FrameSpec()
    if inspect.isclass(thing) and not isinstance(spec, FrameSpec | Mapping | str):
        return FrameSpec()  # a property or a slot: only the object will tell
    try:
        return FrameSpec.of(spec)
    except UsageError as error:
        raise EncoderError(error.what, expected=error.expected, got=error.got, cure=error.cure) from error


def _pool_of(thing: Any, request: Request) -> Pool | None:
    pool = request.pool or getattr(thing, "pool", None)
    if not isinstance(pool, str):  # a torch module may well have a layer of this name
        return None
    if pool not in POOLS:
        raise EncoderError(
            "The encoder's `pool` is unknown.", expected="one of " + ", ".join(POOLS), got=pool
        )
    return pool


def _output_of(thing: Any, request: Request) -> str | None:
    output = request.output or getattr(thing, "output", None)
    if not isinstance(output, str):  # a torch module may well have a layer of this name
        return None
    if not _is_plain(output):
        raise EncoderError(
            "The encoder's `output` is not the name of a part of its output.",
            expected="1 to 100 printable ASCII characters, such as last_hidden_state",
            got=ascii(output),
        )
    return output


def _gives(output: str | None) -> str:
    return "" if output is None else f", gives {output!r}"


def _described(thing: Any, otherwise: str) -> str:
    own = getattr(thing, "description", None)
    return own if isinstance(own, str) else otherwise


def name_of(thing: Any) -> str | None:
    """Return the encoder's own attribute ``name``, if it is a name."""
    name = getattr(thing, "name", None)
    return name if isinstance(name, str) and name.strip() else None


def _name(thing: Any, request: Request) -> str:
    name = request.name or name_of(thing) or getattr(thing, "__name__", None) or type(thing).__name__
    return _printable(name.strip())


def _printable(text: str) -> str:
    return re.sub(r"[^\x20-\x7e]", "?", text)[:_LONGEST]


def _is_plain(text: object) -> bool:
    return isinstance(text, str) and 0 < len(text) <= _LONGEST and text.isascii() and text.isprintable()


def _batches(request: Request, device_type: str) -> BatchSize:
    if request.batch_size:
        return BatchSize(size=request.batch_size)
    return BatchSize(size=CPU_BATCH, limit=CUDA_BATCH if device_type == "cuda" else 0)
