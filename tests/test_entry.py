"""The commands notice that another project has replaced one of our packages."""

from __future__ import annotations

import base64
import hashlib
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import atariari_data
import builders
import harness

ROOT = Path(__file__).parents[1]


def _install(site: Path, project: str, files: dict[str, str]) -> None:
    """Write files as pip does, with a record of their digests."""
    record = [f"{project}-1.0.dist-info/RECORD,,"]
    for name, text in files.items():
        path = site / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        digest = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()
        record.append(f"{name},sha256={digest},{len(text)}")
    info = site / f"{project}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {project}\nVersion: 1.0\n")
    (info / "RECORD").write_text("\n".join(record) + "\n")


@pytest.fixture
def site(tmp_path: Path) -> Path:
    files = {f"atariari_data/{p.name}": p.read_text() for p in (ROOT / "atariari_data").glob("*.py")}
    ours = "def main():\n    print('ours runs')\n"
    files |= {
        "builders/__init__.py": "",
        "harness/__init__.py": "# ours\n",
        "builders/cli/__init__.py": "",
        "builders/cli/main.py": ours,
    }
    files |= {"harness/cli/__init__.py": "", "harness/cli/main.py": ours}
    _install(tmp_path, "atariari", files)
    return tmp_path


def _command(site: Path, command: str) -> subprocess.CompletedProcess[str]:
    code = (
        f"import sys; sys.path.insert(0, {str(site)!r}); from atariari_data import _entry; _entry.{command}()"
    )
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=site)


@pytest.mark.parametrize("command", ["harness", "data"])
def test_our_own_packages_run(site: Path, command: str) -> None:
    done = _command(site, command)
    assert (done.returncode, done.stdout, done.stderr) == (0, "ours runs\n", "")


def test_files_that_another_project_wrote_over_ours_are_noticed(site: Path) -> None:
    _install(site, "harness_io", {"harness/__init__.py": "# theirs\n"})
    done = _command(site, "harness")
    assert done.returncode == 1
    assert "'harness' of atariari was replaced" in done.stderr
    assert "from harness_io" in done.stderr
    assert "pip uninstall harness_io && pip install --force-reinstall" in done.stderr
    assert "Traceback" not in done.stderr
    assert _command(site, "data").returncode == 0


def test_files_that_went_with_another_project_are_noticed(site: Path) -> None:
    shutil.rmtree(site / "builders")
    for command in ("harness", "data"):
        done = _command(site, command)
        assert done.returncode == 1
        assert "'builders' of atariari was replaced" in done.stderr


def test_a_package_found_before_ours_is_noticed(site: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    other = tmp_path_factory.mktemp("other")
    (other / "harness").mkdir()
    (other / "harness" / "__init__.py").write_text("")
    code = (
        f"import sys; sys.path[:0] = [{str(other)!r}, {str(site)!r}]\n"
        "from atariari_data._entry import harness\nharness()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=site)
    assert done.returncode == 1
    assert str(other / "harness") in done.stderr


@pytest.mark.parametrize("module", ["harness", "builders"])
def test_packages_run_as_modules(module: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", module, "--version"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert harness.__version__ in done.stdout


def test_every_package_says_its_version() -> None:
    assert harness.__version__ == builders.__version__ == atariari_data.__version__
    for module in (harness, builders, atariari_data):
        with pytest.raises(AttributeError, match="nothing"):
            module.nothing  # noqa: B018
