"""The page of signed results beside the published ones, and that the committed one is that of its files."""

from __future__ import annotations

import re
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

import pytest

from atariari_data.errors import DataError
from harness.leaderboard.published import published, same_label
from harness.pages.words import game_title
from harness.results.canonical import ResultError
from harness.results.provenance import IS_BOUND
from harness.results.result import Result, Signed
from harness.results.result_file import write
from harness.results.sign import sign_result
from harness.signing.keys import keygen
from harness.signing.sshsig import SignatureError
from tests.made_results import GAMES, fields, training
from tests.package import ROOT, run_on_package
from tools import results_page

ADAM = ("anand2019", "full")


def put(folder: Path, name: str, seed: int = 0, version: str = "1.0.0", **options: Any) -> Signed:
    values = fields(seed, **{"games": ("boxing", "pong"), **options})
    if name.startswith("vae"):
        values["encoder"]["pretraining_data"] = "GAME_pretrain of each game"
        steps = dict.fromkeys(values["games"], 1500)
        values["encoder"]["training"] = training("vae", steps, seed=seed, version=version)
    if options.get("encoder") == "ram":
        values["encoder"]["frames"] = None
        values |= {"ranked": False, "unranked_reason": IS_BOUND}
    signed = Signed.build(**values)
    key = folder.parent / "key"
    write(sign_result(Result(signatures=[], signed=signed), key), folder / f"{name}.json", overwrite=True)
    return signed


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "results"
    folder.mkdir()
    line = keygen(tmp_path / "key").line
    (folder / "allowed_signers").write_text(
        f'alice@example.org namespaces="atariari-result-v1" {line}\n', encoding="ascii"
    )
    return folder


def rows(text: str, heading: str) -> list[list[str]]:
    """Return the cells of the table under a heading."""
    part = text.split(f"{heading}\n")[1].split("\n#", maxsplit=1)[0]
    return [line.strip("| ").split(" | ") for line in part.splitlines() if line.startswith("| ")]


def test_ours_stand_beside_the_published_ones(folder: Path) -> None:
    vae = [put(folder, f"vae-{seed}", seed, encoder="vae") for seed in (0, 1)]
    ram = put(folder, "ram", 5, encoder="ram", skill=0.99)
    text = results_page.page(folder)
    assert "from the 3 signed results" in text
    paper = next(p for p in published() if p.name == "VAE")
    head, _, *table, means = rows(text, "### Compared with the paper")
    assert head == ["game", "`ram`", "`vae`"]
    pairs = []
    for cells, game in zip(table, ("boxing", "pong"), strict=True):
        ours = fmean(f1(signed, game, ADAM) for signed in vae)
        bound = f"{f1(ram, game, ADAM):.2f}"
        assert cells == [game_title(game), bound, f"{ours:.2f} ({paper.games[game]:.2f})"]
        pairs.append((ours, paper.games[game]))
    assert means[2] == f"{fmean(a for a, _ in pairs):.2f} ({fmean(b for _, b in pairs):.2f})"
    seeds = [f1(signed, "pong", ("linear", "1k")) for signed in vae]
    by_game = rows(text, "### By game: linear, 1k rows")
    assert by_game[-1][0] == "Pong"
    assert f"{fmean(seeds):.3f} ± {stdev(seeds):.3f}" in by_game[-1]
    for reason in ("The probe", "The data", "The means", "The budget", "The method"):
        assert f"- **{reason}.**" in text


def variables(signed: Signed, game: str) -> dict[str, float]:
    scores = next(s for s in signed.games[game].scores if (s.probe, s.train_rows) == ADAM)
    return {v.name: v.score for v in scores.variables if v.score is not None}


def test_variables_stand_beside_the_published_ones(folder: Path) -> None:
    signed = put(folder, "random-cnn", 1, encoder="random-cnn")
    paper = next(p for p in published() if p.name == "Random CNN").variables
    ours = {(game, name): f1 for game in ("boxing", "pong") for name, f1 in variables(signed, game).items()}
    pairs = {key: (ours[key], paper[key]) for key in ours.keys() & paper.keys()}
    assert len(pairs) == 13
    assert ("pong", "ball_x") in pairs
    apart = {key: a - b for key, (a, b) in pairs.items()}
    text = results_page.page(folder)
    near, far = text.split("### Variable by variable\n")[1].split("Differences of more than 0.2")
    (*_, row) = (line.strip("| ").split(" | ") for line in near.splitlines() if line.startswith("| "))
    assert row == [
        "`random-cnn`",
        "13",
        *(f"{fmean(pair[i] for pair in pairs.values()):.2f}" for i in (0, 1)),
        f"{fmean(apart.values()):+.3f}",
        *(str(sum(abs(d) <= most for d in apart.values())) for most in (0.05, 0.1)),
    ]
    expected = sorted((key for key in apart if abs(apart[key]) > 0.2), key=lambda key: -abs(apart[key]))
    listed = [line.split(" | ") for line in far.split("\n\n")[1].splitlines()[2:]]
    assert [(cells[1], cells[2].strip("`")) for cells in listed] == [
        (game_title(game), name) for game, name in expected
    ]


@pytest.mark.parametrize(
    ("game", "published_as", "here"),
    [
        ("tennis", "player_y", "upper_player_y"),  # the same byte by another name
        ("hero", "score_0", "score_100s"),  # and decoded
        ("pong", "enemy_y", None),  # another byte by the same name
        ("pong", "player_y", None),  # the same byte, but several of its values are one here
        ("montezuma_revenge", "player_direction", None),  # some bits of it
    ],
)
def test_only_labels_that_are_one_to_one_are_compared(game: str, published_as: str, here: str | None) -> None:
    assert (game, published_as) in next(p for p in published() if p.name == "Random CNN").variables
    assert same_label(game, published_as, "v1") == here
    assert same_label(game, published_as, "anand2019") == published_as


def f1(signed: Signed, game: str, run: tuple[str, object]) -> float:
    found = next(s.means.score for s in signed.games[game].scores if (s.probe, s.train_rows) == run)
    assert found is not None
    return found


def test_seeds_on_games_of_other_versions_are_one_encoder(folder: Path) -> None:
    for seed, version in enumerate(("1.0.0", "1.2.0")):
        put(folder, f"vae-{seed}", seed, encoder="vae", version=version)
    (row,) = (line for line in results_page.page(folder).splitlines() if line.startswith("| `vae` | GAME"))
    assert "| GAME_pretrain of each game, vae, 1500 steps of 64 | 2 |" in row


def test_a_suite_has_a_mean_only_when_it_is_whole(folder: Path) -> None:
    random = next(p for p in published() if p.name == "Random CNN")
    whole = put(folder, "random-cnn", 1, encoder="random-cnn", games=GAMES)
    vae = put(folder, "vae-0", 2, encoder="vae")
    text = results_page.page(folder)
    (_, _, first, second) = rows(text, "## Label set `anand2019`")
    assert first[:4] == ["`random-cnn`", "none", "1", str(len(GAMES))]
    assert first[4:] == [*(f"{suite.means.score:.3f}" for suite in whole.suite), f"{random.mean:.2f}"]
    assert second[:4] == ["`vae`", "GAME_pretrain of each game, vae, 1500 steps of 64", "1", "2"]
    assert second[4:7] == ["-", "-", "-"]
    run = ("linear", "full")
    expected = {
        f"`{r.encoder.name}`": fmean(f1(r, name, run) for name in ("boxing", "pong")) for r in (whole, vae)
    }
    shared = rows(text, "### Means over Boxing, Pong")[2:]
    assert [row[:2] for row in shared] == [
        [name, f"{mean:.3f}"] for name, mean in sorted(expected.items(), key=lambda pair: -pair[1])
    ]


def test_only_what_holds_is_shown(folder: Path) -> None:
    with pytest.raises(DataError, match="No results"):
        results_page.page(folder)
    put(folder, "one", 1, encoder="one")
    good = (folder / "one.json").read_bytes()
    results_page.page(folder)
    (folder / "one.json").write_bytes(re.sub(rb'"score":0\.[0-9]', b'"score":0.0', good, count=1))
    with pytest.raises((ResultError, SignatureError)):
        results_page.page(folder)
    (folder / "one.json").write_bytes(good)
    keygen(folder.parent / "other")
    signed = Signed.build(**fields(2))
    write(sign_result(Result(signatures=[], signed=signed), folder.parent / "other"), folder / "two.json")
    with pytest.raises(SignatureError, match="not in the list"):
        results_page.page(folder)


def test_results_under_different_rules_are_not_mixed(folder: Path) -> None:
    put(folder, "one", 1, encoder="one")
    values = fields(2, games=("pong",), encoder="two")
    values["protocol"]["digest"] = "sha256:" + 64 * "0"
    result = Result(signatures=[], signed=Signed.build(**values))
    write(sign_result(result, folder.parent / "key"), folder / "two.json")
    with pytest.raises(DataError, match="different rules"):
        results_page.page(folder)


def test_the_committed_page_is_that_of_the_committed_results_and_they_hold() -> None:
    code = (
        "import sys\n"
        "from tools import results_page\n"
        "from harness.results.verify import verify\n"
        "for file in results_page.FOLDER.rglob('*.json'):\n"
        "    assert verify(file, results_page.FOLDER / results_page.SIGNERS).signed_by_submitter, file\n"
        "sys.stdout.write(results_page.page(results_page.FOLDER))\n"
    )
    made = run_on_package(code)
    document = (ROOT / results_page.PAGE).read_text(encoding="utf-8")
    assert document == made, f"run: {results_page.COMMAND}"


@pytest.mark.usefixtures("git_identity")
def test_a_leaderboard_begins_with_the_committed_results(tmp_path: Path) -> None:
    code = (
        "from pathlib import Path\n"
        "from harness.leaderboard.create import begin_with, create, protocols_here, read_first\n"
        "from harness.leaderboard.gate import verify\n"
        "from tools.results_page import FOLDER, SIGNERS\n"
        f"board, results = Path({str(tmp_path / 'board')!r}), read_first(FOLDER)\n"
        "create(board, protocols_here(), title='Board', maintainers=['atariari'])\n"
        "begin_with(board, results, FOLDER / SIGNERS)\n"
        "verdict = verify(board)\n"
        "print(len(verdict.entries), len(results), [str(f.error) for f in verdict.findings])\n"
    )
    entries, results, findings = run_on_package(code).split(maxsplit=2)
    assert (entries, findings) == (results, "[]\n")
    assert int(results) == len(list((ROOT / results_page.FOLDER).glob("*.json"))) > 0
