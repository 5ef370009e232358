"""Encoders in Python files: running the file, finding the encoder, and naming the line that failed."""

from __future__ import annotations

import ast
import contextlib
import importlib.util
import inspect
import linecache
import random
import sys
import traceback
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import ModuleType, TracebackType
from typing import Any, Self

import numpy as np

from atariari_data.errors import AtariariError
from harness.encoders.features import EncoderError, first_line

LOOKED_FOR = (
    "an object named `encoder`, a function `load_encoder()` or `encode(frames)`, or exactly one class that "
    "is a torch.nn.Module or has a method `encode`"
)
_OURS = {"atariari_data", "builders", "harness"}


class PythonFile:
    """A Python file with an encoder, and the modules beside it that it imports.

    As a context it is the running script, as with ``python my_encoder.py``: its folder comes first on
    ``sys.path``, the modules that it imported from there are loaded, and it has no arguments. Afterwards they
    are gone, so that two encoders may each have their own ``layers.py``. Not for two threads at a time.

    Attributes:
        path: The file, absolute.
        package: The package that it is part of, such as ``nets.small``; empty if there is none.
        folder: Its folder, or the topmost of the package.
    """

    def __init__(self, path: Path) -> None:
        """Keep where the file is."""
        self.path = path
        self.folder, names = path.parent, list[str]()
        above = path.parent
        while (above / "__init__.py").is_file():
            self.folder, names, above = above, [above.name, *names], above.parent
        self.package = ".".join(names)
        self._modules: dict[str, ModuleType] = {}
        self._depth = 0
        self._before: tuple[list[str], bool] = ([], False)
        self._known: set[str] = set()

    @property
    def neighbours(self) -> list[Path]:
        """The files of its own folder, or below, that it has imported so far."""
        files = {Path(str(module.__file__)).resolve() for module in self._modules.values()}
        return sorted(files - {self.path})

    @property
    def _found_in(self) -> list[str]:
        """The folders whose modules it may import: its own, and the one that holds its package."""
        return [str(self.path.parent), *([str(self.folder.parent)] if self.package else [])]

    def __enter__(self) -> Self:
        """Become the running script."""
        self._depth += 1
        if self._depth == 1:
            self._before = sys.argv, sys.dont_write_bytecode
            sys.argv, sys.dont_write_bytecode = [str(self.path)], True
            sys.path[:0] = self._found_in
            self._known = set(sys.modules)
            sys.modules.update(self._modules)
        return self

    def __exit__(self, *_: object) -> None:
        """Take its modules along."""
        self._depth -= 1
        if self._depth:
            return
        sys.argv, sys.dont_write_bytecode = self._before
        for folder in self._found_in:
            with contextlib.suppress(ValueError):
                sys.path.remove(folder)
        for name in set(sys.modules) - self._known:
            file = getattr(sys.modules[name], "__file__", None)
            if file and _is_neighbour(Path(file), self.folder) and name.partition(".")[0] not in _OURS:
                self._modules[name] = sys.modules.pop(name)


@contextlib.contextmanager
def encoder_errors(doing: str, home: PythonFile | None) -> Iterator[None]:
    """Turn whatever someone's code raises into one message that names the line in their file.

    What a file prints goes to standard error, since standard output is for results. Not from two threads.

    Args:
        doing: What was tried: ``importing``, ``calling load_encoder()``.
        home: Their file, which is the running script meanwhile.

    Raises:
        EncoderError: In place of any exception that is not ours, ``SystemExit`` included.
    """
    with contextlib.ExitStack() as stack:
        if home is not None:
            stack.enter_context(contextlib.redirect_stdout(sys.stderr))
            stack.enter_context(home)
        try:
            yield
        except (AtariariError, KeyboardInterrupt, GeneratorExit):
            raise
        except BaseException as error:
            place = None if home is None else _line_in(home.path, error)
            owner = "the encoder" if home is None else home.path.name
            raise EncoderError(
                f"{doing} {owner} failed" + (f" at {place}." if place else "."),
                got=_said(error),
                cure=None if home is None else _cure_for_import(home.path.parent, error),
            ) from error


def import_file(home: PythonFile) -> ModuleType:
    """Run a Python file as a module of its own.

    Random generators start from 0, so that weights drawn without a seed are the same every time.

    Raises:
        EncoderError: The file cannot be read, or fails while it runs.
    """
    name = f"_encoder_{home.path.stem}"
    module = ModuleType(name)
    module.__file__ = str(home.path)
    module.__package__ = home.package  # what `from .layers import Net` is relative to
    sys.modules[name] = module
    linecache.checkcache(str(home.path))
    with seeded(), encoder_errors("Importing", home):
        # Not by a loader: a stale __pycache__ would run other code than the file that is digested.
        exec(compile(home.path.read_bytes(), home.path, "exec", dont_inherit=True), vars(module))  # noqa: S102
    return module


def imports_late(files: Iterable[Path]) -> bool:
    """Whether one of these files may import something only when it is called."""
    for file in files:
        for node in ast.walk(ast.parse(file.read_bytes())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
                inside = list(ast.walk(node))
                if any(isinstance(part, ast.Import | ast.ImportFrom) for part in inside):
                    return True
                names = {getattr(part, "attr", getattr(part, "id", None)) for part in inside}
                if names & {"import_module", "__import__"}:
                    return True
    return False


def find_encoder(module: ModuleType, home: PythonFile) -> Any:
    """Return the encoder of a file: an object, a class to be instantiated, or the module with its ``encode``.

    Raises:
        EncoderError: There is none, or more than one candidate.
    """
    path, there = home.path, vars(module)
    named = [name for name in ("encoder", "load_encoder") if name in there]
    if len(named) > 1:
        raise EncoderError(
            f"{path.name} defines both `encoder` and `load_encoder`.",
            cure="Keep one of them.",
        )
    if named == ["load_encoder"]:
        make = there["load_encoder"]
        if not callable(make):
            raise EncoderError(f"`load_encoder` in {path.name} is not a function.", got=type(make).__name__)
        with seeded(), encoder_errors("Calling load_encoder() of", home):
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
            f"{path.name} defines {len(found)} possible encoders: {', '.join(found)}.",
            cure=f"Choose one: add the line {' or '.join(lines)}.",
        )
    raise EncoderError(
        f"{path.name} defines no encoder.",
        expected=LOOKED_FOR,
        got=", ".join(n for n in there if not n.startswith("__")) or "an empty file",
    )


def is_encoder_class(thing: type) -> bool:
    """Whether instances of a class are encoders: torch modules, or objects with a method ``encode``."""
    torch = sys.modules.get("torch")
    if torch is not None and issubclass(thing, torch.nn.Module):
        return True
    return callable(getattr(thing, "encode", None)) and not getattr(thing, "_is_protocol", False)


@contextlib.contextmanager
def seeded(seed: int = 0) -> Iterator[None]:
    """Seed the random generators of Python, NumPy and torch (CPU), and restore them afterwards."""
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


def _cure_for_import(folder: Path, error: BaseException) -> str | None:
    """Say so where a folder or file of the user's has the name of one of our packages."""
    package = (getattr(error, "name", None) or "").partition(".")[0] if isinstance(error, ImportError) else ""
    if package in _OURS and ((folder / package).is_dir() or (folder / f"{package}.py").is_file()):
        return (
            f"Rename {package!r} beside the file: `import {package}` finds the package that runs it instead."
        )
    return None


def _line_in(home: Path, error: BaseException) -> str | None:
    """Return ``line 12: `x = 1 / 0` ``, the innermost line of the file in the traceback."""
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
