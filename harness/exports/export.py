"""Verify a result and write it in a format of another tool. Its numbers are copied, never computed again."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module

from harness.exports import DATASET, FORMATS
from harness.results.frame import csv_text
from harness.results.result import Result
from harness.results.verify import Report, read_verified
from harness.signing.keys import AskPassphrase


@dataclass(frozen=True)
class Options:
    """What some formats say besides the result.

    Attributes:
        url: Where the result can be read.
        dataset: The dataset's name on the Hugging Face Hub.
        key: The key that signs an attestation, as in `harness.signing.keys.sign_bare`.
        ask: As there.
    """

    url: str | None = None
    dataset: str = DATASET
    key: str | None = None
    ask: AskPassphrase | None = None


Write = Callable[[Result, Report, Options], str]


def export(
    path: str | os.PathLike[str],
    form: str,
    options: Options | None = None,
    *,
    signers: str | os.PathLike[str] | None = None,
) -> str:
    """Return a result in another format, as text that ends with a newline.

    Args:
        path: The result file.
        form: One of `harness.exports.FORMATS`.
        options: What the format says besides the result.
        signers: As in `harness.results.verify.verify`.

    Raises:
        ResultError: The file cannot be read, or its numbers are inconsistent.
        SignatureError: The result is unsigned, a signature is invalid, or the key cannot sign.
        UsageError: The format is not for such a result.
    """
    result, report = read_verified(path, signers)
    module, name = FORMATS[form].split(":")
    write: Write = getattr(import_module(module), name)
    return write(result, report, options or Options())


def to_csv(result: Result, report: Report, options: Options) -> str:
    """Return one row per game, probe and variable, as :func:`harness.report.write_csv` does."""
    del report, options
    return csv_text(result)
