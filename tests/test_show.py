from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import atariari_data
from atariari_data.errors import MissingExtraError, UnknownNameError, UsageError
from atariari_data.games import Variable, game, game_names
from builders.manifest import load_manifest
from builders.show import FRAMES, episode_of, show, things


def _y(description: str, unit: str = "px") -> Variable:
    return Variable("thing_y", 3, description=description, unit=unit)


@pytest.mark.parametrize(
    ("variable", "pixel"),
    [
        (_y("Row: drawn at value."), 100),
        (_y("Row: its top is drawn at row value - 15; 0 when it is not on the field."), 85),
        (_y("Row: it is drawn from row value - 14 (even value) or value - 13 (odd) down."), 86),
        (_y("Height: drawn at about row 178 - value; 3 at rest."), 78),  # counts from below
        (_y("Row, two lines of the screen a unit (top at 24 + 2 values).", "2 px"), 224),
        (_y("Row, two lines of the screen a unit: drawn at about 2 values.", "2 px"), 200),
    ],
)
def test_annotations_say_where_a_thing_is_drawn(variable: Variable, pixel: int) -> None:
    (thing,) = things([variable])
    assert thing.name == "thing"
    assert thing.y is not None
    assert (thing.y.pixel(100), thing.stated) == (pixel, True)


def test_what_is_not_said_is_the_raw_value_and_marked_so() -> None:
    for variable, pixel in ((_y("Row of it."), 100), (_y("Row of it.", "2 px"), 200), (_y("", ""), 100)):
        (thing,) = things([variable])
        assert thing.y is not None
        assert (thing.y.pixel(100), thing.stated) == (pixel, False)
    assert things([_y("A code that happens to be called so.", "code")]) == []


def test_things_of_real_games() -> None:
    pong = {t.name: t.variables for t in things(game("pong").variables())}
    assert pong == {"player": ("player_y",), "enemy": ("enemy_y",), "ball": ("ball_x", "ball_y")}
    cars = [t for t in things(game("freeway").variables()) if t.name.startswith("enemy_car")]
    assert len(cars) == 10
    assert all(t.row is not None for t in cars), "the rows of the lanes are in words"


@pytest.mark.parametrize("name", game_names())
def test_each_position_belongs_to_one_thing(name: str) -> None:
    variables = game(name).variables()
    paired = [axis for t in things(variables) for axis in t.variables]
    assert len(paired) == len(set(paired))
    assert set(paired) <= {v.name for v in variables}
    for variable in variables:
        if variable.name.endswith(("_x", "_y")) and variable.unit == "px":
            assert variable.name in paired


def test_a_value_that_means_nothing_is_there() -> None:
    (thing,) = things(
        [Variable("a_y", 3, description="Row: drawn at value; 0 or 224 when there is none.", unit="px")]
    )
    assert thing.y is not None
    assert [thing.y.pixel(v) for v in (0, 224, 1)] == [None, None, 1]
    (thing,) = things([Variable("a_x", 3, description="Keeps a value when there is no ball.", unit="px")])
    assert thing.x is not None
    assert thing.x.pixel(0) == 0


def test_a_cross_is_where_the_ball_is() -> None:
    episode = episode_of("pong")
    labels = atariari_data.labels(episode.ram, "pong")
    (ball,) = (t for t in things(game("pong").variables()) if t.name == "ball")
    assert ball.x is not None
    assert ball.y is not None
    seen = 0
    for i, row in enumerate(episode.rows):
        x, y = ball.x.pixel(int(labels["ball_x"][i])), ball.y.pixel(int(labels["ball_y"][i]))
        if x is not None and y is not None and 20 < x < 138 and 36 < y < 190:  # clear of paddles and walls
            assert tuple(row.frame.rgb()[y, x]) == (236, 236, 236)
            seen += 1
    assert seen > 5


def test_the_episode_is_the_longest_of_test_or_the_one_asked_for() -> None:
    splits = load_manifest("pong").configs["pong"].splits
    episode = episode_of("pong")
    assert (episode.split, len(episode.rows)) == ("test", max(e.rows for e in splits["test"].episodes))
    wanted = splits["train"].episodes[0]
    episode = episode_of("pong", wanted.number)
    assert (episode.split, len(episode.rows)) == ("train", wanted.rows)
    assert len(episode.lane_ram) >= len(episode.rows)
    with pytest.raises(UnknownNameError, match="no episode of pong '9999'"):
        episode_of("pong", 9999)


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
    with pytest.raises(UsageError, match="there already"):
        show("pong", file)
    assert file.read_bytes() == before


def test_the_command(tmp_path: Path) -> None:
    code = "from builders.cli import main; main()"
    run = [sys.executable, "-c", code, "show", "Breakout", "--label-set", "anand2019"]
    done = subprocess.run(run, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "breakout.png").stat().st_size > 10_000
    done = subprocess.run(run, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 2
    assert "there already" in done.stderr


def test_without_matplotlib_it_says_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [m for m in sys.modules if m.partition(".")[0] == "matplotlib" or m == "builders.picture"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'atariari\[plots\]'"):
        show("pong", tmp_path / "pong.png")
