from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from atariari_data.errors import AtariariError, UsageError
from harness.leaderboard.board import check_place, parse_signers, path_of, read_board
from harness.leaderboard.change import Finding
from harness.leaderboard.create import GATE, create
from harness.leaderboard.entry import tier
from harness.leaderboard.gate import Verdict, verify
from harness.leaderboard.names import skeleton
from harness.leaderboard.repository import BoardError
from harness.leaderboard.submit import admit, submit
from harness.results.canonical import ResultError
from harness.results.result import Result, Signed
from harness.results.result_file import read, write
from harness.results.sign import sign_result
from harness.signing.sshsig import PublicKey, SignatureError
from tests.boards import BOARD, TestBoard, protocol
from tests.made_results import Probes, digest, fields, put

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
    assert not made.verify().findings
    assert made.git("status", "--porcelain") == ""
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(made.folder / "tests")],
        capture_output=True,
        text=True,
        check=False,
        cwd=made.folder,
    )
    assert done.returncode == 0, done.stdout
    with pytest.raises(UsageError, match="not an empty folder"):
        create(made.folder, [protocol()], title="Again")


def test_the_workflow_runs_nothing_of_a_submission(tmp_path: Path) -> None:
    made = TestBoard.new(tmp_path)
    workflow = yaml.safe_load((made.folder / ".github/workflows/leaderboard.yml").read_text(encoding="ascii"))
    assert set(workflow[True]) == {"pull_request", "merge_group", "push"}  # YAML reads `on` as true
    text = json.dumps(workflow)
    assert "secrets" not in text
    assert text.count('"persist-credentials": false') == text.count("actions/checkout") == 2
    for job in workflow["jobs"].values():
        uses = [step.get("uses", "") for step in job["steps"]]
        installs = [
            number for number, step in enumerate(job["steps"]) if "pip install" in step.get("run", "")
        ]
        checkouts = [number for number, name in enumerate(uses) if name.startswith("actions/checkout")]
        assert installs < checkouts  # the harness is there before anything of a pull request
        assert job["steps"][checkouts[0]]["with"]["path"] == "board"
        for step in job["steps"]:
            if "run" in step:
                assert step["working-directory"] == "${{ runner.temp }}"  # outside the checkout
                assert "${{" not in step["run"]  # what is expanded there could carry a shell's text
                for line in step["run"].splitlines():
                    assert re.match(r"(python|gate/bin/python) -I -m (venv|pip|harness) ", line), line
    assert re.fullmatch(r"(\S+==[\w.]+\n)+", workflow["env"]["HARNESS"])
    assert [line.partition("==")[0] for line in workflow["env"]["HARNESS"].splitlines()] == list(GATE)
    assert text.count("-m pip install --no-compile --no-deps --requirement") == 2


def test_each_line_of_the_threat_model_has_its_tests() -> None:
    tests = Path(__file__).parent
    files = {"a": "leaderboard_attacks", "l": "leaderboard", "s": "site", "f": "forged_results"}
    text = (tests.parent / "docs" / "leaderboard.md").read_text(encoding="utf-8").split("## Threat model")[1]
    lines = [line for line in text.splitlines() if line.startswith("| ")][2:]
    assert len(lines) > 10
    for line in lines:
        named = re.findall(r"\b([alsf]) `(test_\w+)`", line.split("|")[-2])
        assert named, line
        for file, name in named:
            source = (tests / f"test_{files[file]}.py").read_text(encoding="utf-8")
            assert f"\ndef {name}(" in source, (file, name)


def test_all_but_results_needs_a_maintainer_s_review(tmp_path: Path) -> None:
    made = TestBoard.new(tmp_path)
    text = (made.folder / ".github" / "CODEOWNERS").read_text(encoding="ascii")
    lines = [line.split() for line in text.splitlines() if not line.startswith("#")]
    assert lines == [["*", BOARD], ["/results/"]]  # the last line that matches counts; without a name, nobody


def test_a_submission_from_start_to_merge(board: TestBoard, tmp_path: Path) -> None:
    result = board.result(3, EVE)  # never seen before
    path = write(result, tmp_path / "result.json")
    with pytest.raises(SignatureError, match=f"no key on this leaderboard(.|\n)*admit {EVE}"):
        submit(path, board.folder)
    key = PublicKey.from_line((board.keys / f"{EVE}.pub").read_text(encoding="ascii"))
    done = admit(EVE, key, board.folder)
    assert board.git("branch", "--show-current").strip() == done.branch
    verdict = board.verify("main")
    assert not verdict.findings
    assert verdict.notices == (
        f"a first key for {EVE}: ask them, by another way, whether {key.fingerprint} is theirs",
    )
    board.git("switch", "--quiet", "main")
    board.git("merge", "--quiet", "--no-ff", done.branch)
    done = submit(path, board.folder)
    assert done.path == path_of(result.signed)
    assert board.git("log", "-1", "--format=%B").startswith("Submit Encoder 3: suite score 0.")
    verdict = board.verify("main")
    assert not verdict.findings
    assert verdict.added == (done.path,)
    board.git("switch", "--quiet", "main")
    board.git("merge", "--quiet", "--no-ff", done.branch)
    verdict = board.verify()
    assert not verdict.findings
    assert len(verdict.entries) == 3
    with pytest.raises(UsageError, match="already"):
        submit(path, board.folder)


def test_two_submissions_from_one_clone_do_not_contain_each_other(board: TestBoard, tmp_path: Path) -> None:
    for seed in (3, 4):
        done = submit(write(board.result(seed), tmp_path / f"{seed}.json"), board.folder)
        assert board.git("diff", "--name-only", f"main...{done.branch}").split() == [done.path]


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
    with pytest.raises(AtariariError, match="not in the list of keys"):
        submit(other_key, board.folder)
    (board.folder / "mine.txt").write_text("work", encoding="ascii")
    with pytest.raises(UsageError, match="uncommitted changes"):
        submit(other_key, board.folder)


def test_cosigning_makes_a_result_reproduced(board: TestBoard) -> None:
    board.git("switch", "--quiet", "--create", "cosign")
    result = board.result(1)
    path = board.place(sign_result(result, board.key(BOARD)))
    board.commit()
    verdict = board.verify("main")
    assert not verdict.findings
    (entry,) = (entry for entry in verdict.entries if entry.path == path)
    assert tier(entry, {}) == "reproduced"
    board.place(sign_result(result, board.key(BOB)))
    refused(board.verify(), "Only maintainers co-sign")


_OF_THE_PUBLISHED_ROWS = ("ceiling", "ceiling_accuracy", "pixels_pca", "random_projection")


def fresh(board: TestBoard, tested: Signed, person: str = BOARD, **changes: Any) -> Result:
    """Return a maintainer's run of a result's encoder on a fresh test split."""
    values = fields(7, games=board.suite, suite=board.suite, principal=person, encoder="Encoder 1")
    values["encoder"] = tested.plain["encoder"]
    values["dataset"] |= {"fresh_seed": 5, "fresh_of": tested.digest}
    values |= {"ranked": False, "unranked_reason": "test split recorded afresh from seed 5"}
    for game in values["dataset"]["splits"].values():
        game["test"]["digest"] = digest("fresh")
    for game in values["games"].values():
        for scores in game["scores"]:
            scores["trivial_reason"] = "other rows"
            for row in scores["variables"]:  # nothing is known of other rows
                row.update(dict.fromkeys(_OF_THE_PUBLISHED_ROWS))
    change(values, changes)
    return board.sign(Signed.build(**values), person)


def change(values: Any, changes: dict[str, Any]) -> None:
    for path, value in changes.items():
        put(values, path, value)


def test_a_fresh_split_shows_the_gap(board: TestBoard) -> None:
    board.git("switch", "--quiet", "--create", "fresh")
    board.place(fresh(board, board.result(1).signed))
    verdict = board.verify("main")
    assert not verdict.findings
    by_seed = {entry.head.fresh_seed: entry for entry in verdict.entries if entry.submitter != BOB}
    runs = {by_seed[None].head.digest: [by_seed[5]]}
    gap = by_seed[None].head.suite[0].means.score - by_seed[5].head.suite[0].means.score  # type: ignore[operator]
    assert tier(by_seed[None], runs) == ("fresh-seed" if gap <= 0.03 else "self-reported")


# --- attacks ---------------------------------------------------------------------------------------------


def test_a_flipped_byte_anywhere(board: TestBoard) -> None:
    path = board.folder / path_of(board.result(1).signed)
    data = path.read_bytes()
    for at in range(0, len(data), len(data) // 40):
        path.write_bytes(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])
        assert board.verify().findings
    path.write_bytes(data)
    assert not board.verify().findings


def test_anothers_result_resubmitted(board: TestBoard) -> None:
    theirs = read(board.folder / path_of(board.result(1).signed))
    board.place(theirs, path_of(theirs.signed).replace(ALICE, BOB))
    refused(board.verify(), "not where its content belongs")


def test_anothers_result_signed_again(board: TestBoard) -> None:
    theirs = board.result(1).signed
    board.place(board.sign(theirs, BOB))
    refused(board.verify(), "The submitter did not sign")


def test_anothers_result_as_ones_own(board: TestBoard) -> None:
    plain = json.loads(json.dumps(board.result(1).signed.plain))
    plain["submitter"]["principal"] = BOB
    board.place(board.sign(Signed.model_validate(plain), BOB))
    refused(board.verify(), "same run as(.|\n)*name for an encoder(.|\n)*features or predictions of alice")


def test_the_copy_is_refused_not_the_original(board: TestBoard) -> None:
    board.allow("aaa@example.org")
    board.commit()
    board.git("switch", "--quiet", "--create", "copy")
    plain = json.loads(json.dumps(board.result(2).signed.plain))
    plain |= {"run_id": "0" * 32, "finished": "2026-01-31T12:10:00Z"}
    plain["submitter"]["principal"] = "aaa@example.org"
    plain["encoder"]["name"] = "Mine"
    path = board.place(board.sign(Signed.model_validate(plain), "aaa@example.org"))
    assert {finding.path for finding in board.verify("main").findings} == {path}
    board.git("switch", "--quiet", "main")
    board.git("merge", "--quiet", "--ff-only", "copy")
    assert {finding.path for finding in board.verify().findings} == {path}


def test_a_stripped_signature(board: TestBoard) -> None:
    board.place(Result(signatures=[], signed=board.result(1).signed))
    refused(board.verify(), "not signed")


def test_an_unknown_key(board: TestBoard) -> None:
    board.place(board.sign(board.result(9, EVE).signed, EVE))
    refused(board.verify(), "not in the list of keys")


@pytest.mark.parametrize("how", [',valid-before="20260301Z"', None])
def test_a_retired_key(board: TestBoard, how: str | None) -> None:
    board.git("switch", "--quiet", "--create", "retire")
    signers = board.folder / "allowed_signers"
    text = signers.read_text(encoding="ascii")
    signers.write_text(
        text.replace(board.line(ALICE), "" if how is None else board.line(ALICE, how)), encoding="ascii"
    )
    verdict = board.verify("main")
    assert not verdict.findings
    (notice,) = verdict.notices
    assert notice.endswith("is retired; its results stay" if how is None else "change")
    board.git("switch", "--quiet", "main")
    board.git("merge", "--quiet", "--no-ff", "retire")
    assert not board.verify().findings  # what came in before stays
    board.git("switch", "--quiet", "--create", "late")
    board.place(board.result(3))
    refused(board.verify("main"), "not in the list of keys|expired on 2026-03-01")


def test_a_retired_key_on_a_stale_branch(board: TestBoard) -> None:
    board.git("switch", "--quiet", "--create", "stale")
    board.place(board.result(3))
    assert not board.verify("main").findings
    board.git("switch", "--quiet", "main")
    signers = board.folder / "allowed_signers"
    text = signers.read_text(encoding="ascii")
    signers.write_text(text.replace(board.line(ALICE), ""), encoding="ascii")
    board.commit("Retire a stolen key")
    board.git("switch", "--quiet", "stale")
    refused(board.verify("main"), "not in the list of keys")


def test_dates_decide_nothing(board: TestBoard) -> None:
    for seed, date in ((3, "1970-01-02T00:00:00Z"), (4, "@99999999999 +0000"), (5, "2099-01-01T00:00:00Z")):
        board.place(board.result(seed))
        board.commit("Another time", date=date)
    assert not verify(board.folder).findings


def test_a_swapped_key(board: TestBoard) -> None:
    board.git("switch", "--quiet", "--create", "swap")
    signers = board.folder / "allowed_signers"
    text = signers.read_text(encoding="ascii")
    signers.write_text(text.replace(board.line(ALICE), board.line(f"{ALICE}#2")), encoding="ascii")
    notices = board.verify("main").notices
    assert [notice.split(":")[0] for notice in notices] == [
        f"a further key for {ALICE} (who has results here)",
        f"{ALICE}'s key SHA256",
    ]
    board.place(board.result(3, f"{ALICE}#2"))
    refused(board.verify("main"), "allowed_signers: A change with results must leave everything else alone")


@pytest.mark.parametrize("person", [EVE, f"{ALICE}#2", f"{BOARD}#2"])
def test_no_key_comes_with_a_result(board: TestBoard, person: str) -> None:
    board.git("switch", "--quiet", "--create", "second")
    board.allow(person)
    board.place(board.result(3, person))
    verdict = board.verify("main")
    refused(verdict, "allowed_signers: A change with results must leave everything else alone")
    refused(verdict, "not in the list of keys")


def test_a_second_key_of_a_maintainer_cosigns_nothing(board: TestBoard) -> None:
    board.git("switch", "--quiet", "--create", "power")
    board.allow(f"{BOARD}#2")
    board.place(sign_result(board.result(3), board.key(f"{BOARD}#2")))
    refused(board.verify("main"), "everything else alone(.|\n)*not in the list of keys")


def test_a_change_cannot_make_its_author_a_maintainer(board: TestBoard) -> None:
    board.allow(EVE)
    board.commit()
    board.git("switch", "--quiet", "--create", "power")
    rules(board, maintainers=[BOARD, EVE])
    board.place(sign_result(board.result(3), board.key(EVE)))
    refused(board.verify("main"), "board.json: A change with results(.|\n)*Only maintainers co-sign")


def test_a_change_of_keys_is_a_change_of_its_own(board: TestBoard) -> None:
    board.git("switch", "--quiet", "--create", "both")
    board.allow(EVE)
    rules(board, maintainers=[BOARD, EVE])
    refused(board.verify("main"), "board.json: A change of keys must leave everything else alone")


def test_a_maintainer_s_new_key_is_pointed_at(board: TestBoard) -> None:
    board.git("switch", "--quiet", "--create", "key")
    board.allow(f"{BOARD}#2")
    verdict = board.verify("main")
    assert not verdict.findings
    assert verdict.notices[0].startswith(f"a further key for {BOARD} (a maintainer): ask them")


def rules(board: TestBoard, **changes: Any) -> None:
    """Change board.json."""
    content = json.loads((board.folder / "board.json").read_text(encoding="utf-8"))
    (board.folder / "board.json").write_text(json.dumps({**content, **changes}), encoding="utf-8")


def test_one_key_counts_once(board: TestBoard) -> None:
    result = board.result(1)
    board.place(Result(signatures=result.signatures * 2, signed=result.signed))
    refused(board.verify(), "same key signed twice")
    public = board.line(ALICE)
    with pytest.raises(BoardError, match="line 1 already"):
        parse_signers(public + public.replace(ALICE, EVE))


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
    refused(board.verify(), "atariari-result-v1")


def test_an_old_protocol_after_its_end(tmp_path: Path) -> None:
    made = TestBoard.new(tmp_path, accepted_until="2026-03-01T00:00:00Z")
    made.place(made.result(1))
    assert not made.verify().findings  # it is there already
    made.git("switch", "--quiet", "--create", "late")
    made.place(made.result(3))
    refused(made.verify("main"), "The protocol v1 is closed")


def change_signed(board: TestBoard, **changes: Any) -> None:
    """Place a result of Alice's that is signed, but not what the harness makes."""
    values = fields(3, games=board.suite, suite=board.suite, encoder="Other")
    change(values, changes)
    board.place(board.sign(Signed.build(**values), ALICE))


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"protocol__digest": digest("other")}, "protocol that this leaderboard does not accept"),
        ({"dataset__version": "2.0.0"}, "dataset version"),
        ({"dataset__label_set": "v1"}, "label set"),
        ({"dataset__suite_games": ["pong", "breakout", "qbert"]}, "suite"),
        ({"dataset__splits__pong__test__digest": digest("mine")}, "pong: digest of test"),
        ({"dataset__splits__pong__train__digest": digest("mine")}, "pong: digest of train"),
        ({"dataset__splits__pong__train__rows": 999}, "pong: rows of train"),
        ({"games__pong__scores__0__variables__0__name": "other"}, "variables"),
        ({"finished": "2099-01-01T00:00:00Z"}, "ended in the future"),
        ({"ranked": False, "unranked_reason": "dry run"}, "not for ranking: dry run"),
    ],
)
def test_a_result_made_on_something_else(board: TestBoard, changes: dict[str, Any], match: str) -> None:
    board.git("switch", "--quiet", "--create", "change")
    change_signed(board, **changes)
    refused(board.verify("main"), match)


@pytest.mark.parametrize(
    "probes",
    [
        (("linear", "full"), ("linear", "1k")),
        (("linear", "full"), ("linear", 10_000), ("linear", "1k"), ("linear", 100), ("anand2019", "full")),
    ],
)
def test_the_paper_s_probe_and_other_sizes_may_be_there_or_not(board: TestBoard, probes: Probes) -> None:
    board.place(board.result(3, encoder="Other", probes=probes))
    assert not board.verify().findings


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
    refused(board.verify(), f"what its protocol fixes: {match}")


def test_a_result_with_fewer_variables(board: TestBoard) -> None:
    values = fields(3, games=board.suite, suite=board.suite, encoder="Other")
    for scores in values["games"]["pong"]["scores"]:
        del scores["variables"][0]  # the one that it is bad at
    board.place(board.sign(Signed.build(**values), ALICE))
    refused(board.verify(), "pong: variables")


@pytest.mark.parametrize(
    ("old", "new", "match"),
    [
        (b'"ranked":true', b'"ranked":true,"ranked":true', "Duplicate key"),
        (b'"elapsed_seconds":2096.25', b'"elapsed_seconds":NaN', "no NaN or infinity"),
        (b'"elapsed_seconds":2096.25', b'"elapsed_seconds":1e999', "Number in the wrong format"),
        (b'"feature_size":256', b'"feature_size":' + b"9" * 4000, "feature_size|out of bounds"),
        (b'"feature_size":256', b'"feature_size":' + b"9" * 9000, "out of bounds"),
        (b'"seeds":{', b'"seeds": ' + b"[" * 200_000 + b"{", "nested too deeply"),
        (b'"score":[0.', b'"score":[7.', "less than or equal to 1"),
        (b'"score":[0.', b'"score":[-0.', "greater than or equal to 0"),
        (b'"score":[0.', b'"score":[0,0.', "equal lengths"),
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
    refused(board.verify(), match)


@pytest.mark.parametrize(
    ("where", "value", "match"),
    [
        (
            ("games", "pong", "scores", 0, "means", "score"),
            0.9999,
            r"contradicts itself at pong: (means|normalised)",
        ),
        (
            ("games", "pong", "scores", 0, "variables", "score", 0),
            1,
            "no predictions with this accuracy|interval does not contain the score",
        ),
        (("games", "pong", "scores", 1, "variables", "n", 0), 100, "n is not the number of test rows"),
        (("games", "pong", "scores", 0, "variables", "constant", 0), 0, "does not follow|contradicts"),
        (("suite", 0, "means", "score"), 0.9999, "contradicts itself at suite"),
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
    board.git("switch", "--quiet", "--create", "change")
    board.place(board.sign(Signed.model_validate(plain), ALICE))
    refused(board.verify("main"), match)


def test_a_dry_run_on_a_fresh_split_moves_no_tier(board: TestBoard) -> None:
    reason = "test split recorded afresh from seed 5; dry run: 9871 rows of each split"
    board.place(fresh(board, board.result(1).signed, unranked_reason=reason, dry_run_rows=9871))
    refused(board.verify(), "from a dry run")


def test_a_huge_file(board: TestBoard) -> None:
    with (board.folder / path_of(board.result(1).signed)).open("r+b") as file:
        file.truncate(5_000_001)
    refused(board.verify(), "too large for a result")


@pytest.mark.parametrize(
    "name", ["encoder 1", "Encoder-1", "Encoder l", "Enc0der 1", "ENCODER 1", "Encoder_1"]
)
def test_names_that_look_alike(board: TestBoard, name: str) -> None:
    assert skeleton(name) == skeleton("Encoder 1")
    board.place(board.result(3, BOB, encoder=name))
    refused(board.verify(), "name that looks like 'Encoder 1'")


def test_a_name_belongs_to_who_used_it_first(board: TestBoard) -> None:
    board.place(board.result(3, encoder="Encoder 1"))  # a new run of her own
    assert not board.verify().findings
    board.place(board.result(4, BOB, encoder="Encoder 1"))
    refused(board.verify(), "uses alice@example.org's name")


def test_people_whose_names_look_alike(board: TestBoard) -> None:
    for name in ("al1ce@example.org", "alice@exarnple.org", "a.lice@example.org", "allce@example.org"):
        with pytest.raises(BoardError, match="looks like"):
            parse_signers(board.line(ALICE) + board.line(name))
    with pytest.raises(BoardError, match="looks like"):  # a maintainer without a key yet
        parse_signers(board.line("b0ard@example.org"), [BOARD])


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
    verdict = board.verify("main")
    refused(verdict, "not at a result's path")
    assert not (board.folder / "pwned").exists()


@pytest.mark.parametrize(
    "path", ["results/../x.json", "results/a/../../x.json", "results", "results//a/b.json"]
)
def test_no_path_leads_out(path: str) -> None:
    with pytest.raises(BoardError, match="not at a result's path"):
        check_place(path, 0o100644)


@pytest.mark.parametrize("target", ["/etc/passwd", "../../../board.json", "nowhere", "/dev/zero"])
def test_links(board: TestBoard, target: str) -> None:
    (board.folder / "results" / ALICE / "encoder-1" / "0123456789abcdef.json").symlink_to(target)
    board.git("switch", "--quiet", "--create", "link")
    refused(board.verify("main"), "not a plain file")
    refused(board.verify(), "not a plain file")


def test_a_linked_folder(board: TestBoard) -> None:
    (board.folder / "results" / "carol").symlink_to(board.folder / "results" / ALICE)
    refused(board.verify(), "not a plain file")


def test_anothers_result_changed_or_removed(board: TestBoard) -> None:
    board.git("switch", "--quiet", "--create", "remove")
    path = board.folder / path_of(board.result(1).signed)
    data = path.read_bytes()
    path.unlink()
    board.commit()
    refused(board.verify("main"), "must stay(.|\n)*removed")
    path.write_bytes(data)
    path.chmod(0o755)
    board.commit()
    refused(board.verify("main"), "not a plain file")
    path.chmod(0o644)
    cosigned = sign_result(read(path), board.key(BOARD))
    swapped = Result(signatures=cosigned.signatures[::-1], signed=cosigned.signed)
    write(swapped, path, overwrite=True)
    board.commit()
    refused(board.verify("main"), "signatures are only added to")
    path.write_bytes(data.replace(b'"feature_size":256', b'"feature_size":255'))
    board.commit()
    refused(board.verify("main"), "must not be changed")


def test_results_and_rules_do_not_change_together(board: TestBoard) -> None:
    board.git("switch", "--quiet", "--create", "both")
    board.place(board.result(3))
    (board.folder / ".gitattributes").write_text("results/** filter=evil\n", encoding="ascii")
    board.commit()
    refused(board.verify("main"), "must leave everything else alone")


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


def a_file_that_is_only_left_on_disk(board: TestBoard) -> None:
    board.git("rm", "--cached", "--quiet", path_of(board.result(1).signed))


def a_changed_mode(board: TestBoard) -> None:
    board.git("update-index", "--chmod=+x", path_of(board.result(1).signed))


@pytest.mark.parametrize(
    ("attack", "match"),
    [
        (a_submodule, "not a plain file"),
        (a_renamed_result, "must stay|removed"),
        (a_result_and_a_workflow, "mine.yml: A change with results must leave everything else"),
        (a_result_and_a_hook_for_pytest, "conftest.py: A change with results must leave everything else"),
        (attributes_beside_results, "not at a result's path"),
        (keys_as_a_link, "allowed_signers is not a plain file"),
        (a_result_that_is_not_checked_out, "Not committed, so not checked"),
        (no_results_at_all, "must stay"),
        (a_file_that_is_only_left_on_disk, "must stay"),
        (a_changed_mode, "not a plain file"),
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
        board.git("switch", "--quiet", "--force", "main")
        verdict = replace(verify(board.folder), findings=(Finding("board", error),))
    refused(verdict, match)


def test_a_change_of_rules_alone_is_pointed_at(board: TestBoard) -> None:
    board.git("switch", "--quiet", "--create", "rules")
    (board.folder / ".github" / "workflows" / "leaderboard.yml").write_text("on: push\n", encoding="ascii")
    board.commit()
    verdict = board.verify("main")
    assert not verdict.findings
    assert verdict.notices == ("the rules change: look at .github/workflows/leaderboard.yml",)


def test_what_is_no_leaderboard(tmp_path: Path, board: TestBoard) -> None:
    with pytest.raises(BoardError, match=r"not a leaderboard(.|\n)*leaderboard init"):
        verify(tmp_path)
    with pytest.raises(UsageError, match="revision"):
        verify(board.folder, "no-such-branch")
    with pytest.raises(UsageError, match="revision"):
        verify(board.folder, "--output=/tmp/x")
    (board.folder / "board.json").write_text("{", encoding="ascii")
    board.commit()
    with pytest.raises(BoardError, match="does not have the right form"):
        read_board(board.folder)


def test_a_result_without_a_submitter_has_no_place(board: TestBoard, tmp_path: Path) -> None:
    signed = Signed.build(**fields(3, principal=None))
    with pytest.raises(ResultError, match="names no submitter"):
        submit(write(board.sign(signed, ALICE), tmp_path / "r.json"), board.folder)
