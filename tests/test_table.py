"""Tables of results: many methods, games and seeds by one command, which goes on where it was."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

import harness
from atariari_data.errors import UnknownNameError, UsageError
from builders.manifest import DATASET_VERSION
from harness.adapters import by_game
from harness.cli.main import cli
from harness.encoders.encoder import EncoderError
from harness.encoders.named import NAMED
from harness.methods import METHODS
from harness.methods.run import Settings, read_config
from harness.methods.table import Row, Wanted, fill, parse_seeds, plan
from harness.results.consistency import check
from harness.results.merge import merge
from harness.results.result_file import read, write
from harness.results.verify import verify
from harness.signing.keys import keygen

SMALL = ("--size", "84x84", "--batch-size", "8", "--steps", "2", "--feature-size", "16")


def table(folder: Path, *arguments: object, method: str = "vae,majority,ram", seed: str = "0-1") -> Result:
    where = ("--out", folder / "runs", "--results", folder / "results", "--probe", "linear")
    more = map(str, (*SMALL, *where, "--json", *arguments))
    command = ["run", "--method", method, "--game", "pong,breakout", "--seed", seed, *more]
    return CliRunner().invoke(cli, command, catch_exceptions=False)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("table")
    public = keygen(folder / "key")
    (folder / "allowed_signers").write_text(
        f'us@example.org namespaces="atariari-result-v1" {public.line}\n', encoding="ascii"
    )
    done = table(folder, "--key", folder / "key", "--submitter", "us@example.org")
    assert done.exit_code == 0, done.stderr
    names = ["vae-0", "majority", "ram", "vae-1"]
    paths = [str(folder / "results" / f"{name}.json") for name in names]
    assert json.loads(done.stdout) == {"made": paths, "failed": []}
    return folder


def test_every_row_has_a_signed_result_of_all_games(made: Path) -> None:
    for name in ("vae-0", "vae-1", "majority", "ram"):
        path = made / "results" / f"{name}.json"
        assert verify(path, made / "allowed_signers").signed_by_submitter
        signed = read(path).signed
        check(signed)
        assert list(signed.games) == ["breakout", "pong"]
        assert signed.encoder.name == name.partition("-")[0]
        assert (signed.encoder.frames is None) == (name == "ram")


def test_one_encoder_for_each_game_is_one_result(made: Path) -> None:
    encoder = read(made / "results" / "vae-1.json").signed.encoder
    assert encoder.per_game
    assert encoder.described == "GAME_pretrain of each game, vae, 2 steps of 8"
    training = encoder.training
    assert training is not None
    assert (training.seed, training.steps) == (1, {"breakout": 2, "pong": 2})
    assert training.data == dict.fromkeys(("breakout", "pong"), DATASET_VERSION)
    assert training.settings["beta"] == "1.0"
    assert training.settings["size"] == "[84, 84]"
    weights = {}
    for game in ("breakout", "pong"):
        run = made / "runs" / "vae-1" / game
        alone = harness.load_encoder(str(run))
        assert alone.parameters == encoder.parameters
        weights[game] = f"sha256:{alone.weights_digest}"
        assert read_config(run).settings.seed == 1
    assert encoder.weights == weights
    assert not read(made / "results" / "majority.json").signed.encoder.per_game


def test_its_games_are_scored_as_by_their_own_encoders(made: Path) -> None:
    whole = read(made / "results" / "vae-0.json").signed
    run = made / "runs" / "vae-0" / "pong"
    alone = harness.evaluate(run, games=["pong"], probes=["linear"], progress=False).signed
    assert alone.games["pong"] == whole.games["pong"]
    assert not alone.encoder.per_game
    assert alone.encoder.described == "pong_pretrain, vae, 2 steps of 8"


def test_results_of_single_games_become_that_of_the_folder(made: Path, tmp_path: Path) -> None:
    parts = []
    for game in ("pong", "breakout"):
        part = harness.evaluate(made / "runs" / "vae-1", games=[game], probes=["linear"], progress=False)
        parts.append(write(part, tmp_path / f"{game}.json"))
    whole = read(made / "results" / "vae-1.json").signed
    merged = merge(parts).signed
    assert merged.encoder == whole.encoder
    assert merged.games["pong"].scores[0].variables == whole.games["pong"].scores[0].variables
    assert set(read(parts[0]).signed.encoder.weights or ()) == {"pong"}


def test_what_is_there_is_not_made_again_and_what_is_missing_is(made: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in made.rglob("*") if path.is_file()}
    lost = made / "results" / "vae-1.json"
    lost.unlink()
    (made / "results" / "vae-1.predictions.parquet").unlink()
    done = table(made)
    assert done.exit_code == 0, done.stderr
    assert "vae-0: already done" in done.stderr
    assert "vae-1: started" in done.stderr
    changed = {path for path, when in before.items() if path.stat().st_mtime_ns != when}
    assert changed == {lost, lost.with_name("vae-1.predictions.parquet")}


@pytest.mark.parametrize(
    ("others", "told"),
    [
        (("--lr", "0.01"), "learning_rate=0.0003"),
        (("--set", "beta=2"), "'beta': 1.0"),
        (("--encoder", "impala"), "encoder=nature"),
        (("--steps", "1"), "another budget"),
        (("--steps", "9"), "another budget"),
    ],
)
def test_a_result_of_another_training_is_not_taken_for_the_asked_one(
    made: Path, others: tuple[str, ...], told: str
) -> None:
    done = table(made, *others, method="vae", seed="0")
    assert done.exit_code == 1
    assert told in done.stderr
    assert "already done" not in done.stderr


@pytest.mark.parametrize(
    ("others", "told"),
    [
        (("--encoder", "impala"), "other encoder"),
        (("--size", "210x160"), "other size"),
        (("--feature-size", "8"), "other feature_size"),
        (("--batch-size", "9"), "other batch_size"),
        (("--lr", "0.01"), "other learning_rate"),
        (("--set", "beta=2"), "other beta"),
        (("--steps", "1"), "other steps"),
    ],
)
def test_a_result_alone_tells_its_training(
    made: Path, tmp_path: Path, others: tuple[str, ...], told: str
) -> None:
    nowhere = ("--out", tmp_path)
    assert table(made, *nowhere, method="vae", seed="0").exit_code == 0
    done = table(made, *nowhere, *others, method="vae", seed="0")
    assert done.exit_code == 1
    assert told in done.stderr
    assert not any(tmp_path.iterdir())


def test_a_run_of_another_budget_is_not_evaluated(made: Path, tmp_path: Path) -> None:
    done = table(made, "--steps", "1", "--results", tmp_path, method="vae", seed="0")
    assert done.exit_code == 1
    assert "another budget" in done.stderr
    assert not any(tmp_path.iterdir())


def test_a_row_that_fails_lets_the_others_be_made(made: Path, tmp_path: Path) -> None:
    (tmp_path / "runs" / "vae-0" / "pong").mkdir(parents=True)
    (tmp_path / "runs" / "vae-0" / "pong" / "notes.txt").write_text("not a run")
    done = CliRunner().invoke(
        cli,
        [
            *("run", "--method", "vae,majority", "--game", "pong", "--quiet", "--probe", "linear", *SMALL),
            *("--out", str(tmp_path / "runs"), "--results", str(tmp_path / "results")),
        ],
    )
    assert done.exit_code == 1
    assert "1 of 2 results failed: vae-0" in done.stderr
    assert "exists and is not a run" in done.stderr
    assert [path.name for path in (tmp_path / "results").glob("*.json")] == ["majority.json"]
    other = table(made, "--limit", "100", method="majority")
    assert other.exit_code == 1
    assert "with other rows" in other.stderr


def test_an_error_of_another_library_lets_the_others_be_made(tmp_path: Path) -> None:
    def make(row: Row, path: Path) -> None:
        if row.method == "vae":
            raise RuntimeError("CUDA out of memory")
        path.touch()

    wanted = Wanted(["pong"], [], "v1", None, lambda _: [])
    done, failed = fill([Row("vae", 0), Row("majority", None)], tmp_path, wanted, make)
    assert (done, failed) == ([tmp_path / "majority.json"], ["vae-0"])


def test_what_cannot_be_one_encoder_is_said(made: Path, tmp_path: Path) -> None:
    runs = made / "runs" / "vae-0"
    pong_alone = tmp_path / "one"
    pong_alone.mkdir()
    (pong_alone / "pong").symlink_to(runs / "pong")
    with pytest.raises(UsageError, match="has no run for breakout"):
        harness.evaluate(pong_alone, games=["pong", "breakout"], progress=False)
    mixed = tmp_path / "mixed"
    mixed.mkdir()
    (mixed / "pong").symlink_to(runs / "pong")
    (mixed / "breakout").symlink_to(made / "runs" / "vae-1" / "breakout")
    with pytest.raises(EncoderError, match="different settings"):
        by_game(mixed)
    (mixed / "breakout").unlink()
    (mixed / "breakout").symlink_to(runs / "pong")
    with pytest.raises(EncoderError, match="not of the game"):
        harness.evaluate(mixed, progress=False)


def test_rows_and_seeds() -> None:
    assert parse_seeds("0-2, 7") == [0, 1, 2, 7]
    for text in ("a", "1-", "3-1", "-1", "0,4-2"):
        with pytest.raises(UsageError, match=r"Not a (list|range) of seeds"):
            parse_seeds(text)
    rows = plan(["ram", "dim", "random-cnn"], [0, 1])
    assert [row.name for row in rows] == ["ram", "dim-0", "random-cnn-0", "dim-1", "random-cnn-1"]
    assert [row.trains for row in rows] == [False, True, True, True, True]
    assert len(plan([*METHODS, *NAMED], [0])) == len({*METHODS, *NAMED})
    with pytest.raises(UnknownNameError, match="Did you mean 'vae'"):
        plan(["vea"], [0])
    assert Row("vae", 3).name == "vae-3"


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        (["--method", "vae,dim", "--set", "beta=2"], "--set takes the options of one method"),
        (["--method", "vae,dim", "--result", "one.json"], "makes several results"),
        (["--method", "vae", "--game", "pong,pang"], "pang"),
        (["--method", ","], "names no method"),
        (["--method", ",", "--game", "pong,breakout"], "names no method"),
        (["--method", "vae", "--game", ","], "must be a list of names"),
    ],
)
def test_a_table_that_cannot_be(arguments: list[str], match: str) -> None:
    done = CliRunner().invoke(cli, ["run", "--game", "pong", *arguments, "--quiet"])
    assert done.exit_code == 2
    assert match in done.stderr


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        (["--submitter", "No Name"], "This submitter cannot be signed"),
        (["--key", "nowhere"], "nowhere"),
    ],
)
@pytest.mark.parametrize("games", ["pong", "pong,breakout"])
def test_what_cannot_be_signed_is_said_before_training(
    games: str, arguments: list[str], match: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("harness.methods.units.train", pytest.fail)
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(cli, ["run", "--method", "vae", "--game", games, "--quiet", *arguments])
    assert done.exit_code in (1, 2)
    assert match in done.stderr


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--method", "supervised"], {"label_set": "anand2019"}),
        (["--method", "supervised", "--set", "label_set=v1"], {"label_set": "v1"}),
        (["--method", "dim"], {}),
    ],
)
@pytest.mark.parametrize("games", ["pong", "pong,breakout"])
def test_labels_are_learned_from_the_set_that_is_probed(
    games: str,
    arguments: list[str],
    expected: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    asked: list[object] = []

    def train(settings: Settings, *_: object) -> None:
        asked.append(settings.options)
        raise UsageError("It was only asked for.")

    monkeypatch.setattr("harness.methods.units.train", train)
    monkeypatch.chdir(tmp_path)
    command = ["run", "--game", games, "--label-set", "anand2019", "--quiet", *arguments]
    assert CliRunner().invoke(cli, command).exit_code != 0
    assert asked == [expected]


def test_one_that_needs_no_training_is_evaluated_by_the_same_command(tmp_path: Path) -> None:
    out = tmp_path / "ram.json"
    command = ["run", "--method", "ram", "--game", "pong", "--limit", "60", "--probe", "linear", "--quiet"]
    done = CliRunner().invoke(cli, [*command, "--result", str(out)], catch_exceptions=False)
    assert done.exit_code == 0, done.stderr
    assert read(out).signed.encoder.name == "ram"
    done = CliRunner().invoke(cli, ["train", "--method", "ram", "--game", "pong"])
    assert done.exit_code == 2
    assert "harness evaluate ram" in done.stderr
