"""What the commands print: tables that fit a terminal, and progress that fits a log file."""

from __future__ import annotations

import io
import json
import re
import tomllib
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from atariari_data.games import game_names
from builders import progress
from builders.cli.main import cli as data
from builders.console import print_table
from harness.cli.main import cli
from harness.evaluation.progress import Progress


def widest(text: str) -> int:
    return max(map(len, text.splitlines()))


def run(command: object, *arguments: str) -> Result:
    found = CliRunner().invoke(command, arguments)  # type: ignore[arg-type]
    assert found.exit_code == 0, found.output
    return found


@pytest.mark.parametrize("name", game_names())
def test_the_variables_of_every_game_fit_80_columns(name: str) -> None:
    shown = run(data, "info", name).stdout
    assert widest(shown) <= 80
    plain = " ".join(shown.split())
    for row in json.loads(run(data, "info", name, "--json").stdout):
        for value in (row["variable"], row["what"], row["source"]):
            assert " ".join(str(value).split()) in plain


def test_the_other_tables_fit_80_columns() -> None:
    for found in (run(data, "list"), run(cli, "methods")):
        assert widest(found.stdout) <= 80
        assert all(line == line.rstrip() for line in found.stdout.splitlines())


def test_a_table_that_is_too_wide_loses_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(("name", "n", "short", "long"), [("a", 1234, "b", "word " * 40), ("c", None, "d", None)])
    shown = capsys.readouterr().out
    assert widest(shown) <= 80
    assert shown.count("word") == 40
    assert re.search(r"^c +- +d +-$", shown, re.MULTILINE)
    print_table(("name", "text", "more"), [("a", "x" * 70, "y" * 70)])
    shown = capsys.readouterr().out
    assert widest(shown) <= 80
    assert (shown.count("x"), shown.count("y")) == (71, 70)


def test_a_path_and_its_size_are_never_broken(capsys: pytest.CaptureFixture[str]) -> None:
    path = "/" + "folder/" * 20 + "pong.png"
    print_table(("file", "bytes"), [(path, 33_541)])
    assert capsys.readouterr().out.splitlines()[1].split() == [path, "33,541"]


def test_a_hidden_bar_prints_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with progress.Lines(total=3, disable=True) as bar:
        bar.set_postfix_str("room 1")
        bar.update()
    assert capsys.readouterr() == ("", "")


def test_a_log_file_gets_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    said = io.StringIO()
    now = [0.0]
    monkeypatch.setattr("sys.stderr", said)
    with progress.progress_bar(100, "Playing pong", "row", shown=True) as bar:
        bar._time = lambda: now[0]  # type: ignore[attr-defined]
        bar.start_t = bar.last_print_t = bar._printed = 0.0  # type: ignore[attr-defined]
        for _ in range(100):
            now[0] += 1
            bar.update()
    lines = said.getvalue().splitlines()
    assert len(lines) == 4
    assert re.fullmatch(r"Playing pong: 3\d of 100 rows, 00:3\d, about 01:\d\d left", lines[0])
    assert lines[-1] == "Playing pong: 100 of 100 rows, took 01:40"
    assert "\r" not in said.getvalue()
    with progress.progress_bar(100, "Playing pong", "row", shown=False) as bar:
        bar.update(100)
    assert len(said.getvalue().splitlines()) == 4
    with progress.progress_bar(None, "Playing pong", "row", shown=True) as bar:
        bar._time = lambda: now[0]  # type: ignore[attr-defined]
        bar.start_t = bar.last_print_t = bar._printed = now[0]  # type: ignore[attr-defined]
        now[0] += 31
        bar.update(7)
    assert said.getvalue().splitlines()[4:] == [
        "Playing pong: 7 rows, 00:31 so far",
        "Playing pong: 7 rows, took 00:31",
    ]


def test_the_whole_counts_stages_and_what_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr("harness.evaluation.progress.time.monotonic", lambda: now[0])
    whole = Progress(
        {"pong": {"embedding": 10, "probing": 2}, "boxing": {"embedding": 10, "probing": 2}}, shown=False
    )
    whole.begin("pong", "embedding")
    assert whole._remaining() is None
    now[0] = 10
    whole.advance(5)
    assert whole._remaining() == pytest.approx(10 + 20 + 8)  # probing is taken to be a fifth of embedding
    now[0] = 20
    whole.advance(5)
    whole.begin("pong", "probing")
    now[0] = 22
    whole.advance()
    assert whole._remaining() == pytest.approx(2 + 20 + 4)
    whole.advance()
    whole.skip("boxing", "embedding")
    assert whole._remaining() == pytest.approx(2)
    whole.begin("boxing", "probing")
    whole.advance(2)
    assert whole._remaining() == 0
    assert "boxing (2 of 2), probing" in whole._words("boxing", "probing")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_shell_completes_as_documented(shell: str, monkeypatch: pytest.MonkeyPatch) -> None:
    page = (Path(__file__).parents[1] / "docs" / "reference" / "cli.md").read_text(encoding="utf-8")
    for variable, command, name in (
        ("_HARNESS_COMPLETE", cli, "harness"),
        ("_ATARIARI_DATA_COMPLETE", data, "atariari-data"),
    ):
        assert variable in page
        monkeypatch.setenv(variable, f"{shell}_source")
        found = CliRunner().invoke(command, [], prog_name=name)
        assert f"{variable}={shell}_complete" in found.stdout
    assert f"_HARNESS_COMPLETE={shell}_source" in page


def test_two_encoders_are_evaluated_and_compared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name, step in (("coarse", 20), ("fine", 10)):
        code = f"def encode(x):\n    return x[:, 0, ::{step}, ::{step}].reshape(len(x), -1)\n"
        Path(f"{name}.py").write_text(code, encoding="utf-8")
    asked = ["evaluate", "coarse.py", "fine.py", "--games", "pong", "--limit", "40", "--probe", "linear"]
    found = run(cli, *asked, "--no-isolation", "--quiet")
    assert found.stdout.index("coarse") < found.stdout.index("fine") < found.stdout.index("A - B")
    assert widest(found.stdout) <= 80
    assert len(list(Path("results").glob("*.json"))) == 2
    refused = CliRunner().invoke(cli, [*asked, "--out", "one.json"])
    assert (refused.exit_code, "are of one encoder" in refused.stderr) == (2, True)


def test_init_writes_the_example(tmp_path: Path) -> None:
    root = Path(__file__).parents[1]
    file = tmp_path / "mine.py"
    run(cli, "init", str(file))
    assert file.read_bytes() == (root / "examples" / "my_encoder.py").read_bytes()
    again = CliRunner().invoke(cli, ["init", str(file)])
    assert again.exit_code == 2, again.output
    assert CliRunner().invoke(cli, ["init", str(tmp_path / "mine.txt")]).exit_code == 2
    wheel = tomllib.loads((root / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"]
    assert wheel["shared-data"] == {"examples/my_encoder.py": "share/atariari/my_encoder.py"}
