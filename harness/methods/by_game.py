"""A folder of runs, one for each game: together they are one encoder, as the paper counts them."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path

from builders.manifest import PRETRAIN
from harness.encoders.encoder import EncoderError
from harness.methods.run import CONFIG, Config, Settings, read_config

_OWN = ("game", "checkpoint")
"""What the runs of one encoder may differ in: options of a method, and the game itself."""


def runs_by_game(folder: Path) -> dict[str, Path]:
    """Return the run of each game in a folder of runs; none, where it is a run itself or holds none.

    Raises:
        EncoderError: A run is of another game than its folder's name, or they have other settings.
    """
    if (folder / CONFIG).is_file():
        return {}
    runs = {path.name: path for path in sorted(folder.iterdir()) if (path / CONFIG).is_file()}
    settings = {name: read_config(path).settings for name, path in runs.items()}
    for name, found in settings.items():
        if found.game != name:
            raise EncoderError(
                f"The run {runs[name]} is not of the game that its folder is named after.",
                expected=name,
                got=found.game,
            )
        first = next(iter(settings.values()))
        if _shared(found) != _shared(first):
            raise EncoderError(
                f"The runs in {folder} are not of one method: they have different settings.",
                expected=f"those of {first.game}: {_shared(first)}",
                got=f"{name}: {_shared(found)}",
            )
    return runs


def described(runs: Collection[Config]) -> str:
    """Say in words what the encoders of some games were trained on, for a result."""
    first = next(iter(runs))
    said = {run.described() for run in runs}
    if len(said) == 1:
        return said.pop()
    if "checkpoint" in first.settings.options:
        return "reward, by an agent for each game"
    steps = sorted({run.training.steps for run in runs if run.training is not None})
    number = f"{steps[0]}" if len(steps) == 1 else f"{steps[0]} to {steps[-1]}"
    return (
        f"GAME{PRETRAIN} {first.data['dataset']} of each game, {first.settings.method}, "
        f"{number} steps of {first.settings.batch_size}, seed {first.settings.seed}"
    )


def _shared(settings: Settings) -> Mapping[str, object]:
    shown = settings.model_dump(exclude={"game"})
    return {**shown, "options": {k: v for k, v in settings.options.items() if k not in _OWN}}
