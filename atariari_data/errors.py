"""The project's error classes. Every message says what happened and how to fix it."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from importlib.util import find_spec
from typing import Any, Final


class AtariariError(Exception):
    """Base class of all errors that atariari raises deliberately.

    Attributes:
        what: One sentence that says what happened.
        expected: The expected value, if there is one.
        got: The actual value.
        cure: How to fix it.
        exit_code: Exit code on the command line: 1 for a failure, 2 for wrong usage.
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
        """Store the parts; ``str()`` shows them one per line."""
        self.what = what
        self.expected = None if expected is None else str(expected)
        self.got = None if got is None else str(got)
        self.cure = cure
        parts = [("expected", self.expected), ("got", self.got), ("fix", cure)]
        lines = [what, *(f"  {name}: {text}" for name, text in parts if text is not None)]
        super().__init__("\n".join(lines))

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle all parts, whatever arguments the class takes."""
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
    """Invalid usage: an unknown name, or an argument out of range."""

    exit_code = 2


def nearest(name: str, known: Iterable[str]) -> str | None:
    """Return the known name that a wrong one probably means, or None."""
    known, given = list(known), name.lower()
    # 0.7 matches "pnog" with "pong", but not "tetris" with "tennis". In a name of three letters, two that are
    # swapped are too much for it.
    near = difflib.get_close_matches(given, known, n=1, cutoff=0.7)
    near = near or [one for one in known if sorted(one) == sorted(given)]
    return near[0] if near else None


class UnknownNameError(UsageError, LookupError):
    """An unknown name. The message lists the known names, up to 60 of them, and suggests a similar one."""

    _MOST: Final = 60

    def __init__(
        self, kind: str, name: object, known: Iterable[str], listed: str = "atariari-data list"
    ) -> None:
        """Build the message from the known names; ``listed`` is what shows all of many."""
        known = list(known)
        near = nearest(str(name), known)
        super().__init__(
            f"Unknown {kind}: {name!r}.",
            expected="one of " + ", ".join(known)
            if len(known) <= self._MOST
            else f"one of {len(known)} names, such as {', '.join(known[:3])} ({listed})",
            cure=f"Did you mean {near!r}?" if near else None,
        )


class MissingExtraError(AtariariError, ImportError):
    """An optional dependency is not installed."""

    exit_code = 2

    def __init__(self, package: str, extra: str) -> None:
        """Take the missing package, and the extra that installs it."""
        super().__init__(
            f"The package {package!r} is required but not installed.",
            cure=f"pip install 'atariari[{extra}]'",
        )


def require(package: str, extra: str) -> None:
    """Check that an optional dependency is installed, without importing it.

    Raises:
        MissingExtraError: It is not.
    """
    if find_spec(package) is None:
        raise MissingExtraError(package, extra)


class DataError(AtariariError):
    """A file (a recording, a manifest, an Arrow file, a ROM) is missing, damaged or unexpected."""


class DriftError(DataError):
    """The emulator does not reproduce the recorded pixels, RAM or rewards."""
