"""Manifests: the frozen digests and statistics of each game, one JSON file per game."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, astuple, dataclass
from functools import cache
from pathlib import Path
from typing import Any

import atariari_data
from atariari_data.errors import DataError, UnknownNameError
from atariari_data.games import DEFAULT_LABEL_SET
from atariari_data.games import game as game_of
from atariari_data.labels import decoder
from builders.digest import bytes_digest
from builders.files import refuse_newer
from builders.recording import Recording

FORMAT = 1
DATASET_VERSION = "1.2.0"
"""Version of the dataset; a config keeps the version in which its rows were frozen."""
PRETRAIN, DEEP = "_pretrain", "_deep"
SUFFIXES = ("", PRETRAIN, DEEP)
"""What follows a game's name in its configs."""


@dataclass(frozen=True)
class Episode:
    """An episode of a split: its number, the number of rows kept, and their digest."""

    number: int
    rows: int
    digest: str


@dataclass(frozen=True)
class Split:
    """A split: rows kept, rows left out because their pixels occur in an earlier split, and digests."""

    rows: int
    left_out: int
    digest: str
    episodes: Sequence[Episode]


@dataclass(frozen=True)
class Config:
    """A config: the digest of its recording, and its splits.

    Attributes:
        recording: The digest of the recording's file.
        splits: The splits.
        left_out: The rows that are left out, like a split; None in ``GAME`` and ``GAME_pretrain``, where
            every frame that is left out is also in a split.
    """

    recording: str
    splits: Mapping[str, Split]
    left_out: Split | None = None


@dataclass(frozen=True)
class Statistics:
    """Statistics of a variable in the config ``GAME`` or ``GAME_deep``.

    Attributes:
        entropy: Entropy in nats, over the rows of all splits, left-out rows included.
        probed: Whether the entropy is at least 0.6, the screen shows the variable, and its thing is there
            on at least 5 % of the rows.
        ceiling_f1: Best weighted F1 of a function of a single frame on the test split.
        ceiling_accuracy: Best accuracy of such a function; see `builders.statistics.ceiling`.
    """

    entropy: float
    probed: bool
    ceiling_f1: float
    ceiling_accuracy: float


@dataclass(frozen=True)
class Manifest:
    """Everything that is frozen for a game: its configs ``GAME`` and ``GAME_pretrain``, or ``GAME_deep``.

    Attributes:
        format: Version of the file format.
        dataset_version: The version in which the configs were frozen; any change to a row, label or split
            makes a new one.
        game: Name of the game and of ale-py's ROM.
        ale_py: Versions of ale-py that reproduced the digests, starting with the one that recorded.
        configs: By name.
        label_sets: Statistics by label set and variable.
        train_rows_1k: Rows of the first config's train split that the few-rows probe is trained on.
    """

    format: int
    dataset_version: str
    game: str
    ale_py: Sequence[str]
    configs: Mapping[str, Config]
    label_sets: Mapping[str, Mapping[str, Statistics]]
    train_rows_1k: Sequence[int]

    def probed(self, label_set: str) -> tuple[str, ...]:
        """Return the variables of a label set that are probed."""
        return tuple(name for name, s in self.label_sets[label_set].items() if s.probed)

    def statistics(self, label_set: str) -> Mapping[str, Statistics]:
        """Return the statistics of all variables that the annotations have in a label set.

        Raises:
            UnknownNameError: The game has no such label set.
            DataError: A variable has none, because it was annotated since.
        """
        found = self.label_sets.get(label_set, {})
        missing = [v.name for v in game_of(self.game).variables(label_set) if v.name not in found]
        if missing:
            config = next(iter(self.configs))
            raise DataError(
                f"The manifest of {config} has no statistics of {', '.join(missing)}.",
                cure=f"atariari-data relabel {config} --to DIR, and move the file to the other manifests.",
            )
        return found

    def rules(self, label_set: str) -> str:
        """Digest what determines scores with a label set: rows, labels, probed variables, ceilings.

        The versions of ale-py and the other label set are not included.

        Raises:
            DataError: As for `statistics`.
        """
        known, statistics = decoder(self.game, label_set), self.statistics(label_set)
        variables = [
            (v.name, v.categories, int(address), values.tobytes(), astuple(statistics[v.name]))
            for v, address, values in zip(
                game_of(self.game).variables(label_set), known.addresses, known.values, strict=True
            )
        ]
        splits = [(name, s.digest) for c in self.configs.values() for name, s in c.splits.items()]
        content = (self.dataset_version, self.game, splits, label_set, variables, list(self.train_rows_1k))
        return bytes_digest(repr(content).encode())

    def to_bytes(self) -> bytes:
        """Serialise; the last field is a digest of everything before it."""
        content = asdict(self)
        for config in content["configs"].values():
            if config["left_out"] is None:
                del config["left_out"]
            for split in (*config["splits"].values(), *filter(None, [config.get("left_out")])):
                split["episodes"] = [f"{e['number']} {e['rows']} {e['digest']}" for e in split["episodes"]]
        content["train_rows_1k"] = " ".join(map(str, self.train_rows_1k))
        return _dump({**content, "digest": bytes_digest(_dump(content))})

    @classmethod
    def from_bytes(cls, content: bytes, name: str) -> Manifest:
        """Parse the file.

        Raises:
            DataError: Not a manifest, changed in any byte, or a newer format.
        """
        damaged = DataError(f"The manifest of {name} is damaged.", cure="Reinstall atariari.")
        try:
            stored = json.loads(content)
            refuse_newer(f"manifest of {name}", stored["format"], FORMAT)
            del stored["digest"]
            manifest = cls._from_stored(stored)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise damaged from error
        if manifest.to_bytes() != content:
            raise damaged
        return manifest

    @classmethod
    def _from_stored(cls, stored: dict[str, Any]) -> Manifest:
        def split(value: dict[str, Any]) -> Split:
            lines = (line.split(" ") for line in value.pop("episodes"))
            return Split(**value, episodes=[Episode(int(n), int(r), d) for n, r, d in lines])

        configs = {
            name: Config(
                c["recording"],
                {s: split(v) for s, v in c["splits"].items()},
                split(c["left_out"]) if "left_out" in c else None,
            )
            for name, c in stored.pop("configs").items()
        }
        label_sets = {
            label_set: {name: Statistics(**s) for name, s in variables.items()}
            for label_set, variables in stored.pop("label_sets").items()
        }
        rows = [int(row) for row in stored.pop("train_rows_1k").split(" ")]
        return cls(**stored, configs=configs, label_sets=label_sets, train_rows_1k=rows)


def _dump(content: Mapping[str, Any]) -> bytes:
    return (json.dumps(content, indent=1) + "\n").encode()


def data_dir() -> Path:
    """Return the folder of recordings and manifests: ``ATARIARI_RECORDINGS``, or in `atariari_data`."""
    return Path(os.environ.get("ATARIARI_RECORDINGS") or Path(atariari_data.__file__).parent)


def game_of_config(config: str) -> str:
    """Return the game of a config: ``pong`` for ``pong_deep``."""
    return config.removesuffix(PRETRAIN).removesuffix(DEEP)


def version_of(config: str) -> str:
    """Return the version of the dataset in which a config was frozen.

    Raises:
        UnknownNameError: No such config.
        DataError: The manifest is damaged.
    """
    return load_manifest(config).dataset_version


def labels_digest(game: str, label_set: str = DEFAULT_LABEL_SET) -> str:
    """Digest how RAM becomes labels: the names of the variables, their bytes and what each value means.

    A copy keeps it beside the digest of its rows, which do not contain the labels.

    Raises:
        UnknownNameError: No such game or label set.
    """
    known = decoder(game, label_set)
    return bytes_digest(repr((known.names, known.addresses.tolist(), known.values.tobytes())).encode())


def recording_file(config: str) -> Path:
    """Return the file of a config's recording."""
    return data_dir() / "recordings" / f"{config}.parquet"


def manifest_file(config: str) -> Path:
    """Return the file of a config's manifest: ``GAME.json`` or ``GAME_deep.json``."""
    return data_dir() / "manifests" / f"{config.removesuffix(PRETRAIN)}.json"


def recorded_games() -> tuple[str, ...]:
    """Return the games that have a manifest, sorted."""
    return tuple(config for config in recorded_configs() if config == game_of_config(config))


def recorded_configs() -> tuple[str, ...]:
    """Return the configs of all games, sorted by game."""
    there = {file.stem for file in manifest_file("*").parent.glob("*.json")}
    games = sorted(name for name in there if not name.endswith(DEEP))
    return tuple(
        name + suffix for name in games for suffix in SUFFIXES if suffix != DEEP or name + DEEP in there
    )


def load_manifest(name: str) -> Manifest:
    """Read and check a manifest.

    Args:
        name: A config: ``pong`` and ``pong_pretrain`` share one, ``pong_deep`` has its own.

    Raises:
        UnknownNameError: No such game or config. The message lists the known ones and suggests the nearest.
        DataError: The file is damaged.
    """
    if name not in recorded_configs():
        known = recorded_configs() if name.endswith((PRETRAIN, DEEP)) else recorded_games()
        raise UnknownNameError("config" if name.endswith((PRETRAIN, DEEP)) else "game", name, known)
    return _read(manifest_file(name))


def frozen_config(config: str) -> Config:
    """Return what is frozen of a config.

    Raises:
        UnknownNameError: No such config.
        DataError: The manifest is damaged.
    """
    return load_manifest(config).configs[config]


@cache
def _read(file: Path) -> Manifest:
    try:
        return Manifest.from_bytes(file.read_bytes(), file.stem)
    except OSError as error:
        raise DataError(
            f"The manifest of {file.stem} cannot be read: {error}", cure="Reinstall atariari."
        ) from error


def load_recording(config: str) -> Recording:
    """Read the recording of a config, ``pong`` or ``pong_pretrain``, and check its digest.

    Raises:
        UnknownNameError: No such config.
        DataError: The file is missing or differs from the manifest.
    """
    frozen = frozen_config(config)
    try:
        content = recording_file(config).read_bytes()
    except OSError as error:
        raise DataError(
            f"The recording of {config} cannot be read: {error}", cure="Reinstall atariari."
        ) from error
    if bytes_digest(content) != frozen.recording:
        raise DataError(
            f"The recording of {config} is damaged.",
            expected=f"BLAKE3 {frozen.recording}",
            got=f"BLAKE3 {bytes_digest(content)}",
            cure="Reinstall atariari.",
        )
    return Recording.from_bytes(content, config)
