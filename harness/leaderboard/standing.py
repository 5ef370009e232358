"""Who stands where: the run that stands for each encoder, and its place under a protocol."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from harness.leaderboard.board import AcceptedProtocol
from harness.leaderboard.entry import Entry, Tier, fresh_gaps, latest, tier
from harness.leaderboard.names import slug
from harness.leaderboard.tables import floor_of
from harness.pages.words import encoder_title
from harness.probes.probe import ProbeRun
from harness.results.means import mean
from harness.results.result import Means


@dataclass(frozen=True)
class Row:
    """An encoder under one protocol: the run that stands for it, and the others.

    Attributes:
        games: The games that the protocol's ranking is over; see `_ranked`.
        rank: Its place, if it has all of these.
    """

    protocol: AcceptedProtocol
    entry: Entry
    others: Sequence[Entry]
    tier: Tier
    gaps: Sequence[float]
    games: Sequence[str]
    rank: int | None

    @property
    def name(self) -> str:
        """The encoder's name."""
        return self.entry.head.encoder.name

    @property
    def title(self) -> str:
        """The name in words, for one of ours."""
        return encoder_title(self.name)

    @cached_property
    def slug(self) -> str:
        """The name of its page."""
        return slug(self.name)

    @property
    def date(self) -> str:
        """When the run ended, by its own clock."""
        return self.entry.head.finished[:10]

    @property
    def bound(self) -> bool:
        """Whether it is an upper bound rather than an encoder."""
        return self.entry.head.encoder.frames is None

    @cached_property
    def means(self) -> list[dict[str, float | None]]:
        """Means over the games that rank for each probe of the protocol, as `_over`."""
        return [
            _over([self.of_game(at, name) for name in self.games]) for at in range(len(self.protocol.columns))
        ]

    @property
    def score(self) -> float | None:
        """What it is ranked by."""
        return self.means[0].get("suite")

    @property
    def has_all(self) -> bool:
        """Whether it has the games that rank."""
        return set(self.games) <= set(self.entry.head.games)

    @property
    def shown(self) -> Sequence[str]:
        """The games of the means on its page: those that rank, or its own if it lacks some of these."""
        return self.games if self.has_all else sorted(self.entry.head.games)

    @cached_property
    def _numbers(self) -> list[int | None]:
        """Which of the result's probes each probe of the protocol is."""
        found = {suite.run: number for number, suite in enumerate(self.entry.head.suite)}
        return [found.get(probe.run) for probe in self.protocol.columns]

    def has_probe(self, at: int) -> bool:
        """Whether the result has a probe of the protocol."""
        return self._numbers[at] is not None

    def of_game(self, at: int, name: str) -> Means | None:
        """Return a game's means under a probe of the protocol, or None if the result does not have them."""
        number, game = self._numbers[at], self.entry.head.games.get(name)
        return None if number is None or game is None else game.means[number]

    def on_game(self, at: int, name: str) -> float | None:
        """Return a game's score under a probe of the protocol, or None if the result does not have it."""
        means = self.of_game(at, name)
        return None if means is None else means.score

    def half(self, at: int, name: str) -> float | None:
        """Return half of the interval of a game's score under a probe of the protocol, if it is known."""
        number, game = self._numbers[at], self.entry.head.games.get(name)
        return None if number is None or game is None else game.halves[number]

    def by_probe(self) -> list[tuple[ProbeRun, dict[str, float | None]]]:
        """Return the means over the games of `shown` for each probe of the result, as `_over`."""
        head = self.entry.head
        games = [head.games[name].means for name in self.shown]
        return [
            (suite.run, _over([means[number] for means in games])) for number, suite in enumerate(head.suite)
        ]

    @property
    def interval(self) -> tuple[float, float] | None:
        """The interval of the score that ranks; games err apart from each other."""
        halves = [half for name in self.games if (half := self.half(0, name)) is not None]
        if self.score is None or len(halves) < len(self.games):
            return None
        half = math.hypot(*halves) / len(halves)
        return max(self.score - half, 0.0), min(self.score + half, 1.0)


def rows_of(entries: Sequence[Entry]) -> dict[str, list[Row]]:
    """Return the rows of every protocol, best first by the suite's score under the first probe."""
    fresh: dict[str, list[Entry]] = {}
    for entry in entries:
        if entry.head.fresh_of is not None:
            fresh.setdefault(entry.head.fresh_of, []).append(entry)
    found: dict[str, list[Row]] = {}
    public = [e for e in entries if e.head.fresh_seed is None]
    for (protocol, _), (first, *others) in latest(public).items():
        gaps = [gap for gap in fresh_gaps(first, fresh) if gap is not None]
        row = Row(first.protocol, first, others, tier(first, fresh), gaps, (), None)
        found.setdefault(protocol, []).append(row)
    for name, rows in found.items():
        games = _ranked(rows)
        ordered = sorted((replace(row, games=games) for row in rows), key=_order)
        scores = [row.score for row in ordered if not row.bound and row.score is not None]
        found[name] = [replace(row, rank=_rank(row, scores)) for row in ordered]
    return found


def _ranked(rows: Sequence[Row]) -> list[str]:
    """Return the games that a ranking is over: all, or those that most encoders share if none has all."""
    every = sorted(rows[0].protocol.games)
    if any(set(every) <= set(row.entry.head.games) for row in rows if not row.bound):
        return every
    return shared_games(rows, 0) or every


def shared_games(rows: Sequence[Row], at: int) -> list[str]:
    """Return the games that most encoders share under a probe.

    Of the sets of games that encoders have, the one with the largest product of its size and the square of
    the number of encoders that have it, so that no single row decides.
    """
    with_it = (row for row in rows if not row.bound and row.has_probe(at))
    sets = Counter(frozenset(row.entry.head.games) for row in with_it)

    def weight(games: frozenset[str]) -> tuple[int, list[str]]:
        count = sum(times for other, times in sets.items() if games <= other)
        return len(games) * count**2, sorted(games)

    return sorted(max(sets, key=weight, default=()))


def _over(games: Sequence[Means | None]) -> dict[str, float | None]:
    """Return means over games: ``suite``, ``floor``, and each category over the games that have it.

    There are none if a game is missing.
    """
    known = [game for game in games if game is not None]
    if len(known) < len(games):
        return {}
    of_categories: dict[str, list[float | None]] = {}
    for means in known:
        for each in means.categories:
            of_categories.setdefault(each.category, []).append(each.score)
    return {
        "suite": mean([means.score for means in known]),
        "floor": mean([floor_of(means.constant, means.trivial) for means in known]),
        **{category: mean(scores) for category, scores in of_categories.items()},
    }


def _rank(row: Row, scores: Sequence[float]) -> int | None:
    mine = row.score
    return None if row.bound or mine is None else 1 + sum(other > mine for other in scores)


def _order(row: Row) -> tuple[bool, float, int, str]:
    covered = len(set(row.games) & set(row.entry.head.games))
    return row.score is None, -(row.score or 0), -covered, row.name
