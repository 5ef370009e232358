"""The wrapper, against the real emulator."""

import copy
import itertools
import pickle
import subprocess
import sys
import warnings
from collections.abc import Callable
from functools import partial
from typing import Any

import gymnasium
import numpy as np
import numpy.typing as npt
import pytest
from ale_py.env import AtariEnv
from gymnasium.utils.env_checker import check_env
from gymnasium.vector import AutoresetMode
from gymnasium.wrappers import (
    AtariPreprocessing,
    FrameStackObservation,
    MaxAndSkipObservation,
    RecordEpisodeStatistics,
    TimeLimit,
)

import atariari_data
from atariari_data import AtariARIWrapper, game, game_names, labels, positions
from atariari_data.errors import UnknownNameError, UsageError

Env = gymnasium.Env[Any, Any]
Wrap = Callable[[Env], gymnasium.Wrapper[Any, Any, Any, Any]]


def env_name(game_name: str) -> str:
    return game_name.title().replace("_", "")


def atari(game_name: str = "pong", **kwargs: Any) -> Env:
    env: Env = gymnasium.make(f"{env_name(game_name)}NoFrameskip-v4", **kwargs)
    return env


def expected(env: Env, game_name: str, label_set: str = "v1") -> dict[str, int]:
    """Decode the emulator's RAM, past all wrappers."""
    unwrapped = env.unwrapped
    assert isinstance(unwrapped, AtariEnv)
    return {name: int(value) for name, value in labels(unwrapped.ale.getRAM(), game_name, label_set).items()}


@pytest.mark.parametrize("game_name", game_names())
def test_labels_are_the_decoded_observation_when_this_is_the_ram(game_name: str) -> None:
    env = AtariARIWrapper(gymnasium.make(f"ALE/{env_name(game_name)}-v5", obs_type="ram"))
    seen = [env.reset(seed=0)]
    for action in [1, 2, 0] * 5:
        observation, _, _, _, info = env.step(action)
        seen.append((observation, info))
    for observation, info in seen:
        decoded = labels(observation, game_name)
        assert info["labels"] == decoded
        assert list(info["labels"]) == list(decoded)
        assert {type(value) for value in info["labels"].values()} == {int}


@pytest.mark.parametrize(
    "env_id", ["MsPacmanNoFrameskip-v4", "MsPacmanNoFrameskip-v0", "MsPacman-v4", "ALE/MsPacman-v5"]
)
def test_any_id_of_the_game_gives_v1_unless_asked(env_id: str) -> None:
    env = AtariARIWrapper(gymnasium.make(env_id))
    assert (env.game, env.label_set) == ("ms_pacman", "v1")
    assert list(env.reset()[1]["labels"]) == [variable.name for variable in game("ms_pacman").variables("v1")]


PREPROCESS: Wrap = partial(AtariPreprocessing, noop_max=10, frame_skip=4)
STACK: Wrap = partial(FrameStackObservation, stack_size=4)
LIMIT: Wrap = partial(TimeLimit, max_episode_steps=5)
USUAL: list[Wrap] = [PREPROCESS, STACK, LIMIT, RecordEpisodeStatistics]


@pytest.mark.parametrize("place", range(len(USUAL) + 1))
def test_it_stands_anywhere_among_the_usual_wrappers(place: int) -> None:
    env = atari("breakout")
    for wrap in [*USUAL[:place], AtariARIWrapper, *USUAL[place:]]:
        env = wrap(env)
    _, info = env.reset(seed=3)
    assert info["labels"] == expected(env, "breakout")
    for action in itertools.cycle([1, 2, 3]):
        _, _, _, truncated, info = env.step(action)
        assert info["labels"] == expected(env, "breakout")
        if truncated:
            break
    assert "episode" in info


def test_each_info_has_labels_of_its_own() -> None:
    env = AtariARIWrapper(atari())
    first = env.reset(seed=0)[1]["labels"]
    before = dict(first)
    for _ in range(60):
        env.step(2)
    assert env.labels() != before
    assert first == before


def test_labels_can_be_read_between_steps() -> None:
    env = AtariARIWrapper(atari())
    env.reset(seed=0)
    unwrapped = env.unwrapped
    assert isinstance(unwrapped, AtariEnv)
    unwrapped.ale.setRAM(49, 77)
    assert env.labels()["ball_x"] == 77


@pytest.mark.parametrize("mode", ["sync", "async"])
@pytest.mark.parametrize("autoreset", [AutoresetMode.NEXT_STEP, AutoresetMode.SAME_STEP])
def test_vector_environments_batch_the_labels_of_each(mode: str, autoreset: AutoresetMode) -> None:
    envs = gymnasium.make_vec(
        "ALE/Pong-v5",
        num_envs=2,
        vectorization_mode=mode,
        vector_kwargs={"autoreset_mode": autoreset},
        wrappers=[AtariARIWrapper, LIMIT],
        obs_type="ram",
    )

    def check(observations: npt.NDArray[np.uint8], batch: dict[str, Any]) -> None:
        for name, column in labels(observations, "pong").items():
            assert batch[name].dtype == np.int64
            np.testing.assert_array_equal(batch[name], column)

    try:
        observations, infos = envs.reset(seed=3)
        check(observations, infos["labels"])
        ended = 0
        for _ in range(13):
            observations, _, _, truncated, infos = envs.step(np.array([2, 3]))
            check(observations, infos["labels"])
            if truncated.any() and autoreset is AutoresetMode.SAME_STEP:
                check(np.stack(list(infos["final_obs"])), infos["final_info"]["labels"])
            ended += int(truncated.sum())
        assert ended == 4
    finally:
        envs.close()


def test_game_over_has_labels() -> None:
    env = AtariARIWrapper(atari("pong", frameskip=200))
    env.reset()
    terminated = False
    while not terminated:
        _, _, terminated, _, info = env.step(0)
    assert info["labels"]["enemy_score"] == 21


@pytest.mark.filterwarnings("ignore:.*different from the unwrapped version")
def test_gymnasium_finds_nothing_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    # The check makes an environment for each render mode; that of "human" should open no window.
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    monkeypatch.setenv("SDL_AUDIODRIVER", "dummy")
    check_env(AtariARIWrapper(atari(render_mode="rgb_array")))


def test_render_passes_through() -> None:
    env = AtariARIWrapper(atari(render_mode="rgb_array"))
    observation, _ = env.reset(seed=0)
    np.testing.assert_array_equal(np.asarray(env.render()), observation)


def test_spec_makes_it_again() -> None:
    env = AtariARIWrapper(atari("breakout"), label_set="anand2019", game="pong")
    spec = env.spec
    assert spec is not None
    again = gymnasium.make(spec)
    assert isinstance(again, AtariARIWrapper)
    assert (again.game, again.label_set) == ("pong", "anand2019")
    assert again.reset(seed=0)[1] == env.reset(seed=0)[1]


COPIES: list[Callable[[Env], Any]] = [lambda env: pickle.loads(pickle.dumps(env)), copy.deepcopy]  # noqa: S301


@pytest.mark.parametrize("again", COPIES, ids=["pickle", "deepcopy"])
def test_copies_have_an_emulator_of_their_own(again: Callable[[Env], Env]) -> None:
    env = AtariARIWrapper(atari(), label_set="anand2019")
    env.reset(seed=0)
    env.step(2)
    other = again(env)
    assert isinstance(other, AtariARIWrapper)
    _, info = other.reset(seed=1)
    assert info["labels"] == expected(other, "pong", "anand2019")
    assert other.unwrapped is not env.unwrapped
    assert env.labels() == expected(env, "pong", "anand2019")


def test_the_game_is_found_without_a_spec() -> None:
    assert AtariARIWrapper(AtariEnv("ms_pacman")).game == "ms_pacman"


def test_the_game_can_be_given() -> None:
    assert AtariARIWrapper(atari("breakout"), game="PongNoFrameskip-v4").game == "pong"


def test_other_environments_are_refused() -> None:
    with pytest.raises(UsageError, match="Not an Atari environment") as error:
        AtariARIWrapper(gymnasium.make("CartPole-v1"))
    assert error.value.got == "CartPoleEnv"


def test_no_environment_at_all_is_refused() -> None:
    with pytest.raises(UsageError, match="Not an Atari environment"):
        AtariARIWrapper("ALE/Pong-v5")  # type: ignore[arg-type]


@pytest.mark.parametrize("game_name", ["pong", "qbert", "yars_revenge"])
@pytest.mark.parametrize("again", COPIES, ids=["pickle", "deepcopy"])
def test_a_copy_has_no_labels_before_it_has_a_state(game_name: str, again: Callable[[Env], Any]) -> None:
    env = AtariARIWrapper(atari(game_name))
    env.reset(seed=1)
    for _ in range(30):
        env.step(2)
    copied = again(FrameStackObservation(env, 2)).env
    with pytest.raises(UsageError, match="new emulator without the original's state"):
        copied.labels()
    with pytest.raises(UsageError, match="new emulator without the original's state"):
        again(copied).labels()
    copied.reset(seed=2)
    assert copied.labels() == expected(copied, game_name)
    restored = again(env)
    restored.unwrapped.restore_state(env.unwrapped.clone_state())  # type: ignore[attr-defined]
    assert restored.labels() == env.labels() == expected(env, game_name)
    stepped = again(env)
    assert stepped.step(0)[4]["labels"] == stepped.labels() == expected(stepped, game_name)


def test_a_copy_of_a_game_that_has_just_begun_has_its_labels() -> None:
    env = AtariARIWrapper(atari())
    _, info = env.reset(seed=1)
    copied = copy.deepcopy(env)
    copied.unwrapped.restore_state(env.unwrapped.clone_state())  # type: ignore[attr-defined]
    assert copied.labels() == info["labels"]


@pytest.mark.parametrize(
    ("name", "options", "match"),
    [
        (
            "MsPacman",
            {"mode": 3},
            "default mode and difficulty only.*runs mode 3. Modes 1, 2 and 3 draw only",
        ),
        ("Pong", {"difficulty": 1}, "runs difficulty 1.$"),
        ("SpaceInvaders", {"mode": 8}, "runs mode 8. Modes 8 to 15 do not draw the invaders"),
        ("Pong", {"mode": 1, "difficulty": 3}, "runs mode 1 and difficulty 3.$"),
    ],
)
def test_modes_that_were_not_checked_are_warned_of_once(name: str, options: Any, match: str) -> None:
    env = gymnasium.make(f"ALE/{name}-v5", **options)
    with pytest.warns(UserWarning, match=match) as warned:
        env = AtariARIWrapper(env)
    assert len(warned) == 1
    assert warned[0].filename == __file__
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        env.reset(seed=0)
        env.step(0)


@pytest.mark.parametrize(("name", "options"), [("Pong", {}), ("BattleZone", {"mode": 1, "difficulty": 0})])
def test_the_default_mode_is_not_warned_of(name: str, options: Any) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        AtariARIWrapper(gymnasium.make(f"ALE/{name}-v5", **options))


def test_presence_is_added_when_asked_for() -> None:
    env = AtariARIWrapper(gymnasium.make("ALE/Seaquest-v5"), present=True)
    assert env.spec is not None
    assert env.spec.additional_wrappers[-1].kwargs == {"label_set": "v1", "game": None, "present": True}
    # Down, and down with fire: there is no torpedo at the surface.
    infos = [env.reset(seed=0)[1], *(env.step(action)[4] for action in (5, 13) * 40)]
    for info in infos:
        assert list(info["present"]) == [variable.name for variable in game("seaquest").variables()]
        assert info["present"]["missile_x"] is (info["labels"]["missile_x"] != 0)
    assert {info["present"]["missile_x"] for info in infos} == {True, False}
    plain = AtariARIWrapper(gymnasium.make("ALE/Seaquest-v5"))
    assert "present" not in plain.reset(seed=0)[1]
    assert "present" not in plain.step(0)[4]


def test_mode_1_of_ms_pacman_has_one_ghost() -> None:
    """What the warning says: a ghost that is not drawn has a position all the same."""
    drawn = dict.fromkeys(["enemy_sue", "enemy_inky", "enemy_pinky", "enemy_blinky"], 0)
    single = gymnasium.make("ALE/MsPacman-v5", mode=1, repeat_action_probability=0, frameskip=1)
    env = MaxAndSkipObservation(single, skip=4)
    env.reset(seed=0)
    maze = {(0, 28, 136), (228, 111, 111)}
    for _ in range(60):
        screen, *_ = env.step(0)
        places = positions(single.unwrapped.ale.getRAM(), "ms_pacman")  # type: ignore[attr-defined]
        for name in drawn:
            x, y = places[name].astype(int)
            box = screen[y : y + 12, x : x + 9].reshape(-1, 3).tolist()
            drawn[name] += not {tuple(color) for color in box} <= maze
    assert drawn["enemy_sue"] == 60
    assert drawn["enemy_blinky"] < 30


@pytest.mark.parametrize("game_name", ["qbert", "pong"])
def test_a_new_emulator_restores_a_state_once_it_was_stepped(game_name: str) -> None:
    """docs/wrapper.md names the games of which ale-py 0.12.1 restores states wrongly."""

    def play(env: AtariEnv) -> list[bytes]:
        found = []
        for action in [1, 2, 3, 4, 5] * 4:
            env.step(action)
            found.append(env.ale.getRAM().tobytes())
        return found

    old, new, stepped = (AtariEnv(game_name, frameskip=1, repeat_action_probability=0) for _ in range(3))
    for env in (old, new, stepped):
        env.reset(seed=1)
    play(old)
    state = old.clone_state()
    true = play(old)
    stepped.step(0)
    new.restore_state(state)
    stepped.restore_state(state)
    assert play(stepped) == true
    assert (play(new) == true) == (game_name != "qbert")


def test_pooling_shows_what_single_frames_do_not() -> None:
    def seen(env: Env) -> int:
        """Count the steps on which an enemy's shot is on pixels that are not black."""
        env = AtariARIWrapper(env)
        env.reset(seed=1)
        found = shown = 0
        generator = np.random.default_rng(0)
        for _ in range(500):
            screen, _, terminated, truncated, _ = env.step(int(generator.integers(6)))
            places = positions(env.unwrapped.ale.getRAM(), "space_invaders")  # type: ignore[attr-defined]
            x, y = places["enemy_missile_0"]
            if not np.isnan(x) and 0 <= x < 158 and 40 <= y < 180:
                found += 1
                shown += bool(screen[int(y) : int(y) + 8, int(x) : int(x) + 2].any())
            if terminated or truncated:
                env.reset()
        assert found > 100
        return round(100 * shown / found)

    bare = gymnasium.make("ALE/SpaceInvaders-v5", repeat_action_probability=0)
    single = gymnasium.make("ALE/SpaceInvaders-v5", repeat_action_probability=0, frameskip=1)
    assert seen(bare) < 60
    assert seen(MaxAndSkipObservation(single, skip=4)) > 90


@pytest.mark.parametrize("mode", ["sync", "vector_entry_point"])
def test_a_vector_environment_as_a_whole_is_refused(mode: str) -> None:
    envs = gymnasium.make_vec("ALE/Pong-v5", num_envs=2, vectorization_mode=mode)
    try:
        with pytest.raises(UsageError, match=r"wrappers=\[AtariARIWrapper\]"):
            AtariARIWrapper(envs)  # type: ignore[arg-type]
    finally:
        envs.close()


def test_a_game_without_annotations_says_so() -> None:
    with pytest.raises(UsageError, match="The game gravitar has no annotations") as error:
        AtariARIWrapper(gymnasium.make("ALE/Gravitar-v5"))
    assert "howto/add_a_game.html" in str(error.value.cure)
    with pytest.raises(UnknownNameError, match="Did you mean 'pong'"):
        AtariARIWrapper(gymnasium.make("ALE/Gravitar-v5"), game="pogn")
    assert AtariARIWrapper(gymnasium.make("ALE/Gravitar-v5"), game="pong").game == "pong"


def test_an_unknown_label_set_is_refused_at_once() -> None:
    with pytest.raises(UnknownNameError, match="label set of pong: 'v7'"):
        AtariARIWrapper(atari(), label_set="v7")


def test_one_import_is_enough_and_it_is_late() -> None:
    program = """
import sys, atariari_data
assert not {"gymnasium", "ale_py"} & set(sys.modules), "heavy imports"
assert "AtariARIWrapper" in dir(atariari_data)
wrapper = atariari_data.AtariARIWrapper
import gymnasium
print(sorted(wrapper(gymnasium.make("ALE/Pong-v5")).reset()[1]["labels"]))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "ball_x" in done.stdout


def test_names_that_are_not_there_say_so() -> None:
    with pytest.raises(AttributeError, match="no attribute 'AtariAriWrapper'"):
        _ = atariari_data.AtariAriWrapper


@pytest.mark.parametrize("context", ["spawn", "forkserver"])
def test_importing_the_package_is_enough_in_every_process(context: str, tmp_path: Any) -> None:
    """Environments that are made in workers need no import of ale-py or of the wrapper."""
    program = f"""
import atariari_data, gymnasium

def make():
    return gymnasium.make("ALE/Pong-v5")

def main():
    assert make().reset()
    envs = gymnasium.vector.AsyncVectorEnv([make, make], context={context!r})
    print(envs.reset(seed=0)[0].shape)
    envs.close()
    wrap = [atariari_data.AtariARIWrapper]
    envs = gymnasium.make_vec("ALE/Pong-v5", num_envs=2, vectorization_mode="async",
                              vector_kwargs={{"context": {context!r}}}, wrappers=wrap)
    print(envs.reset(seed=0)[1]["labels"]["ball_x"].shape)
    envs.close()

if __name__ == "__main__":
    main()
"""
    file = tmp_path / "program.py"
    file.write_text(program)
    done = subprocess.run([sys.executable, str(file)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split("\n")[:2] == ["(2, 210, 160, 3)", "(2,)"]
