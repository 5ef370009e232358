from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from atariari_data.errors import AtariariError, UsageError
from harness.leaderboard.board import (
    Board,
    BoardError,
    check_place,
    parse_signers,
    path_of,
    read_board,
    skeleton,
)
from harness.leaderboard.create import create
from harness.leaderboard.entry import tier
from harness.leaderboard.gate import Finding, Verdict, verify
from harness.leaderboard.submit import submit
from harness.results.canonical import ResultError
from harness.results.result import Result, Signed
from harness.results.result_file import read, write
from harness.results.sign import sign_result
from tests.boards import BOARD, TestBoard, protocol
from tests.made_results import Probes, digest, fields

ALICE, BOB, EVE = "alice@example.org", "bob@example.org", "eve@example.org"


@pytest.fixture(autouse=True)
def git_identity(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "gitconfig").write_text("[user]\nname = Test\nemail = test@example.org\n", encoding="ascii")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(tmp_path / "gitconfig"))
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")


@pytest.fixture
def board(tmp_path: Path) -> TestBoard:
    """A leaderboard with two results, by Alice and by Bob, merged."""
    made = TestBoard.new(tmp_path)
    made.place(made.result(1))
    made.place(made.result(2, BOB))
    made.commit("Results")
    return made


def refused(verdict: Verdict, match: str) -> None:
    assert verdict.findings
    text = "\n".join(f"{finding.path}: {finding.error}" for finding in verdict.findings)
    with pytest.raises(AtariariError, match=match):
        raise BoardError(text)


def test_a_new_leaderboard_works_at_once(tmp_path: Path) -> None:
    made = TestBoard.new(tmp_path)
    assert not verify(made.folder).findings
    assert made.git("status", "--porcelain") == ""
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(made.folder / "tests")],
        capture_output=True,
        text=True,
        check=False,
        cwd=made.folder,
    )
    assert done.returncode == 0, done.stdout
    with pytest.raises(UsageError, match="not empty"):
        create(made.folder, [protocol()], title="Again")


def test_the_workflow_runs_nothing_of_a_submission(tmp_path: Path) -> None:
    made = TestBoard.new(tmp_path)
    text = (made.folder / ".github" / "workflows" / "leaderboard.yml").read_text(encoding="ascii")
    assert "pull_request:" in text
    assert "pull_request_target" not in text
    assert "secrets" not in text.replace("no secrets", "")
    runs = [line for line in text.splitlines() if "run:" in line]
    assert runs
    assert not any("${{" in line for line in runs)  # what is expanded there could carry a shell's text
    assert text.count("persist-credentials: false") == text.count("actions/checkout")
    assert "@" not in text.replace("actions/checkout@v4", "").replace("actions/setup-python@v5", "").replace(
        "actions/upload-pages-artifact@v3", ""
    ).replace("actions/deploy-pages@v4", "")


def test_a_submission_from_start_to_merge(board: TestBoard, tmp_path: Path) -> None:
    result = board.result(3, EVE)  # never seen before
    path = write(result, tmp_path / "result.json")
    done = submit(path, board.folder)
    assert done.path == path_of(result.signed)
    assert done.new_key is not None
    assert board.git("branch", "--show-current").strip() == done.branch
    message = board.git("log", "-1", "--format=%B")
    assert message.startswith("Submit Encoder 3: suite F1 0.")
    assert "Adds the submitter's key" in message
    verdict = verify(board.folder, "main")
    assert not verdict.findings
    assert verdict.added == (done.path,)
    assert any("eve@example.org is new" in notice for notice in verdict.notices)
    board.git("switch", "--quiet", "main")
    board.git("merge", "--quiet", "--no-ff", done.branch)
    verdict = verify(board.folder)
    assert not verdict.findings
    assert len(verdict.entries) == 3
    with pytest.raises(UsageError, match="already"):
        submit(path, board.folder)


def test_a_branch_that_waits_is_not_made_again(board: TestBoard, tmp_path: Path) -> None:
    path = write(board.result(3), tmp_path / "result.json")
    done = submit(path, board.folder)
    board.git("switch", "--quiet", "main")
    with pytest.raises(
        UsageError, match=f"submitted from this clone already(.|\n)*git push origin {done.branch}"
    ):
        submit(path, board.folder)


def test_a_submission_that_would_fail_changes_nothing(board: TestBoard, tmp_path: Path) -> None:
    copy = fields(4, games=board.suite, suite=board.suite, principal=BOB, encoder="Copied")
    copy["games"] = read(board.folder / path_of(board.result(1).signed)).signed.plain["games"]
    path = write(board.sign(Signed.build(**copy), BOB), tmp_path / "result.json")
    before = board.git("rev-parse", "HEAD")
    with pytest.raises(BoardError, match="features or predictions of alice"):
        submit(path, board.folder)
    assert board.git("rev-parse", "HEAD") == before
    assert board.git("status", "--porcelain") == ""
    assert board.git("branch").split() == ["*", "main"]
    unsigned = write(Result(signatures=[], signed=board.result(5).signed), tmp_path / "unsigned.json")
    with pytest.raises(AtariariError, match="not signed"):
        submit(unsigned, board.folder)
    other_key = write(board.sign(board.result(5).signed, EVE), tmp_path / "other.json")
    with pytest.raises(AtariariError, match="not one of alice"):
        submit(other_key, board.folder)
    (board.folder / "mine.txt").write_text("work", encoding="ascii")
    with pytest.raises(UsageError, match="not committed"):
        submit(other_key, board.folder)


def test_cosigning_makes_a_result_reproduced(board: TestBoard) -> None:
    board.git("switch", "--quiet", "--create", "cosign")
    result = board.result(1)
    path = board.place(sign_result(result, board.key(BOARD)))
    board.commit()
    verdict = verify(board.folder, "main")
    assert not verdict.findings
    (entry,) = (entry for entry in verdict.entries if entry.path == path)
    assert tier(entry, {}) == "reproduced"
    board.place(sign_result(result, board.key(BOB)))
    refused(verify(board.folder), "Only maintainers co-sign")


def test_a_fresh_split_shows_the_gap(board: TestBoard) -> None:
    public = board.result(1).signed
    values = fields(7, games=board.suite, suite=board.suite, principal=BOARD, encoder="Encoder 1")
    values["encoder"] = public.plain["encoder"]
    values["dataset"]["fresh_seed"] = 5
    values |= {"ranked": False, "unranked_reason": "fresh split"}
    for game in values["dataset"]["splits"].values():
        game["test"]["digest"] = digest("fresh")
    for game in values["games"].values():
        for scores in game["scores"]:
            for row in scores["variables"]:  # nothing is known of other rows
                row |= {"ceiling_f1": None, "ceiling_accuracy": None}
    board.place(board.sign(Signed.build(**values), BOARD))
    verdict = verify(board.folder)
    assert not verdict.findings
    by_seed = {entry.head.fresh_seed: entry for entry in verdict.entries if entry.submitter != BOB}
    fresh = {(public.encoder.source, public.encoder.weights): [by_seed[5]]}
    gap = by_seed[None].head.suite[0].means.f1 - by_seed[5].head.suite[0].means.f1  # type: ignore[operator]
    assert tier(by_seed[None], fresh) == ("fresh-seed" if gap <= 0.03 else "self-reported")
    values["submitter"]["principal"] = ALICE
    board.place(board.sign(Signed.build(**values), ALICE))
    refused(verify(board.folder), "Only maintainers submit results on a fresh split")


# --- attacks ---------------------------------------------------------------------------------------------


def test_a_flipped_byte_anywhere(board: TestBoard) -> None:
    path = board.folder / path_of(board.result(1).signed)
    data = path.read_bytes()
    for at in range(0, len(data), len(data) // 40):
        path.write_bytes(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])
        assert verify(board.folder).findings
    path.write_bytes(data)
    assert not verify(board.folder).findings


def test_anothers_result_resubmitted(board: TestBoard) -> None:
    theirs = read(board.folder / path_of(board.result(1).signed))
    board.place(theirs, path_of(theirs.signed).replace(ALICE, BOB))
    refused(verify(board.folder), "does not lie where its content belongs")


def test_anothers_result_signed_again(board: TestBoard) -> None:
    theirs = board.result(1).signed
    board.place(board.sign(theirs, BOB))
    refused(verify(board.folder), "The submitter did not sign")


def test_anothers_result_as_ones_own(board: TestBoard) -> None:
    plain = json.loads(json.dumps(board.result(1).signed.plain))
    plain["submitter"]["principal"] = BOB
    board.place(board.sign(Signed.model_validate(plain), BOB))
    refused(
        verify(board.folder), "same run as(.|\n)*name for an encoder(.|\n)*features or predictions of alice"
    )


def test_the_copy_is_refused_not_the_original(board: TestBoard) -> None:
    board.git("switch", "--quiet", "--create", "copy")
    plain = json.loads(json.dumps(board.result(2).signed.plain))
    plain |= {"run_id": "0" * 32, "finished": "2026-01-31T12:10:00Z"}
    plain["submitter"]["principal"] = "aaa@example.org"
    plain["encoder"]["name"] = "Mine"
    path = board.place(board.sign(Signed.model_validate(plain), "aaa@example.org"))
    board.allow("aaa@example.org")
    board.commit()
    assert [finding.path for finding in verify(board.folder, "main").findings] == [path]


def test_a_stripped_signature(board: TestBoard) -> None:
    board.place(Result(signatures=[], signed=board.result(1).signed))
    refused(verify(board.folder), "not signed")


def test_an_unknown_key(board: TestBoard) -> None:
    board.place(board.sign(board.result(9, EVE).signed, EVE))
    refused(verify(board.folder), "not in the list of allowed signers")


def test_a_key_that_had_expired(tmp_path: Path) -> None:
    made = TestBoard.new(tmp_path)
    lines = (made.folder / "allowed_signers").read_text(encoding="ascii")
    made.place(made.result(1))
    made.commit("In time", date="2026-02-10T00:00:00Z")
    expired = lines.replace(made.line(ALICE), made.line(ALICE, ',valid-before="20260301Z"'))
    assert expired != lines
    (made.folder / "allowed_signers").write_text(expired, encoding="ascii")
    made.commit("Retire a key", date="2026-03-02T00:00:00Z")
    assert not verify(made.folder).findings  # what came in while it was valid stays
    made.place(made.result(3))
    refused(verify(made.folder), "expired on 2026-03-01")
    made.commit("Too late")
    refused(verify(made.folder), "expired on 2026-03-01")


def test_a_swapped_key(board: TestBoard) -> None:
    board.git("switch", "--quiet", "--create", "swap")
    signers = board.folder / "allowed_signers"
    text = signers.read_text(encoding="ascii")
    signers.write_text(text.replace(board.line(ALICE), board.line(f"{ALICE}#2")), encoding="ascii")
    refused(verify(board.folder, "main"), "not in the list of allowed signers")
    board.place(board.result(3, f"{ALICE}#2"))
    board.commit()
    with pytest.raises(BoardError, match="keys of others alone"):
        verify(board.folder, "main")


def test_a_second_key_for_somebody_does_not_count_in_the_same_change(board: TestBoard) -> None:
    board.git("switch", "--quiet", "--create", "second")
    board.allow(f"{ALICE}#2")
    board.place(board.result(3, f"{ALICE}#2"))
    board.commit()
    refused(verify(board.folder, "main"), "not in the list of allowed signers")


def test_a_change_cannot_make_its_author_a_maintainer(board: TestBoard) -> None:
    board.git("switch", "--quiet", "--create", "power")
    rules = json.loads((board.folder / "board.json").read_text(encoding="utf-8"))
    rules["maintainers"].append(EVE)
    (board.folder / "board.json").write_text(json.dumps(rules), encoding="utf-8")
    board.allow(EVE)
    board.place(sign_result(board.result(3), board.key(EVE)))
    board.commit()
    with pytest.raises(BoardError, match="must not give a maintainer a key"):
        verify(board.folder, "main")


def test_one_key_counts_once(board: TestBoard) -> None:
    result = board.result(1)
    board.place(Result(signatures=result.signatures * 2, signed=result.signed))
    refused(verify(board.folder), "same key signed twice")
    public = board.line(ALICE)
    with pytest.raises(BoardError, match="line 1 already"):
        parse_signers((public + public.replace(ALICE, EVE)).encode())


def test_a_signature_for_another_namespace(board: TestBoard) -> None:
    signed = board.result(3).signed
    (board.keys / "payload").write_bytes(signed.payload)
    command = [
        "ssh-keygen",
        "-Y",
        "sign",
        "-f",
        str(board.key(ALICE)),
        "-n",
        "file",
        str(board.keys / "payload"),
    ]
    subprocess.run(command, check=True, capture_output=True)
    sig = (board.keys / "payload.sig").read_text(encoding="ascii")
    good = board.result(3).signatures[0]
    board.place(Result(signatures=[good.model_copy(update={"sig": sig})], signed=signed))
    refused(verify(board.folder), "made for another purpose(.|\n)*atariari-result-v1")


def test_an_old_protocol_after_its_end(tmp_path: Path) -> None:
    made = TestBoard.new(tmp_path, accepted_until="2026-03-01T00:00:00Z")
    made.place(made.result(1))
    made.commit("In time", date="2026-02-10T00:00:00Z")
    assert not verify(made.folder).findings
    made.place(made.result(3))
    refused(verify(made.folder), "The protocol v1 is closed")
    made.commit("Too late", date="2026-03-02T00:00:00Z")
    refused(verify(made.folder), "The protocol v1 is closed")


def change_signed(board: TestBoard, **changes: Any) -> None:
    """Place a result of Alice's that is signed, but not what the harness makes."""
    values = fields(3, games=board.suite, suite=board.suite, encoder="Other")
    for path, value in changes.items():
        place: Any = values
        *parents, last = [int(key) if key.isdigit() else key for key in path.split("__")]
        for key in parents:
            place = place[key]
        place[last] = value
    board.place(board.sign(Signed.build(**values), ALICE))


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"protocol__digest": digest("other")}, "protocol that this leaderboard does not accept"),
        ({"dataset__version": "2.0.0"}, "dataset version"),
        ({"dataset__label_set": "v1"}, "label set"),
        ({"dataset__suite": ["pong", "breakout", "qbert"]}, "suite"),
        ({"dataset__splits__pong__test__digest": digest("mine")}, "pong: digest of test"),
        ({"dataset__splits__pong__train__digest": digest("mine")}, "pong: digest of train"),
        ({"dataset__splits__pong__train__rows": 9}, "pong: rows of train"),
        ({"games__pong__scores__0__variables__0__name": "other"}, "variables"),
        ({"finished": "2099-01-01T00:00:00Z"}, "ended in the future"),
        ({"ranked": False, "unranked_reason": "dry run"}, "not for ranking: dry run"),
    ],
)
def test_a_result_made_on_something_else(board: TestBoard, changes: dict[str, Any], match: str) -> None:
    change_signed(board, **changes)
    refused(verify(board.folder), match)


@pytest.mark.parametrize(
    "probes",
    [
        (("linear", "full"), ("linear", "1k")),
        (("linear", "full"), ("linear", 10_000), ("linear", "1k"), ("linear", 100), ("anand2019", "full")),
    ],
)
def test_the_paper_s_probe_and_other_sizes_may_be_there_or_not(board: TestBoard, probes: Probes) -> None:
    board.place(board.result(3, encoder="Other", probes=probes))
    assert not verify(board.folder).findings


@pytest.mark.parametrize(
    ("probes", "match"),
    [
        ((("linear", "full"), ("anand2019", "full")), "probes"),
        ((("linear", "full"), ("linear", 1000)), "probes"),
        ((("anand2019", "full"),), "probes"),
        ((("anand2019", "full"), ("linear", "full"), ("linear", "1k")), "first probe"),
    ],
)
def test_the_protocol_s_probes_must_be_there(board: TestBoard, probes: Probes, match: str) -> None:
    board.place(board.result(3, encoder="Other", probes=probes))
    refused(verify(board.folder), f"what its protocol fixes: {match}")


def test_a_result_with_fewer_variables(board: TestBoard) -> None:
    values = fields(3, games=board.suite, suite=board.suite, encoder="Other")
    for scores in values["games"]["pong"]["scores"]:
        del scores["variables"][0]  # the one that it is bad at
    board.place(board.sign(Signed.build(**values), ALICE))
    refused(verify(board.folder), "pong: variables")


@pytest.mark.parametrize(
    ("old", "new", "match"),
    [
        (b'"ranked":true', b'"ranked":true,"ranked":true', "Duplicate key"),
        (b'"elapsed_seconds":2096.25', b'"elapsed_seconds":NaN', "no NaN or infinity"),
        (b'"elapsed_seconds":2096.25', b'"elapsed_seconds":1e999', "Number in the wrong format"),
        (b'"feature_size":256', b'"feature_size":' + b"9" * 4000, "feature_size|out of bounds"),
        (b'"feature_size":256', b'"feature_size":' + b"9" * 9000, "out of bounds"),
        (b'"seeds":{', b'"seeds": ' + b"[" * 200_000 + b"{", "nested too deeply"),
        (b'"f1":[0.', b'"f1":[7.', "less than or equal to 1"),
        (b'"f1":[0.', b'"f1":[-0.', "greater than or equal to 0"),
        (b'"f1":[0.', b'"f1":[0,0.', "equal lengths"),
        ("Zoë".encode(), "Z\u202eoe".encode(), r"submitter\.name"),
        ("Zoë".encode(), "Z\u200boe".encode(), r"submitter\.name"),
        ("Zoë".encode(), "Zо".encode(), r"submitter\.name"),  # noqa: RUF001  a Cyrillic letter
        ("Zoë".encode(), b"<script>alert(1)</script>", "is invalid"),
    ],
)
def test_a_forged_file(board: TestBoard, old: bytes, new: bytes, match: str) -> None:
    path = board.folder / path_of(board.result(1).signed)
    data = path.read_bytes()
    assert old in data
    path.write_bytes(data.replace(old, new, 1))
    refused(verify(board.folder), match)


@pytest.mark.parametrize(
    ("where", "value", "match"),
    [
        (
            ("games", "pong", "scores", 0, "means", "f1"),
            0.9999,
            r"contradicts itself at pong: (means|normalised_f1)",
        ),
        (
            ("games", "pong", "scores", 0, "variables", "f1", 0),
            1,
            "no predictions with this accuracy|f1_interval does not contain f1",
        ),
        (("games", "pong", "scores", 1, "variables", "n", 0), 100, "variables of every probe"),
        (("games", "pong", "scores", 0, "variables", "majority_f1", 0), 0, "does not follow|contradicts"),
        (("suite", 0, "means", "f1"), 0.9999, "contradicts itself at suite"),
        (("suite", 0, "means", "categories", 0, "count"), 9, "contradicts itself at suite"),
        (("dataset", "splits", "pong", "test", "rows"), 9870, "n is not the number of test rows"),
        (("finished",), "2031-01-31T12:34:56Z", "in the future"),
    ],
)
def test_numbers_that_do_not_follow_though_their_author_signed_them(
    board: TestBoard, where: tuple[str | int, ...], value: object, match: str
) -> None:
    plain = json.loads(json.dumps(board.result(3).signed.plain))
    *above, last = where
    part = plain
    for key in above:
        part = part[key]
    part[last] = value
    board.place(board.sign(Signed.model_validate(plain), ALICE))
    refused(verify(board.folder), match)


def test_a_dry_run_on_a_fresh_split_moves_no_tier(board: TestBoard) -> None:
    values = fields(7, games=board.suite, suite=board.suite, principal=BOARD, encoder="Encoder 1")
    values["dataset"]["fresh_seed"] = 5
    values |= {"ranked": False, "unranked_reason": "fresh test split; dry run: 40 rows of each split"}
    board.place(board.sign(Signed.build(**values), BOARD))
    refused(verify(board.folder), "of a dry run")


def test_a_huge_file(board: TestBoard) -> None:
    with (board.folder / path_of(board.result(1).signed)).open("r+b") as file:
        file.truncate(2**30)
    refused(verify(board.folder), "too large for a result")


@pytest.mark.parametrize(
    "name", ["encoder 1", "Encoder-1", "Encoder l", "Enc0der 1", "ENCODER 1", "Encoder_1"]
)
def test_names_that_look_alike(board: TestBoard, name: str) -> None:
    assert skeleton(name) == skeleton("Encoder 1")
    board.place(board.result(3, BOB, encoder=name))
    refused(verify(board.folder), "name that looks like 'Encoder 1'")


def test_a_name_belongs_to_who_used_it_first(board: TestBoard) -> None:
    board.place(board.result(3, encoder="Encoder 1"))  # a new run of her own
    assert not verify(board.folder).findings
    board.place(board.result(4, BOB, encoder="Encoder 1"))
    refused(verify(board.folder), "uses alice@example.org's name")


def test_people_whose_names_look_alike(board: TestBoard) -> None:
    for name in ("al1ce@example.org", "alice@exarnple.org", "a.lice@example.org"):
        with pytest.raises(BoardError, match="looks like"):
            parse_signers((board.line(ALICE) + board.line(name)).encode())
    for line in ("Alice@example.org", "*@example.org", "alice@example.org,bob@example.org"):
        with pytest.raises(BoardError, match="one person"):
            parse_signers(board.line(ALICE).replace(ALICE, line).encode())
    with pytest.raises(BoardError, match="not limited to results"):
        parse_signers(board.line(ALICE).replace('"atariari-result-v1"', '"*"').encode())


@pytest.mark.parametrize(
    "name",
    [
        "results/alice@example.org/encoder-1/$(touch pwned).json",
        "results/alice@example.org/encoder-1/0123456789abcdef.json;id",
        "results/alice@example.org/encoder-1/-rf.json",
        "results/alice@example.org/Encoder-1/0123456789abcdef.json",
        "results/alice@example.org/encoder-1/0123456789abcdef.json\n",
        "results/\u202etxt/encoder-1/0123456789abcdef.json",
        "results/0123456789abcdef.json",
    ],
)
def test_file_names(board: TestBoard, name: str) -> None:
    board.git("switch", "--quiet", "--create", "names")
    path = board.folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes((board.folder / path_of(board.result(1).signed)).read_bytes())
    board.commit()
    verdict = verify(board.folder, "main")
    refused(verdict, "at no result's path")
    assert not (board.folder / "pwned").exists()


@pytest.mark.parametrize(
    "path", ["results/../x.json", "results/a/../../x.json", "/etc/passwd", "results//a/b.json"]
)
def test_no_path_leads_out(path: str) -> None:
    with pytest.raises(BoardError, match="at no result's path"):
        check_place(path, 0o100644)


@pytest.mark.parametrize("target", ["/etc/passwd", "../../../board.json", "nowhere", "/dev/zero"])
def test_links(board: TestBoard, target: str) -> None:
    (board.folder / "results" / ALICE / "encoder-1" / "0123456789abcdef.json").symlink_to(target)
    refused(verify(board.folder), "not a plain file")
    board.git("switch", "--quiet", "--create", "link")
    board.commit()
    refused(verify(board.folder, "main"), "not a plain file")


def test_a_linked_folder_and_a_pipe(board: TestBoard) -> None:
    (board.folder / "results" / "carol").symlink_to(board.folder / "results" / ALICE)
    refused(verify(board.folder), "not a plain file")
    (board.folder / "results" / "carol").unlink()
    os.mkfifo(board.folder / "results" / ALICE / "encoder-1" / "0123456789abcdef.json")
    refused(verify(board.folder), "not a plain file")


def test_anothers_result_changed_or_removed(board: TestBoard) -> None:
    board.git("switch", "--quiet", "--create", "remove")
    path = board.folder / path_of(board.result(1).signed)
    data = path.read_bytes()
    path.unlink()
    board.commit()
    refused(verify(board.folder, "main"), "must stay(.|\n)*removed")
    path.write_bytes(data)
    path.chmod(0o755)
    board.commit()
    refused(verify(board.folder, "main"), "not a plain file")
    path.chmod(0o644)
    cosigned = sign_result(read(path), board.key(BOARD))
    swapped = Result(signatures=cosigned.signatures[::-1], signed=cosigned.signed)
    write(swapped, path, overwrite=True)
    board.commit()
    refused(verify(board.folder, "main"), "signatures are only added to")
    path.write_bytes(data.replace(b'"feature_size":256', b'"feature_size":255'))
    board.commit()
    refused(verify(board.folder, "main"), "must not be changed")


def test_results_and_rules_do_not_change_together(board: TestBoard) -> None:
    board.git("switch", "--quiet", "--create", "both")
    board.place(board.result(3))
    (board.folder / ".gitattributes").write_text("results/** filter=evil\n", encoding="ascii")
    board.commit()
    refused(verify(board.folder, "main"), "leave the rest of the leaderboard alone")


def a_submodule(board: TestBoard) -> None:
    head = board.git("rev-parse", "HEAD").strip()
    board.git("update-index", "--add", "--cacheinfo", f"160000,{head},results/{ALICE}/encoder-3")


def a_renamed_result(board: TestBoard) -> None:
    path = path_of(board.result(1).signed)
    board.git("mv", path, path.replace("0", "1") if "0" in path[-21:] else f"{path[:-6]}0.json")


def a_result_and_a_workflow(board: TestBoard) -> None:
    board.place(board.result(3))
    (board.folder / ".github" / "workflows" / "mine.yml").write_text("on: push\n", encoding="ascii")
    board.git("add", "--all")


def a_result_and_a_hook_for_pytest(board: TestBoard) -> None:
    board.place(board.result(3))
    (board.folder / "tests" / "conftest.py").write_text("1 / 0\n", encoding="ascii")
    board.git("add", "--all")


def attributes_beside_results(board: TestBoard) -> None:
    (board.folder / "results" / ".gitattributes").write_text("* filter=evil\n", encoding="ascii")
    board.git("add", "--all")


def keys_as_a_link(board: TestBoard) -> None:
    board.place(board.result(3))
    (board.folder / "allowed_signers").rename(board.folder / "elsewhere")
    (board.folder / "allowed_signers").symlink_to("elsewhere")
    board.git("add", "--all")


def a_result_that_is_not_checked_out(board: TestBoard) -> None:
    path = board.place(board.result(3))
    board.git("add", "--all")
    (board.folder / path).unlink()


def no_results_at_all(board: TestBoard) -> None:
    board.git("rm", "-r", "--quiet", "results")


@pytest.mark.parametrize(
    ("attack", "match"),
    [
        (a_submodule, "not a plain file"),
        (a_renamed_result, "must stay|removed"),
        (a_result_and_a_workflow, "mine.yml: A change with results must leave the rest"),
        (a_result_and_a_hook_for_pytest, "conftest.py: A change with results must leave the rest"),
        (attributes_beside_results, "at no result's path"),
        (keys_as_a_link, "allowed_signers is not a plain file"),
        (a_result_that_is_not_checked_out, "committed, but not in the working tree"),
        (no_results_at_all, "must stay|no folder `results`"),
    ],
)
def test_changes_to_what_is_not_ones_own(
    board: TestBoard, attack: Callable[[TestBoard], None], match: str
) -> None:
    board.git("switch", "--quiet", "--create", "attack")
    attack(board)
    board.git("commit", "--quiet", "-m", "Attack")
    try:
        verdict = verify(board.folder, "main")
    except AtariariError as error:  # the change may not be made at all
        verdict = Verdict(read_board_of_main(board), (), (Finding("board", error),))
    refused(verdict, match)


def read_board_of_main(board: TestBoard) -> Board:
    board.git("switch", "--quiet", "--force", "main")
    return read_board(board.folder)


def test_a_change_of_rules_alone_is_pointed_at(board: TestBoard) -> None:
    board.git("switch", "--quiet", "--create", "rules")
    (board.folder / ".github" / "workflows" / "leaderboard.yml").write_text("on: push\n", encoding="ascii")
    board.commit()
    verdict = verify(board.folder, "main")
    assert not verdict.findings
    assert verdict.notices == ("the rules change: look at .github/workflows/leaderboard.yml by eye",)


def test_a_withdrawn_result_stays_but_is_named(board: TestBoard) -> None:
    rules = json.loads((board.folder / "board.json").read_text(encoding="utf-8"))
    rules["withdrawn"] = {board.result(1).signed.digest: "trained on the test frames"}
    (board.folder / "board.json").write_text(json.dumps(rules), encoding="utf-8")
    assert not verify(board.folder).findings
    rules["withdrawn"] = {"0" * 64: "a slip of the pen"}
    (board.folder / "board.json").write_text(json.dumps(rules), encoding="utf-8")
    refused(verify(board.folder), "withdrawn result is not there")


def test_what_is_no_leaderboard(tmp_path: Path, board: TestBoard) -> None:
    with pytest.raises(BoardError, match=r"not a leaderboard(.|\n)*leaderboard init"):
        verify(tmp_path)
    with pytest.raises(UsageError, match="revision"):
        verify(board.folder, "no-such-branch")
    with pytest.raises(UsageError, match="revision"):
        verify(board.folder, "--output=/tmp/x")
    (board.folder / "board.json").write_text("{", encoding="ascii")
    with pytest.raises(BoardError, match="does not fit its form"):
        read_board(board.folder)


def test_a_result_without_a_submitter_has_no_place(board: TestBoard, tmp_path: Path) -> None:
    signed = Signed.build(**fields(3, principal=None))
    with pytest.raises(ResultError, match="names no submitter"):
        submit(write(board.sign(signed, ALICE), tmp_path / "r.json"), board.folder)
