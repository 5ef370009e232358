"""Check before a run what its submitter declares: wrong words could not be signed after it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from pydantic import TypeAdapter, ValidationError

from atariari_data.errors import UsageError
from harness.encoders.named import RAM
from harness.results.canonical import Text
from harness.results.complaint import first_complaint
from harness.results.provenance import Name, Principal, Submitter, Url

_NAME = "2 to 64 ASCII letters, digits, spaces and ._+()/- that start with a letter or digit"
_PRINCIPAL = "2 to 64 lower-case letters, digits and ._@+-, such as you@example.org"
_WORDS = "1 to 300 printable characters of ASCII or accented Latin, on one line"
_URL = "https:// and at most 192 more characters of ASCII"


def check_declared(
    *,
    name: str | None = None,
    submitter: Mapping[str, str | None] | None = None,
    pretraining_data: str | None = None,
    code: str | None = None,
    paper: str | None = None,
    sees_ram: bool = False,
) -> None:
    """Check that a result can be signed with these words.

    Args:
        name: The encoder's name.
        submitter: Fields of `harness.results.provenance.Submitter`.
        pretraining_data: What the encoder was trained on.
        code: The address of its code.
        paper: The address of its paper.
        sees_ram: Whether it is the encoder `ram`, the only one with that name.

    Raises:
        UsageError: One of them cannot be signed.
    """
    if name is not None:
        _check(Name, name, "name", _NAME)
        if name == RAM and not sees_ram:
            raise UsageError(f"The name {RAM!r} is reserved.", cure="Choose another name with --name.")
    if pretraining_data is not None:
        _check(Text, pretraining_data, "description of the pretraining data", _WORDS)
    for what, url in (("code", code), ("paper", paper)):
        if url is not None:
            _check(Url, url, f"address of the {what}", _URL)
    if submitter is not None:
        if not isinstance(submitter, Mapping):
            raise UsageError(
                "The submitter must be a dict.",
                expected="submitter={'principal': 'you@example.org'}",
                got=repr(submitter),
            )
        check_submitter(submitter.get("principal"))
        try:
            Submitter.model_validate({"name": None, **submitter})
        except ValidationError as error:
            where, what, got = first_complaint(error)
            raise UsageError(f"The submitter's {where} cannot be signed: {what}.", got=got) from error


def check_submitter(principal: object) -> None:
    """Check the submitter's name in ``allowed_signers``.

    Raises:
        UsageError: It cannot be signed.
    """
    _check(Principal, principal, "submitter", _PRINCIPAL)


def printable_name(text: str, *, sees_ram: bool = False) -> str:
    """Return the nearest name to ``text`` that can be signed."""
    name = re.sub(r"[^A-Za-z0-9 ._+()/-]+", " ", text)[:64]
    name = re.sub(r"^[^A-Za-z0-9]+|[^A-Za-z0-9)+]+$", "", name)
    if len(name) < 2 or (name == RAM and not sees_ram):  # noqa: PLR2004  the shortest name
        return f"{name} encoder".strip()
    return name


def _check(kind: Any, value: object, what: str, expected: str) -> None:
    try:
        TypeAdapter(kind).validate_python(value, strict=True)
    except ValidationError as error:
        raise UsageError(f"This {what} cannot be signed.", expected=expected, got=ascii(value)) from error
