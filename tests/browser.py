"""A real browser for tests: Debian's packages chromium and chromium-driver, and selenium from PyPI."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
)

AUDIT = (Path(__file__).parent / "audit.js").read_text(encoding="utf-8")


BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
DRIVER = shutil.which("chromedriver")

needs_browser = pytest.mark.skipif(
    not (BROWSER and DRIVER),
    reason="no browser, or no chromedriver (Debian: chromium chromium-driver)",
)


def start_browser() -> Any:
    """Start it without a window, or skip the test and say why; its console is kept for `errors`."""
    webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed")
    from selenium.common.exceptions import WebDriverException
    from selenium.webdriver.chrome.options import Options
    from selenium.webdriver.chrome.service import Service

    options = Options()
    options.binary_location = str(BROWSER)
    for flag in FLAGS:
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    try:
        return webdriver.Chrome(options=options, service=Service(DRIVER))
    except WebDriverException as error:
        pytest.skip(f"{BROWSER} does not start: {error.msg}")


def show(driver: Any, path: Path, width: int = 1300, *, scheme: str = "light") -> None:
    """Open a file in a window of that width."""
    driver.set_window_size(width, 900)
    media = {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", media)
    driver.get(path.as_uri())


def errors(driver: Any) -> list[str]:
    """Return what the console has complained about since it was last asked."""
    return [
        entry["message"] for entry in driver.get_log("browser") if entry["level"] in {"SEVERE", "WARNING"}
    ]
