"""The content of a recording, and the parts of a manifest that are computed from it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from atariari_data.games import game as game_of
from atariari_data.labels import labels as decode
from atariari_data.positions import present
from builders.digest import bytes_digest, episode_digest, split_digest
from builders.manifest import DEEP, Config, Episode, Split, Statistics
from builders.recording import Recording
from builders.statistics import MIN_ENTROPY, MIN_PRESENT, ceiling, entropy

_FEW_ROWS = 1000
_FEW_ROWS_SEED = 1000


@dataclass(frozen=True)
class Content:
    """All n rows of a recording in order, including those that are left out of the splits.

    Attributes:
        episode: The episode of each row, int32 [n].
        split: The split of each row, an index into the header's splits, int8 [n].
        kept: Whether the row is part of its split, bool [n].
        ram: uint8 [n, 128].
        frame: A digest of each row's pixels.
        digest: A digest of each row.
        score: The rewards since the reset, before the row's action, float32 [n].
    """

    episode: npt.NDArray[np.int32]
    split: npt.NDArray[np.int8]
    kept: npt.NDArray[np.bool_]
    ram: npt.NDArray[np.uint8]
    frame: Sequence[bytes]
    digest: Sequence[bytes]
    score: npt.NDArray[np.float32]


def config_of(recording: Recording, content: Content) -> Config:
    """Freeze a recording: the digest of its file and of what it shows."""
    splits = {}
    for number, name in enumerate(recording.header.splits):
        here = content.split == number
        splits[name] = _split_of(content, here & content.kept, int((here & ~content.kept).sum()))
    left_out = _split_of(content, ~content.kept, 0) if recording.header.config.endswith(DEEP) else None
    return Config(bytes_digest(recording.to_bytes()), splits, left_out)


def _split_of(content: Content, here: npt.NDArray[np.bool_], left_out: int) -> Split:
    """Freeze some of the rows, bool [n]."""
    episodes = []
    for episode in np.unique(content.episode[here]):
        rows = np.flatnonzero((content.episode == episode) & here)
        digest = episode_digest(content.digest[int(row)] for row in rows)
        episodes.append(Episode(int(episode), int(rows.size), digest))
    digest = split_digest((e.number, e.rows, e.digest) for e in episodes)
    return Split(rows=int(here.sum()), left_out=left_out, digest=digest, episodes=episodes)


def statistics_of(game: str, content: Content, test: int) -> dict[str, dict[str, Statistics]]:
    """Compute the manifest's statistics by label set and variable; ``test`` is the test split's number."""
    rows = np.flatnonzero((content.split == test) & content.kept)
    frame = [content.frame[int(row)] for row in rows]
    found: dict[str, dict[str, Statistics]] = {}
    for label_set in game_of(game).label_sets:
        found[label_set] = {}
        decoded = decode(content.ram, game, label_set)
        there = present(game_of(game).variables(label_set), content.ram)
        for variable in game_of(game).variables(label_set):
            values = decoded[variable.name]
            nats = entropy(values)
            f1, accuracy = ceiling(values[rows], frame)
            often = float(there[variable.name].mean()) >= MIN_PRESENT
            probed = variable.visible and often and nats >= MIN_ENTROPY
            found[label_set][variable.name] = Statistics(
                round(nats, 4), probed, round(f1, 4), round(accuracy, 4)
            )
    return found


def few_rows(train_rows: int) -> list[int]:
    """Choose the rows of the few-rows probe, in ascending order."""
    generator = np.random.default_rng(_FEW_ROWS_SEED)
    chosen = generator.choice(train_rows, size=min(_FEW_ROWS, train_rows), replace=False)
    return sorted(int(row) for row in chosen)
