"""Mutated leaderboards: what the gate accepts must also pass a check by git and OpenSSH alone.

python -m benchmarks.fuzz_boards [--trials 300] [--seed 0]

Most of the time goes into files and processes: with TMPDIR on a file system in memory it takes a third.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import shutil
import subprocess
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from atariari_data.errors import AtariariError
from harness.leaderboard.board import KeyList, decoded
from harness.leaderboard.gate import verify
from harness.results.sign import sign_result
from harness.signing import keys
from tests.boards import BOARD, TestBoard

ALICE, BOB, EVE = "alice@example.org", "bob@example.org", "eve@example.org"
NAMESPACE = "atariari-result-v1"
Mutation = Callable[[TestBoard, random.Random], None]


def anything(board: TestBoard, draw: random.Random, under: str = "**/*") -> Path:
    """Return a file of the leaderboard."""
    files = sorted(p for p in board.folder.glob(under) if p.is_file() and ".git" not in p.parts)
    return draw.choice(files) if files else board.folder / "board.json"


# --- mutations -------------------------------------------------------------------------------------------


def flip(board: TestBoard, draw: random.Random) -> None:
    path = anything(board, draw)
    data = bytearray(path.read_bytes() or b"x")
    for _ in range(draw.choice((1, 1, 4))):
        data[draw.randrange(len(data))] = draw.randrange(256)
    path.write_bytes(data)


def cut(board: TestBoard, draw: random.Random) -> None:
    path = anything(board, draw)
    data = path.read_bytes()
    at = draw.randrange(len(data) + 1)
    path.write_bytes(draw.choice((data[:at], data + data[at:], b"", data[at:])))


def token(board: TestBoard, draw: random.Random) -> None:
    path = anything(board, draw, draw.choice(("*.json", "protocols/*", "results/*/*/*", "allowed_signers")))
    data = path.read_bytes()
    old = draw.choice((b"1", b"0", b'"v1"', b"null", b"true", b"{", b"2026", b"alice", b"Z", b","))
    new = draw.choice(
        (b"-1", b"null", b"[]", b"1e99", b"NaN", b"9" * 400, b'""', b"\xff", b"\\u0000", b"bob")
    )
    path.write_bytes(data.replace(old, new, 1))


def remove(board: TestBoard, draw: random.Random) -> None:
    anything(board, draw).unlink(missing_ok=True)


def link(board: TestBoard, draw: random.Random) -> None:
    path = anything(board, draw)
    path.unlink(missing_ok=True)
    path.symlink_to(draw.choice(("/etc/passwd", "board.json", "nowhere", "/proc/self/environ")))


def submodule(board: TestBoard, draw: random.Random) -> None:
    where = draw.choice(
        ("vendor", f"results/{ALICE}/x", "frames/pong.png", f"results/{ALICE}/x/{'0' * 16}.json")
    )
    head = board.git("rev-parse", "HEAD").strip()
    board.git("update-index", "--add", "--cacheinfo", f"160000,{head},{where}")


def mode(board: TestBoard, draw: random.Random) -> None:
    anything(board, draw).chmod(0o755)


def move(board: TestBoard, draw: random.Random) -> None:
    path = anything(board, draw, "results/*/*/*")
    to = draw.choice(
        ("results/x.json", f"results/{BOB}/encoder-1/{path.name}", "x.json", "results/../y.json")
    )
    target = board.folder / to
    target.parent.mkdir(parents=True, exist_ok=True)
    draw.choice((shutil.copy, shutil.move))(str(path), str(target))


def honest(board: TestBoard, draw: random.Random) -> None:
    board.place(board.result(draw.randrange(100, 10**6), draw.choice((ALICE, BOB))))


def stranger(board: TestBoard, draw: random.Random) -> None:
    board.place(board.result(draw.randrange(100, 10**6), draw.choice((EVE, f"{ALICE}#2", f"{BOARD}#2"))))


def in_another_s_name(board: TestBoard, draw: random.Random) -> None:
    board.place(board.sign(board.result(draw.randrange(100, 10**6), ALICE).signed, BOB))


def cosigned(board: TestBoard, draw: random.Random) -> None:
    board.place(sign_result(board.result(1), board.key(draw.choice((BOARD, BOARD, BOB, f"{BOARD}#2")))))


def key(board: TestBoard, draw: random.Random) -> None:
    person = draw.choice((EVE, f"{ALICE}#2", f"{BOARD}#2", "a1ice@example.org"))
    options = draw.choice(
        ("", "", ',valid-before="20200101Z"', ',valid-before="20990101"', ",cert-authority")
    )
    board.allow(person, options)


def odd_key(board: TestBoard, draw: random.Random) -> None:
    line = board.line(draw.choice((EVE, f"{BOARD}#2")))
    changes = {
        " ": "\t",
        "@example.org": "@example.org,x",
        "eve": "*",
        "ssh-ed25519": "ssh-rsa",
        "\n": "\r\n",
        "namespaces": "Namespaces",
        f'namespaces="{NAMESPACE}" ': "",
        "AAAA": "AAA=",
    }
    old, new = draw.choice(list(changes.items()))
    with (board.folder / "allowed_signers").open("a", encoding="ascii", newline="") as file:
        file.write(line.replace(old, new, 1))


def retire(board: TestBoard, draw: random.Random) -> None:
    signers = board.folder / "allowed_signers"
    lines = signers.read_text(encoding="ascii").splitlines(keepends=True)
    del lines[draw.randrange(len(lines))]
    signers.write_text("".join(lines), encoding="ascii")


def rules(board: TestBoard, draw: random.Random) -> None:
    path = board.folder / "board.json"
    content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    digests = [
        hashlib.sha256(payload(p.read_bytes())).hexdigest() for p in board.folder.glob("results/*/*/*.json")
    ]
    where = draw.choice(("withdrawn", "removed", "maintainers"))
    if where == "maintainers":
        content[where] = draw.choice(([], [BOARD, EVE], [ALICE], ["B"]))
    else:
        content[where] = {draw.choice([*digests, "0" * 64]): "a reason"}
    path.write_text(json.dumps(content), encoding="utf-8")


def on_main(board: TestBoard, draw: random.Random) -> None:
    """Let main go on meanwhile."""
    board.commit()
    branch = board.git("branch", "--show-current").strip()
    board.git("switch", "--quiet", "main")
    draw.choice((honest, key, retire))(board, draw)
    board.commit(date=draw.choice((None, "1970-01-02T00:00:00Z", "@99999999999 +0000")))
    board.git("switch", "--quiet", branch)


def commits(board: TestBoard, draw: random.Random) -> None:
    board.commit(
        date=draw.choice((None, "1970-01-02T00:00:00Z", "@99999999999 +0000", "2099-01-01T00:00:00Z"))
    )


def only_on_disk(board: TestBoard, draw: random.Random) -> None:
    board.git("rm", "--quiet", "--cached", "--", str(anything(board, draw).relative_to(board.folder)))


MUTATIONS: tuple[Mutation, ...] = (
    *(flip, cut, token, remove, link, submodule, mode, move, stranger, in_another_s_name),
    *(cosigned, key, odd_key, retire, rules, on_main, commits, only_on_disk),
    *([honest] * 4),
)


# --- the oracle: git and OpenSSH -------------------------------------------------------------------------


def payload(data: bytes) -> bytes:
    """Return the bytes that a result's signatures are over, or nothing."""
    try:
        signed = json.loads(data)["signed"]
    except (ValueError, KeyError, TypeError):
        return b""
    return json.dumps(signed, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def objections(board: TestBoard, scratch: Path) -> list[str]:
    """Say what is wrong with the change by what git and ssh-keygen say of the merge, and nothing else."""
    shutil.rmtree(scratch, ignore_errors=True)
    branch = board.git("rev-parse", "HEAD").strip()
    subprocess.run(["cp", "-r", str(board.folder), str(scratch)], check=True)

    def git(*arguments: str) -> bytes:
        return subprocess.run(["git", "-C", str(scratch), *arguments], check=True, capture_output=True).stdout

    # The gate promises to look at the index and at what lies on disk, but not at executable bits on disk.
    dirty = git("-c", "core.fileMode=false", "status", "--porcelain")
    git("reset", "--quiet", "--hard")
    git("clean", "-qfdx")
    git("checkout", "--quiet", "--detach", "main")
    git("merge", "--quiet", "--no-edit", branch)
    found = ["uncommitted"] if dirty else []
    for line in git("ls-tree", "-r", "-z", "HEAD").split(b"\0")[:-1]:
        kind, path = line.split(b" ")[0], line.split(b"\t")[1]
        if kind != b"100644" and (kind != b"100755" or path.startswith(b"results")):
            found.append(f"mode {kind!r} {path!r}")
    raw = git("diff", "--name-status", "--no-renames", "-z", "main", "HEAD").split(b"\0")[:-1]
    letters, paths = (r.decode() for r in raw[::2]), (r.decode(errors="replace") for r in raw[1::2])
    changed = list(zip(letters, paths, strict=True))
    results = [(letter, path) for letter, path in changed if path.startswith("results/")]
    if any(letter != "D" for letter, _ in results) and len(results) != len(changed):
        found.append("results and other things")
    if ("M", "allowed_signers") in changed:
        found += ["keys and other things"] if len(changed) > 1 else []
        found += key_objections(board, git("show", "HEAD:allowed_signers"), scratch)
    removed: dict[str, str] = json.loads(git("show", "HEAD:board.json")).get("removed", {})
    for letter, path in results:
        if letter == "D":
            if Path(path).stem not in {digest[:16] for digest in removed}:
                found.append(f"removed {path}")
            continue
        found += result_objections(git, scratch, letter, path)
    return found


def key_objections(board: TestBoard, content: bytes, scratch: Path) -> list[str]:
    """Compare our reading of a list of keys with OpenSSH's, for every key that anybody here has."""
    found = []
    listed, now = KeyList(decoded(content), frozenset()), datetime.now(UTC)
    (scratch / "keys").write_bytes(content)
    for person in sorted(board.people):
        public, signature = keys.sign(b"anything", NAMESPACE, board.keys / person)
        (scratch / "sig").write_text(signature, encoding="ascii")
        entry = listed.owner(public)
        ours = entry.principals if entry is not None and entry.refusal(NAMESPACE, now) is None else ()
        command = ["ssh-keygen", "-Y", "find-principals", "-f", "keys", "-n", NAMESPACE, "-s", "sig"]
        done = subprocess.run(command, capture_output=True, check=False, cwd=scratch, text=True)
        if done.stdout.split() != [*ours]:
            found.append(f"{person}'s key is {[*ours]}, and for OpenSSH {done.stdout.split()}")
    return found


def result_objections(git: Callable[..., bytes], scratch: Path, letter: str, path: str) -> list[str]:
    data = git("show", f"HEAD:{path}")
    signed = payload(data)
    if not signed:
        return [f"not a result: {path}"]
    found = []
    content = json.loads(data)
    digest, submitter = hashlib.sha256(signed).hexdigest(), content["signed"]["submitter"]["principal"]
    if Path(path).stem != digest[:16] or Path(path).parts[1] != submitter:
        found.append(f"not its path: {path}")
    if letter == "M" and payload(git("show", f"main:{path}")) != signed:
        found.append(f"changed: {path}")
    (scratch / "keys").write_bytes(git("show", "main:allowed_signers"))
    maintainers = json.loads(git("show", "main:board.json"))["maintainers"]
    known = len(json.loads(git("show", f"main:{path}"))["signatures"]) if letter == "M" else 0
    signers = []
    for signature in content["signatures"][known:]:
        (scratch / "sig").write_text(signature["sig"], encoding="ascii")
        people = [submitter, *maintainers]
        good = [p for p in people if openssh_accepts(scratch, p, signed)]
        signers += good[:1]
        if not good:
            found.append(f"ssh-keygen refuses a signature: {path}")
    if letter == "A" and submitter not in signers:
        found.append(f"not by its submitter: {path}")
    return found


def openssh_accepts(scratch: Path, person: str, message: bytes) -> bool:
    command = ["ssh-keygen", "-Y", "verify", "-f", "keys", "-I", person, "-n", NAMESPACE, "-s", "sig"]
    return (
        subprocess.run(command, input=message, capture_output=True, check=False, cwd=scratch).returncode == 0
    )


# --- the run ---------------------------------------------------------------------------------------------


def trial(start: TestBoard, where: Path, draw: random.Random) -> tuple[str, list[str]]:
    """Mutate a leaderboard and judge it; return the outcome and what was done."""
    folder = where / "board"
    shutil.rmtree(folder, ignore_errors=True)
    subprocess.run(["cp", "-r", str(start.folder), str(folder)], check=True)
    board = TestBoard(folder, start.keys, start.suite, start.people)
    board.git("switch", "--quiet", "--create", "change")
    done = []
    for mutate in draw.choices(MUTATIONS, k=draw.choice((1, 1, 2, 3))):
        try:
            mutate(board, draw)
        except (OSError, ValueError, AtariariError, subprocess.CalledProcessError):
            continue  # an earlier mutation took away what this one needs
        done.append(mutate.__name__)
    if draw.randrange(20):
        board.git("add", "--all") if "submodule" not in done and "only_on_disk" not in done else None
        board.git("commit", "--quiet", "--allow-empty", "-m", "Change")
    try:
        verdict = verify(folder, "main")
    except AtariariError:
        return "refused", done
    except Exception:  # noqa: BLE001  which is what this looks for
        traceback.print_exc()
        return "TRACEBACK", done
    if verdict.findings:
        return ("REFUSED HONEST" if set(done) == {"honest"} and len(done) == 1 and not board.git(
            "status", "--porcelain") else "refused"), done  # fmt: skip
    wrong = objections(board, where / "scratch")
    return (f"FALSE ACCEPT: {wrong}" if wrong else "accepted"), done


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--first", type=int, default=0, help="Number of the first trial.")
    options = parser.parse_args()
    for name in ("GIT_AUTHOR", "GIT_COMMITTER"):
        os.environ |= {f"{name}_NAME": "Fuzz", f"{name}_EMAIL": "fuzz@example.org"}
    counts: Counter[str] = Counter()
    begin = time.monotonic()
    with tempfile.TemporaryDirectory() as temporary:
        where = Path(temporary)
        (where / "start").mkdir()
        start = TestBoard.new(where / "start")
        for seed, person in ((1, ALICE), (2, BOB)):
            start.place(start.result(seed, person))
        start.commit("Results")
        start.git("gc", "--quiet", "--prune=now")  # few files, so that copies are quick
        shutil.rmtree(start.folder / ".git" / "hooks")
        for number in range(options.first, options.first + options.trials):
            outcome, done = trial(start, where, random.Random(options.seed * 1_000_003 + number))  # noqa: S311
            counts[outcome.split(":")[0]] += 1
            if outcome not in {"accepted", "refused"}:
                print(number, done, outcome, flush=True)
    print(f"{dict(counts)} in {time.monotonic() - begin:.0f} s")
    if set(counts) - {"accepted", "refused"}:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
