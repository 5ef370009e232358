"""Results as the harness makes them, from random scores: for tests and benchmarks of what reads them."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Mapping
from typing import Any

from atariari_data.games import game, game_names
from harness.probes.probe import ProbeRun
from harness.results.result import Signed

LABEL_SET = "anand2019"
GAMES = tuple(name for name in game_names() if LABEL_SET in game(name).label_sets)
PROBES = (("linear", "full"), ("linear", "1k"), ("anand2019", "full"))


def training(
    method: str, steps: Mapping[str, int], *, seed: int = 0, version: str = "1.0.0"
) -> dict[str, Any]:
    """Return how a method trained the encoders of some games."""
    return {
        "method": method,
        "seed": seed,
        "batch_size": 64,
        "settings": {"learning_rate": "0.0003"},
        "steps": dict(steps),
        "data": dict.fromkeys(steps, version),
    }


def digest(*parts: object) -> str:
    return "sha256:" + hashlib.sha256(repr(parts).encode()).hexdigest()


def scores(
    name: str, draw: random.Random, n: int, skill: float, game: str, train_rows: object
) -> dict[str, Any]:
    """Return one variable's row; what does not depend on the encoder is the same in all results."""
    frozen = random.Random(f"{game} {name} {n}")  # noqa: S311  test data
    fitted = random.Random(f"{game} {name} {n} {train_rows}")  # noqa: S311
    ceiling = round((0.95 + 0.05 * frozen.random()) * n) / n
    majority = fitted.randrange(n // 20, n // 2) / n
    accuracy = round((majority + (ceiling - majority) * skill * draw.random()) * n) / n
    f1 = max(2 * accuracy**2 / (1 + accuracy), accuracy - 0.02 * draw.random())
    return {
        "name": name,
        "categories": [],
        "kind": "ordered",
        "unit": "px",
        "period": None,
        "n": n,
        "classes": fitted.randrange(2, 200),
        "score": f1,
        "raw": None,
        "accuracy": accuracy,
        "constant": 2 * majority * majority / (1 + majority),
        "constant_accuracy": majority,
        "interval": [max(0.0, f1 - 0.01), min(1.0, f1 + 0.01)],
        "ceiling": ceiling,
        "pixels_pca": 0.9 * fitted.random(),
        "random_projection": 0.9 * fitted.random(),
        "random_cnn": None,
        "ceiling_accuracy": ceiling,
        "error": (1 - accuracy) * (1 + 9 * draw.random()),
        "constant_error": None,
        "strength_log10": -float(draw.randrange(2, 6)),
        "gradient_log10": -5.5,
        "epochs": None,
        "note": None,
    }


def put(values: Any, path: str, value: Any) -> None:
    """Set ``a__0__b`` in dicts and lists, and ``variables__0__f1`` of a table by row or by column."""
    *parents, last = [int(key) if key.isdigit() else key for key in path.split("__")]
    if "variables" in parents[:-1] and isinstance(parents[(rows := parents.index("variables")) + 1], int):
        table = values
        for key in parents[: rows + 1]:
            table = table[key]
        if isinstance(table, dict):
            table.setdefault(last, [None] * len(table["name"]))
            parents[rows + 1], last = last, parents[rows + 1]
    for key in parents:
        values = values[key]
    values[last] = value(values[last]) if callable(value) else value


Probes = tuple[tuple[str, str | int], ...]


def game_scores(
    name: str, draw: random.Random, n: int, skill: float, probes: Probes = PROBES
) -> dict[str, Any]:
    """Return one game's part."""
    variables = [v for v in game(name).variables(LABEL_SET) if v.categories]
    return {
        "embeddings": digest("embeddings", name, draw.random()),
        "scores": [
            {
                **run._asdict(),
                "fits": 1,
                "trivial_reason": None,
                "predictions": digest("predictions", name, run.probe, run.train_rows, draw.random()),
                "variables": [
                    {
                        **scores(v.name, draw, n, skill, name, run.train_rows),
                        "categories": list(v.categories),
                    }
                    for v in variables
                ],
            }
            for run in (ProbeRun(*pair) for pair in probes)
        ],
    }


def fields(
    seed: int = 0,
    *,
    games: tuple[str, ...] = ("breakout", "pong"),
    suite: tuple[str, ...] | None = None,
    principal: str | None = "alice@example.org",
    encoder: str = "Random CNN",
    skill: float = 0.7,
    n: int = 9871,
    probes: Probes = PROBES,
    finished: str = "2026-01-31T12:34:56Z",
) -> dict[str, Any]:
    """Return what ``Signed.build`` takes."""
    draw = random.Random(seed)  # noqa: S311  test data
    return {
        "run_id": f"{draw.getrandbits(128):032x}",
        "submitter": None if principal is None else {"principal": principal, "name": "Zoë Example"},
        "ranked": True,
        "unranked_reason": None,
        "dry_run_rows": None,
        "started": f"{finished[:10]}T12:00:00Z",
        "finished": finished,
        "elapsed_seconds": 2096.25,
        "protocol": {"name": "v1", "digest": digest("protocol")},
        "dataset": {
            "version": "0.0.1",
            "label_set": LABEL_SET,
            "suite": "all",
            "suite_games": list(suite or GAMES),
            "rules": {name: digest("rules", name) for name in games},
            "fresh_seed": None,
            "splits": {
                name: {
                    split: {"rows": rows, "digest": digest(name, split)}
                    for split, rows in (("train", 34606), ("validation", 4527), ("test", n))
                }
                for name in games
            },
        },
        "harness": {"version": "0.1.0", "source": digest("harness"), "as_released": True},
        "encoder": {
            "name": encoder,
            "source": digest("source", encoder),
            "source_kind": "file",
            "weights": digest("weights", encoder, seed),
            "weights_part": None,
            "feature_size": 256,
            "parameters": int(10 ** draw.uniform(4, 8.5)),
            "per_game": False,
            "frames": {"color": "gray", "stack": 1, "layout": "nchw", "scale": "unit", "size": [210, 160]},
            "pool": None,
            "output": None,
            "precision": "float32",
            "pretraining_data": "none",
            "training": None,
            "code": "https://example.org/code",
            "paper": None,
        },
        "environment": {
            "python": "3.11.7",
            "platform": "Linux-6.1-x86_64",
            "cpu": "Example CPU @ 2.50GHz",
            "cores": 2,
            "device": "cpu",
            "packages": {"ale-py": "0.12.1", "torch": "2.13.0"},
        },
        "isolation": {
            "own_process": True,
            "shuffled": True,
            "second_pass": True,
            "no_network": False,
            "no_dataset": False,
            "note": "the kernel lets no user make namespaces",
        },
        "seeds": {"bootstrap": 0},
        "probes": [
            {**run._asdict(), "metric": "f1", "settings": {"strengths_log10": [-5, -4, -3, -2]}}
            for run in (ProbeRun(*pair) for pair in probes)
        ],
        "games": {name: game_scores(name, draw, n, skill, probes) for name in games},
    }


def make(seed: int = 0, **options: Any) -> Signed:
    """Return a signed part."""
    return Signed.build(**fields(seed, **options))
