"""What an encoder's process may read: Python and its packages, the system, the encoder and its weights.

Everything else is closed: the home folder, keys, tokens, configuration, other projects. The lists are for
Linux, the only system on which `harness.isolation.sandbox` can close files.
"""

from __future__ import annotations

import os
import site
import sys
import sysconfig
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import atariari_data
import builders
import harness
from harness.adapters import model_folder
from harness.encoders.python_files import PythonFile

_SYSTEM: Final = (
    *("/usr", "/lib", "/lib32", "/lib64", "/bin", "/sbin", "/sys", "/nix/store", "/gnu/store"),
    *("/run/opengl-driver", "/opt/cuda", "/opt/rocm", "/opt/intel"),
    *("/etc/ld.so.cache", "/etc/ld.so.conf", "/etc/ld.so.conf.d", "/etc/localtime", "/etc/timezone"),
    *("/etc/passwd", "/etc/group", "/etc/nsswitch.conf", "/etc/os-release", "/etc/mime.types"),
    *("/etc/fonts", "/etc/OpenCL", "/etc/vulkan", "/etc/ssl/certs"),
    *("/proc/cpuinfo", "/proc/meminfo", "/proc/stat", "/proc/loadavg", "/proc/uptime", "/proc/version"),
    *("/proc/filesystems", "/proc/devices", "/proc/modules", "/proc/driver", "/proc/sys", "/proc/cgroups"),
)
_DEVICES: Final = ("null", "zero", "full", "random", "urandom", "kfd", "dri")
_LARGEST_KEY: Final = 32_768  # bytes


@dataclass(frozen=True)
class Readable:
    """What a process may read.

    Attributes:
        contents: Files, and folders with everything in them.
        names: Folders whose entries may be listed but not opened, so that imports find their way.
        devices: Devices, which may also be written to.
        hidden: What stays closed although it lies in one of ``contents``.
        changing: Those of ``contents`` that are neither the system nor installed nor a checkout of the
            harness: the encoder, downloaded models, and code that is imported from where it is edited.
    """

    contents: list[Path]
    names: list[Path]
    devices: list[Path]
    hidden: list[Path]
    changing: list[Path]


def readable(source: str, weights: Path | None, hidden: list[Path]) -> Readable:
    """List what the process of an encoder may read.

    Args:
        source: A file, the folder of a run, or a model by name or folder.
        weights: A weights file.
        hidden: Folders that hold answers: the dataset and what was computed from it.
    """
    packages = [Path(str(package.__file__)).parent for package in (atariari_data, builders, harness)]
    imported = _import_roots()
    own = own_files(source, weights)
    private = [secret for folder in (*imported, *own) for secret in private_names(folder)]
    installed, ours = _interpreter(), atariari_data.__name__
    edited = [
        path
        for path in imported
        if not (path / ours).is_dir() and not any(path.is_relative_to(place) for place in installed)
    ]
    contents = _there([*_interpreter(), *map(Path, _SYSTEM), *packages, *imported, *own, *_caches()])
    return Readable(
        contents=[path for path in contents if not any(path.is_relative_to(h) for h in hidden)],
        names=_there([*map(Path, sys.path), *_listed(source), *(p.parent for p in packages), Path("/proc")]),
        devices=_there([*(Path("/dev", name) for name in _DEVICES), *sorted(Path("/dev").glob("nvidia*"))]),
        hidden=[*hidden, *private],
        changing=_there([*own, *_caches(), *edited]),
    )


def own_files(source: str, weights: Path | None) -> list[Path]:
    """Return an encoder's own files: its folder, or only the Python files of a folder that others share."""
    own = [weights.expanduser()] if weights else []
    path = model_folder(source) or Path(source).expanduser().resolve()
    if path.is_dir():
        own.append(path)
    elif path.is_file():
        folder = PythonFile(path).folder
        loose = _is_shared(folder) or _holds_projects(folder)
        own += [path, *path.parent.glob("*.py")] if loose else [folder]
    return own


def _listed(source: str) -> list[Path]:
    """Return the folders that imports of a file list, unless the home folder lies in them."""
    path, home = Path(source).expanduser().resolve(), Path.home().resolve()
    places = [path.parent, PythonFile(path).folder.parent] if path.is_file() else []
    return [place for place in places if place not in (home, *home.parents)]


def _interpreter() -> list[Path]:
    """Return where Python, its library and the installed packages are."""
    prefixes = {Path(p) for p in (sys.prefix, sys.exec_prefix, sys.base_prefix, sys.base_exec_prefix)}
    paths = [Path(path) for path in sysconfig.get_paths().values()]
    packages = [Path(path) for path in (*site.getsitepackages(), site.getusersitepackages())]
    libraries = [Path(p) for p in os.environ.get("LD_LIBRARY_PATH", "").split(":") if p.startswith("/")]
    found = [*prefixes, *paths, *packages, *libraries]
    return [Path(sys.executable), *(path for path in found if not _is_shared(path))]


def _import_roots() -> list[Path]:
    """Return the folders of ``PYTHONPATH`` and of editable installs, without the working directory."""
    here = Path.cwd()
    roots = [Path(path) for path in sys.path if path]
    return [path for path in roots if path.is_dir() and path.resolve() != here and not _is_shared(path)]


def _caches() -> Iterator[Path]:
    """Yield the models that were downloaded."""
    from huggingface_hub import constants

    yield from Path(constants.HF_HUB_CACHE).glob("models--*")
    yield torch_home() / "hub" / "checkpoints"


def torch_home() -> Path:
    """Return where torch keeps what it downloads."""
    named = os.environ.get("TORCH_HOME")
    cache = os.environ.get("XDG_CACHE_HOME")
    return Path(named) if named else (Path(cache) if cache else Path.home() / ".cache") / "torch"


def _is_shared(folder: Path) -> bool:
    """Whether a folder holds more than one project: the home folder, one above it, or a temporary one."""
    home = Path.home().resolve()
    temporary = {Path(path).resolve() for path in (tempfile.gettempdir(), "/tmp", "/var/tmp")}  # noqa: S108
    return folder.resolve() in {home, *home.parents, *temporary}


def _holds_projects(folder: Path) -> bool:
    """Whether there are git repositories in a folder that is not in one: it is not a project, they are."""
    if any((place / ".git").exists() for place in (folder, *folder.parents)):
        return False
    return any((entry / ".git").exists() for entry in folder.iterdir() if entry.is_dir())


def private_names(folder: Path) -> Iterator[Path]:
    """Yield names that begin with a dot, and private keys, in a folder of somebody's project."""
    if "site-packages" in folder.parts or folder.is_relative_to(sys.base_prefix):
        return
    for parent, folders, files in os.walk(folder):
        yield from (Path(parent, name) for name in (*folders, *files) if name.startswith("."))
        folders[:] = [name for name in folders if not name.startswith(".") and name != "site-packages"]
        for name in files:
            if _is_private_key(Path(parent, name)):
                yield Path(parent, name)


def _is_private_key(path: Path) -> bool:
    try:
        if path.stat().st_size > _LARGEST_KEY or not path.is_file():
            return False
        with path.open("rb") as file:
            start = file.read(100)
    except OSError:
        return False
    return start.startswith(b"-----BEGIN") and b"PRIVATE KEY" in start


def _there(paths: list[Path]) -> list[Path]:
    """Return each path once, with links followed, if it is there."""
    return list(dict.fromkeys(path.resolve() for path in paths if path.exists()))
