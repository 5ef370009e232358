"""The 2019 benchmark's call: its shapes, from the frozen rows and from rows recorded on the spot."""

from __future__ import annotations

import io
import json
import zipfile
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import datasets
import numpy as np
import pytest
import torch
from torch import nn

import atariari_data
from atariari_data import get_episodes, load_dataset
from atariari_data.errors import DataError, UnknownNameError, UsageError
from atariari_data.observations import shrink
from builders.agents import Agent, load_agent
from builders.emulator import Emulator
from builders.record import Protocol, record

# Small, but with enough episodes (of 100 rows or so) for three splits.
FRESH: dict[str, Any] = {"steps": 640, "seed": 3, "num_processes": 2}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> str:
    """One cache for all tests here, so that what two of them want is recorded once."""
    return str(tmp_path_factory.mktemp("episodes"))


def _flat(episodes: list[list[Any]]) -> list[Any]:
    return [item for episode in episodes for item in episode]


def _equal(one: list[list[torch.Tensor]], two: list[list[torch.Tensor]]) -> bool:
    return [len(e) for e in one] == [len(e) for e in two] and all(
        torch.equal(a, b) for a, b in zip(_flat(one), _flat(two), strict=True)
    )


def test_the_defaults_give_the_frozen_rows_in_the_original_s_order(built: str) -> None:
    found = get_episodes("PongNoFrameskip-v4", cache_dir=built)
    assert len(found) == 6
    tr, val, tr_labels, val_labels, test, test_labels = found
    data = load_dataset("atariari", "pong", cache_dir=built)
    variables = {name for e in tr_labels for row in e for name in row}
    for split, episodes, labels in (
        ("train", tr, tr_labels),
        ("validation", val, val_labels),
        ("test", test, test_labels),
    ):
        frames = _flat(episodes)
        assert len(frames) == len(_flat(labels)) == len(data[split]) > 0
        assert [len(e) for e in episodes] == [len(e) for e in labels]
        numbers = data[split]["episode"][:]
        assert [len(e) for e in episodes] == [Counter(numbers)[n] for n in dict.fromkeys(numbers)]
        for frame, label, row in zip(frames, _flat(labels), data[split], strict=True):
            assert (frame.dtype, frame.shape) == (torch.uint8, (1, 210, 160))
            assert np.array_equal(frame[0].numpy(), np.asarray(row["frame"].convert("L")))
            ram = np.array(row["ram"], np.uint8)
            want = atariari_data.labels(ram, "pong", "anand2019")
            assert label == {name: int(want[name]) for name in variables}
            assert all(type(value) is int for value in label.values())
    assert isinstance(tr, list)
    assert isinstance(tr[0], list)


def test_the_frames_of_an_episode_share_memory(built: str) -> None:
    episode = get_episodes("pong", cache_dir=built)[0][0]
    assert len({frame.untyped_storage().data_ptr() for frame in episode}) == 1
    assert episode[0].untyped_storage().nbytes() == len(episode) * 210 * 160


def test_eight_processes_are_as_frozen(built: str) -> None:
    one, eight = get_episodes("pong", cache_dir=built), get_episodes("pong", num_processes=8, cache_dir=built)
    assert _equal(one[4], eight[4])


def _nats(values: list[int]) -> float:
    share = torch.tensor([count / len(values) for count in Counter(values).values()], dtype=torch.float64)
    return float(torch.distributions.Categorical(share).entropy())  # type: ignore[no-untyped-call]


@pytest.mark.parametrize("threshold", [0.0, 0.6, 2.0, 99.0])
def test_variables_of_low_entropy_are_left_out(built: str, threshold: float) -> None:
    names = [v.name for v in atariari_data.game("breakout").variables("anand2019")]
    every = get_episodes("breakout", entropy_threshold=0, cache_dir=built)
    rows = _flat(every[2]) + _flat(every[3]) + _flat(every[5])
    assert list(rows[0]) == names
    want = [name for name in names if _nats([row[name] for row in rows]) >= threshold]
    kept = get_episodes("breakout", entropy_threshold=threshold, cache_dir=built)
    assert {tuple(row) for labels in (kept[2], kept[3], kept[5]) for row in _flat(labels)} == {tuple(want)}
    assert len(want) < len(names) or threshold == 0


def test_label_sets(built: str) -> None:
    new = get_episodes("breakout", label_set="v1", entropy_threshold=0, cache_dir=built)
    names = [v.name for v in atariari_data.game("breakout").variables("v1")]
    assert list(new[2][0][0]) == names
    with pytest.raises(UnknownNameError, match="label set"):
        get_episodes("breakout", label_set="v2", cache_dir=built)


def test_train_encoder_gives_the_pretraining_rows(folder: str) -> None:
    found = get_episodes("pong", steps=100_000, train_mode="train_encoder", cache_dir=folder)
    data = load_dataset("atariari", "pong_pretrain", cache_dir=folder)
    assert [len(_flat(episodes)) for episodes in found] == [len(data["train"]), len(data["validation"])]
    assert np.array_equal(found[1][0][0][0], np.asarray(data["validation"][0]["frame"].convert("L")))


def test_deep_episodes_are_there_for_training_with_the_default_arguments(
    folder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def builder(_: str, config: str, **wanted: Any) -> Any:
        asked.append((config, {name: value for name, value in wanted.items() if name != "cache_dir"}))
        raise KeyboardInterrupt

    monkeypatch.setattr("datasets.load_dataset_builder", builder)
    deep = partial(get_episodes, "pong", collect_mode="deep", train_mode="train_encoder", cache_dir=folder)
    for call in (deep, partial(deep, steps=100_000)):
        with pytest.raises(KeyboardInterrupt):
            call()
    assert asked == [("pong_deep", {})] * 2


def test_dry_run_gives_everything(built: str) -> None:
    episodes, labels = get_episodes("pong", train_mode="dry_run", cache_dir=built)
    data = load_dataset("atariari", "pong", cache_dir=built)
    assert len(_flat(episodes)) == len(_flat(labels)) == sum(len(split) for split in data.values())


def test_other_seeds_are_recorded_on_the_spot(folder: str, tmp_path: Path) -> None:
    one = get_episodes("breakout", **FRESH, cache_dir=folder)
    again = get_episodes("breakout", **FRESH, cache_dir=str(tmp_path), num_proc=2)
    for a, b in zip(one, again, strict=True):
        assert _equal(a, b) if isinstance(a[0][0], torch.Tensor) else a == b
    rows = len(_flat(one[0]) + _flat(one[1]) + _flat(one[4]))
    assert 400 < rows <= 640 + 2 * 65
    assert min(len(e) for e in one[0]) > 64, "nothing is left out of train"
    seen = {frame.numpy().tobytes() for frame in _flat(one[0]) + _flat(one[1])}
    assert not any(frame.numpy().tobytes() in seen for frame in _flat(one[4]))

    other = get_episodes("breakout", **{**FRESH, "seed": 4}, cache_dir=folder)
    assert not _equal(one[0], other[0])
    fewer = get_episodes("breakout", **{**FRESH, "num_processes": 1}, cache_dir=folder)
    assert not _equal(one[0], fewer[0])


def test_the_dataset_takes_a_seed_too(folder: str) -> None:
    data = load_dataset("atariari", "breakout", seed=3, steps=640, lanes=2, cache_dir=folder)
    streamed = load_dataset("atariari", "breakout", seed=3, steps=640, lanes=2, split="test", streaming=True)
    frames = get_episodes("breakout", **FRESH, cache_dir=folder)[4]
    assert len(data["test"]) == len(_flat(frames))
    for row, again, frame in zip(data["test"], streamed, _flat(frames), strict=True):
        gray = np.asarray(row["frame"].convert("L"))
        assert np.array_equal(gray, np.asarray(again["frame"].convert("L")))
        assert np.array_equal(gray, frame[0])


def test_the_dataset_and_get_episodes_record_the_same_rows(folder: str) -> None:
    data = load_dataset("atariari", "breakout", seed=7, steps=900, lanes=2, cache_dir=folder)
    found = get_episodes("breakout", seed=7, steps=900, num_processes=2, color=True, cache_dir=folder)
    for split, episodes in zip(("train", "validation", "test"), (found[0], found[1], found[4]), strict=True):
        frames = [frame for episode in episodes for frame in episode]
        assert len(frames) == len(data[split])
        for at in (0, len(frames) // 2, -1):
            png = data[split][at]["frame"]
            assert np.array_equal(frames[at].permute(1, 2, 0), np.asarray(png.convert("RGB")))


def test_rows_recorded_here_are_not_those_that_are_frozen_under_the_same_seed(folder: str) -> None:
    # The small frozen Breakout has seed 7, and the first of its lanes stands first.
    wanted: dict[str, Any] = {"seed": 7, "steps": 130, "lanes": 1, "unsplit": True, "cache_dir": folder}
    frozen = datasets.concatenate_datasets([*load_dataset("atariari", "breakout", cache_dir=folder).values()])
    fresh = load_dataset("atariari", "breakout", **wanted)["train"]
    learning = load_dataset("atariari", "breakout_pretrain", **wanted)["train"]
    first = [data.sort(["episode", "step"])["action"][:60] for data in (frozen, fresh, learning)]
    assert first[0] != first[1]
    assert first[1] != first[2]


def test_train_encoder_and_dry_run_recorded_on_the_spot(folder: str) -> None:
    tr, val = get_episodes("breakout", train_mode="train_encoder", **FRESH, cache_dir=folder)
    assert len(tr) == int(0.8 * (len(tr) + len(val)))
    episodes, labels = get_episodes("breakout", train_mode="dry_run", **FRESH, cache_dir=folder)
    assert [len(e) for e in episodes] == [len(e) for e in labels]
    assert min(len(e) for e in episodes) > 64
    probe = get_episodes("breakout", **FRESH, cache_dir=folder)
    assert len(episodes) == len(probe[0]) + len(probe[1]) + len(probe[4]), "the same play, not split"
    every = {frame.numpy().tobytes() for frame in _flat(episodes)}
    assert all(frame.numpy().tobytes() in every for frame in _flat(probe[4]))
    # No split has to be filled, so a few rows are enough.
    assert len(get_episodes("pong", steps=100, train_mode="dry_run", cache_dir=folder)[0]) == 1


def test_min_episode_length(folder: str) -> None:
    short = get_episodes("breakout", **FRESH, train_mode="dry_run", min_episode_length=10, cache_dir=folder)[
        0
    ]
    assert 10 < min(len(e) for e in short) <= 64
    with pytest.raises(UsageError, match="Fewer steps than the shortest episode"):
        get_episodes("breakout", steps=500, min_episode_length=500, cache_dir=folder)


def test_downsample_color_and_stack(built: str) -> None:
    def small(png: Any, mode: str) -> Any:
        return cv2.resize(np.asarray(png.convert(mode)), (84, 84), interpolation=cv2.INTER_AREA)

    data = load_dataset("atariari", "breakout", split="validation", cache_dir=built)
    rows = [row["frame"] for row in data.select(range(5))]
    gray = get_episodes("breakout", downsample=True, cache_dir=built)[1][0]
    assert (gray[0].shape, gray[0].dtype) == ((1, 84, 84), torch.uint8)
    rgb = get_episodes("breakout", color=True, cache_dir=built)[1][0]
    assert rgb[0].shape == (3, 210, 160)
    both = get_episodes("breakout", color=True, downsample=True, num_frame_stack=4, cache_dir=built)[1][0]
    assert both[0].shape == (12, 84, 84)
    for i, row in enumerate(rows):
        assert np.abs(gray[i][0].numpy().astype(int) - small(row, "L")).max() <= 1
        assert np.array_equal(rgb[i].permute(1, 2, 0), np.asarray(row.convert("RGB")))
        newest = both[i][-3:].permute(1, 2, 0).numpy().astype(int)
        assert np.abs(newest - small(row, "RGB")).max() <= 1
    assert torch.equal(both[0], both[0][9:].repeat(4, 1, 1)), "the first frame is repeated"
    assert torch.equal(both[3][:3], both[0][9:])
    assert torch.equal(both[4], torch.cat([both[i][9:] for i in range(1, 5)]))
    stacked = get_episodes("breakout", num_frame_stack=4, cache_dir=built)[1][0]
    assert stacked[0].shape == (4, 210, 160)
    assert stacked[0].untyped_storage().nbytes() == (len(stacked) + 3) * 210 * 160


def test_shrink_is_the_mean_over_areas() -> None:
    frames = np.random.default_rng(0).integers(0, 256, (3, 210, 160), np.uint8)
    rows, columns = np.repeat(frames, 2, axis=1), 21  # 210 = 84 * 2.5, 160 = 84 * 40 / 21
    fine = np.repeat(rows, columns, axis=2).reshape(3, 84, 5, 84, 40)
    assert np.array_equal(shrink(frames), np.rint(fine.mean(axis=(2, 4))).astype(np.uint8))
    want = cv2.resize(frames[0], (84, 84), interpolation=cv2.INTER_AREA)
    assert np.abs(shrink(frames)[0].astype(int) - want).max() <= 1


class CleanRL(nn.Module):
    """As CleanRL's ppo_atari names it, and narrower."""

    def __init__(self, actions: int) -> None:
        super().__init__()
        self.network = nn.Sequential(
            nn.Conv2d(4, 4, 8, stride=4),
            nn.ReLU(),
            nn.Conv2d(4, 8, 4, stride=2),
            nn.ReLU(),
            nn.Conv2d(8, 8, 3, stride=1),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(8 * 7 * 7, 32),
            nn.ReLU(),
        )
        self.actor = nn.Linear(32, actions)
        self.critic = nn.Linear(32, 1)


@pytest.fixture(scope="module")
def trained() -> CleanRL:
    """An agent for Pong that was taught to go up where the picture is dark, and down where it is bright."""
    torch.manual_seed(0)
    agent = CleanRL(6)
    optimizer = torch.optim.Adam([*agent.network.parameters(), *agent.actor.parameters()], 3e-3)
    for _ in range(150):
        level = torch.rand(32, 1, 1, 1)
        logits = agent.actor(agent.network(level.expand(-1, 4, 84, 84)))
        loss = nn.functional.cross_entropy(logits, torch.where(level.flatten() < 0.5, 2, 3))
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    assert loss < 0.3
    return agent


def _sb3(
    agent: CleanRL, path: Path, *, own: bool = False, more: dict[str, torch.Tensor] | None = None
) -> Path:
    """Write a zip as Stable-Baselines3 does; its pickles are traps, for nobody may open them."""
    names = {"network.0": "cnn.0", "network.2": "cnn.2", "network.4": "cnn.4", "network.7": "linear.0"}
    weights = dict(more or {})
    for key, value in agent.state_dict().items():
        layer, _, kind = key.rpartition(".")
        if layer in names:
            for extractor in ("", "pi_", "vf_") if own else ("",):
                noise = torch.zeros_like(value) if extractor == "" and own else value
                weights[f"{extractor}features_extractor.{names[layer]}.{kind}"] = noise
        else:
            weights[{"actor": "action_net", "critic": "value_net"}[layer] + f".{kind}"] = value
    buffer = io.BytesIO()
    torch.save(weights, buffer)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("data", json.dumps({"policy_class": {":serialized:": "not opened"}}))
        archive.writestr("pytorch_variables.pth", b"not opened")
        archive.writestr("policy.pth", buffer.getvalue())
        archive.writestr("policy.optimizer.pth", b"not opened")
        archive.writestr("_stable_baselines3_version", "2.3.0")
    return path


PPO: dict[str, Any] = {
    "collect_mode": "pretrained_ppo",
    "train_mode": "dry_run",
    "steps": 200,
    "seed": 5,
}


def test_checkpoints_of_both_kinds_play_alike(trained: CleanRL, folder: str, tmp_path: Path) -> None:
    cleanrl = tmp_path / "ppo_atari.cleanrl_model"
    torch.save(trained.state_dict(), cleanrl)
    files = [
        cleanrl,
        _sb3(trained, tmp_path / "old.zip"),
        _sb3(trained, tmp_path / "new.zip", own=True),
    ]
    one, two, three = (get_episodes("pong", policy=f, **PPO, cache_dir=folder) for f in files)
    assert _equal(one[0], two[0])
    assert _equal(one[0], three[0])
    assert one[1] == two[1] == three[1]

    # Played once more by hand, the same network is asked the same and gives the same actions.
    data = load_dataset(
        "atariari", "pong", policy=cleanrl, steps=200, seed=5, lanes=1, min_episode_rows=65, unsplit=True,
        split="train", cache_dir=folder,
    )  # fmt: skip
    shown = get_episodes("pong", policy=cleanrl, **PPO, num_frame_stack=4, downsample=True, cache_dir=folder)
    with torch.no_grad():
        x = torch.stack(_flat(shown[0])[4:-1]).float() / 255
        share = torch.softmax(trained.actor(trained.network(x)), 1)
    actions = np.array(data["action"][4:-1])
    minimal = Emulator("pong", 0).minimal_actions
    expected = 0.8 * share.mean(0).numpy() + 0.2 / 6
    found = np.array([(actions == a).mean() for a in minimal])
    assert np.abs(found - expected).max() < 0.12
    assert share.mean(0).max() > 0.6, "the agent prefers something, or this shows nothing"


def test_a_checkpoint_on_the_hub(
    trained: CleanRL, folder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As the Hub's own client keeps what it downloaded.
    repository = tmp_path / "models--sb3--ppo-Pong"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text("0" * 40)
    (repository / "snapshots" / ("0" * 40)).mkdir(parents=True)
    _sb3(trained, repository / "snapshots" / ("0" * 40) / "ppo.zip")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    here = get_episodes("pong", policy=_sb3(trained, tmp_path / "ppo.zip"), **PPO, cache_dir=folder)
    hub = get_episodes("pong", policy="hf:sb3/ppo-Pong/ppo.zip", **PPO, cache_dir=folder)
    assert _equal(hub[0], here[0])
    with pytest.raises(DataError, match="cannot be downloaded"):
        load_agent("hf:sb3/ppo-Pong/other.zip")
    with pytest.raises(UsageError, match="is not a file on the Hub"):
        load_agent("hf:sb3/ppo-Pong")


def _play(choose: Callable[..., Any], game: str = "pong", rows: int = 600) -> list[int]:
    protocol = Protocol(rows=rows, seed=1, splits=("train",), cuts=())
    recording, _ = record(game, game, protocol, policy=load_agent(choose)[0], lanes=1)
    (lane,) = recording.lanes
    return [int(a) for a in lane.action[(lane.episode >= 0) & (lane.frames > 0)]]


def test_a_fifth_of_the_actions_is_random_and_the_policy_sees_what_agents_see() -> None:
    seen: list[Any] = []

    def policy(observation: Any, actions: tuple[int, ...]) -> int:
        assert (observation.dtype, observation.shape) == (np.uint8, (1, 4, 84, 84))
        seen.append(observation)
        return actions.index(4)

    actions = _play(policy)
    share = np.mean([a != 4 for a in actions])
    expected = 0.2 * 5 / 6
    assert abs(share - expected) < 4 * np.sqrt(expected * (1 - expected) / len(actions))
    assert abs(len(seen) / len(actions) - 0.8) < 0.08
    assert set(actions) == set(Emulator("pong", 0).minimal_actions)
    assert any(not np.array_equal(o[0, 2], o[0, 3]) for o in seen)


def test_an_agent_s_stack_starts_anew_with_each_episode() -> None:
    seen: list[Any] = []

    def choose(observation: Any, *_: Any) -> int:
        seen.append(observation[0])
        return 0

    agent = Agent(choose, random_share=0)
    emulator, generator = Emulator("breakout", 0), np.random.default_rng(0)
    emulator.reset()
    for step in (0, 1, 2, 0):
        agent(emulator, generator, step)
        gray = cv2.cvtColor(emulator.frame().rgb(), cv2.COLOR_RGB2GRAY)
        want = cv2.resize(gray, (84, 84), interpolation=cv2.INTER_AREA)
        assert np.abs(seen[-1][3].astype(int) - want).max() <= 1
        emulator.act(1, 60)
    first, second, third, anew = seen
    assert (first == first[0]).all()
    assert np.array_equal(second[:3], first[1:])
    assert np.array_equal(third[:3], second[1:])
    assert not np.array_equal(third[2], third[3])
    assert (anew == anew[0]).all()


def test_callables(folder: str) -> None:
    level = [1]

    def drawn(observation: Any, generator: np.random.Generator) -> Any:
        del observation
        return np.array([generator.integers(6)]) if level[0] else 0

    one = get_episodes("pong", policy=drawn, **PPO, cache_dir=folder)
    assert _equal(one[0], get_episodes("pong", policy=drawn, **PPO, cache_dir=folder)[0])
    level[0] = 0
    assert not _equal(one[0], get_episodes("pong", policy=drawn, **PPO, cache_dir=folder)[0]), (
        "not from a cache"
    )
    assert get_episodes("pong", policy=lambda _: torch.tensor(2), **PPO)[0]


@pytest.mark.parametrize("wrong", [6, -1, 1.0, None, (np.array([1]), None), "UP", [1, 2]])
def test_a_policy_that_returns_no_action(wrong: Any) -> None:
    with pytest.raises(UsageError, match="did not return an action"):
        _play(lambda _: wrong)


def test_checkpoints_that_are_not_known(trained: CleanRL, folder: str, tmp_path: Path) -> None:
    def saved(name: str, content: Any) -> Path:
        torch.save(content, tmp_path / name)
        return tmp_path / name

    class Trap:
        def __reduce__(self) -> Any:
            return Path.touch, (tmp_path / "opened",)

    state = trained.state_dict()
    short = {key: value for key, value in state.items() if key != "network.4.bias"}
    flat = {**state, "network.0.weight": state["network.0.weight"][:, :1]}
    (tmp_path / "text").write_text("weights")
    deep = {"mlp_extractor.policy_net.0.weight": torch.zeros(2, 2)}
    for path, match in (
        (tmp_path / "missing.zip", "cannot be read"),
        (tmp_path / "text", "Unknown kind of checkpoint"),
        (saved("list", [1]), "Unknown kind of checkpoint"),
        (saved("short", short), "Unknown kind of checkpoint"),
        (saved("trap", Trap()), "Unknown kind of checkpoint"),
        (saved("flat", flat), "four gray frames"),
        (_sb3(trained, tmp_path / "deep.zip", more=deep), "further layers"),
    ):
        with pytest.raises(DataError, match=match):
            load_agent(path)
    assert not (tmp_path / "opened").exists()
    with pytest.raises(UsageError, match="not for this game"):
        get_episodes("breakout", policy=saved("pong", state), **PPO, cache_dir=folder)


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ({"collect_mode": "ppo"}, "collect_mode"),
        ({"train_mode": "test"}, "train_mode"),
        ({"steps": 0}, "steps"),
        ({"steps": 5e4}, "steps"),
        ({"seed": -1}, "seed"),
        ({"seed": True}, "seed"),
        ({"num_processes": 0}, "num_processes"),
        ({"num_frame_stack": 0}, "num_frame_stack"),
        ({"min_episode_length": -1}, "min_episode_length"),
        ({"entropy_threshold": -0.1}, "entropy_threshold"),
        ({"entropy_threshold": float("nan")}, "entropy_threshold"),
        ({"entropy_threshold": None}, "entropy_threshold"),
        ({"entropy_threshold": "0.6"}, "entropy_threshold"),
        ({"checkpoint_index": 3}, "checkpoint_index"),
        ({"collect_mode": "pretrained_ppo"}, "policy"),
        ({"policy": "agent.zip"}, "policy"),
        ({"collect_mode": "pretrained_ppo", "policy": 3}, "Not a policy"),
        ({"steps": 150}, "do not fill the splits"),
        ({"num_processes": 257}, "lanes"),
    ],
)
def test_bad_arguments(arguments: dict[str, Any], match: str, folder: str) -> None:
    with pytest.raises(UsageError, match=match):
        get_episodes("pong", **arguments, cache_dir=folder)


def test_an_unknown_policy_says_which_are_known(folder: str) -> None:
    with pytest.raises(UsageError, match="No such policy: 'random'") as raised:
        load_dataset("atariari", "pong", seed=1, policy="random", cache_dir=folder)
    assert str(raised.value.expected).startswith("random_agent, the file of a checkpoint")


def test_an_unknown_game(folder: str) -> None:
    with pytest.raises(UnknownNameError, match="Did you mean 'pong'"):
        get_episodes("PogNoFrameskip-v4", cache_dir=folder)


def test_what_is_recorded_on_the_spot_is_read_from_the_cache_again(
    folder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = load_dataset("atariari", "pong", steps=100, seed=9, unsplit=True, cache_dir=folder)
    monkeypatch.setattr("builders.atariari.record_fresh", None)
    for kind in (int, np.int64, np.uint8):  # the same folder, whosever integers they are
        numbers = {"steps": kind(100), "seed": kind(9)}
        again = load_dataset("atariari", "pong", **numbers, unsplit=True, cache_dir=folder)
        assert isinstance(again, datasets.DatasetDict)
        assert again["train"]["action"][:] == first["train"]["action"][:]


def test_numpy_s_integers_are_integers(folder: str) -> None:
    numbers = {"steps": np.int64(100), "seed": np.int64(11), "lanes": np.int32(1)}
    data = load_dataset("atariari", "pong", **numbers, unsplit=True, cache_dir=folder)
    assert len(data["train"]) >= 100
