"""Digests over content, not over files: of a row, an episode, a split, a file of ours.

A row's bytes are, in this order: the frame's canonical form (`builders.frames.Frame.content`), the 128 bytes
of RAM, then little-endian `step` (int32), `action` (uint8, 255 where null), `reward` (float32, 0 where
null), the flags `is_first` (bit 0), `is_last` (bit 1), `is_terminal` (bit 2), and `lives` (uint8). An
episode's digest covers its rows' digests in order; a split's covers number, row count and digest of each of
its episodes. All are BLAKE3, 32 bytes, in hexadecimal where a person may see them. Shards, compression and
file layout play no part.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from typing import NamedTuple

from blake3 import blake3

from builders.frames import Frame

NULL_ACTION = 255
_FRAME_BYTES = 16


class Row(NamedTuple):
    """What the emulator shows at one step, and what is done then.

    Attributes:
        frame: The pooled screen.
        ram: 128 bytes.
        step: In its episode, from 0.
        action: ALE's number; 255 on the last row, where the dataset has null.
        reward: For the action; 0.0 on the last row, where the dataset has null.
        over: Whether the game is over.
        lives: ALE's count.
    """

    frame: Frame
    ram: bytes
    step: int
    action: int
    reward: float
    over: bool
    lives: int

    @property
    def is_first(self) -> bool:
        """Whether the episode begins here."""
        return self.step == 0

    @property
    def is_last(self) -> bool:
        """Whether the episode ends here: the game is over, a life is lost or the recording ends."""
        return self.action == NULL_ACTION

    @property
    def is_terminal(self) -> bool:
        """Whether it ends because the game is over."""
        return self.is_last and self.over

    def digest(self) -> bytes:
        """Digest the row (see the module)."""
        return self.digests()[1]

    def digests(self) -> tuple[bytes, bytes]:
        """Digest the frame, as `frame_digest` does, and the row, which begins with it."""
        flags = self.is_first | self.is_last << 1 | self.is_terminal << 2
        tail = struct.pack("<iBfBB", self.step, self.action, self.reward, flags, self.lives)
        digest = blake3(self.frame.head())  # in parts, since copying the pixels would cost as much
        digest.update(self.frame.pixels)
        frame = digest.digest(length=_FRAME_BYTES)
        digest.update(self.ram + tail)
        return frame, digest.digest()


def frame_digest(frame: Frame) -> bytes:
    """Digest the pixels alone, 16 bytes: equal for equal RGB pixels."""
    return blake3(frame.content()).digest(length=_FRAME_BYTES)


def episode_digest(rows: Iterable[bytes]) -> str:
    """Digest an episode from the digests of its rows, in order."""
    return blake3(b"".join(rows)).hexdigest()


def split_digest(episodes: Iterable[tuple[int, int, str]]) -> str:
    """Digest a split from (number, row count, digest) of its episodes, in order."""
    lines = (f"{number} {rows} {digest}\n" for number, rows, digest in episodes)
    return blake3("".join(lines).encode()).hexdigest()


def bytes_digest(content: bytes) -> str:
    """Digest a file's bytes."""
    return blake3(content).hexdigest()
