"""Recordings: the exact actions of every lane of a game, with no need for a random generator.

A recording is one Parquet file with one line per emulator call, lane after lane. Columns: `lane`; `action`
(ALE's number; 40 resets the game; null only on the last row of an episode); `frames`, how long the action is
held; `episode`, null in the prelude of resets, no-ops and FIRE, and in episodes that are too short; `split`;
`kept`, false for validation and test rows whose pixels occur in an earlier split; `check`, the first byte of
the row's digest, which locates drift. A line whose `episode` is not null is also a row: the state *before*
the action. The file's metadata describes how it was recorded.
"""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from atariari_data.errors import DataError
from builders.digest import NULL_ACTION
from builders.files import refuse_newer

FORMAT = 1
PROBE_SPLITS = ("train", "validation", "test")
PRETRAIN_SPLITS = ("train", "validation")
LEFT_OUT = "left_out"
"""The split of the rows that are not kept; loaded only when it is asked for by name."""
_COLUMNS = ("lane", "action", "frames", "episode", "split", "kept", "check")


@dataclass(frozen=True)
class Header:
    """How a recording was made.

    Attributes:
        format: Version of the file format.
        game: Name of the game and of ale-py's ROM.
        config: ``GAME`` or ``GAME_pretrain``.
        rom_md5: MD5 of the ROM.
        ale_py: Version of ale-py.
        settings: ALE's settings, see `builders.emulator.SETTINGS`.
        policy: Name of the policy.
        seed: Seed of the policy and of the shuffle into splits; not used in replay.
        lane_seeds: ALE's ``random_seed`` for each lane.
        splits: Names of the splits, indexed by column ``split``.
    """

    format: int
    game: str
    config: str
    rom_md5: str
    ale_py: str
    settings: dict[str, int]
    policy: str
    seed: int
    lane_seeds: Sequence[int]
    splits: Sequence[str]


@dataclass(frozen=True)
class Lane:
    """The n lines of one lane, in order.

    Attributes:
        action: uint8 [n], 255 for null.
        frames: uint8 [n].
        episode: int32 [n], -1 for null.
        split: int8 [n], an index into the header's ``splits``, -1 for null.
        kept: bool [n].
        check: uint8 [n], 0 if the line is not a kept row.
    """

    action: npt.NDArray[np.uint8]
    frames: npt.NDArray[np.uint8]
    episode: npt.NDArray[np.int32]
    split: npt.NDArray[np.int8]
    kept: npt.NDArray[np.bool_]
    check: npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Recording:
    """A header and its lanes."""

    header: Header
    lanes: Sequence[Lane]

    def to_bytes(self) -> bytes:
        """Write the Parquet file."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        def column(name: str, null: int | None = None) -> pa.Array:
            values = np.concatenate([getattr(lane, name) for lane in self.lanes])
            return pa.array(values, mask=None if null is None else values == null)

        number = np.repeat(np.arange(len(self.lanes), dtype=np.uint8), [len(x.action) for x in self.lanes])
        arrays = [
            pa.array(number),
            column("action", NULL_ACTION),
            column("frames"),
            column("episode", -1),
            column("split", -1),
            column("kept"),
            column("check"),
        ]
        header = json.dumps(asdict(self.header), sort_keys=True).encode()
        table = pa.table(arrays, names=list(_COLUMNS)).replace_schema_metadata({b"atariari": header})
        sink = io.BytesIO()
        indexed = [name for name in _COLUMNS if name != "check"]
        pq.write_table(table, sink, compression="zstd", compression_level=19, use_dictionary=indexed)
        return sink.getvalue()

    @classmethod
    def from_bytes(cls, content: bytes, name: str) -> Recording:
        """Read the Parquet file.

        Args:
            content: The file's content; compare its digest first.
            name: The config's name, for error messages.

        Raises:
            DataError: Not a recording, or a newer format.
        """
        import pyarrow as pa
        import pyarrow.parquet as pq

        try:
            table = pq.read_table(io.BytesIO(content))
            stored: dict[str, Any] = json.loads(table.schema.metadata[b"atariari"])
            refuse_newer(f"recording of {name}", stored["format"], FORMAT)
            header = Header(**stored)
            null = {"action": NULL_ACTION, "episode": -1, "split": -1}
            columns = {n: table[n].fill_null(null[n]) if n in null else table[n] for n in _COLUMNS}
            arrays = {n: np.asarray(c.to_numpy()) for n, c in columns.items()}
        except (pa.ArrowException, KeyError, TypeError, ValueError, OSError) as error:
            raise DataError(
                f"The recording of {name} cannot be read: {error}", cure="Reinstall atariari."
            ) from error
        number = arrays.pop("lane")
        lanes = [
            Lane(**{n: a[number == lane] for n, a in arrays.items()})
            for lane in range(len(header.lane_seeds))
        ]
        return cls(header, lanes)
