"""What is read out of a game: quantities in their units, unknown where their thing is not there."""

from __future__ import annotations

import re

import numpy as np
import numpy.typing as npt
import pytest

from atariari_data.games import game, game_names
from atariari_data.labels import labels
from atariari_data.labels import values_of as values_of_byte
from harness.targets import LEAST_ROWS, MOTION, is_scored, targets_of, values_of


def _values(game_name: str, ram: npt.NDArray[np.uint8]) -> dict[str, npt.NDArray[np.float64]]:
    n = len(ram)
    found = values_of(ram, np.zeros(n, np.int32), np.arange(n, dtype=np.int32), game_name, "v1")
    return {target.name: found[:, t] for t, target in enumerate(targets_of(game_name, "v1"))}


def _set(ram: npt.NDArray[np.uint8], game_name: str, name: str, values: npt.ArrayLike) -> None:
    """Write values of a variable into RAM."""
    variable = next(v for v in game(game_name).variables() if v.name == name)
    table = values_of_byte(variable).tolist()
    ram[:, variable.address] = [table.index(value) for value in np.asarray(values).tolist()]


@pytest.mark.parametrize("name", game_names())
def test_every_game_has_targets_with_names_of_their_own(name: str) -> None:
    targets = targets_of(name, "v1")
    names = [target.name for target in targets]
    assert len(set(names)) == len(names)
    assert all(re.fullmatch(r"[a-z0-9][a-zA-Z0-9_]{0,63}", each) for each in names)
    for target in targets:
        assert (target.period is not None) == (target.kind == "circular")
        assert target.categories
    ram = np.random.default_rng(0).integers(0, 256, (50, 128), np.uint8)
    values = _values(name, ram)
    known = labels(ram, name)
    for variable in game(name).variables():
        if variable.visible and not variable.drawn and variable.unit not in ("bit map", "2 px"):
            there = ~np.isnan(values[variable.name])
            assert np.array_equal(values[variable.name][there], known[variable.name][there])


def test_positions_are_pixels_and_unknown_where_the_thing_is_not_there() -> None:
    ram = np.zeros((4, 128), np.uint8)
    _set(ram, "pong", "ball_y", [0, 100, 104, 200])
    _set(ram, "pong", "ball_x", [60, 60, 66, 70])
    found, units = _values("pong", ram), {t.name: t.unit for t in targets_of("pong", "v1")}
    assert units["ball_y"] == units["ball_y_motion"] == "px"
    drawn = next(v for v in game("pong").variables() if v.name == "ball_y").drawn
    assert drawn is not None
    expected = [drawn.scale * value + drawn.offset for value in (100, 104, 200)]
    assert found["ball_y"][1:].tolist() == expected
    assert found["ball_present"].tolist() == [0, 1, 1, 1]
    assert np.isnan(found["ball_x"][0])


def test_motion_is_that_since_the_row_before_and_a_leap_is_none() -> None:
    ram = np.zeros((4, 128), np.uint8)
    _set(ram, "pong", "ball_y", [100, 104, 100, 200])
    _set(ram, "pong", "ball_x", [60, 60, 66, 70])
    assert _values("pong", ram)["ball_y_motion"][1:3].tolist() == [4, -4]
    assert np.isnan(_values("pong", ram)["ball_y_motion"][[0, 3]]).all()
    apart = values_of(ram, np.arange(4, dtype=np.int32), np.zeros(4, np.int32), "pong", "v1")
    motions = [t for t, target in enumerate(targets_of("pong", "v1")) if target.categories == (MOTION,)]
    assert np.isnan(apart[:, motions]).all()


def test_motion_across_the_edge_of_a_circle_is_short() -> None:
    ram = np.zeros((2, 128), np.uint8)
    _set(ram, "freeway", "enemy_car_x_0", [158, 1])
    assert _values("freeway", ram)["enemy_car_x_0_motion"][1] == 3


def test_a_bit_map_is_one_flag_for_each_bit() -> None:
    ram = np.zeros((2, 128), np.uint8)
    _set(ram, "montezuma_revenge", "inventory", [0b101, 0b010])
    found = _values("montezuma_revenge", ram)
    assert [found[f"inventory_bit_{bit}"].tolist() for bit in range(3)] == [[1, 0], [0, 1], [1, 0]]


@pytest.mark.parametrize(
    ("present", "other", "scored"),
    [
        (1000, 500, True),
        (LEAST_ROWS, 50, True),
        (LEAST_ROWS - 1, 50, False),
        (1000, 99, False),
        (1000, 100, True),
    ],
)
def test_what_is_scored(present: int, other: int, scored: bool) -> None:
    values = np.full(1000, np.nan)
    values[:present] = 7
    values[:other] = 8
    enough = np.asarray(np.arange(1000) % 10, np.float64)
    assert is_scored(values, enough) == is_scored(enough, values) == scored


def test_what_is_there_in_few_rows_of_many_is_not_scored() -> None:
    values = np.full(10_000, np.nan)
    values[:400] = np.arange(400)
    assert not is_scored(values, np.arange(100.0))
