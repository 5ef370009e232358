"""Where things are on the screen: from labels to pixels, and whether something is drawn there."""

import numpy as np
import pytest

import atariari_data
from atariari_data import game, game_names, positions
from atariari_data.errors import UsageError
from atariari_data.games import Drawn, Variable
from atariari_data.positions import things
from builders.episode import episode_of


def _row(drawn: Drawn | None, unit: str = "px") -> Variable:
    return Variable("thing_y", 3, drawn=drawn, unit=unit)


@pytest.mark.parametrize(
    ("variable", "pixel", "stated"),
    [
        (_row(Drawn()), 100, True),
        (_row(Drawn(offset=-15)), 85, True),
        (_row(Drawn(scale=-1, offset=178)), 78, True),
        (_row(Drawn(scale=2, offset=24), "2 px"), 224, True),
        (_row(Drawn(scale=2, offset=22, negative=101), "2 px"), 222, True),
        (_row(Drawn(scale=2, offset=22, negative=100), "2 px"), -290, True),
        (_row(None), 100, False),
        (_row(None, "2 px"), 200, False),
    ],
)
def test_a_value_becomes_a_pixel(variable: Variable, pixel: int, stated: bool) -> None:
    (thing,) = things([variable])
    assert (thing.name, thing.stated) == ("thing", stated)
    column, row = thing.places({"thing_y": np.array([100], np.uint8)})[0]
    assert np.isnan(column)
    assert row == pixel


def test_what_is_no_position_is_no_thing() -> None:
    assert things([Variable("a_y", 3, unit="code", description="A code that happens to be called so.")]) == []


def test_a_thing_that_is_not_there_is_nowhere() -> None:
    (thing,) = things([Variable("a_x", 3, unit="px"), _absent("a_y")])
    values = {"a_x": np.array([7, 7, 7], np.uint8), "a_y": np.array([0, 224, 1], np.uint8)}
    expected = np.array([[np.nan] * 2, [np.nan] * 2, [7, 1]])
    assert np.array_equal(thing.places(values), expected, equal_nan=True)


def _absent(name: str) -> Variable:
    return Variable(name, 4, unit="px", drawn=Drawn(absent=(0, 224)))


def test_things_of_real_games() -> None:
    pong = {t.name: t.variables for t in things(game("pong").variables())}
    assert pong == {"player": ("player_y",), "enemy": ("enemy_y",), "ball": ("ball_x", "ball_y")}
    cars = positions(np.zeros((2, 3, 128), np.uint8), "freeway")
    rows = [place[1, 2, 1] for name, place in cars.items() if name.startswith("enemy_car")]
    assert rows == [171, 155, 139, 123, 107, 91, 75, 59, 43, 27], "cars keep to their lanes"
    assert all(place.shape == (2, 3, 2) and place.dtype == np.float32 for place in cars.values())


@pytest.mark.parametrize("name", game_names())
def test_each_position_belongs_to_one_thing(name: str) -> None:
    variables = game(name).variables()
    paired = [axis for t in things(variables) for axis in t.variables]
    assert len(paired) == len(set(paired))
    for variable in variables:
        if variable.drawn or (variable.name.endswith(("_x", "_y")) and variable.unit == "px"):
            assert variable.name in paired


def test_bytes_that_are_no_ram_are_refused() -> None:
    with pytest.raises(UsageError, match="Not the RAM"):
        positions(np.zeros(64, np.uint8), "pong")


def test_the_ball_is_where_it_is_said_to_be() -> None:
    episode = episode_of("pong")
    ball = atariari_data.positions(episode.ram, "PongNoFrameskip-v4")["ball"]
    seen = 0
    for (x, y), row in zip(ball, episode.rows, strict=True):
        if 20 < x < 138 and 36 < y < 190:  # there, and clear of paddles and walls
            assert tuple(row.frame.rgb()[int(y), int(x)]) == (236, 236, 236)
            seen += 1
    assert seen > 5
