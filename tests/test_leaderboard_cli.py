from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from click.testing import CliRunner

import harness
from harness.cli.main import cli
from harness.leaderboard import site
from harness.leaderboard.create import GATE, create, protocols_here
from harness.results.result import Signed
from harness.results.result_file import write
from tests.boards import BOARD, TestBoard

pytestmark = pytest.mark.usefixtures("git_identity")


def coarse(frames: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    return frames[:, 0, ::20, ::20].reshape(len(frames), -1)


def real_result(person: str) -> Signed:
    """Return a result under the installed protocol, on the recordings that the tests have made."""
    return harness.evaluate(
        coarse, games=["pong"], name="CNN", submitter={"principal": person}, progress=False
    ).signed


def test_a_maintainers_and_a_submitters_day(tmp_path: Path) -> None:
    run = CliRunner().invoke
    (tmp_path / "keys").mkdir()
    board = TestBoard(tmp_path / "board", tmp_path / "keys")
    folder = str(board.folder)
    done = run(cli, ["leaderboard", "init", folder, "--title", "Our board", "--maintainer", BOARD])
    assert done.exit_code == 0, done.output
    assert (board.folder / "frames" / "pong.png").read_bytes().startswith(b"\x89PNG")
    key = board.key("alice@example.org")
    done = run(cli, ["leaderboard", "admit", "alice@example.org", f"{key}.pub", "--to", folder])
    assert done.exit_code == 0, done.output
    assert "SHA256:" in run(cli, ["leaderboard", "verify", folder, "--base", "main"]).stderr
    board.git("switch", "--quiet", "main")
    board.git("merge", "--quiet", "--ff-only", "@{-1}")
    for wrong in ("The Board", f"{key}.pub"):
        done = run(cli, ["leaderboard", "admit", wrong, f"{key}.pub", "--to", folder])
        assert (done.exit_code, "address or a handle" in done.stderr) == (2, True)

    result = board.sign(real_result("alice@example.org"), "alice@example.org")
    path = write(result, tmp_path / "result.json")
    done = run(cli, ["submit", str(path), "--to", folder])
    assert done.exit_code == 0, done.output
    done = run(cli, ["leaderboard", "verify", folder, "--base", "main"])
    assert done.exit_code == 0, done.output
    assert done.stdout == "1 results verified (1 new)\n"
    board.git("switch", "--quiet", "main")
    board.git("merge", "--quiet", "--no-ff", "-m", "Merge", "@{-1}")
    done = run(cli, ["leaderboard", "build", folder, "--json"])
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["pages"] >= 5
    assert "CNN" in (board.folder / "site" / "index.html").read_text(encoding="utf-8")
    assert board.git("status", "--porcelain") == ""  # the site is not in git

    (found,) = board.folder.glob("results/*/*/*.json")
    found.write_bytes(found.read_bytes().replace(b'"feature_size":88', b'"feature_size":87'))
    done = run(cli, ["leaderboard", "verify", folder])
    assert done.exit_code == 1
    assert "Not committed, so not checked" in done.stderr
    assert done.stdout == "1 results verified (0 new), 1 finding\n"
    board.commit("Forged")
    done = run(cli, ["leaderboard", "verify", folder])
    assert done.exit_code == 1
    assert "is invalid" in done.stderr
    done = run(cli, ["leaderboard", "verify", folder, "--json"])
    assert json.loads(done.stdout)["findings"][0]["error"] == "SignatureError"
    done = run(cli, ["leaderboard", "build", folder])
    assert done.exit_code == 1
    assert done.stdout.endswith("pages, 1 finding\n")
    assert "Be the first" in (board.folder / "site" / "index.html").read_text(encoding="utf-8")
    assert run(cli, ["leaderboard", "init", folder]).exit_code == 2
    done = run(cli, ["leaderboard", "init", str(tmp_path / "new"), "--maintainer", "The Board"])
    assert (done.exit_code, "address or a handle" in done.stderr) == (2, True)
    assert run(cli, ["leaderboard", "verify", str(tmp_path)]).exit_code == 1


def test_a_folder_that_is_missing_is_wrong_usage(tmp_path: Path) -> None:
    (tmp_path / "result.json").write_text("{}", encoding="utf-8")
    missing, result = str(tmp_path / "nowhere"), str(tmp_path / "result.json")
    for command in (
        ["leaderboard", "verify", missing],
        ["leaderboard", "build", missing],
        ["leaderboard", "admit", "me@example.org", result, "--to", missing],
        ["submit", result, "--to", missing],
    ):
        done = CliRunner().invoke(cli, command)
        assert (done.exit_code, "nowhere' does not exist" in done.stderr) == (2, True), done.stderr


def test_a_leaderboard_begins_with_results_that_are_there(tmp_path: Path) -> None:
    run = CliRunner().invoke
    (tmp_path / "keys").mkdir()
    (tmp_path / "results").mkdir()
    board = TestBoard(tmp_path / "board", tmp_path / "keys")
    folder, results = str(board.folder), str(tmp_path / "results")
    assert run(cli, ["leaderboard", "init", str(tmp_path / "example")]).exit_code == 0
    example = TestBoard(tmp_path / "example", tmp_path / "keys")
    example.allow(BOARD)
    done = run(cli, ["leaderboard", "init", folder, "--results", results])
    assert (done.exit_code, "no results to start with" in done.stderr) == (2, True)
    assert not board.folder.exists()

    signed = real_result(BOARD)
    file = write(example.sign(signed, BOARD), tmp_path / "results" / "cnn.json")
    (tmp_path / "results" / "allowed_signers").write_bytes((example.folder / "allowed_signers").read_bytes())
    done = run(cli, ["leaderboard", "init", folder, "--results", results, "--json"])
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["results"] == 1
    (found,) = board.folder.glob("results/*/*/*.json")
    assert found.read_bytes() == file.read_bytes()
    assert board.git("status", "--porcelain") == ""
    assert run(cli, ["leaderboard", "verify", folder]).stdout == "1 results verified (0 new)\n"

    file.write_bytes(file.read_bytes().replace(b'"feature_size":88', b'"feature_size":87'))
    other = tmp_path / "other"
    done = run(cli, ["leaderboard", "init", str(other), "--results", results])
    assert done.exit_code == 1
    assert "cnn.json is refused" in done.stderr
    assert not list(other.glob("results/*/*/*.json"))
    assert run(cli, ["leaderboard", "verify", str(other)]).stdout.startswith("0 results verified")


def test_a_page_says_how_many_test_rows_a_game_has(tmp_path: Path) -> None:
    """Though its first variable is known on fewer."""
    board = TestBoard(tmp_path / "board", tmp_path)
    create(board.folder, protocols_here(), title="Board")
    board.allow(BOARD)
    board.commit("Keys")
    plain = json.loads(json.dumps(real_result(BOARD).plain))
    rows = plain["dataset"]["splits"]["pong"]["test"]["rows"]
    for scores in plain["games"]["pong"]["scores"][:2]:  # those on random play
        scores["variables"]["n"][0] = rows - 1
    board.place(board.sign(Signed.model_validate(plain), BOARD))
    verdict = board.verify()
    assert not verdict.findings
    site.build(verdict, tmp_path / "site")
    page = (tmp_path / "site" / "encoders" / "cnn.html").read_text(encoding="utf-8")
    assert f"Pong</a>, {rows} test rows" in page


ONLY_THE_GATE_S = """
import sys
from importlib.metadata import packages_distributions

GATE = sys.argv.pop(1).split()

class Refuse:
    known = packages_distributions()

    def find_spec(self, name, path=None, target=None):
        owners = {owner.lower().replace("_", "-") for owner in self.known.get(name.partition(".")[0], [])}
        if owners and not owners & set(GATE):
            raise ModuleNotFoundError(f"{name} is not installed", name=name)

sys.meta_path.insert(0, Refuse())
from harness.cli.main import main
main()
"""


def test_a_leaderboard_is_verified_and_built_with_what_its_workflow_installs(tmp_path: Path) -> None:
    assert not {"numpy", "rich", "torch"} & set(GATE)
    board = TestBoard.new(tmp_path)
    board.place(board.result(0))
    board.commit("A result, which has a page")
    board.git("switch", "--quiet", "--create", "change")
    board.place(board.result(1, "bob@example.org"))
    board.commit("Another one")
    for arguments in (
        ["verify", str(board.folder)],
        ["verify", "--base", "main", str(board.folder)],
        ["build", str(board.folder), "--out", str(tmp_path / "s")],
    ):
        command = [sys.executable, "-c", ONLY_THE_GATE_S, " ".join(GATE), "leaderboard", *arguments]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
