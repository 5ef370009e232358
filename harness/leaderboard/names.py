"""Names of people and encoders: which ones look alike, and where an encoder's page is."""

from __future__ import annotations

import re

# Names are ASCII, and of Unicode's confusables.txt only these pairs are: 0/O, 1/I/l, m/rn. The others are
# pairs that are easily confused in a table's typeface.
_LETTERS = str.maketrans("01i5", "olls")
_PAIRS = (("rn", "m"), ("vv", "w"), ("cl", "d"))
_SHORTEST_WORD = 3


def slug(name: str) -> str:
    """Return an encoder's name as part of a path: lower case, everything else a hyphen."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-") or "encoder"


def skeleton(name: str) -> str:
    """Return what a name looks like: two names with the same skeleton are easily confused."""
    plain = re.sub(r"[^a-z0-9@]", "", name.lower())
    while True:  # until nothing folds any more: `c1` is `cl` is `d`
        folded = plain.translate(_LETTERS)
        for pair, letter in _PAIRS:
            folded = folded.replace(pair, letter)
        if folded == plain:
            return plain
        plain = folded


def words(name: str) -> list[str]:
    """Return the words of a name that are long enough to be recognised, in lower case."""
    return [word for word in re.findall(r"[a-z0-9]+", name.lower()) if len(word) >= _SHORTEST_WORD]
