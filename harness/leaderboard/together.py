"""Results beside each other: no copies, no contradictions, and no names that can be mistaken."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Container, Iterable, Iterator, Sequence

from harness.leaderboard.entry import NO_CELL, Entry, informative
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
        equal = _equal_cells(group, anyone=anyone)
        for entry, found in zip(group, equal, strict=True):
            for other in sorted(found):
                if _is_copy(entry, found[other]):
                    what = f"has the same scores, to the last place, in {found[other].total()} variables as"
                    yield from _clash(entry, group[other], what, f"{_COSIGN} {_OURS_FIRST}")
                    break


def _is_copy(entry: Entry, equal: Counter[str]) -> bool:
    """Return whether a result has more of an earlier one's cells, counted by game, than by chance."""
    games = {name: informative(game.cells) for name, game in entry.head.games.items()}
    if equal.total() >= max(2 * _FEWEST, sum(games.values()) / 4):
        return True
    return any(count >= max(_FEWEST, games[name] / 2) for name, count in equal.items())


def _equal_cells(group: Sequence[Entry], *, anyone: bool) -> list[dict[int, Counter[str]]]:
    """Return in how many variables of each game a result has the cells of earlier ones.

    What a game is scored on depends on the probe and on its rows, so variables are found by name. Few cells
    are equal by chance, so looking up who has a cell takes a fraction of comparing every two results.

    Args:
        group: Results under one protocol.
        anyone: Compare results of one encoder by one submitter, too.

    Returns:
        For each result, the number of equal cells by game, by the place of the earlier result.
    """
    owners = [at if anyone else (e.submitter, e.head.encoder.name) for at, e in enumerate(group)]
    found: list[dict[int, Counter[str]]] = [defaultdict(Counter) for _ in group]
    for name in {name for entry in group for name in entry.head.games}:
        holders: dict[tuple[str, int], list[int]] = defaultdict(list)
        for at, entry in enumerate(group):
            game = entry.head.games.get(name)
            for key in zip(game.variables, game.cells, strict=True) if game else ():
                if key[1] == NO_CELL:
                    continue
                for other in holders[key]:
                    if owners[other] != owners[at]:
                        found[at][other][name] += 1
                holders[key].append(at)
    return found


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
        elif tested.head.encoder.source != entry.head.encoder.source or any(
            tested.head.encoder.weights_for(game) != entry.head.encoder.weights_for(game)
            for game in entry.head.games
        ):
            error = BoardError("A fresh run is of another encoder than the result that it tests.")
        else:
            continue
        yield entry, error
