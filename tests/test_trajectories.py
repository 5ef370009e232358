"""Minari reads what `atariari-data export --format minari` writes: the dataset's episodes, whole."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from atariari_data import labels, load_dataset
from atariari_data.errors import MissingExtraError, UsageError
from builders.cli.main import cli
from builders.manifest import frozen_config
from builders.trajectories import export_trajectories
from tests.conftest import change_a_label

SPLITS = frozen_config("pong").splits


@pytest.fixture(scope="module")
def folder(built: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("minari")
    folder = tmp_path_factory.mktemp("minari")
    export_trajectories(["pong"], folder, cache_dir=built, progress=False)
    return folder


@pytest.fixture
def minari(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(folder))
    return pytest.importorskip("minari")


@pytest.mark.parametrize("split", ["validation", "test"])
def test_minari_reads_whole_episodes(built: str, minari: Any, split: str) -> None:
    known = SPLITS[split]
    found = minari.load_dataset(f"atariari/pong/{split}-v1")
    assert found.total_episodes == len(known.episodes)
    assert found.total_steps == known.rows + known.left_out - len(known.episodes)
    kept = load_dataset("atariari", "pong", split=split, cache_dir=built)
    by_row = {(row["episode"], row["step"]): row for row in kept}
    seen = 0
    numbers = [m["atariari_episode"] for m in found.storage.get_episode_metadata(found.episode_indices)]
    for number, episode in zip(numbers, found.iterate_episodes(), strict=True):
        n = len(episode) + 1
        infos = episode.infos
        assert episode.observations.shape == (n, 210, 160, 3)
        assert not np.any(episode.terminations[:-1] | episode.truncations[:-1])
        assert episode.terminations[-1] != episode.truncations[-1]
        decoded = labels(infos["ram"], "pong")
        assert {f"labels/{v}" for v in decoded} == {name for name in infos if name.startswith("labels/")}
        for variable, values in decoded.items():
            np.testing.assert_array_equal(infos[f"labels/{variable}"], values)
        for step in np.flatnonzero(~infos["left_out"]):
            row = by_row[number, int(step)]
            seen += 1
            np.testing.assert_array_equal(episode.observations[step], np.asarray(row["frame"]))
            assert infos["ram"][step].tolist() == row["ram"]
            if step < n - 1:
                assert (episode.actions[step], episode.rewards[step]) == (row["action"], row["reward"])
            else:
                assert (row["is_last"], row["is_terminal"]) == (True, episode.terminations[-1])
    assert seen == known.rows


def test_its_own_tools_work(minari: Any) -> None:
    assert list(minari.list_local_datasets()) == [f"atariari/pong/{s}-v1" for s in sorted(SPLITS)]
    found = minari.load_dataset("atariari/pong/train-v1")
    assert found.action_space.n == 18
    (episode,) = found.sample_episodes(1)
    assert found.observation_space.contains(episode.observations[0])
    assert found.action_space.contains(episode.actions[0])


def test_what_is_finished_is_kept_and_nothing_else_overwritten(built: str, folder: Path) -> None:
    before = {file: file.stat().st_mtime_ns for file in folder.rglob("*")}
    done = CliRunner().invoke(
        cli, ["export", "pong", "--format", "minari", "--to", str(folder), "--cache-dir", built]
    )
    assert done.exit_code == 0
    assert str(folder / "atariari" / "pong" / "train-v1") in done.stdout
    assert {file: file.stat().st_mtime_ns for file in folder.rglob("*")} == before


def test_a_copy_of_other_labels_is_not_finished(
    built: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    change_a_label(monkeypatch)
    with pytest.raises(UsageError, match=r"is not pong, train of .* with the labels of this version"):
        export_trajectories(["pong"], folder, cache_dir=built, progress=False)


def test_errors(tmp_path: Path, built: str, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("minari")
    (tmp_path / "atariari" / "pong" / "train-v1").mkdir(parents=True)
    with pytest.raises(UsageError, match="already exists, and is not pong, train"):
        export_trajectories(["pong"], tmp_path, cache_dir=built, progress=False)
    done = CliRunner().invoke(cli, ["export", "pong", "--format", "minari", "--to", "hf://datasets/me/pong"])
    assert done.exit_code == 2
    options = ["--format", "minari", "--to", str(tmp_path), "--files-per-split", "2"]
    done = CliRunner().invoke(cli, ["export", "pong", *options])
    assert done.exit_code == 2
    assert "--files-per-split has no meaning" in done.stderr
    monkeypatch.setitem(sys.modules, "minari", None)
    with pytest.raises(MissingExtraError, match="minari"):
        export_trajectories(["pong"], tmp_path, cache_dir=built, progress=False)
