"""A cache of features and finished games on disk, so that nothing is computed twice.

Many processes may share it, on a disk without locks too: a file appears by being renamed.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import re
import shutil
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Final

import numpy as np
import numpy.typing as npt

from atariari_data.errors import AtariariError, UsageError
from builders.files import new_file

_log = logging.getLogger(__name__)

DEFAULT_GIGABYTES: Final = 20.0
_SCORES, _FILES = "scores", "files"
_FOLDERS: Final = ("frames", "runs", "verified")
"""Folders of other modules: decoded frames, runs of a cluster, digests of verified datasets."""
_OWN: Final = re.compile(r"\.?[0-9a-f]{32}")
"""How all names begin that are kept: with a digest. The folder may hold files of others."""
_DAMAGED: Final = (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile, zlib.error)
"""What reading a file raises that was cut by a power failure, or is gone from a shared disk."""
_LONGER: Final = 30 * 86_400.0
"""Seconds that scores, small and dear, outlive the features that they were made from."""

Holds = Callable[[Mapping[str, str]], bool]
"""Whether files have the contents that these digests are of."""


def default_dir() -> Path:
    """Return ``ATARIARI_CACHE``, else ``~/.cache/atariari``."""
    named = os.environ.get("ATARIARI_CACHE")
    base = os.environ.get("XDG_CACHE_HOME")
    return Path(named) if named else (Path(base) if base else Path.home() / ".cache") / "atariari"


def default_gigabytes() -> float:
    """Return ``ATARIARI_CACHE_GB``, else 20.

    Raises:
        UsageError: It is no positive number.
    """
    named = os.environ.get("ATARIARI_CACHE_GB")
    with contextlib.suppress(ValueError):
        found = float(named) if named else DEFAULT_GIGABYTES
        if found > 0:
            return found
    raise UsageError("ATARIARI_CACHE_GB is not a size.", expected="gigabytes, such as 100", got=named)


@dataclass(frozen=True)
class Cache:
    """Features and finished games by key, in a folder. Files are written completely or not at all.

    What is kept may depend on more than its key says: ``files``, a digest of each. It is only found by who
    says that these files still hold.

    Attributes:
        folder: Where; None keeps nothing.
        gigabytes: How large it may grow before the files that were longest unused go.
    """

    folder: Path | None
    gigabytes: float = field(default_factory=default_gigabytes)

    def features(self, key: str, holds: Holds) -> npt.NDArray[np.float32] | None:
        """Return the features under a key, float32 [n, d], or None."""
        with contextlib.suppress(*_DAMAGED), self._open(key, ".npy") as file:
            found: npt.NDArray[np.float32] = np.load(file, allow_pickle=False)
            if holds(json.loads(file.read() or b"{}")):
                return found
        return None

    def keep_features(self, key: str, features: npt.NDArray[np.float32], files: Mapping[str, str]) -> None:
        """Store features, float32 [n, d], and the files. If they cannot be written, warn and continue."""

        def save(file: IO[bytes]) -> None:
            np.save(file, features, allow_pickle=False)
            if files:
                file.write(json.dumps(files).encode())

        self._write(key, ".npy", save)

    def drop_features(self, key: str) -> None:
        """Remove features that are of no more use."""
        if self.folder is not None:
            with contextlib.suppress(OSError):
                (self.folder / (key + ".npy")).unlink()

    def scored(self, key: str, holds: Holds) -> tuple[Any, dict[str, npt.NDArray[Any]]] | None:
        """Return scores and arrays of predictions; None if there are none."""
        with (
            contextlib.suppress(*_DAMAGED),
            self._open(key, ".npz") as file,
            np.load(file, allow_pickle=False) as kept,
        ):
            files = json.loads(str(kept[_FILES])) if _FILES in kept.files else {}
            if holds(files):
                arrays = {name: kept[name] for name in kept.files if name not in (_SCORES, _FILES)}
                return json.loads(str(kept[_SCORES])), arrays
        return None

    def keep_scored(
        self, key: str, scores: Any, predictions: Mapping[str, npt.NDArray[Any]], files: Mapping[str, str]
    ) -> None:
        """Store scores, arrays of predictions and the files. If they cannot be written, warn and continue."""
        texts = {_SCORES: np.array(json.dumps(scores)), _FILES: np.array(json.dumps(dict(files)))}
        arrays: dict[str, Any] = {**texts, **predictions}
        self._write(key, ".npz", lambda file: np.savez_compressed(file, **arrays))

    def clear(self) -> int:
        """Remove everything that was kept, but no file of others, and return the bytes that were freed."""
        total = self.size()
        for path in self._kept(*_FOLDERS):
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                with contextlib.suppress(OSError):
                    path.unlink()
        return total

    def size(self) -> int:
        """Return the number of bytes in use, including the decoded frames of the methods."""
        total = 0
        with contextlib.suppress(OSError):  # another process makes room
            for kept in self._kept(*_FOLDERS):
                for path in kept.rglob("*") if kept.is_dir() else [kept]:
                    total += path.stat().st_size if path.is_file() else 0
        return total

    def _kept(self, *folders: str) -> list[Path]:
        """Return what is kept here and in some folders of other modules, and what a killed process left."""
        if self.folder is None:
            return []
        places = (self.folder, *(self.folder / name for name in folders))
        return [
            path for place in places if place.is_dir() for path in place.iterdir() if _OWN.match(path.name)
        ]

    def _files(self) -> list[tuple[float, int, Path]]:
        found = []
        kept = (part for path in self._kept() for part in (path.glob("*") if path.is_dir() else [path]))
        for path in (path for path in kept if path.is_file()):
            with contextlib.suppress(OSError):
                status = path.stat()
                used = status.st_mtime + (_LONGER if path.suffix == ".npz" else 0)
                found.append((used, status.st_size, path))
        return sorted(found)

    @contextlib.contextmanager
    def _open(self, key: str, suffix: str) -> Iterator[IO[bytes]]:
        """Open a file, or raise OSError: not there, or removed by another process that made room."""
        if self.folder is None:
            raise FileNotFoundError(key)
        path = self.folder / (key + suffix)
        with path.open("rb") as file:
            with contextlib.suppress(OSError):
                os.utime(path)  # when it was last of use
            yield file

    def _write(self, key: str, suffix: str, save: Callable[[IO[bytes]], object]) -> None:
        if self.folder is None:
            return
        try:
            with new_file(self.folder / (key + suffix), replace=True) as part, part.open("wb") as file:
                save(file)
                if file.tell() > self.gigabytes * 1e9:
                    raise UsageError("They do not fit into ATARIARI_CACHE_GB.")
        except AtariariError as error:
            _log.warning("Not cached. %s", error.what)
            return
        with contextlib.suppress(OSError):  # another process makes room at the same time
            self._shrink()

    def _shrink(self) -> None:
        files = self._files()
        excess = sum(size for _, size, _ in files) - self.gigabytes * 1e9
        for _, size, path in files:
            if excess <= 0:
                return
            with contextlib.suppress(OSError):
                path.unlink()
            excess -= size
