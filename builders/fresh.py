"""Fresh recordings: a game played with a seed, a size or a policy of one's own when it is asked for.

They are made and split like the frozen ones, and go the same way from there; but no manifest says what they
must be, so what was seen while recording is what replay is compared with. The seed is spread over the whole
range first, and differently for each kind of config: rows recorded here are never those of a frozen config
that was made from the same number, nor those for learning those for probing.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any

import datasets
from tqdm.auto import tqdm

from atariari_data.errors import UsageError
from builders.content import config_of
from builders.digest import bytes_digest
from builders.lane import Source
from builders.manifest import PRETRAIN
from builders.policies import Policy
from builders.record import LANES, MIN_EPISODE_ROWS, PROBE, record
from builders.record import PRETRAIN as PRETRAIN_PROTOCOL

_SEED_BITS = 30  # ALE's seeds have 31; a lane's number is added


@dataclass
class Fresh:
    """What of a config is not as frozen; None where it is. With any of them given, it is recorded anew.

    Attributes:
        steps: Rows to record over all lanes.
        seed: Of the lanes, the random actions and the shuffle into splits; 42 by default.
        lanes: Emulators, one after the other in the rows; 8 by default.
        min_episode_rows: Shorter episodes are dropped; 65 by default.
        unsplit: All rows in one split, ``train``, and none left out.
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
        """Whether anything is not as frozen."""
        return any(getattr(self, field.name) is not None for field in fields(Fresh))


def record_fresh(game: str, config: str, wanted: Fresh, policy: Policy, *, num_proc: int = 1) -> Source:
    """Play a game as wanted.

    Args:
        game: As ale-py's ROM names.
        config: ``GAME`` or ``GAME_pretrain``, which says the splits.
        wanted: How much, from which seed.
        policy: What chooses the actions.
        num_proc: Processes; the result does not depend on it.

    Raises:
        UsageError: A number out of range; too few episodes came out to fill every split, or none is long
            enough to keep.
    """
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
            expected=f"steps of at least {protocol.min_episode_rows}",
            got=protocol.rows,
            cure="Ask for more steps, or lower min_episode_length.",
        )
    if wanted.unsplit:
        protocol = replace(protocol, splits=("train",), cuts=())
    with tqdm(
        total=protocol.rows,
        desc=f"Recording {config}",
        unit="row",
        disable=not datasets.is_progress_bar_enabled(),
    ) as bar:
        recording, content = record(
            game, config, protocol, policy=policy, num_proc=num_proc, lanes=lanes, progress=bar.update
        )
    return Source(recording, config_of(recording, content).splits)


def _spread(seed: int, splits: tuple[str, ...]) -> int:
    return int(bytes_digest(f"fresh {seed} {' '.join(splits)}".encode()), 16) >> (256 - _SEED_BITS)


def _number(name: str, value: object, default: int, least: int = 1, most: int | None = None) -> int:
    if value is None:
        return default
    if isinstance(value, bool) or not isinstance(value, int) or value < least or (most and value > most):
        wanted = f"an integer from {least}" + (f" to {most}" if most else "")
        raise UsageError(f"{name} cannot be this.", expected=wanted, got=repr(value))
    return value
