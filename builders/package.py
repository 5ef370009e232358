"""The source of this distribution, as installed."""

from __future__ import annotations

import hashlib
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Final

PACKAGES: Final = ("atariari_data", "builders", "harness")


@cache
def source_digest(pattern: str = "*") -> str:
    """Digest the source of the three packages.

    Args:
        pattern: A pattern for file names. By default all files, including annotations, recordings, manifests
            and stored scores; ``*.py`` is the code alone.
    """
    digest = hashlib.sha256()
    for package in PACKAGES:
        spec = find_spec(package)
        root = Path(str(spec and spec.origin)).parent
        for file in sorted(p for p in root.rglob(pattern) if p.is_file() and "__pycache__" not in p.parts):
            digest.update(f"{root.name}/{file.relative_to(root).as_posix()}\n".encode())
            digest.update(hashlib.sha256(file.read_bytes()).digest())
    return f"sha256:{digest.hexdigest()}"
