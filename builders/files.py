"""Write files and folders atomically, without overwriting others; refuse to read newer formats."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from atariari_data.errors import DataError, UsageError

_NO_LINKS = (errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK)


@contextmanager
def new_file(path: Path, *, replace: bool = False) -> Iterator[Path]:
    """Yield a temporary path that is renamed to ``path`` on success and deleted on failure.

    Args:
        path: The file to write; missing folders are created.
        replace: Whether to replace an existing file. A device or a pipe is written into, and never replaced.

    Raises:
        UsageError: The file exists and ``replace`` is false, or it is a folder.
        DataError: The file cannot be written.
    """
    if not replace or path.is_dir():
        check_new(path)
    is_special = path.exists() and not path.is_file()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        beside = None if is_special else path.parent
        with tempfile.TemporaryDirectory(prefix=f".{path.name}.", dir=beside) as folder:
            part = Path(folder, path.name)
            yield part
            if is_special:
                path.write_bytes(part.read_bytes())
            elif replace:
                part.replace(path)
            else:
                _place(part, path)
    except OSError as error:
        if path.exists() and not replace:
            raise _is_there(path) from error
        raise _not_written(path, error) from error


def _place(part: Path, path: Path) -> None:
    """Give a file its name, and fail where that exists, unlike rename."""
    try:
        os.link(part, path)
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        os.close(os.open(path, os.O_CREAT | os.O_EXCL))  # a file system without hard links
        part.replace(path)


def check_new(path: Path) -> None:
    """Check that a file is not there.

    Raises:
        UsageError: It is, or it is a folder.
    """
    if path.is_dir():
        raise UsageError(f"{path} is a folder.", cure=f"Name a file in it, such as {path / 'NAME'}.")
    if path.exists():
        raise _is_there(path)


@contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """Yield a temporary folder that is renamed to ``path`` on success and deleted on failure.

    If another process has made ``path`` meanwhile, that one stays: both must have the same content. No lock
    is needed, so that a shared disk may have none.

    Raises:
        DataError: The folder cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        beside = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
        part = beside / path.name
        part.mkdir()  # with the permissions of a new folder, which a temporary one does not have
    except OSError as error:
        raise _not_written(path, error) from error
    try:
        yield part
        with contextlib.suppress(OSError):  # fails where the folder exists and has files in it
            part.rename(path)
        if not path.is_dir():
            raise _not_written(path, "it could not be renamed")
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def refuse_newer(what: str, version: int, newest: int) -> None:
    """Refuse a file whose format is newer than this version of the package.

    Raises:
        DataError: ``version`` is above ``newest``.
    """
    if version > newest:
        raise DataError(
            f"The {what} has a newer format.",
            expected=f"at most {newest}",
            got=version,
            cure="pip install --upgrade atariari",
        )


def _not_written(path: Path, error: object) -> DataError:
    return DataError(f"{path} cannot be written: {error}", cure="Choose a writable place with enough space.")


def _is_there(path: Path) -> UsageError:
    return UsageError(f"{path} already exists.", cure="Choose another file, or delete this one.")
