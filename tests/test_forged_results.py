"""A corpus of forged and broken results: each is refused, and for the right reason.

Those of the first part are signed by their author's own key, so that only the content can give them away.
"""

from __future__ import annotations

import copy
import json
import struct
import subprocess
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import harness
from atariari_data.errors import AtariariError
from harness.leaderboard.board import (
    BASELINES,
    AcceptedProtocol,
    Board,
    KeyList,
    parse_signers,
    read_board,
)
from harness.leaderboard.create import protocols_here
from harness.leaderboard.entry import check_entry
from harness.leaderboard.made_on import check_made_on
from harness.leaderboard.repository import BoardError
from harness.leaderboard.together import check_together
from harness.results.canonical import ResultError, canonical, file_form
from harness.results.consistency import check
from harness.results.means import fill
from harness.results.result import NAMESPACE, Signed
from harness.results.result_file import loads
from harness.results.variables import VariableScores
from harness.signing import keys
from harness.signing.sshsig import PublicKey
from tests.boards import BOARD, TestBoard
from tests.made_results import digest, fields, put

ALICE, BOB = "alice@example.org", "bob@example.org"
NOW = datetime(2026, 6, 1, tzinfo=UTC)
Plain = dict[str, Any]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, git_identity: None) -> TestBoard:
    del git_identity
    return TestBoard.new(tmp_path_factory.mktemp("forged"))


@pytest.fixture(scope="module")
def board(made: TestBoard) -> Board:
    return read_board(made.folder)


def built(**changes: Any) -> Plain:
    """Return the signed part of a result whose means and other aggregates follow from what was changed."""
    values = fields(3, games=("breakout", "pong"), suite=("breakout", "pong"))
    change(values, changes)
    return plain_of(Signed.build(**values))


def plain_of(signed: Signed) -> Plain:
    copy: Plain = json.loads(json.dumps(signed.plain))
    return copy


def change(values: Any, changes: dict[str, Any]) -> None:
    for path, value in changes.items():
        put(values, path, value)


def signed_by(key: Path, plain: Any) -> bytes:
    """Sign anything and write it as a result is written."""
    payload = canonical(plain)
    public, sig = keys.sign(payload, NAMESPACE, key)
    return file_form([{"keyid": public.fingerprint, "sig": sig}], payload)


def judge(board: Board, data: bytes) -> None:
    check_entry(board, None, loads(data), new=NOW)


def refused(board: Board, data: bytes, match: str) -> None:
    with pytest.raises(AtariariError, match=match):
        judge(board, data)


def test_the_corpus_starts_from_a_good_result(made: TestBoard, board: Board) -> None:
    judge(board, signed_by(made.key(ALICE), built()))


ROW = "games__pong__scores__0__variables__0__"
SCORES = "games__pong__scores"


def each_probe(edit: Callable[[Plain], object]) -> Callable[[list[Plain]], list[Plain]]:
    """Return what edits the scores of a game under every probe."""

    def edited(scores: list[Plain]) -> list[Plain]:
        for part in scores:
            edit(part)
        return scores

    return edited


def rows(edit: Callable[[list[Plain]], object]) -> Callable[[list[Plain]], list[Plain]]:
    return each_probe(lambda part: edit(part["variables"]))


# What is wrong though its author computed every mean from it and signed it.
@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({ROW + "interval": [0.0, 0.01]}, "interval does not contain the score"),
        ({ROW + "interval": [0.99, 1]}, "interval does not contain the score"),
        ({ROW + "interval": [0.9, 0.1]}, "interval does not contain the score"),
        ({ROW + "score": 1, ROW + "interval": [0, 1]}, "no predictions with this accuracy have this f1"),
        ({ROW + "score": 0, ROW + "interval": [0, 1]}, "no predictions with this accuracy have this f1"),
        ({ROW + "accuracy": 0.5}, r"accuracy is not a fraction of n rows|no predictions"),
        (
            {ROW + "constant_accuracy": 0.3333, ROW + "constant": 0.1},
            "not a fraction|constant does not follow",
        ),
        ({ROW + "constant": lambda f1: f1 + 0.001}, "constant does not follow"),
        (
            {ROW + "accuracy": 1, ROW + "score": 1, ROW + "interval": [1, 1], ROW + "error": 0},
            "accuracy exceeds that of any function of a single frame",
        ),
        ({ROW + "error": 0}, "error contradicts accuracy"),
        ({ROW + "error": 255}, "error contradicts accuracy"),
        ({ROW + "error": -0.5}, "error contradicts accuracy"),
        ({SCORES: rows(lambda v: v[0].update(ceiling=1))}, "variables and their ceilings"),
        ({SCORES: rows(lambda v: v[0].update(ceiling_accuracy=1))}, "variables and their ceilings"),
        ({SCORES: rows(lambda v: v[0].update(ceiling_accuracy=None))}, "ceiling_accuracy is known"),
        ({ROW + "pixels_pca": 0}, "pixels_pca|random_projection"),
        ({ROW + "random_projection": 0.0001}, "pixels_pca|random_projection"),
        ({ROW + "pixels_pca": None}, "trivial_reason"),
        ({SCORES: each_probe(lambda part: part.update(trivial_reason="lost"))}, "trivial_reason"),
        ({ROW + "n": 9870}, "n is not the number of test rows"),
        ({SCORES: rows(lambda v: [row.update(n=100) for row in v])}, "n is not the number of test rows"),
        ({SCORES: rows(lambda v: [row.update(n=9872) for row in v])}, "n is not the number of test rows"),
        ({SCORES: rows(lambda v: v.pop(0))}, "variables and their ceilings"),
        ({SCORES: rows(lambda v: v.append({**v[0], "name": "level"}))}, "variables and their ceilings"),
        ({SCORES: rows(lambda v: v.append(v[0]))}, "duplicate variable"),
        ({SCORES: rows(lambda v: v.reverse())}, "variables and their ceilings"),
        ({SCORES: rows(lambda v: v[0].update(name="Player_y"))}, "variables and their ceilings"),
        ({SCORES: rows(lambda v: v[0].update(categories=["misc"]))}, "variables and their ceilings"),
        ({SCORES: rows(lambda v: v[0].update(categories=[]))}, "variables and their ceilings"),
        ({SCORES: rows(lambda v: v[0].update(categories=["misc", "misc"]))}, "duplicate category"),
        ({ROW + "score": None, ROW + "interval": None}, "score is null"),
        ({"dataset__suite_games": ["pong"]}, "breakout is not in the suite"),
        ({"dataset__suite_games": ["breakout", "pong", "zaxxon"]}, "games of the suite"),
        ({"dataset__suite_games": ["pong", "breakout"]}, r"dataset\.suite_games"),
        ({"dataset__version": "1.0.1"}, "dataset version"),
        ({"dataset__label_set": "v1"}, "label set"),
        ({"dataset__splits__pong__test__digest": digest("x")}, "pong: digest of test"),
        ({"dataset__splits__pong__validation__digest": digest("x")}, "pong: digest of validation"),
        ({"dataset__splits__pong__train__rows": 34607}, "pong: rows of train"),
        (
            {"dataset__splits__pong": lambda splits: {"test": splits["test"]}},
            "splits train, validation are missing",
        ),
        ({"protocol__digest": digest("another game's")}, "protocol that this leaderboard does not accept"),
        ({"protocol__name": "v2"}, "name of the protocol"),
        ({"probes__0__settings": {"strengths_log10": [-9]}}, "the strength is not on the grid"),
        ({"probes__0__settings": {}}, "strength and gradient must be null"),
        (
            {"probes__0__settings": lambda settings: {**settings, "standardised": False}},
            "settings of linear",
        ),
        ({"seeds": {"bootstrap": 1}}, "fixes: seeds"),
        ({"seeds": {"bootstrap": 0, "luck": 7}}, r"seeds\.luck"),
        (
            {"ranked": False, "unranked_reason": "dry run: 9871 rows of each split", "dry_run_rows": 9871},
            "ceiling is unknown",
        ),
        (
            {"ranked": False, "unranked_reason": "other probes than the protocol's"},
            "not for ranking: other probes",
        ),
        ({"unranked_reason": "dry run: 500 rows of each split"}, "ranked without a reason"),
        ({"ranked": False}, "ranked without a reason"),
        ({"harness__as_released": False}, "modified harness cannot be ranked"),
        ({"isolation__second_pass": False}, "different features in a second pass"),
        ({"dataset__fresh_seed": 7}, "Only maintainers submit results on a fresh split"),
        (
            {"dataset__fresh_seed": 7, "ranked": False, "unranked_reason": "fresh"},
            "Only maintainers submit results on a fresh split",
        ),
        ({"started": "2026-01-31T12:40:00Z"}, "ended before it started"),
        ({"started": "2026-02-29T12:00:00Z", "finished": "2026-03-01T12:00:00Z"}, "Not a calendar date"),
        ({"finished": "2026-01-31T25:00:00Z"}, "Not a calendar date"),
        ({"finished": "2026-06-03T00:00:00Z"}, "ended in the future"),
        ({"elapsed_seconds": 90_000}, "longer than the time from start to end"),
        ({"elapsed_seconds": -1}, "ended before it started"),
        ({"submitter": None}, "names no submitter"),
        ({"submitter__principal": BOB}, "submitter did not sign"),
        ({"submitter__principal": "carol@example.org"}, "submitter did not sign"),
    ],
)
def test_what_its_author_made_consistent(
    made: TestBoard, board: Board, changes: dict[str, Any], match: str
) -> None:
    refused(board, signed_by(made.key(ALICE), built(**changes)), match)


PERFECT = {"accuracy": None, "score": 1, "interval": None, "error": None, "note": "not computed"}


FLAWLESS = {
    "accuracy": 1,
    "score": 1,
    "interval": [1, 1],
    "error": 0,
    "ceiling": None,
    "ceiling_accuracy": None,
    "note": "not known",
}


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({SCORES: rows(lambda v: [row.update(PERFECT) for row in v])}, "wrong error"),
        (
            {SCORES: rows(lambda v: [row.update({**PERFECT, "accuracy": 1, "error": 0}) for row in v])},
            "interval is null",
        ),
        (
            {SCORES: rows(lambda v: [row.update(constant=None, note="lost") for row in v])},
            "constant is null",
        ),
        (
            {SCORES: rows(lambda v: [row.update(FLAWLESS) for row in v])},
            "ceiling is known",
        ),
        ({ROW + "error": None}, "wrong error"),
        ({ROW + "gradient_log10": 5}, "did not converge"),
        ({ROW + "gradient_log10": None}, "did not converge"),
        (
            {ROW + "gradient_log10": 5, ROW + "note": "the fit did not reach its tolerance"},
            "did not converge",
        ),
        ({ROW + "strength_log10": None}, "not on the grid"),
        ({ROW + "strength_log10": -2.5}, "not on the grid"),
        ({ROW + "epochs": 10**9}, "number of epochs"),
        ({ROW + "classes": 0}, "number of classes"),
        ({ROW + "classes": 1}, "must be null"),
        ({"dataset__splits__pong__train__rows": 1}, "number of classes"),
        ({"seeds": {}}, "bootstrap is missing"),
        ({"probes__2__settings": lambda settings: {**settings, "seed": 0}}, r"seeds\.anand2019"),
        ({"probes__2__settings": lambda settings: {**settings, "epochs": 100}}, "number of epochs"),
    ],
)
def test_what_no_run_of_the_harness_gives(changes: dict[str, Any], match: str) -> None:
    """Nothing that is null, or out of range, loosens what is said of its neighbours."""
    values = fields(3, games=("breakout", "pong"), suite=("breakout", "pong"))
    check(Signed.build(**copy.deepcopy(values)))
    change(values, changes)
    with pytest.raises(ResultError, match=match):
        check(Signed.build(**values))


FREE = {"note", "normalised", "trivial"}
"""A remark, and what `build` computes; the forged results above change the latter two."""


@pytest.mark.parametrize("field", sorted(set(VariableScores.model_fields) - FREE))
@pytest.mark.parametrize("value", [None, -1, 2, 10**9, -5.5, "x", []])
def test_every_field_of_a_variable_has_a_range(field: str, value: object) -> None:
    values = fields(3, games=("breakout", "pong"), suite=("breakout", "pong"))
    row = values["games"]["pong"]["scores"][0]["variables"][0]
    if value == row[field] or (field, value) in [("classes", 2), ("error", 2)]:
        return  # in range
    row[field] = value
    with pytest.raises(ResultError):
        check(Signed.build(**values))


def _with_one_more(columns: dict[str, list[Any]]) -> dict[str, list[Any]]:
    more = {"name": "zzz", "categories": [], "kind": "ordered", "unit": ""}
    return {key: [*values, more[key]] for key, values in columns.items()}


def _in_another_order(columns: dict[str, list[Any]]) -> dict[str, list[Any]]:
    return {key: values[::-1] for key, values in columns.items()}


PONG = "games__pong__"
NAME = "encoder__name"


# What no run of the harness writes, changed after the means were computed, signed all the same.
@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({ROW + "score": 1.5}, r"score(.|\n)*less than or equal to 1"),
        ({ROW + "score": -0.0001}, r"score(.|\n)*greater than or equal to 0"),
        ({ROW + "interval": [-0.1, 1]}, r"interval(.|\n)*greater than or equal to 0"),
        ({ROW + "interval": [0, 0.5, 1]}, r"interval(.|\n)*at most 2 items"),
        ({ROW + "n": -1}, r"variables\.n\.0(.|\n)*greater than or equal to 0"),
        ({ROW + "n": 2**53}, r"variables\.n\.0(.|\n)*less than or equal to"),
        ({ROW + "n": "9871"}, r"variables\.n\.0(.|\n)*valid integer"),
        ({ROW + "n": True}, r"variables\.n\.0(.|\n)*valid integer"),
        ({ROW + "classes": 257}, "classes"),
        ({ROW + "note": ""}, r"note(.|\n)*at least 1 character"),
        ({ROW + "note": "x" * 301}, r"note(.|\n)*at most 300 characters"),
        ({ROW + "note": "a\u0000b"}, r"note(.|\n)*match pattern"),
        ({ROW + "note": "zero\u200bwidth"}, r"note(.|\n)*match pattern"),
        ({ROW + "note": "e\u0301"}, r"note(.|\n)*match pattern"),
        ({ROW + "name": "player y"}, r"name(.|\n)*match pattern"),
        ({ROW + "trivial": 0}, r"variables\.trivial(.|\n)*not permitted"),
        ({PONG + "variables__f1__name__0": "aaa"}, "player_y is not among the variables of its metric"),
        ({PONG + "variables__f1": _with_one_more}, "contradicts itself at pong: variables of f1"),
        ({PONG + "variables__f1": _in_another_order}, "contradicts itself at pong: variables of f1"),
        ({PONG + "variables": lambda found: {"explained": found["f1"]}}, "pong does not say what f1 scores"),
        ({PONG + "variables": lambda found: found | {"explained": found["f1"]}}, "pong: metrics"),
        ({ROW + "epochs": None}, "epochs holds nothing but nulls"),
        ({PONG + "scores__0__means__score": 0.9999}, r"contradicts itself at pong: means\.score"),
        ({PONG + "scores__0__means__categories__0__score": 1}, r"at pong: means\.categories\[0\]\.score"),
        ({PONG + "scores__0__means__categories__0__count": 9}, r"categories\[0\]\.count"),
        ({PONG + "scores__0__means__normalised": 1}, r"means\.normalised"),
        ({PONG + "scores": lambda scores: scores[:1]}, "pong: probes"),
        ({PONG + "scores": lambda scores: scores[::-1]}, "pong: probes"),
        ({PONG + "embeddings": "sha256:" + "A" * 64}, r"embeddings(.|\n)*match pattern"),
        ({PONG + "embeddings": "md5:" + "a" * 32}, r"embeddings(.|\n)*match pattern"),
        ({PONG + "scores__0__predictions": "sha256:" + "a" * 63}, r"predictions(.|\n)*match pattern"),
        ({"suite__0__means__score": 0.9999}, r"contradicts itself at suite\[0\]\.means\.score"),
        ({"suite": lambda suite: suite[:1]}, "contradicts itself at suite"),
        ({"probes": lambda probes: [*probes, probes[0]]}, "Duplicate probe"),
        ({"probes": []}, r"probes(.|\n)*at least 1 item"),
        ({"games": {}}, r"games(.|\n)*at least 1 item"),
        ({"run_id": "E3" * 16}, r"run_id(.|\n)*match pattern"),
        ({"run_id": "e3" * 15}, r"run_id(.|\n)*match pattern"),
        ({"schema_version": 0}, r"schema_version(.|\n)*should be 1"),
        ({"schema_version": 2}, "newer format"),
        ({"schema_version": "1"}, "Not a result file"),
        ({"extra": 1}, "extra(.|\n)*not permitted"),
        (
            {"encoder": lambda e: {k: v for k, v in e.items() if k != "weights"}},
            r"encoder\.weights(.|\n)*Field required",
        ),
        ({NAME: "ST\u2011DIM"}, r"encoder\.name(.|\n)*match pattern"),
        ({NAME: "\u0421NN"}, r"encoder\.name(.|\n)*match pattern"),
        ({NAME: "\uff23NN"}, r"encoder\.name(.|\n)*match pattern"),
        ({NAME: "CNN\u202e"}, r"encoder\.name(.|\n)*match pattern"),
        ({NAME: " CNN"}, r"encoder\.name(.|\n)*match pattern"),
        ({NAME: "CNN\n"}, r"encoder\.name(.|\n)*match pattern"),
        ({NAME: "$(touch pwned)"}, r"encoder\.name(.|\n)*match pattern"),
        ({NAME: "../../x"}, r"encoder\.name(.|\n)*match pattern"),
        ({NAME: "C" * 65}, r"encoder\.name(.|\n)*match pattern"),
        ({"encoder__feature_size": 0}, r"feature_size(.|\n)*greater than or equal to 1"),
        ({"encoder__feature_size": 10**30}, "feature_size|Integer exceeds"),
        ({"submitter__principal": "Alice@example.org"}, r"principal(.|\n)*match pattern"),
        ({"submitter__principal": "../alice"}, r"principal(.|\n)*match pattern"),
        ({"submitter__principal": "-alice"}, r"principal(.|\n)*match pattern"),
        ({"submitter__principal": "al*"}, r"principal(.|\n)*match pattern"),
        ({"submitter__principal": "alice@ex\u0430mple.org"}, r"principal(.|\n)*match pattern"),
        ({"encoder__code": "javascript:alert(1)"}, r"code(.|\n)*match pattern"),
        ({"encoder__paper": "http://example.org"}, r"paper(.|\n)*match pattern"),
        ({"encoder__code": 'https://example.org/" onclick="x'}, r"code(.|\n)*match pattern"),
    ],
)
def test_what_no_run_writes(made: TestBoard, board: Board, changes: dict[str, Any], match: str) -> None:
    plain = built()
    change(plain, changes)
    try:
        data = signed_by(made.key(ALICE), plain)
    except TypeError:  # no JSON of ours: written as another program would
        data = json.dumps({"signatures": [], "signed": plain}).encode()
    refused(board, data, match)


def text(old: str, new: str) -> Callable[[bytes], bytes]:
    def edited(data: bytes) -> bytes:
        assert data.count(old.encode()) >= 1
        return data.replace(old.encode(), new.encode(), 1)

    return edited


SECONDS = '"elapsed_seconds":2096.25'


# Other bytes for the same values, or none that is JSON.
@pytest.mark.parametrize(
    ("edit", "match"),
    [
        (lambda data: b"\xef\xbb\xbf" + data, "not JSON|byte order mark|BOM"),
        (lambda data: data.decode().encode("utf-16"), "not UTF-8|not JSON"),
        (lambda data: data.replace(b"\n", b"\r\n"), "differs from the harness's own format"),
        (lambda data: data[:-1], "differs from the harness's own format"),
        (lambda data: data + b"\n", "differs from the harness's own format"),
        (lambda data: data + b"\0", "not JSON"),
        (lambda data: data + data, "not JSON"),
        (lambda data: data[: len(data) // 2], "not JSON|Number in the wrong format"),
        (lambda data: b"// mine\n" + data, "not JSON"),
        (
            lambda data: json.dumps(json.loads(data), ensure_ascii=False).encode(),
            "differs from the harness's own format",
        ),
        (lambda data: canonical(json.loads(data)), "differs from the harness's own format"),
        (lambda data: data.replace("Zoë".encode(), b"Zo\\u00eb"), "differs from the harness's own format"),
        (lambda data: data.replace("Zoë".encode(), b"Zo\\ud800"), r"not JSON|not UTF-8|submitter\.name"),
        (lambda data: data.replace("Zoë".encode(), b"Zo\xff"), "not UTF-8"),
        (lambda data: data.replace("Zoë".encode(), b"Zo\0"), "not JSON"),
        (text(SECONDS, SECONDS + "," + SECONDS), "Duplicate key"),
        (text(SECONDS, '"elapsed_seconds":2096.250'), "Number in the wrong format"),
        (text(SECONDS, '"elapsed_seconds":2.09625e3'), "Number in the wrong format"),
        (text(SECONDS, '"elapsed_seconds":-0.0'), "Number in the wrong format"),
        (text(SECONDS, '"elapsed_seconds":-0'), "differs from the harness's own format"),
        (text(SECONDS, '"elapsed_seconds":02096'), "not JSON"),
        (text(SECONDS, '"elapsed_seconds":+2096'), "not JSON"),
        (text(SECONDS, '"elapsed_seconds":0x10'), "not JSON"),
        (text(SECONDS, '"elapsed_seconds":1e999'), "Number in the wrong format"),
        (text(SECONDS, '"elapsed_seconds":NaN'), "no NaN or infinity"),
        (text(SECONDS, '"elapsed_seconds":-Infinity'), "no NaN or infinity"),
        (text('"feature_size":256', '"feature_size":256.0'), "Number in the wrong format"),
        (text('"schema_version":1', '"schema_version":1.0'), "Number in the wrong format|Not a result"),
        (text('"schema_version":1', '"schema_version":true'), "Not a result"),
        (text('"n":[9871', '"n":[9870'), "is invalid|signature"),
        (text('"signed":{', '"signed":[{'), "not JSON"),
        (lambda data: b"[" + data + b"]", "Not a result"),
        (lambda data: b'{"signed": ' + data + b"}", "Not a result|schema"),
        (lambda _: b"null\n", "Not a result"),
        (lambda _: b"\0" * 4096, "not JSON"),
        (lambda _: b"\x89PNG\r\n\x1a\n", "not UTF-8"),
        (lambda _: b'{"signatures": ' + b"[" * 10_000, "nested too deeply|not JSON"),
        (lambda data: data + b" " * 5_000_000, "too large"),
    ],
)
def test_other_bytes(made: TestBoard, board: Board, edit: Callable[[bytes], bytes], match: str) -> None:
    refused(board, edit(signed_by(made.key(ALICE), built())), match)


def with_sig(plain: Plain, keyid: str, sig: str) -> bytes:
    return file_form([{"keyid": keyid, "sig": sig}], canonical(plain))


def by_openssh(
    folder: Path, plain: Plain, *options: str, kind: tuple[str, ...], namespace: str = NAMESPACE
) -> bytes:
    """Sign with OpenSSH, with a new key of some kind."""
    key = folder / "".join(kind)
    if not key.exists():
        command = ["ssh-keygen", "-q", *kind, "-N", "", "-f", str(key)]
        subprocess.run(command, check=True, capture_output=True)
    command = ["ssh-keygen", "-Y", "sign", "-f", str(key), "-n", namespace, *options]
    done = subprocess.run(command, input=canonical(plain), check=True, capture_output=True)
    shown = subprocess.run(["ssh-keygen", "-l", "-f", str(key)], check=True, capture_output=True, text=True)
    return with_sig(plain, shown.stdout.split()[1], done.stdout.decode())


@pytest.mark.parametrize(
    ("kind", "options", "namespace", "match"),
    [
        (("-t", "rsa", "-b", "1024"), (), NAMESPACE, "Unsupported RSA key size"),
        (("-t", "rsa", "-b", "2048"), (), NAMESPACE, "Unsupported RSA key size"),
        (("-t", "ecdsa"), (), NAMESPACE, "Unsupported key type"),
        (("-t", "ed25519"), (), NAMESPACE, "not in the list of keys"),
        (("-t", "ed25519"), (), "git", "made for another purpose"),
        (("-t", "ed25519"), (), "atariari-result-v2", "made for another purpose"),
        (("-t", "ed25519"), (), NAMESPACE + "\n", "made for another purpose"),
        (("-t", "ed25519"), ("-O", "hashalg=sha256"), NAMESPACE, "Unsupported hash"),
    ],
)
def test_keys_and_signatures_of_other_kinds(
    tmp_path: Path, board: Board, kind: tuple[str, ...], options: tuple[str, ...], namespace: str, match: str
) -> None:
    try:
        data = by_openssh(tmp_path, built(), *options, kind=kind, namespace=namespace)
    except subprocess.CalledProcessError:
        pytest.skip("this OpenSSH makes no such key")
    refused(board, data, match)


def test_a_certificate_is_no_key(tmp_path: Path) -> None:
    keys.keygen(tmp_path / "ca")
    keys.keygen(tmp_path / "key")
    command = [
        "ssh-keygen",
        "-q",
        "-s",
        str(tmp_path / "ca"),
        "-I",
        "x",
        "-n",
        ALICE,
        str(tmp_path / "key.pub"),
    ]
    subprocess.run(command, check=True, capture_output=True)
    line = (tmp_path / "key-cert.pub").read_text(encoding="ascii")
    with pytest.raises(AtariariError, match="Unsupported key type"):
        PublicKey.from_line(line)
    with pytest.raises(AtariariError, match="Not a line of the form"):
        parse_signers(f'{ALICE} namespaces="{NAMESPACE}" {line}'.strip())


def test_signatures_that_were_tampered_with(made: TestBoard, board: Board) -> None:
    plain = built()
    public, sig = keys.sign(canonical(plain), NAMESPACE, made.key(ALICE))
    other, theirs = keys.sign(canonical(built(run_id="0" * 32)), NAMESPACE, made.key(ALICE))
    bob = keys.sign(canonical(plain), NAMESPACE, made.key(BOB))
    begin, body, end = sig.partition("\n")[0], sig.split("\n")[1:-2], sig.split("\n")[-2]

    def joined(lines: list[str]) -> str:
        return "\n".join([begin, *lines, end, ""])

    for keyid, changed, match in [
        (public.fingerprint, theirs, "is invalid"),
        (public.fingerprint, bob[1], "another key than it says"),
        (bob[0].fingerprint, bob[1], "submitter did not sign"),
        (public.fingerprint.lower(), sig, "keyid"),
        (public.fingerprint, sig.replace("\n", "\r\n"), r"sig(.|\n)*match pattern"),
        (public.fingerprint, sig.rstrip("\n"), r"sig(.|\n)*match pattern"),
        (public.fingerprint, sig * 2, r"sig(.|\n)*match pattern"),
        (public.fingerprint, joined(["".join(body)]), "not formatted as OpenSSH"),
        (public.fingerprint, joined(body[:-1]), "truncated|base64"),
        (public.fingerprint, joined(["AAAA", *body]), "version 1"),
        (public.fingerprint, "", "sig"),
    ]:
        refused(board, with_sig(plain, keyid, changed), match)
    one = {"keyid": public.fingerprint, "sig": sig}
    several: list[tuple[list[Any], str]] = [
        ([], "not signed"),
        ([one, one], "same key signed twice"),
        ([one] * 17, "at most 16 items"),
        ([one, {"keyid": bob[0].fingerprint, "sig": bob[1]}], "Only maintainers co-sign"),
        ([{**one, "time": 1}], "not permitted"),
        ([None], "signatures"),
    ]
    for signatures, match in several:
        refused(board, file_form(signatures, canonical(plain)), match)
    assert other == public


def test_a_key_of_small_order_cannot_be_read_as_another(board: Board) -> None:
    blob = struct.pack(">I", 11) + b"ssh-ed25519" + struct.pack(">I", 31) + b"\0" * 31
    with pytest.raises(AtariariError, match="Invalid ed25519 key"):
        PublicKey(blob).check()
    padded = PublicKey(board.keys.entries[0].key.blob + b"\0")
    with pytest.raises(AtariariError, match="trailing bytes"):
        padded.check()


@pytest.mark.parametrize(
    ("options", "match"),
    [
        (',valid-before="20260501Z"', "expired on 2026-05-01"),
        (',valid-after="20260701Z"', "not valid before 2026-07-01"),
    ],
)
def test_a_key_outside_its_time(made: TestBoard, board: Board, options: str, match: str) -> None:
    keys_now = KeyList(made.line(ALICE, options), frozenset(), NOW)
    result = loads(signed_by(made.key(ALICE), built()))
    with pytest.raises(AtariariError, match=match):
        check_entry(board, None, result, lambda _: keys_now, new=NOW)


@pytest.mark.parametrize(
    ("line", "match"),
    [
        ('* namespaces="N" KEY', "Not a line of the form"),
        ('*@example.org namespaces="N" KEY', "Not a line of the form"),
        ('alice@example.org,!bob@example.org namespaces="N" KEY', "Not a line of the form"),
        ('Alice@example.org namespaces="N" KEY', "Not a line of the form"),
        ("alice@example.org KEY", "Not a line of the form"),
        ('alice@example.org namespaces="N,git" KEY', "Not a line of the form"),
        ('alice@example.org namespaces="atariari-*" KEY', "Not a line of the form"),
        ('alice@example.org namespaces="N" KEY\nalice@example.org namespaces="N" KEY', "in line 1 already"),
        ('alice@example.org namespaces="N" KEY\nbob@example.org namespaces="N" KEY', "in line 1 already"),
        ('alice@example.org namespaces="N" KEY\na1ice@example.org namespaces="N" OTHER', "looks like"),
        ('alice@example.org namespaces="N",valid-before="tomorrow" KEY', "Not a line of the form"),
        ("alice@example.org", "Not a line of the form"),
    ],
)
def test_a_list_of_keys_that_says_more_than_it_should(made: TestBoard, line: str, match: str) -> None:
    key, other = (made.line(person).rpartition("ssh-ed25519 ")[2].strip() for person in (ALICE, BOB))
    content = line.replace("KEY", f"ssh-ed25519 {key}").replace("OTHER", f"ssh-ed25519 {other}")
    with pytest.raises(AtariariError, match=match):
        parse_signers(content.replace('"N', f'"{NAMESPACE}'))


def test_a_fresh_split_has_no_ceiling_and_no_trivial_scores(made: TestBoard, board: Board) -> None:
    fresh = {
        "dataset__fresh_seed": 7,
        "dataset__fresh_of": "0" * 64,
        "ranked": False,
        "unranked_reason": "fresh",
        "submitter__principal": BOARD,
    }
    data = signed_by(made.key(BOARD), built(**fresh))
    refused(board, data, "ceiling is unknown here")


def test_baselines_that_are_not_the_protocol_s(made: TestBoard, board: Board) -> None:
    """The majority's scores and the classes do not depend on the encoder: nobody's result decides them."""

    def judged(edit: Callable[[Plain], object]) -> None:
        values = fields(3, games=made.suite, suite=made.suite)
        edit(values["games"]["pong"]["scores"][1]["variables"][2])
        judge(board, signed_by(made.key(ALICE), plain_of(Signed.build(**values))))

    def lower(row: Plain) -> None:
        share = round(row["constant_accuracy"] * row["n"] / 2) / row["n"]
        row |= {"constant_accuracy": share, "constant": 2 * share * share / (1 + share)}

    judged(lambda _: None)
    with pytest.raises(AtariariError, match="pong: constant"):
        judged(lower)
    with pytest.raises(AtariariError, match="pong: classes"):
        judged(lambda row: row.update(classes=row["classes"] + 1))


def coarse(frames: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    return frames[:, 0, ::20, ::20].reshape(len(frames), -1)


@pytest.fixture(scope="module")
def readout() -> Signed:
    """A result of the readout, on the recordings that the tests have made."""
    return harness.evaluate(coarse, games=["pong"], progress=False).signed


@pytest.fixture(scope="module")
def installed() -> AcceptedProtocol:
    return protocols_here()[0]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("categories", []),
        ("categories", ["misc"]),
        ("kind", "nominal"),
        ("unit", "km"),
        ("period", [4096]),
    ],
)
def test_what_a_readout_s_variables_are_is_the_protocol_s(
    readout: Signed, installed: AcceptedProtocol, field: str, value: Any
) -> None:
    """Their categories decide in which means they count: a variable with none leaves the ranking's mean."""
    check_made_on(readout, installed, new=True)
    plain = plain_of(readout)
    variables = plain["games"]["pong"]["variables"]["explained"]
    if field == "period":
        variables["period"] = value + [None] * (len(variables["name"]) - 1)
    else:
        variables[field][0] = value
    fill(plain)
    with pytest.raises(BoardError, match=f"pong: {field} of {variables['name'][0]}"):
        check_made_on(Signed.model_validate(plain), installed, new=True)


def test_a_readout_of_what_the_protocol_does_not_have(readout: Signed, installed: AcceptedProtocol) -> None:
    renamed = canonical(plain_of(readout)).replace(b'"player_y"', b'"player_z"')
    with pytest.raises(BoardError, match="pong has no player_z to read out"):
        check_made_on(Signed.model_validate_json(renamed), installed, new=True)


def test_a_fresh_run_scores_what_varies_enough_on_its_own_rows(
    readout: Signed, installed: AcceptedProtocol
) -> None:
    of_run = readout.probes[0].run
    names = [v.name for v in readout.games["pong"].scores[0].variables]
    values = dict.fromkeys(BASELINES) | {"random_cnn": dict.fromkeys([*names, "border"], 0.5)}
    known = {"game": "pong", **of_run._asdict(), **values}
    protocol = AcceptedProtocol.model_validate({**installed.model_dump(), "baselines": [known]})
    with pytest.raises(BoardError, match="pong: variables"):
        check_made_on(readout, protocol, new=True)
    plain = plain_of(readout)
    plain["dataset"] |= {"fresh_seed": 5, "fresh_of": "0" * 64}
    check_made_on(Signed.model_validate(plain), protocol, new=True)


def test_two_results_of_one_run(made: TestBoard, board: Board) -> None:
    """The same run with another name: refused though it is its author's own."""
    entries = []
    for name in ("Method A", "Other B"):
        plain = built()
        plain["encoder"]["name"] = name
        entries.append(check_entry(board, None, loads(signed_by(made.key(ALICE), plain)), new=NOW))
    findings = check_together(entries)
    assert {entry.path for entry, _ in findings} == {max(entry.path for entry in entries)}
    assert "is the same run as" in str(findings[0][1])
