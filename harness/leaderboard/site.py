"""The site: static pages that need nothing but themselves, made from results that hold."""

from __future__ import annotations

import base64
import csv
import io
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import orjson
from markupsafe import Markup

from atariari_data.games import CATEGORIES, game
from harness.leaderboard.board import SIGNERS, AcceptedProtocol, Board, BoardError, ProbeChoice, slug
from harness.leaderboard.entry import Entry, Tier, fresh_gaps, identity, tier, uncollected
from harness.leaderboard.gate import Verdict, latest
from harness.leaderboard.plots import Point, scatter
from harness.leaderboard.published import SOURCE, published
from harness.leaderboard.tables import variable_rows
from harness.pages.environment import environment
from harness.pages.words import game_title, probe_title
from harness.results.frame import harmless
from harness.results.result import SuiteMeans

_KEPT = ".atariari-site"
"""Marks a folder as made by us, so that it may be replaced."""
_SHOWN = 100
"""Rows of the ranking before a button shows the rest; as in board.js."""


@dataclass(frozen=True)
class Row:
    """An encoder under one protocol: its newest run, and the older ones."""

    protocol: AcceptedProtocol
    entry: Entry
    older: Sequence[Entry]
    tier: Tier
    gaps: Sequence[float]
    rank: int | None

    @property
    def name(self) -> str:
        """Of the encoder."""
        return self.entry.head.encoder.name

    @cached_property
    def slug(self) -> str:
        """Of its page."""
        return slug(self.name)

    @property
    def date(self) -> str:
        """When the run ended."""
        return self.entry.head.finished[:10]

    @property
    def bound(self) -> bool:
        """Whether it is no encoder, but what bounds them."""
        return self.entry.head.encoder.frames is None

    @cached_property
    def values(self) -> list[dict[str, float | None]]:
        """For every probe of the protocol, F1 by column: ``suite``, the categories, the games."""
        head, found = self.entry.head, []
        for probe in self.protocol.columns:
            values: dict[str, float | None] = {"suite": None}
            suite = next((s for s in head.suite if _is(s, probe)), None)
            if suite is not None:
                values = {"suite": suite.means.f1, **{c.category: c.f1 for c in suite.means.categories}}
                values |= {name: self.game(name, probe) for name in head.games}
            found.append(values)
        return found

    def game(self, name: str, probe: ProbeChoice) -> float | None:
        """Return a game's F1 under a probe, None where the result does not have it."""
        head = self.entry.head
        means = zip(head.suite, head.games[name].means, strict=True)
        return next((game.f1 for suite, game in means if _is(suite, probe)), None)


def build(verdict: Verdict, out: Path) -> int:
    """Make the site of a leaderboard and return the number of pages.

    Args:
        verdict: What `gate.verify` found; it must have found nothing wrong.
        out: Folder to make, or to make anew where it is a site of ours.

    Raises:
        BoardError: The leaderboard does not hold, or the folder is something else.
    """
    if verdict.findings:
        first = verdict.findings[0]
        raise BoardError(
            "The leaderboard does not hold, so it is not shown.",
            got=f"{first.path}: {first.error.what}",
            cure="harness leaderboard verify",
        )
    if out.exists() and any(out.iterdir()) and not (out / _KEPT).exists():
        raise BoardError(f"{out} is not a site of ours.", cure="Name a new folder.")
    shutil.rmtree(out, ignore_errors=True)
    try:
        out.mkdir(parents=True)
        (out / _KEPT).touch()
        with uncollected():
            return _Site(verdict.board, verdict.entries, out).write()
    except OSError as error:
        raise BoardError(f"{out} cannot be written: {error.strerror or error}.") from error


class _Site:
    def __init__(self, board: Board, entries: Sequence[Entry], out: Path) -> None:
        self.board, self.out, self.pages = board, out, 0
        counted = [e for e in entries if e.head.digest not in board.rules.withdrawn]
        self.entries = entries
        self.rows = _rows(counted)
        self.by_slug: dict[str, list[tuple[AcceptedProtocol, Row]]] = {}
        for protocol in board.protocols.values():
            for row in self.rows.get(protocol.name, []):
                self.by_slug.setdefault(row.slug, []).append((protocol, row))
        self.jinja = environment("harness.leaderboard", script="board.js")
        self.jinja.globals |= {"board": board, "variable_rows": variable_rows, "paper": SOURCE}
        self.jinja.filters["json"] = _json

    def write(self) -> int:
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
        by_size = [
            Point(row.entry.head.encoder.parameters, f1, row.name, f"{link}{row.slug}.html")
            for row, f1 in full
            if row.entry.head.encoder.parameters
        ]
        by_date = [Point(_day(row), f1, row.name, f"{link}{row.slug}.html") for row, f1 in full]
        self._page(
            "ranking.html",
            "index.html" if front else f"protocols/{protocol.name}.html",
            up="" if front else "../",
            protocol=protocol,
            rows=encoders,
            bounds=rows[len(encoders) :],
            shown=_SHOWN,
            published=published() if set(published()[0].games) & set(protocol.games) else [],
            plots=[
                scatter(by_size, "parameters", "parameters", log=True),
                scatter(by_date, "date", "date of the run"),
            ],
            data={
                "probes": [probe_title(p.probe, p.train_rows) for p in protocol.columns],
                "games": [[name, game_title(name)] for name in sorted(protocol.games)],
                "columns": columns,
                "rows": [[[v.get(c) for c in columns] for v in row.values] for row in rows],
                "published": [
                    [{"suite": p.mean, **p.categories, **p.games}.get(c) for c in columns]
                    for p in published()
                ],
            },
        )

    def _encoder(self, name: str) -> None:
        found = self.by_slug[name]
        signed = [row.entry.signed(self.board.folder) for _, row in found]
        self._page("encoder.html", f"encoders/{name}.html", up="../", found=found, signed_of=signed, raw=_raw)
        protocol, row = next(((p, r) for p, r in found if p is self.board.current), found[0])
        text = self.jinja.get_template("badge.svg").render(row=row, protocol=protocol)
        (self.out / "badges").mkdir(exist_ok=True)
        (self.out / "badges" / f"{name}.svg").write_text(text, encoding="utf-8")

    def _game(self, name: str) -> None:
        protocol = self.board.current
        label_set = game(name).label_sets.get(protocol.label_set, ())  # type: ignore[call-overload]
        described = {v.name: v for v in label_set}
        rows = [row for row in self.rows.get(protocol.name, []) if name in row.entry.head.games]
        rows.sort(key=lambda row: (-(row.values[0][name] or 0), row.name))
        picture = self.board.folder / "frames" / f"{name}.png"
        data = base64.b64encode(picture.read_bytes()).decode() if picture.is_file() else None
        self._page(
            "game.html",
            f"games/{name}.html",
            up="../",
            name=name,
            protocol=protocol,
            kept=protocol.games[name],
            described=described,
            rows=rows,
            picture=data,
            published=[p for p in published() if name in p.games],
        )

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
        for entry in self.entries:
            path = self.out / _raw(entry)
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(entry.content(self.board.folder))
        shutil.copy(self.board.folder / SIGNERS, self.out / SIGNERS)


def _rows(entries: Sequence[Entry]) -> dict[str, list[Row]]:
    """Return the rows of every protocol, best first by the suite's F1 under the first probe."""
    fresh: dict[tuple[str, str | None], list[Entry]] = {}
    for entry in entries:
        if entry.head.fresh_seed is not None:
            fresh.setdefault(identity(entry), []).append(entry)
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
        for title in (probe_title(probe.probe, probe.train_rows),)
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
        "pretraining_data": encoder.pretraining_data,
        "result": _raw(row.entry),
        **values,
    }


def _is(suite: SuiteMeans, probe: ProbeChoice) -> bool:
    return (suite.probe, suite.train_rows) == (probe.probe, probe.train_rows)


def _raw(entry: Entry) -> str:
    return f"results/{entry.head.digest[:16]}.json"


def _day(row: Row) -> float:
    from datetime import date

    return date.fromisoformat(row.date).toordinal()


def _json(value: Any) -> Markup:
    """Return JSON for a data block of a page: no text in it can close the block."""
    text = orjson.dumps(value).decode()
    return Markup(text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026"))  # noqa: S704
