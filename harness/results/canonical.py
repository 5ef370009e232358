"""Canonical JSON: a small subset of RFC 8785 that every tool writes the same way.

Keys are ASCII and sorted, text is printable, and numbers are integers or decimals with at most four places
and no exponent. Within these limits ``jq -cjS``, RFC 8785 and :func:`canonical` give the same bytes.
"""

from __future__ import annotations

import json
import math
import re
from dataclasses import fields, is_dataclass
from typing import Annotated, Any, Final, TypeAlias

import orjson
from pydantic import BaseModel, Field, StringConstraints

from atariari_data.errors import DataError

MAX_BYTES = 5_000_000
"""Maximum size of a result file; under `readout` a game takes about 24 kB, the suite of 38 not quite 1 MB."""

MAX_INTEGER = 2**53 - 1
"""The largest integer that every JSON tool reads exactly (RFC 7493)."""

PLACES = 4
"""Decimal places of every number."""

# Printable ASCII and the accented Latin letters, less those that look like a plain letter or symbol
# (U+00D7 U+00F7 signs; U+0131 dotless i, U+0138 kra, U+013F/0140 middle dots, U+0149 and U+017F).
_LATIN = "\u00c0-\u00d6\u00d8-\u00f6\u00f8-\u0130\u0132-\u0137\u0139-\u013e\u0141-\u0148\u014a-\u017e"
PRINTABLE = rf"[\x20-\x7E{_LATIN}]"

# Numbers that the fast reader accepts and results do not contain: 0.12345, 1.0, 1e-5. Texts may contain them.
_ODD = re.compile(rb"\.(?:[0-9]{%d}|0[],}])" % (PLACES + 1))
_EXPONENT = re.compile(rb"e-[0-9]")
_LINE = re.compile(rb'{"(?=(?:accuracy|categories|embeddings)":)')
"""Where a line of a result file begins."""
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]{0,11})\.[0-9]{0,3}[1-9]")


class ResultError(DataError):
    """A result file that cannot be read or is inconsistent."""


MOST_DECIMAL: Final = 1e11
Decimal4: TypeAlias = Annotated[float, Field(ge=-MOST_DECIMAL, le=MOST_DECIMAL, allow_inf_nan=False)]
"""A number with at most four decimal places."""

Share: TypeAlias = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
"""A score from 0 to 1, with four decimal places."""

Count: TypeAlias = Annotated[int, Field(ge=0, le=MAX_INTEGER)]
Text: TypeAlias = Annotated[
    str, StringConstraints(min_length=1, max_length=300, pattern=rf"^{PRINTABLE}+$", strict=True)
]
"""One line of printable ASCII and accented Latin letters."""

Digest: TypeAlias = Annotated[str, StringConstraints(pattern=r"^(sha256|blake3):[0-9a-f]{64}$")]
"""The hash's name, a colon and 64 hexadecimal digits."""

Utc: TypeAlias = Annotated[
    str, StringConstraints(pattern=r"^20[0-9]{2}-[01][0-9]-[0-3][0-9]T[0-2][0-9]:[0-5][0-9]:[0-5][0-9]Z$")
]
"""A time such as ``2026-01-31T12:00:00Z``."""


def canonical(value: Any) -> bytes:
    """Return the RFC 8785 form of a JSON value within this module's limits."""
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)


def file_form(signatures: list[dict[str, Any]], payload: bytes) -> bytes:
    """Return the content of a result file: the signatures and the signed bytes, split into lines.

    Quotes inside texts are escaped, so the byte sequences that start an object never occur in a text, and the
    line breaks change no text.
    """
    text = b'{"signatures":' + canonical(signatures) + b',"signed":' + payload + b"}\n"
    return _LINE.sub(b'\n{"', text)


def parse(data: bytes) -> Any:
    """Read JSON fast; oddities are found later, when the same value is written again.

    Raises:
        ResultError: As :func:`parse_strictly`.
    """
    if _ODD.search(data) or (b"e-" in data and _EXPONENT.search(data)):
        return parse_strictly(data)
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError:
        return parse_strictly(data)


def parse_strictly(data: bytes) -> Any:
    """Read unambiguous JSON, with precise errors for anything else.

    Raises:
        ResultError: Not UTF-8, not JSON, nested too deeply, a duplicate key, or a number out of bounds.
    """
    try:
        return json.loads(
            data.decode("utf-8"),
            object_pairs_hook=_object,
            parse_float=_float,
            parse_constant=_constant,
        )
    except UnicodeDecodeError as error:
        raise ResultError("The file is not UTF-8 text.", got=f"a stray byte at {error.start}") from error
    except json.JSONDecodeError as error:
        raise ResultError(
            f"The file is not JSON: {error.msg} at line {error.lineno}, column {error.colno}.",
            cure="The file may be truncated or reformatted. Use it as the harness wrote it.",
        ) from error
    except ValueError as error:  # Python limits the digits of an integer
        raise ResultError("An integer is out of bounds.", expected=f"at most {MAX_INTEGER}") from error
    except RecursionError as error:
        raise ResultError("The file is nested too deeply.") from error


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        names = [name for name, _ in pairs]
        twice = sorted({name for name in names if names.count(name) > 1})
        raise ResultError("Duplicate key.", got=ascii(twice[0][:80]))
    return found


def _float(text: str) -> float:
    if not _NUMBER.fullmatch(text):
        raise ResultError(
            "Number in the wrong format.",
            expected=f"at most {PLACES} decimal places, no exponent, no trailing zero",
            got=text[:40],
        )
    return float(text)


def _constant(text: str) -> float:
    raise ResultError("Results contain no NaN or infinity; missing numbers are null.", got=text)


def to_plain(value: Any, where: str = "") -> Any:
    """Return ``value`` in plain Python: dicts with sorted keys, lists, floats rounded to four places.

    Takes models, dataclasses and NumPy scalars.

    Whole floats become integers: ``1``, as JSON tools write it, not ``1.0``.

    Raises:
        ResultError: A number is NaN or infinite.
    """
    if isinstance(value, BaseModel):
        value = value.model_dump()
    if is_dataclass(value) and not isinstance(value, type):
        value = {field.name: getattr(value, field.name) for field in fields(value)}
    if hasattr(value, "item") and callable(value.item):
        value = value.item()
    if isinstance(value, dict):
        return {str(key): to_plain(value[key], f"{where}.{key}") for key in sorted(value)}
    if isinstance(value, list | tuple):
        return [to_plain(item, f"{where}[{number}]") for number, item in enumerate(value)]
    if isinstance(value, float):
        if not math.isfinite(value):
            raise ResultError(
                f"{where.lstrip('.')} is {value}.",
                cure="Use None for a missing score, with the reason in `note`.",
            )
        value = round(value, PLACES)
        return int(value) if value.is_integer() else value
    return value


def whole_as_integers(value: Any) -> Any:
    """Return plain ``value`` with whole floats converted to integers."""
    if isinstance(value, dict):
        return {key: whole_as_integers(item) for key, item in value.items()}
    if isinstance(value, list):
        return [whole_as_integers(item) for item in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value
