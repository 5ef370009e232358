"""The wrapper, against the real emulator."""

import itertools
from collections.abc import Callable
from functools import partial
from typing import Any

import gymnasium
import numpy as np
import pytest
from ale_py.env import AtariEnv
from gymnasium.wrappers import AtariPreprocessing, FrameStackObservation, RecordEpisodeStatistics, TimeLimit

from atariari_data import AtariARIWrapper, game, game_names, labels

GAMES_AND_SETS = [(name, label_set) for name in game_names() for label_set in game(name).label_sets]
Env = gymnasium.Env[Any, Any]
Wrap = Callable[[Env], Env]


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


@pytest.mark.parametrize(("game_name", "label_set"), GAMES_AND_SETS)
def test_labels_are_the_decoded_observation_when_this_is_the_ram(game_name: str, label_set: str) -> None:
    env = AtariARIWrapper(
        gymnasium.make(f"ALE/{env_name(game_name)}-v5", obs_type="ram"), label_set=label_set
    )
    seen = [env.reset(seed=0)]
    rng = np.random.default_rng(0)
    for action in rng.integers(4, size=30):
        observation, _, _, _, info = env.step(action % 3)
        seen.append((observation, info))
    for observation, info in seen:
        decoded = labels(observation, game_name, label_set)
        assert info["labels"] == decoded
        assert list(info["labels"]) == list(decoded)
        assert {type(value) for value in info["labels"].values()} == {int}
    assert any(info["labels"] != seen[0][1]["labels"] for _, info in seen)


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
USUAL: list[Wrap] = [PREPROCESS, STACK, RecordEpisodeStatistics, LIMIT]


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
    bare = env.unwrapped
    assert isinstance(bare, AtariEnv)
    bare.ale.setRAM(50, 77)
    assert (
        env.labels()[
            "player_y" if False else next(v.name for v in game("pong").variables() if v.address == 50)
        ]
        == 77
    )
