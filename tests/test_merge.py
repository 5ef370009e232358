"""Partial results of one encoder become one; what does not belong together is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

import harness
from harness.cli.main import cli
from harness.results.canonical import ResultError
from harness.results.consistency import check
from harness.results.merge import merge
from harness.results.result import Result, Signed
from harness.results.result_file import read, write
from harness.results.sign import sign_result
from harness.results.verify import verify
from harness.signing.keys import keygen
from harness.signing.sshsig import SignatureError
from tests import made_results

GAMES = ("breakout", "pong")


def _part(path: Path, games: tuple[str, ...], **other: Any) -> Path:
    """Write the part of a made result that has some games, with some values changed."""
    fields = made_results.fields(games=GAMES, probes=made_results.PROBES[:1])
    for of in (fields["dataset"]["rules"], fields["dataset"]["splits"], fields["games"]):
        for game in set(GAMES) - set(games):
            del of[game]
    for name, value in other.items():
        made_results.put(fields, name, value)
    return write(Result(signatures=[], signed=Signed.build(**fields)), path, overwrite=True)


@pytest.fixture
def parts(tmp_path: Path) -> list[Path]:
    return [_part(tmp_path / f"{game}.json", (game,)) for game in GAMES]


def test_the_whole_has_the_numbers_of_its_parts(parts: list[Path], tmp_path: Path) -> None:
    whole = read(_part(tmp_path / "whole.json", GAMES)).signed
    merged = merge(parts).signed
    assert merged.scores_digest == whole.scores_digest
    assert merged.plain["games"] == whole.plain["games"]
    assert merged.run_id not in {read(part).signed.run_id for part in parts}
    assert merged.environment.machines is None
    assert merge([*parts, parts[0]]).signed.scores_digest == whole.scores_digest, "the same twice is no harm"


@pytest.mark.parametrize(
    ("what", "change"),
    [
        ("encoder", {"encoder__weights": made_results.digest("other")}),
        ("protocol", {"protocol__digest": made_results.digest("other")}),
        ("label set", {"dataset__label_set": "v1"}),
        ("version of the dataset", {"dataset__version": "0.0.2"}),
        ("harness", {"harness__version": "0.2.0"}),
        ("submitter", {"submitter__principal": "bob@example.org"}),
        ("seeds", {"seeds__bootstrap": 1}),
    ],
)
def test_what_belongs_to_another_result_is_refused(
    what: str, change: dict[str, Any], parts: list[Path], tmp_path: Path
) -> None:
    other = _part(tmp_path / "other.json", ("pong",), **change)
    with pytest.raises(ResultError, match=f"does not belong to .*: it has another {what}"):
        merge([parts[0], other])


def test_an_encoder_of_its_own_for_each_game_is_merged(parts: list[Path], tmp_path: Path) -> None:
    own = {"encoder__per_game": True}
    of_games = [
        _part(
            tmp_path / f"own_{game}.json", (game,), **own, encoder__weights={game: made_results.digest(game)}
        )
        for game in GAMES
    ]
    merged = merge(of_games).signed
    assert merged.encoder.weights == {game: made_results.digest(game) for game in GAMES}
    assert merged.encoder.weights_for("pong") == made_results.digest("pong")
    other = _part(
        tmp_path / "other.json", ("pong",), **own, encoder__weights={"pong": made_results.digest("other")}
    )
    with pytest.raises(ResultError, match="other weights or numbers for pong"):
        merge([*of_games, other])
    with pytest.raises(ResultError, match="it has another encoder"):
        merge([of_games[0], parts[1]])


def test_versions_and_steps_may_differ_between_games(tmp_path: Path) -> None:
    def part(game: str, version: str, method: str, steps: int) -> Path:
        return _part(
            tmp_path / f"{game}-{method}.json",
            (game,),
            encoder__per_game=True,
            encoder__weights={game: made_results.digest(game)},
            encoder__training=made_results.training(method, {game: steps}, version=version),
        )

    first = part("pong", "1.2.0", "vae", 900)
    training = merge([first, part("breakout", "1.0.0", "vae", 700)]).signed.encoder.training
    assert training is not None
    assert training.described == "vae, 700 to 900 steps of 64"
    assert training.steps == {"breakout": 700, "pong": 900}
    assert training.data == {"breakout": "1.0.0", "pong": "1.2.0"}
    with pytest.raises(ResultError, match="it has another encoder"):
        merge([first, part("breakout", "1.0.0", "dim", 700)])


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"encoder__weights": {"pong": made_results.digest(1)}}, "games of the encoder's weights"),
        ({"encoder__per_game": False}, "weights for each game"),
        ({"encoder__training": made_results.training("vae", {"pong": 9})}, "games of the encoder's training"),
    ],
)
def test_weights_of_other_games_are_refused(change: dict[str, Any], complaint: str, tmp_path: Path) -> None:
    fields = {"encoder__per_game": True, "encoder__weights": {g: made_results.digest(g) for g in GAMES}}
    check(read(_part(tmp_path / "fine.json", GAMES, **fields)).signed)
    with pytest.raises(ResultError, match=complaint):
        check(read(_part(tmp_path / "wrong.json", GAMES, **fields | change)).signed)


def test_a_game_with_other_numbers_is_refused(parts: list[Path], tmp_path: Path) -> None:
    changed = made_results.fields(seed=0, games=("pong",), probes=made_results.PROBES[:1], skill=0.2)
    changed["encoder"] = read(parts[0]).signed.plain["encoder"]
    other = write(Result(signatures=[], signed=Signed.build(**changed)), tmp_path / "other.json")
    with pytest.raises(ResultError, match="other weights or numbers for pong"):
        merge([*parts, other])
    with pytest.raises(ResultError, match="nothing to merge"):
        merge(parts[:1])


def test_every_game_of_parts_from_a_cluster_has_its_machine(tmp_path: Path) -> None:
    def part(game: str, machines: dict[str, str]) -> Path:
        environment = {**made_results.fields()["environment"], "machines": machines}
        return _part(tmp_path / f"{game}.json", (game,), environment=environment)

    parts = [part(game, {game: "node7, 8 cores"}) for game in GAMES]
    assert merge(parts).signed.environment.machines == dict.fromkeys(GAMES, "node7, 8 cores")


def test_a_part_that_was_changed_after_it_was_signed_is_refused(parts: list[Path], tmp_path: Path) -> None:
    key = tmp_path / "key"
    keygen(key)
    signed = sign_result(read(parts[0]), key)
    merge([write(signed, tmp_path / "signed.json"), parts[1]])
    other = read(_part(tmp_path / "other.json", (GAMES[0],), run_id="0" * 32)).signed
    forged = write(Result(signatures=signed.signatures, signed=other), tmp_path / "forged.json")
    with pytest.raises(SignatureError, match=r"does not match|invalid|wrong"):
        merge([forged, parts[1]])


def coarse(frames: Any) -> Any:
    return frames[:, 0, ::30, ::30].reshape(len(frames), -1)


def test_results_of_a_job_array_become_the_result_of_one_call(tmp_path: Path) -> None:
    options: dict[str, Any] = {"probes": ["linear"], "train_sizes": ["all"], "limit": 60, "progress": False}
    parts = [write(harness.evaluate(coarse, [game], **options), tmp_path / f"{game}.json") for game in GAMES]
    keygen(tmp_path / "key")
    arguments = [
        "merge",
        *map(str, parts),
        "--out",
        str(tmp_path / "all.json"),
        "--key",
        str(tmp_path / "key"),
    ]
    done = CliRunner().invoke(cli, [*arguments, "--json"])
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["games"] == list(GAMES)
    whole, merged = harness.evaluate(coarse, list(GAMES), **options), read(tmp_path / "all.json")
    assert merged.signed.scores_digest == whole.signed.scores_digest
    apart = {"run_id", "started", "finished", "elapsed_seconds"}
    one, other = ({k: v for k, v in r.signed.plain.items() if k not in apart} for r in (whole, merged))
    assert one == other
    assert verify(tmp_path / "all.json").dataset_known
    harness.compare(tmp_path / "all.json", parts[0])
