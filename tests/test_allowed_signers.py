from __future__ import annotations

import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from harness.results.result import NAMESPACE
from harness.results.verify import whose
from harness.signing import allowed_signers, keys
from harness.signing import sshsig as signing
from harness.signing.sshsig import PublicKey, SignatureError

MESSAGE = b"a message"
NOW = datetime.now(UTC)
YESTERDAY, TOMORROW = (f"{NOW + timedelta(days=days):%Y%m%d}" for days in (-1, 1))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("keys")
    keys.keygen(folder / "key")
    keys.keygen(folder / "other")
    return folder


@pytest.fixture(scope="module")
def public(folder: Path) -> PublicKey:
    return PublicKey.from_line((folder / "key.pub").read_text(encoding="ascii"))


def ours(content: str, key: PublicKey, principal: str) -> bool:
    try:
        known = allowed_signers.parse(content.encode())
        return whose(key, known, at=datetime.now(UTC), submitter=principal) == principal
    except SignatureError:
        return False


def theirs(content: str, folder: Path, principal: str) -> bool:
    signature = keys.sign(MESSAGE, NAMESPACE, folder / "key")[1]
    (folder / "sig").write_text(signature, encoding="ascii")
    (folder / "allowed").write_text(content, encoding="utf-8")
    command = ["ssh-keygen", "-Y", "verify", "-f", "allowed", "-I", principal, "-n", NAMESPACE, "-s", "sig"]
    return (
        subprocess.run(command, cwd=folder, input=MESSAGE, capture_output=True, check=False).returncode == 0
    )


@pytest.mark.parametrize(
    ("line", "holds"),
    [
        ("alice KEY", True),
        ("alice KEY a comment with words", True),
        ("  alice\t KEY", True),
        ("# comment\n\nalice KEY", True),
        ("alice,bob KEY", True),
        ("bob,alice KEY", True),
        ('"alice" KEY', True),
        ("bob KEY", False),
        ("Alice KEY", False),
        ("al* KEY", True),
        ("al?ce KEY", True),
        ("*,!alice KEY", False),
        ("!bob,* KEY", True),
        ("alice OTHER", False),
        ("alice OTHER\nalice KEY", True),
        ('alice namespaces="atariari-result-v1" KEY', True),
        ("alice namespaces=atariari-result-v1 KEY", False),
        ('alice NAMESPACES="git,atariari-result-v1" KEY', True),
        ('alice namespaces="atariari-*" KEY', True),
        ('alice namespaces="git,file" KEY', False),
        ('alice namespaces="*,!atariari-result-v1" KEY', False),
        (f'alice valid-after="{YESTERDAY}" KEY', True),
        (f'alice valid-after="{TOMORROW}Z" KEY', False),
        (f'alice valid-before="{TOMORROW}Z" KEY', True),
        (f'alice valid-before="{YESTERDAY}Z" KEY', False),
        (f'alice valid-after="{YESTERDAY}120000Z",valid-before="{TOMORROW}1200" KEY', True),
        (f'alice namespaces="git",valid-before="{TOMORROW}" KEY', False),
        ("alice cert-authority KEY", False),
        ("alice KEY\nalice cert-authority OTHER", True),
        ("", False),
        ("alice", False),
        ("KEY", False),
    ],
)
def test_ssh_keygen_agrees(line: str, holds: bool, folder: Path, public: PublicKey) -> None:
    other = (folder / "other.pub").read_text(encoding="ascii").strip()
    content = line.replace("KEY", public.line).replace("OTHER", other) + "\n"
    assert ours(content, public, "alice") == holds
    assert theirs(content, folder, "alice") == holds


@pytest.mark.parametrize(
    ("line", "match"),
    [
        ("alice nonsense KEY", "Neither a key nor an option"),
        ("alice namespaces KEY", "without a value"),
        ('alice namespaces="a",namespaces="b" KEY', "Duplicate option"),
        ('alice valid-after="2026" KEY', "Invalid time"),
        ('alice valid-after="20261340" KEY', "Invalid time"),
        ('alice valid-after="" KEY', "Invalid time"),
        ('alice valid-before="Z" KEY', "Invalid time"),
        ('alice valid-after="00010101" KEY', "Invalid time"),
        ('alice valid-after="20260202",valid-before="20260101" KEY', "never valid"),
        ("alice ssh-ed25519 AAAA", "truncated"),
        ("alice ssh-ed25519 !!!!", "Not an SSH public key"),
        ("alice ssh-rsa ED25519", "two different types"),
        ("alice", "No key"),
    ],
)
def test_a_line_with_a_mistake_is_named(line: str, match: str, public: PublicKey) -> None:
    line = line.replace("KEY", public.line).replace("ED25519", public.line.split()[1])
    content = f"# whose is whose\nbob {public.line}\n{line}\n"
    with pytest.raises(SignatureError, match=rf"line 3: .*{match}"):
        allowed_signers.parse(content.encode())


def test_keys_of_other_kinds_are_passed_over(folder: Path, public: PublicKey) -> None:
    command = ["ssh-keygen", "-q", "-t", "ecdsa", "-N", "", "-f", str(folder / "ecdsa")]
    subprocess.run(command, check=True, capture_output=True)
    ecdsa = (folder / "ecdsa.pub").read_text(encoding="ascii").strip()
    entries = allowed_signers.parse(f"carol {ecdsa}\nalice {public.line}\n".encode())
    assert [entry.principals for entry in entries] == [("alice",)]


def test_the_file_may_be_no_such_file_or_no_text(tmp_path: Path) -> None:
    with pytest.raises(SignatureError, match="No such file") as missing:
        allowed_signers.read(tmp_path / "none")
    assert missing.value.exit_code == 2
    with pytest.raises(SignatureError, match="cannot be read") as folder:
        allowed_signers.read(tmp_path)
    assert folder.value.exit_code == 1
    (tmp_path / "bytes").write_bytes(b"\xff")
    with pytest.raises(SignatureError, match="not UTF-8"):
        allowed_signers.read(tmp_path / "bytes")


def test_a_small_rsa_key_is_no_allowed_signer(tmp_path: Path) -> None:
    command = ["ssh-keygen", "-q", "-t", "rsa", "-b", "2048", "-N", "", "-f", str(tmp_path / "rsa")]
    subprocess.run(command, check=True, capture_output=True)
    line = (tmp_path / "rsa.pub").read_text(encoding="ascii")
    with pytest.raises(SignatureError, match="line 1: Unsupported RSA key size"):
        allowed_signers.parse(f"alice {line}".encode())
    assert signing.MIN_RSA_BITS == 3072
