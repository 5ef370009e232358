"""Fresh recordings: play a game on request, with another seed, size or policy.

They are recorded, split and replayed like the frozen ones, but have no manifest: the replay is compared with
what was seen while recording. The seed is hashed first, differently for each kind of config, so that a fresh
recording never repeats a frozen one with the same seed, nor a probing config a pretraining config.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from numbers import Integral
from typing import Any

from atariari_data.checks import count
from atariari_data.errors import UsageError
from builders.content import config_of
from builders.digest import bytes_digest
from builders.lane import Source
from builders.manifest import DEEP, PRETRAIN
from builders.policies import Policy
from builders.progress import is_wanted, progress_bar
from builders.record import LANES, MIN_EPISODE_ROWS, PROBE, record
from builders.record import PRETRAIN as PRETRAIN_PROTOCOL

_SEED_BITS = 30  # ALE's seeds have 31; a lane's number is added


@dataclass
class Fresh:
    """Settings that differ from the frozen config, None for those that do not. Any of them makes a recording.

    Attributes:
        steps: Number of rows to record, over all lanes.
        seed: Random seed of the lanes, the actions and the shuffle into splits; 42 by default.
        lanes: Number of emulators; rows are ordered by lane; 8 by default.
        min_episode_rows: Minimum length of an episode; 65 by default.
        unsplit: Whether to put all rows into one split, ``train``, and leave none out.
        policy: What plays: a callable or a checkpoint, see `builders.agents`; in the config its digest.
    """

    steps: int | None = None
    seed: int | None = None
    lanes: int | None = None
    min_episode_rows: int | None = None
    unsplit: bool | None = None
    policy: Any = None

    @property
    def is_fresh(self) -> bool:
        """Whether any setting differs from the frozen config."""
        return any(getattr(self, field.name) is not None for field in fields(Fresh))

    def create_config_id(self, config_kwargs: dict[str, Any], *args: Any, **kwargs: Any) -> str:
        """Name the cache's folder as the base class of the config does, and the same for NumPy's integers."""
        plain = {
            name: int(value) if isinstance(value, Integral) and not isinstance(value, bool) else value
            for name, value in config_kwargs.items()
        }
        return str(super().create_config_id(plain, *args, **kwargs))  # type: ignore[misc]


def record_fresh(game: str, config: str, wanted: Fresh, policy: Policy, *, num_proc: int = 1) -> Source:
    """Play a game as wanted.

    Args:
        game: Name of the game and of ale-py's ROM.
        config: ``GAME`` or ``GAME_pretrain``, which determines the splits.
        wanted: The settings.
        policy: Chooses the actions.
        num_proc: Number of processes; it does not affect the rows.

    Raises:
        UsageError: The config is ``GAME_deep``, a number is out of range, or there are too few episodes of
            the minimum length to fill every split.
    """
    if config.endswith(DEEP):
        raise UsageError(
            f"{config} is frozen: it has no steps, seed or policy of its own.",
            cure=f"atariari-data explore {game} searches for other states.",
        )
    protocol = PRETRAIN_PROTOCOL if config.endswith(PRETRAIN) else PROBE
    seed = _number("seed", wanted.seed, 42, least=0)
    lanes = _number("lanes", wanted.lanes, LANES, most=256)
    protocol = replace(
        protocol,
        rows=_number("steps", wanted.steps, protocol.rows),
        seed=_spread(seed, protocol.splits),
        min_episode_rows=_number("min_episode_rows", wanted.min_episode_rows, MIN_EPISODE_ROWS),
    )
    if protocol.min_episode_rows > protocol.rows:
        raise UsageError(
            "Fewer steps than the shortest episode to keep.",
            expected=f"at least {protocol.min_episode_rows} steps",
            got=protocol.rows,
            cure="Ask for more steps, or lower min_episode_length.",
        )
    if wanted.unsplit:
        protocol = replace(protocol, splits=("train",), cuts=())
    with progress_bar(protocol.rows, f"Recording {config}", "row", shown=is_wanted()) as bar:
        recording, content = record(
            game, config, protocol, policy=policy, num_proc=num_proc, lanes=lanes, progress=bar.update
        )
    return Source(recording, config_of(recording, content).splits)


def _spread(seed: int, splits: tuple[str, ...]) -> int:
    return int(bytes_digest(f"fresh {seed} {' '.join(splits)}".encode()), 16) >> (256 - _SEED_BITS)


def _number(name: str, value: object, default: int, least: int = 1, most: int | None = None) -> int:
    if value is None:
        return default
    found = count(name, value, least)
    if most is not None and found > most:
        raise UsageError(f"Invalid {name}.", expected=f"an integer from {least} to {most}", got=found)
    return found
