from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from atariari_data.errors import MissingExtraError, UnknownNameError, UsageError
from builders.cli.main import cli
from builders.episode import episode_of
from builders.manifest import load_manifest
from builders.show import FRAMES, show


def test_the_episode_is_the_longest_of_test_or_the_one_asked_for() -> None:
    splits = load_manifest("pong").configs["pong"].splits
    episode = episode_of("pong")
    assert (episode.split, len(episode.rows)) == ("test", max(e.rows for e in splits["test"].episodes))
    wanted = splits["train"].episodes[0]
    episode = episode_of("pong", wanted.number)
    assert (episode.split, len(episode.rows)) == ("train", wanted.rows)
    assert len(episode.lane_ram) >= len(episode.rows)
    with pytest.raises(UnknownNameError, match="Unknown episode of pong: '9999'"):
        episode_of("pong", 9999)


@pytest.mark.parametrize("number", [-1, 9999])
def test_the_command_says_which_episodes_there_are(number: int, tmp_path: Path) -> None:
    splits = load_manifest("pong").configs["pong"].splits
    numbers = [e.number for split in splits.values() for e in split.episodes]
    out = tmp_path / "pong.png"
    done = CliRunner().invoke(cli, ["show", "pong", "--episode", str(number), "--out", str(out)])
    assert done.exit_code == 2
    assert (
        f"pong has no episode {number}.\n  expected: a number from {min(numbers)} to {max(numbers)}"
        in done.stderr
    )


def test_the_picture(tmp_path: Path) -> None:
    file = tmp_path / "folder" / "pong.png"
    episode = show("pong", file)
    with Image.open(file) as image:
        pixels = np.asarray(image.convert("RGB"))
    first = episode.rows[0].frame.rgb()
    # The first frame, doubled, stands at the upper left below the head; marks cover a little of it.
    found = pixels[74 + 18 : 74 + 18 + 420, 20 : 20 + 320]
    doubled = first.repeat(2, axis=0).repeat(2, axis=1)
    assert (found == doubled).all(axis=2).mean() > 0.9
    assert pixels.shape[1] > 4 * 320
    assert FRAMES == 8
    assert [f.name for f in file.parent.iterdir()] == ["pong.png"], "nothing half-written stays"
    before = file.read_bytes()
    with pytest.raises(UsageError, match="already exists"):
        show("pong", file)
    assert file.read_bytes() == before


def test_the_command(tmp_path: Path) -> None:
    code = "from builders.cli.main import main; main()"
    run = [sys.executable, "-c", code, "show", "Breakout", "--label-set", "anand2019"]
    done = subprocess.run(run, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "breakout.png").stat().st_size > 10_000
    done = subprocess.run(run, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 2
    assert "already exists" in done.stderr


def test_without_matplotlib_it_says_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [m for m in sys.modules if m.partition(".")[0] == "matplotlib" or m == "builders.picture"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'atariari\[plots\]'"):
        show("pong", tmp_path / "pong.png")
