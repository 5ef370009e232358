"""An encoder's files as bytes, for a worker that does not see this machine's disk."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final, Self

from blake3 import blake3

from atariari_data.errors import UsageError
from builders.agents import HUB
from builders.files import new_folder
from harness.adapters import model_folder
from harness.cache import default_dir
from harness.encoders.named import NAMED
from harness.encoders.objects import Request
from harness.encoders.python_files import PythonFile
from harness.isolation.readable import own_files, private_names

_MOST_BYTES: Final = 4_000_000_000
_WEIGHTS: Final = "weights"
_LEFT_OUT: Final = ("__pycache__", "site-packages")


@dataclass(frozen=True, eq=False)
class Parcel:
    """The files that an encoder may read: its own, as in its sandbox, and its weights.

    Attributes:
        source: What `load_encoder` takes, relative to where the files are laid out; prefixed as it was.
        weights: The weights file, in the same way.
        files: The bytes of each file, by relative path.
        digest: BLAKE3 over all of this.
    """

    source: str
    weights: str | None
    files: Mapping[str, bytes] = field(repr=False)
    digest: str

    def __sizeof__(self) -> int:
        """Return the number of bytes, by which engines see that it should travel once."""
        return 1000 + sum(map(len, self.files.values()))

    @classmethod
    def of(cls, source: str, weights: Path | None) -> Self | None:
        """Pack the files of an encoder; return None if it has none, such as a model by name.

        Raises:
            UsageError: They are too large to be sent.
        """
        path = model_folder(source) or Path(source).expanduser().resolve()
        if source in NAMED or not path.exists():
            if weights is None:
                return None
            name, own = source, {}
        else:
            base = (path if path.is_dir() else PythonFile(path).folder).parent
            own = {file.relative_to(base).as_posix(): file for file in _files(own_files(source, None))}
            name = (HUB if model_folder(source) else "") + path.relative_to(base).as_posix()
        weights_name = None if weights is None else f"{_WEIGHTS}/{weights.name}"
        if weights is not None and weights_name is not None:
            own[weights_name] = weights.expanduser().resolve()
        for file in own.values():
            if not (file.is_file() and os.access(file, os.R_OK)):
                raise UsageError("Cannot read a file of the encoder.", got=file)
        size = sum(file.stat().st_size for file in own.values())
        if size > _MOST_BYTES:
            raise UsageError(
                f"The folder of {path.name} is too large to be sent to workers.",
                expected=f"at most {_MOST_BYTES / 1e9:.0f} GB",
                got=f"{size / 1e9:.1f} GB",
                cure="Put the encoder and its weights into a folder of their own.",
            )
        files = {name: file.read_bytes() for name, file in sorted(own.items())}
        digest = blake3(repr((name, weights_name)).encode())
        for relative, content in files.items():
            digest.update(f"{relative} {blake3(content).hexdigest()}\n".encode())
        return cls(name, weights_name, files, digest.hexdigest())

    def unpack(self, request: Request) -> tuple[str, Request]:
        """Lay the files out, unless they are there, and return the encoder's source and how to load it.

        They are in a folder that is named after their digest, beside the cache: the cache itself is closed to
        encoders.

        Raises:
            DataError: They cannot be written.
        """
        folder = encoders_dir() / self.digest
        if not folder.is_dir():
            with new_folder(folder) as part:
                for name, content in self.files.items():
                    (part / name).parent.mkdir(parents=True, exist_ok=True)
                    (part / name).write_bytes(content)
        there = folder / self.source.removeprefix(HUB)
        source = self.source
        if there.exists():
            source = f"{HUB}{there}" if self.source.startswith(HUB) else str(there)
        return source, replace(request, weights=None if self.weights is None else folder / self.weights)


def encoders_dir() -> Path:
    """Return where the files of encoders from elsewhere are laid out."""
    cache = default_dir()
    return cache.with_name(f"{cache.name}-encoders")


def _files(places: list[Path]) -> Iterator[Path]:
    """Yield the files in some places, without private ones."""
    for place in places:
        if place.is_file():
            yield place
            continue
        hidden = set(private_names(place))
        for path in sorted(place.rglob("*")):
            above = {path, *path.parents}
            if (
                path.is_file()
                and not above & hidden
                and not set(path.relative_to(place).parts) & {*_LEFT_OUT}
            ):
                yield path
