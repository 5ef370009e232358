"""Read OpenSSH's ``allowed_signers`` file, which maps people to keys (``ssh-keygen(1)``, ALLOWED SIGNERS)."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from pathlib import Path

from atariari_data.errors import UsageError
from harness.signing.sshsig import PublicKey, SignatureError


class NoSignersError(SignatureError, UsageError):
    """There is no such file."""


MAX_BYTES = 5_000_000
_HOW_TO_MAKE = (
    "`harness keygen --show --submitter YOU >> {}` writes the line of your own key; ask other submitters for "
    "theirs."
)
_OTHER_KINDS = ("ecdsa-", "sk-ecdsa-", "ssh-dss", "webauthn-")
_FORMS = {8: "%Y%m%d", 12: "%Y%m%d%H%M", 14: "%Y%m%d%H%M%S"}
"""Formats of times, by their number of digits."""
_OPTION = re.compile(r'(?i)(cert-authority|namespaces|valid-after|valid-before)(?:="([^"]*)")?(,|[ \t]+)')


@dataclass(frozen=True)
class AllowedSigner:
    """One line of the file.

    Attributes:
        principals: Patterns of the people who may sign with the key (``*`` and ``?``; ``!`` negates).
        key: The public key.
        namespaces: Patterns of the namespaces it may sign for; None for all.
        valid_after: Start of its validity, or None.
        valid_before: End of its validity, or None.
        line: Line number, from 1.
    """

    principals: tuple[str, ...]
    key: PublicKey
    namespaces: tuple[str, ...] | None
    valid_after: datetime | None
    valid_before: datetime | None
    line: int

    def covers(self, principal: str) -> bool:
        """Return whether the line applies to ``principal``."""
        return _matches(principal, self.principals)

    def refusal(self, namespace: str, at: datetime) -> str | None:
        """Return why the line does not allow signatures for ``namespace`` at that time, or None."""
        if self.namespaces is not None and not _matches(namespace, self.namespaces):
            return f"the key is not allowed to sign for {namespace}"
        if self.valid_after is not None and at < self.valid_after:
            return f"the key is not valid before {self.valid_after:%Y-%m-%d %H:%M:%S %Z}"
        if self.valid_before is not None and at > self.valid_before:
            return f"the key expired on {self.valid_before:%Y-%m-%d %H:%M:%S %Z}"
        return None


def read(path: str | os.PathLike[str]) -> list[AllowedSigner]:
    """Read an ``allowed_signers`` file.

    Certificate authorities and keys of unsupported types are skipped. Any other invalid line is an error,
    although OpenSSH ignores it: a typo must not silently change who is trusted.

    Raises:
        NoSignersError: There is no such file.
        SignatureError: The file or one of its lines cannot be read.
    """
    try:
        with Path(path).open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except FileNotFoundError as error:
        raise NoSignersError(f"No such file: {path}.", cure=_HOW_TO_MAKE.format(path)) from error
    except OSError as error:
        raise SignatureError(
            f"{path} cannot be read: {error.strerror or error}.", cure=_HOW_TO_MAKE.format(path)
        ) from error
    if len(data) > MAX_BYTES:
        raise SignatureError(
            f"{path} is too large to be an allowed_signers file.", expected=f"at most {MAX_BYTES:,} bytes"
        )
    return parse(data, str(path))


def parse(data: bytes, name: str = "allowed_signers") -> list[AllowedSigner]:
    """Read the content of an ``allowed_signers`` file; see :func:`read`."""
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise SignatureError(f"{name} is not UTF-8 text.", got=f"a stray byte at {error.start}") from error
    found = []
    for number, line in enumerate(text.split("\n"), 1):
        try:
            entry = _line(line.strip(" \t\r"), number)
        except SignatureError as error:
            raise SignatureError(
                f"{name}, line {number}: {error.what}",
                expected=error.expected,
                got=error.got,
                cure=error.cure,
            ) from error
        if entry is not None:
            found.append(entry)
    return found


def _line(line: str, number: int) -> AllowedSigner | None:
    if not line or line.startswith("#"):
        return None
    principals, rest = _principals(line)
    namespaces, after, before = None, None, None
    if not rest.startswith(("ssh-", "sk-", "ecdsa-", "webauthn-")):
        options, rest = _options(rest)
        if "cert-authority" in options:
            return None
        if "namespaces" in options:
            namespaces = tuple(options["namespaces"].split(","))
        after = _time(options["valid-after"]) if "valid-after" in options else None
        before = _time(options["valid-before"]) if "valid-before" in options else None
        if after and before and before <= after:
            raise SignatureError("The key is never valid.", got=f"{after} to {before}")
    if rest.startswith(_OTHER_KINDS) or rest.split(" ")[0].endswith("-cert-v01@openssh.com"):
        return None
    return AllowedSigner(principals, PublicKey.from_line(rest), namespaces, after, before, number)


def _principals(line: str) -> tuple[tuple[str, ...], str]:
    match = re.match(r'"([^"]+)"[ \t]+(?=\S)|([^\s"]+)[ \t]+(?=\S)', line)
    if match is None:
        raise SignatureError("No key after the principals.", got=ascii(line[:60]))
    return tuple((match[1] or match[2]).split(",")), line[match.end() :]


def _options(rest: str) -> tuple[dict[str, str], str]:
    found: dict[str, str] = {}
    at = 0
    while True:
        match = _OPTION.match(rest, at)
        if match is None:
            raise SignatureError(
                "Neither a key nor an option.",
                expected='cert-authority, namespaces="...", valid-after="..." or valid-before="..."',
                got=ascii(rest[at : at + 40]),
            )
        name = match[1].lower()
        if name in found or (match[2] is None) != (name == "cert-authority"):
            raise SignatureError("Duplicate option, or option without a value.", got=name)
        found[name] = match[2] or ""
        at = match.end()
        if match[3] != ",":
            return found, rest[at:]


def _time(text: str) -> datetime:
    """Parse YYYYMMDD[HHMM[SS]][Z]; local time without the Z, as in OpenSSH."""
    digits, zone = (text[:-1], UTC) if text.endswith(("Z", "z")) else (text, None)
    try:
        time = datetime.strptime(digits, _FORMS[len(digits)])  # noqa: DTZ007  the zone follows
        return time.replace(tzinfo=zone) if zone else time.astimezone()
    except (KeyError, ValueError, OverflowError) as error:
        raise SignatureError(
            "Invalid time.", expected="YYYYMMDD[HHMM[SS]][Z]", got=ascii(text[:40])
        ) from error


def _matches(name: str, patterns: Sequence[str]) -> bool:
    """Match an OpenSSH pattern list: one pattern must match, and none that starts with ``!``."""
    positive = False
    for pattern in patterns:
        wanted = pattern.removeprefix("!").replace("[", "[[]")  # brackets have no meaning in OpenSSH
        if fnmatchcase(name, wanted):
            if pattern.startswith("!"):
                return False
            positive = True
    return positive
