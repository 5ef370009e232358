"""The Hugging Face builder: replay lanes into Arrow, check them, and serve them as splits.

A first stage replays each lane once, for all splits, into a folder beside the cache entry. A lane's folder
is renamed into place when complete, so an interrupted build resumes with the lanes that are left.
`_generate_tables` then copies tables. When streaming, rows come straight from the replay.

Rows that are left out of validation and test form a split of their own, ``left_out``. It is loaded only when
requested by name, and gives the frames before a row to whoever stacks frames.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import shutil
import signal
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, fields
from functools import cache
from pathlib import Path
from typing import Any

import datasets
import datasets.builder
import pyarrow as pa
import pyarrow.compute as pc
from datasets.exceptions import DatasetGenerationError

import atariari_data
from atariari_data.checks import count
from atariari_data.errors import AtariariError, DataError, UnknownNameError, UsageError
from atariari_data.games import DEFAULT_LABEL_SET, game
from builders.agents import load_agent
from builders.digest import bytes_digest
from builders.fresh import Fresh, record_fresh
from builders.lane import PARTIAL, Source, build_lane, discard, frozen, is_whole, row_schema, stream_lane
from builders.manifest import (
    DATASET_VERSION,
    SUFFIXES,
    frozen_config,
    game_of_config,
    load_manifest,
    recorded_configs,
    version_of,
)
from builders.policies import Policy, random_agent
from builders.progress import is_wanted, progress_bar, without_bars_of_datasets
from builders.recording import LEFT_OUT

CODE = ("atariari", "digest", "emulator", "frames", "lane", "png", "recording", "replay")
"""Modules that determine the rows of a frozen config."""
FRESH_CODE = ("agents", "fresh", "policies", "record")
"""Modules that also determine the rows of a config that is recorded on request."""

_READ_ONLY = (errno.EROFS, errno.EACCES, errno.EPERM)
_APART = "apart-"
_LONGEST_BUILD = 24 * 3600.0
"""Seconds after which the folder of a build is the leftover of a killed one."""
_NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)
_log = logging.getLogger("atariari_data")


@dataclass
class AtariariConfig(Fresh, datasets.BuilderConfig):  # type: ignore[misc]
    """A game's rows: for probing (``pong``), for learning (``pong_pretrain``), or deep (``pong_deep``).

    The rows are frozen unless one of the fields of `builders.fresh.Fresh` is set.

    Attributes:
        label_set: Label set of column ``labels``: ``v1`` or ``anand2019``.
    """

    label_set: str = DEFAULT_LABEL_SET

    @property
    def game(self) -> str:
        """The game's name."""
        return game_of_config(str(self.name))


def features_of(game_name: str, label_set: str) -> datasets.Features:
    """Return the columns of a game's rows; the README describes them."""
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
    """Builds a config from its recording."""

    _output_dir: str
    VERSION = datasets.Version(DATASET_VERSION)
    BUILDER_CONFIG_CLASS = AtariariConfig
    BUILDER_CONFIGS = [AtariariConfig(name=name) for name in recorded_configs()]  # noqa: RUF012  required by the base class

    def __init__(self, *args: Any, config_name: str | None = None, **kwargs: Any) -> None:
        """Look up the config by name, and key the cache by everything that determines its rows.

        Args:
            *args: Passed to the base class.
            config_name: A game by any of its names, optionally followed by ``_pretrain`` or ``_deep``.
            **kwargs: Fields of the config, arguments of the base class, and ``fill_last``: whether
                ``action`` and ``reward`` are 0 instead of null on the last row of an episode.

        Raises:
            UnknownNameError: No such game. The message lists the known games and suggests the nearest.
            UsageError: An argument has the wrong type.
            DataError: The cache folder cannot be written, or a policy's checkpoint cannot be read.
        """
        self._fresh: Source | None = None
        self._policy: Policy = random_agent
        self._processes = 1
        self._fill_last = kwargs.pop("fill_last", False)
        if not isinstance(self._fill_last, bool):
            raise UsageError("fill_last must be True or False.", got=repr(self._fill_last))
        config_name = config_of_name(config_name)
        # Only now: reading the manifests of all configs at import takes more than half a second.
        self.builder_configs[config_name].version = datasets.Version(version_of(config_name))
        kwargs["hash"] = _source_digest(
            config_name, fresh=any(kwargs.get(f.name) is not None for f in fields(Fresh))
        )
        if (policy := kwargs.pop("policy", None)) is not None:
            self._policy, kwargs["policy"] = load_agent(policy)
        folder = str(kwargs.get("cache_dir") or datasets.config.HF_DATASETS_CACHE)
        with _explained(folder), _lenient_locks(folder):
            super().__init__(*args, config_name=config_name, **kwargs)

    def _build_cache_dir(self) -> str:
        """Return the folder of the config; one whose description is damaged is to be built again."""
        folder = str(super()._build_cache_dir())
        info = Path(folder, datasets.config.DATASET_INFO_FILENAME)
        if info.is_file():
            try:
                datasets.DatasetInfo.from_directory(folder)
            except (ValueError, TypeError, KeyError, AttributeError) as error:
                self._forget(info, error)
        return folder

    def _forget(self, info: Path, error: BaseException) -> None:
        """Have a damaged copy built again: without its description, a folder counts as not built."""
        _log.warning(
            "The copy of %s in %s is damaged and is built again: %s", self.config.name, info.parent, error
        )
        info.unlink(missing_ok=True)

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
        recording, splits, _ = self._fresh or frozen(config.name)
        lanes = list(range(len(recording.lanes)))
        if dl_manager.is_streaming:
            kwargs = {name: {"lanes": lanes, "split": name} for name in (*splits, LEFT_OUT)}
        else:
            folders = self._stage(lanes)
            kwargs = {
                name: {"lanes": [str(f) for f in folders], "split": name} for name in (*splits, LEFT_OUT)
            }
        return [datasets.SplitGenerator(name=name, gen_kwargs=k) for name, k in kwargs.items()]

    def as_dataset(self, split: Any = None, **kwargs: Any) -> Any:
        """Read splits, as in the base class; ``left_out`` only where it is named."""
        return super().as_dataset(split if split is not None else self._shown() or None, **kwargs)

    def _build_single_dataset(self, split: Any, *args: Any, **kwargs: Any) -> datasets.Dataset:
        if str(split) == "all":
            split = "+".join(self._shown())
        return super()._build_single_dataset(split, *args, **kwargs)

    def as_streaming_dataset(self, split: Any = None, **kwargs: Any) -> Any:
        """Stream splits, as in the base class; ``left_out`` only where it is named."""
        if split is not None and str(split) != "all":
            return super().as_streaming_dataset(split, **kwargs)
        found = super().as_streaming_dataset(None, **kwargs)
        del found[LEFT_OUT]
        return found if split is None else datasets.concatenate_datasets(list(found.values()))

    def _shown(self) -> dict[str, str]:
        return {name: name for name in self.info.splits or {} if name != LEFT_OUT}

    def _as_dataset(self, split: Any = datasets.Split.TRAIN, in_memory: bool = False) -> datasets.Dataset:
        if str(split) == LEFT_OUT and not self.info.splits[LEFT_OUT].num_examples:
            return datasets.Dataset.from_dict({name: [] for name in self.info.features}, self.info.features)
        try:
            found = super()._as_dataset(split, in_memory)
        except (OSError, pa.ArrowException) as error:
            raise self._damaged(split, error) from error
        if not self._fill_last:
            return found
        columns = found.select_columns(["action", "reward"]).with_format("arrow")[:]
        order = found.column_names
        found = found.remove_columns(["action", "reward"])
        for name in ("action", "reward"):
            filled = pa.chunked_array(columns[name]).fill_null(0)
            found = found.add_column(name, filled, feature=self.info.features[name])
        return found.select_columns(order)

    def _damaged(self, split: object, error: object) -> DataError:
        return DataError(
            f"{self.config.name}, {split}: the copy in {self._output_dir} is damaged: {error}",
            cure=f"atariari-data build {self.config.name} --rebuild",
        )

    def _check_readable(self) -> None:
        """Open every split, and count its rows.

        Raises:
            DataError: A file is missing or cut, or has other rows than it should.
        """
        self.info = self._load_info()
        splits = self.info.splits or {}
        expected = {name: s.num_examples for name, s in splits.items()}
        if not self.config.is_fresh:
            frozen_splits = frozen_config(self.config.name).splits
            expected = {name: s.rows for name, s in frozen_splits.items()}
            expected[LEFT_OUT] = sum(s.left_out for s in frozen_splits.values())
        if set(splits) != set(expected):
            raise self._damaged(", ".join(expected), f"it has the splits {', '.join(splits)}")
        for name, rows in expected.items():
            there = len(self._as_dataset(datasets.Split(name)))
            if there != rows:
                raise self._damaged(name, f"{there} rows, not {rows}")

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
                yield f"{number}-{i}", _filled(table) if self._fill_last and isinstance(lane, int) else table

    def _stage(self, lanes: list[int]) -> list[Path]:
        """Replay the missing lanes, and return the folder of each lane."""
        from joblib import Parallel, delayed

        stage = self._stage_dir()
        stage.mkdir(parents=True, exist_ok=True)
        for stale in Path(self._output_dir).iterdir():  # of a killed build
            shutil.rmtree(stale) if stale.is_dir() else stale.unlink()
        for stale in stage.glob(f"{PARTIAL}*"):
            discard(stale)
        folders = [stage / f"lane-{lane}" for lane in lanes]
        for damaged in (folder for folder in folders if folder.is_dir() and not is_whole(folder)):
            discard(damaged)
        todo = [(lane, f) for lane, f in zip(lanes, folders, strict=True) if not f.is_dir()]
        schema = row_schema(self.info.features.arrow_schema)
        jobs = (
            delayed(build_lane)(self.config.name, lane, folder, self.config.label_set, schema, self._fresh)
            for lane, folder in todo
        )
        # Ctrl-C reaches every foreground process: the workers ignore it, and this process ends them.
        deaf = {"initializer": signal.signal, "initargs": (signal.SIGINT, signal.SIG_IGN)}
        done = Parallel(self._processes, backend="loky", return_as="generator_unordered", **deaf)(jobs)
        name = f"Replaying {self.config.name}"
        with progress_bar(len(todo), name, "lane", shown=is_wanted()) as bar:
            for _ in done:
                bar.update()
        return folders

    def _stage_dir(self) -> Path:
        return Path(str(self._output_dir).removesuffix(".incomplete") + ".lanes")

    def download_and_prepare(self, *args: Any, num_proc: int | None = None, **kwargs: Any) -> None:
        """Build, as in the base class; ``num_proc`` processes replay lanes.

        A copy that is there is used if it can be read, else it is built again. Tables are copied by one
        process: it is fast enough, and forked processes of the base class would keep its lock if killed.
        Where files cannot be locked, each of several builds at once does the whole work in a folder of its
        own, and one of these, which are the same, stays.

        Raises:
            UsageError: ``num_proc`` is not a positive integer.
            DataError: A recording or manifest is damaged, or the disk is full or not writable.
            DriftError: The emulator does not reproduce the recording.
        """
        self._processes = 1 if num_proc is None else count("num_proc", num_proc)
        info = Path(self._output_dir, datasets.config.DATASET_INFO_FILENAME)
        with _explained(self._cache_dir_root):
            if info.is_file():
                try:
                    self._check_readable()
                except DataError as error:
                    self._forget(info, error)
            with _lenient_locks(self._cache_dir_root) as has_locks, without_bars_of_datasets():
                if has_locks:
                    super().download_and_prepare(*args, **kwargs)
                else:
                    self._build_apart(*args, **kwargs)

    def _download_and_prepare(self, *args: Any, **kwargs: Any) -> None:
        super()._download_and_prepare(*args, **kwargs)
        shutil.rmtree(self._stage_dir(), ignore_errors=True)  # here, where no other process builds

    def _build_apart(self, output_dir: str | None = None, **kwargs: Any) -> None:
        """Build in a folder of one's own, and rename it to where it belongs."""
        final = Path(output_dir or self._output_dir)
        again = kwargs.get("download_mode") in ("force_redownload", datasets.DownloadMode.FORCE_REDOWNLOAD)
        if _is_built(final) and not again:
            self.info = self._load_info()
            return
        final.parent.mkdir(parents=True, exist_ok=True)
        for stale in final.parent.glob(f"{_APART}*"):
            with contextlib.suppress(OSError):
                if time.time() - stale.stat().st_mtime > _LONGEST_BUILD:
                    shutil.rmtree(stale, ignore_errors=True)
        with tempfile.TemporaryDirectory(prefix=_APART, dir=final.parent, ignore_cleanup_errors=True) as own:
            try:
                super().download_and_prepare(str(Path(own, final.name)), **kwargs)
                if again or not _is_built(final):
                    with contextlib.suppress(OSError):  # a damaged copy, or one that somebody replaced
                        final.rename(Path(own, "before"))
                    with contextlib.suppress(OSError):
                        Path(self._output_dir).rename(final)
            finally:
                self._output_dir = str(final)
        self.info = self._load_info()


def config_of_name(name: object) -> str:
    """Return the config that a name means: ``pong_pretrain`` for ``ALE/Pong-v5_pretrain``.

    Raises:
        UnknownNameError: No such config. The message suggests the nearest.
    """
    known = [config.name for config in Atariari.BUILDER_CONFIGS]
    if isinstance(name, str):
        suffix = next(suffix for suffix in reversed(SUFFIXES) if name.endswith(suffix))
        with contextlib.suppress(UnknownNameError):
            config = game(game_of_config(name)).name + suffix
            if config in known:
                return config
    raise UnknownNameError("config of atariari", name, known)


def _filled(table: pa.Table) -> pa.Table:
    """Put 0 in place of null in ``action`` and ``reward``."""
    for name in ("action", "reward"):
        at = table.schema.get_field_index(name)
        table = table.set_column(at, table.schema.field(at), pc.fill_null(table[name], 0))
    return table


def _is_built(folder: Path) -> bool:
    return Path(folder, datasets.config.DATASET_INFO_FILENAME).is_file()


@contextlib.contextmanager
def _lenient_locks(folder: str) -> Iterator[bool]:
    """Let `datasets` work in a folder where it can lock no file; yield whether it can.

    A folder that cannot be written cannot change while it is read, so it needs no lock. On a file system
    without locks, such as some of NFS and Lustre, nothing is written in place that others may write.
    """
    locked, has_locks = datasets.builder.FileLock, _has_locks(folder)

    @contextlib.contextmanager
    def lock(path: str, *args: Any, **kwargs: Any) -> Iterator[None]:
        with contextlib.ExitStack() as stack:
            try:
                if has_locks:
                    stack.enter_context(locked(path, *args, **kwargs))
            except OSError as error:
                if error.errno not in _READ_ONLY:
                    raise
            yield

    datasets.builder.FileLock = lock
    try:
        yield has_locks
    finally:
        datasets.builder.FileLock = locked


def _has_locks(folder: str) -> bool:
    """Whether files can be locked in a folder; True where it cannot be found out."""
    try:
        import fcntl

        Path(folder).mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except ImportError:
        return True
    except OSError as error:
        return error.errno not in _NO_LOCKS
    return True


@contextlib.contextmanager
def _explained(folder: str) -> Iterator[None]:
    """Explain the errors of a full or read-only disk, and of one without locks."""
    try:
        yield
    except AtariariError:
        raise
    except (OSError, NotImplementedError, DatasetGenerationError) as error:
        found = _explanation(error, folder)
        if found is error:
            raise
        raise found from error


def _explanation(error: BaseException, folder: str) -> BaseException:
    cause: BaseException | None = error
    while cause is not None:
        number = getattr(cause, "errno", None)
        text = str(cause).lower()
        if number == errno.ENOSPC or "no space left" in text or "not enough disk space" in text:
            return DataError(
                f"The disk is full while building the dataset in {folder}.",
                cure="Free some space and run it again (finished lanes are kept),"
                " or set HF_DATASETS_CACHE to a folder on another disk.",
            )
        if number in _NO_LOCKS or "support flock" in text or "function not implemented" in text:
            return DataError(
                f"The file system of {folder} does not support locks: {cause}",
                cure="Run it again, or set HF_DATASETS_CACHE (or cache_dir=) to a folder on a local disk.",
            )
        if (
            number in (errno.EROFS, errno.EACCES, errno.EPERM, errno.ENOTDIR)
            or "read-only file system" in text
        ):
            return DataError(
                f"The dataset cannot be written to {folder}: {cause}",
                cure="Set HF_DATASETS_CACHE (or cache_dir=) to a writable folder.",
            )
        cause = cause.__cause__ or cause.__context__
    return error


@cache
def _source_digest(config_name: str, *, fresh: bool) -> str:
    """Digest everything that determines the rows of a config: manifest, annotations and code.

    Only the modules involved are included, so that unrelated changes do not force users to rebuild.
    """
    name = game_of_config(config_name)
    modules = CODE + FRESH_CODE if fresh else CODE
    code = [Path(__file__).with_name(f"{m}.py") for m in modules]
    rooms = ("labels", "observations") if fresh else ("labels",)
    code += [Path(atariari_data.__file__).with_name(f"{m}.py") for m in rooms]
    columns = [
        (label_set, v.name, v.address, v.mask, v.bcd, v.step, v.motion)
        for label_set, variables in sorted(game(name).label_sets.items())
        for v in variables
    ]
    parts = [load_manifest(config_name).to_bytes(), repr(columns).encode(), *(f.read_bytes() for f in code)]
    return bytes_digest(b"".join(bytes_digest(part).encode() for part in parts))[:16]
