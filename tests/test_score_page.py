"""The tables of docs/score.md: which results they take, and that their numbers are those of the results."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path

import pytest

from atariari_data.errors import UsageError
from harness.leaderboard.published import published
from harness.pages.words import game_title
from harness.probes.probe import ProbeRun
from harness.results.comparison import Compared
from harness.results.result import Result, Signed
from harness.results.result_file import write
from tests import made_results
from tools import score_page
from tools.score_page import Row, pairs, rows_of, tables

GAMES = ("breakout", "pong")


def put(
    folder: Path,
    encoder: str,
    *,
    seed: int = 0,
    steps: int = 0,
    games: tuple[str, ...] = GAMES,
    probes: made_results.Probes = made_results.PROBES,
) -> Signed:
    skill = 0.3 + steps / 4000
    values = made_results.fields(seed + steps, games=games, encoder=encoder, skill=skill, probes=probes)
    if steps:
        told = made_results.training(encoder, dict.fromkeys(games, steps), seed=seed)
        values["encoder"]["training"] = told
    signed = Signed.build(**values)
    name = f"{encoder}-{seed}-{steps}-{len(games)}-{probes[0][0]}.json"
    write(Result(signatures=[], signed=signed), folder / name)
    return signed


def cells(text: str) -> list[list[str]]:
    return [
        [cell.strip() for cell in line.strip().strip("|").split("|")] for line in text.strip().splitlines()
    ]


@pytest.fixture(autouse=True)
def _as_made_results(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(score_page, "DEFAULT_LABEL_SET", made_results.LABEL_SET)


def test_seeds_and_checkpoints_are_told_apart(tmp_path: Path) -> None:
    trivial = [put(tmp_path, name) for name in ("pixels-pca", "random-projection")]
    put(tmp_path, "majority")
    vae = [put(tmp_path, "vae", seed=seed, steps=1500) for seed in (0, 1)]
    early = put(tmp_path, "vae", seed=1, steps=100, games=("pong",))
    made = tables(rows_of(sorted(tmp_path.glob("*.json"))), ("seeds", "checkpoints"))
    run = vae[0].distinct_runs[0]

    head, _, first, *_ = cells(made["seeds"])
    assert head == ["score", "`vae`", "order"]
    by_seed = [[_mean(signed, game, run) for game in GAMES] for signed in vae]
    changes = [abs(a - b) for a, b in zip(*by_seed, strict=True)]
    best = [max(_mean(signed, game, run) for signed in trivial) for game in GAMES]
    same = sum((a > b) == (c > b) for a, c, b in zip(*by_seed, best, strict=True))
    means = ", ".join(f"{sum(values) / 2:.3f}" for values in by_seed)
    assert first[:2] == [str(run), f"{means}; {sum(changes) / 2:.3f} ({max(changes):.3f}); {same} of 2"]

    for name in ("seeds", "checkpoints"):
        with pytest.raises(UsageError, match="has"):
            tables([row for row in rows_of(sorted(tmp_path.glob("*.json"))) if row.seed == 0], (name,))

    head, _, first, *_ = cells(made["checkpoints"])
    assert head == ["score", "game", "100", "1,500", "best trivial"], "the run of seed 1 has checkpoints"
    numbers = [_mean(signed, "pong", run) for signed in (early, vae[1])]
    assert first == [str(run), "Pong", *(f"{number:.3f}" for number in numbers), f"{best[1]:.3f}"]


def test_methods_stand_beside_what_the_paper_has(tmp_path: Path) -> None:
    mine = {
        name: put(tmp_path, name, steps=steps)
        for name, steps in (("vae", 1500), ("cpc", 400), ("supervised", 900), ("dim", 700))
    }
    put(tmp_path, "pixels-pca", probes=made_results.PROBES[:1])
    put(tmp_path, "random-projection")
    (made,) = tables(rows_of(sorted(tmp_path.glob("*.json"))), ("methods",)).values()
    head, _, *rows, lacking, projected, of_means, of_games = cells(made)
    runs = mine["vae"].distinct_runs
    run = runs[0]
    assert head == ["encoder", "paper, 2 games", *map(str, runs)]
    assert [bool(cell) for cell in lacking[2:]] == [True, False, False], "PCA has the first run only"
    assert all(projected[2:])
    assert [row[0] for row in rows] == ["`supervised`", "`cpc`", "`vae`", "`dim`"]
    papers = {paper.name: paper for paper in published()}
    theirs = [[papers[name].games[game] for game in GAMES] for name in ("Supervised", "CPC", "VAE")]
    assert [row[1] for row in rows] == [*(f"{sum(two) / 2:.2f}" for two in theirs), ""]
    ours = [[_mean(mine[name], game, run) for game in GAMES] for name in ("supervised", "cpc", "vae")]
    assert [row[2] for row in rows[:3]] == [f"{sum(two) / 2:.3f}" for two in ours]
    assert of_means[2] == f"{_tau(theirs, ours, sum):.2f}"
    single = [_tau(theirs, ours, lambda row, at=at: row[at]) for at in range(2)]  # type: ignore[misc]
    assert of_games[2] == f"{sum(single) / 2:.2f}"


def test_a_score_that_fewer_have_is_ordered_on_the_games_and_encoders_that_have_it(tmp_path: Path) -> None:
    games = (*GAMES, "freeway", "seaquest")
    steps = {"vae": 1500, "cpc": 400, "pixels-pca": 0, "random-projection": 0}
    for name, trained in steps.items():
        put(tmp_path, name, steps=trained, games=games, probes=(("linear", "full"),))
    few = {
        name: put(tmp_path, name, steps=trained, probes=(("anand2019", "full"),))
        for name, trained in steps.items()
        if name != "random-projection"
    }
    rows = rows_of(sorted(tmp_path.glob("*.json")))
    assert len(rows) == len(steps)
    (made,) = tables(rows, ("order",)).values()
    _, _, anand, linear = cells(made)
    assert [linear[0], anand[0]] == ["linear, all rows", "anand2019, all rows"]
    run = ProbeRun("anand2019", "full")
    one, two = ([_mean(signed, game, run) for signed in few.values()] for game in GAMES)
    pairs = list(itertools.combinations(range(len(one)), 2))
    agree = sum((one[a] > one[b]) == (two[a] > two[b]) for a, b in pairs)
    assert anand[2] == f"{(2 * agree - len(pairs)) / len(pairs):.2f}"
    assert anand[1].split()[0] == anand[2], "two games have two halves"


def test_a_side_is_told_only_where_a_comparison_finds_a_difference(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("vae", "cpc"):
        put(tmp_path, name, steps=400)
    vae, cpc = sorted(rows_of(tmp_path.glob("*.json")), key=lambda row: row.name == "cpc")
    run = vae.runs[0]

    def against(one: Row, _: Row) -> dict[tuple[str, ProbeRun], Compared]:
        sign = 1 if one.name == "vae" else -1
        found = ((game, sign * difference, verdict) for game, difference, verdict in differences)
        return {
            (game, run): Compared(*run, game, "game", game, 0, 0, difference, 0, 0, 0, verdict)
            for game, difference, verdict in found
        }

    monkeypatch.setattr(Row, "against", against)
    monkeypatch.setattr("tools.score_page._shared", lambda *_: list(GAMES))
    differences = [(GAMES[0], 0.2, "differs"), (GAMES[1], -0.1, "unclear")]
    *_, last = pairs([vae, cpc], run).strip().splitlines()
    pair, above, below = (cell.strip() for cell in last.strip("|").split("|"))
    sides = [above, below] if pair == "`vae` against `cpc`" else [below, above]
    assert sides == [game_title(GAMES[0]), ""]
    differences = [(game, 0.2, "differs") for game in GAMES]
    assert "| all 2 |" in pairs([vae, cpc], run)


def _mean(signed: Signed, game: str, run: ProbeRun) -> float:
    score = next(s.means.score for s in signed.games[game].scores if s.run == run)
    assert score is not None
    return score


def _tau(one: list[list[float]], two: list[list[float]], of: Callable[[list[float]], float]) -> float:
    """Return Kendall's tau of rows without ties: the share of pairs in the same order, less the others."""
    pairs = list(itertools.combinations(range(len(one)), 2))
    same = sum((of(one[a]) > of(one[b])) == (of(two[a]) > of(two[b])) for a, b in pairs)
    return (2 * same - len(pairs)) / len(pairs)


def test_a_method_whose_games_ended_at_different_steps_is_trained(tmp_path: Path) -> None:
    values = made_results.fields(games=GAMES, encoder="vae")
    values["encoder"]["training"] = made_results.training("vae", dict(zip(GAMES, (1000, 1500), strict=True)))
    write(Result(signatures=[], signed=Signed.build(**values)), tmp_path / "vae.json")
    (row,) = rows_of([tmp_path / "vae.json"])
    assert row.steps == 1500
