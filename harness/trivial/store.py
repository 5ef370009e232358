"""The scores of the trivial encoders, computed once for each game and kept in the package."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

from blake3 import blake3

from atariari_data.errors import DataError
from builders.files import refuse_newer
from builders.manifest import Manifest
from harness.encoders.named import PIXELS_PCA, RANDOM_CNN, RANDOM_PROJECTION
from harness.probes.probe import DRAWS, ProbeRun
from harness.probes.registry import load_probe
from harness.protocol import has_deep, settings, splits_of
from harness.targets import SCORED, rules_of
from harness.trivial.encoders import DEFINITION, ENCODERS

FORMAT: Final = 2
FOLDER = Path(__file__).parent / "scores"
COMMAND: Final = "harness trivial"
_OTHER_RULES = "made under other rules or on other rows"

FIELDS: Final = {
    PIXELS_PCA: "pixels_pca",
    RANDOM_PROJECTION: "random_projection",
    RANDOM_CNN: "random_cnn",
}
"""Trivial encoders, and the fields of a result with their scores."""


@dataclass(frozen=True)
class Beside:
    """Scores of the trivial encoders under one probe, and the ceilings.

    Attributes:
        scores: Scores by encoder and variable; None if unknown.
        ceilings: Ceilings by variable, where the manifest has none.
        reason: Why scores are unknown.
    """

    scores: Mapping[str, Mapping[str, float]] | None
    ceilings: Mapping[str, float]
    reason: str | None


def encoders_of(run: ProbeRun) -> tuple[str, ...]:
    """Return the trivial encoders that are scored under a probe."""
    return ENCODERS if load_probe(run.probe).metric == "f1" else (*ENCODERS, RANDOM_CNN)


def look_up(manifest: Manifest, label_set: str, run: ProbeRun) -> Beside:
    """Return the stored scores of a game, or the reason why there are none.

    Raises:
        DataError: The file is damaged or has a newer format.
    """
    stored = _read(FOLDER / f"{manifest.game}.json")
    if stored is None:
        return Beside(None, {}, f"not made for {manifest.game}: {COMMAND} makes them")
    for scores in stored["scores"]:
        if (scores["label_set"], *(scores[key] for key in ProbeRun._fields)) == (label_set, *run):
            if scores["rules"] != rules_digest(manifest, label_set, run):
                return Beside(None, {}, _OTHER_RULES)
            return Beside(scores["scores"], scores["ceilings"], None)
    return Beside(None, {}, f"not made for {run}, label set {label_set}")


def is_reason(text: str, game: str, label_set: str, run: ProbeRun) -> bool:
    """Return whether a text is a reason that `look_up` gave before the scores were made."""
    not_made = f"not made for {game}: {COMMAND} makes them", f"not made for {run}, label set {label_set}"
    return text in {*not_made, _OTHER_RULES}


def rules_digest(manifest: Manifest, label_set: str, run: ProbeRun) -> str:
    """Return the digest of everything that determines the trivial scores of a game."""
    rules = (
        manifest.rules(label_set),
        tuple(run),
        sorted(settings(run.probe).items()),
        sorted(DEFINITION.items()),
        () if load_probe(run.probe).metric == "f1" else _of_readout(manifest.game, label_set, run),
    )
    return f"blake3:{blake3(repr(rules).encode()).hexdigest()}"


def _of_readout(game: str, label_set: str, run: ProbeRun) -> tuple[object, ...]:
    """Return what else decides the scores of a readout."""
    is_deep = run.is_deep and has_deep(game)
    deep = [(name, split.digest) for name, split in splits_of(game, "deep").items()] if is_deep else []
    return DRAWS, SCORED, rules_of(game, label_set), deep


def content(manifest: Manifest, made: str, harness: str, scores: Sequence[Mapping[str, Any]]) -> str:
    """Return the content of a game's file.

    Args:
        manifest: The game's manifest.
        made: UTC time.
        harness: The harness version.
        scores: A dict for each label set and run, with ``label_set``, the fields of the run, ``scores`` by
            encoder and variable, and ``ceilings`` by variable.
    """
    head = {
        "format": FORMAT,
        "game": manifest.game,
        "dataset_version": manifest.dataset_version,
        "made": made,
        "harness": harness,
        "command": f"{COMMAND} --games {manifest.game}",
        "encoders": DEFINITION,
    }
    items = []
    for item in scores:
        run = ProbeRun(*(item[key] for key in ProbeRun._fields))
        rules = rules_digest(manifest, item["label_set"], run)
        items.append({**item, "rules": rules, "settings": settings(run.probe)})
    return json.dumps({**head, "scores": items}, indent=1) + "\n"


def current(file: Path, manifest: Manifest) -> dict[tuple[str, ProbeRun], dict[str, Any]]:
    """Return what a file has that was made under the current rules, by label set and run.

    Raises:
        DataError: The file is damaged or has a newer format.
    """
    stored = _read(file)
    found = {}
    for scores in stored["scores"] if stored else ():
        run = ProbeRun(*(scores[key] for key in ProbeRun._fields))
        if scores["rules"] == rules_digest(manifest, scores["label_set"], run):
            found[scores["label_set"], run] = scores
    return found


@cache
def _read_once(file: Path, _: int) -> dict[str, Any]:
    damaged = DataError(
        f"The scores of the trivial encoders in {file} are damaged.", cure="Reinstall atariari."
    )
    try:
        stored = json.loads(file.read_bytes())
        refuse_newer(f"file {file.name} of trivial encoders", stored["format"], FORMAT)
        for scores in stored["scores"]:
            if not {"label_set", "rules", "ceilings", *ProbeRun._fields} <= set(scores):
                raise damaged
            tables = [*(scores["scores"][encoder] for encoder in ENCODERS), *scores["scores"].values()]
            numbers = [score for table in (*tables, scores["ceilings"]) for score in table.values()]
            if not all(isinstance(score, int | float) and 0 <= score <= 1 for score in numbers):
                raise damaged
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise damaged from error
    return dict(stored)


def _read(file: Path) -> dict[str, Any] | None:
    return _read_once(file, file.stat().st_mtime_ns) if file.is_file() else None
