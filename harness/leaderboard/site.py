"""The site: self-contained static pages of the results that are valid."""

from __future__ import annotations

import base64
import csv
import io
import re
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import orjson
from markupsafe import Markup

from atariari_data.errors import AtariariError
from atariari_data.games import CATEGORIES, Variable, game
from harness.leaderboard.board import SIGNERS, AcceptedProtocol, parse_line
from harness.leaderboard.entry import Entry, uncollected
from harness.leaderboard.gate import Verdict
from harness.leaderboard.plots import Point, scatter
from harness.leaderboard.published import SOURCE, published
from harness.leaderboard.repository import PLAIN, BoardError
from harness.leaderboard.standing import Row, rows_of, shared_games
from harness.leaderboard.tables import floor_of, variable_rows
from harness.pages.bars import bar
from harness.pages.environment import environment
from harness.pages.words import CATEGORY_TITLES, game_title, probe_title
from harness.results.frame import harmless
from harness.results.means import mean
from harness.results.provenance import split_of

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
        self.rows = rows_of(verdict.entries)
        self.by_slug: dict[str, list[tuple[AcceptedProtocol, Row]]] = {}
        for protocol in board.protocols.values():
            for row in self.rows.get(protocol.name, []):
                self.by_slug.setdefault(row.slug, []).append((protocol, row))
        self.jinja = environment("harness.leaderboard", script="board.js")
        self.jinja.globals |= {"board": board, "variable_rows": variable_rows, "paper": SOURCE, "raw": _raw}
        self.jinja.globals |= {"split_of": split_of, "floor_of": floor_of, "score_of": _score_of}
        self.jinja.globals |= {"games_said": _games_said}
        self.jinja.filters |= {"json": _json, "probe_title": probe_title}
        self.jinja.filters["category_title"] = lambda name: CATEGORY_TITLES.get(name, name)

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
        names = sorted(protocol.games)
        ranked = rows[0].games if rows else names
        titles = [probe_title(p.run) for p in protocol.columns]
        bounds = _bounds(rows, protocol)
        floor, ceiling = (mean([bounds[of][0].get(name) for name in ranked]) for of in ("floors", "ceilings"))

        def row_bar(row: Row) -> Markup:
            return bar(row.score, row.interval, {"majority": floor, "ceiling": ceiling})

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
            others=[at for at in range(1, len(titles)) if any(row.has_probe(at) for row in rows)],
            ranked=ranked,
            plots=_plots(encoders, protocol, "encoders/" if front else "../encoders/"),
            data={
                "scores": titles,
                "games": [[name, game_title(name)] for name in names],
                "suites": {
                    name: s for name, s in protocol.suites.items() if 0 < len(s) < len(protocol.games)
                },
                "categories": [[name, CATEGORY_TITLES[name]] for name in CATEGORIES],
                "whole": ranked == names,
                "shared": [shared_games(encoders, at) for at in range(len(titles))],
                "rows": [[_cells(row, at, names) for at in range(len(titles))] for row in rows],
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
        rows.sort(key=lambda row: (-(row.on_game(0, name) or 0), row.name))
        known = [at for at in range(len(protocol.columns)) if any(row.of_game(at, name) for row in rows)]
        self._page(
            "game.html",
            f"games/{name}.html",
            up="../",
            name=name,
            protocol=protocol,
            columns=known or [0],
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


def _score_of(entry: Entry) -> float | None:
    """Return the mean over all games of a result under its first probe."""
    return mean([game.means[0].score for game in entry.head.games.values()])


def _games_said(protocol: AcceptedProtocol, games: Sequence[str]) -> str:
    """Say which games of a protocol: all, or their names."""
    if len(games) == len(protocol.games):
        return f"all {len(games)} games"
    return f"{len(games)} game{'' if len(games) == 1 else 's'}: {', '.join(map(game_title, games))}"


def _cells(row: Row, at: int, games: Sequence[str]) -> list[list[float | None] | None]:
    """Return score, half of its interval, and the categories' scores for each game, null where it is missing.

    Nothing at all if the result does not have the probe.
    """
    found: list[list[float | None] | None] = []
    for name in games if row.has_probe(at) else ():
        means = row.of_game(at, name)
        if means is None:
            found.append(None)
            continue
        categories = {each.category: each.score for each in means.categories}
        found.append([means.score, row.half(at, name), *map(categories.get, CATEGORIES)])
    return found


def _plots(rows: Sequence[Row], protocol: AcceptedProtocol, link: str) -> list[Markup]:
    """Return the score against parameters, and ``play`` against ``transfer``, as far as they are known."""
    titles = [probe_title(p.run) for p in protocol.columns]
    at = {p.run.title: number for number, p in enumerate(protocol.columns)}

    def plot(
        upright: int, across: Callable[[Row], float | None], title: str, *, log: bool = False
    ) -> Markup | None:
        points = [
            Point(x, y, row.title, f"{link}{row.slug}.html")
            for row in rows
            if (y := row.means[upright].get("suite")) is not None and (x := across(row))
        ]
        return scatter(points, title, titles[upright], log=log)

    # A score of 0, the constant's, would only stretch the axes; and 0 parameters have no logarithm.
    plots = [plot(0, lambda row: row.entry.head.encoder.parameters, "parameters", log=True)]
    if "play" in at and "transfer" in at:
        transfer = at["transfer"]
        plots.append(plot(at["play"], lambda row: row.means[transfer].get("suite"), titles[transfer]))
    return [made for made in plots if made is not None]


def _bounds(rows: Sequence[Row], protocol: AcceptedProtocol) -> dict[str, list[dict[str, float]]]:
    """Return floors and ceilings for each probe by game, as far as a result has them."""
    found: dict[str, list[dict[str, float]]] = {"floors": [], "ceilings": []}
    for at in range(len(protocol.columns)):
        floors, ceilings = dict[str, float](), dict[str, float]()
        for name in protocol.games:
            for means in (row.of_game(at, name) for row in rows):
                if means is None:
                    continue
                if (floor := floor_of(means.constant, means.trivial)) is not None:
                    floors[name] = floor
                if means.ceiling is not None:
                    ceilings[name] = means.ceiling
                break
        found["floors"].append(floors)
        found["ceilings"].append(ceilings)
    return found


def _flat(protocol: AcceptedProtocol, row: Row) -> dict[str, Any]:
    encoder = row.entry.head.encoder
    values: dict[str, float | None] = {}
    for at, probe in enumerate(protocol.columns):
        columns = {name: row.means[at].get(name) for name in ("suite", *CATEGORIES)}
        columns |= {name: row.on_game(at, name) for name in row.entry.head.games}
        values |= {f"{probe_title(probe.run)}: {column}": value for column, value in columns.items()}
    return {
        "protocol": protocol.name,
        "rank": row.rank,
        "ranked_on": " ".join(row.games),
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
