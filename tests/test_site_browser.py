"""The site in a real browser."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.boards import TestBoard
from tests.browser import AUDIT, errors, needs_browser, show
from tests.test_site import make_site

pytestmark = needs_browser


@pytest.fixture(scope="module")
def board(tmp_path_factory: pytest.TempPathFactory, git_identity: None) -> TestBoard:
    del git_identity
    return make_site(tmp_path_factory.mktemp("site"))


@pytest.fixture
def root(board: TestBoard) -> Path:
    return board.folder / "site"


def column(driver: Any, name: str) -> list[str]:
    script = """
    const head = [...document.querySelector("#ranking thead tr").cells];
    const at = head.findIndex((th) => th.textContent.trim() === arguments[0]);
    const rows = [...document.querySelectorAll("#rows tr")].filter((row) => !row.hidden);
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


def test_sorting(driver: Any, root: Path) -> None:
    show(driver, root / "index.html")
    first = column(driver, "Suite F1")
    assert first[:-1] == sorted(first[:-1], reverse=True)
    assert first[-1] == "\u2013"
    press(driver, "Suite F1")
    turned = column(driver, "Suite F1")
    assert turned[:-1] == sorted(first[:-1])
    assert turned[-1] == "\u2013"  # what is missing stays below
    for name in ("Encoder", "Agent", "Params", "Date"):
        press(driver, name)
        shown = column(driver, name)
        th = driver.find_element("xpath", f"//th[button='{name}']")
        assert th.get_attribute("aria-sort") == ("ascending" if name == "Encoder" else "descending")
        if name in {"Encoder", "Agent", "Date"}:
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
    assert column(driver, "Encoder") == []
    show(driver, root / "index.html")
    choose(driver, "tier", "reproduced")
    assert column(driver, "Encoder") == ["Encoder 1"]
    paper = driver.find_element("id", "published")
    assert paper.is_displayed()
    driver.find_element("id", "paper").click()
    assert not paper.is_displayed()


def test_probes_and_columns(driver: Any, root: Path) -> None:
    show(driver, root / "index.html")
    before = column(driver, "Suite F1")
    choose(driver, "probe", "linear, 1k rows")
    after = column(driver, "Suite F1")
    assert before != after
    assert after[:-1] == sorted(after[:-1], reverse=True)
    choose(driver, "columns", "games")
    press(driver, "Pong")
    assert column(driver, "Pong") == sorted(column(driver, "Pong"), reverse=True)
    choose(driver, "columns", "categories")
    assert "Agent" in driver.find_element("css selector", "#ranking thead").text
    assert errors(driver) == []


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
    names = [th.text for th in driver.find_elements("css selector", "table.sortable tbody:first-of-type th")]
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
