"""The one error tree of the project: every error of ours says what happened and how to mend it."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Any


class AtariariError(Exception):
    """Base of all errors that atariari raises on purpose.

    Attributes:
        what: One sentence, what happened.
        expected: What should have been there, where that can be said.
        got: What was there instead.
        cure: What to do about it.
        exit_code: What a command line ends with: 1 failed or not verified, 2 wrong usage.
    """

    exit_code = 1

    def __init__(
        self,
        what: str,
        *,
        expected: object = None,
        got: object = None,
        cure: str | None = None,
    ) -> None:
        """Keep the parts; ``str()`` joins those that are there, one a line."""
        self.what = what
        self.expected = None if expected is None else str(expected)
        self.got = None if got is None else str(got)
        self.cure = cure
        parts = [("expected", self.expected), ("got", self.got), ("to mend it", cure)]
        lines = [what, *(f"  {name}: {text}" for name, text in parts if text is not None)]
        super().__init__("\n".join(lines))

    def __reduce__(self) -> tuple[Any, ...]:
        """Let it come back whole from another process, whatever its class asks for."""
        return _again, (type(self), self.args, vars(self))

    def as_dict(self) -> dict[str, str | None]:
        """Return the parts for ``--json``."""
        return {
            "error": type(self).__name__,
            "what": self.what,
            "expected": self.expected,
            "got": self.got,
            "cure": self.cure,
        }


def _again(kind: type[AtariariError], args: tuple[object, ...], parts: dict[str, Any]) -> AtariariError:
    error = kind.__new__(kind, *args)
    vars(error).update(parts)
    return error


class UsageError(AtariariError):
    """A call that cannot be meant: an unknown name, an argument out of range."""

    exit_code = 2


class UnknownNameError(UsageError, LookupError):
    """A name that is not in a list of ours; says which are, and the nearest."""

    def __init__(self, kind: str, name: str, known: Iterable[str]) -> None:
        """Look for the nearest of ``known`` and say it."""
        known = list(known)
        near = difflib.get_close_matches(name.lower(), known, n=1, cutoff=0.5)
        super().__init__(
            f"There is no {kind} {name!r}.",
            expected="one of " + ", ".join(known),
            cure=f"Did you mean {near[0]!r}?" if near else None,
        )


class MissingExtraError(AtariariError, ImportError):
    """A part of the package is called whose dependencies are not installed."""

    exit_code = 2

    def __init__(self, package: str, extra: str) -> None:
        """Name the package and the command that installs it."""
        super().__init__(
            f"This needs the package {package!r}, which is not installed.",
            cure=f"pip install 'atariari[{extra}]'",
        )


class DataError(AtariariError):
    """Something on disk (a recording, a manifest, an Arrow file, a ROM) is not what it should be."""


class DriftError(DataError):
    """The emulator does not give the pixels, RAM or rewards that were recorded."""
