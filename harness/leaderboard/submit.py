"""Changes to a leaderboard's clone, each on a branch of its own: a result, or a key."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from atariari_data.errors import UsageError
from harness.leaderboard.board import SIGNERS, path_of, read_rules
from harness.leaderboard.entry import check_entry
from harness.leaderboard.gate import verify
from harness.leaderboard.names import slug
from harness.leaderboard.repository import BoardError, Repository, commit, git
from harness.results import result_file
from harness.results.result import NAMESPACE, Result
from harness.signing import sshsig
from harness.signing.sshsig import PublicKey, SignatureError

_BASES = ("refs/remotes/origin/HEAD", "refs/heads/main")


@dataclass(frozen=True)
class Submitted:
    """A change that was committed: what changed, and on which branch."""

    path: str
    branch: str


def submit(result_path: Path, folder: Path) -> Submitted:
    """Commit a result to a clone of a leaderboard, on a new branch, and run the gate on that.

    Raises:
        UsageError: The clone has uncommitted changes, or the result is there already.
        BoardError, ResultError, SignatureError: The leaderboard would refuse it; nothing was changed.
    """
    result = result_file.read(result_path)
    path = path_of(result.signed)
    repository, base = _clean(folder)
    tree = repository.tree(base)
    board, _ = read_rules(repository, tree)
    if path in tree:
        raise UsageError("The leaderboard has this result already.", got=path)
    principal = path.split("/")[1]
    if result.signatures and not any(principal in entry.principals for entry in board.keys.entries):
        key = sshsig.signer(result.signatures[0].sig, NAMESPACE)
        raise SignatureError(
            f"{principal} has no key on this leaderboard yet.",
            got=key.fingerprint,
            cure=f"harness leaderboard admit {principal} KEY.pub --to {folder}, and have that merged first",
        )
    check_entry(board, path, result, new=datetime.now(UTC))

    def write() -> None:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        result_file.write(result, folder / path)

    branch = f"submit/{slug(result.signed.encoder.name)}-{result.signed.digest[:8]}"
    _commit(repository, base, branch, path, write, _message(result, path))
    return Submitted(path, branch)


def admit(principal: str, key: PublicKey, folder: Path) -> Submitted:
    """Commit a person's key to a clone of a leaderboard, on a new branch, and run the gate on that.

    Raises:
        UsageError: The clone has uncommitted changes.
        BoardError: The name looks like another one, or the key is there already; nothing was changed.
    """
    repository, base = _clean(folder)
    tree = repository.tree(base)
    line = f'{principal} namespaces="{NAMESPACE}" {key.line}\n'

    def write() -> None:
        before = repository.content(tree[SIGNERS].oid) if SIGNERS in tree else b""
        end = b"" if before.endswith(b"\n") or not before else b"\n"
        (folder / SIGNERS).write_bytes(before + end + line.encode())

    branch = f"admit/{slug(principal)}-{slug(key.fingerprint[7:15])}"
    message = f"Admit a key of {principal}\n\n{key.fingerprint}\n"
    _commit(repository, base, branch, SIGNERS, write, message)
    return Submitted(SIGNERS, branch)


def _clean(folder: Path) -> tuple[Repository, str]:
    """Return the repository of an unchanged clone, and the commit to begin from: not another change."""
    repository = Repository(folder)
    if changed := repository.uncommitted():
        raise UsageError(
            f"{folder} has uncommitted changes.", got=changed[0], cure="git stash, or a fresh clone"
        )
    for name in _BASES:
        with suppress(UsageError):
            return repository, repository.commit_of(name)
    return repository, repository.commit_of("HEAD")


def _commit(
    repository: Repository, base: str, branch: str, path: str, write: Callable[[], None], message: str
) -> None:
    folder = repository.folder
    head = git(folder, "rev-parse", "--abbrev-ref", "HEAD").decode().strip()
    back = ["--detach", repository.commit_of("HEAD")] if head == "HEAD" else [head]
    if git(folder, "branch", "--list", branch):
        raise UsageError(
            "This was submitted from this clone already.",
            got=f"branch {branch}",
            cure=f"git push origin {branch}, or git branch -D {branch} to start again",
        )
    git(folder, "switch", "--quiet", "--no-track", "--create", branch, base)
    try:
        try:
            write()
        except OSError as error:
            raise BoardError(f"{path} cannot be written: {error.strerror or error}.") from error
        git(folder, "add", "--force", "--chmod=-x", "--", path)
        commit(folder, message)
        _gate(folder, base)
    except BaseException:
        git(folder, "reset", "--quiet", "--hard", base)
        git(folder, "switch", "--quiet", *back)
        git(folder, "branch", "--quiet", "-D", branch)
        raise


def _gate(folder: Path, base: str) -> None:
    if findings := verify(folder, base).findings:
        raise findings[0].error


def _message(result: Result, path: str) -> str:
    signed = result.signed
    mean = signed.suite[0].means.score
    score = "no suite mean" if mean is None else f"suite score {mean:.4f}"
    games = f"{len(signed.games)} of {len(signed.dataset.suite_games)} games"
    lines = [
        f"Submit {signed.encoder.name}: {score}, {games}",
        "",
        f"Submitter: {signed.submitter.principal if signed.submitter else ''}",
        f"Protocol: {signed.protocol.name}",
        f"Trained on: {signed.encoder.trained_on}",
        *(
            f"{what}: {url}"
            for what, url in (("Code", signed.encoder.code), ("Paper", signed.encoder.paper))
            if url
        ),
        f"File: {path}",
    ]
    return "\n".join(lines) + "\n"
