"""The annotation files: the set of 2019 as published, and v1 against the emulator."""

from __future__ import annotations

import csv
import itertools
import math
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from ale_py import Action, ALEInterface, LoggerMode, roms

from atariari_data.games import CATEGORIES, Variable, game, game_names
from atariari_data.labels import labels

V1 = [(name, variable) for name in game_names() for variable in game(name).variables()]
V1_IDS = [f"{name}-{variable.name}" for name, variable in V1]

FIRE = Action.FIRE
FRAMES_A_STEP = 4

Screen = npt.NDArray[np.uint8]


def start(name: str) -> ALEInterface:
    """Return an emulator with the game begun: no-ops, then FIRE where the game has it."""
    ALEInterface.setLoggerMode(LoggerMode.Error)
    ale = ALEInterface()
    ale.setFloat("repeat_action_probability", 0.0)
    ale.setInt("random_seed", 0)
    rom = roms.get_rom_path(name)
    assert rom is not None
    ale.loadROM(rom)
    ale.reset_game()
    for _ in range(20):
        ale.act(Action.NOOP)
    if FIRE in ale.getMinimalActionSet():
        ale.act(FIRE)
    return ale


def step(ale: ALEInterface, action: Action) -> int:
    return sum(ale.act(action) for _ in range(FRAMES_A_STEP))


def random_play(ale: ALEInterface, steps: int, seed: int = 0) -> Iterator[int]:
    """Step with random actions until the game is over, yielding the rewards."""
    rng = np.random.default_rng(seed)
    actions = ale.getMinimalActionSet()[1:]
    for _ in range(steps):
        reward = step(ale, actions[rng.integers(len(actions))])
        if ale.game_over():
            return
        yield reward


@dataclass(frozen=True)
class Play:
    """Random play of one game: a row a step, the first after no action."""

    ram: npt.NDArray[np.uint8]
    earned: list[int]
    lives: list[int]

    def decoded(self, name: str) -> list[dict[str, int]]:
        columns = {variable: values.tolist() for variable, values in labels(self.ram, name).items()}
        return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


# Games that need more than the 300 steps, or another seed than 0, to earn something or to lose a life.
SEED = {"breakout": 1, "battle_zone": 1}


@cache
def play(name: str) -> Play:
    ale = start(name)
    ram, earned, lives = [ale.getRAM().copy()], [0], [ale.lives()]
    for reward in random_play(ale, 300, SEED.get(name, 0)):
        ram.append(ale.getRAM().copy())
        earned.append(earned[-1] + reward)
        lives.append(ale.lives())
    return Play(np.array(ram), earned, lives)


def read(ale: ALEInterface, name: str) -> dict[str, int]:
    return {variable: int(value) for variable, value in labels(ale.getRAM(), name).items()}


def screen(ale: ALEInterface) -> Screen:
    return ale.getScreen().reshape(210, 160).copy()


def box_of_change(before: Screen, after: Screen) -> tuple[int, int]:
    """Return the leftmost column and the top row in which two screens differ."""
    rows, columns = np.nonzero(before != after)
    return int(columns.min()), int(rows.min())


# The set of 2019.


def published() -> dict[tuple[str, str], tuple[int, tuple[str, ...]]]:
    path = Path(__file__).parent / "data" / "anand2019.csv"
    with path.open(encoding="utf-8", newline="") as file:
        return {
            (row["game"], row["variable"]): (
                int(row["address"]),
                tuple(filter(None, row["categories"].split("+"))),
            )
            for row in csv.DictReader(file)
        }


def test_anand2019_is_the_published_table() -> None:
    ours = {
        (name, variable.name): (variable.address, variable.categories)
        for name in game_names()
        if "anand2019" in game(name).label_sets
        for variable in game(name).variables("anand2019")
    }
    assert ours == published()


def test_anand2019_has_308_variables_over_22_games() -> None:
    table = published()
    assert len(table) == 308
    assert len({name for name, _ in table}) == 22


def test_anand2019_takes_bytes_whole() -> None:
    for name in game_names():
        for variable in game(name).label_sets.get("anand2019", ()):
            assert (variable.mask, variable.bcd) == (0xFF, False)


# v1 as data.


def test_v1_has_all_38_games() -> None:
    assert len({name for name, _ in V1}) == 38


@pytest.mark.parametrize("variable", [variable for _, variable in V1], ids=V1_IDS)
def test_v1_variable_says_what_it_is(variable: Variable) -> None:
    assert re.fullmatch(r"[a-z0-9_]+", variable.name)
    assert len(variable.categories) == 1
    assert variable.categories[0] in CATEGORIES
    assert variable.description[0].isupper()
    assert variable.description.endswith(".")
    assert variable.unit
    assert variable.source


@pytest.mark.parametrize(("name", "variable"), V1, ids=V1_IDS)
def test_v1_range_is_what_the_bits_allow(name: str, variable: Variable) -> None:
    low, high = variable.values
    every_byte = np.zeros((256, 128), np.uint8)
    every_byte[:, variable.address] = np.arange(256)
    decoded = labels(every_byte, name)[variable.name]
    # 0xC0, Boxing's knock-out, is no decimal: 120 is the one BCD value over 99.
    assert decoded.min() <= low < high <= decoded.max()


@pytest.mark.parametrize("name", game_names())
def test_v1_decodes_no_bit_twice(name: str) -> None:
    taken = [0] * 128
    for variable in game(name).variables():
        assert taken[variable.address] & variable.mask == 0, variable.name
        taken[variable.address] |= variable.mask


@pytest.mark.parametrize("name", game_names())
def test_codes_have_no_order(name: str) -> None:
    for variable in game(name).variables():
        if variable.unit == "bit map" or "direction" in variable.name or variable.name.endswith("_color"):
            assert not variable.ordered, variable.name


# Decoding.


def decoded_by_hand(byte: int, variable: Variable) -> int:
    """Decode on the written-out digits, where the package computes."""
    if variable.motion:
        fine = int.from_bytes(bytes([byte]), signed=True) // 16
        return (variable.motion[byte % 16] - fine) % 160
    bits = "".join(
        bit for bit, used in zip(f"{byte:08b}", f"{variable.mask:08b}", strict=True) if used == "1"
    )
    if not variable.bcd:
        return math.ceil(int(bits, 2) / variable.step)
    digits = f"{int(bits, 2):02x}"
    return 10 * int(digits[0], 16) + int(digits[1], 16)


@pytest.mark.parametrize("name", game_names())
def test_labels_decode_every_byte(name: str) -> None:
    ram = np.tile(np.arange(256, dtype=np.uint8)[:, None], 128)
    for variable in game(name).variables():
        expected = [decoded_by_hand(byte, variable) % 256 for byte in range(256)]
        assert labels(ram, name)[variable.name].tolist() == expected, variable.name


@pytest.mark.parametrize(
    ("name", "address", "byte", "expected"),
    [
        ("ms_pacman", 120, 0x42, {"score_1s": 42}),
        ("pong", 51, 49, {"player_y": 25}),
        ("pong", 51, 50, {"player_y": 25}),
        ("ms_pacman", 123, 0x52, {"num_lives": 2, "fruit_kind": 5}),
        ("asteroids", 60, 0x4C, {"num_lives": 4, "player_direction": 12}),
        ("asteroids", 89, 0x63, {"player_missile1_time": 6, "player_missile1_direction": 3}),
        ("battle_zone", 30, 0xA2, {"score_10000s": 2, "score_100000s": 10}),
        ("boxing", 18, 0xC0, {"player_score": 120}),
        ("boxing", 16, 0x1B, {"clock_minutes": 1}),
        ("breakout", 12, 0x3F, {"block_bit_map_12": 3}),
        ("frostbite", 108, 0x08, {"player_direction": 1}),
        ("riverraid", 81, 0x58, {"score_1000s": 11}),
        ("video_pinball", 98, 0x20, {"player_left_paddle_y": 2}),
    ],
)
def test_packed_and_decimal_bytes(name: str, address: int, byte: int, expected: dict[str, int]) -> None:
    ram = np.zeros(128, np.uint8)
    ram[address] = byte
    values = labels(ram, name)
    assert {key: int(values[key]) for key in expected} == expected


# v1 against the emulator.


def shown_score(name: str, values: dict[str, int]) -> int:
    """Put the score together from its digits."""
    if "score" in values:
        return values["score"]
    if name in {"boxing", "pong", "tennis"}:
        return values["player_score"] - values["enemy_score"]
    total = 0
    for variable in game(name).variables():
        place = re.fullmatch(r"score_(1(?:0+)?)s", variable.name)
        if place:
            digits = values[variable.name]
            blank = variable.unit == "digit" and digits > 9
            total += int(place[1]) * (0 if blank else digits)
    return total


# Games that earn nothing in 300 random steps: the score is only checked to stay as it is.
NOT_EARNING = {
    "amidar",
    "battle_zone",
    "freeway",
    "gopher",
    "hero",
    "jamesbond",
    "kangaroo",
    "montezuma_revenge",
    "pitfall",
    "private_eye",
    "road_runner",
    "venture",
}


@pytest.mark.parametrize("name", [name for name in game_names() if name not in {"skiing", "tennis"}])
def test_score_follows_the_reward(name: str) -> None:
    rows = play(name).decoded(name)
    scores = [shown_score(name, values) for values in rows]
    assert [score - scores[0] for score in scores] == play(name).earned
    assert any(play(name).earned) or name in NOT_EARNING


def test_tennis_points_follow_the_reward() -> None:
    rows, earned = play("tennis").decoded("tennis"), play("tennis").earned
    first_game = [i for i, v in enumerate(rows) if v["player_games"] + v["enemy_games"] == 0]
    assert [rows[i]["player_score"] - rows[i]["enemy_score"] for i in first_game] == [
        earned[i] for i in first_game
    ]
    assert min(earned) <= -3


def test_skiing_clock_is_the_reward() -> None:
    clocks = [
        6000 * values["clock_minutes"] + 100 * values["clock_seconds"] + values["clock_hundredths"]
        for values in play("skiing").decoded("skiing")
    ]
    assert np.diff(clocks[1:]).tolist() == (-np.diff(play("skiing").earned[1:])).tolist()
    assert clocks[-1] > clocks[1]


PITFALL_LIVES = {10: 3, 8: 2, 0: 1}
ALE_LIVES: dict[str, Callable[[dict[str, int]], int]] = {
    "asteroids": lambda v: v["num_lives"],
    "battle_zone": lambda v: v["num_lives"],
    "berzerk": lambda v: v["num_lives"] + 1,
    "breakout": lambda v: v["num_lives"],
    "demon_attack": lambda v: v["num_lives"] + 1,
    "frostbite": lambda v: v["num_lives"] + 1,
    "gopher": lambda v: v["carrot_left"] + v["carrot_middle"] + v["carrot_right"],
    "hero": lambda v: v["num_lives"],
    "jamesbond": lambda v: v["num_lives"] + 1,
    "kangaroo": lambda v: (v["num_lives"] + 1) % 256,
    "krull": lambda v: v["num_lives"] + 1,
    "kung_fu_master": lambda v: (v["num_lives"] + 1) % 256,
    "montezuma_revenge": lambda v: v["num_lives"] + 1,
    "ms_pacman": lambda v: v["num_lives"] + 1,
    "pitfall": lambda v: PITFALL_LIVES[v["num_lives"]],
    "qbert": lambda v: (v["num_lives"] + 2) % 256,
    "road_runner": lambda v: v["num_lives"] + 1,
    "seaquest": lambda v: v["num_lives"] + 1,
    "space_invaders": lambda v: v["num_lives"],
    "up_n_down": lambda v: v["num_lives"] + 1,
    "venture": lambda v: v["num_lives"] + 1,
    "video_pinball": lambda v: 4 - v["ball_number"],
    "yars_revenge": lambda v: v["num_lives"],
}


# Games in which no life is lost within 300 random steps.
NOT_DYING = {"gopher", "kung_fu_master", "video_pinball"}


@pytest.mark.parametrize("name", ALE_LIVES)
def test_lives_follow_ale(name: str) -> None:
    rows = play(name).decoded(name)
    assert [ALE_LIVES[name](values) for values in rows] == play(name).lives
    assert len(set(play(name).lives)) > 1 or name in NOT_DYING


def test_riverraid_lives_are_the_digit_shown() -> None:
    rows = play("riverraid").decoded("riverraid")
    shown = [values["num_lives"] for values in rows]
    entering = shown.index(3)  # blank until the jet enters
    assert set(shown[:entering]) <= {11}
    assert [digit + 1 for digit in shown[entering:]] == play("riverraid").lives[entering:]
    assert {3, 2} <= set(shown[entering:])


@pytest.mark.parametrize(
    ("name", "variable", "offset"),
    [
        ("bowling", "player_x", 8),
        ("boxing", "player_x", 5),
        ("seaquest", "player_x", 0),
        ("space_invaders", "player_x", -1),
        ("venture", "player_x", -1),
    ],
)
def test_written_column_is_where_it_is_drawn(name: str, variable: str, offset: int) -> None:
    ale = start(name)
    for _ in random_play(ale, 40):
        pass
    address = next(v.address for v in game(name).variables() if v.name == variable)
    state = ale.cloneState()
    ale.act(Action.NOOP)
    before, value = screen(ale), read(ale, name)[variable]
    ale.restoreState(state)
    ale.setRAM(address, int(ale.getRAM()[address]) + 24)
    ale.act(Action.NOOP)
    assert read(ale, name)[variable] > value
    assert abs(box_of_change(before, screen(ale))[0] - (value + offset)) <= 1


def test_space_invaders_row_is_where_the_field_is_drawn() -> None:
    ale = start("space_invaders")
    rows = set()
    for _ in random_play(ale, 400):
        field = np.flatnonzero((screen(ale) == 20).any(axis=1))
        value = read(ale, "space_invaders")["enemies_y"]
        if field.size:
            assert field.min() == 31 + 2 * value
            rows.add(value)
    assert len(rows) > 1


def test_demon_attack_player_is_where_it_is_drawn() -> None:
    ale = start("demon_attack")
    off = []
    for _ in random_play(ale, 45):  # the first life
        column = read(ale, "demon_attack")["player_x"]
        drawn = np.flatnonzero((screen(ale)[174:186] == 86).any(axis=0))
        if drawn.size:
            off.append(int(drawn.min()) - column)
    # The last frames show how the cannon explodes.
    assert len(off) > 30
    assert np.mean(np.array(off) == 0) > 0.9


def test_tennis_agent_side_names_the_player_that_the_joystick_moves() -> None:
    ale = start("tennis")
    sides = set()
    for count, _ in enumerate(random_play(ale, 480)):
        if count % 12:
            continue
        state = ale.cloneState()
        branches = []
        for action in (Action.LEFT, Action.RIGHT):
            ale.restoreState(state)
            for _ in range(6):
                step(ale, action)
            branches.append(read(ale, "tennis"))
        ale.restoreState(state)
        left, right = branches
        upper = left["upper_player_x"] != right["upper_player_x"]
        lower = left["lower_player_x"] != right["lower_player_x"]
        if upper != lower and left["agent_side"] == right["agent_side"]:
            assert left["agent_side"] == (0 if upper else 1)
            sides.add(left["agent_side"])
    assert sides == {0, 1}  # they change ends after the first game


def test_frostbite_player_faces_where_it_moves() -> None:
    ale = start("frostbite")
    agree = disagree = mirrored = 0
    address = next(v.address for v in game("frostbite").variables() if v.name == "player_direction")
    before = read(ale, "frostbite")["player_x"]
    for count, _ in enumerate(random_play(ale, 300)):
        values = read(ale, "frostbite")
        moved = values["player_x"] - before
        before = values["player_x"]
        if 0 < abs(moved) < 10:
            agree += (moved < 0) == (values["player_direction"] == 1)
            disagree += (moved < 0) != (values["player_direction"] == 1)
        if count % 30 == 0:
            state = ale.cloneState()
            ale.act(Action.NOOP)
            drawn = screen(ale)
            ale.restoreState(state)
            ale.setRAM(address, int(ale.getRAM()[address]) ^ 0x08)
            ale.act(Action.NOOP)
            mirrored += bool((screen(ale) != drawn).any())
            ale.restoreState(state)
    assert agree > 30
    assert disagree <= agree / 10
    assert mirrored >= 2  # not every picture of the player has a side


def test_berzerk_faces_left_by_the_one_bit_that_is_drawn() -> None:
    byte = next(v.address for v in game("berzerk").variables() if v.name == "player_direction")
    moves: dict[int, list[int]] = {0: [], 1: []}
    drawn = set()
    for seed in range(4):  # a game is soon over
        ale = start("berzerk")
        before = read(ale, "berzerk")["player_x"]
        for count, _ in enumerate(random_play(ale, 300, seed)):
            values = read(ale, "berzerk")
            moved = values["player_x"] - before
            before = values["player_x"]
            if 0 < abs(moved) < 10:
                moves[values["player_direction"]].append(moved)
            if count % 50 == 0:
                state = ale.cloneState()
                pictures = []
                for written in (0, *(1 << bit for bit in range(8))):
                    ale.restoreState(state)
                    ale.setRAM(byte, int(ale.getRAM()[byte]) ^ written)
                    step(ale, Action.NOOP)
                    pictures.append(screen(ale))
                ale.restoreState(state)
                drawn |= {bit for bit, picture in enumerate(pictures[1:]) if (picture != pictures[0]).any()}
    assert drawn == {2}
    right, left = (np.array(moves[faces_left]) > 0 for faces_left in (0, 1))
    assert min(len(right), len(left)) > 10
    assert right.mean() > 0.8
    assert left.mean() < 0.2


def test_battle_zone_treads_and_mountains_move_a_pixel_a_unit_and_come_round() -> None:
    ale = start("battle_zone")
    for _ in random_play(ale, 40):
        pass
    state = ale.cloneState()
    variables = {v.name: v for v in game("battle_zone").variables()}

    def drawn(name: str, value: int) -> Screen:
        ale.restoreState(state)
        ale.setRAM(variables[name].address, value)
        step(ale, Action.NOOP)
        return screen(ale)

    for name, columns in (("left_tread_position", slice(20, 48)), ("right_tread_position", slice(112, 140))):
        assert variables[name].period == 8
        treads = [drawn(name, value)[158:177, columns] for value in range(256)]
        assert len({tread.tobytes() for tread in treads}) == 8
        for value, tread in enumerate(treads):
            np.testing.assert_array_equal(tread, treads[value % 8])
        inside = np.s_[4:-4, 12:16]  # the slanted ends of the bands do not move
        for one, two in itertools.pairwise(treads[:9]):
            np.testing.assert_array_equal(two[inside], np.roll(one, 1, axis=0)[inside])

    assert variables["angle_of_tank"].period == 160
    mountains = [drawn("angle_of_tank", value)[60:74] for value in (0, 80)]
    apart = [np.mean(np.roll(mountains[0], by, axis=1) != mountains[1]) for by in range(160)]
    assert np.argmin(apart) == 80


@pytest.mark.parametrize("name", game_names())
def test_values_stay_in_range(name: str) -> None:
    values = labels(play(name).ram, name)
    for variable in game(name).variables():
        low, high = variable.values
        assert low <= values[variable.name].min()
        assert values[variable.name].max() <= high
