"""Where a result goes: to disk first, then signed, so that computed scores are never lost."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import click

from atariari_data.errors import AtariariError, UsageError
from builders.console import say
from harness.results.predictions_file import file_beside
from harness.results.result import Result
from harness.results.result_file import write
from harness.results.sign import sign_result
from harness.signing import keys
from harness.signing.sshsig import SignatureError


def check_writable(out: Path | None) -> None:
    """Check before a run that its result can be written.

    Raises:
        UsageError: ``out`` exists, or its folder is not writable.
    """
    if out is not None and out.is_dir():
        raise UsageError(f"{out} is a folder.", cure=f"Name a file, such as {out / 'result.json'}.")
    for path in () if out is None else (out, file_beside(out)):
        if path.exists():
            raise UsageError(f"{path} already exists.", cure="Choose another file, or delete it first.")
    folder = Path("results") if out is None else out.parent
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise UsageError(
            f"The folder {folder} is not writable: {error.strerror or error}.",
            cure="Choose a file elsewhere with --out.",
        ) from error


def check_key(key: str | None) -> None:
    """Check before a run that a key given with ``--key`` can sign.

    Raises:
        SignatureError: The key does not exist, has an unsupported type, or needs a passphrase that cannot be
            asked for.
    """
    if key is not None:
        keys.check(key, can_ask=has_terminal())


def default_out(result: Result) -> Path:
    """Return ``results/ENCODER-TIME-RUN.json``."""
    signed = result.signed
    name = "".join(c if c.isalnum() or c in "._-" else "_" for c in signed.encoder.name)
    time = signed.finished.replace(":", "").replace("-", "")
    return Path("results") / f"{name}-{time}-{signed.run_id[:4]}.json"


def write_result(result: Result, out: Path) -> Path:
    """Write a result to ``out`` or, if that fails, to a temporary folder, and return its file.

    Raises:
        AtariariError: It cannot be written to the temporary folder either.
    """
    try:
        return write(result, out)
    except AtariariError as error:
        say(f"{error}")
        path = write(result, Path(tempfile.mkdtemp(prefix="atariari-")) / out.name)
        say(f"The result is in {path} instead.")
        return path


def sign_saved(result: Result, path: Path, key: str | None) -> Result:
    """Sign a result that is on disk in ``path``, and return it.

    Without a usable key of the user's own, the result stays unsigned.

    Args:
        result: The unsigned result.
        path: Its file.
        key: As in `harness.signing.keys.sign`. Default: the user's own key.

    Raises:
        SignatureError: ``key`` was given and cannot sign.
    """
    if key is None and keys.default_key() is None:
        say(f"Not signed: no SSH key. `harness keygen` creates one, `harness sign {path}` signs later.")
        return result
    try:
        signed = sign_result(result, key, ask=ask_passphrase)
    except SignatureError as error:
        if key is None:
            say(f"Not signed: {error}")
            return result
        raise SignatureError(
            f"The result is in {path}, but it is not signed: {error.what}", cure=f"harness sign {path}"
        ) from error
    write(Result(signatures=signed.signatures, signed=signed.signed), path, overwrite=True)
    return signed


def has_terminal() -> bool:
    """Return whether there is a terminal to ask for a passphrase."""
    return sys.stdin is not None and sys.stdin.isatty()


def ask_passphrase(prompt: str, *, new: bool = False) -> str:
    """Ask for a passphrase on the terminal, twice for a new one.

    Raises:
        SignatureError: There is no terminal.
    """
    if not has_terminal():
        raise SignatureError(
            "A passphrase is needed, and there is no terminal to ask for it.",
            cure="Run this in a terminal, or add the key to your agent first: ssh-add KEY",
        )
    return str(click.prompt(prompt, hide_input=True, confirmation_prompt=new, err=True))
