"""An encoder in a process of its own, which receives pixels and nothing else.

Where the kernel has the means (`harness.isolation.sandbox`), an encoder that looks for labels finds no
dataset, no cache and no network. An encoder whose features depend on what came before fails the second pass
(`harness.evaluation.embedding`). A table of the published frames among the weights goes unnoticed here; only
a test split recorded afresh shows it.
"""

from __future__ import annotations

import contextlib
import json
import mmap
import operator
import os
import re
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from importlib import import_module
from pathlib import Path
from typing import Any, Final, Literal, Self

import numpy as np

from atariari_data.errors import AtariariError, MissingExtraError, UsageError
from harness.encoders.digests import file_digest
from harness.encoders.encoder import GameRows
from harness.encoders.features import POOLS, EncoderError, Features, NoEncoderError, Pool
from harness.encoders.frame_spec import Frames, FrameSpec
from harness.encoders.objects import Request
from harness.isolation import sandbox
from harness.isolation.readable import own_files, readable, torch_home
from harness.isolation.reads import Reads, content_digest, state

TIMEOUT = 600.0
"""Default limit in seconds, for a batch and for loading."""
_MEMORY_SHARE = 0.9
"""Default memory limit, as a share of what is free at the start."""
_LINE = 65536
_LOADING = "loading it"
_TICK = 0.1
_MOST_FEATURES = 10_000_000
_MOST_PARAMETERS = 10**15
_SHA256 = "[0-9a-f]{64}"
_WORDS = {
    "name": "[\\x20-\\x7e]{1,100}",
    "source_digest": _SHA256,
    "source_kind": "file|files|source|name",
    "weights_digest": _SHA256,
    "pool": "|".join(POOLS),
    "output": "[\\x20-\\x7e]{1,100}",
    "weights_part": "[\\x20-\\x7e]{1,100}",
    "device": "[a-z]{1,16}(:[0-9]{1,3})?",
    "precision": "[a-z0-9_]{1,24}",
    "description": "(?s).{0,500}",
    "key": _SHA256,
}
"""What an encoder may say of itself, and at what length."""
_MAY_BE_NONE = {"weights_digest", "pool", "output", "weights_part", "parameters"}
_PASSED_ON = ("LANG", "LC_ALL", "PATH", "LD_LIBRARY_PATH", "SYSTEMROOT")
_PASSED_ON_FOR = ("CUDA", "CUBLAS", "CUDNN", "NVIDIA", "OMP_", "MKL_", "KMP_", "OPENBLAS", "PYTORCH", "TORCH")
_KEEPS_MEMORY: Final = {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": str(2**40)}
"""Has glibc keep what a batch frees for the next: asking for it again took a third of the forward pass."""
_SECRET = re.compile("KEY|TOKEN|SECRET|PASS|CREDENTIAL|AUTH", re.IGNORECASE)


@dataclass(frozen=True)
class Guards:
    """What separated the encoder from the answers; fields of `harness.results.provenance.Isolation`."""

    own_process: bool
    no_network: bool
    no_dataset: bool
    note: str | None

    def as_fields(self, *, shuffled: bool, second_pass: bool | None) -> dict[str, Any]:
        """Return the fields of a result."""
        return {**asdict(self), "shuffled": shuffled, "second_pass": second_pass}


@dataclass(frozen=True)
class Limits:
    """Limits on time and memory.

    Attributes:
        seconds: Time for a batch, and for loading.
        gigabytes: Memory of its process and of every process it starts; None for most of what is free.
    """

    seconds: float = TIMEOUT
    gigabytes: float | None = None

    def for_each_of(self, processes: int) -> Self:
        """Return the limits of each of several encoders that run on this machine at the same time."""
        free = free_memory()
        if self.gigabytes is not None or free == float("inf"):
            return self
        return replace(self, gigabytes=_MEMORY_SHARE * free / processes / 1e9)


class IsolatedEncoder:
    """The harness's end of an encoder's process, used like a `LoadedEncoder`.

    Attributes:
        name, spec, source_digest, source_kind, weights_digest, parameters, pool, output, weights_part,
            device, precision, description, feature_size: As in `LoadedEncoder`. All are what the process
            says, but the digest of a single file is checked here.
        guards: Which walls stand.
    """

    name: str
    spec: FrameSpec
    source_digest: str
    source_kind: str
    weights_digest: str | None
    parameters: int | None
    pool: Pool | None
    output: str | None
    weights_part: str | None
    device: str
    precision: str
    description: str
    feature_size: int
    sees: Literal["frames"] = "frames"
    per_game: bool = False
    guards: Guards
    _key: str

    def __init__(self, source: str, hidden: list[Path], limits: Limits, request: Request) -> None:
        """Start the process and load the encoder in it.

        Args:
            source: A file, the folder of a run, or a model by name.
            hidden: Folders that it must not read, wherever they are.
            limits: Limits on time and memory.
            request: How it is loaded.

        Raises:
            EncoderError: It cannot be loaded, or its process ended, hung or took too much memory.
            UsageError, MissingExtraError: As `load_encoder`.
        """
        self._limits = limits
        self._most_bytes = _allowed_memory(limits.gigabytes)
        self._pixels: mmap.mmap | None = None
        self._folder = tempfile.TemporaryDirectory(prefix="atariari-encoder-", ignore_cleanup_errors=True)
        self._memory = _shared_file()
        self._source = source
        self._reads, self._states = Reads([], []), dict[Path, tuple[int, ...]]()
        self._digests = dict[tuple[Path, tuple[int, ...]], str]()
        for folder in hidden:  # a folder that is made later would not be hidden
            with contextlib.suppress(OSError):
                folder.mkdir(parents=True, exist_ok=True)
        requests, self._requests = os.pipe()
        self._replies, replies = os.pipe()
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-P", sandbox.__file__, str(requests), str(replies), str(self._memory)],
                pass_fds=(requests, replies, self._memory),
                stdin=subprocess.DEVNULL,
                stdout=2,  # standard output is for results
                cwd=self._folder.name,
                env=_environment(self._folder.name),
                start_new_session=True,
            )
        finally:
            os.close(requests)
            os.close(replies)
        try:
            allowed = readable(source, request.weights, hidden)
            self._reads.close()
            self._reads = Reads(allowed.changing, allowed.hidden)
            files = {name: list(map(str, paths)) for name, paths in asdict(allowed).items()}
            files.pop("changing")
            where = {"files": {**files, "own": self._folder.name}, "path": sys.path}
            self.guards = Guards(own_process=True, **self._ask(_LOADING, where))
            self._send("starting", {"source": source, "request": request.plain()})
            import_module("torch")  # what comes next needs it; the new process is busy with the same
            self._take(self._reply(_LOADING), source)
            self._opened_now()
            self._while_loading = self._all_digests()
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        """Return the encoder itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """End the process."""
        self.close()

    def cache_key(self) -> str:
        """As `LoadedEncoder.cache_key`; `files` are what else decides its features."""
        return self._key

    def files(self) -> dict[str, str] | None:
        """Return every file that it may have read, with a digest of its content.

        Whatever is opened in the folders that it may read counts, since the kernel does not tell by whom.
        None where files may have been missed, or one changed after it was opened.
        """
        opened = self._opened_now()
        if not (
            self.guards.no_dataset  # without it, the encoder can read files that are not watched
            and self._reads.complete
            and all(state(path) == before for path, before in opened.items())
        ):
            return None
        return self._all_digests()

    def holds(self, files: Mapping[str, str]) -> bool:
        """Whether files have these contents, those that were opened while it was loaded among them."""
        folder = Path(self._source).parent
        return self._while_loading.items() <= files.items() and all(
            self._digest(folder / place) == digest for place, digest in files.items()
        )

    def reads_only(self, source: str) -> bool:
        """Whether it has read no file but those that travel with its source, a file or a folder."""
        own = own_files(source, None)
        return self.files() is not None and all(
            any(path.is_relative_to(o) for o in own) for path in self._opened_now()
        )

    def for_game(self, training: GameRows) -> Self:
        """Return itself: it is never told of a game."""
        del training
        return self

    def embed(self, frames: Frames) -> Features:
        """Embed a batch, as `LoadedEncoder.embed`.

        Raises:
            EncoderError: The encoder failed, ended, hung, took too much memory, or returned something other
                than finite floats [n, d].
        """
        self._opened_now()  # the kernel keeps a limited number of reports
        n = len(frames)
        if self._pixels is None or len(self._pixels) < frames.nbytes:
            os.ftruncate(self._memory, frames.nbytes)
            self._pixels = mmap.mmap(self._memory, frames.nbytes)
        np.frombuffer(self._pixels, np.uint8, frames.nbytes)[:] = np.ascontiguousarray(frames).reshape(-1)
        reply = self._ask(f"embedding {n} frames", {"rows": n})
        if (reply.get("rows"), reply.get("width")) != (n, self.feature_size):
            raise EncoderError(
                "The encoder changes its feature size between batches.",
                expected=f"[{n}, {self.feature_size}]",
                got=f"[{reply.get('rows')}, {reply.get('width')}]",
            )
        features = np.empty((n, self.feature_size), np.float32)
        self._read_into(features.data.cast("B"), f"embedding {n} frames")
        if not np.isfinite(features).all():
            raise EncoderError("The encoder returns NaN or infinite features.", expected="finite floats")
        return features

    def close(self) -> None:
        """End the process and every process it started."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        for descriptor in (self._requests, self._replies, self._memory):
            with contextlib.suppress(OSError):
                os.close(descriptor)
        self._requests = self._replies = self._memory = -1
        self._reads.close()
        self._folder.cleanup()

    def _opened_now(self) -> dict[Path, tuple[int, ...]]:
        """Return the files that were opened until now, as they were when this was first seen."""
        for path in self._reads.opened() - self._states.keys():
            self._states[path] = state(path)
        return self._states

    def _all_digests(self) -> dict[str, str]:
        return {_place(path, self._source): self._digest(path) for path in sorted(self._states)}

    def _digest(self, path: Path) -> str:
        known_as = path, state(path)
        if known_as not in self._digests:
            self._digests[known_as] = content_digest(path)
        return self._digests[known_as]

    def _take(self, said: dict[str, Any], source: str) -> None:
        """Check and keep what the process says of its encoder; it runs untrusted code."""
        try:
            spec = said["spec"]
            self.spec = FrameSpec(**{**spec, "size": tuple(spec["size"])}).validate()
            for name, pattern in _WORDS.items():
                word = said[name]
                if not (word is None and name in _MAY_BE_NONE) and not re.fullmatch(pattern, word):
                    raise ValueError(f"{name} {word!r}")  # noqa: TRY301  one message for all that can be odd
                setattr(self, "_key" if name == "key" else name, word)
            for name, least, most in (
                ("parameters", 0, _MOST_PARAMETERS),
                ("feature_size", 1, _MOST_FEATURES),
            ):
                count = said[name]
                if (
                    not (count is None and name in _MAY_BE_NONE)
                    and not least <= operator.index(count) <= most
                ):
                    raise ValueError(f"{name} {count}")  # noqa: TRY301  as above
                setattr(self, name, count)
        except (AtariariError, KeyError, TypeError, ValueError) as error:
            raise EncoderError(
                "The encoder's process describes its encoder in a form that cannot be read.",
                got=str(error)[:200],
            ) from error
        path = Path(source)
        if self.source_kind == "file" and path.is_file() and self.source_digest != file_digest(path):
            raise EncoderError("The encoder's process reports the wrong digest of its file.")

    def _send(self, doing: str, request: dict[str, Any]) -> None:
        try:
            os.write(self._requests, json.dumps(request).encode() + b"\n")
        except BrokenPipeError:
            raise self._ended(doing) from None

    def _ask(self, doing: str, request: dict[str, Any]) -> dict[str, Any]:
        self._send(doing, request)
        return self._reply(doing)

    def _reply(self, doing: str) -> dict[str, Any]:
        line = bytearray()
        until = time.monotonic() + self._limits.seconds
        while not line.endswith(b"\n"):
            self._wait(doing, until)
            # To the end of the line and no further: what follows it are features.
            byte = os.read(self._replies, 1)
            if not byte:
                raise self._ended(doing)
            line += byte
            if len(line) > _LINE:
                raise EncoderError(
                    "The encoder's process sent a reply that cannot be read.", got=ascii(bytes(line[:60]))
                )
        try:
            reply = json.loads(line)
            failed = reply.get("failed")
        except (ValueError, AttributeError) as error:
            raise EncoderError(
                "The encoder's process sent a reply that cannot be read.", got=ascii(bytes(line[:60]))
            ) from error
        if failed:
            raise _error(failed)
        return dict(reply)

    def _read_into(self, target: memoryview, doing: str) -> None:
        until = time.monotonic() + self._limits.seconds
        done = 0
        while done < len(target):
            self._wait(doing, until)
            part = os.read(self._replies, min(len(target) - done, 1 << 20))
            if not part:
                raise self._ended(doing)
            target[done : done + len(part)] = part
            done += len(part)

    def _wait(self, doing: str, until: float) -> None:
        """Wait until something can be read, within the limits on time and memory."""
        while not select.select([self._replies], [], [], _TICK)[0]:
            if time.monotonic() > until:
                raise EncoderError(
                    f"The encoder did not finish {doing}.",
                    expected=f"at most {self._limits.seconds:g} s",
                    cure="Give it more time: --timeout."
                    if doing == _LOADING
                    else "Use a smaller --batch-size, or give it more time: --timeout.",
                )
            used = _memory_of(self._process.pid)
            if used > self._most_bytes:
                raise EncoderError(
                    f"The encoder used too much memory while {doing}.",
                    expected=f"at most {self._most_bytes / 1e9:.1f} GB",
                    got=f"{used / 1e9:.1f} GB",
                    cure="Raise --memory-limit."
                    if doing == _LOADING
                    else "Use a smaller --batch-size, or raise --memory-limit.",
                )

    def _ended(self, doing: str) -> EncoderError:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(5)
        code = self._process.returncode
        if code in (None, sandbox.PIPE_CLOSED):
            return EncoderError(
                f"The encoder's process closed its pipe to the harness while {doing}.",
                cure="Leave descriptors alone that the encoder has not opened itself.",
            )
        if code < 0:
            name = signal.Signals(-code).name
            hint = " (the system ran out of memory?)" if name == "SIGKILL" else ""
            return EncoderError(f"The encoder's process died while {doing}.", got=f"{name}{hint}")
        return EncoderError(
            f"The encoder's process ended while {doing}.",
            expected="features or an exception",
            got=f"exit code {code}",
            cure="Look for os._exit in the encoder or in a library that it uses.",
        )


def _environment(folder: str) -> dict[str, str]:
    """Return the variables of the encoder's process: none that locates the dataset or holds a secret."""
    from huggingface_hub import constants

    kept = {
        name: value
        for name, value in os.environ.items()
        if name in _PASSED_ON or (name.startswith(_PASSED_ON_FOR) and not _SECRET.search(name))
    }
    models = {
        "HF_HUB_CACHE": str(constants.HF_HUB_CACHE),
        "HF_HUB_OFFLINE": "1",
        "TORCH_HOME": str(torch_home()),
    }
    return {"HOME": folder, "TMPDIR": folder, **_KEEPS_MEMORY, **models, **kept}


def _place(path: Path, source: str) -> str:
    """Return a path from the encoder's folder, so that the folder may move."""
    folder = Path(source).parent
    return str(path.relative_to(folder) if path.is_relative_to(folder) else path)


def _shared_file() -> int:
    """Return a descriptor of memory that only two processes share."""
    if hasattr(os, "memfd_create"):
        return os.memfd_create("atariari-pixels")
    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())


def _allowed_memory(gigabytes: float | None) -> float:
    if gigabytes is not None:
        if not gigabytes > 0:
            raise UsageError("A memory limit must be positive.", got=f"{gigabytes} GB")
        return gigabytes * 1e9
    return _MEMORY_SHARE * free_memory()


def free_memory() -> float:
    """Return the bytes of memory that are free, infinity where this is unknown."""
    try:
        text = Path("/proc/meminfo").read_text(encoding="ascii")
        free = next(int(line.split()[1]) * 1024 for line in text.splitlines() if "MemAvailable" in line)
    except (OSError, StopIteration, ValueError):
        return float("inf")
    with contextlib.suppress(OSError, ValueError):
        free = min(free, int(Path("/sys/fs/cgroup/memory.max").read_text(encoding="ascii")))
    return free


def _memory_of(process: int) -> int:
    """Return the bytes that a process and its children hold, 0 where this is unknown."""
    held, pending, seen = 0, [process], set()
    while pending:
        current = pending.pop()
        if current in seen:
            continue
        seen.add(current)
        with contextlib.suppress(OSError, ValueError, IndexError):
            pages = Path(f"/proc/{current}/statm").read_text(encoding="ascii").split()
            held += int(pages[1]) * mmap.PAGESIZE
            for task in Path(f"/proc/{current}/task").iterdir():
                pending += map(int, (task / "children").read_text(encoding="ascii").split())
    return held


def _error(said: Any) -> AtariariError:
    """Return an error of the encoder's process as one of ours."""
    try:
        kind = {c.__name__: c for c in (UsageError, EncoderError, NoEncoderError, MissingExtraError)}.get(
            said["error"], EncoderError
        )
        error = kind.__new__(kind)
        AtariariError.__init__(
            error,
            str(said["what"])[:2000],
            **{
                name: None if said[name] is None else str(said[name])[:2000]
                for name in ("expected", "got", "cure")
            },
        )
    except (KeyError, TypeError) as odd:
        raise EncoderError("The encoder's process sent a reply that cannot be read.") from odd
    return error
