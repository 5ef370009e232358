"""Show: one picture of a game, from which people see at a glance whether its labels are right.

Above, frames of one episode with each position variable drawn where it says that the thing is; then all
variables over the episode's steps; then how often each value occurs. It comes from a replay of one lane, so
nothing needs to be built.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from atariari_data.errors import MissingExtraError, UnknownNameError
from atariari_data.games import DEFAULT_LABEL_SET
from atariari_data.games import game as game_of
from atariari_data.labels import RAM_BYTES
from atariari_data.labels import labels as decode
from atariari_data.positions import things
from builders.digest import Row
from builders.files import new_file
from builders.manifest import Manifest, load_manifest, load_recording
from builders.replay import replay

FRAMES = 8


@dataclass(frozen=True)
class Episode:
    """What is shown: an episode, and the RAM of all rows of its lane.

    Attributes:
        number: In the recording.
        split: Its split's name.
        lane: Its lane.
        rows: Its n rows that the dataset has, in order.
        ram: uint8 [n, 128], their RAM.
        lane_ram: uint8 [m, 128], of all rows of the lane.
    """

    number: int
    split: str
    lane: int
    rows: Sequence[Row]
    ram: npt.NDArray[np.uint8]
    lane_ram: npt.NDArray[np.uint8]


def episode_of(game: str, number: int | None = None) -> Episode:
    """Replay the lane of an episode.

    Args:
        game: Its name.
        number: The episode's; by default the test episode with the most rows.

    Raises:
        UnknownNameError: No such game or episode.
        DriftError: The emulator does not give what was recorded.
    """
    splits = load_manifest(game).configs[game].splits
    if number is None:
        number = max(splits["test"].episodes, key=lambda e: e.rows).number
    split_of = {e.number: name for name, split in splits.items() for e in split.episodes}
    if number not in split_of:
        raise UnknownNameError(f"episode of {game}", str(number), map(str, sorted(split_of)))
    recording = load_recording(game)
    lane = next(i for i, lane in enumerate(recording.lanes) if (lane.episode == number).any())
    rows, lane_ram = [], []
    for replayed in replay(recording, lane):
        lane_ram.append(replayed.row.ram)
        if replayed.episode == number:
            rows.append(replayed.row)
    return Episode(number, split_of[number], lane, rows, _array([row.ram for row in rows]), _array(lane_ram))


def _array(ram: Sequence[bytes]) -> npt.NDArray[np.uint8]:
    return np.frombuffer(b"".join(ram), np.uint8).reshape(-1, RAM_BYTES)


def show(game: str, out: Path, *, label_set: str = DEFAULT_LABEL_SET, episode: int | None = None) -> Episode:
    """Write the picture of a game, a PNG.

    Args:
        game: Its name.
        out: The file; nothing is overwritten.
        label_set: ``v1`` or ``anand2019``.
        episode: Which to show; by default the test episode with the most rows.

    Returns:
        The episode that it shows.

    Raises:
        UnknownNameError: No such game, label set or episode.
        MissingExtraError: Matplotlib is not installed.
        UsageError: The file is there already.
        DataError: It cannot be written.
        DriftError: The emulator does not give what was recorded.
    """
    try:
        from builders.picture import picture
    except ModuleNotFoundError as error:
        if error.name != "matplotlib":
            raise
        raise MissingExtraError("matplotlib", "plots") from error
    variables = game_of(game).variables(label_set)
    manifest = load_manifest(game)
    with new_file(out) as part:
        shown = episode_of(game, episode)
        figure = picture(
            title=_title(game, label_set, shown, manifest),
            episode=shown,
            things=things(variables),
            values=decode(shown.ram, game, label_set),
            lane_values=decode(shown.lane_ram, game, label_set),
            statistics=manifest.label_sets[label_set],
            frames=FRAMES,
        )
        figure.savefig(part, format="png")
    return shown


def _title(game: str, label_set: str, shown: Episode, manifest: Manifest) -> str:
    return (
        f"{game_of(game).title}, label set {label_set}: split {shown.split}, episode {shown.number},"
        f" {len(shown.rows):,} rows (dataset {manifest.dataset_version})"
    )
