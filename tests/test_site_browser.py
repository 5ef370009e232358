"""The site in a real browser."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from atariari_data.games import CATEGORIES
from harness.leaderboard import site
from harness.leaderboard.entry import GameHead
from harness.pages.words import CATEGORY_TITLES, score
from harness.results.means import mean
from harness.results.result import Signed
from tests.boards import TestBoard
from tests.browser import AUDIT, errors, needs_browser, show
from tests.made_results import PROBES
from tests.test_site import SIX, TWELVE, front_page, make_site, our_results

pytestmark = needs_browser


@pytest.fixture(scope="module")
def board(tmp_path_factory: pytest.TempPathFactory, git_identity: None) -> TestBoard:
    del git_identity
    return make_site(tmp_path_factory.mktemp("site"))


@pytest.fixture
def root(board: TestBoard) -> Path:
    return board.folder / "site"


@pytest.fixture(scope="module")
def ours() -> dict[str, Signed]:
    """Results as on the project's own leaderboard."""
    return {signed.encoder.name: signed for signed in our_results()}


@pytest.fixture(scope="module")
def front(tmp_path_factory: pytest.TempPathFactory, ours: dict[str, Signed]) -> Path:
    """Return the front page of a leaderboard of these."""
    return front_page(tmp_path_factory.mktemp("ours"), ours.values())[0]


def interval(signed: Signed, games: tuple[str, ...], at: int) -> tuple[float, float, float]:
    """Return a mean over games, and the ends of its interval."""
    middle = mean([signed.games[name].scores[at].means.score for name in games])
    halves = [GameHead.of(signed.games[name]).halves[at] or 0.0 for name in games]
    half = sum(h * h for h in halves) ** 0.5 / len(games)
    assert middle is not None
    return middle, max(0.0, middle - half), min(1.0, middle + half)


def column(driver: Any, name: str) -> list[str]:
    script = """
    const head = [...document.querySelector("#ranking thead tr").cells];
    const at = head.findIndex((th) => th.textContent.trim() === arguments[0]);
    const rows = [...document.querySelectorAll("#rows tr")].filter((row) => row.dataset.text && !row.hidden);
    return rows.map((row) => row.cells[at].firstChild.textContent);
    """
    return list(driver.execute_script(script, name))


def choose(driver: Any, name: str, text: str) -> None:
    """Choose from a list."""
    from selenium.webdriver.support.ui import Select

    Select(driver.find_element("id", name)).select_by_visible_text(text)
    assert Select(driver.find_element("id", name)).first_selected_option.text == text


def press(driver: Any, name: str) -> None:
    driver.find_element("xpath", f"//th/button[.='{name}']").click()


def test_every_page_loads_without_errors_and_is_accessible(driver: Any, root: Path) -> None:
    for name in (
        "index.html",
        "rules.html",
        "encoders/encoder-1.html",
        "encoders/method-5.html",
        "games/pong.html",
    ):
        for width, scheme in ((1300, "light"), (390, "dark")):
            show(driver, root / name, width, scheme=scheme)
            driver.execute_script("for (const d of document.querySelectorAll('details')) d.open = true;")
            assert driver.execute_script(AUDIT) == [], (name, scheme)
            assert errors(driver) == []
            assert "owned" not in driver.title


MAIN, OTHER = "linear, all rows", "linear, 1k rows"


def test_sorting(driver: Any, root: Path) -> None:
    show(driver, root / "index.html")
    first = column(driver, MAIN)
    assert first[:-1] == sorted(first[:-1], reverse=True)
    assert first[-1] == "\u2013"
    press(driver, MAIN)
    turned = column(driver, MAIN)
    assert turned[:-1] == sorted(first[:-1])
    assert turned[-1] == "\u2013"  # what is missing stays below
    for name in ("Encoder", OTHER, "Params"):
        press(driver, name)
        shown = column(driver, name)
        th = driver.find_element("xpath", f"//th[button='{name}']")
        assert th.get_attribute("aria-sort") == ("ascending" if name == "Encoder" else "descending")
        if name != "Params":
            known = [value for value in shown if value != "\u2013"]
            assert known == sorted(known, reverse=name != "Encoder", key=str.lower)
    assert errors(driver) == []


def test_filters_and_search(driver: Any, root: Path) -> None:
    show(driver, root / "index.html")
    count = driver.find_element("id", "count")
    assert count.text == "7 encoders"
    driver.find_element("id", "search").send_keys("bob encoder")
    assert column(driver, "Encoder") == ["Encoder 8"]
    assert count.text == "1 encoder"
    driver.find_element("id", "search").send_keys(" nonsense")
    assert column(driver, "Encoder") == ["Encoder 8"]
    assert count.text == "1 encoder (none has “nonsense”)"
    driver.find_element("id", "search").clear()
    driver.find_element("id", "search").send_keys("nonsense")
    assert column(driver, "Encoder") == []
    assert "No encoder fits" in driver.find_element("id", "rows").text
    driver.find_element("id", "reset").click()
    assert len(column(driver, "Encoder")) == 7
    choose(driver, "tier", "reproduced")
    assert column(driver, "Encoder") == ["Encoder 1"]


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ("ST-DIM CPC", {"ST-DIM", "CPC"}),
        ("st-dim, cpc", {"ST-DIM", "CPC"}),
        ("stdim vae", {"ST-DIM", "VAE"}),
        ("random cnn", {"Random CNN"}),  # the words of one name narrow
        ("random cnn cpc", {"Random CNN", "CPC"}),
        ("cnn, random cnn", {"Random CNN", "Supervised CNN"}),
        ("dim", {"DIM", "ST-DIM"}),
        ("im", set()),  # words are known by their beginning
    ],
)
def test_two_encoders_can_be_named(driver: Any, front: Path, asked: str, found: set[str]) -> None:
    show(driver, front)
    driver.find_element("id", "search").send_keys(asked)
    assert set(column(driver, "Encoder")) == found


def test_two_encoders_are_compared_in_a_line(driver: Any, front: Path, ours: dict[str, Signed]) -> None:
    show(driver, front)
    pair = driver.find_element("id", "pair")
    assert not pair.is_displayed()
    driver.find_element("id", "search").send_keys("cpc dim")
    assert set(column(driver, "Encoder")) == {"CPC", "DIM", "ST-DIM"}
    assert not pair.is_displayed()
    driver.find_element("id", "search").clear()
    driver.find_element("id", "search").send_keys("ST-DIM CPC")
    for at, title in ((0, "readout, few"), (2, "readout, transfer")):
        choose(driver, "score", title)
        found = [
            (name, *interval(ours[key], SIX, at))
            for name, key in (("ST-DIM", "infonce-stdim"), ("CPC", "cpc"))
        ]
        (one, *first), (two, *second) = sorted(found, key=lambda numbers: -numbers[1])
        assert pair.text.startswith(f"{title}, 6 games: {one} {score(first[0])} ({score(first[1])} to ")
        assert (
            f", {two} {score(second[0])} ({score(second[1])} to {score(second[2])}); {one} is ahead on"
            in pair.text
        )
        apart = first[1] > second[2]
        assert ("intervals do not overlap." if apart else "intervals overlap.") in pair.text
        assert pair.text.endswith("harness compare tests the difference.")
    choose(driver, "games", "Berzerk")
    assert pair.text == "These two share none of the chosen games under readout, transfer."
    assert errors(driver) == []


def test_every_score_draws_its_intervals(driver: Any, front: Path, ours: dict[str, Signed]) -> None:
    show(driver, front)
    for at, title in enumerate(("readout, few", "readout, play", "readout, transfer", "readout, deep")):
        choose(driver, "score", title)
        row = '#rows tr[data-text^="cpc "] path.interval'
        drawn = driver.find_element("css selector", row).get_attribute("d")
        low, high = (float(number) / 100 for number in drawn[1:].split(" 5H"))
        assert (low, high) == pytest.approx(interval(ours["cpc"], SIX, at)[1:], abs=1e-4)


def test_categories_are_over_the_chosen_games(driver: Any, front: Path, ours: dict[str, Signed]) -> None:
    show(driver, front)
    choose(driver, "columns", "categories")
    for games in (SIX, ("pong",)):
        choose(driver, "games", "the 6 that most encoders share" if games == SIX else "Pong")
        at = column(driver, "Encoder").index("CPC")
        for category in CATEGORIES:
            means = [ours["cpc"].games[name].scores[0].means for name in games]
            having = [c.score for of_game in means for c in of_game.categories if c.category == category]
            assert column(driver, CATEGORY_TITLES[category])[at] == score(mean(having)), category
    assert errors(driver) == []


def test_the_page_says_the_same_without_scripts(driver: Any, front: Path) -> None:
    names = ("#", "Encoder", "readout, few", "readout, play", "readout, transfer", "readout, deep")
    read = "return document.getElementById('on').textContent"
    show(driver, front)
    with_scripts = [driver.execute_script(read), *(column(driver, name) for name in names)]
    assert "\u2013" not in with_scripts[1]
    driver.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    try:
        show(driver, front)
        assert [driver.execute_script(read), *(column(driver, name) for name in names)] == with_scripts
    finally:
        driver.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})


def test_scores_and_columns(driver: Any, root: Path) -> None:
    show(driver, root / "index.html")
    before, other = column(driver, MAIN), column(driver, OTHER)
    choose(driver, "score", OTHER)  # the columns are named after what they hold
    after = column(driver, OTHER)
    assert before != after
    assert after[:-1] == sorted(other[:-1], reverse=True)
    assert sorted(column(driver, MAIN)) == sorted(before)
    choose(driver, "columns", "games")
    press(driver, "Pong")
    assert column(driver, "Pong") == sorted(column(driver, "Pong"), reverse=True)
    choose(driver, "columns", "categories")
    assert "Agent" in driver.find_element("css selector", "#ranking thead").text
    assert errors(driver) == []


def test_a_row_of_some_games_is_ranked_on_these(driver: Any, root: Path) -> None:
    show(driver, root / "index.html")
    assert column(driver, "#")[-1] == "\u2013"
    assert "1 of 2 games" in driver.find_element("id", "rows").text
    choose(driver, "games", "Pong")
    assert column(driver, "#") == [str(n) for n in range(1, 8)]
    means = column(driver, MAIN)
    assert means == sorted(means, reverse=True)
    choose(driver, "games", "a choice of games…")
    assert column(driver, "#") == ["\u2013"] * 7
    boxes = driver.find_elements("css selector", "#chosen input")
    boxes[1].click()
    assert column(driver, MAIN) == means
    boxes[0].click()
    both = column(driver, MAIN)
    show(driver, root / "index.html")
    assert both == column(driver, MAIN)
    bars = driver.find_elements("css selector", "#rows .bar .score")
    wide = [float(bar.get_attribute("width")) / 100 for bar in bars]
    assert wide == pytest.approx([float(value) for value in both[:-1]], abs=0.001)
    assert errors(driver) == []


@pytest.mark.usefixtures("git_identity")
def test_where_nobody_has_every_game_the_shared_ones_rank(driver: Any, tmp_path: Path) -> None:
    made = TestBoard.new(tmp_path)
    for seed in (1, 2):
        made.place(made.result(seed, games=("pong",)))
    site.build(made.verify(), made.folder / "site")
    show(driver, made.folder / "site" / "index.html", 1300)
    assert driver.find_element("id", "games").get_attribute("value") == "shared"
    assert sorted(column(driver, "#")) == ["1", "2"]
    assert "games=" not in driver.current_url
    choose(driver, "games", "all 2")
    assert column(driver, "#") == ["\u2013", "\u2013"]
    assert "games=all" in driver.current_url


@pytest.mark.usefixtures("git_identity")
def test_one_row_of_one_game_does_not_shrink_the_ranking(driver: Any, tmp_path: Path) -> None:
    made = TestBoard.new(tmp_path, suite=("breakout", "pong", "seaquest"))
    for seed in (1, 2, 3):
        made.place(made.result(seed, games=("breakout", "pong"), probes=PROBES[:2]))
    made.place(made.result(4, games=("seaquest",), probes=PROBES[:2]))
    made.place(made.result(5, games=("breakout",)))
    site.build(made.verify(), made.folder / "site")
    show(driver, made.folder / "site" / "index.html", 1300)
    shown = driver.find_element("id", "games")
    assert shown.get_attribute("value") == "shared"
    assert "the 2 that most encoders share" in shown.text
    assert sorted(column(driver, "#")) == ["1", "2", "3", "\u2013", "\u2013"]
    choose(driver, "score", "anand2019, all rows")
    assert "the one that most encoders share" in shown.text
    assert column(driver, "#")[0] == "1", "rows without the score do not empty the choice"
    assert errors(driver) == []


@pytest.mark.usefixtures("git_identity")
def test_all_encoders_can_be_ranked_on_the_games_that_all_have(driver: Any, tmp_path: Path) -> None:
    made = TestBoard.new(tmp_path, suite=("breakout", "pong", "seaquest"))
    for seed in (1, 2, 3):
        made.place(made.result(seed, games=("breakout", "pong")))
    made.place(made.result(4, games=("pong",)))
    site.build(made.verify(), made.folder / "site")
    show(driver, made.folder / "site" / "index.html", 1300)
    assert "\u2013" in column(driver, "#")
    choose(driver, "games", "the one that all encoders share")
    assert sorted(column(driver, "#")) == ["1", "2", "3", "4"]
    assert "ranked on 1 game: Pong" in driver.find_element("id", "on").text
    driver.refresh()
    assert driver.find_element("id", "games").get_attribute("value") == "every"
    assert errors(driver) == []


def test_the_address_says_what_is_chosen(driver: Any, root: Path) -> None:
    show(driver, root / "index.html")
    choose(driver, "score", OTHER)
    choose(driver, "games", "Pong")
    press(driver, "Encoder")
    driver.find_element("id", "search").send_keys("encoder")
    seen, address = column(driver, "Encoder"), driver.current_url
    assert "games=pong" in address
    show(driver, root / "rules.html")
    driver.get(address)
    assert column(driver, "Encoder") == seen == sorted(seen)
    assert column(driver, OTHER)
    assert driver.find_element("id", "search").get_attribute("value") == "encoder"
    driver.get(address.split("#")[0] + "#games=nowhere&score=none&sort=-nothing")
    driver.refresh()
    assert len(column(driver, MAIN)) == 7
    assert errors(driver) == []


def test_nothing_is_cut_off(driver: Any, root: Path, front: Path) -> None:
    hidden = """
    const tables = [...document.querySelectorAll(".scroll")];
    return tables.filter((box) => box.scrollWidth > box.clientWidth).map((box) => box.ariaLabel);
    """
    for page in (root / "index.html", front):
        show(driver, page, 1400)
        assert driver.execute_script("return innerWidth") == 1400
        for columns in ("other scores", "categories", "games"):
            choose(driver, "columns", columns)
            assert driver.execute_script(hidden) == [], columns
    driver.get(f"{front.as_uri()}#columns=games&games={'+'.join(TWELVE)}")
    driver.refresh()
    assert len(column(driver, "Montezuma's Revenge")) == 12
    assert driver.execute_script(hidden) == []
    show(driver, front.parent / "games" / "pong.html", 1400)
    assert driver.execute_script(hidden) == []


def test_a_phone_shows_names_and_scores(driver: Any, root: Path, front: Path) -> None:
    places = """
    const cells = [...document.querySelectorAll(arguments[0])];
    return cells.map((cell) => [cell.getBoundingClientRect().right, cell.scrollWidth - cell.clientWidth]);
    """
    for page in (root / "index.html", front, front.parent / "games" / "pong.html"):
        show(driver, page, 390)
        assert driver.execute_script("return innerWidth") == 390
        width = driver.execute_script("return document.documentElement.clientWidth")
        for cells in ("tbody tr:not([hidden]) .best", "tbody tr:not([hidden]) .name", ".divider span"):
            found = driver.execute_script(places, cells)
            assert found or "divider" in cells
            for right, cut in found:
                assert right <= width, (page, cells)
                assert cut <= 0, (page, cells)


def test_the_keyboard_is_enough(driver: Any, root: Path) -> None:
    from selenium.webdriver.common.keys import Keys

    show(driver, root / "index.html")
    seen = []
    for _ in range(30):
        driver.switch_to.active_element.send_keys(Keys.TAB)
        active = driver.switch_to.active_element
        seen.append(active.get_attribute("aria-label") or active.get_attribute("id") or active.text)
        if seen[-1] == "Encoder":
            break
    assert seen[0] == "Skip to the content"
    assert {"search", "Ranking", "Encoder"} <= set(seen)
    driver.switch_to.active_element.send_keys(Keys.ENTER)
    assert column(driver, "Encoder") == sorted(column(driver, "Encoder"))
    outline = driver.execute_script("return getComputedStyle(document.activeElement).outlineStyle")
    assert outline == "solid"


def test_a_games_table_sorts(driver: Any, root: Path) -> None:
    show(driver, root / "games" / "pong.html")
    press(driver, "Encoder")
    table = driver.find_element("css selector", "table.sortable")
    names = [th.text for th in table.find_elements("css selector", "tbody th")]
    assert names == sorted(names)
    assert errors(driver) == []


def test_without_scripts_the_ranking_is_there(driver: Any, root: Path) -> None:
    driver.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    try:
        show(driver, root / "index.html")
        assert "Encoder 1" in driver.find_element("id", "rows").text
        assert not driver.find_element("id", "controls").is_displayed()
    finally:
        driver.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})


def test_a_long_ranking_shows_its_first_hundred(driver: Any, root: Path, tmp_path: Path) -> None:
    text = (root / "index.html").read_text(encoding="utf-8")
    first = text[text.index('<tr data-row="0"') : text.index('<tr data-row="1"')]
    many = "".join(first.replace(">Encoder 1<", f">Copy {n}<", 1) for n in range(150))
    (tmp_path / "index.html").write_text(text.replace(first, many), encoding="utf-8")
    show(driver, tmp_path / "index.html")
    assert len(column(driver, "Encoder")) == 100
    more = driver.find_element("id", "more")
    assert more.text == "Show all 156"
    press(driver, "Encoder")
    assert column(driver, "Encoder")[:2] == ["Copy 0", "Copy 1"]
    driver.find_element("id", "search").send_keys("bob")  # finds what was not shown
    assert column(driver, "Encoder") == ["Encoder 8"]
    assert not more.is_displayed()
    driver.find_element("id", "search").clear()
    driver.find_element("id", "search").send_keys(" ")
    choose(driver, "columns", "games")
    more.click()
    assert len(column(driver, "Encoder")) == 156
    assert all(value != "\u2013" for value in column(driver, "Pong"))
    assert not more.is_displayed()
    assert errors(driver) == []
