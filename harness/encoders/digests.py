"""Digests that identify an encoder: of its code and of its weights."""

from __future__ import annotations

import ast
import hashlib
import inspect
import textwrap
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

MAX_DEPTH = 30


def file_digest(path: Path) -> str:
    """Return the SHA-256 (hex) of a file's bytes, as ``sha256sum`` prints it."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def files_digest(main: Path, others: list[Path], folder: Path) -> str:
    """Return the SHA-256 (hex) over a file and the neighbours that it imports.

    For a single file, its digest. With neighbours, the digest of the text that ``sha256sum`` prints for all
    of them, with paths relative to ``folder``, sorted.
    """
    if not others:
        return file_digest(main)
    paths = sorted(p.relative_to(folder).as_posix() for p in {main, *others})
    text = "".join(f"{file_digest(folder / p)}  {p}\n" for p in paths)
    return hashlib.sha256(text.encode()).hexdigest()


def object_digest(thing: Any) -> tuple[str, str]:
    """Return the SHA-256 (hex) of an object's source, and what was digested: ``source`` or ``name``.

    For a function or class this is its source, for any other object the source of its class; for a torch
    module also its ``repr``, which shows its parts. Comments, docstrings and formatting do not count; see
    `code_of`. If Python has no source (typed in a prompt, compiled), it is the qualified name.
    """
    target = thing if inspect.isroutine(thing) or inspect.isclass(thing) else type(thing)
    try:
        text, kind = code_of(inspect.getsource(target)), "source"
    except (OSError, TypeError):
        owner = type(thing) if not hasattr(target, "__qualname__") else target
        text, kind = f"{owner.__module__}.{owner.__qualname__}", "name"
    if hasattr(thing, "state_dict"):
        text += "\n" + repr(thing)
    return hashlib.sha256(text.encode()).hexdigest(), kind


def code_of(source: str) -> str:
    """Return what a piece of Python does, without comments, docstrings and formatting.

    This is its syntax tree as text: nested lists of a node's type and its fields. Fields that are empty are
    left out, so that a field which a later version of Python adds changes nothing. Statements that are only a
    string are left out, too. A source that cannot be parsed alone, such as a lambda in the middle of an
    expression, is returned as it is.
    """
    try:
        return _as_text(ast.parse(textwrap.dedent(source)))
    except SyntaxError:
        return source


def _as_text(node: object) -> str:
    if isinstance(node, ast.AST):
        fields = ((name, _as_text(value)) for name, value in ast.iter_fields(node))
        return f"{type(node).__name__}({', '.join(f'{name}={text}' for name, text in fields if text)})"
    if isinstance(node, list):
        return ", ".join(f"[{_as_text(item)}]" for item in node if not _is_only_a_string(item))
    return "" if node is None else f"{type(node).__name__} {node!r}"


def _is_only_a_string(node: object) -> bool:
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )


def weights_digest(arrays: Mapping[str, Any]) -> str | None:
    """Return the SHA-256 (hex) over named tensors or arrays, or None if there are none.

    For every name in sorted order, it covers a line ``name dtype [shape]`` and the raw bytes, little-endian,
    in C order, so it does not depend on the file format.
    """
    if not arrays:
        return None
    digest = hashlib.sha256()
    for name in sorted(arrays):
        value = arrays[name]
        shape = ",".join(str(side) for side in value.shape)
        digest.update(f"{name} {str(value.dtype).removeprefix('torch.')} [{shape}]\n".encode())
        digest.update(_raw(value))
    return digest.hexdigest()


def arrays_of(thing: Any, prefix: str = "", seen: set[int] | None = None) -> Iterator[tuple[str, Any]]:
    """Yield name and value of every array, tensor and number in an object, at any depth."""
    seen = set() if seen is None else seen
    if (
        inspect.isclass(thing)
        or inspect.ismodule(thing)
        or id(thing) in seen
        or prefix.count(".") > MAX_DEPTH
    ):
        return
    if hasattr(thing, "state_dict"):
        for name, value in thing.state_dict().items():
            if hasattr(value, "shape") and hasattr(value, "dtype"):
                yield prefix + name, value
    elif isinstance(thing, bool | int | float | np.generic | np.ndarray):
        array = np.asarray(thing)
        if array.dtype.kind in "biufc":
            yield prefix.rstrip(".") or "value", array
    elif hasattr(thing, "detach") and hasattr(thing, "dtype"):
        yield prefix.rstrip(".") or "value", thing
    else:
        seen.add(id(thing))
        for name, part in _parts(thing):
            yield from arrays_of(part, f"{prefix}{name}.", seen)


def _parts(thing: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(thing, Mapping):
        yield from ((str(key), value) for key, value in thing.items())
    elif isinstance(thing, list | tuple):
        yield from ((str(i), value) for i, value in enumerate(thing))
    elif inspect.ismethod(thing):
        yield "self", thing.__self__
    elif inspect.isfunction(thing):
        used = inspect.getclosurevars(thing)
        yield from used.nonlocals.items()
        yield from used.globals.items()
    elif hasattr(thing, "func") and hasattr(thing, "keywords"):  # functools.partial
        yield from (("func", thing.func), ("args", thing.args), ("keywords", thing.keywords))
    elif type(thing).__module__ != "builtins":
        yield from getattr(thing, "__dict__", {}).items()


def _raw(value: Any) -> bytes | memoryview:
    if hasattr(value, "detach"):
        import torch

        flat = value.detach().cpu().contiguous().reshape(-1)
        return memoryview(flat.view(torch.uint8).numpy())
    array = np.ascontiguousarray(value)
    return array.astype(array.dtype.newbyteorder("<"), copy=False).tobytes()
