"""Page: the tables of `docs/audit.md`, from the audits in the package, and its pictures.

``python -m tools.audit_page docs/audit.md`` brings the tables in the file up to date, and with
``--pictures`` draws the pictures anew (or those of the games that are named after it).
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

from atariari_data.evidence import evidence
from atariari_data.games import DEFAULT_LABEL_SET, game, game_names
from builders.audit.claims import CLEAR
from builders.audit.verdict import OF_CONCERN, VERDICTS
from builders.manifest import Manifest
from tools.marks import between

BEGIN, END = "<!-- audits -->", "<!-- end of audits -->"
PICTURES = "img/audit"
_BESIDE = 4  # pictures in a row


def audits() -> list[dict[str, Any]]:
    """Return the audits in the package, by game."""
    return [found for found in map(evidence, game_names()) if found]


def tables(found: Iterable[Mapping[str, Any]]) -> str:
    """Write a table of games, one of pictures and one of variables."""
    games = list(found)
    return "\n".join([*_games(games), "", *_pictures(games), "", *_variables(games)])


def _games(games: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    yield "| game | " + " | ".join(VERDICTS) + " | of concern (in brackets: not probed) |"
    yield "| --- |" + " ---: |" * len(VERDICTS) + " --- |"
    for one in games:
        variables = one["variables"]
        probed = _probed(one["game"])
        count = Counter(v["verdict"] for v in variables.values())
        concern = [
            f"`{name}`" if name in probed else f"(`{name}`)"
            for name, v in variables.items()
            if v["verdict"] in OF_CONCERN
        ]
        numbers = " | ".join(str(count[verdict] or "") for verdict in VERDICTS)
        yield f"| {game(one['game']).title} | {numbers} | {', '.join(concern)} |"


def _pictures(games: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    names = [one["game"] for one in games]
    yield "|" + "  |" * _BESIDE
    yield "|" + " --- |" * _BESIDE
    for start in range(0, len(names), _BESIDE):
        some = names[start : start + _BESIDE]
        cells = [f"{game(name).title}<br>![{game(name).title}]({PICTURES}/{name}.png)" for name in some]
        yield "| " + " | ".join(cells + [""] * (_BESIDE - len(some))) + " |"


def _probed(name: str) -> tuple[str, ...]:
    """Return what the package's manifest has probed, whatever recordings are in use."""
    file = resources.files("atariari_data").joinpath("manifests", f"{name}.json")
    return Manifest.from_bytes(file.read_bytes(), name).probed(DEFAULT_LABEL_SET)


def _variables(games: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    names = ("verdict", "writes", "moves", "nats", "1", "2", "4", "last", "pooling", "lag", "values", "why")
    yield "| game | variable | byte | " + " | ".join(names) + " |"
    yield "| --- | --- | ---: | --- | ---: | --- |" + " ---: |" * 8 + " --- |"
    for one in games:
        for name, v in one["variables"].items():
            met, reached, seen = v["coverage"]["play"], v["coverage"]["archive"], v["visibility"]
            left = [seen[key]["left"] if seen else "" for key in ("one", "two", "four", "last_screen")]
            costs = f"{seen['one']['left'] - seen['last_screen']['left']:+.2f}" if seen else ""
            what = (one["game"], f"`{name}`", v["byte"], v["verdict"])
            lag = v["alignment"]["lag_steps"] if v["alignment"] else ""
            both = f"{met['values']}, {reached['values']}"
            cells = [
                *what,
                *(f"{v['cause']['changed']:.0%}", _moves(v), met["nats"], *left, costs),
                *(lag, both, "; ".join(v["disputes"])),
            ]
            yield "| " + " | ".join(map(str, cells)) + " |"


def _moves(v: Mapping[str, Any]) -> str:
    """Return along which axis, how far per unit and from where something moves: by writes, else in play."""
    movement, found = v["cause"].get("movement"), []
    for axis in ("x", "y"):
        one = movement[axis] if movement else None
        if one and one["scale"] and one["share"] >= CLEAR and one["offset"] is not None:
            found.append(f"{axis} {one['scale']:g} v {one['offset']:+d}")
    if not found and (seen := v.get("in_play")) and seen["lift"] >= CLEAR:
        found.append(f"({seen['axis']} {seen['scale']:g} v {seen['offset']:+d})")
    return ", ".join(found)


def refreshed(text: str) -> str:
    """Return a document with the tables between its marks as they should be.

    Raises:
        DataError: The document has no such marks.
    """
    return between(text, BEGIN, END, tables(audits()))


def main() -> None:
    """Bring the document up to date."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("document", type=Path)
    parser.add_argument("--pictures", nargs="*", metavar="GAME")
    options = parser.parse_args()
    document: Path = options.document
    if options.pictures is not None:
        from tools.audit_pictures import paint

        for name in options.pictures or game_names():
            paint(name, document.parent / PICTURES)
    document.write_text(refreshed(document.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
