"""Files that appear whole or not at all, and never in the place of another."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from atariari_data.errors import DataError, UsageError


@contextmanager
def new_file(path: Path, *, replace: bool = False) -> Iterator[Path]:
    """Give a path to write to, which becomes ``path`` when the block ends well and vanishes when not.

    Args:
        path: Where the file shall be; missing folders are made.
        replace: Put it in the place of what is there, if the caller knows that it may go.

    Raises:
        UsageError: There is such a file, and ``replace`` is not said.
        DataError: It cannot be written.
    """
    if path.exists() and not replace:
        raise _is_there(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{path.name}.", dir=path.parent) as folder:
            part = Path(folder, path.name)
            yield part
            if replace:
                part.replace(path)
            else:
                os.link(part, path)  # fails where the file exists, unlike rename
    except OSError as error:
        if path.exists() and not replace:
            raise _is_there(path) from error
        raise DataError(
            f"{path} cannot be written: {error}", cure="Name a place that can be written and has room."
        ) from error


def _is_there(path: Path) -> UsageError:
    return UsageError(f"{path} is there already.", cure="Name another file, or remove this one yourself.")
