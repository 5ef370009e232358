"""How pages write scores, counts, probes, categories and games."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

from atariari_data.errors import UnknownNameError
from atariari_data.games import game
from harness.probes.probe import ProbeRun
from harness.probes.registry import meaning

DASH = "\u2013"
CATEGORY_TITLES = {
    "agent_localization": "Agent",
    "small_object_localization": "Small objects",
    "other_localization": "Other objects",
    "score_clock_lives_display": "Score and lives",
    "misc": "Misc",
    "motion": "Motion",
}

ENCODER_TITLES = {
    "majority": "Constant",
    "random-projection": "Random projection of the pixels",
    "random-cnn": "Random CNN",
    "pixels-pca": "PCA of the pixels",
    "pixels-pca-16": "PCA of the pixels, 16 components",
    "pixels-pca-64": "PCA of the pixels, 64 components",
    "ram": "RAM",
    "supervised": "Supervised CNN",
    "infonce-stdim": "ST-DIM",
    "jsd-stdim": "ST-DIM, Jensen-Shannon loss",
    "global-infonce-stdim": "ST-DIM, global features only",
    "global-local-infonce-stdim": "ST-DIM, global to local",
    "dim": "DIM",
    "cpc": "CPC",
    "vae": "VAE",
    "naff": "Pixel prediction",
    "pretrained-rl-agent": "Agent trained by RL",
}
"""Built-in encoders and methods in words."""


def encoder_title(name: str) -> str:
    """Return an encoder's name in words if it is one of ours, with its seed behind it if it has one."""
    base, _, number = name.rpartition("-")
    if name not in ENCODER_TITLES and base in ENCODER_TITLES and number.isdecimal():
        return f"{ENCODER_TITLES[base]} ({number})"
    return ENCODER_TITLES.get(name, name)


def score(value: float | None) -> str:
    """Return a score as the tables show it: three decimal places, or a dash if it is missing."""
    return DASH if value is None else f"{value:.3f}"


def size(value: int | None) -> str:
    """Return a short form of a count: ``1.3M``."""
    if value is None:
        return DASH
    rounded = int(float(f"{value:.3g}"))
    for bound, unit in ((10**9, "G"), (10**6, "M"), (10**3, "k")):
        if rounded >= bound:
            return f"{rounded / bound:.3g}{unit}"
    return str(value)


def probe_title(run: ProbeRun | Mapping[str, Any]) -> str:
    """Return the display name of a probe and its rows, also of a part of a result as a dict."""
    return str(run if isinstance(run, ProbeRun) else ProbeRun(*(run[field] for field in ProbeRun._fields)))


def probe_meaning(run: ProbeRun) -> str:
    """Return one sentence on what a probe's score measures."""
    return meaning(run)


@cache
def game_title(name: str) -> str:
    """Return a game's display name, or the name itself for an unknown game."""
    try:
        return game(name).title
    except UnknownNameError:
        return name
