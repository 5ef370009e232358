from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from atariari_data.errors import AtariariError
from builders.manifest import load_manifest
from harness.cli import output
from harness.cli.main import cli
from harness.protocol import DATASET, game_rules, protocol_digest
from harness.results.canonical import ResultError, whole_as_integers
from harness.results.consistency import check
from harness.results.result import Result, Signed
from harness.results.result_file import loads, write
from harness.results.sign import sign_result
from harness.results.verify import check_signatures, verify
from harness.signing import allowed_signers, keys
from harness.signing.sshsig import SignatureError
from harness.trivial import store
from harness.trivial.encoders import ENCODERS
from tests.made_results import fields, make, put


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A signed result, its key and the list of allowed signers."""
    folder = tmp_path_factory.mktemp("signed")
    public = keys.keygen(folder / "key")
    keys.keygen(folder / "board")
    write(
        sign_result(Result(signatures=[], signed=make(games=("pong",))), folder / "key"),
        folder / "result.json",
    )
    line = f'alice@example.org namespaces="atariari-result-v1" {public.line}\n'
    (folder / "allowed_signers").write_text(line, encoding="ascii")
    return folder


def test_a_signed_result_holds(folder: Path) -> None:
    report = verify(folder / "result.json", folder / "allowed_signers")
    assert report.signed_by_submitter
    assert [s.principal for s in report.signed_by] == ["alice@example.org"]
    report = verify(folder / "result.json")
    assert not report.signed_by_submitter
    assert [s.principal for s in report.signed_by] == [None]


def test_any_changed_byte_fails(folder: Path) -> None:
    data = (folder / "result.json").read_bytes()
    known = allowed_signers.read(folder / "allowed_signers")

    def holds(changed: bytes) -> bool:
        try:
            result = loads(changed)
            check_signatures(result, known)
        except AtariariError:
            return False
        return True

    assert holds(data)
    positions = [*range(600), *range(600, len(data), 67)]  # signature and head whole, a sample of the rows
    for at in positions:
        other = bytes([data[at] ^ (1, 2, 16)[at % 3]])
        assert not holds(data[:at] + other + data[at + 1 :]), data[at - 20 : at + 20]
    for at in positions[::7]:
        assert not holds(data[:at] + data[at + 1 :])
        assert not holds(data[:at] + b" " + data[at:])


def test_several_signatures(folder: Path, tmp_path: Path) -> None:
    result = sign_result(loads((folder / "result.json").read_bytes()), folder / "board")
    path = write(result, tmp_path / "result.json")
    assert len(verify(path).signed_by) == 2
    with pytest.raises(SignatureError, match="not in the list of allowed signers"):
        verify(path, folder / "allowed_signers")
    board = (folder / "board.pub").read_text(encoding="ascii")
    both = (folder / "allowed_signers").read_text(encoding="ascii") + f"board {board}"
    (tmp_path / "both").write_text(both, encoding="ascii")
    assert [s.principal for s in verify(path, tmp_path / "both").signed_by] == ["alice@example.org", "board"]
    with pytest.raises(SignatureError, match="already signed the result"):
        sign_result(result, folder / "key")
    twice = Result(signatures=[result.signatures[0]] * 2, signed=result.signed)
    with pytest.raises(SignatureError, match="same key signed twice"):
        verify(write(twice, tmp_path / "twice.json"))
    swapped = result.signatures[0].model_copy(update={"keyid": result.signatures[1].keyid})
    with pytest.raises(SignatureError, match="another key than it says"):
        verify(write(Result(signatures=[swapped], signed=result.signed), tmp_path / "swapped.json"))


def test_somebody_elses_signature_does_not_do(folder: Path, tmp_path: Path) -> None:
    board = (folder / "board.pub").read_text(encoding="ascii")
    (tmp_path / "allowed").write_text(f"board {board}", encoding="ascii")
    result = sign_result(Result(signatures=[], signed=make(games=("pong",))), folder / "board")
    path = write(result, tmp_path / "result.json")
    with pytest.raises(SignatureError, match="submitter did not sign"):
        verify(path, tmp_path / "allowed")


def test_a_signature_for_another_result_does_not_do(folder: Path, tmp_path: Path) -> None:
    other = Result(
        signatures=loads((folder / "result.json").read_bytes()).signatures, signed=make(1, games=("pong",))
    )
    with pytest.raises(SignatureError, match="is invalid"):
        verify(write(other, tmp_path / "result.json"))


def forged(**changes: Any) -> Signed:
    """Return what ``build`` would never make: a value changed after the means were computed."""
    plain = json.loads(json.dumps(make().plain))
    for path, value in changes.items():
        put(plain, path, value)
    return Signed.model_validate(whole_as_integers(plain))


FIRST = "games__pong__scores__0__variables__0__"
HEAD = "games__pong__variables__f1__"


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"games__pong__scores__0__means__score": 0.9999}, r"pong: means\.score(.|\n)*got: 0\.9999"),
        (
            {"games__pong__scores__0__means__categories__0__constant": 0.5},
            r"means\.categories\[0\]\.constant",
        ),
        ({"games__pong__scores__0__means__categories__0__count": 5}, r"categories\[0\]\.count"),
        ({"games__pong__scores__0__means__categories": []}, r"means\.categories"),
        ({"games__pong__scores__0__means__reason": "so"}, r"means\.reason"),
        ({"suite__0__means__score": 0.9}, r"suite\[0\]\.means\.score"),
        ({"suite": []}, "suite"),
        (
            {FIRST + "score": 0.9999, FIRST + "interval": [0, 1]},
            "no predictions with this accuracy have this f1",
        ),
        ({"dataset__splits__pong__test__rows": 9872}, "n is not the number(.|\n)*expected: 9872"),
        ({"dataset__splits__pong__test__rows": 9870}, "n is not the number of test rows"),
        ({FIRST + "n": 9870}, "n is not the number of test rows"),
        ({FIRST + "accuracy": 0.12345678}, "accuracy is not a fraction"),
        ({FIRST + "constant": 0.9}, "constant does not follow"),
        ({FIRST + "score": None, FIRST + "interval": None}, "score is null"),
        ({FIRST + "accuracy": 0}, "no predictions with this accuracy"),
        ({FIRST + "pixels_pca": 1}, r"contradicts itself at pong: means\.trivial"),
        ({"games__pong__scores__0__means__normalised": 1.5}, r"means\.normalised"),
        ({FIRST + "interval": [0.6, 0.5]}, "does not contain the score"),
        ({HEAD + "categories__0": ["misc", "misc"]}, "duplicate category"),
        ({HEAD + "kind__0": "nominal"}, "wrong error"),
        ({HEAD + "period": [4, *[None] * 5]}, "only what is circular has a period"),
        ({"games__pong__scores__0__probe": "other"}, "pong: probes"),
        ({"games__pong__scores__1__train_rows": "full"}, "pong: probes"),
        ({"probes__1__train_rows": "full"}, "Duplicate probe"),
        ({"dataset__suite_games": ["pong", "breakout"]}, "suite"),
        ({"dataset__fresh_seed": 3}, "fresh test split"),
        ({"dataset__splits": {"pong": {}}}, "splits"),
        ({"ranked": False}, "ranked"),
        ({"unranked_reason": "limit"}, "ranked"),
        ({"finished": "2025-01-01T00:00:00Z"}, "ended before"),
        ({"started": "2026-02-30T00:00:00Z"}, "calendar"),
        ({"elapsed_seconds": -1.5}, "ended before"),
    ],
)
def test_numbers_must_follow_from_one_another(changes: dict[str, Any], match: str) -> None:
    with pytest.raises(ResultError, match=match):
        check(forged(**changes))


def test_what_build_makes_follows() -> None:
    check(make())
    check(forged())
    limited = fields(1, n=200)
    limited |= {"ranked": False, "unranked_reason": "dry run: 100 rows of each split", "dry_run_rows": 100}
    for game in limited["games"].values():
        for scores in game["scores"]:
            for row in scores["variables"]:
                row |= {
                    "n": 100,
                    "accuracy": 0.25,
                    "score": 0.2,
                    "interval": [0.1, 0.3],
                    "error": 1.5,
                }
                row |= {"constant_accuracy": 0.2, "constant": 2 * 0.04 / 1.2}
                row |= {"ceiling": None, "ceiling_accuracy": None}
    check(Signed.build(**limited))


def test_a_game_may_not_hide_a_variable_from_one_probe() -> None:
    values = fields()
    del values["games"]["pong"]["scores"][1]["variables"][0]
    with pytest.raises(ResultError, match="variables of every probe"):
        check(Signed.build(**values))


def test_the_command(folder: Path, tmp_path: Path) -> None:
    run = CliRunner().invoke
    good, allowed = str(folder / "result.json"), str(folder / "allowed_signers")
    done = run(cli, ["verify", good, "--allowed-signers", allowed])
    assert (done.exit_code, done.stderr) == (0, "")
    assert "signed by  SHA256:" in done.stdout
    assert "alice@example.org" in done.stdout
    done = run(cli, ["verify", good])
    assert done.exit_code == 0
    assert "The key's owner is not verified" in done.stderr
    done = run(cli, ["verify", good, "--allowed-signers", allowed, "--json"])
    assert json.loads(done.stdout)["signed_by_submitter"] is True
    done = run(cli, ["verify", good, "--allowed-signers", str(tmp_path / "none")])
    assert done.exit_code == 2
    assert "No such file" in done.stderr
    bad = tmp_path / "bad.json"
    bad.write_bytes((folder / "result.json").read_bytes().replace(b"Zo", b"Jo"))
    done = run(cli, ["verify", str(bad)])
    assert done.exit_code == 1
    assert "is invalid" in done.stderr
    done = run(cli, ["verify", str(bad), "--json"])
    assert done.exit_code == 1
    assert json.loads(done.stdout)["error"] == "SignatureError"


def test_signing_by_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(output, "has_terminal", lambda: True)
    run = CliRunner().invoke
    path = write(Result(signatures=[], signed=make(games=("pong",))), tmp_path / "result.json")
    done = run(cli, ["verify", str(path)])
    assert done.exit_code == 1
    assert "not signed" in done.stderr
    done = run(cli, ["keygen", str(tmp_path / "key")])
    assert done.exit_code == 0
    assert done.stderr.startswith(f"{tmp_path / 'key'}: created, SHA256:")
    assert done.stdout.startswith('you@example.org namespaces="atariari-result-v1" ssh-ed25519 AAAA')
    assert run(cli, ["keygen", str(tmp_path / "key")]).exit_code == 2
    locked = run(cli, ["keygen", str(tmp_path / "locked"), "--passphrase"], input="open\nopen\n")
    assert locked.exit_code == 0
    done = run(cli, ["sign", str(path), "--key", str(tmp_path / "key"), "--out", str(path)])
    assert (done.exit_code, "already exists" in done.stderr) == (2, True)
    done = run(cli, ["sign", str(path), "--key", str(tmp_path / "key"), "--json"])
    assert json.loads(done.stdout)["signatures"] == 1
    done = run(cli, ["sign", str(path), "--key", str(tmp_path / "locked")], input="open\n")
    assert done.exit_code == 0
    assert len(verify(path).signed_by) == 2


def test_verification_is_light(folder: Path) -> None:
    code = (
        "import sys; from harness.results.verify import verify; "
        f"verify({str(folder / 'result.json')!r}, {str(folder / 'allowed_signers')!r}); "
        "print(sorted({'torch', 'ale_py', 'datasets', 'sklearn', 'pyarrow'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def on_the_installed_dataset() -> dict[str, Any]:
    """Return fields of a result on the recordings that the tests have made."""
    manifest = load_manifest("pong")
    splits = manifest.configs["pong"].splits
    values = fields(1, games=("pong",), suite=("breakout", "pong"), n=splits["test"].rows)
    values["dataset"]["version"] = DATASET
    values["dataset"]["rules"] = {"pong": game_rules("pong", "anand2019")}
    values["dataset"]["splits"]["pong"] = {
        name: {"rows": split.rows, "digest": f"blake3:{split.digest}"} for name, split in splits.items()
    }
    probed = manifest.probed("anand2019")
    for scores in values["games"]["pong"]["scores"]:
        scores["variables"] = [v for v in scores["variables"] if v["name"] in probed]
        for row in scores["variables"]:
            known = manifest.label_sets["anand2019"][row["name"]]
            row |= {"ceiling": known.ceiling_f1, "ceiling_accuracy": known.ceiling_accuracy}
            row |= {"pixels_pca": None, "random_projection": None}
        scores["trivial_reason"] = "not made for pong: harness trivial makes them"
    return values


def test_the_installed_manifests_are_compared(folder: Path, tmp_path: Path) -> None:
    def report(values: dict[str, Any], name: str) -> bool:
        result = sign_result(Result(signatures=[], signed=Signed.build(**values)), folder / "key")
        return verify(write(result, tmp_path / name), folder / "allowed_signers").dataset_known

    assert report(on_the_installed_dataset(), "good.json")
    assert not report(fields(1), "older.json")
    values = on_the_installed_dataset()
    values["dataset"]["version"] = "1.0.0"
    assert report(values, "fewer games.json"), "another version, with the same rows and labels of this game"
    values = on_the_installed_dataset()
    values["dataset"]["rules"] = {"pong": game_rules("breakout", "anand2019")}
    with pytest.raises(ResultError, match="other rows or labels of pong"):
        report(values, "rules.json")
    values = on_the_installed_dataset()
    values["dataset"]["suite_games"] = ["pong"]
    with pytest.raises(ResultError, match="games of the suite all"):
        report(values, "suite.json")
    values = on_the_installed_dataset()
    values["dataset"]["splits"]["pong"]["train"]["digest"] = "blake3:" + "0" * 64
    with pytest.raises(ResultError, match="pong: digest of train"):
        report(values, "digest.json")
    values = on_the_installed_dataset()
    values["dataset"]["splits"]["pong"]["train"]["rows"] += 1
    with pytest.raises(ResultError, match="pong: rows of train"):
        report(values, "rows.json")
    values = on_the_installed_dataset()
    for scores in values["games"]["pong"]["scores"]:
        scores["variables"][0]["categories"] = ["misc"]
    with pytest.raises(ResultError, match=r"pong: variables\[0\]"):
        report(values, "categories.json")
    values = on_the_installed_dataset()
    for scores in values["games"]["pong"]["scores"]:
        del scores["variables"][0]
    with pytest.raises(ResultError, match="pong: variables"):
        report(values, "fewer.json")
    for key in ("ceiling", "ceiling_accuracy"):
        values = on_the_installed_dataset()
        for scores in values["games"]["pong"]["scores"]:
            scores["variables"][0][key] = 1
        with pytest.raises(ResultError, match=f"pong: {key} of"):
            report(values, f"{key}.json")


def test_a_ranked_result_has_the_protocol_s_probes(folder: Path, tmp_path: Path) -> None:
    """On rows of any dataset."""
    values = fields(1, games=("pong",), suite=("breakout", "pong"))
    values["protocol"]["digest"] = protocol_digest("anand2019")
    result = sign_result(Result(signatures=[], signed=Signed.build(**values)), folder / "key")
    with pytest.raises(ResultError, match=r"cannot be ranked(.|\n)*without readout, few and readout, play"):
        verify(write(result, tmp_path / "result.json"))


def test_known_trivial_scores_are_not_left_out(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    values = on_the_installed_dataset()
    names = load_manifest("pong").probed("anand2019")
    known = store.Beside({encoder: dict.fromkeys(names, 0.5) for encoder in ENCODERS}, {}, None)
    monkeypatch.setattr(store, "look_up", lambda *_: known)

    def written(name: str) -> Path:
        result = sign_result(Result(signatures=[], signed=Signed.build(**values)), folder / "key")
        return write(result, tmp_path / name)

    before = written("before.json")
    assert verify(before).without_trivial == ("pong",)
    assert "are missing for pong" in CliRunner().invoke(cli, ["verify", str(before)]).stderr
    for reason in ("not made for this encoder", "not made for breakout: harness trivial makes them"):
        values["games"]["pong"]["scores"][0]["trivial_reason"] = reason
        with pytest.raises(ResultError, match="scores of the trivial encoders are missing"):
            verify(written(f"{len(reason)}.json"))
