"""Time the front page of a leaderboard in headless Chromium: until it is usable, and for a sort.

python -m benchmarks.leaderboard --keep FOLDER && python -m benchmarks.page FOLDER/board/site
"""

from __future__ import annotations

import argparse
import statistics
from pathlib import Path

from tests.browser import start_browser

_LOADED = """
const [entry] = performance.getEntriesByType("navigation");
return [entry.domContentLoadedEventEnd, entry.loadEventEnd];
"""
_ACTION = """
const begin = performance.now();
%s;
document.body.getBoundingClientRect();
return performance.now() - begin;
"""
_ACTIONS = {
    "sort by name": 'document.querySelector("th[data-sort=name] button").click()',
    "search": 'const box = document.getElementById("search"); box.value = "vae"; '
    'box.dispatchEvent(new Event("input")); box.value = ""; box.dispatchEvent(new Event("input"))',
    "show games": 'const list = document.getElementById("columns"); list.value = "games"; '
    'list.dispatchEvent(new Event("change"))',
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("site", type=Path)
    parser.add_argument("--times", type=int, default=5)
    options = parser.parse_args()
    page = (options.site / "index.html").resolve()
    driver = start_browser()
    try:
        found: dict[str, list[float]] = {}
        for _ in range(options.times):
            driver.get(page.as_uri())
            ready, loaded = driver.execute_script(_LOADED)
            found.setdefault("usable (table sorted, controls shown)", []).append(ready)
            found.setdefault("loaded", []).append(loaded)
            for name, action in _ACTIONS.items():
                found.setdefault(name, []).append(driver.execute_script(_ACTION % action))
    finally:
        driver.quit()
    print(f"{page.stat().st_size / 1e6:.2f} MB")
    for name, values in found.items():
        print(f"{name:40} {statistics.median(values):6.0f} ms (worst {max(values):.0f})")


if __name__ == "__main__":
    main()
