"""What is allowed but odd in a change, for the maintainer who merges it."""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Sequence
from datetime import datetime
from importlib.metadata import PackageNotFoundError, version

from harness.leaderboard.board import KeyList
from harness.leaderboard.entry import NO_CELL, Entry, Head, latest, score_of
from harness.leaderboard.together import come_back
from harness.results.means import mean
from harness.results.result import Signed

_LARGEST_STACK = 16
_LAYOUTS = ("nchw", "nhwc")
_OLD_DAYS = 365
_SECONDS_A_GAME = 5
_CLOSE = 30
"""How near two scores are that look copied, in units of 0.0001."""
_SHARE_CLOSE = 0.9
"""In what share of the variables."""
_FEWEST_CLOSE = 12


def doubts(signed: Signed, now: datetime) -> Iterator[str]:
    """Yield what is odd about a result that is about to come in."""
    harness, guards, frames = signed.harness, signed.isolation, signed.encoder.frames
    if harness.as_released is None:
        yield "made from a checkout, which may differ from the released harness"
    if harness.version != _version():
        yield f"made by harness {harness.version}, and this is {_version()}"
    off = "all" if guards is None else ", ".join(name for name, on in guards if on is False)
    if frames is not None and off:
        yield f"made without keeping the encoder away from the answers (guards off: {off})"
    if frames is not None and (frames.stack > _LARGEST_STACK or frames.layout not in _LAYOUTS):
        yield f"odd input: stack {frames.stack}, layout {frames.layout}"
    age = (now - datetime.fromisoformat(signed.finished)).days
    if age > _OLD_DAYS or signed.elapsed_seconds < _SECONDS_A_GAME * len(signed.games):
        yield f"odd times: finished {signed.finished} after {signed.elapsed_seconds:g} s"


def replacements(entries: Iterable[Entry], added: Iterable[str]) -> Iterator[str]:
    """Yield which new results take the place of older ones in the table, and which do not."""
    new = set(added)
    for first, *others in latest(e for e in entries if e.head.fresh_seed is None).values():
        if first.path in new and others:
            both = first.head.games.keys() & others[0].head.games.keys()
            heads = (others[0].head, first.head)
            old, now = (mean([head.games[name].means[0].score for name in both]) for head in heads)
            worse = ", which is lower" if old is not None and (now is None or now < old) else ""
            yield (
                f"{first.path} takes the place of {others[0].path}: "
                f"score {old} becomes {now}{worse} (games in common: {len(both)})"
            )
        for other in others:
            if other.path in new and len(other.head.games) < len(first.head.games):
                yield f"{other.path} covers fewer games than {first.path}, which stays in the table"


def near_copies(entries: Sequence[Entry], added: Container[str]) -> Iterator[str]:
    """Yield which new results have nearly the scores of somebody else's, as two honest runs do not."""
    public = [entry for entry in entries if entry.head.fresh_seed is None]
    for entry in (e for e in public if e.path in added):
        for other in public:
            if other.submitter == entry.submitter or other.protocol is not entry.protocol:
                continue
            apart = list(_differences(entry.head, other.head))
            close = sum(difference <= _CLOSE for difference in apart)
            if close >= max(_FEWEST_CLOSE, _SHARE_CLOSE * len(apart)):
                yield (
                    f"{entry.path} has nearly the scores of {other.path}: {close} of {len(apart)} variables "
                    f"are within {_CLOSE / 10_000}"
                )


def _differences(one: Head, two: Head) -> Iterator[int]:
    """Yield how far two results are apart in each variable that both are informative in."""
    for name, game in one.games.items():
        if (twin := two.games.get(name)) is None:
            continue
        known = dict(zip(twin.variables, twin.cells, strict=True))
        for variable, cell in zip(game.variables, game.cells, strict=True):
            if cell != NO_CELL and (there := known.get(variable, NO_CELL)) != NO_CELL:
                yield abs(score_of(cell) - score_of(there))


def returns(entries: Sequence[Entry], withdrawn: Sequence[Entry]) -> Iterator[str]:
    """Yield which results repeat one that somebody else had to withdraw."""
    for entry, error, same in come_back(entries, withdrawn):
        if not same:
            yield f"{entry.path}: {error.what}"


def key_changes(before: KeyList, after: KeyList, submitters: Container[str]) -> Iterator[str]:
    """Yield what a change does to the list of keys, a line for each key.

    Args:
        before: The list as it is.
        after: The list after the change.
        submitters: Who has results, perhaps by a key that was retired since.
    """
    old, new = ({e.key: e for e in each.entries} for each in (before, after))
    people = {entry.principals[0] for entry in before.entries}
    for key, entry in new.items():
        (person,) = entry.principals
        if key in old and old[key].principals == entry.principals:
            if (old[key].valid_after, old[key].valid_before) != (entry.valid_after, entry.valid_before):
                yield f"the times of {person}'s key {key.fingerprint} change"
            continue
        role = " (who has results here)" if person in submitters else ""
        role = " (a maintainer)" if person in before.maintainers | after.maintainers else role
        kind = "a further key for" if person in people else "a first key for"
        yield f"{kind} {person}{role}: ask them, by another way, whether {key.fingerprint} is theirs"
    for key, entry in old.items():
        if key not in new:
            yield f"{entry.principals[0]}'s key {key.fingerprint} is retired; its results stay"


def _version() -> str:
    try:
        return version("atariari")
    except PackageNotFoundError:
        return "0"
