"""The user's own SSH key: found, made, and used to sign, by itself or through ``ssh-keygen``.

A plain ed25519 or RSA key, with or without a passphrase, needs no OpenSSH. Keys in an agent and security
keys (sk-ed25519) go through ``ssh-keygen -Y sign``, which knows how to ask for a touch.
"""

from __future__ import annotations

import base64
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.hashes import SHA512

from atariari_data.errors import UsageError
from harness.signing.sshsig import PublicKey, SignatureError, armour, signature_blob, to_sign, verify

AskPassphrase = Callable[[str], str]
_LITERALS = ("key::", "ssh-", "sk-")
_SSH_DEFAULTS = ("id_ed25519", "id_ed25519_sk", "id_rsa")
_MAX_KEY_BYTES = 100_000


def own_key() -> Path:
    """Return where ``harness keygen`` puts a key: ``~/.config/atariari/id_ed25519``."""
    base = os.environ.get("XDG_CONFIG_HOME")
    return (Path(base) if base else Path.home() / ".config") / "atariari" / "id_ed25519"


def default_key() -> str | None:
    """Return the user's key: the harness's own, else what git signs with, else one in ``~/.ssh``.

    Returns:
        A path, or the public key itself where git names one that an agent holds; None without any.
    """
    if own_key().is_file():
        return str(own_key())
    if _git("gpg.format") == "ssh" and (key := _git("user.signingkey")):
        return key if key.startswith(_LITERALS) else str(Path(key).expanduser())
    for name in _SSH_DEFAULTS:
        if (path := Path.home() / ".ssh" / name).is_file():
            return str(path)
    return None


def keygen(path: str | os.PathLike[str], *, passphrase: str | None = None, comment: str = "") -> PublicKey:
    """Make an ed25519 key pair in OpenSSH's format, readable by its owner alone.

    Args:
        path: Of the private key; the public one goes beside it, as ``path.pub``.
        passphrase: To lock the private key with.
        comment: Closes the public key's line.

    Raises:
        UsageError: One of the two files is there already.
        SignatureError: They cannot be written.
    """
    path = Path(path)
    public_path = path.with_name(path.name + ".pub")
    private = Ed25519PrivateKey.generate()
    lock = (
        serialization.BestAvailableEncryption(passphrase.encode())
        if passphrase
        else serialization.NoEncryption()
    )
    secret = private.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH, lock)
    public = _public_of(private)
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        _create(public_path, f"{public.line} {comment}".strip().encode() + b"\n", 0o644)
        _create(path, secret, 0o600)
    except FileExistsError as error:
        raise UsageError(f"There is a key at {path} already.", cure="Name another file.") from error
    except OSError as error:
        raise SignatureError(f"{path} cannot be written: {error.strerror or error}.") from error
    return public


def sign(
    message: bytes, namespace: str, key: str | os.PathLike[str], *, ask: AskPassphrase | None = None
) -> tuple[PublicKey, str]:
    """Sign ``message`` and return the public key and the armoured signature, which has been verified.

    Args:
        message: Any bytes.
        namespace: What the signature is for.
        key: A private key's file; or a public key (its file, or its line as git's ``user.signingkey``
            has it) whose private half an agent holds.
        ask: Called with a question when the key has a passphrase that no agent spares us.

    Raises:
        SignatureError: No such key, of a kind that does not do, a wrong passphrase, a security key that
            was not touched.
    """
    text = str(key)
    if text.startswith(_LITERALS):
        signature = _with_agent(message, namespace, PublicKey.from_line(text.removeprefix("key::")))
    else:
        signature = _with_file(message, namespace, Path(text), ask)
    return verify(signature, message, namespace), signature


def _with_file(message: bytes, namespace: str, path: Path, ask: AskPassphrase | None) -> str:
    data = _read(path)
    if data.startswith((b"ssh-", b"sk-", b"ecdsa-")):
        return _with_agent(message, namespace, PublicKey.from_line(data.decode("ascii", "replace")))
    try:
        private = _load(data, None)
    except TypeError:  # how cryptography says that there is a passphrase
        public_path = path.with_name(path.name + ".pub")
        if public_path.is_file():
            public = PublicKey.from_line(_read(public_path).decode("ascii", "replace"))
            if _agent_holds(public):
                return _with_agent(message, namespace, public)
        if ask is None:
            raise SignatureError(
                f"The key {path} has a passphrase.", cure=f"Run it in a terminal, or first: ssh-add {path}"
            ) from None
        private = _load(data, ask(f"Passphrase of {path}").encode())
    except UnsupportedAlgorithm:  # a security key's handle: only ssh-keygen can talk to the device
        return _with_ssh_keygen(message, namespace, path)
    return _sign(message, namespace, private)


def _sign(message: bytes, namespace: str, private: Ed25519PrivateKey | rsa.RSAPrivateKey) -> str:
    public = _public_of(private)
    public.check()
    data = to_sign(message, namespace)
    if isinstance(private, Ed25519PrivateKey):
        raw = private.sign(data)
    else:
        raw = private.sign(data, padding.PKCS1v15(), SHA512())
    return armour(public, signature_blob(public.kind, raw), namespace)


def _load(data: bytes, password: bytes | None) -> Ed25519PrivateKey | rsa.RSAPrivateKey:
    loader = (
        serialization.load_ssh_private_key
        if b"BEGIN OPENSSH PRIVATE KEY" in data
        else serialization.load_pem_private_key
    )
    try:
        private = loader(data, password)
    except ValueError as error:
        what = (
            "This is not a private key"
            if password is None
            else "The passphrase is wrong, or the key is broken"
        )
        raise SignatureError(
            f"{what}.", cure="Give an SSH key made by ssh-keygen or by harness keygen."
        ) from error
    if not isinstance(private, Ed25519PrivateKey | rsa.RSAPrivateKey):
        raise SignatureError(
            "Results are not signed with keys of this kind.",
            expected="ed25519, sk-ed25519, or RSA of 3072 bits and up",
            got=type(private).__name__.removesuffix("PrivateKey"),
            cure="harness keygen makes an ed25519 key.",
        )
    return private


def _public_of(private: Ed25519PrivateKey | rsa.RSAPrivateKey) -> PublicKey:
    line = private.public_key().public_bytes(
        serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH
    )
    return PublicKey(base64.b64decode(line.split(b" ")[1]))


def _with_agent(message: bytes, namespace: str, public: PublicKey) -> str:
    with tempfile.TemporaryDirectory(prefix="atariari-") as folder:
        path = Path(folder) / "key.pub"
        path.write_text(public.line + "\n", encoding="ascii")
        return _with_ssh_keygen(message, namespace, path)


def _with_ssh_keygen(message: bytes, namespace: str, path: Path) -> str:
    # Its standard error stays the user's, who reads there that the security key wants to be touched.
    command = [_ssh_keygen(), "-Y", "sign", "-f", str(path), "-n", namespace]
    done = subprocess.run(command, input=message, stdout=subprocess.PIPE, check=False)
    if done.returncode:
        raise SignatureError(
            "ssh-keygen could not sign.",
            got=f"exit code {done.returncode}",
            cure="Is the key in the agent (ssh-add -l), or the security key plugged in and touched?",
        )
    return done.stdout.decode("ascii", "replace")


def _agent_holds(public: PublicKey) -> bool:
    if not os.environ.get("SSH_AUTH_SOCK") or shutil.which("ssh-add") is None:
        return False
    done = subprocess.run(["ssh-add", "-L"], capture_output=True, text=True, check=False)
    return any(line.startswith(public.line) for line in done.stdout.splitlines())


def _ssh_keygen() -> str:
    if (found := shutil.which("ssh-keygen")) is None:
        raise SignatureError(
            "This key needs OpenSSH's ssh-keygen, which is not installed.",
            cure="Install OpenSSH, or sign with a plain key file.",
        )
    return found


def _git(name: str) -> str | None:
    if shutil.which("git") is None:
        return None
    done = subprocess.run(["git", "config", "--get", name], capture_output=True, text=True, check=False)
    return done.stdout.strip() or None


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(_MAX_KEY_BYTES)
    except OSError as error:
        raise SignatureError(
            f"The key {path} cannot be read: {error.strerror or error}.", cure="harness keygen makes one."
        ) from error


def _create(path: Path, content: bytes, mode: int) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
