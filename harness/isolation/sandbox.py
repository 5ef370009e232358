"""The walls around an encoder's process: an allow-list of files, no network, no notes to other processes.

On Linux, and without privileges: Landlock for files, seccomp for system calls. Neither can be taken down
again, and every process started from here inherits both. They bind the thread that puts them up and the
threads it starts, so this file runs first, by its path, before any library has started a thread, and imports
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

PIPE_CLOSED = 70
"""Exit code if the encoder has closed the pipe to the harness."""

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
_ALLOW, _ERRNO = 0x7FFF0000, 0x00050000
_LOAD, _AND, _EQUAL, _AT_LEAST, _RETURN = 0x20, 0x54, 0x15, 0x35, 0x06
_NUMBER, _MACHINE, _FIRST_ARGUMENT, _SECOND_ARGUMENT = 0, 4, 16, 24
_X32 = 0x40000000
_AF_UNIX, _DATAGRAM, _SOCKET_KIND = 1, 2, 0xF


class Walls(NamedTuple):
    """Which walls stand.

    Attributes:
        no_network: No sockets.
        no_dataset: No files but those that are allowed.
        note: Why a wall does not stand, or None.
    """

    no_network: bool
    no_dataset: bool
    note: str | None


class _Machine(NamedTuple):
    """An architecture: its number for seccomp, and the numbers of system calls on it."""

    audit: int
    seccomp: int
    socket: int
    socketpair: int
    refused: tuple[int, ...]
    """setsid and setpgid, so that nothing started here outlives the process group; ptrace, process_vm_readv
    and process_vm_writev; connect, which reaches agents; shmget, semget, msgget, mq_open, add_key,
    request_key and keyctl, which leave traces that are not files; io_uring_setup, which evades the filter."""
    unsupported: tuple[int, ...]
    """setxattr and its kin, which Landlock does not know."""
    ignored: tuple[int, ...]
    """chmod, chown, utime and their kin, which Landlock does not know either: programs go on without them."""


_EVERYWHERE = (425,), (463, 466, 469), (452,)
_MACHINES = {
    "x86_64": _Machine(
        *(0xC000003E, 317, 41, 53),
        (112, 109, 101, 310, 311, 42, 29, 64, 68, 240, 248, 249, 250, *_EVERYWHERE[0]),
        (188, 189, 190, 197, 198, 199, *_EVERYWHERE[1]),
        (90, 91, 92, 93, 94, 132, 235, 260, 261, 268, 280, *_EVERYWHERE[2]),
    ),
    "aarch64": _Machine(
        *(0xC00000B7, 277, 198, 199),
        (157, 154, 117, 270, 271, 203, 194, 190, 186, 180, 217, 218, 219, *_EVERYWHERE[0]),
        (5, 6, 7, 14, 15, 16, *_EVERYWHERE[1]),
        (52, 53, 54, 55, 88, *_EVERYWHERE[2]),
    ),
}


def close_in(contents: list[str], names: list[str], devices: list[str], hidden: list[str], own: str) -> Walls:
    """Put up the walls that the kernel has.

    Args:
        contents: Files and folders that may be read.
        names: Folders whose entries may be listed.
        devices: Devices that may be read and written.
        hidden: Files and folders that stay closed although they lie in one of ``contents``.
        own: The only folder that may be written to.
    """
    if sys.platform != "linux":
        return Walls(False, False, f"sandbox not available on {platform.system()}")
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(_PARENT_DEATH_SIGNAL, _SIGKILL, 0, 0, 0)
    libc.prctl(_NO_NEW_PRIVILEGES, 1, 0, 0, 0)
    notes, no_network, no_dataset = [], False, False
    try:
        _close_files(libc, contents, names, devices, hidden, own)
        no_dataset = True
    except OSError as error:
        notes.append(f"no Landlock ({os.strerror(error.errno or 0)})")
    try:
        _filter_calls(libc)
        no_network = True
    except OSError as error:
        notes.append(f"no seccomp ({os.strerror(error.errno or 0)})")
    return Walls(no_network, no_dataset, "; ".join(notes) or None)


def _close_files(
    libc: ctypes.CDLL, contents: list[str], names: list[str], devices: list[str], hidden: list[str], own: str
) -> None:
    """Allow to read ``contents``, to list ``names``, to use ``devices`` and to write in ``own``.

    Landlock's rules only ever allow, and for whole trees: what is hidden in a folder is left out by allowing
    its neighbours, at every level above it.
    """
    version = _call(libc, _CREATE_RULESET, None, 0, 1)
    handled = _RIGHTS[min(version, max(_RIGHTS))]
    attributes = (
        struct.pack("QQQ", handled, 0, _OUTSIDE) if version >= _KNOWS_OUTSIDE else struct.pack("Q", handled)
    )
    rules = _call(libc, _CREATE_RULESET, attributes, len(attributes), 0)
    try:
        closed = {Path(path) for path in hidden}
        for path in contents:
            for part in _without(Path(path), closed):
                _allow(libc, rules, part, _READ_FILE | _READ_DIR | _EXECUTE)
        for path in names:
            _allow(libc, rules, Path(path), _READ_DIR)
        for path in devices:
            _allow(libc, rules, Path(path), _READ_FILE | _WRITE_FILE | _READ_DIR)
        _allow(libc, rules, Path(f"/proc/{os.getpid()}"), _READ_FILE | _WRITE_FILE)
        _allow(libc, rules, Path(own).resolve(), handled)
        _call(libc, _RESTRICT_SELF, rules, 0)
    finally:
        os.close(rules)


def _without(path: Path, closed: set[Path]) -> Iterator[Path]:
    """Yield a path, or where something in it is closed, what lies beside that."""
    if not any(path in other.parents for other in closed):
        yield path
        return
    try:
        entries = sorted(os.scandir(path), key=lambda entry: entry.name)
    except OSError:
        return
    for entry in entries:
        if not entry.is_symlink() and Path(entry.path) not in closed:
            yield from _without(Path(entry.path), closed)


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


def _filter_calls(libc: ctypes.CDLL) -> None:
    """Let no socket be made that reaches another process, and nothing be left behind that is no file."""
    machine = _MACHINES.get(platform.machine())
    if machine is None:
        raise OSError(errno.ENOSYS, "unknown architecture")
    refuse, allow = (_RETURN, 0, 0, _ERRNO | errno.EPERM), (_RETURN, 0, 0, _ALLOW)
    program = [
        (_LOAD, 0, 0, _MACHINE),
        (_EQUAL, 1, 0, machine.audit),
        refuse,
        (_LOAD, 0, 0, _NUMBER),
        (_AT_LEAST, 0, 1, _X32),
        refuse,
        *_answer(machine.refused, errno.EPERM),
        *_answer(machine.unsupported, errno.ENOTSUP),
        *_answer(machine.ignored, 0),
        (_EQUAL, 2, 0, machine.socket),
        (_EQUAL, 1, 0, machine.socketpair),
        allow,
        (_LOAD, 0, 0, _FIRST_ARGUMENT),
        (_EQUAL, 1, 0, _AF_UNIX),
        (_RETURN, 0, 0, _ERRNO | errno.EACCES),
        (_LOAD, 0, 0, _SECOND_ARGUMENT),
        (_AND, 0, 0, _SOCKET_KIND),
        (_EQUAL, 0, 1, _DATAGRAM),  # the kind that sends without connect
        (_RETURN, 0, 0, _ERRNO | errno.EACCES),
        allow,
    ]
    code = b"".join(struct.pack("HBBI", *step) for step in program)
    buffer = ctypes.create_string_buffer(code, len(code))
    filled = struct.pack("HxxxxxxP", len(program), ctypes.addressof(buffer))
    # Speculation stays as it was: the data is the encoder's own, and its arithmetic would be slower.
    _call(libc, machine.seccomp, _SET_FILTER, _SPECULATE, filled)


def _answer(numbers: tuple[int, ...], error: int) -> Iterator[tuple[int, int, int, int]]:
    """Answer system calls with an error, or with 0 without doing anything."""
    for number in numbers:
        yield (_EQUAL, 0, 1, number)
        yield (_RETURN, 0, 0, _ERRNO | error)


def _call(libc: ctypes.CDLL, number: int, *arguments: int | bytes | None) -> int:
    wide = [ctypes.c_long(a) if isinstance(a, int) else a for a in arguments]
    done = int(libc.syscall(ctypes.c_long(number), *wide))
    if done < 0:
        raise OSError(ctypes.get_errno(), "system call")
    return done


def main() -> None:
    """Read the lists, put up the walls, and only then load everything else."""
    requests, replies = os.fdopen(int(sys.argv[1]), "rb"), os.fdopen(int(sys.argv[2]), "wb")
    where = json.loads(requests.readline())
    walls = close_in(**where["files"])
    replies.write(json.dumps(walls._asdict()).encode() + b"\n")  # before any code of the encoder runs
    replies.flush()
    sys.path[:] = where["path"]
    from harness.isolation.worker import serve

    serve(requests, replies, int(sys.argv[3]))


if __name__ == "__main__":
    main()
