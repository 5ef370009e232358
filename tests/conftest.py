"""What all tests share: small recordings of real games, and folders of their own for every cache."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from atariari_data.labels import Decoder

pytest_plugins = ("tests.skips", "pytester")

# Before anything of ours is imported: the dataset's configs are read from this folder at import.
_FOLDER = Path(tempfile.mkdtemp(prefix="atariari-tests-"))
os.environ.update(
    ATARIARI_RECORDINGS=str(_FOLDER),
    ATARIARI_CACHE=str(_FOLDER / "cache"),
    HF_DATASETS_CACHE=str(_FOLDER / "datasets"),
    HF_HUB_OFFLINE="1",
    NO_COLOR="1",
    # No key of whoever runs the tests may sign anything.
    HOME=str(_FOLDER / "home"),
    XDG_CONFIG_HOME=str(_FOLDER / "config"),
)
(_FOLDER / "home").mkdir()
# One thread a process, since there are as many processes as cores. Set it to test with another number.
os.environ.setdefault("OMP_NUM_THREADS", "1")

GAMES = ("pong", "breakout")
DEEP_ROWS = {"train": 300, "validation": 100, "test": 200}


def pytest_sessionstart(session: pytest.Session) -> None:
    """Record two games for real, a thousand rows each, and deep states of one; the same on every machine."""
    if session.config.getoption("numprocesses", None) and not hasattr(session.config, "workerinput"):
        return  # this process only hands tests out
    from builders.freeze import record_deep_game, record_game
    from builders.record import Protocol
    from builders.recording import PRETRAIN_SPLITS, PROBE_SPLITS

    small = (
        Protocol(rows=960, seed=7, splits=PROBE_SPLITS, cuts=(0.7, 0.8)),
        Protocol(rows=640, seed=8, splits=PRETRAIN_SPLITS, cuts=(0.8,)),
    )
    for game in GAMES:
        record_game(game, _FOLDER, num_proc=1, protocols=small, progress=False)
    record_deep_game("pong", _FOLDER, steps=600, num_proc=1, rows=DEEP_ROWS, progress=False)


def pytest_sessionfinish(session: pytest.Session) -> None:
    del session
    import shutil

    shutil.rmtree(_FOLDER, ignore_errors=True)


def change_a_label(patch: pytest.MonkeyPatch) -> None:
    """Let the digest of labels see another byte in every game, as after a correction."""
    from atariari_data.labels import decoder

    def changed(*names: str) -> Decoder:
        found = decoder(*names)
        return replace(found, addresses=found.addresses ^ 1)

    patch.setattr("builders.manifest.decoder", changed)


@pytest.fixture(scope="session")
def recordings() -> Path:
    """Folder of the small recordings and manifests."""
    return _FOLDER


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A cache folder in which the small Pong is built; shared, so nobody changes it."""
    from atariari_data import load_dataset

    folder = str(tmp_path_factory.mktemp("built"))
    load_dataset("atariari", "pong", cache_dir=folder)
    return folder


@pytest.fixture(scope="module")
def git_identity() -> Iterator[None]:
    """A name and an address for git, which a machine may not have."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("GIT_AUTHOR", "GIT_COMMITTER"):
            patch.setenv(f"{name}_NAME", "Test")
            patch.setenv(f"{name}_EMAIL", "test@example.org")
        yield


@pytest.fixture(scope="module")
def driver() -> Iterator[Any]:
    """A browser for the tests of one file."""
    from tests.browser import start_browser

    found = start_browser()
    yield found
    found.quit()
