"""The encoder's end of its process: pixels come in, features go out.

Lines of JSON go both ways; features follow their line as float32, pixels lie in memory that both processes
see. `harness.isolation.process` is the other end.
"""

from __future__ import annotations

import contextlib
import errno
import json
import mmap
import os
import sys
from dataclasses import asdict
from typing import IO, Any

import numpy as np

from atariari_data.errors import AtariariError
from harness.adapters import load
from harness.encoders.encoder import LoadedEncoder
from harness.encoders.features import EncoderError, first_line
from harness.encoders.objects import Request
from harness.isolation import sandbox

_SANDBOX = (
    "The encoder runs in a sandbox: it may read its own folder and the installed packages, and write only to "
    "its working directory; no sockets, no process pools. To debug it without: --no-isolation."
)
_LONGEST_DESCRIPTION = 500
IDENTITY = (
    "name",
    "source_digest",
    "source_kind",
    "weights_digest",
    "parameters",
    "pool",
    "output",
    "weights_part",
    "device",
    "precision",
    "description",
    "feature_size",
)
"""Fields of a `LoadedEncoder` that are sent as they are."""


def serve(requests: IO[bytes], replies: IO[bytes], memory: int) -> None:
    """Load the encoder that the first request names, then embed until the requests end.

    Args:
        requests: Lines of JSON: what `load_encoder` takes, then ``{"rows": n}`` for each batch.
        replies: A line for every request; ``{"error": ...}`` where it failed, which is the last one.
        memory: File descriptor of the pixels, uint8 of the spec's ``raw_shape``.
    """
    me = os.getpid()
    sys.argv = sys.argv[:1]
    try:
        encoder = _load(json.loads(requests.readline()))
        key = encoder.cache_key()
        identity = {name: getattr(encoder, name) for name in IDENTITY}
        identity["description"] = encoder.description[:_LONGEST_DESCRIPTION]
        _answer(me, replies, {**identity, "spec": asdict(encoder.spec), "key": key})
        row = int(np.prod(encoder.spec.raw_shape(1)))
        pixels = None
        for line in requests:
            rows = json.loads(line)["rows"]
            if pixels is None or len(pixels) < rows * row:
                pixels = mmap.mmap(memory, 0, access=mmap.ACCESS_READ)
            frames = np.frombuffer(pixels, np.uint8, rows * row).reshape(encoder.spec.raw_shape(rows))
            features = encoder.embed(frames)
            shape = {"rows": len(features), "width": features.shape[1]}
            _answer(me, replies, shape, np.ascontiguousarray(features).data.cast("B"))
    except AtariariError as error:
        _answer(me, replies, {"failed": {**error.as_dict(), **_sandbox_cure(error)}})
    except BaseException as error:
        told = EncoderError("The encoder's process failed.", got=first_line(error))
        _answer(me, replies, {"failed": {**told.as_dict(), **_sandbox_cure(error)}})
        raise


def _sandbox_cure(error: BaseException | None) -> dict[str, str]:
    """Return the cure where the sandbox is the likely cause: something was not permitted, or a pool broke."""
    while error is not None:
        refused = isinstance(error, OSError) and error.errno in (errno.EACCES, errno.EPERM)
        if refused or type(error).__name__ in ("BrokenProcessPool", "TerminatedWorkerError"):
            return {"cure": _SANDBOX}
        error = error.__cause__ or error.__context__
    return {}


def _load(wanted: dict[str, Any]) -> LoadedEncoder:
    return load(wanted["source"], Request.from_plain(wanted["request"]))


def _answer(me: int, replies: IO[bytes], content: dict[str, Any], features: memoryview | None = None) -> None:
    if os.getpid() != me:  # the encoder forked and returned twice: only the parent answers
        os._exit(1)
    with contextlib.suppress(OSError, ValueError):  # the encoder may have closed it
        sys.stderr.flush()
    try:
        replies.write(json.dumps(content).encode() + b"\n")
        if features is not None:
            replies.write(features)
        replies.flush()
    except OSError:
        os._exit(sandbox.PIPE_CLOSED)
