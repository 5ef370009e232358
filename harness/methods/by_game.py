"""A folder of runs, one per game, as one encoder."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path

from builders.manifest import PRETRAIN
from harness.encoders.encoder import EncoderError
from harness.methods.run import CONFIG, Config, Settings, read_config
from harness.results.provenance import span

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


def described(runs: Collection[Config]) -> str:
    """Return what the encoders of some games were trained on, in words."""
    first = next(iter(runs))
    if all(run.described() == "none" for run in runs):
        return "none"
    if "checkpoint" in first.settings.options:
        return "reward, by an agent for each game"
    steps = span(run.training.steps for run in runs if run.training is not None)
    versions = " and ".join(sorted({run.data["dataset"] for run in runs}))
    return (
        f"GAME{PRETRAIN} {versions} of each game, {first.settings.method}, "
        f"{steps} steps of {first.settings.batch_size}, seed {first.settings.seed}"
    )


def _shared(settings: Settings) -> Mapping[str, object]:
    shown = settings.model_dump(exclude={"game"})
    return {**shown, "options": {k: v for k, v in settings.options.items() if k not in _OWN}}
