"""The majority baseline of every game; ``python -m tools.majority`` writes it anew (10 minutes of one core).

The games are replayed without pictures: labels come from the RAM.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

import harness.leaderboard
from atariari_data.games import LABEL_SETS
from atariari_data.games import game as game_of
from atariari_data.labels import labels as decode
from builders.digest import NULL_ACTION
from builders.emulator import RESET, Emulator
from builders.manifest import load_manifest, load_recording, recorded_games
from harness.leaderboard.majority import FIELDS, FILE, RULES_DIGITS
from harness.metrics import Counts, most_frequent
from harness.probes.probe import ProbeRun
from harness.protocol import training_rows

_HEAD = ("label_set", "game", "rules", "train_rows", "variable", *FIELDS)


def ram_of(game: str) -> dict[str, npt.NDArray[np.uint8]]:
    """Replay a game's recording and return the RAM of its rows, uint8 [n, 128], by split."""
    recording = load_recording(game)
    found: dict[str, list[bytes]] = {split: [] for split in recording.header.splits}
    for seed, lane in zip(recording.header.lane_seeds, recording.lanes, strict=True):
        emulator = Emulator(game, seed)
        kept = lane.kept & (lane.episode >= 0)
        columns = (lane.action, lane.frames, lane.split, kept)
        for action, frames, split, wanted in zip(*(c.tolist() for c in columns), strict=True):
            if wanted:
                found[recording.header.splits[split]].append(emulator.ram())
            if action == RESET:
                emulator.reset()
            elif action != NULL_ACTION:
                emulator.act(action, frames)
    return {split: np.frombuffer(b"".join(ram), np.uint8).reshape(-1, 128) for split, ram in found.items()}


def rows(game: str) -> Iterator[dict[str, Any]]:
    """Yield the baseline of each label set, training size and variable of a game."""
    manifest, ram = load_manifest(game), ram_of(game)
    for label_set in (name for name in LABEL_SETS if name in game_of(game).label_sets):
        train, test = (decode(ram[split], game, label_set) for split in ("train", "test"))
        for size in ("full", "1k"):
            chosen = training_rows(manifest, ProbeRun("linear", size))
            for variable in manifest.probed(label_set):
                known = train[variable] if chosen is None else train[variable][chosen]
                counts = Counts.of(test[variable], np.full_like(test[variable], int(most_frequent(known))))
                values = (
                    len(np.unique(known)),
                    round(float(counts.accuracy()[0]), 4),
                    round(float(counts.f1()[0]), 4),
                )
                head = (label_set, game, manifest.rules(label_set)[:RULES_DIGITS], size, variable)
                yield dict(zip(_HEAD, (*head, *values), strict=True))


def main() -> None:
    """Write the file."""
    path = Path(harness.leaderboard.__file__).parent / "data" / FILE
    with path.open("w", encoding="ascii", newline="") as file:
        writer = csv.DictWriter(file, _HEAD, lineterminator="\n")
        writer.writeheader()
        for game in recorded_games():
            writer.writerows(rows(game))


if __name__ == "__main__":
    main()
