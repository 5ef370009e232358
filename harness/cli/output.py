"""Where a result goes: signed with the user's key, written whole, never lost for want of a folder."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import click

from atariari_data.errors import AtariariError, UsageError
from builders.console import say
from harness.results.predictions_file import file_beside
from harness.results.result import Result
from harness.results.result_file import write
from harness.results.sign import sign_result
from harness.signing.keys import default_key
from harness.signing.sshsig import SignatureError


def check_writable(out: Path | None) -> None:
    """Find out before the work, not after it, whether ``out`` can be written.

    Raises:
        UsageError: It is there already, or its folder cannot be written.
    """
    for path in () if out is None else (out, file_beside(out)):
        if path.exists():
            raise UsageError(f"{path} is there already.", cure="Name another file, or delete it first.")
    folder = Path("results") if out is None else out.parent
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise UsageError(
            f"The folder {folder} cannot be written: {error.strerror or error}.",
            cure="Name a file elsewhere with --out.",
        ) from error


def default_out(result: Result) -> Path:
    """Return ``results/ENCODER-TIME-RUN.json``."""
    signed = result.signed
    name = "".join(c if c.isalnum() else "_" for c in signed.encoder.name)
    time = signed.finished.replace(":", "").replace("-", "")
    return Path("results") / f"{name}-{time}-{signed.run_id[:4]}.json"


def save(result: Result, out: Path, key: str | None) -> tuple[Path, Result]:
    """Sign and write a result.

    Without a key it is written unsigned, with a key that fails too: computed numbers are never lost.

    Args:
        result: Unsigned.
        out: Where.
        key: As `harness.signing.keys.sign` takes it; the user's own, if None.

    Returns:
        The file, and the result as it was written.

    Raises:
        SignatureError: ``key`` was named and does not sign. The result is on disk, unsigned.
        ResultError: It cannot be written, not even in the folder for temporary files.
    """
    failure: SignatureError | None = None
    if key is None and default_key() is None:
        say("Not signed: there is no SSH key. `harness keygen` makes one, `harness sign` signs later.")
    else:
        try:
            result = sign_result(result, key, ask=_ask)
        except SignatureError as error:
            failure = error
            say(f"Not signed: {error}")
    try:
        path = write(result, out)
    except AtariariError as error:
        say(f"{error}")
        folder = Path(tempfile.mkdtemp(prefix="atariari-"))
        path = write(result, folder / out.name)
        say(f"It is in {path} instead.")
    if failure is not None and key is not None:
        raise SignatureError(
            f"The result is written to {path}, but not signed: {failure.what}", cure=f"harness sign {path}"
        ) from failure
    return path, result


def _ask(question: str) -> str:
    if not os.isatty(0):
        raise SignatureError("The key has a passphrase, and there is no terminal to ask for it.")
    return str(click.prompt(question, hide_input=True, err=True))
