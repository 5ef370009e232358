"""Recordings: the exact actions of every lane of a game, and nothing that would need a random generator.

A recording is one Parquet file, a line for each thing done to the emulator, in order, lane after lane.
Columns: `lane`; `action` (ALE's number; 40 resets the game; null only on the last row of an episode);
`frames`, how long it was held; `episode`, null in the prelude of resets, no-ops and FIRE (and in episodes
too short to keep); `split`; `kept`, false for a validation or test row whose pixels occur in an earlier
split; `check`, the first byte of the row's digest, so that drift is found at its step. Where `episode` is
not null the line is also a row: the state *before* the action. The file's metadata says how it was made.
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

FORMAT = 1
PROBE_SPLITS = ("train", "validation", "test")
PRETRAIN_SPLITS = ("train", "validation")
_COLUMNS = ("lane", "action", "frames", "episode", "split", "kept", "check")


@dataclass(frozen=True)
class Header:
    """How a recording was made; `seed` made it and plays no part in replay, `lane_seeds` are ALE's.

    Attributes:
        format: Version of this file format.
        game: As ale-py's ROM names.
        config: ``GAME`` or ``GAME_pretrain``.
        rom_md5: Of the ROM it was recorded from.
        ale_py: The version that recorded it.
        settings: ALE's settings, see `builders.emulator.SETTINGS`.
        policy: What chose the actions.
        seed: Of the policy and of the shuffle into splits.
        lane_seeds: ALE's ``random_seed`` of each lane.
        splits: Names that the numbers in column ``split`` stand for.
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
    """The lines of one lane, in order, each an array [n]; 255 or -1 where the file has null.

    Attributes:
        action: uint8, 255 where null.
        frames: uint8.
        episode: int32, -1 where null.
        split: int8, -1 where null, else an index into the header's ``splits``.
        kept: bool.
        check: uint8, 0 where the line is not a row that is kept.
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
            content: Of the file; compare its digest first.
            name: Of the config, for messages.

        Raises:
            DataError: Not a recording, or one of a newer format.
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


def refuse_newer(what: str, version: int, newest: int) -> None:
    """Refuse a file of ours whose format this version does not know.

    Raises:
        DataError: ``version`` is above ``newest``.
    """
    if version > newest:
        raise DataError(
            f"The {what} has a newer format.",
            expected=f"at most {newest}",
            got=version,
            cure="pip install --upgrade atariari",
        )
