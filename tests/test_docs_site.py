"""The documentation site: built strictly, complete, and without anything from other hosts."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from tests.browser import errors

pytest.importorskip("sphinx")
pytest.importorskip("furo")
ROOT = Path(__file__).parents[1]


def build(docs: Path, out: Path) -> subprocess.CompletedProcess[str]:
    """Build pages as `make docs` does."""
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    (options,) = re.findall(r"-m sphinx (.*) docs build/docs$", makefile, re.MULTILINE)
    command = [sys.executable, "-m", "sphinx", *options.split(), str(docs), str(out)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def copy_docs(to: Path) -> Path:
    """Return a copy of docs that may be broken; the pages include files above it."""
    for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md"):
        shutil.copy(ROOT / name, to)
    for name in ("docs", "examples"):
        shutil.copytree(ROOT / name, to / name)
    return to / "docs"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("docs")
    done = build(ROOT / "docs", out)
    assert done.returncode == 0, done.stderr
    return out


def test_pages_load_nothing_from_other_hosts(site: Path) -> None:
    pages = sorted(site.rglob("*.html"))
    assert len(pages) > 20
    for page in pages:
        text = page.read_text(encoding="utf-8")
        loads = re.findall(r"<(?:script|img|iframe|link)[^>]*?(?:src|href)=\"([^\"]*)\"", text)
        assert loads
        assert not [link for link in loads if "//" in link], page.name
    for style in site.rglob("*.css"):
        assert not re.search(r"url\([\"']?(https?:)?//|@import", style.read_text(encoding="utf-8")), (
            style.name
        )


def test_what_is_wrong_fails(tmp_path: Path) -> None:
    docs = copy_docs(tmp_path)
    wrong = {
        "score.md": ("[probes.md](probes.md)", "[probes.md](prods.md)", "prods.md"),
        "report.md": ("(result.md)", "(result.md#no-such-part)", "no-such-part"),
        "reference/harness.md": (".. autofunction:: compare\n", "", "harness.compare is public"),
        "index.md": ("lab_notebook\n", "", "included in any toctree"),
    }
    for page, (old, new, _) in wrong.items():
        text = (docs / page).read_text(encoding="utf-8")
        assert old in text
        (docs / page).write_text(text.replace(old, new), encoding="utf-8")
    done = build(docs, tmp_path / "out")
    assert done.returncode != 0
    for *_, complaint in wrong.values():
        assert complaint in done.stderr


@pytest.fixture
def address(site: Path) -> Iterator[str]:
    handler = partial(SimpleHTTPRequestHandler, directory=str(site))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_the_search_works_offline(address: str, driver: Any) -> None:
    from selenium.webdriver.common.by import By
    from selenium.webdriver.support.wait import WebDriverWait

    driver.get(f"{address}/search.html?q=readout")
    results = WebDriverWait(driver, 20).until(
        lambda d: d.find_elements(By.CSS_SELECTOR, "#search-results li a")
    )
    assert "Probes" in {result.text for result in results}
    loaded = driver.execute_script("return performance.getEntriesByType('resource').map(e => e.name)")
    assert any("searchindex.js" in name for name in loaded)
    assert not [name for name in loaded if not name.startswith((address, "data:"))]
    assert not [error for error in errors(driver) if "favicon" not in error]
