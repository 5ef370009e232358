"""A folder of runs, one per game, as one encoder."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from builders.manifest import PRETRAIN
from harness.encoders.encoder import EncoderError
from harness.methods import load_method
from harness.methods.run import CONFIG, Config, Settings, read_config
from harness.results.provenance import Training

_OWN = ("game", "checkpoint")
"""Options that may differ between the runs of one encoder."""


def runs_by_game(folder: Path) -> dict[str, Path]:
    """Return the run of each game in a folder of runs.

    The result is empty if the folder is itself a run, or has none.

    Raises:
        EncoderError: A run is of another game than its folder's name says, or settings differ between runs.
    """
    if (folder / CONFIG).is_file():
        return {}
    runs = {path.name: path for path in sorted(folder.iterdir()) if (path / CONFIG).is_file()}
    settings = {name: read_config(path).settings for name, path in runs.items()}
    for name, found in settings.items():
        if found.game != name:
            raise EncoderError(
                f"The run {runs[name]} is not of the game its folder is named after.",
                expected=name,
                got=found.game,
            )
        first = next(iter(settings.values()))
        if _shared(found) != _shared(first):
            raise EncoderError(
                f"The runs in {folder} have different settings.",
                expected=f"as {first.game}: {_shared(first)}",
                got=f"{name}: {_shared(found)}",
            )
    return runs


def training_of(runs: Collection[Config]) -> Training | None:
    """Return how the encoders of some games were trained, as a result tells it; None if no method did."""
    first = next(iter(runs)).settings
    done = {run.settings.game: run.training for run in runs if run.training is not None}
    if not done or not load_method(first.method).trains:
        return None
    return Training(
        **settings_told(first),
        steps={game: training.steps for game, training in sorted(done.items())},
        data={run.settings.game: run.data["dataset"] for run in runs},
    )


def settings_told(settings: Settings) -> dict[str, Any]:
    """Return the fields of `Training` that are the same for all games."""
    told = dict(_shared(settings))
    fields = {name: told.pop(name) for name in ("method", "seed", "batch_size")}
    told |= told.pop("options")
    return {
        **fields,
        "settings": {
            name: value if isinstance(value, str) else json.dumps(value)
            for name, value in sorted(told.items())
        },
    }


def pretraining_data(runs: Collection[Config], *, by_game: bool) -> str:
    """Return what the encoder of a run, or those of some games, were trained on, in words."""
    first = next(iter(runs)).settings
    if agent := first.options.get("checkpoint"):
        name = str(agent).rpartition("/")[2]
        return "reward, by an agent for each game" if by_game else f"reward, by the agent {name}"
    if not load_method(first.method).trains:
        return "none"
    return f"GAME{PRETRAIN} of each game" if by_game else f"{first.game}{PRETRAIN}"


def _shared(settings: Settings) -> Mapping[str, Any]:
    """Return what is the same in all runs of one encoder."""
    shown = settings.model_dump(exclude={"game"})
    return {**shown, "options": {k: v for k, v in settings.options.items() if k not in _OWN}}
