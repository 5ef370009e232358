"""The RAM itself as features: what a probe reads from it bounds what it can read from any encoding of it."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from atariari_data.labels import RAM_BYTES
from harness.encoders.digests import object_digest
from harness.encoders.encoder import EncoderError, FrameSpec, LoadedEncoder, Seen
from harness.encoders.features import Features
from harness.encoders.named import RAM

BITS = 8 * RAM_BYTES


def bits(ram: npt.NDArray[np.uint8]) -> Features:
    """Return the bits of the RAM, each a feature of its own.

    Bits rather than bytes: a label is a value of some bits, and whether a few bits have given values is a
    linear threshold of them (agreements less disagreements), so that a linear probe can hold any value of any
    byte, or of a packed or decimal part of one, apart from all others with weights of one size. With a byte
    as a number, values next to each other lie 1/256 of its range apart, and telling them apart takes weights
    that the penalty forbids. Zeros and ones have the range of pixels, and are left so: ``linear``
    standardises, ``anand2019`` does not, for this as for any encoder.

    Args:
        ram: uint8 [n, 128].

    Returns:
        float32 [n, 1024] of 0 and 1, the highest bit of a byte first.
    """
    return np.unpackbits(ram, axis=1).astype(np.float32)


def load_ram() -> LoadedEncoder:
    """Make ``ram``, which takes uint8 [n, 128] in place of frames."""
    digest, kind = object_digest(bits)
    return LoadedEncoder(
        name=RAM,
        spec=FrameSpec(),
        source_digest=digest,
        source_kind=kind,
        weights_digest=None,
        parameters=0,
        description="the 1,024 bits of the RAM: not an encoder, but the bound of a probe",
        prepare=_only_ram,
        call=bits,
        sees="ram",
        _seen=Seen(width=BITS),
    )


def _only_ram(rows: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    if rows.shape[1:] != (RAM_BYTES,):
        raise EncoderError(
            f"{RAM} is the emulator's memory, and sees no frames.", cure="Run it with `harness evaluate`."
        )
    return rows
