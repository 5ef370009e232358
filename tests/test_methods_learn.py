"""Every method learns: its loss falls, and a linear probe finds more in its features than in random ones.

The task is made in code: two squares that move over noise, and the question is where one of them is, asked of
other episodes than those that were learned from.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch import nn

from harness.methods.method import Network
from harness.methods.rows import Rows
from harness.methods.run import Budget, Settings, load_run, make
from harness.methods.train import LOG_EVERY, Surroundings, train
from harness.methods.untrained import RandomCNN
from tests.small_methods import moving_dots

SIZE = (84, 84)
CASES: dict[str, tuple[int, dict[str, Any]]] = {
    "infonce-stdim": (60, {}),
    "jsd-stdim": (150, {}),
    "global-infonce-stdim": (150, {}),
    "global-local-infonce-stdim": (150, {}),
    "dim": (150, {}),
    "cpc": (150, {"batch_size": 8, "options": {"sequence_length": 10, "offset_step": 2}}),
    "vae": (300, {"learning_rate": 1e-3, "options": {"beta": 0.1}}),
    "naff": (200, {"learning_rate": 1e-3}),
    "supervised": (100, {}),
}
Places = npt.NDArray[np.int64]


def _features(encoder: nn.Module, rows: Rows) -> npt.NDArray[np.float32]:
    frames = torch.from_numpy(rows.frames)[:, None]
    with torch.no_grad():
        parts = [encoder(frames[i : i + 256].float() / 255) for i in range(0, len(frames), 256)]
    return np.asarray(torch.cat(parts).numpy())


def _found(encoder: nn.Module, known: tuple[Rows, Places], asked: tuple[Rows, Places]) -> float:
    """Share of the variance of the places that a ridge regression on the features explains."""
    x, y = _features(encoder, known[0]), _features(encoder, asked[0])
    mean, deviation = x.mean(axis=0), x.std(axis=0) + 1e-6
    x, y = (x - mean) / deviation, (y - mean) / deviation
    places = known[1].mean(axis=0)
    weights = np.linalg.solve(x.T @ x + 100 * np.eye(x.shape[1]), x.T @ (known[1] - places))
    error = (y @ weights + places - asked[1]) ** 2
    return 1 - float(error.sum() / ((asked[1] - asked[1].mean(axis=0)) ** 2).sum())


@pytest.mark.parametrize(
    "method", [m if m == "infonce-stdim" else pytest.param(m, marks=pytest.mark.slow) for m in CASES]
)
def test_the_method_learns(method: str, tmp_path: Path) -> None:
    steps, others = CASES[method]
    known, between, asked = (moving_dots(n, seed=seed, noise=60) for seed, n in enumerate((40, 4, 20)))
    usual = {"method": method, "game": "pong", "size": SIZE, "batch_size": 32}
    settings = make(Settings, **{**usual, **others})
    budget = Budget(steps=steps, epochs=1000)
    train(settings, tmp_path, budget, Surroundings(progress=False), rows=(known[0], between[0]))

    records = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    losses = [r["loss"] for r in records if r["split"] == "train"]
    assert len(losses) >= steps // LOG_EVERY
    assert np.mean(losses[-2:]) < losses[0]

    torch.manual_seed(0)
    random = RandomCNN.make_encoder(Network(size=SIZE), None)
    ours, theirs = (_found(encoder, known, asked) for encoder in (load_run(tmp_path).encoder, random))
    assert ours > theirs + 0.05, (ours, theirs)
