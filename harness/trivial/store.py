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
from builders.manifest import PLAY_VERSION, Manifest
from builders.recording import refuse_newer
from harness.probes.probe import ProbeRun
from harness.protocol import PROTOCOL, settings
from harness.trivial.encoders import DEFINITION, ENCODERS

FORMAT: Final = 1
FOLDER = Path(__file__).parent / "scores"
COMMAND: Final = "harness trivial"
_OTHER_RULES = "made under other rules or on other rows"


@dataclass(frozen=True)
class Beside:
    """F1 of the trivial encoders under one probe and training size.

    Attributes:
        f1: F1 by encoder and variable; None if unknown.
        reason: Why it is unknown.
    """

    f1: Mapping[str, Mapping[str, float]] | None
    reason: str | None


def look_up(manifest: Manifest, label_set: str, run: ProbeRun) -> Beside:
    """Return the stored scores of a game, or the reason why there are none.

    Raises:
        DataError: The file is damaged or has a newer format.
    """
    stored = _read(FOLDER / f"{manifest.game}.json")
    if stored is None:
        return Beside(None, f"not made for {manifest.game}: {COMMAND} makes them")
    for scores in stored["scores"]:
        if (scores["label_set"], scores["probe"], scores["train_rows"]) == (label_set, *run):
            if scores["rules"] != rules_digest(manifest, label_set, run):
                return Beside(None, _OTHER_RULES)
            return Beside(scores["f1"], None)
    return Beside(None, f"not made for {run}, label set {label_set}")


def is_reason(text: str, game: str, label_set: str, run: ProbeRun) -> bool:
    """Return whether a text is a reason that `look_up` gave before the scores were made."""
    not_made = f"not made for {game}: {COMMAND} makes them", f"not made for {run}, label set {label_set}"
    return text in {*not_made, _OTHER_RULES}


def rules_digest(manifest: Manifest, label_set: str, run: ProbeRun) -> str:
    """Return the digest of everything that determines the trivial scores of a game."""
    rules = (
        PROTOCOL,
        manifest.rules(label_set),
        tuple(run),
        sorted(settings(run.probe).items()),
        sorted(DEFINITION.items()),
    )
    return f"blake3:{blake3(repr(rules).encode()).hexdigest()}"


def content(manifest: Manifest, made: str, harness: str, scores: Sequence[Mapping[str, Any]]) -> str:
    """Return the content of a game's file.

    Args:
        manifest: The game's manifest.
        made: UTC time.
        harness: The harness version.
        scores: A dict for each label set, probe and training size, with ``label_set``, ``probe``,
            ``train_rows``, and ``f1`` by encoder and variable.
    """
    head = {
        "format": FORMAT,
        "game": manifest.game,
        "dataset_version": PLAY_VERSION,
        "made": made,
        "harness": harness,
        "command": f"{COMMAND} --games {manifest.game}",
        "encoders": DEFINITION,
    }
    items = []
    for item in scores:
        run = ProbeRun(item["probe"], item["train_rows"])
        rules = rules_digest(manifest, item["label_set"], run)
        items.append({**item, "rules": rules, "settings": settings(run.probe)})
    return json.dumps({**head, "scores": items}, indent=1) + "\n"


def is_complete(file: Path, manifest: Manifest, label_sets: Sequence[str], runs: Sequence[ProbeRun]) -> bool:
    """Return whether a file has all of these scores, under the current rules."""
    stored = _read(file)
    if stored is None:
        return False
    there = {s["rules"] for s in stored["scores"]}
    return all(rules_digest(manifest, label_set, run) in there for label_set in label_sets for run in runs)


@cache
def _read_once(file: Path, _: int) -> dict[str, Any]:
    damaged = DataError(
        f"The scores of the trivial encoders in {file} are damaged.", cure="Reinstall atariari."
    )
    try:
        stored = json.loads(file.read_bytes())
        refuse_newer(f"file {file.name} of trivial encoders", stored["format"], FORMAT)
        for scores in stored["scores"]:
            numbers = [f1 for encoder in ENCODERS for f1 in scores["f1"][encoder].values()]
            if not all(isinstance(f1, int | float) and 0 <= f1 <= 1 for f1 in numbers):
                raise damaged
            if not {"label_set", "probe", "train_rows", "rules"} <= set(scores):
                raise damaged
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise damaged from error
    return dict(stored)


def _read(file: Path) -> dict[str, Any] | None:
    return _read_once(file, file.stat().st_mtime_ns) if file.is_file() else None
