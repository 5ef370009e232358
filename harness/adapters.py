"""Loading encoders from files, objects and model names."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Mapping
from dataclasses import replace
from importlib import import_module
from importlib.metadata import metadata
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from atariari_data.errors import AtariariError, MissingExtraError, UsageError, nearest
from harness.encoders.digests import file_digest, files_digest
from harness.encoders.encoder import EncoderError, FrameSpec, LoadedEncoder, Pool, sample_frames
from harness.encoders.features import NoEncoderError
from harness.encoders.named import NAMED
from harness.encoders.named import make as make_named
from harness.encoders.objects import Request, adapt, name_of
from harness.encoders.programs import PROGRAM_SUFFIXES, OnnxEncoder, load_program
from harness.encoders.python_files import PythonFile, find_encoder, import_file, imports_late, seeded

if TYPE_CHECKING:
    from harness.methods.run import Config
    from harness.results.provenance import Training

LIBRARIES: Final = {
    "timm": "harness.encoders.hub_models:load_timm",
    "hf": "harness.encoders.hub_models:load_transformers",
}
"""The loader of each model library, as ``module:function``; ``LIBRARY:NAME`` names one of its models."""

_PICKLES = (".joblib", ".pkl", ".pickle", ".skops")


def load_encoder(
    source: str | Path | object,
    *,
    weights: str | Path | None = None,
    device: str | None = None,
    spec: FrameSpec | Mapping[str, Any] | str | None = None,
    pool: Pool | None = None,
    output: str | None = None,
    name: str | None = None,
    batch_size: int | None = None,
    autocast: bool = False,
) -> LoadedEncoder:
    """Load an encoder of any kind.

    Args:
        source: A Python file with an object ``encoder``, a function ``load_encoder()`` or ``encode(frames)``,
            or a single encoder class; such an object, class or module itself: a torch module, an object with
            ``spec`` and ``encode``, a fitted scikit-learn transformer, a function of NumPy arrays; a file
            written by ``torch.jit.save`` or ``torch.export.save``, or in ONNX; ``timm:NAME`` or ``hf:NAME``;
            the folder of a trained method; or a name in `harness.encoders.named.NAMED`.
        weights: A state dict for a torch module, ``.safetensors`` or ``.pt``. No code in it is run.
        device: The torch device. By default where the encoder is, and the CPU for files.
        spec: The frames that the encoder takes; replaces its attribute ``spec``. Without either, gray float32
            [n, 1, 210, 160] in 0..1.
        pool: How feature maps or tokens become [n, d]; replaces its attribute ``pool``.
        output: The part of its output that holds the features, such as ``last_hidden_state``, if it returns
            a dict, a dataclass, a ``ModelOutput`` or a tuple; replaces its attribute ``output``. See
            `harness.encoders.features.choose`.
        name: A display name; replaces its attribute ``name``, the name of its class or of the file.
        batch_size: The largest batch. By default 64, and on CUDA the largest that fits.
        autocast: Run torch modules in half precision (float16 on CUDA, bfloat16 elsewhere).

    Raises:
        EncoderError: There is no encoder, or it cannot be loaded.
        UsageError: An invalid argument.
        MissingExtraError: It needs a package that is not installed.
    """
    request = Request(
        spec=None if spec is None else FrameSpec.of(spec),
        pool=pool,
        output=output,
        name=name,
        weights=None if weights is None else Path(weights),
        device=device,
        batch_size=batch_size,
        autocast=autocast,
    )
    return load(source, request)


def load(source: object, request: Request) -> LoadedEncoder:
    """Load an encoder of any kind, as `load_encoder`, with the options as one object."""
    if isinstance(source, LoadedEncoder):
        return source
    request.validate()
    if isinstance(source, str | Path):
        return _from_text(str(source), request)
    return adapt(source, request)


def check_there(source: str) -> None:
    """Check that a text names an encoder, without loading it.

    Args:
        source: What `load_encoder` takes, if it is text.

    Raises:
        NoEncoderError: It is neither a file, a folder, a built-in encoder nor a model of a library.
    """
    library, _, model = source.partition(":")
    path = Path(source).expanduser()
    if (library in LIBRARIES and model) or source in NAMED or path.exists():
        return
    near = nearest(source, NAMED)
    new = source if path.suffix == ".py" else "my_encoder.py"
    raise NoEncoderError(
        f"No such encoder file or name: {source!r}.",
        expected=f"a Python file, a TorchScript, .pt2 or .onnx program, the folder of a trained method, "
        f"{', '.join(f'{name}:MODEL' for name in LIBRARIES)}, or one of {', '.join(NAMED)}",
        cure=(f"Did you mean {near!r}? " if near else "")
        + f"harness init {new} writes an encoder to start from.",
    )


def model_folder(source: str) -> Path | None:
    """Return the folder of a saved model, ``hf:FOLDER``; None for any other source."""
    library, _, model = source.partition(":")
    folder = Path(model).expanduser()
    return folder.resolve() if library == "hf" and model and folder.is_dir() else None


def by_game(source: object) -> dict[str, Path]:
    """Return the run of each game if ``source`` is a folder of runs, one per game; otherwise nothing.

    Raises:
        EncoderError: The runs differ in more than their game.
    """
    if not isinstance(source, str | Path) or source in NAMED or not Path(source).expanduser().is_dir():
        return {}
    _need_torch()
    from harness.methods.by_game import runs_by_game

    return runs_by_game(Path(source).expanduser())


class Origin(NamedTuple):
    """Where an encoder comes from, as far as it is known.

    Attributes:
        pretraining_data: What it was trained on, in words.
        training: How a method of this package trained it.
        paper: The address of the paper that describes the method.
        code: The address of the encoder's code.
    """

    pretraining_data: str
    training: Training | None = None
    paper: str | None = None
    code: str | None = None


def origin(source: object, runs: Mapping[str, Path]) -> Origin:
    """Return where an encoder comes from: known of a name in `NAMED`, and of runs.

    Args:
        source: What `load_encoder` takes.
        runs: What `by_game` returns.
    """
    if isinstance(source, str) and source in NAMED:
        return Origin(NAMED[source].trained_on, code=_own_code())
    configs = _configs_of(source, runs)
    if not configs:
        return Origin("not declared")
    from harness.methods import PAPERS
    from harness.methods.by_game import pretraining_data, training_of

    return Origin(
        pretraining_data(configs, by_game=bool(runs)),
        training_of(configs),
        PAPERS.get(configs[0].settings.method),
        _own_code(),
    )


def _own_code() -> str | None:
    """Return the address of this package's code."""
    links = (link.partition(", ") for link in metadata("atariari").get_all("Project-URL") or ())
    return next((url for name, _, url in links if name == "Source"), None)


def _configs_of(source: object, runs: Mapping[str, Path]) -> list[Config]:
    """Return the settings of a run, or of a run for each game; nothing for any other source."""
    if not isinstance(source, str | Path) or source in NAMED or not Path(source).expanduser().is_dir():
        return []
    from harness.methods.run import read_config

    return [read_config(run) for run in runs.values() or (Path(source).expanduser(),)]


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
            f"{path.name} is a pickle: reading it would run code from it.",
            cure="Load it in a Python file with `load_encoder()`.",
        )
    check_there(source)
    if path.suffix == ".py":
        return _from_python(path.resolve(), request)
    if path.suffix in PROGRAM_SUFFIXES:
        return _from_program(path.resolve(), request)
    raise EncoderError(
        f"{path.name} is not a supported encoder file.",
        expected="a file name that ends in " + ", ".join((".py", *PROGRAM_SUFFIXES)),
    )


def _from_python(path: Path, request: Request) -> LoadedEncoder:
    home = PythonFile(path)
    module = import_file(home)
    found = find_encoder(module, home)
    request = _with_beside(module, found, request)
    source = (file_digest(path), "file")
    request = replace(request, home=home, source=source, name=request.name or name_of(found) or path.stem)
    loaded = adapt(found, request)
    if imports_late([path, *home.neighbours]):
        with contextlib.suppress(AtariariError):  # it fails again where it is reported
            loaded.embed(sample_frames(loaded.spec, 1))
    if home.neighbours:
        digest = files_digest(path, home.neighbours, home.folder)
        loaded = replace(loaded, source_digest=digest, source_kind="files")
    return loaded


def _with_beside(module: ModuleType, found: object, request: Request) -> Request:
    """Return the request with what a file says in variables beside its encoder."""
    beside: dict[str, Any] = {
        name: value
        for name in ("spec", "pool", "output")
        if getattr(request, name) is None
        and not hasattr(found, name)
        and isinstance(
            value := getattr(module, name, None), FrameSpec | Mapping | str if name == "spec" else str
        )
    }
    if "spec" in beside:
        beside["spec"] = FrameSpec.of(beside["spec"])
    return replace(request, **beside)


def _from_program(path: Path, request: Request) -> LoadedEncoder:
    if request.weights is not None:
        raise EncoderError(f"{path.name} contains its weights.", cure="Remove the option for weights.")
    program = load_program(path, request.spec, request.device)
    data = [p for p in path.parent.glob(f"{path.name}*") if p.suffix in {".data", ".onnx_data"}]
    source = (files_digest(path, data, path.parent), "files" if data else "file")
    if isinstance(program, OnnxEncoder):
        request = replace(request, device=None)  # it is on its device already
    return adapt(program, replace(request, source=source, name=request.name or path.stem))


def _need_torch() -> None:
    try:
        import torch  # noqa: F401 - so that the error names torch, whatever is imported next
    except ImportError as error:
        raise MissingExtraError("torch", "harness") from error


def _from_name(source: str, request: Request) -> LoadedEncoder:
    _need_torch()
    made = make_named(source)
    if not isinstance(made, LoadedEncoder):
        return adapt(made, replace(request, name=request.name or source))
    free = Request(name=request.name, batch_size=request.batch_size, device=request.device)
    if request not in (free, replace(free, spec=made.spec)):
        raise UsageError(f"{source} is fully defined: it takes no option but a name.")
    if made.sees == "ram" and request.name not in (None, source):
        raise UsageError(f"{source} is a bound and cannot be renamed.", got=request.name)
    from harness.encoders.torch_modules import resolve_device

    device = str(
        resolve_device(request.device or made.device)
    )  # for the probes: there is nothing to move here
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
    folder = model_folder(f"{library}:{model}")
    with seeded():  # for parts without pretrained weights
        found = load(str(folder or model), request.spec, request.pool, request.weights)
    name = f"{library}:{folder.name if folder else model}"
    source = (hashlib.sha256(name.encode()).hexdigest(), "name")
    return adapt(found, replace(request, source=source, name=request.name or name, weights=None))
