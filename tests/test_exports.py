"""Each format of `harness export`, read by the other tool's own reader; its numbers are the result's."""

from __future__ import annotations

import base64
import copy
import io
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import jsonschema
import pandas as pd
import pytest
import yaml
from click.testing import CliRunner
from cryptography.hazmat.primitives.serialization import load_ssh_public_key
from google.protobuf import json_format
from huggingface_hub import parse_eval_result_entries
from in_toto_attestation.predicates.test_result.v0.test_result_pb2 import TestResult as Predicate
from in_toto_attestation.v1.statement import Statement
from in_toto_attestation.v1.statement_pb2 import Statement as StatementMessage
from securesystemslib.dsse import Envelope
from securesystemslib.exceptions import VerificationError
from securesystemslib.signer import SSlibKey  # type: ignore[attr-defined]

from atariari_data.errors import UsageError
from harness.cli.main import cli
from harness.exports import FORMATS
from harness.exports.export import Options, export
from harness.results.canonical import ResultError
from harness.results.frame import to_frame
from harness.results.result import Result, Signed
from harness.results.result_file import read, write
from harness.results.sign import sign_result
from harness.signing import keys
from harness.signing.sshsig import SignatureError
from tests.made_results import fields, make

ROOT = Path(__file__).parents[1]
PUBLISHED = ROOT / "docs" / "results" / "random-projection.json"
# Of the package every-eval-ever 0.3.0, which needs Python 3.12; its licence (MIT) lies beside it.
SCHEMA = ROOT / "tests" / "data" / "every_eval_ever" / "eval.schema.json"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A key; a published result, as of rows that are not those of the tests; and one that is not ranked."""
    folder = tmp_path_factory.mktemp("exports")
    keys.keygen(folder / "key")
    plain = copy.deepcopy(read(PUBLISHED).signed.plain)
    plain["dataset"]["version"] = "0.0.1"
    signed = Result(signatures=[], signed=Signed.model_validate(plain))
    write(sign_result(signed, folder / "key"), folder / "real.json")
    made = fields(games=("pong",))
    made |= {"ranked": False, "unranked_reason": "another harness <b>[x](y)</b>"}
    made["encoder"] = {**made["encoder"], "name": "org/Net (big)", "weights": None}
    signed = Result(signatures=[], signed=Signed.build(**made))
    write(sign_result(signed, folder / "key"), folder / "unranked.json")
    return folder


@pytest.fixture(scope="module")
def real(folder: Path) -> Path:
    return folder / "real.json"


def means(path: Path) -> dict[str, float]:
    """Return the means of games by ``game: run``."""
    return {
        f"{game}: {scores.run}": scores.means.score
        for game, found in read(path).signed.games.items()
        for scores in found.scores
        if scores.means.score is not None
    }


def all_means(path: Path) -> dict[str, float]:
    """Return the means of the suite, where it is whole, and of games."""
    signed = read(path).signed
    suite = {f"{signed.dataset.suite}: {of.run}": of.means.score for of in signed.suite}
    return {name: score for name, score in suite.items() if score is not None} | means(path)


def test_csv(real: Path) -> None:
    found = pd.read_csv(io.StringIO(export(real, "csv")))
    expected = to_frame(real)
    assert list(found) == list(expected)
    assert found[["game", "variable"]].equals(expected[["game", "variable"]])
    assert found["score"].tolist() == pytest.approx(expected["score"].tolist(), nan_ok=True)


@pytest.mark.parametrize("name", ["real", "unranked"])
def test_every_eval_ever(folder: Path, name: str) -> None:
    path = folder / f"{name}.json"
    schema = json.loads(SCHEMA.read_text(encoding="utf-8"))
    record = json.loads(export(path, "every-eval-ever", Options(url="https://example.org/result.json")))
    jsonschema.Draft7Validator(schema).validate(record)
    assert record["schema_version"] == schema["version"]
    assert re.fullmatch(r"[^/]+/[^/]+", record["model_info"]["id"])
    found = {e["evaluation_result_id"]: e["score_details"] for e in record["evaluation_results"]}
    assert len(found) == len(record["evaluation_results"])
    signed = read(path).signed
    expected = {
        f"{signed.run_id}/{signed.dataset.suite}/{of.run.key}/mean": of.means.score for of in signed.suite
    }
    for game, of_game in signed.games.items():
        for scores in of_game.scores:
            start = f"{signed.run_id}/{game}/{scores.run.key}"
            expected[f"{start}/mean"] = scores.means.score
            expected |= {f"{start}/{v.name}": v.score for v in scores.variables}
    kept = {key: score for key, score in expected.items() if score is not None}
    assert {key: details["score"] for key, details in found.items()} == kept
    left_out = len(expected) - len(kept)
    assert record["source_metadata"]["additional_details"]["entries_without_score"] == str(left_out)


def test_the_schema_of_every_eval_ever_refuses_what_it_should(real: Path) -> None:
    record = json.loads(export(real, "every-eval-ever"))
    del record["evaluation_results"][0]["score_details"]["score"]
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.Draft7Validator(json.loads(SCHEMA.read_text(encoding="utf-8"))).validate(record)


def test_eval_results_of_hugging_face(folder: Path, real: Path) -> None:
    options = Options(url="https://example.org/result.json", dataset="me/atari")
    entries = parse_eval_result_entries(yaml.safe_load(export(real, "hf-eval-results", options)))
    task = {re.sub(r"\W+", "_", name): score for name, score in all_means(real).items()}
    assert {entry.task_id: entry.value for entry in entries} == task
    assert {entry.dataset_id for entry in entries} == {"me/atari"}
    assert all(read(real).signed.digest in str(entry.notes) for entry in entries)
    with pytest.raises(UsageError, match="not ranked"):
        export(folder / "unranked.json", "hf-eval-results")


def test_a_section_of_a_model_card(folder: Path, real: Path) -> None:
    text = export(real, "model-card")
    assert text.count("\n| ") == 2 + len(all_means(real))
    assert f"| Pong | readout, play | {means(real)['pong: readout, play']:.3f} |" in text
    text = export(folder / "unranked.json", "model-card")
    assert r"**Not ranked:** another harness \<b\>\[x\]\(y\)\</b\>." in text


def test_in_toto(folder: Path, real: Path) -> None:
    key = str(folder / "key")
    line = (folder / "key.pub").read_bytes()
    public = SSlibKey.from_crypto(load_ssh_public_key(line), keyid=keys.public_key(key).fingerprint)
    text = export(real, "in-toto", Options(key=key, url="https://example.org/result.json"))
    envelope = Envelope.from_dict(json.loads(text))
    assert envelope.payload_type == "application/vnd.in-toto+json"
    assert envelope.verify([public], 1)
    message = json_format.Parse(envelope.payload, StatementMessage())
    Statement.copy_from_pb(message).validate()
    assert message.predicate_type == "https://in-toto.io/attestation/test-result/v0.1"
    content = json.loads(envelope.payload)["predicate"]
    predicate = json_format.ParseDict(content, Predicate(), ignore_unknown_fields=True)
    assert predicate.result == "PASSED"
    assert list(predicate.passed_tests) == list(means(real))
    assert predicate.configuration[0].digest["sha256"] == read(real).signed.digest
    assert {row["test"]: row["score"] for row in content["atariariScores"]} == means(real)
    changed = {**json.loads(text), "payload": base64.b64encode(envelope.payload + b" ").decode()}
    with pytest.raises(VerificationError):
        Envelope.from_dict(changed).verify([public], 1)


def test_in_toto_of_an_unranked_result_warns(folder: Path) -> None:
    text = export(folder / "unranked.json", "in-toto", Options(key=str(folder / "key")))
    content = json.loads(base64.b64decode(json.loads(text)["payload"]))
    assert content["predicate"]["result"] == "WARNED"
    assert content["predicate"]["passedTests"] == []
    assert [subject["name"] for subject in content["subject"]] == ["org/Net (big)"]


def test_in_toto_names_the_weights_of_each_game(folder: Path) -> None:
    made = fields(games=("breakout", "pong"))
    weights = {"breakout": "sha256:" + "a" * 64, "pong": "sha256:" + "b" * 64}
    made["encoder"] = {**made["encoder"], "weights": weights, "per_game": True}
    signed = Result(signatures=[], signed=Signed.build(**made))
    path = write(sign_result(signed, folder / "key"), folder / "own.json")
    envelope = json.loads(export(path, "in-toto", Options(key=str(folder / "key"))))
    subjects = json.loads(base64.b64decode(envelope["payload"]))["subject"]
    found = {s["name"]: s["digest"]["atariari_weights"] for s in subjects[1:]}
    name = made["encoder"]["name"]
    assert found == {f"{name}, weights for breakout": "a" * 64, f"{name}, weights for pong": "b" * 64}


def test_an_rsa_key_signs_and_a_key_with_a_passphrase_asks_for_it(folder: Path, real: Path) -> None:
    keys.keygen(folder / "locked", passphrase="open")  # noqa: S106  not a secret
    with pytest.raises(SignatureError, match="has a passphrase"):
        export(real, "in-toto", Options(key=str(folder / "locked")))
    assert export(real, "in-toto", Options(key=str(folder / "locked"), ask=lambda _: "open"))
    if shutil.which("ssh-keygen"):
        key = folder / "rsa"
        subprocess.run(["ssh-keygen", "-q", "-t", "rsa", "-b", "3072", "-N", "", "-f", str(key)], check=True)
        envelope = Envelope.from_dict(json.loads(export(real, "in-toto", Options(key=str(key)))))
        loaded = load_ssh_public_key((folder / "rsa.pub").read_bytes())
        public = SSlibKey.from_crypto(loaded, keys.public_key(key).fingerprint, "rsa-pkcs1v15-sha512")
        assert envelope.verify([public], 1)


def test_a_key_that_is_in_no_file_cannot_sign_an_attestation(folder: Path, real: Path) -> None:
    for key in (str(folder / "key.pub"), (folder / "key.pub").read_text(encoding="ascii")):
        with pytest.raises(SignatureError, match="An agent or a security key cannot sign this"):
            export(real, "in-toto", Options(key=key))


@pytest.mark.parametrize("form", list(FORMATS))
def test_nothing_is_exported_that_does_not_hold(folder: Path, real: Path, tmp_path: Path, form: str) -> None:
    options = Options(key=str(folder / "key"))
    path = write(Result(signatures=[], signed=make(games=("pong",))), tmp_path / "unsigned.json")
    with pytest.raises(SignatureError, match="not signed"):
        export(path, form, options)
    data = real.read_bytes()
    changed = tmp_path / "changed.json"
    run = read(real).signed.run_id
    changed.write_bytes(data.replace(run.encode(), run[::-1].encode()))
    with pytest.raises(SignatureError, match="content was changed"):
        export(changed, form, options)
    changed.write_bytes(data[:-100])
    with pytest.raises(ResultError):
        export(changed, form, options)
    (tmp_path / "others").write_text("me@example.org " + keys.public_key(folder / "key").line, "ascii")
    with pytest.raises(SignatureError, match="did not sign"):
        export(real, form, options, signers=tmp_path / "others")


def test_the_command(real: Path, tmp_path: Path) -> None:
    def run(*arguments: str) -> Any:
        return CliRunner().invoke(cli, ["export", str(real), *arguments])

    done = run("--format", "csv")
    assert (done.exit_code, done.stdout) == (0, export(real, "csv"))
    out = tmp_path / "scores.csv"
    done = run("--format", "csv", "--out", str(out))
    assert (done.exit_code, done.stdout) == (0, f"{out}\n")
    assert out.read_text(encoding="utf-8") == export(real, "csv")
    done = run("--format", "model-card", "--out", str(out))
    assert done.exit_code == 2
    assert "already exists" in done.stderr
    done = run("--format", "model-card", "--out", str(out), "--replace", "--json")
    assert json.loads(done.stdout) == {"format": "model-card", "path": str(out)}
    assert out.read_text(encoding="utf-8") == export(real, "model-card")
    assert json.loads(run("--format", "csv", "--json").stdout)["content"] == export(real, "csv")
    assert run("--format", "xml").exit_code == 2
