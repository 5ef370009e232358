"""Opening an encoder: in a process of its own where possible, else in this one."""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Iterator
from pathlib import Path

import atariari_data
from builders.manifest import recording_file
from harness.adapters import LIBRARIES, load, model_folder
from harness.cache import default_dir
from harness.encoders.encoder import LoadedEncoder
from harness.encoders.named import NAMED
from harness.encoders.objects import Request
from harness.isolation.process import Guards, IsolatedEncoder, Limits

_log = logging.getLogger(__name__)


def open_encoder(
    source: object, request: Request, *, isolate: bool, limits: Limits, cache_dir: str | None
) -> contextlib.AbstractContextManager[tuple[LoadedEncoder | IsolatedEncoder, Guards]]:
    """Load an encoder, in a process of its own where possible.

    Args:
        source: What `load_encoder` takes.
        request: How it is loaded.
        isolate: False keeps it in this process.
        limits: Limits on time and memory.
        cache_dir: Where the dataset is built, as in ``load_dataset``.
    """
    reason = _reason_against(source, isolate=isolate)
    if reason is not None:
        return contextlib.nullcontext((load(source, request), Guards(False, False, False, reason)))
    text = str(source)
    if text.partition(":")[0] in LIBRARIES:
        if folder := model_folder(text):
            text = f"hf:{folder}"  # the process has another working directory
        load(text, request)  # our own code, with a network: so that its weights are on the disk
    elif Path(text).expanduser().exists():
        text = str(Path(text).expanduser().resolve())
    request.validate()
    return _opened(text, hidden_folders(cache_dir), limits, request)


@contextlib.contextmanager
def _opened(
    source: str, hidden: list[Path], limits: Limits, request: Request
) -> Iterator[tuple[IsolatedEncoder, Guards]]:
    with IsolatedEncoder(source, hidden, limits, request) as encoder:
        if encoder.guards.note:
            _log.warning("The sandbox of the encoder's process is incomplete: %s.", encoder.guards.note)
        yield encoder, encoder.guards


def hidden_folders(cache_dir: str | None) -> list[Path]:
    """Return where answers are: built games, recordings and kept features."""
    from datasets import config

    built = {Path(config.HF_DATASETS_CACHE), *([Path(cache_dir)] if cache_dir else [])}
    return [
        *(folder.expanduser().resolve() / "atariari" for folder in sorted(built)),
        default_dir().resolve(),
        # The rows can be made again from the recordings: those in use, and those of the package.
        recording_file("pong").parent.resolve(),
        Path(atariari_data.__file__).resolve().parent / "recordings",
    ]


def _reason_against(source: object, *, isolate: bool) -> str | None:
    if not isolate:
        return "isolation was switched off"
    if not isinstance(source, str | Path):
        return "the encoder was given as a Python object"
    if isinstance(source, str) and source in NAMED and (reason := NAMED[source].not_isolated):
        return reason
    if os.name != "posix":
        return "not on this operating system"
    return None
