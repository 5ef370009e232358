"""The notebooks run, and so do the encoders beside them."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from harness.conformance import assert_conforms

EXAMPLES = Path(__file__).parents[1] / "examples"
NOTEBOOKS = sorted(EXAMPLES.glob("*.ipynb"))


def test_there_are_notebooks() -> None:
    assert {path.stem for path in NOTEBOOKS} == {
        "compare_and_report",
        "evaluate_an_encoder",
        "frames_and_labels",
    }


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nbformat = pytest.importorskip("nbformat")
    nbclient = pytest.importorskip("nbclient")
    pytest.importorskip("ipykernel")
    monkeypatch.setenv("PYTHONPATH", str(EXAMPLES.parent))
    book = nbformat.read(path, as_version=4)
    assert path.stat().st_size < 20_000
    assert not any(cell.get("outputs") for cell in book.cells), "clear the outputs"
    nbclient.NotebookClient(book, timeout=300, resources={"metadata": {"path": str(tmp_path)}}).execute()


@pytest.mark.parametrize("name", ["my_encoder", "stacked_frames", "timm_model"])
def test_an_example_keeps_the_rules(name: str) -> None:
    if name == "timm_model":
        pytest.importorskip("timm", exc_type=ImportError)
    assert_conforms(str(EXAMPLES / f"{name}.py"))


def test_the_pca_is_fitted_and_keeps_the_rules(tmp_path: Path) -> None:
    path = Path(shutil.copy(EXAMPLES / "sklearn_pca.py", tmp_path))
    environment = {**os.environ, "PYTHONPATH": str(EXAMPLES.parent)}
    subprocess.run([sys.executable, str(path), "pong"], env=environment, check=True)
    assert_conforms(str(path))


def test_the_agent_keeps_the_rules(tmp_path: Path) -> None:
    stable_baselines3 = pytest.importorskip("stable_baselines3", exc_type=ImportError)
    gymnasium = pytest.importorskip("gymnasium")
    import numpy as np

    space = gymnasium.spaces.Box(0, 255, (4, 84, 84), np.uint8)

    class Screen(gymnasium.Env):  # type: ignore[misc, name-defined]
        observation_space, action_space = space, gymnasium.spaces.Discrete(6)

    agent = stable_baselines3.PPO("CnnPolicy", Screen(), device="cpu", n_steps=8, batch_size=8)
    agent.save(tmp_path / "agent")
    assert_conforms(shutil.copy(EXAMPLES / "sb3_agent.py", tmp_path))
