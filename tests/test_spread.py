"""Work spread over processes: outcomes, errors, lost workers, and what a worker prints."""

from __future__ import annotations

import logging
import os
import platform
import re
import signal
import subprocess
import sys
import tomllib
from pathlib import Path

import click
import pytest
from click.testing import CliRunner
from joblib.externals.loky import get_reusable_executor

from atariari_data.errors import UsageError
from builders.cli.main import cli
from builders.spread import ClusterError, Engine, Outcome, Task, spread

ROOT = Path(__file__).parents[1]


def work(number: int, folder: str) -> int:
    """Return the square, or fail as the number says."""
    logging.getLogger("harness.here").info("working on %d", number)
    if number == 1:
        raise UsageError("One is refused.", cure="Take two.")
    if number == 2:
        raise ValueError("two is odd")
    if number == 3:
        end_once(folder)
    return number**2


def end_once(folder: str) -> None:
    """End the process at once, the first time."""
    mark = Path(folder, "ended")
    if not mark.exists():
        mark.touch()
        os.kill(os.getpid(), signal.SIGKILL)


def end(_: int) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def test_a_task_that_fails_or_loses_its_worker_costs_no_other(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "harness")  # as the commands do
    get_reusable_executor(max_workers=2).shutdown()  # workers that an earlier test left print into its output
    tasks = [Task(f"g{number}", (number, str(tmp_path))) for number in range(5)]
    found: list[Outcome[int]] = sorted(spread(work, tasks, Engine(2)), key=lambda o: o.number)
    assert [outcome.made for outcome in found] == [0, None, None, 9, 16]
    assert [outcome.name for outcome in found] == ["g0", "g1", "g2", "g3", "g4"]
    with pytest.raises(UsageError, match="One is refused"):
        found[1].get()
    assert "ValueError: two is odd" in str(found[2].error)
    assert found[4].get() == 16
    assert not any(outcome.worker.endswith(f":{os.getpid()}") for outcome in found)
    told = capfd.readouterr().err
    assert re.search(r"\[g4 on \S+:\d+\] working on 4\n", told)
    assert 'raise ValueError("two is odd")' in told
    assert "A worker was lost" in caplog.text
    assert re.search(r"Done again: (g\d, )*g3", caplog.text)  # and what else was not done yet


def test_work_that_ends_every_worker_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("builders.spread._TRIES", 1)
    with pytest.raises(ClusterError, match="lost 1 times: a, b not done"):
        list(spread(end, [Task("a", (0,)), Task("b", (1,))], Engine(2)))


@pytest.mark.parametrize("cluster", ["dask", "dask://host", "slurm://host:1", "", "ray://host:port"])
def test_what_is_no_cluster_is_refused(cluster: str) -> None:
    with pytest.raises(UsageError, match="dask://HOST:PORT"):
        Engine(2, cluster)


def test_one_process_alone_stays_here() -> None:
    assert not Engine().spreads(24)
    assert not Engine(8).spreads(1)
    assert Engine(8).spreads(2)
    assert Engine(cluster="ray").spreads(1)
    assert (Engine(8).left_for_each(2), Engine(2).left_for_each(24), Engine(8, "ray").left_for_each(1)) == (
        4,
        1,
        1,
    )
    with pytest.raises(UsageError, match="jobs"):
        Engine(0)


ALLOCATE = """
import resource
import numpy as np
from builders import spread
if {keep}:
    spread._keep_memory()
for _ in range(500):
    np.ones(200_000)  # 1.6 MB
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="glibc alone has this threshold")
def test_dask_s_setting_of_malloc_does_not_slow_a_worker_down() -> None:
    environment = {**os.environ, "MALLOC_TRIM_THRESHOLD_": "65536"}

    def faults(keep: bool) -> int:
        command = [sys.executable, "-c", ALLOCATE.format(keep=keep)]
        done = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
        return int(done.stdout)

    assert faults(keep=False) > 2 * faults(keep=True)


def test_no_engine_is_installed_unless_asked_for() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    engines = re.compile(r"(dask|distributed|ray)\b")
    extras = project["optional-dependencies"]
    assert not any(engines.match(needed) for needed in project["dependencies"])
    assert {name for name, needed in extras.items() if any(map(engines.match, needed))} == {"dask", "ray"}
    own = {
        name for needed in extras.values() for one in needed for name in re.findall(r"atariari\[(.+)\]", one)
    }
    assert not own & {"dask", "ray"}


def typed(*arguments: str) -> click.testing.Result:
    return CliRunner().invoke(cli, [*arguments, "--json"])


def test_atariari_data_tells_what_failed_in_its_workers(tmp_path: Path) -> None:
    missing = typed("verify", "pong", "breakout", "--cache-dir", str(tmp_path), "--jobs", "2")
    assert missing.exit_code == 1
    assert "2 of 2 failed" in missing.stdout
    assert re.search(r"pong on \S+:\d+: .*atariari-data build pong", missing.stdout)


def test_an_audit_that_is_there_is_refused_before_any_work(tmp_path: Path) -> None:
    (tmp_path / "breakout.json").touch()
    refused = typed("audit", "pong", "breakout", "--out", str(tmp_path), "--jobs", "2")
    assert refused.exit_code == 2
    assert "breakout.json already exists" in refused.stdout


@pytest.mark.slow
def test_audits_in_two_processes_are_those_of_one(tmp_path: Path) -> None:
    games = ("pong", "breakout")
    budget = ("--rows", "200", "--states", "4", "--search", "100")
    for jobs in ("1", "2"):
        assert typed("audit", *games, *budget, "--out", str(tmp_path / jobs), "--jobs", jobs).exit_code == 0
    for game in games:
        assert (tmp_path / "1" / f"{game}.json").read_bytes() == (
            tmp_path / "2" / f"{game}.json"
        ).read_bytes()
