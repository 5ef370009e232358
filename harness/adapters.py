"""From whatever people have to an encoder that is ready: files, objects, models by name."""

from __future__ import annotations

import functools
import hashlib
import inspect
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from atariari_data.errors import MissingExtraError, UsageError
from harness.encoder import POOLS, BatchSize, EncoderError, Frames, FrameSpec, LoadedEncoder, Pool
from harness.encoder_file import blame, find_encoder, import_file, is_encoder_class, seeded
from harness.fingerprint import arrays_of, files_digest, object_digest, weights_digest
from harness.programs import PROGRAM_SUFFIXES, OnnxEncoder, load_program

CPU_BATCH = 128
CUDA_BATCH = 4096
FEATURE_SIZE = 256
_PICKLES = (".joblib", ".pkl", ".pickle", ".skops")


@dataclass(frozen=True)
class Request:
    """What the caller asked for, and what is known of where the encoder came from.

    Attributes:
        spec: In place of the encoder's own.
        pool: In place of the encoder's own.
        name: In place of the encoder's own.
        weights: A file with the weights.
        device: None is where the encoder is, the CPU for anything new.
        batch_size: None lets us choose.
        autocast: Half precision where torch thinks it safe.
        home: The file with its code, for messages.
        source: Digest of its code and of what it is the digest.
    """

    spec: FrameSpec | None = None
    pool: Pool | None = None
    name: str | None = None
    weights: Path | None = None
    device: str | None = None
    batch_size: int | None = None
    autocast: bool = False
    home: Path | None = None
    source: tuple[str, str] | None = None


def load_encoder(
    source: str | Path | object,
    *,
    weights: str | Path | None = None,
    device: str | None = None,
    spec: FrameSpec | None = None,
    pool: Pool | None = None,
    name: str | None = None,
    batch_size: int | None = None,
    autocast: bool = False,
) -> LoadedEncoder:
    """Make any encoder ready to embed frames.

    Args:
        source: A Python file with an ``encoder`` object, a function ``load_encoder()`` or a single encoder
            class; or such an object, class or module itself: a torch module, an object with ``spec`` and
            ``encode``, a fitted scikit-learn transformer, a function of NumPy arrays. Or a file of
            ``torch.jit.save``, ``torch.export.save`` or ONNX; or ``timm:NAME`` or ``hf:NAME``.
        weights: State dict for a torch module, ``.safetensors`` or ``.pt``; no code in it is run.
        device: Torch device; where the encoder is if not given, and the CPU for what comes from a file.
        spec: What the encoder sees, in place of its own attribute ``spec``; without either, gray
            float32 [n, 1, 210, 160] in 0..1.
        pool: How feature maps or tokens become [n, d], in place of its own attribute ``pool``.
        name: For people, in place of its own attribute ``name``, the class or the file name.
        batch_size: Most rows at once; found by trying on CUDA, 128 elsewhere.
        autocast: Run torch modules in half precision (float16 on CUDA, bfloat16 elsewhere).

    Raises:
        EncoderError: There is no encoder, or it cannot be loaded.
        UsageError: An argument that cannot be meant.
        MissingExtraError: It needs a package that is not installed.
    """
    if isinstance(source, LoadedEncoder):
        return source
    if pool is not None and pool not in POOLS:
        raise UsageError("There is no such pooling.", expected="one of " + ", ".join(POOLS), got=repr(pool))
    if batch_size is not None and batch_size < 1:
        raise UsageError("A batch has at least one row.", got=batch_size)
    request = Request(
        spec=None if spec is None else spec.validate(),
        pool=pool,
        name=name,
        weights=None if weights is None else Path(weights),
        device=device,
        batch_size=batch_size,
        autocast=autocast,
    )
    if isinstance(source, str | Path):
        return _from_text(str(source), request)
    return adapt(source, request)


def adapt(thing: Any, request: Request) -> LoadedEncoder:
    """Make an object ready: see ``load_encoder``."""
    with blame("Looking at", request.home):
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
            "Weights files are for torch modules.", got=type(thing).__name__, cure="Load them in your file."
        )
    if request.device not in (None, "cpu"):
        raise EncoderError(
            f"Only torch modules can be sent to a device; this is a {type(thing).__name__}.",
            cure="Choose the device in your own code.",
        )
    if callable(getattr(thing, "encode", None)):
        return _numpy(thing, thing.encode, request, "object")
    if callable(getattr(thing, "transform", None)):
        return _transformer(thing, request)
    if callable(thing):
        return _numpy(thing, thing, request, "function")
    raise EncoderError(
        "This is no encoder.",
        expected="a torch module, an object with `encode`, a fitted transformer or a function",
        got=type(thing).__name__,
    )


def _from_text(source: str, request: Request) -> LoadedEncoder:
    library, _, model = source.partition(":")
    if library in {"timm", "hf"} and model:
        return _from_hub(library, model, request)
    path = Path(source).expanduser()
    if path.suffix in _PICKLES:
        raise EncoderError(
            f"{path.name} is a pickle: reading it would run code that nobody has seen.",
            cure="Give a Python file with `load_encoder()` that reads it.",
        )
    if not path.is_file():
        raise EncoderError(
            f"There is no encoder file {source!r}.",
            expected="a Python file such as examples/my_encoder.py",
            got="a folder" if path.is_dir() else "nothing there",
        )
    if path.suffix == ".py":
        return _from_python(path.resolve(), request)
    if path.suffix in PROGRAM_SUFFIXES:
        return _from_program(path.resolve(), request)
    raise EncoderError(
        f"{path.name} is not a file that an encoder can be loaded from.",
        expected="a name with " + ", ".join((".py", *PROGRAM_SUFFIXES)),
    )


def _from_python(path: Path, request: Request) -> LoadedEncoder:
    module, neighbours = import_file(path)
    found = find_encoder(module, path)
    source = (files_digest(path, neighbours), "files" if neighbours else "file")
    own = getattr(module, "spec", None)
    if request.spec is None and isinstance(own, FrameSpec) and not hasattr(found, "spec"):
        request = replace(request, spec=own.validate())
    return adapt(
        found, replace(request, home=path, source=source, name=request.name or _name_of(found) or path.stem)
    )


def _from_program(path: Path, request: Request) -> LoadedEncoder:
    if request.weights is not None:
        raise EncoderError(f"{path.name} has its weights inside.", cure="Leave out the weights file.")
    program = load_program(path, request.spec, request.device)
    data = [p for p in path.parent.glob(f"{path.name}*") if p.suffix in {".data", ".onnx_data"}]
    source = (files_digest(path, data), "files" if data else "file")
    if isinstance(program, OnnxEncoder):
        request = replace(request, device=None)  # it is there already
    return adapt(program, replace(request, source=source, name=request.name or path.stem))


def _from_hub(library: str, model: str, request: Request) -> LoadedEncoder:
    try:
        import torch  # noqa: F401 - the next import needs it, and this one says so by name
    except ImportError as error:
        raise MissingExtraError("torch", "harness") from error
    from harness.hub_models import load_timm, load_transformers

    with seeded():  # for the parts that have no pretrained weights
        found = (
            load_timm(model, request.spec, request.pool, request.weights)
            if library == "timm"
            else load_transformers(model, request.spec, request.weights)
        )
    name = f"{library}:{model}"
    source = (hashlib.sha256(name.encode()).hexdigest(), "name")
    return adapt(found, replace(request, source=source, name=request.name or name, weights=None))


def _of_module(module: ModuleType) -> Any:
    if callable(getattr(module, "encode", None)):
        return module
    file = getattr(module, "__file__", None)
    return find_encoder(module, Path(file or module.__name__))


def _instance(cls: type, request: Request) -> Any:
    """Make an object of an encoder class, with the arguments that the original's encoders take."""
    if not is_encoder_class(cls) and not hasattr(cls, "transform") and "__call__" not in vars(cls):
        raise EncoderError(
            f"The class {cls.__name__} is no encoder.", expected="a torch.nn.Module or a method `encode`"
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
            f"The class {cls.__name__} cannot be made without arguments.",
            expected="defaults for all of them, or no others than input_channels and feature_size",
            got=", ".join(unknown),
            cure=f"Make the object yourself: `encoder = {cls.__name__}(...)`.",
        )
    with seeded(), blame(f"Making {cls.__name__} of", request.home):
        return cls(**{name: known[name] for name in needed})


def _torch_module(module: Any, request: Request) -> LoadedEncoder:
    import torch

    from harness import torch_modules as tm

    spec = _spec_of(module, request)
    tensors = [*module.parameters(), *module.buffers()]
    device = tm.resolve_device(request.device or str(next((t.device for t in tensors), "cpu")))
    source = request.source or object_digest(module)
    with blame("Moving to its device", request.home):
        module.to(device)
    floats = [p.dtype for p in module.parameters() if p.is_floating_point()]
    dtype = floats[0] if floats else torch.float32
    half = (torch.float16 if device.type == "cuda" else torch.bfloat16) if request.autocast else None
    prepare = tm.tensor_maker(spec, device, dtype)
    call = _careful(tm.caller(module, device, autocast=half), spec, request.home)
    if request.weights is not None:
        tm.load_weights(module, request.weights)
    tm.materialise(module, call, prepare(_blank(spec)))
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
        device=str(device),
        precision=precision,
        description=f"{_described(module, kind)} on {device}, sees {spec}",
        prepare=prepare,
        call=call,
        batches=_batches(request, device.type),
    )


def _numpy(thing: Any, function: Callable[[Any], Any], request: Request, kind: str) -> LoadedEncoder:
    spec = _spec_of(thing, request)
    source = request.source or object_digest(thing)
    shown = getattr(thing, "__name__", None) or type(thing).__name__
    return LoadedEncoder(
        name=_name(thing, request),
        spec=spec,
        source_digest=source[0],
        source_kind=source[1],
        weights_digest=_weights_of(thing, request),
        parameters=None,
        pool=_pool_of(thing, request),
        device=thing.device if isinstance(thing, OnnxEncoder) else "cpu",
        description=f"{_described(thing, f'{kind} {shown}')}, sees {spec}",
        prepare=spec.prepare,
        call=_careful(_without_gradients(function), spec, request.home),
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
            cure="Fit it on frames of the pretraining set before you hand it over.",
        ) from error
    except TypeError:  # no estimator by its methods, but it has transform: let it show
        pass
    return _numpy(
        thing, lambda x: thing.transform(x.reshape(len(x), -1)), request, "transformer of flat frames"
    )


def _careful(call: Callable[[Any], Any], spec: FrameSpec, home: Path | None) -> Callable[[Any], Any]:
    """Let errors of the encoder name its line and what it was given."""

    @functools.wraps(call)
    def run(frames: Any) -> Any:
        try:
            with blame("Running", home):
                return call(frames)
        except EncoderError as error:
            if error.expected or error.__cause__ is None:
                raise
            raise EncoderError(
                error.what,
                expected=f"that it takes {spec}",
                got=error.got,
                cure="If it wants other frames, say so: spec = FrameSpec(color='rgb', size=(84, 84)).",
            ) from error.__cause__

    return run


def _without_gradients(function: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Switch gradients off where torch is used inside, so that memory does not fill with them."""

    def call(frames: Any) -> Any:
        torch = sys.modules.get("torch")
        if torch is None:
            return function(frames)
        with torch.no_grad():
            return function(frames)

    return call


def _weights_of(thing: Any, request: Request) -> str | None:
    with blame("Reading the weights of", request.home):
        return weights_digest(dict(arrays_of(thing)))


def _spec_of(thing: Any, request: Request) -> FrameSpec:
    spec = request.spec or getattr(thing, "spec", None)
    if spec is None:
        return FrameSpec()
    if inspect.isclass(thing) and not isinstance(spec, FrameSpec):
        return FrameSpec()  # a property or a slot: only the object will tell
    if not isinstance(spec, FrameSpec):
        raise EncoderError(
            "The encoder's `spec` is no frame spec.",
            expected="spec = harness.encoder.FrameSpec(...)",
            got=type(spec).__name__,
        )
    return spec.validate()


def _pool_of(thing: Any, request: Request) -> Pool | None:
    pool = request.pool or getattr(thing, "pool", None)
    if not isinstance(pool, str):  # a torch module may well have a layer of this name
        return None
    if pool not in POOLS:
        raise EncoderError(
            "The encoder asks for a pooling that there is not.", expected=", ".join(POOLS), got=pool
        )
    return pool


def _described(thing: Any, otherwise: str) -> str:
    own = getattr(thing, "description", None)
    return own if isinstance(own, str) else otherwise


def _name_of(thing: Any) -> str | None:
    name = getattr(thing, "name", None)
    return name if isinstance(name, str) and name.strip() else None


def _name(thing: Any, request: Request) -> str:
    name = request.name or _name_of(thing) or getattr(thing, "__name__", None) or type(thing).__name__
    return re.sub(r"[^\x20-\x7e]", "?", name.strip())[:100]


def _batches(request: Request, device_type: str) -> BatchSize:
    if request.batch_size:
        return BatchSize(size=request.batch_size)
    return BatchSize(size=CPU_BATCH, limit=CUDA_BATCH if device_type == "cuda" else 0)


def _blank(spec: FrameSpec) -> Frames:
    return np.zeros(spec.raw_shape(1), np.uint8)
