"""Rows for training: the very pixels of the dataset, stretches without gaps, batches that a seed decides."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from atariari_data import load_dataset
from atariari_data.errors import DataError
from harness.cache import Cache, default_dir
from harness.encoders.frame_spec import FrameSpec
from harness.methods import rows as rows_module
from harness.methods.rows import Rows, open_rows
from harness.methods.sampling import draw_epoch, validation_batches
from harness.splits import open_split


@pytest.fixture(scope="module")
def pong() -> Rows:
    return open_rows("pong", "train", progress=False)


def _made(lengths: tuple[int, ...]) -> Rows:
    """Stretches of these lengths; two make an episode."""
    stretch = np.repeat(np.arange(len(lengths)), lengths)
    n = len(stretch)
    frames = np.arange(n, dtype=np.uint8).reshape(n, 1, 1)
    return Rows(frames, stretch, np.zeros(n, np.uint8), np.zeros((n, 128), np.uint8), stretch // 2)


def test_frames_are_those_of_the_dataset(pong: Rows) -> None:
    split = open_split("pong_pretrain", "train")
    expected = np.concatenate(list(split.batches(FrameSpec())))[:, 0]
    assert np.array_equal(pong.frames, expected)
    assert np.array_equal(pong.ram, split.ram)
    assert isinstance(pong.frames, np.memmap)


def test_small_frames_are_resized_as_the_encoder_is_given_them(pong: Rows) -> None:
    small = open_rows("pong", "train", (84, 84), progress=False)
    spec = FrameSpec(size=(84, 84))
    assert np.array_equal(small.frames[:5], spec.arrange(pong.frames[:5, None])[:, 0])


def test_frames_are_decoded_once(pong: Rows, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rows_module, "open_split", None)
    assert np.array_equal(open_rows("pong", "train", progress=False).frames, pong.frames)


@pytest.mark.parametrize("split", ["train", "validation"])
def test_consecutive_rows_are_one_step_apart_in_one_episode(split: str) -> None:
    rows = open_rows("pong", split, progress=False)
    data = load_dataset("atariari", "pong_pretrain", split=split)
    episode, step = np.array(data["episode"]), np.array(data["step"])
    for length in (2, 5):
        starts = rows.starts(length)
        assert len(starts)
        for start in starts:
            assert len(set(episode[start : start + length])) == 1
            assert list(step[start : start + length]) == list(range(step[start], step[start] + length))
    assert np.array_equal(np.diff(rows.episode) != 0, np.diff(episode) != 0)
    allowed = (np.diff(episode) == 0) & (np.diff(step) == 1)
    assert len(rows.starts(2)) == allowed.sum()  # and none is left out
    if split == "validation":
        assert ((np.diff(episode) == 0) & (np.diff(step) > 1)).any()  # there are gaps to be seen


def test_actions_are_those_taken_at_the_row(pong: Rows) -> None:
    actions = load_dataset("atariari", "pong_pretrain", split="train")["action"]
    assert pong.actions.tolist() == [0 if action is None else action for action in actions]


def test_no_room_is_said_before_decoding(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("ATARIARI_CACHE", str(tmp_path))
    usage = type("Usage", (), {"free": 10})
    monkeypatch.setattr("shutil.disk_usage", lambda _: usage)
    with pytest.raises(DataError, match=r"Not enough disk space.* for the frames of pong"):
        open_rows("pong", "train", progress=False)
    assert not list((tmp_path / "frames").iterdir())


def test_a_disk_that_fills_meanwhile_is_said(
    pong: Rows, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def full(descriptor: int, start: int, length: int) -> None:
        assert os.fstat(descriptor).st_size == length > pong.frames.nbytes + start
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setenv("ATARIARI_CACHE", str(tmp_path))
    monkeypatch.setattr("os.posix_fallocate", full, raising=False)
    with pytest.raises(DataError, match=r"cannot be written(.|\n)*enough space"):
        open_rows("pong", "train", progress=False)
    assert not list((tmp_path / "frames").iterdir())


def test_two_processes_may_decode_the_same(
    pong: Rows, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def meanwhile(*given: Any, **options: Any) -> object:
        monkeypatch.setattr(rows_module, "open_split", open_split)
        open_rows("pong", "train", progress=False)
        return open_split(*given, **options)

    monkeypatch.setenv("ATARIARI_CACHE", str(tmp_path))
    monkeypatch.setattr(rows_module, "open_split", meanwhile)
    assert np.array_equal(open_rows("pong", "train", progress=False).frames, pong.frames)


def test_the_cache_counts_frames_and_does_not_drop_them_for_features(pong: Rows) -> None:
    cache = Cache(default_dir(), gigabytes=0)
    assert cache.size() >= pong.frames.nbytes
    cache.keep_features(f"{1:064x}", np.zeros((9, 9), np.float32), {})
    assert list((default_dir() / "frames").glob("*-210x160.npy"))


def test_an_epoch_holds_every_pair_once() -> None:
    rows = _made((7, 1, 12, 3))
    index = draw_epoch(rows, 2, 4, seed=1, epoch=0)
    assert index.shape == (4, 4, 2)  # 19 pairs, the last three in no full batch
    pairs = index.reshape(-1, 2)
    assert np.array_equal(pairs[:, 0] + 1, pairs[:, 1])
    assert (rows.stretch[pairs[:, 0]] == rows.stretch[pairs[:, 1]]).all()
    assert len(np.unique(pairs[:, 0])) == len(pairs)


def test_seed_and_epoch_decide_the_batches() -> None:
    rows = _made((50, 50))
    first = draw_epoch(rows, 2, 4, seed=1, epoch=0)
    assert np.array_equal(first, draw_epoch(rows, 2, 4, seed=1, epoch=0))
    assert not np.array_equal(first, draw_epoch(rows, 2, 4, seed=1, epoch=1))
    assert not np.array_equal(first, draw_epoch(rows, 2, 4, seed=2, epoch=0))


def test_long_samples_cover_each_row_about_once() -> None:
    rows = _made((400,))
    index = draw_epoch(rows, 20, 4, seed=0, epoch=0)
    assert index.shape == (5, 4, 20)


def test_few_long_samples_are_a_batch_for_training_and_for_validation() -> None:
    rows = _made((60, 60, 15))  # 108 samples of 10; 12 cover each row about once
    for index in (draw_epoch(rows, 10, 64, seed=0, epoch=0), validation_batches(rows, 10, 64, 100)):
        assert index.shape == (1, 64, 10)
        assert len(np.unique(index[0, :, 0])) == 64
    assert validation_batches(rows, 10, 200, 100).shape == (1, 108, 10)


def test_the_random_frame_is_of_the_same_episode() -> None:
    rows = _made((7, 1, 12, 30))
    index = draw_epoch(rows, 2, 4, seed=1, epoch=0, random_frame=True)
    pair, other = index[..., 0].ravel(), index[..., 2].ravel()
    assert (rows.episode[other] == rows.episode[pair]).all()
    assert (rows.stretch[other] != rows.stretch[pair]).any()
    assert len(np.unique(other - pair)) > 5


def test_too_few_frames_are_an_error_with_a_way_out() -> None:
    with pytest.raises(DataError, match=r"(?s)Not enough samples of 9.*sequence_length") as caught:
        draw_epoch(_made((8, 8)), 9, 2, seed=0, epoch=0)
    assert (caught.value.expected, caught.value.got) == ("at least 2", "0")
    assert draw_epoch(_made((9, 9)), 9, 2, seed=0, epoch=0).shape == (1, 2, 9)


def test_validation_takes_smaller_batches_where_rows_are_few() -> None:
    assert validation_batches(_made((7,)), 2, 64, 100).shape == (1, 6, 2)
    assert validation_batches(_made((70,)), 2, 10, 3).shape == (3, 10, 2)
