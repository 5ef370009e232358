"""The Hugging Face builder: replay lanes into Arrow, check them, hand them out as splits.

All splits of a config come out of one pass over its lanes, which is a stage of its own: each lane is
replayed into a folder beside the cache entry and moved into place when whole, so a build that was killed
goes on with the lanes that are done. `_generate_tables` then copies tables. While streaming there is no
stage: rows come straight from the replay.
"""

from __future__ import annotations

import errno
import shutil
import signal
from collections.abc import Iterator
from dataclasses import dataclass, fields
from functools import cache
from pathlib import Path
from typing import Any

import datasets
import pyarrow as pa
from datasets.exceptions import DatasetGenerationError
from tqdm.auto import tqdm

import atariari_data
from atariari_data.errors import DataError, UnknownNameError
from atariari_data.games import DEFAULT_LABEL_SET, game
from builders.agents import load_agent
from builders.digest import bytes_digest
from builders.fresh import Fresh, record_fresh
from builders.lane import PARTIAL, Source, build_lane, discard, frozen, row_schema, stream_lane
from builders.manifest import DATASET_VERSION, PRETRAIN, load_manifest, recorded_games
from builders.policies import Policy, random_agent

CODE = ("atariari", "digest", "emulator", "frames", "lane", "png", "recording", "replay")
"""Modules that decide the rows of a frozen config."""
FRESH_CODE = ("agents", "fresh", "policies", "record")
"""Modules that decide, too, the rows of a config that is recorded on the spot."""


@dataclass
class AtariariConfig(Fresh, datasets.BuilderConfig):  # type: ignore[misc]
    """A game's splits for probing (``pong``) or for methods that learn (``pong_pretrain``).

    Frozen, unless one of the fields of `builders.fresh.Fresh` is given.

    Attributes:
        label_set: ``v1`` or ``anand2019``, what column ``labels`` holds.
    """

    label_set: str = DEFAULT_LABEL_SET

    @property
    def game(self) -> str:
        """The game's name."""
        return str(self.name).removesuffix(PRETRAIN)


def features_of(game_name: str, label_set: str) -> datasets.Features:
    """Return the columns of a game's rows; README says what they mean."""
    names = [variable.name for variable in game(game_name).variables(label_set)]
    return datasets.Features(
        {
            "frame": datasets.Image(mode="RGB"),
            "ram": datasets.Sequence(datasets.Value("uint8"), length=128),
            "labels": {name: datasets.Value("uint8") for name in names},
            "episode": datasets.Value("int32"),
            "step": datasets.Value("int32"),
            "action": datasets.Value("uint8"),
            "reward": datasets.Value("float32"),
            "is_first": datasets.Value("bool"),
            "is_last": datasets.Value("bool"),
            "is_terminal": datasets.Value("bool"),
            "lives": datasets.Value("uint8"),
        }
    )


class Atariari(datasets.ArrowBasedBuilder):  # type: ignore[misc]
    """Builds a config of atariari from its recording."""

    VERSION = datasets.Version(DATASET_VERSION)
    BUILDER_CONFIG_CLASS = AtariariConfig
    BUILDER_CONFIGS = [  # noqa: RUF012  what the base class wants
        AtariariConfig(name=name + suffix, version=datasets.Version(DATASET_VERSION))
        for name in recorded_games()
        for suffix in ("", PRETRAIN)
    ]

    def __init__(self, *args: Any, config_name: str | None = None, **kwargs: Any) -> None:
        """Look the config up by name, and key the cache by all that decides the rows.

        Raises:
            UnknownNameError: No such game; says which are known, and the nearest.
            DataError: The cache folder cannot be written, or a policy's checkpoint not be read.
        """
        self._fresh: Source | None = None
        self._policy: Policy = random_agent
        self._processes = 1
        known = [config.name for config in self.BUILDER_CONFIGS]
        if config_name not in known:
            raise UnknownNameError("config of atariari", str(config_name), known)
        kwargs["hash"] = _source_digest(
            config_name, fresh=any(kwargs.get(f.name) is not None for f in fields(Fresh))
        )
        if (policy := kwargs.pop("policy", None)) is not None:
            self._policy, kwargs["policy"] = load_agent(policy)
        try:
            super().__init__(*args, config_name=config_name, **kwargs)
        except OSError as error:
            raise _explained(error, str(kwargs.get("cache_dir") or "the cache")) from error

    def _info(self) -> datasets.DatasetInfo:
        name = game(self.config.game)
        return datasets.DatasetInfo(
            description=f"Frames of {name.title} with labels from RAM ({self.config.label_set}).",
            features=features_of(name.name, self.config.label_set),
            license="MIT (software, labels and actions; the ROMs that the frames come from have their own)",
            citation="arXiv:1906.08226",
        )

    def _split_generators(self, dl_manager: Any) -> list[datasets.SplitGenerator]:
        config = self.config
        if config.is_fresh:
            self._fresh = record_fresh(
                config.game, config.name, config, self._policy, num_proc=self._processes
            )
        recording, splits = self._fresh or frozen(config.name)
        lanes = list(range(len(recording.lanes)))
        if dl_manager.is_streaming:
            kwargs = {name: {"lanes": lanes, "split": name} for name in splits}
        else:
            folders = self._stage(lanes)
            kwargs = {name: {"lanes": [str(f) for f in folders], "split": name} for name in splits}
        return [datasets.SplitGenerator(name=name, gen_kwargs=k) for name, k in kwargs.items()]

    def _generate_tables(self, lanes: list[Any], split: str) -> Iterator[tuple[Any, pa.Table]]:
        schema = self.info.features.arrow_schema
        for number, lane in enumerate(lanes):
            if isinstance(lane, int):
                tables = stream_lane(
                    self.config.name, lane, split, self.config.label_set, schema, self._fresh
                )
            else:
                with pa.memory_map(str(Path(lane) / f"{split}.arrow")) as source:
                    batches = list(pa.ipc.open_stream(source))
                tables = (pa.Table.from_batches([batch], schema) for batch in batches)
            for i, table in enumerate(tables):
                yield f"{number}-{i}", table

    def _stage(self, lanes: list[int]) -> list[Path]:
        """Replay the lanes that are not there yet; return the folder of each."""
        from joblib import Parallel, delayed

        stage = self._stage_dir()
        stage.mkdir(parents=True, exist_ok=True)
        for stale in Path(self._output_dir).iterdir():  # of a killed build
            shutil.rmtree(stale) if stale.is_dir() else stale.unlink()
        for stale in stage.glob(f"{PARTIAL}*"):
            discard(stale)
        folders = [stage / f"lane-{lane}" for lane in lanes]
        todo = [(lane, f) for lane, f in zip(lanes, folders, strict=True) if not f.is_dir()]
        schema = row_schema(self.info.features.arrow_schema)
        jobs = (
            delayed(build_lane)(self.config.name, lane, folder, self.config.label_set, schema, self._fresh)
            for lane, folder in todo
        )
        # Ctrl-C goes to every process in the foreground: this one ends the others, which say nothing.
        deaf = {"initializer": signal.signal, "initargs": (signal.SIGINT, signal.SIG_IGN)}
        done = Parallel(self._processes, return_as="generator_unordered", **deaf)(jobs)
        bar = tqdm(
            done,
            total=len(todo),
            desc=f"Replaying {self.config.name}",
            unit="lane",
            disable=not datasets.is_progress_bar_enabled(),
        )
        for _ in bar:
            pass
        return folders

    def _stage_dir(self) -> Path:
        return Path(str(self._output_dir).removesuffix(".incomplete") + ".lanes")

    def download_and_prepare(self, *args: Any, num_proc: int | None = None, **kwargs: Any) -> None:
        """Build, as in the base class; ``num_proc`` processes replay lanes.

        One process is enough to copy tables, and the base class's forked ones would hold its lock after
        a kill.

        Raises:
            DataError: A recording or manifest is damaged, the disk is full or not writable.
            DriftError: The emulator does not give what was recorded.
        """
        self._processes = num_proc or 1
        try:
            super().download_and_prepare(*args, **kwargs)
        except (OSError, DatasetGenerationError) as error:
            raise _explained(error, self._cache_dir_root) from error
        shutil.rmtree(self._stage_dir(), ignore_errors=True)


def _explained(error: BaseException, folder: str) -> BaseException:
    """Turn what the system says of a full or read-only disk into an error of ours."""
    cause: BaseException | None = error
    while cause is not None:
        number = getattr(cause, "errno", None)
        text = str(cause).lower()
        if number == errno.ENOSPC or "no space left" in text or "not enough disk space" in text:
            return DataError(
                f"The disk is full while building the dataset in {folder}.",
                cure="Free some space and run it again (what was finished is used),"
                " or set HF_DATASETS_CACHE to a folder on another disk.",
            )
        if (
            number in (errno.EROFS, errno.EACCES, errno.EPERM, errno.ENOTDIR)
            or "read-only file system" in text
        ):
            return DataError(
                f"The dataset cannot be written in {folder}: {cause}",
                cure="Set HF_DATASETS_CACHE (or cache_dir=) to a folder that can be written.",
            )
        cause = cause.__cause__ or cause.__context__
    return error


@cache
def _source_digest(config_name: str, *, fresh: bool) -> str:
    """Digest all that decides the rows of a config: manifest, annotations and the code that builds them.

    Not the whole package's code, so that another option of a command does not cost users a rebuild.
    """
    name = config_name.removesuffix(PRETRAIN)
    modules = CODE + FRESH_CODE if fresh else CODE
    code = [Path(__file__).with_name(f"{m}.py") for m in modules]
    code.append(Path(atariari_data.__file__).with_name("labels.py"))
    columns = [
        (label_set, v.name, v.address, v.mask, v.bcd, v.step, v.motion)
        for label_set, variables in sorted(game(name).label_sets.items())
        for v in variables
    ]
    parts = [load_manifest(name).to_bytes(), repr(columns).encode(), *(f.read_bytes() for f in code)]
    return bytes_digest(b"".join(bytes_digest(part).encode() for part in parts))[:16]
