from __future__ import annotations

import base64
import contextlib
import hashlib
import os
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from atariari_data.errors import UsageError
from harness.results.result import NAMESPACE
from harness.signing import keys
from harness.signing import sshsig as signing
from harness.signing.sshsig import PublicKey, SignatureError

MESSAGE = b'{"a": "result"}'


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home without keys, agent or git settings."""
    for name in ("SSH_AUTH_SOCK", "XDG_CONFIG_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(tmp_path / ".gitconfig"))
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def without_openssh(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")


def ssh_keygen_makes(path: Path, *options: str) -> Path:
    command = ["ssh-keygen", "-q", "-f", str(path), "-N", "", "-C", "a comment", *options]
    subprocess.run(command, check=True, capture_output=True)
    return path


def ssh_keygen_verifies(
    public: PublicKey, message: bytes, signature: str, namespace: str = NAMESPACE
) -> bool:
    Path("allowed").write_text(f"alice {public.line}\n", encoding="ascii")
    Path("sig").write_text(signature, encoding="ascii")
    command = ["ssh-keygen", "-Y", "verify", "-f", "allowed", "-I", "alice", "-n", namespace, "-s", "sig"]
    return subprocess.run(command, input=message, capture_output=True, check=False).returncode == 0


def security_key(message: bytes, flags: int = 1, tamper: bool = False) -> tuple[PublicKey, str]:
    """Sign as a FIDO token does: it puts flags and a counter between two digests."""
    private, application = Ed25519PrivateKey.generate(), b"ssh:"
    point = private.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)

    def string(value: bytes) -> bytes:
        return struct.pack(">I", len(value)) + value

    key = PublicKey(string(signing.SK_ED25519.encode()) + string(point) + string(application))
    tail = struct.pack(">BI", flags, 7)
    data = hashlib.sha256(application).digest() + tail
    raw = private.sign(data + hashlib.sha256(signing.to_sign(message, NAMESPACE)).digest())
    if tamper:
        tail = struct.pack(">BI", flags, 8)
    return key, signing.armour(key, signing.signature_blob(signing.SK_ED25519, raw) + tail, NAMESPACE)


@pytest.mark.parametrize("options", [("-t", "ed25519"), ("-t", "rsa", "-b", "3072", "-m", "PEM")])
def test_our_signature_is_the_one_that_ssh_keygen_makes(home: Path, options: tuple[str, ...]) -> None:
    key = ssh_keygen_makes(home / "key", *options)
    public, signature = keys.sign(MESSAGE, NAMESPACE, key)
    command = ["ssh-keygen", "-q", "-Y", "sign", "-f", str(key), "-n", NAMESPACE]
    theirs = subprocess.run(command, input=MESSAGE, capture_output=True, check=True).stdout.decode()
    assert signature == theirs
    assert signing.verify(theirs, MESSAGE, NAMESPACE) == public
    assert ssh_keygen_verifies(public, MESSAGE, signature)
    listed = subprocess.run(
        ["ssh-keygen", "-l", "-f", f"{key}.pub"], capture_output=True, text=True, check=True
    )
    assert listed.stdout.split()[1] == public.fingerprint


@pytest.mark.usefixtures("without_openssh")
def test_plain_keys_need_no_openssh(home: Path) -> None:
    public = keys.keygen(home / "key")
    assert keys.sign(MESSAGE, NAMESPACE, home / "key")[0] == public


def test_keygen_makes_a_key_that_openssh_takes(home: Path) -> None:
    public = keys.keygen(home / "new" / "key", passphrase="open sesame", comment="for results")  # noqa: S106
    assert (home / "new" / "key").stat().st_mode & 0o777 == 0o600
    line = (home / "new" / "key.pub").read_text(encoding="ascii")
    assert line == f"{public.line} for results\n"
    command = ["ssh-keygen", "-y", "-P", "open sesame", "-f", str(home / "new" / "key")]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout.startswith(public.line)
    for name in ("key", "key.pub"):
        (home / "new" / name).rename(home / name)
        with pytest.raises(UsageError, match=f"already exists at {home / name}\\."):
            keys.keygen(home / "key")
        assert list(home.glob("key*")) == [home / name], "no half of another pair"
        (home / name).rename(home / "new" / name)
    assert sorted(path.name for path in (home / "new").iterdir()) == ["key", "key.pub"]


@pytest.mark.skipif(not hasattr(os, "openpty"), reason="needs a terminal")
def test_the_command_asks_in_a_terminal(tmp_path: Path) -> None:
    import pty

    keys.keygen(tmp_path / "key", passphrase="open")  # noqa: S106
    code = (
        "from harness.cli.output import ask_passphrase; from harness.signing import keys; "
        f"print(keys.sign(b'x', 'n', {str(tmp_path / 'key')!r}, ask=ask_passphrase)[0].fingerprint)"
    )
    pid, terminal = pty.fork()
    if pid == 0:
        os.execv(sys.executable, [sys.executable, "-c", code])  # noqa: S606
    said = b""
    with contextlib.suppress(OSError):  # how a closed terminal ends
        while chunk := os.read(terminal, 1000):
            said += chunk
            if said.endswith(b": "):
                os.write(terminal, b"open\n")
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0, said
    assert b"Passphrase for" in said
    assert b"SHA256:" in said


def test_passphrases(home: Path) -> None:
    public = keys.keygen(home / "key", passphrase="open sesame")  # noqa: S106
    asked = []

    def ask(question: str) -> str:
        asked.append(question)
        return "open sesame"

    assert keys.sign(MESSAGE, NAMESPACE, home / "key", ask=ask)[0] == public
    assert asked == [f"Passphrase for {home / 'key'}"]
    with pytest.raises(SignatureError, match="Wrong passphrase"):
        keys.sign(MESSAGE, NAMESPACE, home / "key", ask=lambda _: "wrong")
    for none_given in (None, lambda _: ""):
        with pytest.raises(SignatureError, match="ssh-add"):
            keys.sign(MESSAGE, NAMESPACE, home / "key", ask=none_given)


def test_a_security_key_without_its_public_half(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keys.keygen(home / "key")
    (home / "key.pub").unlink()

    def unsupported(*_: object) -> None:
        raise UnsupportedAlgorithm("sk-ssh-ed25519@openssh.com")

    monkeypatch.setattr(keys, "_load", unsupported)
    with pytest.raises(SignatureError, match="ssh-keygen -y -f"):
        keys.public_key(home / "key")


@pytest.fixture
def agent(home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    socket = home / "agent"
    process = subprocess.Popen(["ssh-agent", "-D", "-a", str(socket)], stdout=subprocess.DEVNULL)
    monkeypatch.setenv("SSH_AUTH_SOCK", str(socket))
    while not socket.exists():
        assert process.poll() is None
    yield
    process.terminate()
    process.wait()


@pytest.mark.usefixtures("agent")
def test_keys_in_an_agent(home: Path) -> None:
    public = keys.keygen(home / "key")
    subprocess.run(["ssh-add", "-q", str(home / "key")], check=True, capture_output=True)
    (home / "key").unlink()
    for key in (home / "key.pub", public.line, f"key::{public.line}"):
        assert keys.sign(MESSAGE, NAMESPACE, key)[0] == public
    other = keys.keygen(home / "other")
    (home / "other").unlink()
    with pytest.raises(SignatureError, match="could not sign"):
        keys.sign(MESSAGE, NAMESPACE, other.line)


@pytest.mark.usefixtures("agent")
def test_a_locked_key_that_the_agent_holds_asks_for_nothing(home: Path) -> None:
    public = keys.keygen(home / "key")
    subprocess.run(["ssh-add", "-q", str(home / "key")], check=True, capture_output=True)
    command = ["ssh-keygen", "-q", "-p", "-P", "", "-N", "open sesame", "-f", str(home / "key")]
    subprocess.run(command, check=True, capture_output=True)
    assert keys.sign(MESSAGE, NAMESPACE, home / "key")[0] == public


def test_security_keys_agree_with_openssh() -> None:
    key, signature = security_key(MESSAGE)
    assert signing.verify(signature, MESSAGE, NAMESPACE) == key
    assert ssh_keygen_verifies(key, MESSAGE, signature)
    key, signature = security_key(MESSAGE, tamper=True)
    with pytest.raises(SignatureError, match="is invalid"):
        signing.verify(signature, MESSAGE, NAMESPACE)
    assert not ssh_keygen_verifies(key, MESSAGE, signature)


def test_bad_signatures_are_bad_for_openssh_too(home: Path) -> None:
    public, signature = keys.sign(MESSAGE, NAMESPACE, ssh_keygen_makes(home / "key", "-t", "ed25519"))
    assert not ssh_keygen_verifies(public, MESSAGE + b" ", signature)
    with pytest.raises(SignatureError, match="is invalid"):
        signing.verify(signature, MESSAGE + b" ", NAMESPACE)
    assert not ssh_keygen_verifies(public, MESSAGE, signature, "another-namespace")
    with pytest.raises(SignatureError, match="another purpose"):
        signing.verify(signature, MESSAGE, "another-namespace")
    body = base64.b64decode("".join(signature.splitlines()[1:-1]))
    for at in range(len(body)):
        changed = bytearray(body)
        changed[at] ^= 1
        lines = base64.b64encode(changed).decode()
        text = "-----BEGIN SSH SIGNATURE-----\n"
        text += "".join(f"{lines[i : i + 70]}\n" for i in range(0, len(lines), 70))
        with pytest.raises(SignatureError):
            signing.verify(f"{text}-----END SSH SIGNATURE-----\n", MESSAGE, NAMESPACE)


def test_every_changed_character_of_the_armour_is_refused(home: Path) -> None:
    _, signature = keys.sign(MESSAGE, NAMESPACE, ssh_keygen_makes(home / "key", "-t", "ed25519"))
    for at, character in enumerate(signature):
        for other in "A\n =" if character != "A" else "B\n":
            if other == character:
                continue
            with pytest.raises(SignatureError):
                signing.verify(signature[:at] + other + signature[at + 1 :], MESSAGE, NAMESPACE)


@pytest.mark.parametrize(
    ("options", "match"),
    [
        (("-t", "ecdsa"), "Unsupported key type"),
        (("-t", "rsa", "-b", "2048"), "3072 to 16384 bits"),
    ],
)
def test_keys_that_do_not_do(home: Path, options: tuple[str, ...], match: str) -> None:
    key = ssh_keygen_makes(home / "key", *options)
    for path in (key, f"{key}.pub"):
        with pytest.raises(SignatureError, match=match):
            keys.sign(MESSAGE, NAMESPACE, path)


@pytest.mark.parametrize("content", ["", "nonsense", "-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n"])
def test_files_that_are_no_keys(home: Path, content: str) -> None:
    (home / "key").write_text(content, encoding="ascii")
    with pytest.raises(SignatureError, match="Not a private key"):
        keys.sign(MESSAGE, NAMESPACE, home / "key")


def test_no_such_key(home: Path) -> None:
    with pytest.raises(SignatureError, match=r"cannot be read(.|\n)*keygen"):
        keys.sign(MESSAGE, NAMESPACE, home / "none")


def test_the_default_is_the_users_own(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert keys.default_key() is None
    (home / ".ssh").mkdir()
    (home / ".ssh" / "id_rsa").touch()
    assert keys.default_key() == str(home / ".ssh" / "id_rsa")
    (home / ".ssh" / "id_ed25519").touch()
    assert keys.default_key() == str(home / ".ssh" / "id_ed25519")
    (home / ".gitconfig").write_text(
        "[gpg]\nformat = ssh\n[user]\nsigningkey = ~/git.pub\n", encoding="ascii"
    )
    assert keys.default_key() == str(home / "git.pub")
    (home / ".gitconfig").write_text(
        '[gpg]\nformat = ssh\n[user]\nsigningkey = "key::ssh-ed25519 A"\n', encoding="ascii"
    )
    assert keys.default_key() == "key::ssh-ed25519 A"
    keys.keygen(keys.own_key())
    assert keys.default_key() == str(home / ".config" / "atariari" / "id_ed25519")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(home / "elsewhere"))
    assert keys.own_key() == home / "elsewhere" / "atariari" / "id_ed25519"
