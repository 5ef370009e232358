"""The tutorial, the how-to pages and the first steps of the README, done word for word."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import warm

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "docs" / "tutorial.md", *sorted((ROOT / "docs" / "howto").glob("*.md"))]
NEEDS = {
    "export_data": ("minari", "mlcroissant"),
    "hugging_face": ("transformers",),
    "stable_baselines3": ("stable_baselines3",),
    "timm": ("timm",),
}
STEP = re.compile(
    r"^(?P<note><!-- not run: .+ -->\n)?```(?:(?P<language>python|sh)\n(?P<code>.*?)^```$"
    r"|\{literalinclude\} (?P<file>\S+)$)",
    re.MULTILINE | re.DOTALL,
)


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with the programs of our pages, which are those of this checkout."""
    folder = tmp_path_factory.mktemp("bin")
    (folder / "python").write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n', encoding="utf-8")
    (folder / "python").chmod(0o755)
    with warm.programs(folder):
        yield folder


@pytest.fixture
def shell(programs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", f"{programs}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    return tmp_path


@pytest.mark.usefixtures("shell")
def test_a_command_that_fails_fails() -> None:
    for command, code in (("harness verify nothing.json", 2), ("atariari-data verify pong --copy .", 1)):
        done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=False)
        assert (done.returncode, done.stdout) == (code, "")
        assert "rror: " in done.stderr


@pytest.mark.usefixtures("git_identity")
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_page_does_what_it_says(page: Path, shell: Path) -> None:
    for package in NEEDS.get(page.stem, ()):
        pytest.importorskip(package, exc_type=ImportError)
    space: dict[str, object] = {"__name__": page.stem}
    for step in STEP.finditer(page.read_text(encoding="utf-8")):
        code = step["code"]
        if step["note"]:
            continue
        if step["file"]:
            shutil.copy(page.parent / step["file"], shell)
        elif step["language"] == "sh":
            done = subprocess.run(
                ["sh", "-ec", code], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
            )
            assert done.returncode == 0, f"{code}\n{done.stdout}\n{done.stderr}"
        elif named := re.match(r"# (\w+\.py)\n", code):
            (shell / named[1]).write_text(code, encoding="utf-8")
        else:
            exec(compile(code, page.name, "exec"), space)  # noqa: S102  our own page


@pytest.mark.skipif(not (shutil.which("jq") and shutil.which("ssh-keygen")), reason="needs jq and ssh-keygen")
def test_the_readme_s_check_without_our_code(shell: Path) -> None:
    blocks = re.findall(r"```sh\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    (made,) = (b for b in blocks if "harness keygen" in b)
    (block,) = (b for b in blocks if "ssh-keygen -Y verify" in b)
    path, signers = shell / "result.json", shell / "allowed_signers"

    def typed(commands: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["sh", "-ec", commands], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
        )

    done = typed(made)
    assert done.returncode == 0, done.stderr
    assert "result.json: verified" in done.stdout
    line = signers.read_text(encoding="utf-8")
    (keygen,) = (command for command in made.splitlines() if "harness keygen" in command)
    assert typed(keygen).returncode == 2  # typed again, it spoils nothing
    assert signers.read_text(encoding="utf-8") == line
    assert typed(block).returncode == 0
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace('"n":[', '"n":[1', 1), encoding="utf-8")
    assert path.read_text(encoding="utf-8") != text
    assert typed(block).returncode != 0


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_page_may_be_typed_twice(page: Path) -> None:
    """A second `harness keygen` prints nothing, which must not empty the list of keys."""
    assert not re.search(r"harness keygen[^>\n]*[^>]> *allowed_signers", page.read_text(encoding="utf-8"))
