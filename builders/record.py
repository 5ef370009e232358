"""Record a game: play it with the published protocol, split the episodes, and freeze the result.

The protocol of arXiv 1906.08226, read from its code and corrected (`docs/dataset.md` lists the differences):
eight lanes; 1 to 30 no-ops after a reset; each action held for four frames; a lost life ends an episode
without resetting the game, and is followed by one NOOP; then FIRE and the third action of the minimal set, if
the game has FIRE. Episodes of 64 rows or fewer are dropped, and each lane continues until it has its share
of rows in episodes that are kept.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version

import numpy as np
import numpy.typing as npt

from atariari_data.errors import UsageError
from builders.content import Content
from builders.digest import NULL_ACTION, Row, frame_digest
from builders.emulator import FIRE, FRAME_SKIP, NOOP, RESET, SETTINGS, Emulator, rom
from builders.policies import Policy, random_agent
from builders.recording import FORMAT, PRETRAIN_SPLITS, PROBE_SPLITS, Header, Lane, Recording

LANES = 8
MAX_NOOPS = 30
MIN_EPISODE_ROWS = 65
_MAX_DROPPED = 20  # times the rows wanted; past that, episodes are too short for this to end


@dataclass(frozen=True)
class Protocol:
    """How a config is recorded: number of rows, seed, splits, and minimum length of an episode."""

    rows: int
    seed: int
    splits: tuple[str, ...]
    cuts: tuple[float, ...]
    min_episode_rows: int = MIN_EPISODE_ROWS


PROBE = Protocol(rows=50_000, seed=42, splits=PROBE_SPLITS, cuts=(0.7, 0.8))
PRETRAIN = Protocol(rows=100_000, seed=1042, splits=PRETRAIN_SPLITS, cuts=(0.8,))


@dataclass
class Tape:
    """The actions and observations of one lane.

    Attributes:
        lines: Action, frames for which it is held, and episode of the lane; -1 if it is not recorded.
        ram: The RAM of each row.
        frame: The digest of each row's pixels.
        digest: The digest of each row.
        score: The rewards since the reset, before each row's action.
        dropped: Rows of episodes that were too short.
    """

    lines: list[tuple[int, int, int]] = field(default_factory=list)
    ram: list[bytes] = field(default_factory=list)
    frame: list[bytes] = field(default_factory=list)
    digest: list[bytes] = field(default_factory=list)
    score: list[float] = field(default_factory=list)
    dropped: int = 0

    @property
    def episodes(self) -> int:
        """The number of episodes."""
        return 1 + max(episode for _, _, episode in self.lines)

    def do(self, action: int, frames: int, episode: int = -1) -> None:
        """Add a line."""
        self.lines.append((action, frames, episode))

    def see(self, row: Row, episode: int, score: float) -> None:
        """Add a row and its line."""
        self.do(row.action, 0 if row.is_last else FRAME_SKIP, episode)
        self.ram.append(row.ram)
        self.frame.append(frame_digest(row.frame))
        self.digest.append(row.digest())
        self.score.append(score)

    def forget(self, lines: int, rows: int) -> None:
        """Turn the latest lines into prelude, and drop their rows."""
        self.lines[lines:] = [(a, f, -1) for a, f, _ in self.lines[lines:] if a != NULL_ACTION]
        self.dropped += len(self.ram) - rows
        del self.ram[rows:], self.frame[rows:], self.digest[rows:], self.score[rows:]


def play(
    game: str,
    *,
    lane_seed: int,
    seed: Sequence[int],
    rows: int,
    policy: Policy,
    min_episode_rows: int = MIN_EPISODE_ROWS,
) -> Tape:
    """Play one lane until it has ``rows`` rows in episodes of the minimum length.

    Raises:
        UsageError: The episodes are too short to get there in reasonable time.
    """
    generator = np.random.default_rng(seed)
    emulator = Emulator(game, lane_seed)
    tape = Tape()
    episode, new_game = 0, True
    while len(tape.ram) < rows:
        _begin(emulator, tape, generator, new_game=new_game)
        lines, rows_before = len(tape.lines), len(tape.ram)
        wanted = max(rows - rows_before, min_episode_rows)
        new_game = _episode(emulator, tape, generator, policy, episode, wanted)
        if len(tape.ram) - rows_before < min_episode_rows:
            tape.forget(lines, rows_before)
            if tape.dropped > _MAX_DROPPED * max(rows, min_episode_rows):
                raise UsageError(
                    f"The episodes of {game} are too short: {tape.dropped} rows were dropped for {rows}.",
                    expected=f"episodes of at least {min_episode_rows} rows",
                    cure="Lower min_episode_length.",
                )
        else:
            episode += 1
    return tape


def _begin(emulator: Emulator, tape: Tape, generator: np.random.Generator, *, new_game: bool) -> None:
    def hold(action: int, frames: int) -> None:
        tape.do(action, frames)
        emulator.act(action, frames)

    if not new_game:
        hold(NOOP, FRAME_SKIP)
    while True:
        if new_game or emulator.game_over():
            tape.do(RESET, 0)
            emulator.reset()
            for _ in range(int(generator.integers(1, MAX_NOOPS + 1))):
                hold(NOOP, 1)
        if FIRE in emulator.minimal_actions:
            hold(FIRE, FRAME_SKIP)
            hold(emulator.minimal_actions[2], FRAME_SKIP)
        if not emulator.game_over():
            return


def _episode(
    emulator: Emulator,
    tape: Tape,
    generator: np.random.Generator,
    policy: Policy,
    episode: int,
    wanted: int,
) -> bool:
    """Play one episode of at most ``wanted`` rows; return whether the game has to be reset after it."""
    lives, step, last = emulator.lives(), 0, False
    while True:
        over = emulator.game_over()
        now = emulator.lives()
        # With no lives left, the episode continues until the game is over, as in the original.
        last = over or 0 < now < lives or step == wanted - 1
        lives = now
        frame, ram, score = emulator.frame(), emulator.ram(), emulator.score
        action = NULL_ACTION if last else policy(emulator, generator, step)
        reward = 0.0 if last else emulator.act(action, FRAME_SKIP)
        tape.see(Row(frame, ram, step, action, reward, over, now), episode, score)
        step += 1
        if last:
            return over


def record(
    game: str,
    config: str,
    protocol: Protocol,
    *,
    policy: Policy = random_agent,
    num_proc: int = 1,
    lanes: int = LANES,
    progress: Callable[[int], object] = lambda _: None,
) -> tuple[Recording, Content]:
    """Play a game and freeze it.

    Args:
        game: Name of the game and of ale-py's ROM.
        config: The config's name, for messages and the dataset.
        protocol: Number of rows, seed and splits.
        policy: Chooses the actions.
        num_proc: Number of processes; it does not affect the result.
        lanes: Number of emulators, each with its own seed and share of the rows.
        progress: Called with the number of rows whenever a lane is done.

    Raises:
        UsageError: Too few episodes of the minimum length to fill every split.
    """
    from joblib import Parallel, delayed

    lane_seeds = [protocol.seed + lane for lane in range(lanes)]
    share = -(-protocol.rows // lanes)
    jobs = (
        delayed(play)(
            game,
            lane_seed=lane_seed,
            seed=(protocol.seed, lane),
            rows=share,
            policy=policy,
            min_episode_rows=protocol.min_episode_rows,
        )
        for lane, lane_seed in enumerate(lane_seeds)
    )
    tapes = []
    for tape in Parallel(num_proc, return_as="generator")(jobs):
        tapes.append(tape)
        progress(len(tape.ram))
    header = Header(
        format=FORMAT,
        game=game,
        config=config,
        rom_md5=rom(game)[1],
        ale_py=version("ale-py"),
        settings=SETTINGS,
        policy=getattr(policy, "__name__", type(policy).__name__),
        seed=protocol.seed,
        lane_seeds=lane_seeds,
        splits=protocol.splits,
    )
    return freeze(header, tapes, _split(sum(tape.episodes for tape in tapes), protocol))


def freeze(
    header: Header, tapes: Sequence[Tape], split_of: npt.NDArray[np.int8], seen: Collection[bytes] = ()
) -> tuple[Recording, Content]:
    """Freeze what was played.

    Args:
        header: How it was recorded.
        tapes: One per lane.
        split_of: The split of each episode, in the order of the tapes: an index into the header's splits.
        seen: Digests of frames that are in other configs; rows that show one are left out.
    """
    lines = [np.array(tape.lines, np.int32) for tape in tapes]
    first = np.cumsum([0, *(tape.episodes for tape in tapes)])
    numbered = [np.where(x[:, 2] < 0, -1, x[:, 2] + n) for x, n in zip(lines, first[:-1], strict=True)]

    everything = np.concatenate(numbered)
    row = everything >= 0
    frame = [digest for tape in tapes for digest in tape.frame]
    digest = [digest for tape in tapes for digest in tape.digest]
    split = split_of[everything[row]]
    content = Content(
        episode=everything[row].astype(np.int32),
        split=split,
        kept=_not_seen_earlier(frame, split, len(header.splits), seen),
        ram=np.frombuffer(b"".join(ram for tape in tapes for ram in tape.ram), np.uint8).reshape(-1, 128),
        frame=frame,
        digest=digest,
        score=np.array([score for tape in tapes for score in tape.score], np.float32),
    )
    kept, check = np.zeros(len(row), np.bool_), np.zeros(len(row), np.uint8)
    kept[row] = content.kept
    check[row] = np.where(content.kept, [d[0] for d in digest], 0)
    ends = np.cumsum([len(line) for line in lines])[:-1]
    lanes = [
        Lane(
            action=line[:, 0].astype(np.uint8),
            frames=line[:, 1].astype(np.uint8),
            episode=number.astype(np.int32),
            split=np.where(number < 0, -1, split_of[number]).astype(np.int8),
            kept=lane_kept,
            check=lane_check,
        )
        for line, number, lane_kept, lane_check in zip(
            lines, numbered, np.split(kept, ends), np.split(check, ends), strict=True
        )
    ]
    return Recording(header, lanes), content


def _split(episodes: int, protocol: Protocol) -> npt.NDArray[np.int8]:
    """Shuffle the episodes and cut them; return the split of each."""
    cuts = [int(cut * episodes) for cut in protocol.cuts]
    if np.any(np.diff([0, *cuts, episodes]) < 1):
        raise UsageError(
            f"{episodes} episodes do not fill the splits {', '.join(protocol.splits)}.",
            cure="Ask for more rows (steps).",
        )
    order = np.random.default_rng(protocol.seed).permutation(episodes)
    split = np.empty(episodes, np.int8)
    for number, part in enumerate(np.split(order, cuts)):
        split[part] = number
    return split


def _not_seen_earlier(
    frame: Sequence[bytes], split: npt.NDArray[np.int8], splits: int, elsewhere: Collection[bytes]
) -> npt.NDArray[np.bool_]:
    seen = set(elsewhere)
    kept = np.ones(len(frame), np.bool_)
    for number in range(splits):
        rows = np.flatnonzero(split == number)
        here = [frame[int(row)] for row in rows]
        kept[rows] = [digest not in seen for digest in here]
        seen.update(here)
    return kept
