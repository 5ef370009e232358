"""Which files an encoder reads: the kernel reports every open, also by libraries and child processes."""

from __future__ import annotations

import contextlib
import ctypes
import os
import struct
import sys
from collections.abc import Iterator
from pathlib import Path

from blake3 import blake3

_OPEN, _CREATED, _MOVED_HERE, _FOLDER, _OVERFLOW = 0x20, 0x100, 0x80, 0x40000000, 0x4000  # sys/inotify.h
_EVENT = struct.Struct("iIII")
_MOST_FOLDERS = 20_000
_BUFFER = 1 << 16


class Reads:
    """The files that were opened in some folders, as inotify reports them.

    It sees opens by every process. It does not see who only asks for names, sizes and times.

    Attributes:
        complete: False where opens may have been missed: there is no inotify, there are too many folders, or
            one was added meanwhile.
    """

    def __init__(self, places: list[Path], hidden: list[Path]) -> None:
        """Watch from now on.

        Args:
            places: Files, and folders with everything in them.
            hidden: Files and folders in these that nobody can open.
        """
        self.complete = False
        self._opened: set[Path] = set()
        self._watched: dict[int, Path] = {}
        self._descriptor = -1
        if sys.platform != "linux":
            return
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._descriptor = self._libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        self.complete = self._descriptor >= 0 and all(map(self._watch, _folders(places, set(hidden))))

    def opened(self) -> set[Path]:
        """Return the files that were opened until now."""
        while self._descriptor >= 0:
            try:
                events = os.read(self._descriptor, _BUFFER)
            except BlockingIOError:
                break
            self._take(events)
        return set(self._opened)

    def close(self) -> None:
        """Watch no longer."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
        self._descriptor = -1

    def _watch(self, path: Path) -> bool:
        number = self._libc.inotify_add_watch(
            self._descriptor, os.fsencode(path), _OPEN | _CREATED | _MOVED_HERE
        )
        self._watched[number] = path
        return number >= 0 and len(self._watched) <= _MOST_FOLDERS

    def _take(self, events: bytes) -> None:
        start = 0
        while start < len(events):
            number, kind, _, length = _EVENT.unpack_from(events, start)
            start += _EVENT.size + length
            name = os.fsdecode(events[start - length : start].rstrip(b"\0"))
            if kind & _OVERFLOW or (kind & _FOLDER and kind & (_CREATED | _MOVED_HERE)):
                self.complete = False
            elif kind & _OPEN and not kind & _FOLDER:
                self._opened.add(self._watched[number] / name)


def state(path: Path) -> tuple[int, ...]:
    """Return what changes when a file does; empty where it is gone."""
    with contextlib.suppress(OSError):
        found = path.stat()
        return found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns
    return ()


def content_digest(path: Path) -> str:
    """BLAKE3 (hex) of a file's bytes; of nothing where it is gone."""
    digest = blake3(max_threads=blake3.AUTO)
    with contextlib.suppress(OSError):
        digest.update_mmap(path)
    return digest.hexdigest()


def _folders(places: list[Path], hidden: set[Path]) -> Iterator[Path]:
    for place in places:
        if place.is_file():
            yield place
        for parent, folders, _ in os.walk(place):
            folders[:] = [name for name in folders if Path(parent, name) not in hidden]
            yield Path(parent)
