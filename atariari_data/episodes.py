"""`get_episodes`: the call of the 2019 benchmark, with its arguments and its shapes, from the dataset."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from atariari_data.dataset import NAME, load_dataset
from atariari_data.errors import MissingExtraError, UsageError
from atariari_data.games import DEFAULT_LABEL_SET, Game, game
from atariari_data.labels import RAM_BYTES, labels
from atariari_data.observations import pixels, shrink

if TYPE_CHECKING:
    import numpy.typing as npt
    import torch

    Frames = list[list[torch.Tensor]]
    Labels = list[list[dict[str, int]]]

COLLECT_MODES = ("random_agent", "pretrained_ppo")
TRAIN_MODES = ("probe", "train_encoder", "dry_run")
_ORIGINAL_LABELS = "anand2019"
# What the frozen configs were recorded with. They have eight lanes, as in the published runs; one, the
# default of the original's function, asks for nothing in particular.
_FROZEN_SEED, _FROZEN_LANES, _FROZEN_MIN_LENGTH = 42, (1, 8), 64
_FROZEN_STEPS = {"probe": 50_000, "train_encoder": 100_000, "dry_run": 50_000}


@dataclass(frozen=True)
class _Episode:
    """An episode: its number, its frames, and what its RAM says, uint8 [n] by variable."""

    number: int
    frames: list[torch.Tensor]
    labels: Mapping[str, npt.NDArray[np.uint8]]


def get_episodes(
    env_name: str,
    steps: int = 50_000,
    seed: int = 42,
    num_processes: int = 1,
    num_frame_stack: int = 1,
    downsample: bool = False,
    color: bool = False,
    entropy_threshold: float = 0.6,
    collect_mode: str = "random_agent",
    train_mode: str = "probe",
    checkpoint_index: int = -1,
    min_episode_length: int = 64,
    *,
    policy: str | Path | Callable[..., Any] | None = None,
    label_set: str | None = None,
    cache_dir: str | None = None,
    num_proc: int | None = None,
) -> tuple[Any, ...]:
    """Return a game's episodes and labels, with the arguments and in the shapes of arXiv 1906.08226's code.

    The defaults give the frozen rows of ``load_dataset("atariari", GAME)``, and ``steps=100_000,
    train_mode="train_encoder"`` those of ``GAME_pretrain``. Any other ``steps``, ``seed``,
    ``num_processes`` (1 and 8 are as frozen), ``min_episode_length`` or ``policy`` is recorded on the spot
    and kept in the cache of `datasets`; the same arguments give the same episodes, on any machine.

    A frame is a ``torch.uint8`` tensor [channels * num_frame_stack, height, width]: [1, 210, 160] by default.
    All frames of an episode are views of one tensor, so do not write to them.

    Args:
        env_name: A game, or an environment id: ``PitfallNoFrameskip-v4``.
        steps: Frames to record, over all lanes.
        seed: Of all that is random.
        num_processes: Lanes: emulators with a seed of their own each, whose episodes stand one lane after
            the other. It is no number of processes here.
        num_frame_stack: Frames side by side in the first axis, oldest first; black before the first one.
        downsample: 84 x 84 instead of 210 x 160, by area (`atariari_data.observations.shrink`).
        color: RGB instead of gray (ITU-R 601 luma).
        entropy_threshold: In nats; variables with less, over all rows returned, are left out of the labels.
        collect_mode: ``random_agent``, or ``pretrained_ppo``: as ``policy`` says, but 20 % random actions.
        train_mode: What is returned, see below.
        checkpoint_index: The original's way to choose among its own checkpoints; only -1 is taken.
        min_episode_length: Episodes of this many frames or fewer are dropped.
        policy: For ``pretrained_ppo``: a checkpoint of Stable-Baselines3 or CleanRL (a path, or
            ``"hf:ORG/REPO/FILE"`` on the Hugging Face Hub), or a callable. It is called with uint8
            [1, 4, 84, 84] (gray, oldest first) and returns an index into the game's minimal action set;
            where it has parameters of these names, it is given ``actions``, that set as ALE's numbers, and
            ``generator``, the only source of randomness that keeps its episodes reproducible. A
            callable's episodes are recorded anew at each call.
        label_set: ``v1`` or ``anand2019``; by default the original's, ``anand2019``, where the game has it.
        cache_dir: As in ``load_dataset``.
        num_proc: Processes to build with, as in ``load_dataset``; it changes no row.

    Returns:
        Lists of episodes, an episode being a list of frames; labels likewise, a ``dict`` of ``int`` for each
        frame. For ``train_mode``

        - ``probe``: ``tr_episodes, val_episodes, tr_labels, val_labels, test_episodes, test_labels``;
        - ``train_encoder``: ``tr_episodes, val_episodes``;
        - ``dry_run``: ``episodes, labels``, all of them in the order in which they were recorded.

        Validation and test hold no frame whose pixels occur in an earlier split.

    Raises:
        UsageError: An argument that cannot be meant, or so few steps that a split has no episode.
        UnknownNameError: No such game or label set; says which are known, and the nearest.
        MissingExtraError: PyTorch is not installed.
        DataError: The checkpoint cannot be read or is of another kind; or as ``load_dataset``.
        DriftError: As ``load_dataset``.
    """
    try:
        import torch  # noqa: F401  to say so before anything is built
    except ImportError as error:
        raise MissingExtraError("torch", "harness") from error
    _check_choice("collect_mode", collect_mode, COLLECT_MODES)
    _check_choice("train_mode", train_mode, TRAIN_MODES)
    _check_policy(collect_mode, policy, checkpoint_index)
    for name, value, least in (
        ("steps", steps, 1),
        ("seed", seed, 0),
        ("num_processes", num_processes, 1),
        ("num_frame_stack", num_frame_stack, 1),
        ("min_episode_length", min_episode_length, 0),
    ):
        _check_count(name, value, least)
    if not entropy_threshold >= 0:
        raise UsageError("entropy_threshold cannot be negative.", expected=">= 0", got=entropy_threshold)
    of = game(env_name)
    label_set = label_set or (_ORIGINAL_LABELS if _ORIGINAL_LABELS in of.label_sets else DEFAULT_LABEL_SET)
    of.variables(label_set)

    wanted: dict[str, Any] = {}
    if (
        steps != _FROZEN_STEPS[train_mode]
        or seed != _FROZEN_SEED
        or num_processes not in _FROZEN_LANES
        or min_episode_length != _FROZEN_MIN_LENGTH
        or policy is not None
    ):
        wanted = {
            "steps": int(steps),
            "seed": int(seed),
            "lanes": int(num_processes),
            "min_episode_rows": int(min_episode_length) + 1,
        }
        if policy is not None:
            wanted["policy"] = policy
        if train_mode == "dry_run":
            wanted["unsplit"] = True
    config = f"{of.name}_pretrain" if train_mode == "train_encoder" else of.name
    # Nothing tells whether a callable is still the same, so what it played is not kept.
    with tempfile.TemporaryDirectory() if callable(policy) else nullcontext(cache_dir) as folder:
        data = load_dataset(NAME, config, cache_dir=folder, num_proc=num_proc, **wanted)
        splits = {
            name: _read(split, of, label_set, num_frame_stack, downsample=downsample, color=color)
            for name, split in data.items()
        }
        del data
    if train_mode == "train_encoder":
        return _frames(splits["train"]), _frames(splits["validation"])
    everything = sorted((e for split in splits.values() for e in split), key=lambda e: e.number)
    kept = _variables_kept(everything, entropy_threshold)
    if train_mode == "dry_run":
        return _frames(everything), _labels(everything, kept)
    train, validation, test = splits["train"], splits["validation"], splits["test"]
    return (
        _frames(train),
        _frames(validation),
        _labels(train, kept),
        _labels(validation, kept),
        _frames(test),
        _labels(test, kept),
    )


def _check_choice(name: str, value: object, known: tuple[str, ...]) -> None:
    if value not in known:
        raise UsageError(f"There is no {name} {value!r}.", expected="one of " + ", ".join(known), got=value)


def _check_count(name: str, value: object, least: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < least:
        raise UsageError(f"{name} cannot be this.", expected=f"an integer from {least}", got=repr(value))


def _check_policy(collect_mode: str, policy: object, checkpoint_index: int) -> None:
    if (collect_mode == "pretrained_ppo") != (policy is not None):
        raise UsageError(
            "collect_mode and policy do not go together.",
            expected='collect_mode="pretrained_ppo" with policy=, or neither',
            got=f"collect_mode={collect_mode!r}, policy={policy!r}",
            cure='policy="hf:sb3/ppo-PongNoFrameskip-v4/ppo-PongNoFrameskip-v4.zip", a file or a callable',
        )
    if checkpoint_index != -1:
        raise UsageError(
            "checkpoint_index chose among checkpoints of the original that are not used here.",
            expected=-1,
            got=checkpoint_index,
            cure="Name the checkpoint with policy=.",
        )


def _read(
    split: Any, of: Game, label_set: str, stack: int, *, downsample: bool, color: bool
) -> list[_Episode]:
    """Decode a split of the dataset, an episode at a time."""
    number = np.asarray(split.with_format("numpy", columns=["episode"])["episode"][:])
    cuts = np.flatnonzero(np.diff(number)) + 1
    rows = split.with_format("arrow", columns=["frame", "ram"])
    episodes = []
    for start, end in zip([0, *cuts], [*cuts, len(number)], strict=True):
        if start == end:  # the split has no rows
            continue
        table = rows[int(start) : int(end)].combine_chunks()
        png = table["frame"].chunk(0).field("bytes").to_pylist()
        frames = np.stack([pixels(content, color=color) for content in png])
        ram = np.asarray(table["ram"].chunk(0).flatten()).reshape(-1, RAM_BYTES)
        episodes.append(
            _Episode(
                number=int(number[start]),
                frames=_stacked(shrink(frames) if downsample else frames, stack),
                labels=labels(ram, of.name, label_set),
            )
        )
    return episodes


def _stacked(frames: npt.NDArray[np.uint8], stack: int) -> list[torch.Tensor]:
    """View uint8 [n, c, h, w] as n tensors [stack * c, h, w], which overlap in memory."""
    import torch

    n, channels, *size = frames.shape
    black = np.zeros((stack - 1, channels, *size), np.uint8)
    strip = torch.from_numpy(np.concatenate([black, frames])).view(-1, *size)
    return [strip[at * channels : (at + stack) * channels] for at in range(n)]


def _variables_kept(episodes: list[_Episode], threshold: float) -> list[str]:
    kept = []
    for name in episodes[0].labels:
        count = np.bincount(np.concatenate([e.labels[name] for e in episodes]))
        share = count[count > 0] / count.sum()
        if -(share * np.log(share)).sum() >= threshold:
            kept.append(name)
    return kept


def _frames(episodes: list[_Episode]) -> Frames:
    return [episode.frames for episode in episodes]


def _labels(episodes: list[_Episode], names: list[str]) -> Labels:
    return [
        [
            dict(zip(names, values, strict=True))
            for values in np.stack([e.labels[name] for name in names], axis=1).tolist()
        ]
        if names
        else [{} for _ in e.frames]
        for e in episodes
    ]
