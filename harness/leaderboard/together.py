"""Results beside each other: no copies, no contradictions, and no names that can be mistaken."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Container, Iterable, Iterator, Sequence

import numpy as np
import numpy.typing as npt

from harness.leaderboard.entry import NO_CELL, Entry
from harness.leaderboard.names import skeleton, slug, words
from harness.leaderboard.repository import BoardError

_FEWEST = 4
_COSIGN = "A result that was reproduced is co-signed (harness sign), not submitted again."
_RENAME = "harness evaluate --name ANOTHER"
_OURS_FIRST = "If the other one is a copy, ask a maintainer to withdraw it."

Problem = tuple[Entry, BoardError]


def check_together(
    entries: Iterable[Entry], withdrawn: Sequence[Entry] = (), gone: Container[str] = ()
) -> list[Problem]:
    """Find results that cannot stand beside earlier ones.

    Args:
        entries: All results that count; of two that clash, the one that came in later has to give way.
        withdrawn: Results that do not count any more. Their submitters cannot bring them back.
        gone: Digests of results that were withdrawn or removed.
    """
    ordered = sorted(entries, key=lambda entry: (entry.order, entry.path))
    public = [entry for entry in ordered if entry.head.fresh_seed is None]
    return [
        *_same_runs(ordered),
        *_names(public),
        *_outputs(public),
        *_scores(public),
        *_fresh(ordered, gone),
        *((entry, error) for entry, error, same in come_back(public, withdrawn) if same),
    ]


def come_back(
    entries: Iterable[Entry], withdrawn: Sequence[Entry]
) -> Iterator[tuple[Entry, BoardError, bool]]:
    """Yield results that repeat a withdrawn one, and whether they are by the same submitter."""
    gone = [entry for entry in withdrawn if entry.head.fresh_seed is None]
    for entry in entries if gone else ():
        for other in gone:
            outputs = {o for game in other.head.games.values() for o in game.outputs}
            repeats = (
                entry.head.run_id == other.head.run_id
                or any(o in outputs for game in entry.head.games.values() for o in game.outputs)
                or bool(list(_scores([other, entry], anyone=True)))
            )
            if repeats:
                what = f"The result repeats {other.path}, which was withdrawn."
                cure = f"If it may come back, a maintainer lists that one in `removed` instead. {_OURS_FIRST}"
                yield entry, BoardError(what, cure=cure), entry.submitter == other.submitter
                break


def _clash(entry: Entry, other: Entry, what: str, cure: str) -> Iterator[Problem]:
    if entry is not other:
        yield entry, BoardError(f"The result {what} {other.path}.", cure=cure)


def _same_runs(entries: Sequence[Entry]) -> Iterator[Problem]:
    runs: dict[str, Entry] = {}
    for entry in entries:
        other = runs.setdefault(entry.head.run_id, entry)
        yield from _clash(entry, other, "is the same run as", f"{_COSIGN} {_OURS_FIRST}")


def _names(entries: Sequence[Entry]) -> Iterator[Problem]:
    """A name, its page and all that looks like it belong to who used it first."""
    looks: dict[str, Entry] = {}
    pages: dict[str, Entry] = {}
    spelled: dict[str, tuple[str, Entry]] = {}
    for entry in entries:
        name = entry.head.encoder.name
        first = looks.setdefault(skeleton(name), entry)
        page = pages.setdefault(slug(name), entry)
        if first.head.encoder.name == name and first.submitter != entry.submitter:
            yield from _clash(
                entry, first, f"uses {first.submitter}'s name for an encoder, in", f"{_COSIGN} {_RENAME}"
            )
        elif first.head.encoder.name != name and first.submitter != entry.submitter:
            yield from _clash(
                entry, first, f"has a name that looks like {first.head.encoder.name!r} of", _RENAME
            )
        elif page.head.encoder.name != name:
            what = f"has a name with the same page as {page.head.encoder.name!r} of"
            yield from _clash(entry, page, what, _RENAME)
        else:
            for word in words(name):
                known, other = spelled.setdefault(skeleton(word), (word, entry))
                if known != word and other.submitter != entry.submitter:
                    what = f"has a word in its name, {word!r}, that looks like {known!r} of"
                    yield from _clash(entry, other, what, _RENAME)
                    break


def _outputs(entries: Sequence[Entry]) -> Iterator[Problem]:
    """The same features or predictions are the same encoder, which has one name and one submitter."""
    known: dict[str, Entry] = {}
    for entry in entries:
        for output in (o for game in entry.head.games.values() for o in game.outputs):
            first = known.setdefault(output, entry)
            if first.submitter != entry.submitter:
                what = f"has the features or predictions of {first.submitter}'s"
                yield from _clash(entry, first, what, f"{_COSIGN} {_OURS_FIRST}")
                break
            if first.head.encoder.name != entry.head.encoder.name:
                what = "has the features or predictions that its submitter named otherwise in"
                yield from _clash(entry, first, what, "An encoder has one name.")
                break


def _scores(entries: Sequence[Entry], *, anyone: bool = False) -> Iterator[Problem]:
    """Find scores that are equal to the last place in more variables than by chance."""
    groups: dict[str, list[Entry]] = defaultdict(list)
    for entry in entries:
        groups[entry.protocol.digest].append(entry)
    for group in groups.values():
        table, starts = table_of(group)
        for at, entry in enumerate(group):
            informative = table[at] != NO_CELL
            equal = (table[:at] == table[at]) & informative
            by_game = np.add.reduceat(equal, starts, axis=1, dtype=np.int32)
            of_game = np.add.reduceat(informative, starts, dtype=np.int32)
            copied = (by_game >= np.maximum(_FEWEST, of_game / 2)).any(axis=1)
            copied |= by_game.sum(axis=1) >= max(2 * _FEWEST, informative.sum() / 4)
            for other in (group[number] for number in np.flatnonzero(copied)):
                same = (other.submitter, other.head.encoder.name) == (
                    entry.submitter,
                    entry.head.encoder.name,
                )
                if anyone or not same:
                    count = int(by_game[group.index(other)].sum())
                    what = f"has the same scores, to the last place, in {count} variables as"
                    yield from _clash(entry, other, what, f"{_COSIGN} {_OURS_FIRST}")
                    break


def table_of(entries: Sequence[Entry]) -> tuple[npt.NDArray[np.int32], list[int]]:
    """Return the cells of results beside each other, variable by variable.

    What a game is scored on depends on the probe and on its rows, so the columns are the variables that are
    in any of the results, wherever they stand in each.

    Args:
        entries: Results under one protocol.

    Returns:
        Cells, int32 [n, v], with `NO_CELL` for what a result lacks; and the first column of each game.
    """
    names: dict[str, dict[str, None]] = defaultdict(dict)
    for entry in entries:
        for name, game in entry.head.games.items():
            names[name].update(dict.fromkeys(game.variables))
    columns = {key: at for at, key in enumerate((g, v) for g, found in names.items() for v in found)}
    table = np.full((len(entries), len(columns)), NO_CELL, np.int32)
    for row, entry in zip(table, entries, strict=True):
        for name, game in entry.head.games.items():
            row[[columns[name, variable] for variable in game.variables]] = game.cells
    return table, [columns[name, next(iter(found))] for name, found in names.items() if found]


def _fresh(entries: Sequence[Entry], gone: Container[str]) -> Iterator[Problem]:
    """A run on a fresh split tests one result, by somebody else, of the same encoder, under one protocol."""
    known = {entry.head.digest: entry for entry in entries}
    for entry in entries:
        if entry.head.fresh_of is None or entry.head.fresh_of in gone:
            continue
        tested = known.get(entry.head.fresh_of)
        if tested is None or tested.head.fresh_seed is not None:
            error = BoardError("The result that a fresh run tests is not there.", got=entry.head.fresh_of)
        elif tested.submitter == entry.submitter:
            error = BoardError("A fresh run tests somebody else's result.", got=f"both by {entry.submitter}")
        elif tested.protocol is not entry.protocol:
            error = BoardError(
                "A fresh run is under another protocol than the result that it tests.",
                expected=tested.protocol.name,
                got=entry.protocol.name,
            )
        elif (tested.head.encoder.source, tested.head.encoder.weights) != (
            entry.head.encoder.source,
            entry.head.encoder.weights,
        ):
            error = BoardError("A fresh run is of another encoder than the result that it tests.")
        else:
            continue
        yield entry, error
