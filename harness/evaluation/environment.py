"""What a run depends on: the harness's own source, the machine and the packages."""

from __future__ import annotations

import base64
import hashlib
import os
import platform
import re
from functools import cache
from importlib.metadata import PackageNotFoundError, distribution, version
from pathlib import Path

from builders.package import source_digest
from harness.results.provenance import Environment, Harness

PACKAGES = ("ale-py", "datasets", "numpy", "pillow", "pyarrow", "scikit-learn", "torch", "zlib-ng")


@cache
def as_released() -> bool | None:
    """Return whether every installed file is that of the wheel; None for an editable install."""
    installed = distribution("atariari").files or []
    ours = [f for f in installed if f.parts[0] in {"atariari_data", "builders", "harness"} and f.hash]
    if not ours:
        return None
    for file in ours:
        path = Path(str(file.locate()))
        if file.hash is None or not path.is_file():
            return False
        digest = hashlib.new(file.hash.mode, path.read_bytes()).digest()
        if base64.urlsafe_b64encode(digest).rstrip(b"=").decode() != file.hash.value:
            return False
    return True


def harness_identity() -> Harness:
    """Return the harness's version and digest, and whether it is unchanged since its release."""
    return Harness(version=version("atariari"), source=source_digest(), as_released=as_released())


def describe(device: str) -> Environment:
    """Return the machine and package versions of a run; ``device`` is the encoder's."""
    versions = {}
    for name in PACKAGES:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            continue
    return Environment(
        python=platform.python_version(),
        platform=f"{platform.system()} {platform.machine()}",
        cpu=_cpu(),
        cores=_cores(),
        device=device,
        packages=versions,
    )


def machine() -> str:
    """Return what a result calls this machine: its name, processor and cores."""
    name = re.sub(r"[^A-Za-z0-9._-]", "?", platform.node())[:64] or "unnamed"
    return f"{name}, {_cpu()[:100]}, {_cores()} cores"


def _cores() -> int:
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1


def _cpu() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="ascii", errors="ignore").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine() or "unknown"
