"""What an encoder is: frames in, one feature vector per frame out."""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, Protocol, runtime_checkable

import numpy as np

from atariari_data.errors import UsageError
from harness.encoders.features import (
    POOLS,
    EncoderError,
    Features,
    Pool,
    as_features,
    first_line,
    sketch,
    to_numpy,
)
from harness.encoders.frame_spec import Frames, FrameSpec, sample_frames

__all__ = [
    "POOLS",
    "BatchSize",
    "Encoder",
    "EncoderError",
    "Features",
    "FrameSpec",
    "Frames",
    "LoadedEncoder",
    "Pool",
    "sample_frames",
]


@runtime_checkable
class Encoder(Protocol):
    """An encoder as a user writes it; it is never told game, split, row or label.

    Attributes:
        spec: The frames that it takes.
    """

    spec: FrameSpec

    def encode(self, frames: Any) -> Any:
        """Embed frames.

        Args:
            frames: A torch tensor on the module's device if the encoder is a ``torch.nn.Module``, else a
                NumPy array, of shape ``spec.shape(n)``.

        Returns:
            Floats [n, d]. A frame's features do not depend on the rest of the batch or on earlier calls.
        """
        ...


class GameRows(Protocol):
    """The rows of one game's training split, for an encoder that is fitted to each game."""

    def batches(self, spec: FrameSpec) -> Iterator[Frames]:
        """Yield the frames in order, uint8 of ``spec.raw_shape``."""
        ...


@dataclass
class BatchSize:
    """The number of rows in a batch, halved when memory runs out.

    Attributes:
        size: Rows in the next batch.
        limit: Below it, ``size`` doubles with every batch that fits.
    """

    size: int = 64
    limit: int = 0

    def fitted(self, rows: int) -> None:
        """Note that a batch of ``rows`` fitted into memory."""
        if rows == self.size and self.size < self.limit:
            self.size = min(2 * self.size, self.limit)

    def out_of_memory(self, rows: int, error: BaseException) -> None:
        """Halve the batch after one of ``rows`` did not fit into memory.

        Raises:
            EncoderError: The batch was a single row.
        """
        if rows == 1:
            raise EncoderError(
                "The encoder runs out of memory on a single frame.",
                got=first_line(error),
                cure="Use a smaller encoder, or a device with more memory.",
            ) from error
        self.size = rows // 2
        self.limit = self.size


@dataclass
class Seen:
    """What is known from earlier batches."""

    width: int | None = None
    input_checked: bool = False


@dataclass(frozen=True)
class LoadedEncoder:
    """An encoder that is ready to embed frames, with everything that identifies it.

    Attributes:
        name: The display name.
        spec: The frames that it takes.
        source_digest: SHA-256 (hex) of its code.
        source_kind: What was digested: a ``file``, several ``files``, the ``source`` of a class or function,
            or a ``name``.
        weights_digest: SHA-256 (hex) of its weights, independent of their file format; None if none can be
            found.
        parameters: The number of parameters; None if unknown.
        pool: How feature maps or tokens become [n, d]; None if the encoder returns [n, d].
        output: The part of its output that holds the features, as in `harness.encoders.features.choose`;
            ``call`` returns that part.
        weights_part: The prefix in the weights file of the part that was loaded; None for the whole file.
        device: The device that it runs on.
        precision: ``float32``, or the type that autocast uses.
        description: One line on the kind of encoder, its input and its output.
        prepare: Turns uint8 frames of ``spec.raw_shape(n)`` into the input of ``call``.
        call: The encoder itself.
        batches: The size of a batch.
        sees: What its input is made from: ``frames``, or ``ram`` (uint8 [n, 128]) for the bound of that name.
        per_game: Whether `for_game` fits it to each game.
    """

    name: str
    spec: FrameSpec
    source_digest: str
    weights_digest: str | None
    parameters: int | None
    description: str
    prepare: Callable[[Frames], Any] = field(repr=False)
    call: Callable[[Any], Any] = field(repr=False)
    source_kind: str = "file"
    pool: Pool | None = None
    output: str | None = None
    weights_part: str | None = None
    device: str = "cpu"
    precision: str = "float32"
    batches: BatchSize = field(default_factory=BatchSize, repr=False, compare=False)
    sees: Literal["frames", "ram"] = "frames"
    per_game: bool = False
    _seen: Seen = field(default_factory=Seen, repr=False, compare=False)

    @property
    def feature_size(self) -> int | None:
        """The number d of features, None before the first batch."""
        return self._seen.width

    def embed(self, frames: Frames) -> Features:
        """Embed any number of rows, in batches that fit into memory. Not thread-safe.

        Args:
            frames: uint8 [n, stack, 210, 160], for RGB [n, stack, 210, 160, 3]; never modified.

        Returns:
            float32 [n, d], finite, with the same d in every call.

        Raises:
            UsageError: The frames do not match ``spec``, or there are none.
            EncoderError: The encoder failed, modified its input, or returned something other than finite
                floats [n, d].
        """
        frames = np.asarray(frames)
        if frames.ndim and len(frames) == 0:
            raise UsageError("No frames to embed.", expected=str(self.spec), got=list(frames.shape))
        parts: list[Features] = []
        start = 0
        while start < len(frames):
            batch = frames[start : start + self.batches.size]
            features = self._try_batch(batch, start)
            if features is not None:
                parts.append(features)
                start += len(batch)
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    def for_game(self, training: GameRows) -> LoadedEncoder:
        """Return the encoder of a game: this one, whatever the game, unless it is fitted to each.

        Args:
            training: The game's training rows.
        """
        del training
        return self

    def cache_key(self) -> str:
        """Return the SHA-256 (hex) of everything known to decide its features.

        That is the digests, spec, part of the output, pooling and precision, and a rough sketch of the
        features of a few fixed frames, which change with the libraries. The last digits of features change
        between runs: the sketch is the same.

        Raises:
            EncoderError: As ``embed``.
        """
        identity = {
            "source": self.source_digest,
            "weights": self.weights_digest,
            "spec": asdict(self.spec),
            "pool": self.pool,
            "precision": self.precision,
            **({} if self.output is None else {"output": self.output}),  # keys of other encoders stay
        }
        digest = hashlib.sha256(json.dumps(identity, sort_keys=True).encode())
        if self.sees == "frames" and not self.per_game:
            digest.update(sketch(self.embed(sample_frames(self.spec, 8)), self.precision).tobytes())
        return digest.hexdigest()

    def files(self) -> dict[str, str] | None:
        """Return the files that decide its features beside the key: none, an object holds all that does."""
        return {}

    def holds(self, files: Mapping[str, str]) -> bool:
        """Whether files have these contents; it depends on none."""
        return not files

    def reads_only(self, source: str) -> bool:
        """Whether it has read no file but its own: unknown, as nothing watches it."""
        del source
        return False

    def _try_batch(self, batch: Frames, start: int) -> Features | None:
        """Return the features of a batch, or None after making batches smaller."""
        rows = len(batch)
        try:
            prepared = self.prepare(batch)
            output = self.call(prepared) if self._seen.input_checked else self._call_watched(prepared)
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            self.batches.out_of_memory(rows, error)
            return None
        features = as_features(output, rows, self.pool, self.spec.layout)
        self._check(features, start)
        self.batches.fitted(rows)
        return features

    def _call_watched(self, prepared: Any) -> Any:
        """Call the encoder, and check that it leaves its input as it was."""
        before = to_numpy(prepared).copy()
        output = self.call(prepared)
        if not np.array_equal(before, to_numpy(prepared)):
            raise EncoderError(
                "The encoder modifies its input.",
                expected="the input unchanged after the call",
                cure="Work on a copy: x = x / 2 instead of x /= 2, no ReLU(inplace=True) as the first layer.",
            )
        self._seen.input_checked = True
        return output

    def _check(self, features: Features, start: int) -> None:
        width = features.shape[1]
        if self._seen.width not in (None, width):
            raise EncoderError(
                "The encoder changes its feature size between batches.",
                expected=f"[n, {self._seen.width}] as before",
                got=f"[n, {width}]",
            )
        bad = ~np.isfinite(features)
        if bad.any():
            rows = np.flatnonzero(bad.any(axis=1))
            raise EncoderError(
                "The encoder returns NaN or infinite features.",
                expected="finite floats",
                got=f"{np.isnan(features).sum()} NaN and {np.isinf(features).sum()} infinite values (as "
                f"float32) in {len(rows)} of {len(features)} rows, the first in row {start + rows[0]}",
            )
        self._seen.width = width


def is_out_of_memory(error: BaseException | None) -> bool:
    """Whether an error, or its cause, means that memory ran out."""
    while error is not None:
        torch = sys.modules.get("torch")
        if isinstance(error, MemoryError) or (torch and isinstance(error, torch.OutOfMemoryError)):
            return True
        if isinstance(error, RuntimeError) and "DefaultCPUAllocator: can't allocate memory" in str(error):
            return True
        error = error.__cause__
    return False
