"""The site: self-contained static pages of the results that are valid."""

from __future__ import annotations

import base64
import csv
import io
import re
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import orjson
from markupsafe import Markup

from atariari_data.errors import AtariariError
from atariari_data.games import CATEGORIES, Variable, game
from harness.leaderboard.board import SIGNERS, AcceptedProtocol, ProbeChoice, parse_line
from harness.leaderboard.entry import Entry, Tier, fresh_gaps, latest, tier, uncollected
from harness.leaderboard.gate import Verdict
from harness.leaderboard.names import slug
from harness.leaderboard.plots import Point, scatter
from harness.leaderboard.published import SOURCE, published
from harness.leaderboard.repository import PLAIN, BoardError
from harness.leaderboard.tables import variable_rows
from harness.pages.bars import bar
from harness.pages.environment import environment
from harness.pages.words import CATEGORY_TITLES, encoder_title, game_title, probe_title
from harness.results.frame import harmless
from harness.results.provenance import split_of
from harness.results.result import Means, SuiteMeans

_KEPT = ".atariari-site"
"""Marks a folder as a site, so that it can be replaced."""
_SHOWN = 100
"""Rows of the ranking before a button shows the rest; as in board.js."""
_DERIVED = {
    "_motion": "Pixels moved since the row before. {}",
    "_present": "Whether it is there: {}",
    "_bit_([0-9]+)": "Bit {}. {}",
}
"""What the ends of the names of targets mean; see `harness.targets`."""
_PNG = b"\x89PNG\r\n\x1a\n"
_MAX_PICTURE = 1_000_000


@dataclass(frozen=True)
class Row:
    """An encoder under one protocol: its latest run, and the earlier ones."""

    protocol: AcceptedProtocol
    entry: Entry
    older: Sequence[Entry]
    tier: Tier
    gaps: Sequence[float]
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
    def values(self) -> list[dict[str, float | None]]:
        """Scores for each probe of the protocol, by column: ``suite``, categories and games.

        The means are over all games of the protocol; a result of a smaller suite has others.
        """
        head, found = self.entry.head, []
        for probe in self.protocol.columns:
            values: dict[str, float | None] = {"suite": None}
            suite = next((s for s in head.suite if _is(s, probe)), None)
            if suite is not None:
                values |= {name: self.game(name, probe) for name in head.games}
            if suite is not None and self.is_whole:
                values |= {"suite": suite.means.score}
                values |= {c.category: c.score for c in suite.means.categories}
            found.append(values)
        return found

    @property
    def is_whole(self) -> bool:
        """Whether it has every game of the protocol."""
        return set(self.protocol.games) <= set(self.entry.head.games)

    def game(self, name: str, probe: ProbeChoice) -> float | None:
        """Return a game's score under a probe, or None if the result does not have it."""
        means = self.means(name, probe)
        return None if means is None else means.score

    def means(self, name: str, probe: ProbeChoice) -> Means | None:
        """Return a game's means under a probe, or None if the result does not have them."""
        head = self.entry.head
        means = zip(head.suite, head.games[name].means, strict=True)
        return next((game for suite, game in means if _is(suite, probe)), None)

    @property
    def interval(self) -> tuple[float, float] | None:
        """The interval of the suite's score under the first probe; games err apart from each other."""
        middle, halves = self.values[0]["suite"], [game.half for game in self.entry.head.games.values()]
        if middle is None or not all(half is not None for half in halves):
            return None
        half = sum(h * h for h in halves if h is not None) ** 0.5 / len(halves)
        return max(middle - half, 0.0), min(middle + half, 1.0)


def build(verdict: Verdict, out: Path) -> int:
    """Write a leaderboard's site and return the number of pages.

    Args:
        verdict: As `gate.verify` returns it. What it found to be wrong is left out.
        out: Folder to create, or to replace if it is a site.

    Raises:
        BoardError: The folder is something else, or cannot be written.
    """
    try:
        if out.exists() and any(out.iterdir()) and not (out / _KEPT).exists():
            raise BoardError(f"{out} is not a site.", cure="Name a new folder.")
        shutil.rmtree(out, ignore_errors=True)
        out.mkdir(parents=True)
        (out / _KEPT).touch()
        with uncollected():
            return _Site(verdict, out).write()
    except OSError as error:
        raise BoardError(f"{out} cannot be written: {error.strerror or error}.") from error


class _Site:
    def __init__(self, verdict: Verdict, out: Path) -> None:
        self.verdict, self.out, self.pages = verdict, out, 0
        self.board = board = verdict.board
        self.rows = _rows(verdict.entries)
        self.by_slug: dict[str, list[tuple[AcceptedProtocol, Row]]] = {}
        for protocol in board.protocols.values():
            for row in self.rows.get(protocol.name, []):
                self.by_slug.setdefault(row.slug, []).append((protocol, row))
        self.jinja = environment("harness.leaderboard", script="board.js")
        self.jinja.globals |= {"board": board, "variable_rows": variable_rows, "paper": SOURCE, "raw": _raw}
        self.jinja.globals |= {"split_of": split_of}
        self.jinja.filters["json"] = _json

    def write(self) -> int:
        self._results()
        for protocol in self.board.protocols.values():
            self._ranking(protocol)
        self._page("rules.html", "rules.html", up="")
        for name in sorted(self.by_slug):
            self._encoder(name)
        for name in sorted(self.board.current.games):
            self._game(name)
        self._data()
        return self.pages

    def _page(self, template: str, path: str, **values: Any) -> None:
        file = self.out / path
        file.parent.mkdir(exist_ok=True)
        file.write_text(self.jinja.get_template(template).render(**values), encoding="utf-8")
        self.pages += 1

    def _ranking(self, protocol: AcceptedProtocol) -> None:
        rows = self.rows.get(protocol.name, [])
        front = protocol is self.board.current
        rows = sorted(rows, key=lambda row: row.bound)
        encoders = [row for row in rows if not row.bound]
        full = [(row, f1) for row in encoders if (f1 := row.values[0]["suite"]) is not None]
        link = "encoders/" if front else "../encoders/"
        columns = ["suite", *CATEGORIES, *sorted(protocol.games)]
        titles = [probe_title(p.run) for p in protocol.columns]
        bounds = _bounds(rows, protocol)

        def points(across: Callable[[Row], float | None]) -> list[Point]:
            return [
                Point(x, f1, row.title, f"{link}{row.slug}.html")
                for row, f1 in full
                if (x := across(row)) is not None and x > 0
            ]

        def row_bar(row: Row) -> Markup:
            marks = {
                "majority": bounds["floors"][0].get("suite"),
                "ceiling": bounds["ceilings"][0].get("suite"),
            }
            return bar(row.values[0]["suite"], row.interval, marks)

        self._page(
            "ranking.html",
            "index.html" if front else f"protocols/{protocol.name}.html",
            up="" if front else "../",
            protocol=protocol,
            rows=encoders,
            bounds=rows[len(encoders) :],
            shown=_SHOWN,
            published=published() if set(published()[0].games) & set(protocol.games) else [],
            row_bar=row_bar,
            others=[at for at in range(1, len(titles)) if any(_known(row.values[at]) for row in rows)],
            plots=[
                scatter(
                    points(lambda row: row.entry.head.encoder.parameters), "parameters", titles[0], log=True
                ),
                *(
                    scatter(points(lambda row: row.values[1]["suite"]), title, titles[0])
                    for title in titles[1:2]
                ),
            ],
            data={
                "scores": titles,
                "games": [[name, game_title(name)] for name in sorted(protocol.games)],
                "suites": {
                    name: s for name, s in protocol.suites.items() if 0 < len(s) < len(protocol.games)
                },
                "categories": [[name, CATEGORY_TITLES[name]] for name in CATEGORIES],
                "columns": columns,
                "rows": [[[v.get(c) for c in columns] for v in row.values] for row in rows],
                "halves": [{name: game.half for name, game in row.entry.head.games.items()} for row in rows],
                **bounds,
            },
        )

    def _encoder(self, name: str) -> None:
        found = self.by_slug[name]
        signed = [orjson.loads((self.out / _raw(row.entry)).read_bytes())["signed"] for _, row in found]
        self._page("encoder.html", f"encoders/{name}.html", up="../", found=found, signed_of=signed)
        protocol, row = next(((p, r) for p, r in found if p is self.board.current), found[0])
        text = self.jinja.get_template("badge.svg").render(row=row, protocol=protocol)
        (self.out / "badges").mkdir(exist_ok=True)
        (self.out / "badges" / f"{name}.svg").write_text(text, encoding="utf-8")

    def _game(self, name: str) -> None:
        protocol = self.board.current
        rows = [row for row in self.rows.get(protocol.name, []) if name in row.entry.head.games]
        rows.sort(key=lambda row: (-(row.values[0][name] or 0), row.name))
        first, *others = protocol.columns
        shown = [first, *(p for p in others if any(row.game(name, p) is not None for row in rows))]
        self._page(
            "game.html",
            f"games/{name}.html",
            up="../",
            name=name,
            protocol=protocol,
            columns=shown,
            kept=protocol.games[name],
            variables=_variables(protocol, name),
            rows=rows,
            picture=self._picture(name),
            published=[p for p in published() if name in p.games],
        )

    def _picture(self, name: str) -> str | None:
        blob = self.verdict.tree.get(f"frames/{name}.png")
        if blob is None or blob.mode != PLAIN or blob.size > _MAX_PICTURE:
            return None
        data = self.verdict.repository.content(blob.oid)
        return base64.b64encode(data).decode() if data.startswith(_PNG) else None

    def _results(self) -> None:
        """Copy the results, and the keys that they were checked against."""
        tree, entries = self.verdict.tree, self.verdict.entries
        (self.out / "results").mkdir()
        contents = self.verdict.repository.contents([tree[entry.path] for entry in entries])
        for entry, data in zip(entries, contents, strict=True):
            (self.out / _raw(entry)).write_bytes(data)
        lines = [line for line in self.board.keys.text.split("\n") if _is_key(line)]
        (self.out / SIGNERS).write_text("".join(f"{line}\n" for line in lines), encoding="ascii")

    def _data(self) -> None:
        rows = [(p, row) for p in self.board.protocols.values() for row in self.rows.get(p.name, [])]
        found = [_flat(protocol, row) for protocol, row in rows]
        (self.out / "data.json").write_bytes(orjson.dumps(found, option=orjson.OPT_INDENT_2))
        text = io.StringIO()
        columns = list(dict.fromkeys(key for item in found for key in item))
        writer = csv.DictWriter(text, columns or ["encoder"], lineterminator="\n")
        writer.writeheader()
        writer.writerows({k: harmless(v) for k, v in item.items()} for item in found)
        (self.out / "data.csv").write_text(text.getvalue(), encoding="utf-8")


def _variables(protocol: AcceptedProtocol, name: str) -> list[tuple[str, Sequence[str], str, str]]:
    """Return name, categories, meaning and unit of what the ranking probe scores, as far as it is known."""
    label_set = game(name).label_sets.get(protocol.label_set, ())  # type: ignore[call-overload]
    described = {v.name: v for v in label_set}
    kept, first = protocol.games[name], protocol.columns[0]
    if first.metric == "f1":
        units = {name: variable.unit for name, variable in described.items()}
        return [
            (v.name, v.categories, _meaning(v.name, described), units.get(v.name, "")) for v in kept.variables
        ]
    scored = next(iter(protocol.baselines_of.get((name, first.run), {}).values()), None)
    return [
        (target.name, target.categories, _meaning(target.name, described), target.unit or "")
        for target in kept.targets
        if scored is None or target.name in scored
    ]


def _meaning(target: str, described: Mapping[str, Variable]) -> str:
    """Describe a target of the readout by the variable that it comes from."""
    for suffix, said in _DERIVED.items():
        found = re.fullmatch(f"(.+){suffix}", target)
        if found and target not in described:
            variable = described.get(found[1])
            return said.format(*found.groups()[1:], variable.description if variable else found[1])
    return described[target].description if target in described else ""


def _rows(entries: Sequence[Entry]) -> dict[str, list[Row]]:
    """Return the rows of every protocol, best first by the suite's score under the first probe."""
    fresh: dict[str, list[Entry]] = {}
    for entry in entries:
        if entry.head.fresh_of is not None:
            fresh.setdefault(entry.head.fresh_of, []).append(entry)
    found: dict[str, list[Row]] = {}
    public = [e for e in entries if e.head.fresh_seed is None]
    for (protocol, _), (newest, *older) in latest(public).items():
        gaps = [gap for gap in fresh_gaps(newest, fresh) if gap is not None]
        row = Row(newest.protocol, newest, older, tier(newest, fresh), gaps, None)
        found.setdefault(protocol, []).append(row)
    for name, rows in found.items():
        rows.sort(key=_order)
        full = [f1 for row in rows if not row.bound and (f1 := row.values[0]["suite"]) is not None]
        found[name] = [replace(row, rank=_rank(row, full)) for row in rows]
    return found


def _bounds(rows: Sequence[Row], protocol: AcceptedProtocol) -> dict[str, list[dict[str, float]]]:
    """Return floors and ceilings for each probe by game, and for the suite, as far as a result has them."""
    found: dict[str, list[dict[str, float]]] = {"floors": [], "ceilings": []}
    for probe in protocol.columns:
        floors, ceilings = dict[str, float](), dict[str, float]()
        for name in protocol.games:
            means = (row.means(name, probe) for row in rows if name in row.entry.head.games)
            for mean in filter(None, means):
                if (floor := mean.constant if mean.trivial is None else mean.trivial) is not None:
                    floors[name] = floor
                if mean.ceiling is not None:
                    ceilings[name] = mean.ceiling
                break
        for bound, of in (("floors", floors), ("ceilings", ceilings)):
            if len(of) == len(protocol.games):
                of["suite"] = round(sum(of.values()) / len(of), 4)
            found[bound].append(of)
    return found


def _rank(row: Row, full: Sequence[float]) -> int | None:
    f1 = row.values[0]["suite"]
    return None if row.bound or f1 is None else 1 + sum(other > f1 for other in full)


def _order(row: Row) -> tuple[bool, float, int, str]:
    f1 = row.values[0]["suite"]
    return f1 is None, -(f1 or 0), -len(row.entry.head.games), row.name


def _flat(protocol: AcceptedProtocol, row: Row) -> dict[str, Any]:
    encoder = row.entry.head.encoder
    values = {
        f"{title}: {column}": value
        for probe, columns in zip(protocol.columns, row.values, strict=True)
        for title in (probe_title(probe.run),)
        for column, value in columns.items()
    }
    return {
        "protocol": protocol.name,
        "rank": row.rank,
        "encoder": row.name,
        "submitter": row.entry.submitter,
        "tier": row.tier,
        "bound": row.bound,
        "date": row.date,
        "parameters": encoder.parameters,
        "feature_size": encoder.feature_size,
        "trained_on": encoder.trained_on,
        "result": _raw(row.entry),
        **values,
    }


def _known(values: dict[str, float | None]) -> bool:
    return any(value is not None for value in values.values())


def _is(suite: SuiteMeans, probe: ProbeChoice) -> bool:
    return bool(suite.run == probe.run)


def _raw(entry: Entry) -> str:
    return f"results/{entry.head.digest[:16]}.json"


def _is_key(line: str) -> bool:
    try:
        parse_line(line)
    except AtariariError:
        return False
    return True


def _json(value: Any) -> Markup:
    """Return JSON for a data block of a page: no text in it can close the block."""
    text = orjson.dumps(value).decode()
    return Markup(text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026"))  # noqa: S704
