"""`get_episodes`: the function of the 2019 benchmark, with its arguments and shapes, on this dataset."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from atariari_data.checks import count, not_negative
from atariari_data.dataset import NAME
from atariari_data.errors import MissingExtraError, UsageError
from atariari_data.games import DEFAULT_LABEL_SET, Game, game
from atariari_data.labels import RAM_BYTES, labels
from atariari_data.observations import pixels, shrink

if TYPE_CHECKING:
    import numpy.typing as npt
    import torch

    Frames = list[list[torch.Tensor]]
    Labels = list[list[dict[str, int]]]

COLLECT_MODES = ("random_agent", "pretrained_ppo", "deep")
TRAIN_MODES = ("probe", "train_encoder", "dry_run")
_ORIGINAL_LABELS = "anand2019"
# How the frozen configs were recorded. They have eight lanes, as in the published runs; 1 is the default of
# the original's function and means the same.
_FROZEN_SEED, _FROZEN_LANES, _FROZEN_MIN_LENGTH = 42, (1, 8), 64
_FROZEN_STEPS = {"probe": 50_000, "train_encoder": 100_000, "dry_run": 50_000}


@dataclass(frozen=True)
class _Episode:
    """An episode: its number, its frames, and its labels, uint8 [n] by variable."""

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
    """Return a game's episodes and labels, with the arguments and shapes of the code of arXiv 1906.08226.

    The defaults return the frozen rows of ``load_dataset("atariari", GAME)``, and ``steps=100_000,
    train_mode="train_encoder"`` those of ``GAME_pretrain``; ``collect_mode="deep"`` those of ``GAME_deep``,
    states that random play does not reach. For any other ``steps``, ``seed``,
    ``num_processes`` (1 and 8 both mean the frozen rows), ``min_episode_length`` or ``policy``, new episodes
    are recorded and cached. The same arguments give the same episodes on every machine.

    A frame is a ``torch.uint8`` tensor [channels * num_frame_stack, height, width]: [1, 210, 160] by default.
    All frames of an episode are views of one tensor, so copy them before writing to them.

    Args:
        env_name: A game, or an environment id such as ``PitfallNoFrameskip-v4``.
        steps: Number of frames to record, over all lanes.
        seed: Random seed.
        num_processes: Number of lanes: emulators with different seeds. The episodes are ordered by lane.
            Unlike in the original, this is not the number of processes (see ``num_proc``).
        num_frame_stack: Frames to stack along the first axis: the frame and those before it in the emulator,
            oldest first. The first frame of an episode is repeated where there is none before it.
        downsample: Resize to 84 x 84 by area (`atariari_data.observations.shrink`).
        color: Return RGB instead of gray (ITU-R 601 luma).
        entropy_threshold: Drop variables with less entropy, in nats, over all rows returned.
        collect_mode: ``random_agent``; ``pretrained_ppo``: ``policy`` with 20 % random actions; or ``deep``,
            which is frozen and takes neither ``steps``, ``seed`` nor ``policy``.
        train_mode: What to return, see below.
        checkpoint_index: Not supported; must be -1. Choose a checkpoint with ``policy``.
        min_episode_length: Drop episodes of this many frames or fewer.
        policy: For ``pretrained_ppo``: a checkpoint of Stable-Baselines3 or CleanRL (a path, or
            ``"hf:ORG/REPO/FILE"`` on the Hugging Face Hub), or a callable. A callable gets uint8
            [1, 4, 84, 84] (gray, oldest first) and returns an index into the game's minimal action set. If
            it has parameters of these names, it also gets ``actions``, the minimal action set as ALE's
            numbers, and ``generator``, which must be its only source of randomness for its episodes to be
            reproducible. A callable's episodes are recorded again at each call.
        label_set: ``v1`` or ``anand2019``; by default ``anand2019``, as in the original, if the game has it.
        cache_dir: As in ``load_dataset``.
        num_proc: Number of processes to build with, as in ``load_dataset``; it does not affect the rows.

    Returns:
        Lists of episodes, each a list of frames, and lists of labels, a ``dict`` of ``int`` per frame.
        Depending on ``train_mode``:

        - ``probe``: ``tr_episodes, val_episodes, tr_labels, val_labels, test_episodes, test_labels``;
        - ``train_encoder``: ``tr_episodes, val_episodes``;
        - ``dry_run``: ``episodes, labels``, all episodes in the order in which they were recorded; of the
          frozen rows without those that validation and test leave out.

        Validation and test contain no frame whose pixels occur in an earlier split.

    Raises:
        UsageError: An invalid argument, or too few steps to fill every split.
        UnknownNameError: No such game or label set, or a game without deep states. The message lists the
            known ones.
        MissingExtraError: PyTorch is not installed.
        DataError: The checkpoint cannot be read or is not supported; or as for ``load_dataset``.
        DriftError: As for ``load_dataset``.
    """
    try:
        import torch  # noqa: F401  fail before anything is built
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
        count(name, value, least)
    not_negative("entropy_threshold", entropy_threshold)
    of = game(env_name)
    if label_set is None:
        label_set = _ORIGINAL_LABELS if _ORIGINAL_LABELS in of.label_sets else DEFAULT_LABEL_SET
    of.variables(label_set)

    wanted: dict[str, Any] = {}
    is_fresh = (
        steps not in _frozen_steps(collect_mode, train_mode)
        or seed != _FROZEN_SEED
        or num_processes not in _FROZEN_LANES
        or min_episode_length != _FROZEN_MIN_LENGTH
        or policy is not None
    )
    config = of.name + _suffix(collect_mode, train_mode, is_fresh=is_fresh)
    if is_fresh:
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
    # A callable may have changed since the last call, so its episodes are not cached.
    with tempfile.TemporaryDirectory() if callable(policy) else nullcontext(cache_dir) as folder:
        import datasets

        builder = datasets.load_dataset_builder(NAME, config, cache_dir=folder, **wanted)
        builder.download_and_prepare(num_proc=num_proc)
        data = builder.as_dataset()
        left_out = builder.as_dataset("left_out") if num_frame_stack > 1 else None
        splits = {
            name: _read(split, left_out, of, label_set, num_frame_stack, downsample=downsample, color=color)
            for name, split in data.items()
        }
        del data, left_out
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
        raise UsageError(f"Unknown {name}: {value!r}.", expected="one of " + ", ".join(known), got=value)


def _frozen_steps(collect_mode: str, train_mode: str) -> set[int]:
    """Return the values of ``steps`` that mean frozen rows; of deep ones, also the function's default."""
    return {_FROZEN_STEPS[train_mode], *([_FROZEN_STEPS["probe"]] if collect_mode == "deep" else [])}


def _suffix(collect_mode: str, train_mode: str, *, is_fresh: bool) -> str:
    """Return what follows the game's name in the config that has the episodes."""
    if collect_mode != "deep":
        return "_pretrain" if train_mode == "train_encoder" else ""
    if is_fresh:
        raise UsageError(
            "Deep episodes are frozen.",
            expected="the defaults of steps, seed, num_processes and min_episode_length",
            cure='Leave them out, or take collect_mode="random_agent".',
        )
    return "_deep"


def _check_policy(collect_mode: str, policy: object, checkpoint_index: int) -> None:
    if (collect_mode == "pretrained_ppo") != (policy is not None):
        raise UsageError(
            "collect_mode and policy do not match.",
            expected='collect_mode="pretrained_ppo" together with policy=, or neither',
            got=f"collect_mode={collect_mode!r}, policy={policy!r}",
            cure='policy="hf:sb3/ppo-PongNoFrameskip-v4/ppo-PongNoFrameskip-v4.zip", a file or a callable',
        )
    if checkpoint_index != -1:
        raise UsageError(
            "checkpoint_index is not supported: the original's checkpoints are not used here.",
            expected=-1,
            got=checkpoint_index,
            cure="Pass the checkpoint as policy=.",
        )


def _read(
    split: Any, left_out: Any, of: Game, label_set: str, stack: int, *, downsample: bool, color: bool
) -> list[_Episode]:
    """Decode a split of the dataset, one episode at a time.

    Args:
        split: Its rows.
        left_out: The rows that are left out, needed to stack frames; None if ``stack`` is 1.
        of: The game.
        label_set: The label set.
        stack: Frames to stack.
        downsample: Whether to resize to 84 x 84.
        color: Whether to keep colours.
    """

    def decode(table: Any) -> npt.NDArray[np.uint8]:
        png = table["frame"].combine_chunks().field("bytes").to_pylist()
        frames = np.stack([pixels(content, color=color) for content in png])
        return shrink(frames) if downsample else frames

    rows = split.with_format("arrow", columns=["frame", "ram", "step"])
    missing: dict[int, tuple[int, int]] = {}
    if left_out is not None:
        missing = {number: (start, end) for number, start, end in _runs(left_out)}
        context = left_out.with_format("arrow", columns=["frame", "step"])
    episodes = []
    for number, start, end in _runs(split):
        table = rows[start:end].combine_chunks()
        frames, at = decode(table), np.arange(end - start)
        if number in missing:
            more, at = context[slice(*missing[number])], np.asarray(table["step"])
            steps = np.concatenate([at, np.asarray(more["step"])])
            frames = np.concatenate([frames, decode(more)])[np.argsort(steps)]
        ram = np.asarray(table["ram"].chunk(0).flatten()).reshape(-1, RAM_BYTES)
        found = labels(ram, of.name, label_set)
        episodes.append(_Episode(number=number, frames=_stacked(frames, at, stack), labels=found))
    return episodes


def _runs(split: Any) -> list[tuple[int, int, int]]:
    """Return number, first row and end of each episode in a split."""
    number = np.asarray(split.with_format("numpy", columns=["episode"])["episode"][:])
    if not len(number):
        return []
    cuts = np.flatnonzero(np.diff(number)) + 1
    starts, ends = [0, *cuts.tolist()], [*cuts.tolist(), len(number)]
    return [(int(number[start]), start, end) for start, end in zip(starts, ends, strict=True)]


def _stacked(frames: npt.NDArray[np.uint8], at: npt.NDArray[np.intp], stack: int) -> list[torch.Tensor]:
    """View uint8 [n, c, h, w] at m places as tensors [stack * c, h, w], which overlap in memory."""
    import torch

    _, channels, *size = frames.shape
    strip = torch.from_numpy(np.concatenate([frames[:1]] * (stack - 1) + [frames])).view(-1, *size)
    return [strip[i * channels : (i + stack) * channels] for i in at.tolist()]


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
