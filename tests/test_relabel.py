"""`relabel`: statistics anew from the same recordings, and what a manifest says of versions afterwards."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from importlib.metadata import version
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from atariari_data.errors import DataError, DriftError, UsageError
from builders.card import _game
from builders.cli.main import cli
from builders.freeze import relabel
from builders.manifest import DATASET_VERSION, Manifest, Split, load_manifest
from builders.show import show


@pytest.fixture
def rewrite(recordings: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Manifest]:
    """Return a function that has a copy of the small recordings used, with another manifest of Pong."""
    known = load_manifest("pong")
    folders = (tmp_path / f"before-{number}" for number in count())

    def rewrite(**changes: Any) -> Manifest:
        folder = next(folders)  # a new one, since manifests are read once
        for name in ("recordings", "manifests"):
            shutil.copytree(recordings / name, folder / name)
        (folder / "manifests" / "pong.json").write_bytes(replace(known, **changes).to_bytes())
        monkeypatch.setenv("ATARIARI_RECORDINGS", str(folder))
        return known

    return rewrite


def _relabelled(to: Path) -> Manifest:
    (file,) = relabel("pong", to, num_proc=1)
    return Manifest.from_bytes(file.read_bytes(), "pong")


def test_where_nothing_changed_the_files_are_the_same(recordings: Path, tmp_path: Path) -> None:
    assert _relabelled(tmp_path) == load_manifest("pong")
    found = CliRunner().invoke(cli, ["relabel", "pong_deep", "--to", str(tmp_path), "--jobs", "1", "--json"])
    files = [Path(row["file"]) for row in json.loads(found.stdout)]
    assert files == [tmp_path / "manifests" / "pong_deep.json", tmp_path / "coverage" / "pong.json"]
    for file in files:
        assert file.read_bytes() == (recordings / file.relative_to(tmp_path)).read_bytes()
    with pytest.raises(UsageError, match="already exists"):
        relabel("pong_deep", tmp_path, num_proc=1)


def test_changed_labels_get_the_present_version(rewrite: Callable[..., Manifest], tmp_path: Path) -> None:
    known = rewrite(dataset_version="0.9.0")
    assert _relabelled(tmp_path / "same").dataset_version == "0.9.0"
    statistics = dict(known.label_sets["v1"])
    statistics["ball_x"] = replace(statistics["ball_x"], probed=not statistics["ball_x"].probed)
    rewrite(dataset_version="0.9.0", label_sets={**known.label_sets, "v1": statistics})
    found = _relabelled(tmp_path / "other")
    assert (found.dataset_version, found.label_sets) == (DATASET_VERSION, known.label_sets)


def test_a_label_that_was_added_since_says_what_to_do(
    rewrite: Callable[..., Manifest], tmp_path: Path
) -> None:
    known = load_manifest("pong").label_sets
    statistics = {name: of for name, of in known["v1"].items() if name != "ball_x"}
    rewrite(label_sets={**known, "v1": statistics})
    for use in (
        lambda: show("pong", tmp_path / "pong.png"),
        lambda: _game("pong", tmp_path),
        lambda: load_manifest("pong").rules("v1"),
    ):
        with pytest.raises(DataError, match="no statistics of ball_x") as raised:
            use()
        assert "atariari-data relabel pong" in str(raised.value.cure)
    assert "ball_x" in _relabelled(tmp_path).label_sets["v1"]


def test_a_version_of_the_emulator_joins_only_if_it_gives_the_rows_of_every_config(
    rewrite: Callable[..., Manifest], tmp_path: Path
) -> None:
    rewrite(ale_py=["0.0.1"])
    assert _relabelled(tmp_path).ale_py == ["0.0.1", version("ale-py")]


def test_a_version_of_the_emulator_with_other_rows_is_refused(
    rewrite: Callable[..., Manifest], tmp_path: Path
) -> None:
    known = load_manifest("pong").configs
    other: dict[str, Split] = dict(known["pong_pretrain"].splits)
    other["train"] = replace(other["train"], digest="0" * 64)
    changed = {**known, "pong_pretrain": replace(known["pong_pretrain"], splits=other)}
    rewrite(ale_py=["0.0.1"], configs=changed)
    with pytest.raises(DriftError, match="does not give the rows of pong_pretrain"):
        relabel("pong", tmp_path, num_proc=1)
