"""Builds that are killed, interrupted or run twice at once: real processes, real signals."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from builders.manifest import load_manifest
from builders.verify import verify

# The first line undoes what a shell does to what it starts in the background: interrupts are ignored there.
CODE = """
import signal; signal.signal(signal.SIGINT, signal.default_int_handler)
from builders.cli.main import main; main()
"""


WITHOUT_LOCKS = """
import errno, fcntl, os
def flock(*_):
    raise OSError(errno.{}, os.strerror(errno.{}))
fcntl.flock = fcntl.lockf = flock
"""


def _build(cache: Path, processes: int = 1, before: str = "") -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", before + CODE, "build", "pong", "--jobs", str(processes)],
        env={**os.environ, "HF_DATASETS_CACHE": str(cache)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def _lanes(cache: Path) -> set[Path]:
    # Not rglob: it descends into folders of unfinished lanes, which vanish under it.
    return set(cache.glob("atariari/*/*/*.lanes/lane-*"))


def _is_whole(cache: Path) -> bool:
    digests = verify("pong", cache_dir=str(cache))
    return digests == {n: s.digest for n, s in load_manifest("pong").configs["pong"].splits.items()}


@pytest.mark.parametrize("processes", [1, 2])
def test_a_killed_build_goes_on_with_what_was_finished(processes: int, tmp_path: Path) -> None:
    """Kill -9 twice, the parent alone and then its workers too, and build."""
    for lanes, everybody in ((2, False), (5, True)):
        process = _build(tmp_path, processes)
        while process.poll() is None and len(_lanes(tmp_path)) < lanes:
            time.sleep(0.01)
        assert process.poll() is None, "it was too quick to be killed"
        before = _lanes(tmp_path)
        os.killpg(process.pid, signal.SIGKILL) if everybody else process.kill()
        process.wait()
        assert before <= _lanes(tmp_path)
    last = _build(tmp_path, processes)
    _, narration = last.communicate(timeout=240)
    assert last.returncode == 0, narration
    assert "of 8 lanes" not in narration, "lanes that were done are not done again"
    assert _is_whole(tmp_path)
    assert not list(tmp_path.rglob("*.lanes"))
    assert not list(tmp_path.rglob("*.incomplete"))


@pytest.mark.slow
@pytest.mark.parametrize("delay", [0.1 * i for i in range(1, 60, 2)])
def test_killed_at_any_moment(delay: float, tmp_path: Path) -> None:
    process = _build(tmp_path, 2)
    time.sleep(delay)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    again = _build(tmp_path, 2)
    _, narration = again.communicate(timeout=120)
    assert again.returncode == 0, narration
    assert _is_whole(tmp_path)


def test_of_two_builds_at_once_one_builds_and_the_other_reads(tmp_path: Path) -> None:
    both = [_build(tmp_path), _build(tmp_path)]
    told = [process.communicate(timeout=240) for process in both]
    assert [process.returncode for process in both] == [0, 0], told
    assert told[0][0] == told[1][0]
    replayed = [narration.count("Replaying pong: 8 of 8 lanes, took") > 0 for _, narration in told]
    assert sorted(replayed) == [False, True]
    assert _is_whole(tmp_path)


@pytest.mark.slow
def test_builds_at_once_on_a_disk_without_locks_leave_one_copy(tmp_path: Path) -> None:
    codes = [WITHOUT_LOCKS.format(name, name) for name in ("ENOLCK", "ENOSYS")]
    both = [_build(tmp_path, before=code) for code in codes]
    told = [process.communicate(timeout=240) for process in both]
    assert [process.returncode for process in both] == [0, 0], told
    assert told[0][0] == told[1][0]
    assert all("Replaying pong: 8 of 8 lanes, took" in narration for _, narration in told)
    assert not list(tmp_path.glob("atariari/**/*apart-*"))
    (info,) = tmp_path.glob("atariari/**/dataset_info.json")
    info.write_text("damaged", encoding="utf-8")
    third = _build(tmp_path, before=codes[0])
    assert "is damaged and is built again" in third.communicate(timeout=240)[1]
    assert _is_whole(tmp_path)
    fourth = _build(tmp_path, before=codes[1])
    assert "Replaying" not in fourth.communicate(timeout=240)[1]
    assert fourth.returncode == 0


@pytest.mark.parametrize("processes", [1, 2])
def test_ctrl_c_stops_at_once_and_leaves_a_clean_state(processes: int, tmp_path: Path) -> None:
    process = _build(tmp_path, processes)
    while process.poll() is None and not _lanes(tmp_path):
        time.sleep(0.01)
    assert process.poll() is None
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to every process in the foreground
    _, narration = process.communicate(timeout=120)
    assert process.returncode == 130, narration
    assert "Traceback" not in narration
    assert not list(tmp_path.rglob("*.incomplete"))
    assert _build(tmp_path, processes).wait(240) == 0
    assert _is_whole(tmp_path)


def test_a_terminated_build_leaves_nothing_that_is_taken_for_whole(tmp_path: Path) -> None:
    process = _build(tmp_path)
    while process.poll() is None and not _lanes(tmp_path):
        time.sleep(0.01)
    process.terminate()
    process.wait(30)
    assert not list(tmp_path.rglob("dataset_info.json"))
    assert _build(tmp_path).wait(240) == 0
    assert _is_whole(tmp_path)
