"""The walls around an encoder's process: no sockets, no dataset, nothing written outside its own folder.

On Linux, and without any privilege: Landlock for files, seccomp for sockets. Neither can be taken off again,
and both pass to every process that is started from here. They hold for the thread that puts them up and for
those it starts, so this file runs first, by its path, before any library has started a thread, and imports
nothing but the standard library.
"""

from __future__ import annotations

import ctypes
import errno
import json
import os
import platform
import stat
import struct
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

# linux/landlock.h; these system calls have the same number on every architecture.
_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR, _TRUNCATE = 1 << 0, 1 << 1, 1 << 2, 1 << 3, 1 << 14
_ON_FILES = _EXECUTE | _WRITE_FILE | _READ_FILE | _TRUNCATE
_RIGHTS = {1: (1 << 13) - 1, 2: (1 << 14) - 1, 3: (1 << 15) - 1}  # by version; later ones add nothing we need
_OUTSIDE = 0b11  # abstract sockets of processes outside, and signals to them
_KNOWS_OUTSIDE = 6

# linux/prctl.h, seccomp.h, audit.h, filter.h
_NO_NEW_PRIVILEGES, _PARENT_DEATH_SIGNAL, _SIGKILL = 38, 1, 9
_SET_FILTER, _SPECULATE = 1, 1 << 2
_ALLOW, _DENY = 0x7FFF0000, 0x00050000
_LOAD, _EQUAL, _AT_LEAST, _RETURN = 0x20, 0x15, 0x35, 0x06
_NUMBER, _MACHINE, _FIRST_ARGUMENT = 0, 4, 16
_X32 = 0x40000000
_AF_UNIX = 1
_IO_URING_SETUP = 425


class _Machine(NamedTuple):
    """An architecture: its number for seccomp, and the numbers of system calls on it."""

    audit: int
    seccomp: int
    socket: int
    refused: tuple[int, ...]
    """setsid and setpgid, so that nothing started here outlives the process group; ptrace and its kin."""


_MACHINES = {
    "x86_64": _Machine(0xC000003E, 317, 41, (112, 109, 101, 310, 311, _IO_URING_SETUP)),
    "aarch64": _Machine(0xC00000B7, 277, 198, (157, 154, 117, 270, 271, _IO_URING_SETUP)),
}


def close_in(hidden: list[str], own: str) -> dict[str, object]:
    """Put up what walls the kernel has.

    Args:
        hidden: Folders that are not to be read.
        own: The folder that may be written to.

    Returns:
        ``no_network``, ``no_dataset``: whether they stand; ``note``: why not, or None.
    """
    notes, found = [], {"no_network": False, "no_dataset": False}
    if sys.platform != "linux":
        return {**found, "note": f"{platform.system()} has no walls that a user may put up"}
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(_PARENT_DEATH_SIGNAL, _SIGKILL, 0, 0, 0)
    libc.prctl(_NO_NEW_PRIVILEGES, 1, 0, 0, 0)
    try:
        _hide(libc, hidden, own)
        found["no_dataset"] = True
    except OSError as error:
        notes.append(f"no Landlock ({os.strerror(error.errno or 0)})")
    try:
        _unplug(libc)
        found["no_network"] = True
    except OSError as error:
        notes.append(f"no seccomp ({os.strerror(error.errno or 0)})")
    return {**found, "note": "; ".join(notes) or None}


def _hide(libc: ctypes.CDLL, hidden: list[str], own: str) -> None:
    """Allow to read everything but the hidden folders and other processes, to write in the own one.

    Landlock's rules only ever allow, and for whole trees: so a hidden folder is one whose neighbours are
    allowed, at every level above it.
    """
    version = _call(libc, _CREATE_RULESET, None, 0, 1)
    handled = _RIGHTS[min(version, max(_RIGHTS))] & ~_READ_DIR
    attributes = (
        struct.pack("QQQ", handled, 0, _OUTSIDE) if version >= _KNOWS_OUTSIDE else struct.pack("Q", handled)
    )
    rules = _call(libc, _CREATE_RULESET, attributes, len(attributes), 0)
    try:
        away = {Path(path).resolve() for path in hidden}
        for path in _around(Path("/"), away | {Path("/proc"), Path("/dev")}, away):
            _allow(libc, rules, path, _READ_FILE | _EXECUTE)
        _allow(libc, rules, Path("/dev"), handled)
        for path in Path("/proc").iterdir():  # not the command line of other processes
            if not path.name.isdecimal():
                _allow(libc, rules, path, _READ_FILE)
        _allow(libc, rules, Path(f"/proc/{os.getpid()}"), _READ_FILE | _WRITE_FILE)
        _allow(libc, rules, Path(own).resolve(), handled)
        _call(libc, _RESTRICT_SELF, rules, 0)
    finally:
        os.close(rules)


def _around(folder: Path, stops: set[Path], away: set[Path]) -> Iterator[Path]:
    """Walk down towards the stops, and yield what lies beside the way."""
    try:
        entries = list(os.scandir(folder))
    except OSError:
        return
    for entry in entries:
        path = Path(entry.path)
        if path in stops or entry.is_symlink():
            continue
        if any(path in stop.parents for stop in away):
            yield from _around(path, stops, away)
        else:
            yield path


def _allow(libc: ctypes.CDLL, rules: int, path: Path, rights: int) -> None:
    try:
        place = os.open(path, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:  # gone, or not ours to see
        return
    try:
        mode = os.fstat(place).st_mode
        if stat.S_ISLNK(mode):
            return
        rights &= -1 if stat.S_ISDIR(mode) else _ON_FILES
        _call(libc, _ADD_RULE, rules, 1, struct.pack("=Qi", rights, place), 0)
    except OSError as error:
        if error.errno not in (errno.EBADFD, errno.EINVAL):  # no file that a rule can be about: a pipe
            raise
    finally:
        os.close(place)


def _unplug(libc: ctypes.CDLL) -> None:
    """Let no socket be made but those between processes of this machine."""
    machine = _MACHINES.get(platform.machine())
    if machine is None:
        raise OSError(errno.ENOSYS, "unknown architecture")
    refuse, allow = (_RETURN, 0, 0, _DENY | errno.EPERM), (_RETURN, 0, 0, _ALLOW)
    program = [
        (_LOAD, 0, 0, _MACHINE),
        (_EQUAL, 1, 0, machine.audit),
        refuse,
        (_LOAD, 0, 0, _NUMBER),
        (_AT_LEAST, 0, 1, _X32),
        refuse,
        *(step for number in machine.refused for step in ((_EQUAL, 0, 1, number), refuse)),
        (_EQUAL, 1, 0, machine.socket),
        allow,
        (_LOAD, 0, 0, _FIRST_ARGUMENT),
        (_EQUAL, 0, 1, _AF_UNIX),
        allow,
        (_RETURN, 0, 0, _DENY | errno.EACCES),
    ]
    code = b"".join(struct.pack("HBBI", *step) for step in program)
    buffer = ctypes.create_string_buffer(code, len(code))
    filled = struct.pack("HxxxxxxP", len(program), ctypes.addressof(buffer))
    # Speculation stays as it was: the data is the encoder's own, and its arithmetic would be slower.
    _call(libc, machine.seccomp, _SET_FILTER, _SPECULATE, filled)


def _call(libc: ctypes.CDLL, number: int, *arguments: int | bytes | None) -> int:
    wide = [ctypes.c_long(a) if isinstance(a, int) else a for a in arguments]
    done = int(libc.syscall(ctypes.c_long(number), *wide))
    if done < 0:
        raise OSError(ctypes.get_errno(), "system call")
    return done


def main() -> None:
    """Read where things are, put up the walls, and only then load everything else."""
    requests = os.fdopen(int(sys.argv[1]), "rb")
    where = json.loads(requests.readline())
    walls = close_in(where["hidden"], where["own"])
    sys.path[:] = where["path"]
    from harness.isolation.worker import serve

    serve(requests, os.fdopen(int(sys.argv[2]), "wb"), int(sys.argv[3]), walls)


if __name__ == "__main__":
    main()
