"""Imports point one way: between the packages, and between the folders of `harness`."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGES = ("atariari_data", "builders", "harness")
"""Each imports from itself and from those before it."""

ROAD = (
    "metrics",
    "cache",
    "signing",
    "encoders",
    "splits",
    "probes",
    "targets",
    "protocol",
    "trivial",
    "results",
    "methods",
    "adapters",
    "isolation",
    "evaluation",
    "conformance",
    "pages",
    "report",
    "exports",
    "leaderboard",
    "cli",
    "__main__",
)
"""The folders and files at the top of `harness`; each imports from itself and from those before it."""


def _imports(file: Path) -> Iterator[tuple[str, ...]]:
    """Yield the modules that a file imports, inside functions too, by their parts."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (tuple(alias.name.split(".")) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{file}: a relative import"
            yield from ((*str(node.module).split("."), alias.name) for alias in node.names)


def test_packages_import_backwards_only() -> None:
    for place, package in enumerate(PACKAGES):
        for file in (ROOT / package).rglob("*.py"):
            ours = {module[0] for module in _imports(file)} & {*PACKAGES, "tools", "tests"}
            assert ours <= set(PACKAGES[: place + 1]), f"{file.relative_to(ROOT)} imports {ours}"


def test_every_room_of_the_harness_is_on_the_road() -> None:
    found = {path.stem for path in (ROOT / "harness").iterdir() if path.suffix == ".py" or path.is_dir()}
    assert found - {"__init__", "__pycache__"} == set(ROAD)


def test_folders_of_the_harness_import_backwards_only() -> None:
    upward = []
    for file in sorted((ROOT / "harness").rglob("*.py")):
        room = file.relative_to(ROOT / "harness").parts[0].removesuffix(".py")
        if room == "__init__":
            continue  # hands names on, lazily
        for module in _imports(file):
            known = module[0] == "harness" and len(module) > 1 and module[1] in ROAD
            if known and ROAD.index(module[1]) > ROAD.index(room):
                upward.append(f"{file.relative_to(ROOT)} imports {'.'.join(module)}")
    assert not upward, "\n".join(upward)


def test_results_and_signing_need_neither_torch_nor_the_emulator() -> None:
    for folder in ("signing", "results"):
        for file in (ROOT / "harness" / folder).glob("*.py"):
            heavy = {module[0] for module in _imports(file)} & {"torch", "ale_py", "gymnasium", "sklearn"}
            assert not heavy, f"{file.relative_to(ROOT)} imports {heavy}"
