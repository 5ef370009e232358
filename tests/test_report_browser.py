"""A report in a real browser."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness.metrics import Counts
from harness.probes.probe import ProbeRun
from harness.report.page import write_html
from harness.results.predictions import Predicted
from harness.results.result import Result, Signed
from harness.results.result_file import write
from tests.browser import AUDIT, errors, needs_browser, show
from tests.made_results import GAMES, fields

pytestmark = needs_browser

SIZES = (("linear", "full"), ("linear", "1k"), ("linear", 100), ("anand2019", "full"))


def made(seed: int) -> Result:
    """Return a result with random predictions and their scores."""
    draw = np.random.default_rng(seed)
    values = fields(seed, games=("pong",), encoder=f"Encoder {seed}", n=400, probes=SIZES)
    scores = values["games"]["pong"]["scores"]
    names = tuple(v["name"] for v in scores[0]["variables"])
    labels = np.random.default_rng(0).integers(0, [200, 200, 5, 200, 8, 21][: len(names)], (400, len(names)))
    rows = np.arange(400, dtype=np.int32)
    said = {}
    for part in scores:
        run = ProbeRun(part["probe"], part["train_rows"])
        values_of_run = np.where(draw.random(labels.shape) < 0.6, labels, draw.permuted(labels))
        said[run] = Predicted(
            names,
            labels.astype(np.float32),
            rows // 40,
            rows % 40,
            values_of_run.astype(np.float32)[None],
            np.zeros((1, len(names)), np.float32),
        )
        part["predictions"] = said[run].digest()
        for v, variable in enumerate(part["variables"]):
            counts = Counts.of(labels[:, v].astype(np.uint8), values_of_run[:, v].astype(np.uint8))
            f1 = float(counts.f1()[0])
            variable |= {"score": f1, "accuracy": float(counts.accuracy()[0])}
            variable["error"] = float(counts.absolute_error()[0])
            variable["interval"] = [max(0.0, f1 - 0.05), min(1.0, f1 + 0.05)]
    result = Result(signatures=[], signed=Signed.build(**values))
    return result.with_predictions({"pong": said})


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("report")
    paths = [write(made(seed), folder / f"{seed}.json") for seed in (1, 2)]
    return write_html(folder / "report.html", paths)


@pytest.mark.parametrize(("width", "scheme"), [(1300, "light"), (390, "dark")])
def test_it_loads_nothing_and_is_accessible(driver: Any, page: Path, width: int, scheme: str) -> None:
    show(driver, page, width, scheme=scheme)
    driver.execute_script("for (const d of document.querySelectorAll('details')) d.open = true;")
    assert driver.execute_script(AUDIT) == []
    loaded = driver.execute_script("return performance.getEntriesByType('resource').map((e) => e.name)")
    assert [name for name in loaded if not name.startswith("data:")] == []
    assert errors(driver) == []
    images = driver.find_elements("css selector", "svg.picture image")
    shown = [image.rect["width"] for image in images]
    assert shown
    assert min(shown) > 100
    fill = "return getComputedStyle(arguments[0])[arguments[1]]"
    for number in (0, 1):
        bars = driver.find_elements("css selector", f".bar .score.c{number}")
        swatch = driver.find_element("css selector", f".swatch.c{number}")
        assert bars
        colours = {driver.execute_script(fill, bar, "fill") for bar in bars}
        assert colours == {driver.execute_script(fill, swatch, "backgroundColor")}
    assert all(cell.is_displayed() for cell in driver.find_elements("css selector", ".panel td.between"))


def test_the_keyboard_opens_what_is_closed(driver: Any, page: Path) -> None:
    from selenium.webdriver.common.keys import Keys

    show(driver, page)
    for _ in range(40):
        driver.switch_to.active_element.send_keys(Keys.TAB)
        active = driver.switch_to.active_element
        if active.text == "All numbers":
            break
    details = active.find_element("xpath", "..")
    assert details.get_attribute("open") is None
    active.send_keys(Keys.ENTER)
    assert details.get_attribute("open") is not None
    assert details.find_element("css selector", "table").is_displayed()


def test_many_games_are_folded(driver: Any, tmp_path: Path) -> None:
    results = [
        Result(signatures=[], signed=Signed.build(**fields(seed, games=GAMES, encoder=f"Encoder {seed}")))
        for seed in range(4)
    ]
    show(driver, write_html(tmp_path / "many.html", results))
    assert driver.execute_script("return document.documentElement.scrollHeight") < 6000
    link = driver.find_element("link text", "Pong")
    assert not driver.find_element("css selector", "#game-pong .panel").is_displayed()
    link.click()
    driver.find_element("css selector", "#game-pong > summary").click()
    assert driver.find_element("css selector", "#game-pong .panel").is_displayed()
