"""One episode of a recording, replayed: its rows, and the RAM of its whole lane."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from atariari_data.errors import UnknownNameError
from atariari_data.labels import RAM_BYTES
from builders.digest import Row
from builders.manifest import frozen_config, load_recording
from builders.replay import replay


@dataclass(frozen=True)
class Episode:
    """An episode, and the RAM of all rows of its lane.

    Attributes:
        number: The episode's number in the recording.
        split: The name of its split.
        lane: The number of its lane.
        rows: The episode's n rows that are in the dataset, in order.
        ram: The RAM of these rows, uint8 [n, 128].
        lane_ram: The RAM of all rows of the lane, uint8 [m, 128].
    """

    number: int
    split: str
    lane: int
    rows: Sequence[Row]
    ram: npt.NDArray[np.uint8]
    lane_ram: npt.NDArray[np.uint8]


def episode_of(config: str, number: int | None = None) -> Episode:
    """Replay the lane of an episode.

    Args:
        config: The config's name.
        number: The episode's; by default the one of the last split with the most rows.

    Raises:
        UnknownNameError: No such config or episode.
        DriftError: The emulator does not give what was recorded.
    """
    splits = frozen_config(config).splits
    if number is None:
        number = max(list(splits.values())[-1].episodes, key=lambda e: e.rows).number
    split_of = {e.number: name for name, split in splits.items() for e in split.episodes}
    if number not in split_of:
        raise UnknownNameError(f"episode of {config}", str(number), map(str, sorted(split_of)))
    recording = load_recording(config)
    lane = next(i for i, lane in enumerate(recording.lanes) if (lane.episode == number).any())
    rows, lane_ram = [], []
    for replayed in replay(recording, lane):
        lane_ram.append(replayed.row.ram)
        if replayed.episode == number:
            rows.append(replayed.row)
    return Episode(number, split_of[number], lane, rows, _array([row.ram for row in rows]), _array(lane_ram))


def _array(ram: Sequence[bytes]) -> npt.NDArray[np.uint8]:
    return np.frombuffer(b"".join(ram), np.uint8).reshape(-1, RAM_BYTES)
