"""From whatever people have to an encoder that is ready: files, objects, models by name."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Final

from atariari_data.errors import MissingExtraError, UsageError
from harness.encoders.digests import files_digest
from harness.encoders.encoder import EncoderError, FrameSpec, LoadedEncoder, Pool
from harness.encoders.features import NoEncoderError
from harness.encoders.named import NAMED
from harness.encoders.named import make as make_named
from harness.encoders.objects import Request, adapt, name_of
from harness.encoders.programs import PROGRAM_SUFFIXES, OnnxEncoder, load_program
from harness.encoders.python_files import find_encoder, import_file, seeded

LIBRARIES: Final = {
    "timm": "harness.encoders.hub_models:load_timm",
    "hf": "harness.encoders.hub_models:load_transformers",
}
"""Loader of each library of models, as ``module:function``; ``LIBRARY:NAME`` names one of its models."""

_PICKLES = (".joblib", ".pkl", ".pickle", ".skops")


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
        source: A Python file with an ``encoder`` object, a function ``load_encoder()`` or ``encode(frames)``,
            or a single encoder class; or such an object, class or module itself: a torch module, an object
            with ``spec`` and ``encode``, a fitted scikit-learn transformer, a function of NumPy arrays. Or a
            file of ``torch.jit.save``, ``torch.export.save`` or ONNX; or ``timm:NAME`` or ``hf:NAME``; or the
            folder of a trained method, or a name in `harness.encoders.named.NAMED`.
        weights: State dict for a torch module, ``.safetensors`` or ``.pt``; no code in it is run.
        device: Torch device; where the encoder is if not given, and the CPU for what comes from a file.
        spec: What the encoder sees, in place of its own attribute ``spec``; without either, gray
            float32 [n, 1, 210, 160] in 0..1.
        pool: How feature maps or tokens become [n, d], in place of its own attribute ``pool``.
        name: For people, in place of its own attribute ``name``, the class or the file name.
        batch_size: Most rows at once; found by trying on CUDA, 64 elsewhere.
        autocast: Run torch modules in half precision (float16 on CUDA, bfloat16 elsewhere).

    Raises:
        EncoderError: There is no encoder, or it cannot be loaded.
        UsageError: An argument that cannot be meant.
        MissingExtraError: It needs a package that is not installed.
    """
    request = Request(
        spec=spec,
        pool=pool,
        name=name,
        weights=None if weights is None else Path(weights),
        device=device,
        batch_size=batch_size,
        autocast=autocast,
    )
    return load(source, request)


def load(source: object, request: Request) -> LoadedEncoder:
    """Make any encoder ready to embed frames; `load_encoder` with its options as one object."""
    if isinstance(source, LoadedEncoder):
        return source
    request.validate()
    if isinstance(source, str | Path):
        return _from_text(str(source), request)
    return adapt(source, request)


def by_game(source: object) -> dict[str, Path]:
    """Return the encoder of every game, where ``source`` is a folder of runs, one for each; else none.

    Raises:
        EncoderError: The runs do not belong together.
    """
    if not isinstance(source, str | Path) or source in NAMED or not Path(source).expanduser().is_dir():
        return {}
    _need_torch()
    from harness.methods.by_game import runs_by_game

    return runs_by_game(Path(source).expanduser())


def trained_on(source: object, runs: Mapping[str, Path]) -> str:
    """Say in words what an encoder was trained on, where that is known: of a name in `NAMED`, or of runs.

    Args:
        source: As for `load_encoder`.
        runs: Of `by_game`.
    """
    if isinstance(source, str) and source in NAMED:
        return NAMED[source].trained_on
    if isinstance(source, str | Path) and (folder := Path(source).expanduser()).is_dir():
        from harness.methods.by_game import described
        from harness.methods.run import read_config

        return described([read_config(run) for run in runs.values() or (folder,)])
    return "not declared"


def _from_text(source: str, request: Request) -> LoadedEncoder:
    library, _, model = source.partition(":")
    if library in LIBRARIES and model:
        return _from_hub(library, model, request)
    if source in NAMED:
        return _from_name(source, request)
    path = Path(source).expanduser()
    if path.is_dir():
        return _from_run(path, request)
    if path.suffix in _PICKLES:
        raise EncoderError(
            f"{path.name} is a pickle: reading it would run code that nobody has seen.",
            cure="Give a Python file with `load_encoder()` that reads it.",
        )
    if not path.is_file():
        raise NoEncoderError(
            f"There is no encoder file {source!r}.",
            expected="a Python file such as examples/my_encoder.py, the folder of a trained method, or "
            + " or ".join(NAMED),
            got="nothing there",
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
        found, replace(request, home=path, source=source, name=request.name or name_of(found) or path.stem)
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


def _need_torch() -> None:
    try:
        import torch  # noqa: F401 - the next import needs it, and this one says so by name
    except ImportError as error:
        raise MissingExtraError("torch", "harness") from error


def _from_name(source: str, request: Request) -> LoadedEncoder:
    _need_torch()
    made = make_named(source)
    if not isinstance(made, LoadedEncoder):
        return adapt(made, replace(request, name=request.name or source))
    free = Request(name=request.name, batch_size=request.batch_size, device=request.device)
    if request not in (free, replace(free, spec=made.spec)):
        raise UsageError(f"{source} is defined to the last pixel: nothing but its name can be chosen.")
    if made.sees == "ram" and request.name not in (None, source):
        raise UsageError(f"{source} is a bound, and has no other name.", got=request.name)
    from harness.encoders.torch_modules import resolve_device

    device = str(resolve_device(request.device or made.device))  # of the probes: this has nothing to move
    return replace(made, name=request.name or source, device=device)


def _from_run(folder: Path, request: Request) -> LoadedEncoder:
    _need_torch()
    from harness.methods.run import load_run

    run = load_run(folder)
    return adapt(run.encoder, replace(request, name=request.name or run.name))


def _from_hub(library: str, model: str, request: Request) -> LoadedEncoder:
    _need_torch()
    home, _, function = LIBRARIES[library].partition(":")
    load = getattr(import_module(home), function)
    with seeded():  # for the parts that have no pretrained weights
        found = load(model, request.spec, request.pool, request.weights)
    name = f"{library}:{model}"
    source = (hashlib.sha256(name.encode()).hexdigest(), "name")
    return adapt(found, replace(request, source=source, name=request.name or name, weights=None))
