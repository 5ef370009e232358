"""Documentation that runs."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from atariari_data.games import suites
from builders.cli.main import cli as data_cli
from harness.cli.main import cli as harness_cli

ROOT = Path(__file__).parents[1]
SITE = "https://atariari.github.io/atariari/"
README = (ROOT / "README.md").read_text(encoding="utf-8")


def _blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


def test_the_readme_s_python_runs(tmp_path: Path) -> None:
    code = "\n".join(_blocks("python"))
    assert code.count("import") >= 3
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == 0, done.stderr
    assert "(160, 210)" in done.stdout


def test_the_readme_s_commands_exist() -> None:
    lines = [line for block in _blocks("sh") for line in block.splitlines()]
    for name, group in (("harness", harness_cli), ("atariari-data", data_cli)):
        used = {line.split()[1] for line in lines if line.startswith(f"{name} ")}
        assert used
        assert used <= set(group.commands), used
    targets = {line.split()[1] for line in lines if line.startswith("make ")}
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert all(re.search(rf"^{target}:", makefile, re.MULTILINE) for target in targets)


@pytest.mark.parametrize("group", [data_cli, harness_cli], ids=["atariari-data", "harness"])
def test_every_command_and_option_has_help(group: click.Group) -> None:
    for name, command in group.commands.items():
        assert command.help, name
        for parameter in command.params:
            if isinstance(parameter, click.Option):
                assert parameter.help, f"{name} {parameter.name}"


def _helps(command: click.Command) -> Iterator[str]:
    yield command.help or ""
    yield from (p.help or "" for p in command.params if isinstance(p, click.Option))
    if isinstance(command, click.Group):
        for inner in command.commands.values():
            yield from _helps(inner)


@pytest.mark.parametrize("group", [data_cli, harness_cli], ids=["atariari-data", "harness"])
def test_help_names_no_file_that_only_a_checkout_has(group: click.Group) -> None:
    texts = list(_helps(group))
    assert any(SITE in text for text in texts)
    assert not [text for text in texts if "docs/" in text or "examples/" in text]


def test_addresses_in_the_code_are_pages_of_the_site() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["urls"]["Documentation"] == SITE
    found = set()
    for package in ("atariari_data", "builders", "harness"):
        for file in (ROOT / package).rglob("*.py"):
            found |= set(re.findall(rf"{SITE}([\w/.]+)\.html", file.read_text(encoding="utf-8")))
    assert {"encoders", "howto/add_a_game", "scaling", "wrapper"} <= found
    for page in found:
        assert (ROOT / "docs" / f"{page}.md").is_file(), page


@pytest.mark.parametrize(("command", "option"), [("evaluate", "games"), ("run", "game_names")])
def test_options_that_take_games_name_the_suites(command: str, option: str) -> None:
    (found,) = (p for p in harness_cli.commands[command].params if p.name == option)
    assert isinstance(found, click.Option)
    for suite in suites():
        assert suite in str(found.help)


def test_the_readme_is_short_and_reads_anywhere() -> None:
    """Links are absolute, since the package index shows it alone; what they name is in this repository."""
    assert README.count("\n") < 120
    places = {
        SITE: ROOT / "docs",
        "https://github.com/atariari/atariari/blob/main/": ROOT,
        "https://raw.githubusercontent.com/atariari/atariari/main/": ROOT,
    }
    links = re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", README)
    assert len(links) > 15
    for link in links:
        assert link.startswith("https://"), link
        for start, folder in places.items():
            if link.startswith(start):
                assert (folder / link.removeprefix(start).replace(".html", ".md")).exists(), link


def test_links_of_the_documents_lead_somewhere() -> None:
    for document in [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]:
        for target in re.findall(r"\]\((?!https?:)([^)#]+)", document.read_text(encoding="utf-8")):
            assert (document.parent / target).exists(), f"{document.name}: {target}"


@pytest.mark.parametrize("name", ["wrapper", "dataset"])
def test_the_python_of_a_page_runs(name: str) -> None:
    text = (ROOT / "docs" / f"{name}.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    space: dict[str, object] = {"__name__": name}
    for block in blocks:
        exec(compile(block, f"{name}.md", "exec"), space)  # noqa: S102  our own page
    if name == "dataset":
        assert {row["game"] for row in space["both"]} == {"pong", "breakout"}  # type: ignore[attr-defined]
        mixed = [row["game"] for row in space["mixed"].take(10)]  # type: ignore[attr-defined]
        assert mixed == ["pong", "breakout"] * 5
    else:
        env, again = space["env"], space["again"]
        assert again.labels() == env.labels()  # type: ignore[attr-defined]
