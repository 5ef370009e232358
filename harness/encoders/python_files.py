"""Finding the encoder in a Python file, and saying where in that file something went wrong."""

from __future__ import annotations

import contextlib
import importlib.util
import inspect
import linecache
import random
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, TracebackType
from typing import Any

import numpy as np

from atariari_data.errors import AtariariError
from harness.encoders.features import EncoderError, first_line

LOOKED_FOR = (
    "an object named `encoder`, a function `load_encoder()` or `encode(frames)`, or exactly one class that "
    "is a torch.nn.Module or has a method `encode`"
)
_OURS = {"atariari_data", "builders", "harness"}


@contextlib.contextmanager
def encoder_errors(doing: str, home: Path | None) -> Iterator[None]:
    """Turn what someone's code raises into one message that names the line in their file.

    What a file prints goes to standard error, since standard output is for results. Not from two threads.

    Args:
        doing: What was tried: ``importing``, ``calling load_encoder()``.
        home: Their file; other lines are not theirs.

    Raises:
        EncoderError: In place of any exception that is not ours, ``SystemExit`` included.
    """
    prints = contextlib.nullcontext() if home is None else contextlib.redirect_stdout(sys.stderr)
    try:
        with prints:
            yield
    except (AtariariError, KeyboardInterrupt, GeneratorExit):
        raise
    except BaseException as error:
        place = None if home is None else _line_in(home, error)
        owner = "the encoder" if home is None else home.name
        raise EncoderError(
            f"{doing} {owner} failed" + (f" at {place}." if place else "."), got=_said(error)
        ) from error


def import_file(path: Path) -> tuple[ModuleType, list[Path]]:
    """Run a Python file as a module of its own, and see which neighbours it imports.

    Its folder is in front of ``sys.path`` while it runs, as with ``python my_encoder.py``, and the
    neighbours are forgotten afterwards, so that two encoders may each have their own ``layers.py``.
    Random generators start from 0, so that weights drawn without a seed are the same every time.

    Returns:
        The module, and the files of its own folder (or below) that it imported.

    Raises:
        EncoderError: The file cannot be read, or fails while it runs.
    """
    folder = str(path.parent)
    name = f"_encoder_{path.stem}"
    module = ModuleType(name)
    module.__file__ = str(path)
    before = set(sys.modules)
    writes_bytecode, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    sys.path.insert(0, folder)
    sys.modules[name] = module
    linecache.checkcache(str(path))
    try:
        with seeded(), encoder_errors("Importing", path):
            # Not by a loader: a stale __pycache__ would run other code than the file that is digested.
            exec(compile(path.read_bytes(), path, "exec", dont_inherit=True), vars(module))  # noqa: S102
    finally:
        sys.dont_write_bytecode = writes_bytecode
        sys.path.remove(folder)
        neighbours = {}
        for other in set(sys.modules) - before - {name}:
            file = getattr(sys.modules[other], "__file__", None)
            if file and _is_neighbour(Path(file), path.parent) and other.partition(".")[0] not in _OURS:
                neighbours[other] = Path(file).resolve()
        for other in neighbours:
            del sys.modules[other]
    return module, sorted(set(neighbours.values()) - {path})


def find_encoder(module: ModuleType, path: Path) -> Any:
    """The encoder of a file: an object, a class that is still to be made, or the module with its ``encode``.

    Raises:
        EncoderError: There is none, or several could be meant.
    """
    there = vars(module)
    named = [name for name in ("encoder", "load_encoder") if name in there]
    if len(named) > 1:
        raise EncoderError(
            f"{path.name} has both `encoder` and `load_encoder`: which is it?",
            cure="Keep one of them.",
        )
    if named == ["load_encoder"]:
        make = there["load_encoder"]
        if not callable(make):
            raise EncoderError(f"`load_encoder` in {path.name} is not a function.", got=type(make).__name__)
        with seeded(), encoder_errors("Calling load_encoder() of", path):
            return make()
    if named == ["encoder"]:
        return there["encoder"]
    classes = {
        c.__name__: c
        for c in there.values()
        if inspect.isclass(c) and c.__module__ == module.__name__ and is_encoder_class(c)
    }
    found = {**classes, **({"encode": module} if callable(there.get("encode")) else {})}
    if len(found) == 1:
        return next(iter(found.values()))
    if found:
        lines = [f"`encoder = {name}{'(...)' if name in classes else ''}`" for name in found]
        raise EncoderError(
            f"{path.name} has {len(found)} things that could be the encoder: {', '.join(found)}.",
            cure=f"Say which: add the line {' or '.join(lines)}.",
        )
    raise EncoderError(
        f"There is no encoder in {path.name}.",
        expected=LOOKED_FOR,
        got=", ".join(n for n in there if not n.startswith("__")) or "an empty file",
    )


def is_encoder_class(thing: type) -> bool:
    """Whether objects of a class would be encoders: torch modules, or with a method ``encode``."""
    torch = sys.modules.get("torch")
    if torch is not None and issubclass(thing, torch.nn.Module):
        return True
    return callable(getattr(thing, "encode", None)) and not getattr(thing, "_is_protocol", False)


@contextlib.contextmanager
def seeded(seed: int = 0) -> Iterator[None]:
    """Random generators of Python, NumPy and torch (CPU) at a seed for a while, then where they were."""
    python, numpy = random.getstate(), np.random.get_state()  # noqa: NPY002 - the global one, on purpose
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002 - as above
    with contextlib.ExitStack() as stack:
        if importlib.util.find_spec("torch"):
            import torch

            stack.enter_context(torch.random.fork_rng(devices=[]))
            torch.manual_seed(seed)
        try:
            yield
        finally:
            random.setstate(python)
            np.random.set_state(numpy)  # noqa: NPY002 - as above


def _is_neighbour(file: Path, folder: Path) -> bool:
    if not file.is_absolute():  # of a module made in code, as torch's `_classes.py`; no such file is anywhere
        return False
    resolved = file.resolve()
    return (
        resolved.is_relative_to(folder) and "site-packages" not in resolved.parts and resolved.suffix == ".py"
    )


def _line_in(home: Path, error: BaseException) -> str | None:
    """``line 12: `x = 1 / 0` ``, the innermost line of the error that is in the file."""
    if isinstance(error, SyntaxError) and error.filename and Path(error.filename) == home:
        return _shown(home, error.lineno or 0)
    found = None
    trace: TracebackType | None = error.__traceback__
    for frame, line in traceback.walk_tb(trace):
        if Path(frame.f_code.co_filename) == home:
            found = line
    return None if found is None else _shown(home, found)


def _shown(home: Path, line: int) -> str:
    text = linecache.getline(str(home), line).strip()[:120]
    return f"line {line}" + (f": `{text}`" if text else "")


def _said(error: BaseException) -> str:
    if isinstance(error, SyntaxError) and error.msg:
        return f"{type(error).__name__}: {error.msg}"
    return first_line(error)
