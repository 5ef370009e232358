"""Reading and writing result files: one form for each result, refused when it differs by a byte."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from atariari_data.errors import UsageError
from harness.results.canonical import MAX_BYTES, ResultError, parse, parse_strictly
from harness.results.result import SCHEMA_VERSION, Result, explain


def loads(data: bytes) -> Result:
    """Read a result file's bytes.

    Raises:
        ResultError: Not a result, of a newer version, or not byte for byte as the harness writes it.
    """
    if len(data) > MAX_BYTES:
        raise ResultError("The file is too large for a result.", expected=f"at most {MAX_BYTES:,} bytes")
    try:
        return _loads(data, parse(data))
    except ResultError as error:
        _loads(data, parse_strictly(data))  # knows better reasons
        raise error from None


def _loads(data: bytes, content: Any) -> Result:
    _check_version(content)
    try:
        result = Result.model_validate(content)
    except ValidationError as error:
        raise explain(error) from error
    result.signed.__dict__["plain"] = content["signed"]
    if (text := result.content) != data:
        at = next(
            (i for i, (a, b) in enumerate(zip(text, data, strict=False)) if a != b), min(len(text), len(data))
        )
        raise ResultError(
            f"The file is not written as the harness writes it, from byte {at} on.",
            expected=ascii(text[at : at + 40].decode(errors="replace")),
            got=ascii(data[at : at + 40].decode(errors="replace")),
            cure="Take the file as it was written; do not reformat or edit it.",
        )
    return result


def read(path: str | os.PathLike[str]) -> Result:
    """Read a result file.

    Raises:
        ResultError: No such file, too large (looked at before it is read), or as for :func:`loads`.
    """
    try:
        with Path(path).open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise ResultError(f"{path} cannot be read: {error.strerror or error}.") from error
    if not data:
        raise ResultError(f"{path} is empty.")
    return loads(data)


def write(result: Result, path: str | os.PathLike[str], *, overwrite: bool = False) -> Path:
    """Write a result file, whole or not at all, and beside it the predictions, if it has some with it.

    Raises:
        UsageError: The file is there already and ``overwrite`` is false.
        ResultError: It cannot be written (no space, no permission), or could not be read again.
    """
    path, content = Path(path), result.content
    loads(content)
    if result.predictions is not None:
        from harness.results import predictions_file as predictions

        if path.exists() and not overwrite:
            raise _is_there(path)
        if not path.parent.is_dir():
            raise ResultError(f"{path} cannot be written: there is no such folder.")
        predictions.write(result.predictions, result.signed, predictions.file_beside(path), replace=overwrite)
    try:
        with tempfile.NamedTemporaryFile(
            "wb", dir=path.parent, prefix=f".{path.name}.", delete=False
        ) as file:
            partial = Path(file.name)
            try:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
                partial.chmod(0o644)
                if overwrite:
                    partial.replace(path)
                else:
                    os.link(partial, path)  # fails where the file exists, unlike rename
            finally:
                partial.unlink(missing_ok=True)
    except FileExistsError as error:
        raise _is_there(path) from error
    except OSError as error:
        raise ResultError(f"{path} cannot be written: {error.strerror or error}.") from error
    return path


def _is_there(path: Path) -> UsageError:
    return UsageError(f"{path} is there already.", cure="Name another file, or delete it first.")


def _check_version(content: Any) -> None:
    signed = content.get("signed") if isinstance(content, dict) else None
    version = signed.get("schema_version") if isinstance(signed, dict) else None
    if not isinstance(version, int) or isinstance(version, bool):
        raise ResultError(
            "The file is not a result of this harness.", expected="an object with `signatures` and `signed`"
        )
    if version > SCHEMA_VERSION:
        raise ResultError(
            "The result was written by a newer version of the harness.",
            expected=f"schema version {SCHEMA_VERSION} or older",
            got=version,
            cure="pip install --upgrade 'atariari[harness]'",
        )
