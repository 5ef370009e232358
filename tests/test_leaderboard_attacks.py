"""Attacks by a cheater, a vandal and a careless maintainer, each on a real repository."""

from __future__ import annotations

import base64
import json
import os
import random
import subprocess
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest

from atariari_data.errors import AtariariError, UsageError
from harness.leaderboard import board as board_module
from harness.leaderboard import notices, site
from harness.leaderboard.board import KeyList, parse_signers, path_of, read_board
from harness.leaderboard.create import create
from harness.leaderboard.entry import Entry, GameHead, Head
from harness.leaderboard.gate import Verdict, verify
from harness.leaderboard.names import skeleton
from harness.leaderboard.repository import BoardError
from harness.leaderboard.submit import submit
from harness.leaderboard.together import check_together
from harness.results.result import NAMESPACE, Result, Signed
from harness.results.result_file import read, write
from harness.results.sign import sign_result
from harness.signing.sshsig import PublicKey
from tests.boards import BOARD, TestBoard, protocol
from tests.made_results import digest, fields, put
from tests.test_leaderboard import ALICE, BOB, EVE, fresh, refused, rules

Plain = dict[str, Any]


@pytest.fixture(autouse=True)
def git_identity(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "gitconfig").write_text("[user]\nname = Test\nemail = test@example.org\n", encoding="ascii")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(tmp_path / "gitconfig"))
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")


@pytest.fixture
def board(tmp_path: Path) -> TestBoard:
    """A leaderboard with a result of Alice's and one of Bob's on main; a branch `change` is checked out."""
    made = TestBoard.new(tmp_path)
    made.place(made.result(1))
    made.place(made.result(2, BOB))
    made.commit("Results")
    made.git("switch", "--quiet", "--create", "change")
    return made


def edited(
    board: TestBoard, seed: int, person: str, edit: Callable[[Plain], object], **options: Any
) -> Result:
    """Return a result whose fields were edited before it was signed."""
    values = fields(
        seed,
        games=board.suite,
        suite=board.suite,
        principal=person,
        **{"encoder": f"Encoder {seed}", **options},
    )
    edit(values)
    return board.sign(Signed.build(**values), person)


def merge(board: TestBoard) -> None:
    """Merge the branch `change`, and begin the next one."""
    if board.git("status", "--porcelain"):
        board.commit()
    board.git("switch", "--quiet", "main")
    board.git("merge", "--quiet", "--no-ff", "-m", "Merge", "change")
    board.git("switch", "--quiet", "--force-create", "change")


def key_of(board: TestBoard, person: str) -> str:
    board.key(person)
    return (board.keys / f"{person}.pub").read_text(encoding="ascii").strip()


# --- 3: the list of keys, as OpenSSH reads it --------------------------------------------------------------


def other_keys(folder: Path) -> dict[str, str]:
    """Return public keys of kinds that results are not signed with."""

    def run(*command: str) -> None:
        subprocess.run(command, check=True, capture_output=True, cwd=folder)

    run("ssh-keygen", "-q", "-t", "ecdsa", "-N", "", "-f", "ecdsa")
    run("ssh-keygen", "-q", "-t", "rsa", "-b", "2048", "-N", "", "-f", "rsa")
    run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", "ca")
    run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", "user")
    run("ssh-keygen", "-q", "-s", "ca", "-I", "id", "-n", ALICE, "user.pub")
    return {path.stem: path.read_text(encoding="ascii").strip() for path in folder.glob("*.pub")}


def lines(key: str, others: dict[str, str]) -> list[str]:
    """Return lines that one reader may take and another not."""
    good = f'{ALICE} namespaces="{NAMESPACE}" {key}'
    options = f'namespaces="{NAMESPACE}"'
    return [
        good,
        f"{good} a comment",
        f'{ALICE} {options},valid-after="20200101Z" {key}',
        f'{ALICE} {options},valid-before="20990101Z" {key}',
        f'{ALICE} {options},valid-before="20200101Z" {key}',
        f'{ALICE} {options},valid-before="20990101" {key}',
        f'{ALICE} {options},valid-before="99991231235959" {key}',
        f'{ALICE} {options},valid-after="00010101" {key}',
        f'{ALICE} {options},valid-before="20260230Z" {key}',
        f'{ALICE} valid-before="20990101Z",{options} {key}',
        f"{ALICE} cert-authority,{options} {others['ca']}",
        f"{ALICE} cert-authority {key}",
        f"{ALICE} {options} {others['user-cert']}",
        f"{ALICE} {options} {others['ecdsa']}",
        f"{ALICE} {options} {others['rsa']}",
        f"{ALICE} {key}",
        f'{ALICE} NAMESPACES="{NAMESPACE}" {key}',
        f'{ALICE} namespaces="{NAMESPACE}","x" {key}',
        f'{ALICE} namespaces="*" {key}',
        f'"{ALICE}" {options} {key}',
        f"{ALICE},{BOB} {options} {key}",
        f"*@example.org {options} {key}",
        f"{ALICE}\t{options}\t{key}",
        f"  {good}",
        f"{good}\r",
        f"{good}\0",
        f"\ufeff{good}",
        f"{ALICE} {options} {key.replace('ssh-ed25519', 'ssh-rsa')}",
        f"{ALICE} {options} {key[:-4]}",
        f"#{good}",
        f"{ALICE} {options}",
    ]


@pytest.mark.parametrize("number", range(31))
def test_our_reading_of_the_keys_is_openssh_s(tmp_path: Path, number: int) -> None:
    """A list that a leaderboard takes says the same to OpenSSH; all others are refused as a whole."""
    made = TestBoard(tmp_path / "board", tmp_path)
    result = made.result(1)
    line = lines(key_of(made, ALICE), other_keys(tmp_path))[number] + "\n"
    (tmp_path / "signers").write_bytes(line.encode())
    (tmp_path / "sig").write_text(result.signatures[0].sig, encoding="ascii")
    command = ["ssh-keygen", "-Y", "verify", "-f", "signers", "-I", ALICE, "-n", NAMESPACE, "-s", "sig"]
    theirs = subprocess.run(
        command, input=result.signed.payload, capture_output=True, check=False, cwd=tmp_path
    )
    try:
        ours = parse_signers(line.encode().decode("ascii", "surrogateescape"))
    except AtariariError:
        return  # refused: nobody is asked to believe it
    key = PublicKey.from_line(key_of(made, ALICE))
    entry = KeyList(line, frozenset()).owner(key)
    believed = entry is not None and entry.refusal(NAMESPACE, datetime.now(UTC)) is None
    assert len(ours) == (0 if line.startswith("#") else 1)
    assert believed == (theirs.returncode == 0)


def test_a_line_that_only_openssh_believes(board: TestBoard, tmp_path: Path) -> None:
    others = other_keys(tmp_path)
    for line in (
        f'{ALICE} namespaces="{NAMESPACE}" {others["ecdsa"]}',
        f'{ALICE} cert-authority,namespaces="{NAMESPACE}" {others["ca"]}',
        f'{ALICE} namespaces="{NAMESPACE}" {others["user-cert"]}',
    ):
        signers = board.folder / "allowed_signers"
        before = signers.read_text(encoding="ascii")
        signers.write_text(f"{before}{line}\n", encoding="ascii")
        verdict = board.verify("main")
        refused(verdict, "allowed_signers, line 6")
        site.build(verdict, tmp_path / "site")
        assert line not in (tmp_path / "site" / "allowed_signers").read_text(encoding="ascii")
        signers.write_text(before, encoding="ascii")


# --- 4: tiers ----------------------------------------------------------------------------------------------


def test_a_borrowed_tier(board: TestBoard, tmp_path: Path) -> None:
    """Somebody copies source and weights of a result that passed on a fresh split."""
    tested = board.result(1).signed
    board.place(fresh(board, tested))
    assert not board.verify("main").findings
    merge(board)
    path = board.place(
        edited(
            board,
            8,
            eve_with_key(board),
            lambda v: v.update(encoder={**tested.plain["encoder"], "name": "Eve"}),
        )
    )
    verdict = board.verify("main")
    assert not verdict.findings
    site.build(verdict, tmp_path / "site")
    rows = json.loads((tmp_path / "site" / "data.json").read_text(encoding="utf-8"))
    tiers = {row["encoder"]: row["tier"] for row in rows}
    assert path
    assert tiers["Eve"] == "self-reported"


def eve_with_key(board: TestBoard) -> str:
    """Give Eve a key on main."""
    board.git("switch", "--quiet", "main")
    board.allow(EVE)
    board.commit("Eve's key")
    board.git("switch", "--quiet", "change")
    board.git("merge", "--quiet", "main")
    return EVE


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"dataset__fresh_of": "0" * 64}, "tests is not there"),
        ({"dataset__fresh_of": None}, "names the result that it tests"),
        ({"encoder__weights": digest("others")}, "of another encoder"),
        ({"protocol__digest": digest("v2")}, "does not accept"),
        ({"submitter__principal": ALICE}, "did not sign"),
    ],
)
def test_a_fresh_run_tests_one_result(board: TestBoard, changes: Plain, match: str) -> None:
    board.place(fresh(board, board.result(1).signed, **changes))
    refused(board.verify("main"), match)


def test_a_fresh_run_of_some_games_has_their_weights(board: TestBoard) -> None:
    weights = {game: digest(game) for game in board.suite}
    tested = edited(board, 8, BOB, lambda v: v["encoder"].update(weights=weights, per_game=True, name="Own"))
    board.place(tested)
    merge(board)
    board.git("switch", "--quiet", "--create", "fresh")
    run = fresh(board, tested.signed)
    board.place(run)
    assert not board.verify("main").findings
    other = {**weights, board.suite[0]: digest("other")}
    board.place(fresh(board, tested.signed, encoder__weights=other, run_id="0" * 32))
    refused(board.verify("main"), "of another encoder")


def test_a_maintainer_awards_no_tier_to_himself(board: TestBoard) -> None:
    own = board.result(5, BOARD)
    board.place(own)
    merge(board)
    board.place(fresh(board, own.signed))
    refused(board.verify("main"), "tests somebody else's result")


def test_only_maintainers_run_on_a_fresh_split(board: TestBoard) -> None:
    board.place(fresh(board, board.result(1).signed, BOB))
    refused(board.verify("main"), "Only maintainers submit results on a fresh split")


def test_a_fresh_run_owns_no_name(board: TestBoard) -> None:
    board.place(fresh(board, board.result(1).signed))
    merge(board)
    board.place(board.result(6, encoder="Encoder 1"))
    assert not board.verify("main").findings


# --- 5, 9: where a leaderboard is, and what is in it -------------------------------------------------------


def test_a_leaderboard_in_a_subfolder(tmp_path: Path) -> None:
    subprocess.run(["git", "init", "--quiet", str(tmp_path / "whole")], check=True)
    (tmp_path / "whole" / "keys").mkdir()
    made = TestBoard.new(tmp_path)
    subprocess.run(["cp", "-r", str(made.folder), str(tmp_path / "whole" / "board")], check=True)
    subprocess.run(["rm", "-rf", str(tmp_path / "whole" / "board" / ".git")], check=True)
    for act in (verify, read_board):
        with pytest.raises(BoardError, match="not the top of a git repository"):
            act(tmp_path / "whole" / "board")


@pytest.mark.parametrize(
    "path",
    ["frames/pong.png", "LICENSE", "protocols/v9.json", "results/alice@example.org/x", "a/b/c", "site"],
)
def test_a_link_anywhere(board: TestBoard, path: str, tmp_path: Path) -> None:
    (board.folder / path).parent.mkdir(parents=True, exist_ok=True)
    (board.folder / path).symlink_to("/proc/self/environ")
    board.git("add", "--force", path)
    board.git("commit", "--quiet", "-m", "Link")
    verdict = verify(board.folder, "main")
    refused(verdict, f"{path}.*not a plain file|not a plain file")
    merge(board)
    site.build(verify(board.folder), tmp_path / "site")
    assert not any(b"PATH=" in file.read_bytes() for file in (tmp_path / "site").rglob("*") if file.is_file())


def test_a_submodule_anywhere(board: TestBoard) -> None:
    head = board.git("rev-parse", "HEAD").strip()
    board.git("update-index", "--add", "--cacheinfo", f"160000,{head},vendor")
    board.git("commit", "--quiet", "-m", "Submodule")
    refused(verify(board.folder, "main"), "vendor is not a plain file")


def test_git_s_environment_names_no_other_repository(
    board: TestBoard, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "other").mkdir()
    other = TestBoard.new(tmp_path / "other")
    path = board.folder / path_of(board.result(1).signed)
    path.unlink()
    board.commit()
    monkeypatch.setenv("GIT_DIR", str(other.folder / ".git"))
    monkeypatch.setenv("GIT_INDEX_FILE", str(other.folder / ".git" / "index"))
    refused(verify(board.folder, "main"), "must stay")


# --- 6: names ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["CIIP", "C1IP", "c1ip", "CL1P", "d1p", "C1IP Large", "Tiny CIIP", "C L I P"]
)
def test_look_alikes(board: TestBoard, name: str) -> None:
    board.place(board.result(3, encoder="CLIP"))
    merge(board)
    board.place(board.result(4, BOB, encoder=name))
    refused(board.verify("main"), "looks like")


def test_folding_is_closed() -> None:
    draw = random.Random(0)  # noqa: S311  test data
    for _ in range(2000):
        name = "".join(draw.choice("c1liI0osrnvwmd5 -.") for _ in range(draw.randrange(1, 9)))
        assert skeleton(skeleton(name)) == skeleton(name)
    for address in ("ac1e@example.org", "acle@example.org", "acIe@example.org", "ade@example.org"):
        assert skeleton(address) == skeleton("ade@example.org")


@pytest.mark.parametrize("name", ["RAM", "Ram", "rarn", "majority", "Majority", "pixels PCA", "VAE", "vae"])
def test_names_of_built_in_encoders(board: TestBoard, name: str) -> None:
    def other_source(values: Plain) -> None:
        values["encoder"]["source"] = digest("mine")

    board.place(edited(board, 3, ALICE, other_source, encoder=name))
    refused(board.verify("main"), "reserved for the built-in encoder")


def test_a_built_in_encoder_has_its_known_scores(board: TestBoard) -> None:
    board.place(board.result(3, encoder="pixels-pca", skill=0.99))
    refused(board.verify("main"), "scores are not those of the built-in encoder 'pixels-pca'")


def test_names_of_one_submitter_may_look_alike(board: TestBoard) -> None:
    board.place(board.result(3, encoder="VAE beta 1.0"))
    board.place(board.result(4, encoder="VAE beta 10"))
    board.place(board.result(5, encoder="Site"))
    assert not board.verify("main").findings
    board.place(board.result(6, encoder="vae-beta-10"))
    refused(board.verify("main"), "same page as '(VAE beta 10|vae-beta-10)'")


# --- 7, 8: time and order ----------------------------------------------------------------------------------


def test_green_apart_and_red_together(board: TestBoard) -> None:
    """Two changes with one name: each may come in alone; once the first has, the second may not."""
    board.place(board.result(3, encoder="New"))
    assert not board.verify("main").findings
    board.git("switch", "--quiet", "--create", "second", "main")
    late = board.place(board.result(4, BOB, encoder="New"))
    assert not board.verify("main").findings
    board.git("switch", "--quiet", "main")
    board.git("merge", "--quiet", "--no-ff", "-m", "Merge", "change")
    board.git("switch", "--quiet", "second")
    verdict = verify(board.folder, "main")
    assert [finding.path for finding in verdict.findings] == [late]
    board.git("switch", "--quiet", "main")  # merged all the same: main's failure names the newcomer alone
    board.git("merge", "--quiet", "--no-ff", "-m", "Merge", "second")
    assert [finding.path for finding in verify(board.folder).findings] == [late]


def test_what_conflicts_is_said_to(board: TestBoard) -> None:
    board.allow(EVE)
    board.commit()
    board.git("switch", "--quiet", "main")
    board.allow("carol@example.org")
    board.commit()
    board.git("switch", "--quiet", "change")
    with pytest.raises(BoardError, match=r"cannot be merged(.|\n)*Merge the base branch"):
        verify(board.folder, "main")


def test_the_order_of_runs_is_that_of_merging(board: TestBoard, tmp_path: Path) -> None:
    board.place(board.result(7, encoder="Encoder 1", skill=0.2, finished="2026-01-01T12:34:56Z"))
    (notice,) = [n for n in board.verify("main").notices if "takes the place" in n]
    assert ": score 0." in notice
    assert "which is lower (games in common: 2)" in notice
    merge(board)
    site.build(verify(board.folder), tmp_path / "site")
    rows = json.loads((tmp_path / "site" / "data.json").read_text(encoding="utf-8"))
    assert {row["encoder"]: row["date"] for row in rows}["Encoder 1"] == "2026-01-01"


def test_a_later_run_on_fewer_games_is_said_to_replace_nothing(board: TestBoard, tmp_path: Path) -> None:
    path = board.place(board.result(7, encoder="Encoder 1", games=("pong",)))
    notes = [n for n in board.verify("main").notices if path in n]
    assert [n for n in notes if "covers fewer games than results/alice@example.org/encoder-1/" in n]
    assert not [n for n in notes if "takes the place" in n]
    merge(board)
    site.build(verify(board.folder), tmp_path / "site")
    rows = json.loads((tmp_path / "site" / "data.json").read_text(encoding="utf-8"))
    assert {row["encoder"]: row["linear, all rows: breakout"] for row in rows}["Encoder 1"] is not None


# --- 10: copies --------------------------------------------------------------------------------------------


def copy_of(board: TestBoard, path: str, seed: int, person: str, name: str, *, outputs: bool) -> Result:
    """Return a result with another's scores, and with its digests of features and predictions or not."""

    def edit(values: Plain) -> None:
        theirs = json.loads(json.dumps(read(board.folder / path).signed.plain["games"]))
        for game, mine in values["games"].items():
            for scores, own in zip(theirs[game]["scores"], mine["scores"], strict=True):
                del scores["means"]
                if not outputs:
                    scores["predictions"] = own["predictions"]
            if not outputs:
                theirs[game]["embeddings"] = mine["embeddings"]
        values["games"] = theirs

    return edited(board, seed, person, edit, encoder=name)


def test_copied_numbers(board: TestBoard, tmp_path: Path) -> None:
    path = path_of(board.result(1).signed)
    copied = copy_of(board, path, 9, BOB, "Mine", outputs=False)
    with pytest.raises(BoardError, match="has the same scores, to the last place"):
        submit(write(copied, tmp_path / "r.json"), board.folder)
    board.place(copied)
    refused(board.verify("main"), "has the same scores, to the last place")


def test_half_copied_numbers(board: TestBoard) -> None:
    """The scores of one game are somebody else's, with a few of them changed."""
    theirs = read(board.folder / path_of(board.result(1).signed)).signed.plain["games"]["breakout"]

    def edit(values: Plain) -> None:
        columns = theirs["scores"][0]["variables"]
        keys = ("score", "accuracy", "interval", "error")
        for number, row in enumerate(values["games"]["breakout"]["scores"][0]["variables"]):
            if number % 3:
                row.update({key: columns[key][number] for key in keys})

    board.place(edited(board, 9, BOB, edit))
    refused(board.verify("main"), "has the same scores, to the last place")


QUANTITIES = ("player_x", "player_y", "lives", "door_bit_0", "enemy_present", "player_x_motion")


@pytest.mark.parametrize(
    ("variables", "copied"),
    [
        (QUANTITIES, True),
        (QUANTITIES[::-1], True),  # compared by name, wherever they stand
        (("room", *QUANTITIES), True),  # with one that the other does not have
        (tuple(f"other_{name}" for name in QUANTITIES), False),
    ],
)
def test_copies_are_told_by_the_variables_that_both_have(
    board: TestBoard, variables: tuple[str, ...], copied: bool
) -> None:
    """What a probe scores need not be the protocol's probed variables, nor the same in every result."""
    number = {name.removeprefix("other_"): 1000 + at for at, name in enumerate(("room", *QUANTITIES))}

    def entry(order: int, person: str, variables: tuple[str, ...]) -> Entry:
        cells = [number[name.removeprefix("other_")] for name in variables]
        head = Head.of(board.result(order, person).signed)
        games = {
            "breakout": GameHead((), (), (), cells[:0], ()),
            "pong": GameHead((), (), variables, cells, ()),
        }
        return Entry(f"{order}.json", person, replace(head, games=games), protocol(), (), (order, 1))

    entries = [entry(1, ALICE, QUANTITIES), entry(2, BOB, variables)]
    found = [str(error) for _, error in check_together(entries)]
    assert [("has the same scores" in error and "in 6 variables" in error) for error in found] == [
        True
    ] * copied


def test_one_encoder_has_one_name(board: TestBoard) -> None:
    path = path_of(board.result(1).signed)
    for number in range(6):
        board.place(copy_of(board, path, 20 + number, ALICE, f"Name {number}", outputs=True))
    assert len({finding.path for finding in board.verify("main").findings}) == 6


def test_a_squatted_digest_is_freed_by_withdrawing(board: TestBoard) -> None:
    """Bob copies one digest of features from Alice's open pull request, and is merged first."""
    honest = board.result(3)

    def squat(values: Plain) -> None:
        values["games"]["pong"]["embeddings"] = honest.signed.games["pong"].embeddings
        values["run_id"] = honest.signed.run_id

    squatter = edited(board, 4, BOB, squat)
    board.place(squatter)
    assert not board.verify("main").findings
    merge(board)
    path = board.place(honest)
    refused(board.verify("main"), "ask a maintainer to withdraw")
    (board.folder / path).unlink()
    rules(board, withdrawn={squatter.signed.digest: "copied"})
    board.git("reset", "--quiet", "--hard", "main")
    rules(board, withdrawn={squatter.signed.digest: "copied"})
    assert not board.verify("main").findings
    merge(board)
    board.place(honest)
    verdict = board.verify("main")
    assert not verdict.findings
    assert any("repeats" in notice and "withdrawn" in notice for notice in verdict.notices)


@pytest.mark.parametrize("field", ["score", "accuracy", "interval", "error", "constant", "constant_accuracy"])
def test_a_null_frees_nothing(board: TestBoard, field: str) -> None:
    """An encoder of single frames with F1 = 1 everywhere, whose accuracy is missing with a note."""

    def edit(values: Plain) -> None:
        for game in values["games"].values():
            for scores in game["scores"]:
                for row in scores["variables"]:
                    row.update({field: None, "note": "not computed"})
                    if field == "accuracy":
                        row.update({"score": 1.0, "interval": None, "error": None})

    try:
        board.place(edited(board, 3, ALICE, edit))
    except AtariariError:
        return  # not even the reader takes it
    refused(board.verify("main"), r"null|wrong error|interval does not")


def test_trivial_scores_are_not_nulled(board: TestBoard) -> None:
    def edit(values: Plain) -> None:
        for game in values["games"].values():
            for scores in game["scores"]:
                scores["trivial_reason"] = "not made for this game"
                for row in scores["variables"]:
                    row.update(pixels_pca=None, random_projection=None)

    board.place(edited(board, 3, ALICE, edit))
    refused(board.verify("main"), "pixels_pca")


# --- 11: what a result says of itself ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"harness__version": "99.0"}, "made by harness 99.0"),
        (
            {"finished": "2001-01-01T12:00:00Z", "started": "2001-01-01T12:00:00Z", "elapsed_seconds": 0},
            "odd times",
        ),
        ({"elapsed_seconds": 0}, "odd times"),
        (
            {"encoder__frames__stack": 64, "encoder__frames__layout": "zzzz"},
            "odd input: stack 64, layout zzzz",
        ),
        (
            {"isolation__shuffled": False, "isolation__own_process": False},
            "guards off: own_process, shuffled",
        ),
        ({"isolation": None}, "guards off: all"),
        ({"harness__as_released": None}, "made from a checkout"),
    ],
)
def test_what_is_odd_is_pointed_at(board: TestBoard, changes: Plain, match: str) -> None:
    def edit(values: Plain) -> None:
        for path, value in changes.items():
            put(values, path, value)

    board.place(edited(board, 3, ALICE, edit))
    verdict = board.verify("main")
    assert not verdict.findings
    assert any(match in notice for notice in verdict.notices), verdict.notices


def test_seeds_are_the_protocol_s(board: TestBoard) -> None:
    board.place(edited(board, 3, ALICE, lambda values: values.update(seeds={})))
    refused(board.verify("main"), "fixes: seeds|seed of the bootstrap is missing")


def test_the_readme_says_that_a_result_names_no_leaderboard(board: TestBoard) -> None:
    text = " ".join((board.folder / "README.md").read_text(encoding="utf-8").split())
    assert "It does not name this leaderboard" in text


# --- 17: ways out ------------------------------------------------------------------------------------------


def test_a_withdrawn_result_does_not_come_back(board: TestBoard) -> None:
    withdrawn = board.result(1)
    rules(board, withdrawn={withdrawn.signed.digest: "trained on the test frames"})
    verdict = board.verify("main")
    assert not verdict.findings
    assert path_of(withdrawn.signed) not in {entry.path for entry in verdict.entries}
    merge(board)
    path = path_of(withdrawn.signed)
    for outputs in (True, False):
        board.place(copy_of(board, path, 30 + outputs, ALICE, "Again", outputs=outputs))
        refused(board.verify("main"), "repeats .*, which was withdrawn")


def test_a_withdrawn_result_is_checked_no_more(board: TestBoard) -> None:
    """Its file may even be broken, as long as it is there."""
    result = board.result(1)
    path = board.folder / path_of(result.signed)
    path.write_bytes(path.read_bytes()[:-20])
    merge(board)
    refused(verify(board.folder), "not JSON")
    rules(board, withdrawn={result.signed.digest: "broken"})
    assert not board.verify("main").findings
    merge(board)
    assert not verify(board.folder).findings


def test_nothing_else_comes_in_under_a_withdrawn_result_s_name(board: TestBoard) -> None:
    result = board.result(1)
    rules(board, withdrawn={result.signed.digest: "broken"})
    merge(board)
    path = board.folder / "results" / EVE / "any" / Path(path_of(result.signed)).name
    path.parent.mkdir(parents=True)
    path.write_bytes(b"anything")
    refused(board.verify("main"), "not JSON")
    path.write_bytes((board.folder / path_of(result.signed)).read_bytes())
    refused(board.verify("main"), "not where its content belongs")


def test_a_result_is_removed_by_a_maintainer(board: TestBoard) -> None:
    result = board.result(1)
    path = board.folder / path_of(result.signed)
    data = path.read_bytes()
    path.unlink()
    refused(board.verify("main"), "must stay(.|\n)*`removed`")
    rules(board, removed={result.signed.digest: "asked for by its submitter"})
    verdict = board.verify("main")
    assert not verdict.findings
    assert any("board.json" in notice for notice in verdict.notices)
    merge(board)
    assert not verify(board.folder).findings
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    refused(board.verify("main"), "lists it as removed")
    path.unlink()
    board.place(board.result(9, BOB, encoder="Encoder 1"))  # the name is free again
    assert not board.verify("main").findings


def test_a_removal_is_missed_without_a_base(board: TestBoard) -> None:
    (board.folder / path_of(board.result(1).signed)).unlink()
    merge(board)
    refused(verify(board.folder), "must stay")


def test_a_name_clash_has_a_way_out(board: TestBoard) -> None:
    board.place(board.result(3, encoder="New"))
    board.git("add", "--all")
    board.git("commit", "--quiet", "-m", "First")
    board.git("switch", "--quiet", "--create", "second", "main")
    late = board.result(4, BOB, encoder="New")
    board.place(late)
    board.commit()
    board.git("switch", "--quiet", "main")
    board.git("merge", "--quiet", "--no-ff", "-m", "Merge", "change")
    board.git("merge", "--quiet", "--no-ff", "-m", "Merge", "second")
    assert verify(board.folder).findings
    board.git("switch", "--quiet", "--force-create", "change")
    (board.folder / path_of(late.signed)).unlink()
    rules(board, removed={late.signed.digest: "its name was taken"})
    assert not board.verify("main").findings
    merge(board)
    board.place(copy_of_signed(board, late, "Newer"))
    assert not board.verify("main").findings


def copy_of_signed(board: TestBoard, result: Result, name: str) -> Result:
    """Return the same run under another name."""
    plain = json.loads(json.dumps(result.signed.plain))
    plain["encoder"]["name"] = name
    return board.sign(Signed.model_validate(plain), BOB)


def test_a_maintainer_leaves(board: TestBoard) -> None:
    board.place(sign_result(board.result(1), board.key(BOARD)))
    assert not board.verify("main").findings
    merge(board)
    rules(board, maintainers=[])
    assert not board.verify("main").findings
    merge(board)
    signers = board.folder / "allowed_signers"
    signers.write_text(signers.read_text(encoding="ascii").replace(board.line(BOARD), ""), encoding="ascii")
    assert not board.verify("main").findings
    merge(board)
    verdict = verify(board.folder)
    assert not verdict.findings
    assert [entry.cosigners for entry in verdict.entries if entry.submitter == ALICE] == [(BOARD,)]
    board.place(sign_result(board.result(2, BOB), board.key(BOARD)))
    refused(board.verify("main"), "not in the list of keys")


def test_a_retired_maintainer_s_key_cosigns_nothing_more(board: TestBoard) -> None:
    """Not even what came in while it was on the list, also once it is merged by mistake."""
    signers = board.folder / "allowed_signers"
    text = signers.read_text(encoding="ascii")
    signers.write_text(text.replace(board.line(BOARD), ""), encoding="ascii")
    merge(board)
    board.place(sign_result(board.result(1), board.key(BOARD)))
    refused(board.verify("main"), "not in the list of keys")
    merge(board)
    refused(verify(board.folder), "not in the list of keys")


def test_a_name_whose_key_was_retired_is_not_taken_unnoticed(board: TestBoard) -> None:
    signers = board.folder / "allowed_signers"
    text = signers.read_text(encoding="ascii")
    signers.write_text(text.replace(board.line(ALICE), ""), encoding="ascii")
    merge(board)
    board.allow(f"{ALICE}#2")
    (notice,) = board.verify("main").notices
    assert notice.startswith(f"a first key for {ALICE} (who has results here): ask them")


def test_a_later_signature_leaves_the_first_one_valid(board: TestBoard) -> None:
    signers = board.folder / "allowed_signers"
    text = signers.read_text(encoding="ascii")
    signers.write_text(
        text.replace(board.line(ALICE), board.line(ALICE, ',valid-before="20260301Z"')), encoding="ascii"
    )
    assert not board.verify("main").findings
    merge(board)
    board.place(sign_result(board.result(1), board.key(BOARD)))
    assert not board.verify("main").findings
    merge(board)
    assert not verify(board.folder).findings


# --- history, and files that break something ---------------------------------------------------------------


def test_a_missing_history_is_said(board: TestBoard, tmp_path: Path) -> None:
    url = board.folder.resolve().as_uri()
    subprocess.run(["git", "clone", "--quiet", "--depth=1", url, str(tmp_path / "shallow")], check=True)
    with pytest.raises(BoardError, match=r"history is missing: this is a shallow clone(.|\n)*--unshallow"):
        verify(tmp_path / "shallow")
    board.git("archive", "--output", str(tmp_path / "board.tar"), "HEAD")
    (tmp_path / "zip").mkdir()
    subprocess.run(["tar", "-xf", str(tmp_path / "board.tar"), "-C", str(tmp_path / "zip")], check=True)
    with pytest.raises(BoardError, match=r"history is missing(.|\n)*git clone"):
        verify(tmp_path / "zip")


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="needs another owner")
def test_a_repository_of_another_owner(board: TestBoard, tmp_path: Path) -> None:
    (tmp_path / "gitconfig").write_text("[user]\nname = T\nemail = t@example.org\n", encoding="ascii")
    for path in [board.folder, *board.folder.rglob("*")]:
        os.chown(path, 12345, 12345, follow_symlinks=False)
    with pytest.raises(BoardError, match=r"history is missing(.|\n)*safe\.directory"):
        verify(board.folder)


def break_protocol(**changes: Any) -> Callable[[TestBoard], None]:
    def edit(board: TestBoard) -> None:
        path = board.folder / "protocols" / "v1.json"
        values = json.loads(path.read_text(encoding="utf-8"))
        for place, value in changes.items():
            put(values, place, value)
        path.write_text(json.dumps(values), encoding="utf-8")

    return edit


def drop_test_split(board: TestBoard) -> None:
    path = board.folder / "protocols" / "v1.json"
    values = json.loads(path.read_text(encoding="utf-8"))
    del values["games"]["pong"]["splits"]["test"]
    path.write_text(json.dumps(values), encoding="utf-8")


def a_line(options: str) -> Callable[[TestBoard], None]:
    return lambda board: board.allow(EVE, options)


@pytest.mark.parametrize(
    "attack",
    [
        break_protocol(accepted_until="2026-02-30T00:00:00Z"),
        break_protocol(baselines__0__pixels_pca={}),
        break_protocol(baselines__0__game="none"),
        break_protocol(games={}),
        drop_test_split,
        a_line(',valid-before="99991231235959"'),
        a_line(',valid-after="00010101"'),
        a_line(',valid-before="20260230Z"'),
        lambda board: (board.folder / "allowed_signers").write_bytes(b"\xff\xfe\0"),
        lambda board: (board.folder / "allowed_signers").unlink(),
        lambda board: (board.folder / "board.json").write_bytes(b"[]"),
        lambda board: (board.folder / "protocols" / "v1.json").unlink(),
        lambda board: (board.folder / "protocols" / "v2.json").write_bytes(b"\0"),
    ],
)
def test_no_file_ends_in_a_traceback(
    board: TestBoard, attack: Callable[[TestBoard], Any], tmp_path: Path
) -> None:
    attack(board)
    board.commit()
    try:
        verdict = verify(board.folder, "main")
    except AtariariError:
        return
    assert verdict.findings
    site.build(verdict, tmp_path / "site")


def test_a_protocol_of_another_format_is_told(board: TestBoard) -> None:
    break_protocol(schema_version=1)(board)
    board.commit()
    with pytest.raises(BoardError, match=r"v1\.json has another format(.|\n)*got: 1(.|\n)*leaderboard init"):
        verify(board.folder)


def test_a_red_main_does_not_stop_an_honest_change(board: TestBoard) -> None:
    path = board.folder / path_of(board.result(1).signed)
    path.write_bytes(path.read_bytes()[:-20])
    merge(board)
    board.place(board.result(3, BOB))
    verdict = board.verify("main")
    assert not verdict.findings
    assert any("wrong already" in notice for notice in verdict.notices)
    rules(board, title="Other")
    board.git("checkout", "--quiet", "main", "--", "results")
    refused(board.verify("main"), "everything else alone")


@pytest.mark.parametrize("config", ["[user]\n\tuseConfigOnly = true\n", "[commit]\n\tgpgsign = true\n"])
def test_nothing_is_left_where_git_cannot_commit(
    tmp_path: Path, config: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("GIT_AUTHOR_NAME", "GIT_AUTHOR_EMAIL", "GIT_COMMITTER_NAME", "GIT_COMMITTER_EMAIL", "EMAIL"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "gitconfig").write_text(f"{config}[gpg]\n\tprogram = /nowhere\n", encoding="ascii")
    with pytest.raises(BoardError, match=r"commit failed(.|\n)*user\.name"):
        create(tmp_path / "board", [protocol()], title="Test")
    assert not list((tmp_path / "board").iterdir())
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match="not an empty folder"):
        create(tmp_path / "file", [protocol()], title="Test")


def test_a_signature_counts_for_one_result(board: TestBoard) -> None:
    one = sign_result(board.result(1), board.key(BOARD))
    forged = Result(
        signatures=[*board.result(3).signatures, one.signatures[1]], signed=board.result(3).signed
    )
    board.place(forged)
    refused(board.verify("main"), "invalid")


def test_findings_are_of_the_change_alone(board: TestBoard) -> None:
    verdict: Verdict = board.verify("main")
    assert (verdict.findings, verdict.added, verdict.notices) == ((), (), ())


def nudged(board: TestBoard, by: float) -> Result:
    """Return Alice's result under Bob's name, with the score of every variable changed a little."""
    theirs = read(board.folder / path_of(board.result(1).signed)).signed.plain["games"]

    def edit(values: Plain) -> None:
        for name, game in values["games"].items():
            columns = theirs[name]["scores"][0]["variables"]
            for number, row in enumerate(game["scores"][0]["variables"]):
                keys = ("score", "accuracy", "error", "interval")
                row.update({key: columns[key][number] for key in keys})
                accuracy, (low, high) = row["accuracy"], row["interval"]
                lowest, highest = 2 * accuracy**2 / (1 + accuracy), 2 * accuracy / (1 + accuracy)
                other = row["score"] + by if row["score"] + by < min(highest, high) else row["score"] - by
                row["score"] = round(max(other, lowest, low), 4)

    return edited(board, 9, BOB, edit, encoder="Mine")


def test_scores_that_are_nearly_anothers_are_pointed_at(board: TestBoard) -> None:
    board.place(nudged(board, 0.0006))
    verdict = board.verify("main")
    assert not verdict.findings
    assert any("has nearly the scores of" in notice for notice in verdict.notices), verdict.notices


def test_no_two_of_the_committed_results_are_nearly_the_same() -> None:
    folder = Path(__file__).parents[1] / "docs" / "results"
    heads = [Head.of(read(file).signed) for file in sorted(folder.glob("*.json"))]
    compared = 0
    for first, second in combinations(heads, 2):
        apart = list(notices._differences(first, second))
        if not apart:
            continue
        close = sum(difference <= notices._CLOSE for difference in apart)
        compared += 1
        assert close / len(apart) < 0.75 * notices._SHARE_CLOSE, (first.encoder.name, second.encoder.name)
    assert compared


def test_executable_bits_on_disk_do_not_matter(board: TestBoard, tmp_path: Path) -> None:
    """As WSL shows them on every file of a Windows disk."""
    board.git("config", "core.fileMode", "true")
    for path in board.folder.rglob("*"):
        if path.is_file() and ".git" not in path.parts:
            path.chmod(0o777)
    submit(write(board.result(3), tmp_path / "r.json"), board.folder)
    assert not verify(board.folder, "main").findings
    assert board.git("ls-files", "--stage").count("100755") == 0


def test_the_work_is_linear_in_the_number_of_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    n, calls = 300, 0
    blobs = [b"\0\0\0\x0bssh-ed25519\0\0\0\x20" + number.to_bytes(32, "big") for number in range(n)]
    keys = [f"ssh-ed25519 {base64.b64encode(blob).decode()}" for blob in blobs]
    text = "".join(f'p{i}@example.org namespaces="{NAMESPACE}" {key}\n' for i, key in enumerate(keys))

    def counted(name: str) -> None:
        real = getattr(board_module, name)

        def call(*arguments: Any) -> Any:
            nonlocal calls
            calls += 1
            return real(*arguments)

        monkeypatch.setattr(board_module, name, call)

    counted("skeleton")
    counted("parse_line")
    assert len(parse_signers(text)) == n
    listed = KeyList(text, frozenset())
    assert [listed.owner(PublicKey.from_line(key)) is not None for key in keys] == [True] * n
    assert calls <= 4 * n
