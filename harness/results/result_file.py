"""Read and write result files. Each result has exactly one valid byte sequence."""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path
from typing import Any, Unpack

from pydantic import ValidationError
from pydantic_core import to_jsonable_python

from builders.files import new_file, refuse_newer
from harness.results.canonical import MAX_BYTES, ResultError, parse, parse_strictly
from harness.results.result import SCHEMA_VERSION, Result, RunFields, Signed, explain


def loads(data: bytes) -> Result:
    """Read a result from bytes.

    Raises:
        ResultError: Not a result, or not byte for byte as the harness writes it.
        DataError: The result has a newer schema version.
    """
    if len(data) > MAX_BYTES:
        raise ResultError("The file is too large to be a result.", expected=f"at most {MAX_BYTES:,} bytes")
    try:
        return _loads(data, parse(data))
    except ResultError as error:
        _loads(data, parse_strictly(data))  # gives a more precise error
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
            f"The file differs from the harness's own format at byte {at}.",
            expected=ascii(text[at : at + 40].decode(errors="replace")),
            got=ascii(data[at : at + 40].decode(errors="replace")),
            cure="Use the file as it was written, without reformatting or editing it.",
        )
    return result


def read(path: str | os.PathLike[str]) -> Result:
    """Read a result file.

    Raises:
        ResultError: The file does not exist, is too large, or as for :func:`loads`.
        DataError: The result has a newer schema version.
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
    """Write a result file atomically, and the predictions next to it if the result has them.

    Raises:
        UsageError: The file exists and ``overwrite`` is false.
        ResultError: The result is invalid.
        DataError: The file cannot be written (no space, no permission).
    """
    path, content = Path(path), result.content
    loads(content)
    with new_file(path, replace=overwrite) as part:
        with part.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        if result.predictions is not None:
            from harness.results import predictions_file as predictions

            beside = predictions.file_beside(path)
            predictions.write(result.predictions, result.signed, beside, replace=overwrite)
    return path


def build_or_keep(**fields: Unpack[RunFields]) -> Signed:
    """Build the signed part of a run's result; if that fails, keep its values in a file.

    Raises:
        ResultError: As `Signed.build`; says where the values are.
    """
    try:
        return Signed.build(**fields)
    except ResultError as error:
        path = Path(tempfile.mkdtemp(prefix="atariari-"), "scores.json")
        # Without a check of any kind: what could not be written may be why this is here, such as a NaN.
        text = json.dumps(
            to_jsonable_python(fields, serialize_unknown=True, inf_nan_mode="constants"), indent=1
        )
        path.write_text(text + "\n", encoding="utf-8")
        raise ResultError(
            error.what, expected=error.expected, got=error.got, cure=f"The scores are in {path}."
        ) from error


def _check_version(content: Any) -> None:
    signed = content.get("signed") if isinstance(content, dict) else None
    version = signed.get("schema_version") if isinstance(signed, dict) else None
    if not isinstance(version, int) or isinstance(version, bool):
        raise ResultError("Not a result file.", expected="an object with `signatures` and `signed`")
    refuse_newer("result", version, SCHEMA_VERSION)
