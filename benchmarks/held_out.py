"""Compare positions of label set v1 with those that OC_Atari reads from the same RAM, on the test splits.

    pip install ocatari
    python benchmarks/held_out.py [GAME ...] [--rows 3000] [--deep]

OC_Atari (arXiv 2306.08649) was developed independently. Each of our objects is compared with the
counterpart that agrees on most rows: a single object, the nearest of a kind, or, for slots with changing
contents, the nearest of all. A constant offset between the two conventions is printed and removed. Only
coordinates that a variable encodes are compared. r is the correlation of columns and of rows; the error is
the mean distance along the worse axis.

"Alone" is the share of our places that have none of OC_Atari's objects within 8 pixels. The last lines of a
game show the other way round: for each kind of object that mostly has one of our things nearby, the share
that has none.
"""

from __future__ import annotations

import argparse
import importlib
from itertools import islice
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from atariari_data import game as game_of
from atariari_data import load_dataset, positions
from atariari_data.positions import things
from builders.manifest import DEEP, load_manifest, recorded_games

Places = npt.NDArray[np.float64]
LEAST_ROWS, MANY_ROWS, NEAR, BESIDE, FOLLOWS, LABELLED = 30, 100, 2, 8, 0.95, 0.5


class Match(NamedTuple):
    """The agreement of one of our objects with a counterpart."""

    what: str
    rows: int
    offset: list[int]
    r: list[float]
    error: float
    near: float
    share: float


def objects(module: ModuleType, ram: npt.NDArray[np.uint8]) -> tuple[list[str], Places]:
    """Return the kinds of OC_Atari's objects, and their positions, float64 [rows, objects, 2]."""
    known: list[Any] = module._init_objects_ram(True)  # noqa: SLF001  there is no public way
    detect = module._detect_objects_ram  # noqa: SLF001
    rows: list[list[Any]] = []
    for one in ram.astype(int):
        detect(known, one, True)
        rows.append([(type(o).__name__, *o.xy) if hasattr(o, "xy") else None for o in known])
    count = max(map(len, rows))
    kinds, places = [""] * count, np.full((len(rows), count, 2), np.nan)
    for i, row in enumerate(rows):
        for j, seen in enumerate(row):
            if seen is not None and not seen[0].startswith("NoObject") and None not in seen:
                kinds[j], places[i, j] = seen[0], seen[1:]
    return kinds, places


def match(what: str, ours: Places, theirs: Places) -> Match | None:
    """Compare positions [rows, axes] with the nearest of the objects [rows, objects, axes] in each row."""
    difference = theirs - ours[:, None]
    seen = difference[np.isfinite(difference).all(-1)]
    if len(seen) == 0:
        return None
    values = [np.unique(np.rint(column), return_counts=True) for column in seen.T]
    offset = np.array([value[counts.argmax()] for value, counts in values])
    distance = np.abs(difference - offset).max(-1)
    here = np.isfinite(distance).any(1)
    if here.sum() < LEAST_ROWS:
        return None
    nearest = np.nanargmin(distance[here], axis=1)
    error, place = distance[here, nearest], theirs[here, nearest]
    moving = (place.std(0) > 0) & (ours[here].std(0) > 0)
    r = [
        float(np.corrcoef(place[:, a], ours[here][:, a])[0, 1]) if moving[a] else np.nan
        for a in range(ours.shape[1])
    ]
    near = float((error <= NEAR).mean())
    share = here.sum() / max(1, np.isfinite(ours).all(1).sum())
    return Match(what, int(here.sum()), offset.astype(int).tolist(), r, float(error.mean()), near, share)


def _agrees(found: Match) -> tuple[bool, float]:
    """Return the sort key of a counterpart; the best one follows our object wherever both are present."""
    follows = found.near >= FOLLOWS and found.rows >= MANY_ROWS and any(r > FOLLOWS for r in found.r)
    return follows and found.what != "any", found.near * min(1, found.share + 0.1)


def ram_of(config: str, rows: int) -> npt.NDArray[np.uint8]:
    """Return rows of the test split at equal distances, uint8 [rows, 128]."""
    there = load_manifest(config).configs[config].splits["test"].rows
    split = load_dataset("atariari", config, split="test", streaming=True).select_columns("ram")
    return np.array([row["ram"] for row in islice(split, 0, None, max(1, there // rows))], np.uint8)


def compare(game: str, rows: int, *, deep: bool) -> None:
    try:
        module = importlib.import_module(f"ocatari.ram.{game.replace('_', '')}")
    except ModuleNotFoundError:
        print(f"{game:18} is not in OC_Atari")
        return
    ram = ram_of(game + DEEP if deep else game, rows)
    report(game, ram, *objects(module, ram))


def report(game: str, ram: npt.NDArray[np.uint8], kinds: list[str], places: Places) -> None:
    known = {thing.name: thing for thing in things(game_of(game).variables())}
    matched = np.zeros(places.shape[:2], np.bool_)
    for name, found in positions(ram, game).items():
        held = [axis for axis, part in enumerate((known[name].x, known[name].y)) if part]
        axes = [axis for axis in held if np.isfinite(found[:, axis]).any()]
        ours = found[:, axes].astype(np.float64)
        groups = {f"{kind} {j}": [j] for j, kind in enumerate(kinds) if kind}
        groups |= {f"any {kind}": [j for j, k in enumerate(kinds) if k == kind] for kind in set(kinds) - {""}}
        groups |= {"any": [j for j, kind in enumerate(kinds) if kind]}
        tried = [match(what, ours, places[:, js][..., axes]) for what, js in groups.items()] if axes else []
        best = max((m for m in tried if m), key=_agrees, default=None)
        if best is None:
            print(f"{game:18} {name:26} has no counterpart on these rows")
            continue
        beside = np.abs(places[..., axes] - (ours + best.offset)[:, None]).max(-1) <= BESIDE
        matched |= beside
        alone = 1 - beside.any(1)[np.isfinite(ours).all(1)].mean()
        r = " ".join(f"{value:6.3f}" for value in best.r)
        print(
            f"{game:18} {name:26} {best.what:22} {best.rows:5} {best.offset!s:>10}   {r:14}"
            f"{best.error:7.1f} {best.near:7.2f}       {alone:6.1%}"
        )
    for kind in sorted(set(kinds) - {""}):
        mine = [j for j, k in enumerate(kinds) if k == kind]
        there = np.isfinite(places[:, mine]).all(-1)
        share = matched[:, mine][there].mean()
        if share >= LABELLED:
            print(f"{game:18} {'':26} {kind:22} {there.sum():5}{'':44}{1 - share:6.1%}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("games", nargs="*", default=recorded_games())
    parser.add_argument("--rows", type=int, default=3000)
    parser.add_argument("--deep", action="store_true", help="On deep states in place of random play.")
    options = parser.parse_args()
    print(f"{'game':18} {'ours':26} {'theirs':22} {'rows':>5} {'offset':>10}   ", end="")
    print(f"{'r':14}{'error':>7} within {NEAR} px   alone")
    for game in options.games:
        compare(game, options.rows, deep=options.deep)


if __name__ == "__main__":
    main()
