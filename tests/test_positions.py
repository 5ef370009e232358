"""Where things are on the screen: from labels to pixels, and whether something is drawn there."""

import numpy as np
import numpy.typing as npt
import pytest

import atariari_data
from atariari_data import game, game_names, positions, presence
from atariari_data.errors import DataError, UsageError
from atariari_data.games import Condition, Drawn, OffsetBy, Variable, parse
from atariari_data.positions import present, things
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
    column, row = thing.places(_ram({3: 100}))[0]
    assert np.isnan(column)
    assert row == pixel


def test_what_is_no_position_is_no_thing() -> None:
    assert things([Variable("a_y", 3, unit="code", description="A code that happens to be called so.")]) == []


def test_a_thing_that_is_not_there_is_nowhere() -> None:
    variables = [Variable("a_x", 3, unit="px"), _absent("a_y")]
    (thing,) = things(variables)
    ram = _ram({3: 7, 4: 0}, {3: 7, 4: 224}, {3: 7, 4: 1})
    expected = np.array([[np.nan] * 2, [np.nan] * 2, [7, 1]])
    assert np.array_equal(thing.places(ram), expected, equal_nan=True)
    found = present(variables, ram)
    assert {name: there.tolist() for name, there in found.items()} == {
        "a_x": [False, False, True],
        "a_y": [False, False, True],
    }


def test_a_thing_is_there_in_any_of_its_cases_if_all_conditions_of_it_hold() -> None:
    cases = ((Condition(3, (1,)), Condition(66, (1,), mask=0x02)), (Condition(3, (5, 6)),))
    variables = [
        Variable("skull_x", 47, unit="px", drawn=Drawn(), there=cases),
        Variable("skull_y", 46, unit="px", drawn=Drawn()),
        Variable("turn", 62, unit="code", there=cases),
        Variable("lives", 58, unit="lives"),
    ]
    ram = _ram({3: 1, 66: 2}, {3: 1, 66: 253}, {3: 5}, {3: 6, 66: 2}, {3: 2, 66: 2})
    found = present(variables, ram)
    there = [True, False, True, True, False]
    for name in ("skull_x", "skull_y", "turn"):
        assert found[name].tolist() == there, name
    assert found["lives"].all()
    (thing,) = things(variables)
    assert (~np.isnan(thing.places(ram)).any(axis=1)).tolist() == there
    assert {name: bool(value) for name, value in present(variables, ram[0]).items()} == dict.fromkeys(
        found, True
    )


def test_the_offset_may_depend_on_another_byte() -> None:
    by = OffsetBy(9, ((5, 30), (7, -4)), mask=0xF0)
    (thing,) = things([Variable("a_x", 3, unit="px", drawn=Drawn(scale=-1, offset=100, by=by))])
    ram = _ram({3: 10, 9: 0x50}, {3: 10, 9: 0x7F}, {3: 10, 9: 0x05})
    assert thing.places(ram)[:, 0].tolist() == [20, -14, 90]
    assert thing.places(ram[1])[0] == -14


_HEAD = b"""title = "Game"
[v1.a_x]
address = 3
category = "misc"
description = "A."
unit = "px"
"""


def test_conditions_are_read_from_the_file() -> None:
    text = b"""there = [{ address = 3, values = [1, [5, 7]] }, { address = 66, mask = 0x0C, absent = [0, 3] }]
drawn = { offset = 4, absent = [0, [250, 252]], by = { address = 3, offsets = { 5 = 6, 7 = -8 } } }
"""
    (variable,) = parse("game", _HEAD + text, cure="").variables()
    assert variable.there == ((Condition(3, (1, 5, 6, 7)), Condition(66, (1, 2), mask=0x0C)),)
    assert variable.drawn == Drawn(offset=4, absent=(0, 250, 251, 252), by=OffsetBy(3, ((5, 6), (7, -8))))
    text = b"there = [[{ address = 3, values = [1] }], [{ address = 4, values = [2] }]]\n"
    (variable,) = parse("game", _HEAD + text, cure="").variables()
    assert variable.there == ((Condition(3, (1,)),), (Condition(4, (2,)),))


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("there = []", "no conditions"),
        ("there = [[]]", "no conditions"),
        ("there = [{ address = 3 }]", "either values or absent"),
        ("there = [{ address = 3, values = [1], absent = [2] }]", "either values or absent"),
        ("there = [{ address = 3, values = [] }]", "always or never"),
        ("there = [{ address = 3, values = [[0, 255]] }]", "always or never"),
        ("there = [{ address = 3, mask = 1, absent = [0, 1] }]", "always or never"),
        ("there = [{ address = 128, values = [1] }]", "address 128 is not in 0..127"),
        ("there = [{ address = 3, mask = 0, values = [1] }]", "mask 0 is not in"),
        ("there = [{ address = 3, mask = 2, values = [2] }]", "2 is not a value or a range in 0..1"),
        ("there = [{ address = 3, values = [[7, 5]] }]", "not a value or a range"),
        ("there = [{ address = 3, values = [1.5] }]", "not a value or a range"),
        ("there = [{ address = 3, values = [1, [0, 2]] }]", "stated twice"),
        ("there = [{ address = 3, values = [1], room = 5 }]", "room"),
        ("there = [{ values = [1] }]", "address"),
        ("there = [3]", "cannot be read"),
        ("drawn = { absent = [256] }", "not a value or a range"),
        ("drawn = { by = { address = 3, offsets = {} } }", "not a table of integers"),
        ("drawn = { by = { address = 3, offsets = { 5 = 1.5 } } }", "not a table of integers"),
        ("drawn = { by = { address = 3, mask = 1, offsets = { 5 = 1 } } }", "5 is not a value"),
        ("drawn = { by = { address = 300, offsets = { 5 = 1 } } }", "address 300"),
        ("drawn = { by = { address = 3 } }", "offsets"),
        ("drawn = { by = { address = 3, mask = 0, offsets = { 5 = 1 } } }", "mask 0"),
        ("drawn = { by = { address = 3, offsets = [1] } }", "cannot be read"),
        ('drawn = { scale = "a" }', "not numbers"),
        ("step = 1.5", "not an integer"),
        ("period = 2.5", "not an integer"),
        ("mask = 1.5", "mask 1.5"),
    ],
)
def test_conditions_that_cannot_be_are_refused(text: str, match: str) -> None:
    with pytest.raises(DataError, match=match):
        parse("game", _HEAD + text.encode(), cure="")


@pytest.mark.parametrize("text", ["title = 3", 'title = "Game"\nv1 = 3', 'title = "Game"\nv1 = [1]'])
def test_a_file_that_is_no_annotation_is_refused(text: str) -> None:
    with pytest.raises(DataError, match="cannot be read"):
        parse("game", text.encode(), cure="")


@pytest.mark.parametrize("name", game_names())
def test_presence_of_every_game_agrees_with_its_positions(name: str) -> None:
    ram = np.random.default_rng(0).integers(256, size=(50, 128), dtype=np.uint8)
    found, places = presence(ram, name), positions(ram, name)
    assert list(found) == [variable.name for variable in game(name).variables()]
    for thing in things(game(name).variables()):
        assert all(np.array_equal(found[variable], thing.present(ram)) for variable in thing.variables)
        if thing.stated:
            assert np.array_equal(~np.isnan(places[thing.name]).all(axis=-1), thing.present(ram))
    if "anand2019" in game(name).label_sets:
        assert all(there.all() for there in presence(ram, name, "anand2019").values())


def _ram(*rows: dict[int, int]) -> npt.NDArray[np.uint8]:
    ram = np.zeros((len(rows), 128), np.uint8)
    for i, row in enumerate(rows):
        ram[i, [*row]] = [*row.values()]
    return ram


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
