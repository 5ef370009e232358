"""What is published: the same bytes from the same files, complete, and working on its own."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]


def build(folder: Path, out: Path) -> dict[str, bytes]:
    """Build both distributions as `make dist` does; return the bytes of each file."""
    command = [sys.executable, "-m", "hatchling", "build", "--directory", str(out)]
    environment = {**os.environ, "SOURCE_DATE_EPOCH": "1700000000"}
    subprocess.run(command, cwd=folder, env=environment, check=True, capture_output=True)
    return {path.name: path.read_bytes() for path in sorted(out.iterdir())}


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of what git tracks, or of a source distribution, whose files are dated now."""
    folder = tmp_path_factory.mktemp("checkout") / "atariari"
    leave_out = shutil.ignore_patterns(".*", "__pycache__", "build", "dist", "results", "runs")
    shutil.copytree(ROOT, folder, ignore=leave_out, copy_function=shutil.copyfile)
    shutil.copytree(ROOT / "docs" / "results", folder / "docs" / "results", dirs_exist_ok=True)
    shutil.copytree(ROOT / "harness" / "results", folder / "harness" / "results", dirs_exist_ok=True)
    return folder


@pytest.fixture(scope="module")
def dist(checkout: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("dist")
    build(checkout, out)
    return out


def test_the_same_files_give_the_same_bytes(checkout: Path, dist: Path, tmp_path: Path) -> None:
    for path in checkout.rglob("*"):
        os.utime(path, (1_600_000_000, 1_600_000_000))
    again = build(checkout, tmp_path)
    assert len(again) == 2
    assert again == {path.name: path.read_bytes() for path in sorted(dist.iterdir())}


def test_what_they_contain(dist: Path) -> None:
    (sdist,) = dist.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {"docs/tutorial.md", "docs/conf.py", "docs/results/ram.json", "tests/conftest.py"} <= names
    assert {"README.md", "LICENSE", "RELEASING.md", "Makefile", "constraints.txt", "pyproject.toml"} <= names
    (wheel,) = dist.glob("*.whl")
    with zipfile.ZipFile(wheel) as package:
        tops = {name.partition("/")[0] for name in package.namelist()}
        metadata = package.read(next(n for n in package.namelist() if n.endswith("METADATA"))).decode()
    assert {name for name in tops if not name.endswith((".dist-info", ".data"))} == {
        "atariari_data",
        "builders",
        "harness",
    }
    assert metadata.count("\nProject-URL: ") == 5
    assert "# atariari\n" in metadata


def test_the_index_accepts_them(dist: Path) -> None:
    pytest.importorskip("twine")
    command = [sys.executable, "-m", "twine", "check", "--strict", *map(str, dist.iterdir())]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_the_version_is_the_same_everywhere() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation["version"] == project["version"]
    assert f"\n## {project['version']} " in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", ["docs.yml", "release.yml"])
def test_workflows_that_publish_name_actions_by_hash(name: str) -> None:
    text = (ROOT / ".github" / "workflows" / name).read_text(encoding="utf-8")
    uses = re.findall(r"uses: (\S+)", text)
    assert len(uses) >= 4
    assert all(re.fullmatch(r"[\w./-]+@[0-9a-f]{40}", action) for action in uses), uses
    assert "secrets" not in text


@pytest.mark.slow
@pytest.mark.skipif(not (shutil.which("jq") and shutil.which("ssh-keygen")), reason="needs jq and ssh-keygen")
def test_the_installed_wheel_does_what_the_readme_says(dist: Path, tmp_path: Path) -> None:
    """The checkout cannot be imported there; all but the libraries comes from the wheel."""
    venv = tmp_path / "venv"
    subprocess.run([sys.executable, "-m", "venv", str(venv)], check=True)
    python = venv / "bin" / "python"
    (wheel,) = dist.glob("*.whl")
    install = [str(python), "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", str(wheel)]
    subprocess.run(install, check=True)
    (packages,) = (venv / "lib").glob("python*/site-packages")
    libraries = [path for path in sys.path if path.endswith("-packages")]
    (packages / "libraries.pth").write_text("\n".join([*libraries, ""]), encoding="utf-8")
    work = tmp_path / "work"
    work.mkdir()
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    environment["PATH"] = f"{venv / 'bin'}{os.pathsep}{environment['PATH']}"

    def typed(*command: str, **more: str) -> str:
        done = subprocess.run(
            command,
            cwd=work,
            env={**environment, **more},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    where = typed("python", "-c", "import harness, builders; print(harness.__file__, builders.__file__)")
    assert where.count(str(packages)) == 2
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```(sh|python)\n(.*?)```", readme, re.DOTALL)
    for language, code in blocks:
        if language == "python":
            typed("python", "-c", code)
        elif "pip install" not in code and "make " not in code:
            typed("sh", "-ec", code)
    # The tests' recordings are small; those in the wheel are whole.
    environment.pop("ATARIARI_RECORDINGS")
    whole = str(tmp_path / "whole")
    typed("atariari-data", "build", "pong", HF_DATASETS_CACHE=whole)
    typed("atariari-data", "verify", "pong", HF_DATASETS_CACHE=whole)
