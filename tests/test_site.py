from __future__ import annotations

import csv
import html.parser
import json
import re
import subprocess
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any, cast
from urllib.parse import unquote, urlsplit

import pytest

from harness.leaderboard import site
from harness.leaderboard.board import BASELINES, Board, KeyList, Rules, path_of
from harness.leaderboard.create import protocols_here
from harness.leaderboard.entry import Entry, Head, latest
from harness.leaderboard.gate import Verdict, verify
from harness.leaderboard.names import slug
from harness.leaderboard.published import published
from harness.leaderboard.repository import BoardError
from harness.leaderboard.standing import Row
from harness.pages.words import encoder_title, game_title, score, size
from harness.probes.probe import ProbeRun
from harness.results.means import mean
from harness.results.result import Signed
from harness.results.result_file import read
from harness.results.sign import sign_result
from tests.boards import BOARD, TestBoard, protocol
from tests.made_results import GAMES, Probes, fields, make

SCRIPT = '<script>document.title="owned"</script>'
ATTRIBUTE = '"><img src=x onerror=document.title="owned">'
TEMPLATE = "{{ 70007 * 7 }} {% raw %} ${7*7} </script> <!-- ' -->"


def make_site(where: Path) -> TestBoard:
    """Make a leaderboard whose texts try to be more than text, and its site."""
    board = TestBoard.new(where)
    board.place(board.result(7, encoder="Encoder 1", finished="2026-01-30T12:34:56Z"))
    board.commit()
    board.place(sign_result(board.result(1, skill=0.9), board.key(BOARD)))
    withdrawn = board.result(2, "bob@example.org", skill=0.3)
    board.place(withdrawn)
    board.place(board.result(3, games=("pong",)))
    for seed, text in ((4, SCRIPT), (5, ATTRIBUTE), (6, TEMPLATE)):
        values = fields(seed, games=board.suite, suite=board.suite, encoder=f"Method {seed}", skill=0.5)
        values["encoder"]["pretraining_data"] = text
        values["submitter"]["name"] = text
        values["environment"]["cpu"] = text
        for scores in values["games"]["pong"]["scores"]:
            scores["variables"][0]["note"] = text
        board.place(board.sign(Signed.build(**values), "alice@example.org"))
    rules = json.loads((board.folder / "board.json").read_text(encoding="utf-8"))
    rules |= {"title": f"Board {TEMPLATE}", "withdrawn": {withdrawn.signed.digest: SCRIPT}}
    (board.folder / "board.json").write_text(json.dumps(rules), encoding="utf-8")
    sizes = (("linear", "full"), ("linear", 10_000), ("linear", "1k"))
    board.place(board.result(9, skill=0.6, probes=sizes))
    board.place(board.result(8, "bob@example.org", skill=0.1))
    verdict = board.verify()
    assert not verdict.findings
    site.build(verdict, board.folder / "site")
    return board


@pytest.fixture(scope="module")
def board(tmp_path_factory: pytest.TempPathFactory, git_identity: None) -> TestBoard:
    del git_identity
    return make_site(tmp_path_factory.mktemp("site"))


RUNS = (
    ("readout", 100),
    ("readout", "full"),
    ("readout", "full", "play", "deep"),
    ("readout", "full", "deep", "deep"),
)
SIX = ("boxing", "breakout", "freeway", "pong", "qbert", "seaquest")
TWELVE = (
    *SIX,
    *("asteroids", "berzerk", "demon_attack", "montezuma_revenge", "ms_pacman", "space_invaders"),
)
ENCODERS = {
    **dict.fromkeys(("infonce-stdim", "supervised", "majority", "pixels-pca", "pixels-pca-16"), TWELVE),
    **dict.fromkeys(("pixels-pca-64", "random-projection", "ram"), TWELVE),
    **dict.fromkeys(("dim", "cpc", "vae", "naff", "random-cnn"), SIX),
}
"""As on the project's own leaderboard: nobody has every game, and most have six."""


@cache
def our_results() -> tuple[Signed, ...]:
    made = []
    for seed, (name, games) in enumerate(ENCODERS.items()):
        probes = cast("Probes", RUNS)
        values = fields(seed, games=games, suite=GAMES, encoder=name, skill=0.9, probes=probes, n=997)
        if name == "ram":
            values["encoder"]["frames"] = None
        for of_game in values["games"].values():  # an interval of its own for each score
            for at, scores in enumerate(of_game["scores"]):
                for row in scores["variables"]:
                    low, high = row["score"] - 0.01 * (at + 1), row["score"] + 0.01 * (at + 1)
                    row["interval"] = [max(0.0, low), min(1.0, high)]
        made.append(Signed.build(**values))
    return tuple(made)


def front_page(where: Path, results: Iterable[Signed]) -> tuple[Path, list[Row]]:
    """Write the front page and a game's, without a repository and a gate; return the first, and its rows."""
    shown = [{**ProbeRun(*run)._asdict(), "metric": "f1"} for run in RUNS]
    rules = protocol(GAMES, probes=shown, shown=[], baselines=[])
    texts = Rules(schema_version=1, title="Ours", url="", current=rules.name, maintainers=[], withdrawn={})
    entries = tuple(
        Entry(path_of(signed), "alice@example.org", Head.of(signed), rules, (), (0, len(signed.games)))
        for signed in results
    )
    board = Board(texts, {rules.digest: rules}, KeyList("", frozenset()))
    made = site._Site(Verdict(cast("Any", None), {}, board, entries, ()), where)
    made._ranking(rules)
    made._game("pong")
    return where / "index.html", made.rows.get(rules.name, [])


class Page(html.parser.HTMLParser):
    """What a page links to, what runs in it, and its text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.ids: list[str] = []
        self.tags: list[str] = []
        self.handlers: list[str] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        for name, value in attrs:
            if name in {"href", "src"}:
                self.links.append(value or "")
            if name == "id":
                self.ids.append(value or "")
            if name.startswith("on") or (name == "href" and (value or "").lower().startswith("javascript")):
                self.handlers.append(f"{name}={value}")

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.mark.parametrize(
    ("name", "title"),
    [
        ("pixels-pca", "PCA of the pixels"),
        ("pixels-pca-16", "PCA of the pixels, 16 components"),
        ("infonce-stdim-3", "ST-DIM (3)"),
        ("somebody-s-16", "somebody-s-16"),
    ],
)
def test_encoders_of_ours_have_a_title(name: str, title: str) -> None:
    assert encoder_title(name) == title


@pytest.mark.parametrize(
    ("count", "said"),
    [
        (None, "\u2013"),
        (999, "999"),
        (1_124_896, "1.12M"),
        (999_500, "1M"),
        (999_700_000, "1G"),
        (65_792, "65.8k"),
    ],
)
def test_sizes_are_short(count: int | None, said: str) -> None:
    assert size(count) == said


def pages(board: TestBoard) -> dict[str, Page]:
    root = board.folder / "site"
    return {
        path.relative_to(root).as_posix(): Page(path.read_text(encoding="utf-8"))
        for path in sorted(root.rglob("*.html"))
    }


def test_probes_stand_beside_each_other_and_are_never_mixed(board: TestBoard) -> None:
    page = (board.folder / "site" / "index.html").read_text(encoding="utf-8")
    data = json.loads(re.findall(r'id="data">(.*?)</script>', page)[0])
    assert data["scores"] == ["linear, all rows", "linear, 1k rows", "anand2019, all rows"]
    rows = dict(re.findall(r"encoders/(encoder-[19])\.html.*?</th>((?:<td.*?</td>){4})", page))
    for name, seed in (("encoder-1", 1), ("encoder-9", 9)):
        folder = board.folder / "results" / "alice@example.org" / name
        newest = max((read(path).signed for path in folder.glob("*.json")), key=lambda s: s.finished)
        by_probe = {(s.probe, s.train_rows): s.means.score for s in newest.suite}
        wanted = [by_probe.get(run) for run in (("linear", "full"), ("linear", "1k"), ("anand2019", "full"))]
        assert (wanted[2] is None) == (seed == 9)
        assert re.findall(r"num[^>]*>([^<]+)</td>", rows[name]) == [score(f1) for f1 in wanted]
    encoder = Page((board.folder / "site" / "encoders" / "encoder-9.html").read_text(encoding="utf-8"))
    assert "linear, 10,000 rows" in encoder.text


def test_every_link_leads_somewhere(board: TestBoard) -> None:
    root = board.folder / "site"
    found = pages(board)
    assert {"index.html", "rules.html", "encoders/encoder-1.html", "games/pong.html"} <= set(found)
    for name, page in found.items():
        for link in page.links:
            parts = urlsplit(link)
            if parts.scheme:
                assert parts.scheme in {"https", "data"}, link
                continue
            target = (root / name).parent / unquote(parts.path) if parts.path else root / name
            assert target.is_file(), (name, link)
            if parts.fragment:
                assert parts.fragment in Page(target.read_text(encoding="utf-8")).ids, (name, link)


def test_no_text_of_a_result_becomes_a_tag(board: TestBoard) -> None:
    for name, page in pages(board).items():
        assert not page.handlers, name
        assert page.tags.count("script") == {"index.html": 2}.get(
            name, 1 if name.startswith("games/") else 0
        ), name
        images = [link for link in page.links if link == "x"]
        assert not images, name
    text = pages(board)["encoders/method-4.html"].text
    assert SCRIPT in text
    assert "{{ 70007 * 7 }}" in pages(board)["encoders/method-6.html"].text
    assert "490049" not in pages(board)["rules.html"].text
    index = (board.folder / "site" / "index.html").read_text(encoding="utf-8")
    assert "default-src &#39;none&#39;" in index


def test_names_stand_in_their_order_with_tiers(board: TestBoard) -> None:
    index = (board.folder / "site" / "index.html").read_text(encoding="utf-8")
    names = re.findall(r'href="encoders/([a-z0-9-]+)\.html">[^<]+</a><small>', index)
    assert names[0] == "encoder-1"  # the newest of its two runs
    assert names[-1] == "encoder-3"  # one game only: no suite mean, no rank
    partial = re.findall(
        r'encoders/([a-z0-9-]+)\.html">[^<]+</a><small><span class="cover">1 of 2 games', index
    )
    assert partial == ["encoder-3"]
    assert "encoder-2" not in names  # withdrawn
    assert 'class="tier reproduced"' in index
    assert "Not comparable with the table above" in index
    page = pages(board)["encoders/encoder-1.html"].text
    assert "Other runs" in page
    assert "2026-01-30" in page
    assert re.search(r"Rank 1\.\s+Reproduced by board@example\.org\.\s", page)


def test_a_smaller_suite_has_no_rank_among_whole_ones(tmp_path: Path, git_identity: None) -> None:
    del git_identity
    games = ("breakout", "pong", "seaquest")
    made = TestBoard.new(tmp_path, suite=games, suites={"all": list(games), "small": list(games[:2])})
    made.place(made.result(1))
    values = fields(2, games=games[:2], suite=games[:2], encoder="Encoder 2", principal="bob@example.org")
    values["dataset"]["suite"] = "small"
    made.place(made.sign(Signed.build(**values), "bob@example.org"))
    verdict = made.verify()
    assert not verdict.findings
    site.build(verdict, tmp_path / "site")
    text = (tmp_path / "site" / "data.json").read_text(encoding="utf-8")
    rows = {row["encoder"]: row for row in json.loads(text)}
    assert (rows["Encoder 1"]["rank"], rows["Encoder 2"]["rank"]) == (1, None)
    assert rows["Encoder 2"]["linear, all rows: suite"] is None
    assert rows["Encoder 2"]["linear, all rows: pong"] is not None
    page = (tmp_path / "site" / "encoders" / "encoder-2.html").read_text(encoding="utf-8")
    assert "Not ranked: 2 of the 3 games of the ranking." in page


def test_a_game_s_page_lists_what_is_read_out(tmp_path: Path, git_identity: None) -> None:
    del git_identity
    run = {"probe": "readout", "train_rows": 100, "fitted_on": "play", "scored_on": "play"}
    scored = ["ball_x", "ball_x_motion", "ball_present"]
    known = {**dict.fromkeys(BASELINES), "random_cnn": dict.fromkeys(scored, 0.5)}
    made = TestBoard.new(
        tmp_path,
        label_set="v1",
        probes=[{**run, "metric": "explained"}],
        baselines=[{"game": "pong", **run, **known}],
    )
    site.build(made.verify(), tmp_path / "site")
    page = (tmp_path / "site" / "games" / "pong.html").read_text(encoding="utf-8")
    (table,) = re.findall(r"<h2>Variables</h2>(.*?)</table>", page, re.DOTALL)
    listed = re.findall(r'<th scope="row">(\w+)</th>', table)
    assert set(listed) <= set(scored)
    assert f"{len(listed)} variables of label set" in page
    assert listed
    columns = len(re.findall(r"<th scope=\"col\"", page.partition("</thead>")[0]))
    assert columns == 4, "what nobody has is not shown"
    ours = protocols_here()[0]
    meaning = {name: said for name, _, said, _ in site._variables(ours, "pong")}
    assert meaning["ball_x_motion"] == f"Pixels moved since the row before. {meaning['ball_x']}"
    assert meaning["ball_present"].startswith("Whether it is there: ")
    bit = next(said for name, _, said, _ in site._variables(ours, "breakout") if name.endswith("_bit_7"))
    assert bit.startswith("Bit 7. ")


def test_where_nobody_has_every_game_all_is_of_those_that_most_share(tmp_path: Path) -> None:
    results = {signed.encoder.name: signed for signed in our_results()}
    index, rows = front_page(tmp_path, results.values())
    page = index.read_text(encoding="utf-8")
    on = f"6 games: {', '.join(map(game_title, SIX))}"
    assert f"ranked on {on}" in page
    expected = {
        name: mean([signed.games[game].scores[0].means.score for game in SIX])
        for name, signed in results.items()
    }
    assert {row.name: row.score for row in rows} == expected
    best = max((name for name in expected if name != "ram"), key=lambda name: expected[name] or 0)
    assert [row.name for row in rows if row.rank == 1] == [best]
    assert f'<td class="num best main">{score(expected["cpc"])}</td>' in page
    (cpc,) = (row for row in rows if row.name == "cpc")
    for category in ("agent_localization", "misc"):
        games = [results["cpc"].games[game].scores[1].means.categories for game in SIX]
        having = [c.score for of_game in games for c in of_game if c.category == category]
        assert cpc.means[1][category] == mean(having)
    assert len(having) < len(SIX), "the mean is over the games that have it"
    assert site._flat(cpc.protocol, cpc)["ranked_on"] == " ".join(SIX)


def test_pictures_are_of_the_games_that_rank(tmp_path: Path) -> None:
    results = our_results()
    index, rows = front_page(tmp_path, results)
    page = index.read_text(encoding="utf-8")
    plots = re.findall(r'<svg class="plot".*?aria-label="(.*?);.*?</svg>', page)
    assert plots == ["readout, few against parameters", "readout, play against readout, transfer"]
    assert f"Means over 6 games: {', '.join(map(game_title, SIX))}." in page
    for at, drawn in zip((0, 1), re.findall(r'<svg class="plot".*?</svg>', page), strict=True):
        points = dict(re.findall(r"<title>(.+?): ([0-9.]+)</title>", drawn))
        assert points == {row.title: score(row.means[at]["suite"]) for row in rows if not row.bound}
        assert len(re.findall(r'<text class="name"', drawn)) >= len(points) - 2, "names stand beside them"
    without = [signed for signed in results if signed.encoder.name == "cpc"]
    assert '<svg class="plot"' in front_page(tmp_path, without)[0].read_text(encoding="utf-8")
    assert "No result yet" in front_page(tmp_path, [])[0].read_text(encoding="utf-8")


def test_a_game_s_page_compares_with_trivial_encoders_and_keeps_2019_apart(tmp_path: Path) -> None:
    results = {signed.encoder.name: signed for signed in our_results()}
    front_page(tmp_path, results.values())
    page = (tmp_path / "games" / "pong.html").read_text(encoding="utf-8")
    ours, _, theirs = re.findall(r"<table.*?</table>", page, re.DOTALL)
    heads = [re.findall(r'<th scope="col"[^>]*>(.*?)</th>', table) for table in (ours, theirs)]
    titles = [f"readout, {which}" for which in ("few", "play", "transfer", "deep")]
    assert heads == [["Encoder", *titles, "Best trivial", "Tier"], ["Method", "Weighted F1"]]
    means = results["cpc"].games["pong"].scores[0].means
    assert means.trivial != means.constant
    row = re.findall(r'<td class="num[^>]*>(.*?)</td>', ours.split("encoders/cpc.html")[1].split("</tr>")[0])
    assert row == [*(score(s.means.score) for s in results["cpc"].games["pong"].scores), score(means.trivial)]
    assert f'ST-DIM</th><td class="num">{published()[1].games["pong"]:.2f}</td>' in theirs
    assert "2019" not in ours


def test_an_encoder_s_page_has_means_over_the_games_that_rank(tmp_path: Path, git_identity: None) -> None:
    del git_identity
    made = TestBoard.new(tmp_path)
    for seed in (1, 2):
        made.place(made.result(seed, games=("pong",)))
    site.build(made.verify(), tmp_path / "site")
    page = (tmp_path / "site" / "encoders" / "encoder-1.html").read_text(encoding="utf-8")
    assert re.search(r"Rank [12] on 1 game: Pong\.", page)
    first, variables = re.findall(r"<table.*?</table>", page, re.DOTALL)
    assert "Means over 1 game: Pong" in first
    assert "Constant" not in page
    signed = make(1, encoder="Encoder 1", games=("pong",), suite=("breakout", "pong"))
    for scores, row in zip(signed.games["pong"].scores, first.split("<tr>")[2:], strict=True):
        shown = re.findall(r'<td class="num[^>]*>(.*?)</td>', row)
        assert shown[:2] == [score(scores.means.score), score(scores.means.trivial)]
        categories = {c.category: c.score for c in scores.means.categories}
        assert score(categories["agent_localization"]) == shown[2]
    for scored in signed.games["pong"].scores[0].variables:
        (cells,) = re.findall(rf'<th scope="row">{scored.name}</th>(.*?)</tr>', variables)
        assert cells.split('class="num">')[-2].startswith(score(scored.trivial))
        assert scored.trivial is not None
        assert f'class="majority" d="M{scored.trivial * 100:.1f} 0V10"' in cells


def test_a_later_run_on_fewer_games_hides_nothing() -> None:
    board = protocol(("breakout", "pong", "seaquest"))

    def entry(order: int, *games: str) -> Entry:
        signed = make(order, encoder="Encoder 1", games=games)
        return Entry(f"{order}.json", "", Head.of(signed), board, (), (order, len(games)))

    wide, fewer = entry(1, "breakout", "pong"), entry(2, "pong")
    again, more = entry(3, "breakout", "pong"), entry(4, "breakout", "pong", "seaquest")
    for entries, first in (
        ((wide, fewer), wide),
        ((wide, fewer, again), again),
        ((wide, again, more, fewer), more),
    ):
        (found,) = latest(entries).values()
        assert found[0] is first
        assert sorted(e.path for e in found) == sorted(e.path for e in entries)


def test_every_score_has_its_interval() -> None:
    signed = our_results()[0]
    halves = Head.of(signed).games["pong"].halves
    assert len(set(halves)) == len(RUNS)
    for half, scores in zip(halves, signed.games["pong"].scores, strict=True):
        widths: dict[str, list[float]] = {}
        for row in scores.variables:
            assert row.interval is not None
            widths.setdefault(row.categories[0], []).append(row.interval[1] - row.interval[0])
        wide = [sum(of_it) / len(of_it) for of_it in widths.values()]
        assert half == pytest.approx(sum(wide) / len(wide) / 2, abs=1e-4)


def test_a_row_links_to_code_and_paper(board: TestBoard) -> None:
    link = '<a href="https://example.org/code" rel="nofollow noopener">'
    index = (board.folder / "site" / "index.html").read_text(encoding="utf-8")
    assert f"{link}code</a>" in index
    assert ">paper</a>" not in index, "none was given"
    whole = (board.folder / "site" / "encoders" / "encoder-1.html").read_text(encoding="utf-8")
    assert f"<dt>Code</dt><dd>{link}https://example.org/code</a></dd>" in whole


def test_json_and_csv_hold_the_same(board: TestBoard) -> None:
    root = board.folder / "site"
    rows = json.loads((root / "data.json").read_text(encoding="utf-8"))
    lines = list(csv.DictReader((root / "data.csv").read_text(encoding="utf-8").splitlines()))
    assert [row["encoder"] for row in rows] == [line["encoder"] for line in lines]
    assert rows[0]["linear, all rows: suite"] == float(lines[0]["linear, all rows: suite"])
    result = read(root / rows[0]["result"])
    assert result.signed.suite[0].means.score == rows[0]["linear, all rows: suite"]


def test_a_spreadsheet_takes_no_text_for_a_formula(board: TestBoard) -> None:
    for line in csv.reader((board.folder / "site" / "data.csv").read_text(encoding="utf-8").splitlines()):
        assert not [cell for cell in line if cell[:1] in "=+@\t" and cell]


def test_badges_are_whole_pictures(board: TestBoard) -> None:
    for path in (board.folder / "site" / "badges").iterdir():
        text = path.read_text(encoding="utf-8")
        assert text.startswith("<svg ")
        assert text.rstrip().endswith("</svg>")
    badge = (board.folder / "site" / "badges" / "encoder-1.svg").read_text(encoding="utf-8")
    assert re.search(r"0\.\d{3} · #1<", badge)


def test_the_sites_own_check_works(board: TestBoard, tmp_path: Path) -> None:
    root = board.folder / "site"
    row = json.loads((root / "data.json").read_text(encoding="utf-8"))[0]
    text = pages(board)[f"encoders/{slug(row['encoder'])}.html"].text
    commands = text[text.index("jq -j") : text.index("harness reproduce")]
    for name in (row["result"], "allowed_signers"):
        (tmp_path / Path(name).name).write_bytes((root / name).read_bytes())
    done = subprocess.run(
        ["bash", "-ec", commands], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert 'Good "atariari-result-v1" signature' in done.stdout, done.stderr


def test_what_is_wrong_is_left_out_and_the_rest_is_shown(tmp_path: Path, git_identity: None) -> None:
    del git_identity
    made = TestBoard.new(tmp_path)
    made.place(made.result(1))
    bad = made.folder / made.place(made.result(2))
    bad.write_bytes(bad.read_bytes()[:-20])
    stray = made.folder / "results" / "notes.txt"
    stray.write_text("mine", encoding="ascii")
    (made.folder / "frames").mkdir()
    (made.folder / "frames" / "pong.png").symlink_to("/etc/hostname")
    broken = made.folder / "protocols" / "v2.json"
    broken.write_text("{}", encoding="ascii")
    made.commit()
    untracked = made.folder / "untracked"
    untracked.touch()
    verdict = verify(made.folder)
    names = [path.relative_to(made.folder).as_posix() for path in (bad, stray, broken, untracked)]
    assert {finding.path for finding in verdict.findings} == {*names, "frames/pong.png"}
    site.build(verdict, tmp_path / "site")
    index = (tmp_path / "site" / "index.html").read_text(encoding="utf-8")
    assert "encoder-1" in index
    assert "encoder-2" not in index
    assert "data:image/png" not in (tmp_path / "site/games/pong.html").read_text(encoding="utf-8")


def test_nothing_but_a_site_is_replaced(board: TestBoard, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").touch()
    with pytest.raises(BoardError, match="is not a site"):
        site.build(board.verify(), tmp_path / "mine")


@pytest.mark.usefixtures("git_identity")
def test_an_empty_leaderboard_has_a_site(tmp_path: Path) -> None:
    empty = TestBoard.new(tmp_path)
    assert site.build(empty.verify(), tmp_path / "site") > 2
    assert "Be the first" in (tmp_path / "site" / "index.html").read_text(encoding="utf-8")


def test_the_papers_rows() -> None:
    best = published()[1]
    assert (best.name, best.mean, best.games["pong"]) == ("ST-DIM", 0.68, 0.81)
    assert best.games["video_pinball"] == 0.61
    assert best.categories["agent_localization"] == 0.58
    assert len(best.games) == 22
