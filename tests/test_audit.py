"""The audit: each way of looking, on cases with a known answer, and the command on real games."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

import atariari_data
from atariari_data.errors import AtariariError
from atariari_data.evidence import evidence
from atariari_data.games import Drawn, Game, Variable, game, suites
from atariari_data.labels import values_of
from builders import units
from builders.audit import facts, places, visibility
from builders.audit.audit import Budget, audit
from builders.audit.branches import Branches
from builders.audit.cause import Axis, Cause, Movement, cause, states_of
from builders.audit.claims import Seen, disputes, moves_beside, seen
from builders.audit.deep import deep, moves_by_place, moves_where_absent
from builders.audit.features import features
from builders.audit.information import best_lag, coverage, same_bytes, unknown_given
from builders.audit.play import Play
from builders.audit.verdict import OF_CONCERN, VERDICTS, verdict
from builders.cli.main import cli
from builders.digest import bytes_digest
from builders.emulator import FIRE, NOOP
from builders.episode import episode_of
from builders.freeze import replayed_content
from builders.spread import Task
from tools import audit_page as page

SHIPPED = Path(atariari_data.__file__).parent / "manifests"
PROBED = {
    file.stem: {name: of["probed"] for name, of in json.loads(file.read_text())["label_sets"]["v1"].items()}
    for file in SHIPPED.glob("*.json")
}
SMALL = Budget(rows=800, shown=480, search=300, states=12)


def _screens(columns: list[int], rows: list[int]) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """Draw a block of 8 x 6 pixels on a ground of stripes."""
    screens = np.tile((np.arange(210) // 40).astype(np.uint8)[:, None], (len(columns), 1, 160))
    for screen, x, y in zip(screens, columns, rows, strict=True):
        screen[y : y + 6, x : x + 8] = 77
    return screens


def test_the_scale_and_the_place_of_what_moves() -> None:
    values = np.array([10, 20, 33, 40, 55, 60])
    found = places.masks(_screens([int(v) + 30 for v in values], [200 - 2 * int(v) for v in values]))
    assert found is not None
    moved = places.shifts(found, values)
    assert places.scale_of(moved.units, moved.x) == (1.0, 1.0)
    assert places.scale_of(moved.units, moved.y) == (-2.0, 1.0)
    profile = (places.profiles(found)["x"] > 0).astype(float)
    average = places.aligned(profile, values, np.ones(6), 1.0)
    assert places.run(average, 1.0, 160) == (30, 8, 1.0)


def test_screens_that_are_the_same_show_nothing_that_moves() -> None:
    assert places.masks(_screens([5, 5], [9, 9])) is None


def test_a_thing_is_seen_in_play_where_it_is_drawn() -> None:
    generator = np.random.default_rng(0)
    x, y = generator.integers(0, 120, 600), generator.integers(40, 160, 600)
    asked = features(_screens(x.tolist(), y.tolist()))
    claim = Variable("thing_x", 0, drawn=Drawn(offset=20))
    found = seen(claim, (x - 20 + 100).astype(np.uint8), asked)
    assert found is not None
    assert (found.axis, found.scale, found.offset, found.size) == ("x", 1.0, -80, 8)
    assert found.lift > 0.5
    assert found.claimed is not None
    assert found.claimed < 0.1
    right = replace(claim, drawn=Drawn(offset=-80))
    again = seen(right, (x + 80).astype(np.uint8), asked)
    assert again is not None
    assert again.claimed == again.lift


def test_entropies_have_the_known_values() -> None:
    generator = np.random.default_rng(1)
    given = generator.integers(0, 4, 20_000).astype(np.uint8)
    noise = generator.integers(0, 8, 20_000).astype(np.uint8)
    assert unknown_given(given, given) == 0
    assert unknown_given(noise, given) == pytest.approx(np.log(8), abs=0.01)
    assert unknown_given(given * 2 + noise % 2, given) == pytest.approx(np.log(2), abs=0.01)


def test_coverage_names_what_was_never_met() -> None:
    met = coverage(np.array([2, 3, 7, 200], np.uint8), (0, 10))
    assert (met.count, met.low, met.high) == (4, 2, 200)
    assert met.never == ((0, 1), (4, 6), (8, 10))
    assert met.outside == 0.25


def test_a_byte_that_holds_the_same_is_found() -> None:
    generator = np.random.default_rng(2)
    ram = generator.integers(0, 256, (3000, 128)).astype(np.uint8)
    ram[:, 5] = ram[:, 9] % 16
    ram[:, 7] = 255 - ram[:, 5]
    found = same_bytes(ram[:, 5], ram, 5)
    assert [s.byte for s in found] == [7, 9]
    assert found[0].of_byte == pytest.approx(1)
    assert found[1].of_byte < 0.6


def test_of_two_lags_that_fit_the_same_the_nearer_counts() -> None:
    assert best_lag([0.5, 0.99, 1.0], [-1, 0, 1]) == 0
    assert best_lag([0.5, 0.8, 1.0], [-1, 0, 1]) == 1


def test_deep_states_come_from_every_room() -> None:
    found = deep("private_eye", Branches("private_eye", 0), steps=1500, seed=0, states=40)
    rooms = {found.place(ram) for ram in found.ram}
    assert len(rooms) > 1
    console = Branches("private_eye", 0)
    chosen = []
    for state in found.states:
        console.go_back(state)
        chosen.append(found.place(np.frombuffer(console.ram(), np.uint8)))
    assert len(chosen) <= 40
    assert set(chosen) == rooms


def test_deep_states_are_those_that_were_recorded() -> None:
    console = Branches("pong", 0)
    found = deep("pong", console, steps=1, seed=0, states=3)
    recorded = {ram.tobytes() for ram in replayed_content("pong_deep", num_proc=1).ram}
    assert {ram.tobytes() for ram in found.ram} == recorded
    for state in found.states:
        console.go_back(state)
        assert console.ram() in recorded
    assert found.place(found.ram[0]) == ""


def test_what_writes_do_is_told_by_room_and_where_the_thing_is_absent() -> None:
    by_state = np.array([[4, 4], [4, 2], [4, 0], [4, 1]])
    found = Cause(16, 0.5, 0.5, by_state, 1, 1, 0.0, (), None)
    there = np.array([True, True, False, False])
    assert moves_by_place(found, ["room 1", "room 2", "room 2", "room 3"], there) == {
        "room 1": {"states": 1, "there": 1, "changed": 1.0},
        "room 2": {"states": 2, "there": 1, "changed": 0.5},
        "room 3": {"states": 1, "there": 0, "changed": None},
    }
    assert moves_by_place(found, [""] * 4, there) == {}
    assert moves_where_absent(found, ~there) == {"states": 2, "writes": 8, "changed": 0.125}
    assert moves_where_absent(found, np.zeros(4, np.bool_)) is None


def test_the_joystick_is_held_and_tapped() -> None:
    """In Private Eye a jump wants the button let go between two presses."""
    console = Branches("private_eye", 0)
    console.reset()
    console.act(NOOP, 100)
    console.act(FIRE, 30)
    idle = console.keep()
    row = next(v.address for v in game("private_eye").variables() if v.name == "agent_y")
    ram = facts.controlled(console, [idle])
    held, tapped = ram[:, 1::2, :, row], ram[:, 2::2, :, row]
    assert ram.shape[2:] == (4, 128)
    assert facts.control(np.concatenate([ram[:, :1, :, row], tapped], axis=1))[0] == 1
    assert np.unique(tapped).size > np.unique(held).size


def test_states_in_which_a_thing_is_not_there_do_not_count() -> None:
    console = Branches("pong", 0)
    console.reset()
    console.act(NOOP, 100)
    kept = [console.keep()]
    console.act(NOOP, 60)
    kept.append(console.keep())
    states = states_of(console, kept)
    ball = next(v for v in game("pong").variables() if v.name == "ball_x")
    rest = (ball, values_of(ball), [60, 100, 140])
    first, some = cause(console, states[:1], *rest), cause(console, states, *rest, np.array([True, False]))
    assert (some.writes, some.changed, some.changed_states) == (
        first.writes,
        first.changed,
        first.changed_states,
    )
    assert cause(console, states, *rest, np.array([False, False])).writes == 6


def test_how_often_the_joystick_counts() -> None:
    values = np.zeros((4, 3, 2), np.uint8)
    values[0, 1, 1] = 5
    values[1, 2, 0] = 5
    assert facts.control(values) == (0.5, 0.25)
    assert facts.control(values[:0]) == (0.0, 0.0)


def _facts_of(variable: Variable, values: np.ndarray[Any, Any], play: Play, moved: facts.Moved) -> list[str]:
    own = values.astype(np.uint8)
    return list(facts.contradictions(variable, own, own, coverage(own, variable.values), play, moved))


def _play(rows: int, lost: np.ndarray[Any, Any] | None = None) -> Play:
    none, screens = np.zeros(rows), np.zeros((0, 210, 160), np.uint8)
    return Play(
        ram=np.zeros((rows, 128), np.uint8),
        episode=np.zeros(rows, np.int32),
        step=np.arange(rows, dtype=np.int32),
        gained=none,
        lost=none if lost is None else lost,
        lives=np.zeros(rows, np.uint8),
        shown=np.zeros(0, np.intp),
        pooled=screens,
        last=screens,
        states=[],
        at=np.zeros(0, np.intp),
    )


@pytest.mark.parametrize(
    ("moved", "disputed"),
    [
        (facts.Moved(0.05, 0.05, 0.0), True),
        (facts.Moved(0.9, 0.1, 0.8), True),
        (facts.Moved(0.9, 0.1, 0.1), False),
        (facts.Moved(0.9, 0.6, 0.8), False),
        (facts.Moved(0.4, 0.0, 0.8), False),
    ],
    ids=["not moved", "follows", "slow as all else", "at once", "seldom"],
)
def test_the_agents_place_answers_the_joystick(moved: facts.Moved, disputed: bool) -> None:
    player = Variable("player_x", 0, values=(0, 159), categories=("agent_localization",))
    assert bool(_facts_of(player, np.arange(50), _play(50), moved)) is disputed


def test_a_score_that_falls_from_its_start_is_no_contradiction() -> None:
    """Private Eye begins with 1000 points and takes some away."""
    lost = np.repeat([0.0, 100.0, 300.0, 700.0], 25)
    thousands = Variable("score_1000s", 0, unit="points", values=(0, 99))
    right, wrong = (1050 - lost) // 1000, (2050 - lost) // 1000
    still = facts.Moved(0.0, 0.0, 0.0)
    assert _facts_of(thousands, right, _play(100, lost), still) == []
    assert _facts_of(thousands, 2 - wrong, _play(100, lost), still)


def _moved(offset: int, second: int | None = None) -> Movement:
    """Return what writing 20 values into 10 states moves: a block of 8 pixels, and perhaps another one."""
    value = np.tile(np.arange(20, 60, 2), 10)
    profile = np.zeros((200, 160), np.bool_)
    for row, v in zip(profile, value, strict=True):
        for start in (offset, second):
            if start is not None:
                row[v + start : v + start + 8] = True
    average = places.aligned(profile.astype(float), value, np.ones(200), 1.0)
    run = places.run(average, 1.0, 160)
    assert run is not None
    along = Axis(1.0, 1.0, run[0], run[1], average)
    rows = np.zeros((200, 210), np.bool_)
    rows[:, 90:100] = rows[:, 180:182] = True
    across = Axis(0.0, 1.0, None, None, np.zeros(1))
    return Movement(900, along, across, np.repeat(np.arange(10), 20), {"x": profile, "y": rows})


@pytest.mark.parametrize(
    ("drawn", "row", "movement", "words"),
    [
        (Drawn(offset=30), 90, _moved(30), ""),
        (Drawn(offset=35), 90, _moved(30), ""),
        (Drawn(offset=10), 90, _moved(30), r"from x = 1 value \+30, not \+10"),
        (Drawn(offset=10, copies=(20,)), 90, _moved(30), ""),
        (Drawn(offset=10), 90, _moved(30, 10), ""),
        (Drawn(scale=2, offset=30), 90, _moved(30), "it moves 1 pixels a unit"),
        (Drawn(offset=30), 175, _moved(30), ""),
        (Drawn(offset=30), 130, _moved(30), "31 pixels from thing_x's thing"),
    ],
)
def test_where_writing_moves_it_is_compared_with_where_it_is_said_to_be(
    drawn: Drawn, row: int, movement: Movement, words: str
) -> None:
    others = np.tile(np.array([np.nan, row], np.float32), (10, 1))
    found = list(disputes(Variable("thing_x", 0, drawn=drawn), 3.0, movement, None, others))
    assert re.search(words, "; ".join(found)) if words else found == []


@pytest.mark.parametrize(("row", "stands"), [(90, True), (97, True), (130, False)])
def test_a_place_of_which_nothing_is_seen_is_confirmed_by_what_the_other_place_moves(
    row: int, stands: bool
) -> None:
    others = np.tile(np.array([np.nan, row], np.float32), (10, 1))
    assert moves_beside(Variable("thing_x", 0), _moved(30), others) == stands
    unseen = Seen("y", 1.0, 0, 8, 20, 0, 0.01, 0.01)
    place = Variable("thing_y", 1, drawn=Drawn())
    assert (list(disputes(place, 3.0, None, unseen, None, beside=stands)) == []) == stands


@pytest.mark.parametrize(
    ("values", "disputed"),
    [
        (np.arange(50) % 60, False),
        (59 - np.arange(50) % 60, False),
        (np.arange(0, 100, 2) % 60, False),
        (np.arange(50) % 2, True),
        (np.arange(50) * 7 % 60, True),
        (np.repeat(np.arange(40), 15) % 60, False),
        (np.repeat(np.arange(30), np.arange(1, 61, 2)), True),
    ],
    ids=["up", "down", "with penalties", "to and fro", "by leaps", "slowly", "when it likes"],
)
def test_a_clock_goes_one_way(values: np.ndarray[Any, np.dtype[np.int64]], disputed: bool) -> None:
    clock = Variable("clock_seconds", 0, unit="s", values=(0, 59))
    assert bool(_facts_of(clock, values, _play(len(values)), facts.Moved(0.0, 0.0, 0.0))) is disputed


@pytest.fixture(scope="module")
def pong() -> dict[str, Any]:
    return audit(game("pong"), "v1", SMALL)


def test_pong_s_ball_moves_when_it_is_written(pong: dict[str, Any]) -> None:
    ball = pong["variables"]["ball_x"]
    assert ball["cause"]["changed"] > 0.3
    assert ball["cause"]["movement"]["x"]["scale"] == 1
    assert ball["cause"]["movement"]["x"]["offset"] == pytest.approx(-49, abs=2)
    assert pong["variables"]["enemy_score"]["cause"]["changed"] > 0.9


def test_pong_s_paddles_are_seen_in_play(pong: dict[str, Any]) -> None:
    for name, scale, offset in (("player_y", 2, -14), ("enemy_y", 1, -15)):
        found = pong["variables"][name]
        assert (found["in_play"]["axis"], found["in_play"]["scale"]) == ("y", scale)
        assert found["in_play"]["offset"] == pytest.approx(offset, abs=3)
        assert found["alignment"]["lag_steps"] == 0


def test_of_pong_s_paddles_writing_moves_one(pong: dict[str, Any]) -> None:
    assert pong["variables"]["player_y"]["cause"]["changed"] < 0.1
    assert pong["variables"]["enemy_y"]["cause"]["changed"] > 0.5
    assert pong["variables"]["player_y"]["cause"]["joystick"] > 0.9
    assert pong["variables"]["enemy_y"]["cause"]["joystick_at_once"] < 0.3


def test_nothing_disputes_pong(pong: dict[str, Any]) -> None:
    found = {name: v["verdict"] for name, v in pong["variables"].items()}
    del found["player_score"]  # constant in so few rows
    assert set(found.values()) <= set(VERDICTS) - set(OF_CONCERN), found
    paddle = pong["variables"]["player_y"]["visibility"]
    assert 0 <= paddle["at_least"] <= paddle["one"]["left"]
    assert paddle["one"]["left"] <= paddle["without"]


def _rows(
    seed: int, rows: int = 2400
) -> tuple[np.ndarray[Any, np.dtype[np.uint8]], np.ndarray[Any, np.dtype[np.uint8]], visibility.Parts]:
    """Return a variable of eight values, its three bits and 20 coins as answers, and the cut."""
    generator = np.random.default_rng(seed)
    values = generator.integers(0, 8, rows).astype(np.uint8)
    bits = (values[:, None] >> np.arange(3)) & 1
    coins = generator.integers(0, 2, (rows, 20))
    asked = np.concatenate([bits, coins], axis=1).astype(np.uint8)
    return values, asked, visibility.parts(np.repeat(np.arange(24), rows // 24).astype(np.int32), 0)


@pytest.mark.parametrize(
    ("hidden", "left"),
    [((), 0.0), ((0,), np.log(2)), ((0, 1), np.log(4)), ((0, 1, 2), np.log(8))],
    ids=["visible", "one bit hidden", "two bits hidden", "invisible"],
)
def test_what_stays_unknown_is_what_is_hidden(hidden: tuple[int, ...], left: float) -> None:
    values, asked, cut = _rows(3)
    asked[:, hidden] = 0
    chosen = visibility.questions(values, asked, cut.train)
    found = visibility.guess(values, visibility.earlier(asked, chosen, ()), cut)
    assert found.left == pytest.approx(left, abs=0.12)
    assert found.left >= left - 0.03, "never less than the truth, but for chance"
    assert visibility.at_least(values, asked[:, :3] @ np.array([1, 2, 4])) == pytest.approx(left, abs=0.03)


def test_noise_leaves_what_it_hides() -> None:
    generator = np.random.default_rng(4)
    shown, _, cut = _rows(5)
    noisy = np.where(generator.random(len(shown)) < 0.3, generator.integers(0, 8, len(shown)), shown)
    asked = ((shown[:, None] >> np.arange(3)) & 1).astype(np.uint8)
    right, wrong = 0.7 + 0.3 / 8, 0.3 / 8
    truth = -right * np.log(right) - 7 * wrong * np.log(wrong)
    values = noisy.astype(np.uint8)
    found = visibility.guess(values, asked.astype(np.float32), cut)
    assert truth - 0.1 < found.left < truth + 0.25
    assert visibility.at_least(values, shown.astype(np.intp)) == pytest.approx(truth, abs=0.05)


def test_rows_with_equal_pixels_and_other_labels_are_named() -> None:
    pairs = visibility.examples(np.array([5, 9, 5, 1], np.uint8), np.array([0, 1, 1, 0]))
    assert sorted(pairs) == [(2, 1), (3, 0)]


def test_a_thing_s_place_is_read_off_a_template() -> None:
    generator = np.random.default_rng(6)
    x, y = generator.integers(10, 130, 1200), generator.integers(40, 160, 1200)
    asked = features(_screens(x.tolist(), y.tolist()))
    found = seen(Variable("thing_x", 0), x.astype(np.uint8), asked)
    assert found is not None
    cut = visibility.parts(np.repeat(np.arange(12), 100).astype(np.int32), 0)
    place = visibility.placed(
        found, x.astype(np.uint8), getattr(asked, found.axis)[:, found.colour], cut.train
    )
    guess = visibility.guess(x.astype(np.uint8), np.zeros((1200, 0), np.float32), cut, place)
    assert guess.without > 4.5
    assert guess.determined > 0.75


def test_parts_are_whole_episodes() -> None:
    episode = np.repeat(np.arange(9), [50, 70, 20, 90, 40, 60, 30, 80, 60]).astype(np.int32)
    cut = visibility.parts(episode, 0)
    assert sorted(np.concatenate([cut.train, cut.stop, cut.test]).tolist()) == list(range(500))
    taken = [set(episode[part].tolist()) for part in (cut.train, cut.stop, cut.test)]
    assert sum(map(len, taken)) == 9
    assert all(len(part) for part in visibility.parts(np.zeros(200, np.int32), 0).__dict__.values())


def _found(**other: Any) -> dict[str, Any]:
    met = {"values": 9}
    return {
        "disputes": [],
        "coverage": {"play": met, "archive": met},
        "cause": {"changed": 0.0},
        "visibility": {"one": {"determined": 0.0}},
        **other,
    }


@pytest.mark.parametrize(
    ("expected", "found"),
    [
        ("wrong", _found(disputes=["no"], cause={"changed": 1.0})),
        (
            "constant",
            _found(coverage={"play": {"values": 1}, "archive": {"values": 1}}, cause={"changed": 1.0}),
        ),
        ("causal", _found(cause={"changed": 0.25})),
        ("derived but visible", _found(visibility={"one": {"determined": 0.5}})),
        ("derived but visible", _found(in_play={"axis": "x", "lift": 0.4})),
        ("not visible", _found(in_play={"axis": "y", "lift": 0.4})),
        ("partly visible", _found(visibility={"one": {"determined": 0.1}})),
        ("partly visible", _found(visibility=None, cause={"changed": 0.05})),
        ("not visible", _found()),
    ],
)
def test_verdicts_follow_the_thresholds(expected: str, found: dict[str, Any]) -> None:
    assert verdict("x", found) == expected


def _with(known: Game, **addresses: int) -> Game:
    variables = tuple(
        replace(v, address=addresses.get(v.name, v.address)) for v in known.variables() if v.name in addresses
    )
    assert len(variables) == len(addresses)
    return replace(known, label_sets={"v1": variables})


def test_swapped_addresses_are_named() -> None:
    swapped = _with(
        game("pong"), player_y=50, enemy_y=51, ball_x=54, ball_y=49, player_score=13, enemy_score=49
    )
    assert _not_named(swapped) == {}


def _not_named(planted: Game) -> dict[str, str]:
    found = audit(planted, "v1", SMALL)["variables"]
    return {name: v["verdict"] for name, v in found.items() if v["verdict"] not in OF_CONCERN}


def test_shifted_addresses_are_named() -> None:
    pong = {v.name: v.address + 1 for v in game("pong").variables()}
    assert _not_named(_with(game("pong"), **pong)) == {}


@pytest.mark.slow
def test_planted_faults_in_breakout_are_named() -> None:
    ram = episode_of("breakout").lane_ram
    constant = int(np.flatnonzero((ram == ram[0]).all(axis=0))[-1])
    planted = {"player_x": constant, "ball_x": 101, "ball_y": 99, "score_1s": 84, "num_lives": 99}
    assert _not_named(_with(game("breakout"), **planted)) == {}


def test_the_command_writes_what_it_prints(tmp_path: Path) -> None:
    code = "from builders.cli.main import main; main()"
    arguments = ["audit", "Pong", "--rows", "400", "--states", "4", "--search", "100"]
    run = [sys.executable, "-c", code, *arguments, "--out", "audits", "--json"]
    done = subprocess.run(run, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    (printed,) = json.loads(done.stdout)
    assert printed == json.loads((tmp_path / "audits" / "pong.json").read_text(encoding="utf-8"))
    done = subprocess.run(run, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 2
    assert "already exists" in json.loads(done.stdout)["what"]


def test_a_broken_annotation_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "pong.toml").write_text('title = "Pong"\n[v1.a]\naddress = 300\n', encoding="utf-8")
    code = "from builders.cli.main import main; main()"
    run = [sys.executable, "-c", code, "audit", "--annotations", "pong.toml"]
    done = subprocess.run(run, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 1
    assert "annotation file of pong cannot be read" in done.stderr
    assert "Traceback" not in done.stderr


def _audited(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> tuple[list[str], Result]:
    """Run the command without its work; return the games that it would audit, and how it ended."""
    names: list[str] = []

    def done(_: object, tasks: Sequence[Task], *__: object, **___: object) -> list[Any]:
        names.extend(task.name for task in tasks)
        raise AtariariError("enough")

    monkeypatch.setattr(units, "done", done)
    return names, CliRunner().invoke(cli, ["audit", *arguments])


def test_a_label_set_has_games_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    names, _ = _audited(monkeypatch, "--label-set", "anand2019")
    assert tuple(names) == suites()["paper"]
    names, ended = _audited(monkeypatch, "pong", "alien", "--label-set", "anand2019")
    assert (names, ended.exit_code) == ([], 2)
    assert "Unknown label set of alien" in ended.stderr


@pytest.mark.parametrize(
    ("file", "games", "audited"),
    [
        ("pong.toml", [], ["pong"]),
        ("ALE-Pong-v5.toml", ["ALE/Pong-v5"], ["pong"]),
        ("mine.toml", ["pong"], ["pong"]),
        ("pong.toml", ["pong", "breakout"], None),
        ("paper.toml", [], None),
        ("breakout.toml", ["pong"], None),
    ],
)
def test_an_annotation_file_is_of_one_game(
    file: str, games: list[str], audited: list[str] | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / file).touch()
    names, ended = _audited(monkeypatch, *games, "--annotations", str(tmp_path / file))
    assert names == (audited or [])
    assert ended.exit_code == (1 if audited else 2)
    assert audited or "An annotation file is of one game" in ended.stderr


def test_the_tables_are_those_of_the_audits() -> None:
    text = (Path(__file__).parents[1] / "docs" / "audit.md").read_text(encoding="utf-8")
    assert page.refreshed(text) == text, "run python -m tools.audit_page docs/audit.md"


@pytest.mark.parametrize("found", page.audits(), ids=lambda found: found["game"])
def test_the_shipped_audit_is_of_the_shipped_annotations(found: dict[str, Any]) -> None:
    ours = {
        v.name: (v.address, bytes_digest(values_of(v).tobytes())[:8]) for v in game(found["game"]).variables()
    }
    assert {name: (v["byte"], v["decoded"]) for name, v in found["variables"].items()} == ours


@pytest.mark.parametrize("found", page.audits(), ids=lambda found: found["game"])
def test_nothing_that_is_probed_is_of_concern(found: dict[str, Any]) -> None:
    names = [name for name, frozen in PROBED[found["game"]].items() if frozen]
    concern = {name: found["variables"][name]["verdict"] for name in names}
    assert {n: v for n, v in concern.items() if v in OF_CONCERN} == {}


def test_the_page_names_what_is_of_concern_and_probed_in_deep_states_alone() -> None:
    concern = {
        name
        for found in page.audits()
        for name, v in found["variables"].items()
        if v["verdict"] in OF_CONCERN and PROBED[f"{found['game']}_deep"][name]
    }
    text = (Path(__file__).parents[1] / "docs" / "audit.md").read_text(encoding="utf-8")
    (sentence,) = re.findall(r"Probed\sin `GAME_deep` alone, and `not visible`: (.*?)\.\s", text, re.DOTALL)
    assert set(re.findall(r"`(\w+)`", sentence)) == concern


def test_a_game_without_a_shipped_audit_has_none() -> None:
    for name in ("pong", "breakout"):
        found = evidence(name)
        assert found is None or found["game"] == name
