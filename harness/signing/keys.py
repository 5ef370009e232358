"""Find, create and sign with the user's SSH key.

Plain ed25519 and RSA keys, with or without a passphrase, need no OpenSSH. Keys in an agent and security keys
(sk-ed25519) are used through ``ssh-keygen -Y sign``, which can ask for a touch.
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
_PUBLIC = (b"ssh-", b"sk-", b"ecdsa-")
_SSH_DEFAULTS = ("id_ed25519", "id_ed25519_sk", "id_rsa")
_MAX_KEY_BYTES = 100_000


def own_key() -> Path:
    """Return the default key file of ``harness keygen``: ``~/.config/atariari/id_ed25519``."""
    base = os.environ.get("XDG_CONFIG_HOME")
    return (Path(base) if base else Path.home() / ".config") / "atariari" / "id_ed25519"


def default_key() -> str | None:
    """Return the user's key: from ``harness keygen``, else git's signing key, else one in ``~/.ssh``.

    Returns:
        A path, or a public key if git names one that is held by an agent; None if there is no key.
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
    """Create an ed25519 key pair in OpenSSH's format, readable only by its owner.

    Args:
        path: File of the private key; the public key is written to ``path.pub``.
        passphrase: Passphrase of the private key.
        comment: Comment at the end of the public key's line.

    Raises:
        UsageError: One of the two files exists.
        SignatureError: The files cannot be written.
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
        _create_pair(path, secret, public_path, f"{public.line} {comment}".strip().encode() + b"\n")
    except FileExistsError as error:
        raise UsageError(
            f"A key already exists at {error.filename}.",
            cure="Choose another file, or print its line with --show.",
        ) from error
    except OSError as error:
        raise SignatureError(f"{path} cannot be written: {error.strerror or error}.") from error
    return public


def public_key(path: str | os.PathLike[str] | None = None) -> PublicKey:
    """Return the public key that belongs to a key file or public key; by default of the user's own key.

    Raises:
        SignatureError: There is no key, or it cannot be read.
    """
    if (key := path or default_key()) is None:
        raise SignatureError("You have no SSH key.", cure="harness keygen creates one.")
    if str(key).startswith(_LITERALS):
        return PublicKey.from_line(str(key).removeprefix("key::"))
    path = Path(key)
    public_path = path.with_name(path.name + ".pub")
    data = _read(public_path if public_path.is_file() else path)
    if data.startswith(_PUBLIC):
        return PublicKey.from_line(data.decode("ascii", "replace"))
    try:
        return _public_of(_load(data, None))
    except TypeError:  # raised by cryptography if the key has a passphrase
        raise _locked(path) from None
    except UnsupportedAlgorithm:  # a security key
        raise SignatureError(
            f"The public key of {path} cannot be told without {public_path.name}.",
            cure=f"ssh-keygen -y -f {path} > {public_path}",
        ) from None


def check(key: str | os.PathLike[str], *, can_ask: bool) -> None:
    """Check that a key can probably sign, without signing.

    Args:
        key: As in `sign`.
        can_ask: Whether a passphrase can be asked for.

    Raises:
        SignatureError: The key does not exist, has an unsupported type, or has a passphrase that cannot be
            asked for.
    """
    if str(key).startswith(_LITERALS):
        PublicKey.from_line(str(key).removeprefix("key::"))
        return
    data = _read(Path(key))
    if data.startswith(_PUBLIC):
        PublicKey.from_line(data.decode("ascii", "replace"))
        return
    try:
        _public_of(_load(data, None)).check()
    except TypeError:  # raised by cryptography if the key has a passphrase
        if not can_ask and not _in_agent(Path(key)):
            raise _locked(Path(key)) from None
    except UnsupportedAlgorithm:  # a security key: only ssh-keygen can talk to the device
        _ssh_keygen()


def sign(
    message: bytes, namespace: str, key: str | os.PathLike[str], *, ask: AskPassphrase | None = None
) -> tuple[PublicKey, str]:
    """Sign ``message`` and return the public key and the verified, armoured signature.

    Args:
        message: Any bytes.
        namespace: The purpose of the signature.
        key: File of a private key; or a public key (its file, or its line as in git's ``user.signingkey``)
            whose private key is held by an agent.
        ask: Called with a prompt to get the key's passphrase, unless an agent holds the key.

    Raises:
        SignatureError: The key does not exist or has an unsupported type, the passphrase is wrong, or the
            security key was not touched.
    """
    text = str(key)
    if text.startswith(_LITERALS):
        signature = _with_agent(message, namespace, PublicKey.from_line(text.removeprefix("key::")))
    else:
        signature = _with_file(message, namespace, Path(text), ask)
    return verify(signature, message, namespace), signature


def sign_bare(
    message: bytes, key: str | os.PathLike[str] | None = None, *, ask: AskPassphrase | None = None
) -> tuple[PublicKey, bytes]:
    """Sign ``message`` itself, without OpenSSH's frame and namespace, for tools that do not know these.

    The message must say what it is for, as the frame would, so that the signature counts for nothing else.

    Args:
        message: Any bytes.
        key: File of a private key. Default: the user's own key.
        ask: Called with a prompt to get the key's passphrase.

    Returns:
        The public key and the signature: ed25519, or RSA with PKCS #1 v1.5 and SHA-512.

    Raises:
        SignatureError: There is no key, it is held by an agent or a security key, which sign within the frame
            only, or as for `sign`.
    """
    if (key := key or default_key()) is None:
        raise SignatureError("You have no SSH key.", cure="harness keygen creates one.")
    if str(key).startswith(_LITERALS) or (data := _read(Path(key))).startswith(_PUBLIC):
        raise _in_no_file(key)
    try:
        private = _load(data, None)
    except TypeError:  # raised by cryptography if the key has a passphrase
        private = _unlock(Path(key), data, ask)
    except UnsupportedAlgorithm as error:  # a security key
        raise _in_no_file(key) from error
    public = _public_of(private)
    public.check()
    return public, _sign_bytes(message, private)


def _in_no_file(key: str | os.PathLike[str]) -> SignatureError:
    return SignatureError(
        "An agent or a security key cannot sign this.",
        expected="the file of a private key",
        got=str(key)[:60],
        cure="harness keygen PATH creates one; then use --key PATH.",
    )


def _unlock(path: Path, data: bytes, ask: AskPassphrase | None) -> Ed25519PrivateKey | rsa.RSAPrivateKey:
    if ask is None:
        raise _locked(path)
    if not (passphrase := ask(f"Passphrase for {path}")):
        raise _locked(path)
    return _load(data, passphrase.encode())


def _with_file(message: bytes, namespace: str, path: Path, ask: AskPassphrase | None) -> str:
    data = _read(path)
    if data.startswith(_PUBLIC):
        return _with_agent(message, namespace, PublicKey.from_line(data.decode("ascii", "replace")))
    try:
        private = _load(data, None)
    except TypeError:  # raised by cryptography if the key has a passphrase
        if (public := _in_agent(path)) is not None:
            return _with_agent(message, namespace, public)
        private = _unlock(path, data, ask)
    except UnsupportedAlgorithm:  # a security key: only ssh-keygen can talk to the device
        return _with_ssh_keygen(message, namespace, path)
    return _sign(message, namespace, private)


def _in_agent(path: Path) -> PublicKey | None:
    """Return the public key of a private key's file if an agent holds it."""
    public_path = path.with_name(path.name + ".pub")
    if not public_path.is_file():
        return None
    public = PublicKey.from_line(_read(public_path).decode("ascii", "replace"))
    return public if _agent_holds(public) else None


def _locked(path: Path) -> SignatureError:
    return SignatureError(
        f"The key {path} has a passphrase.",
        cure=f"Run this in a terminal, or add the key to your agent first: ssh-add {path}",
    )


def _sign(message: bytes, namespace: str, private: Ed25519PrivateKey | rsa.RSAPrivateKey) -> str:
    public = _public_of(private)
    public.check()
    raw = _sign_bytes(to_sign(message, namespace), private)
    return armour(public, signature_blob(public.kind, raw), namespace)


def _sign_bytes(data: bytes, private: Ed25519PrivateKey | rsa.RSAPrivateKey) -> bytes:
    if isinstance(private, Ed25519PrivateKey):
        return private.sign(data)
    return private.sign(data, padding.PKCS1v15(), SHA512())


def _load(data: bytes, password: bytes | None) -> Ed25519PrivateKey | rsa.RSAPrivateKey:
    loader = (
        serialization.load_ssh_private_key
        if b"BEGIN OPENSSH PRIVATE KEY" in data
        else serialization.load_pem_private_key
    )
    try:
        private = loader(data, password)
    except ValueError as error:
        what = "Not a private key" if password is None else "Wrong passphrase, or a damaged key"
        raise SignatureError(
            f"{what}.", cure="Use an SSH key created by ssh-keygen or harness keygen."
        ) from error
    if not isinstance(private, Ed25519PrivateKey | rsa.RSAPrivateKey):
        raise SignatureError(
            "Unsupported key type.",
            expected="ed25519, sk-ed25519, or RSA with at least 3072 bits",
            got=type(private).__name__.removesuffix("PrivateKey"),
            cure="harness keygen creates an ed25519 key.",
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
    # Standard error is inherited: there ssh-keygen asks for the touch of a security key.
    command = [_ssh_keygen(), "-Y", "sign", "-f", str(path), "-n", namespace]
    done = subprocess.run(command, input=message, stdout=subprocess.PIPE, check=False)
    if done.returncode:
        raise SignatureError(
            "ssh-keygen could not sign.",
            got=f"exit code {done.returncode}",
            cure="Check that the agent holds the key (ssh-add -l), or plug in and touch the security key.",
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
            "This key needs ssh-keygen from OpenSSH, which is not installed.",
            cure="Install OpenSSH, or use a plain key file.",
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
            f"The key {path} cannot be read: {error.strerror or error}.", cure="harness keygen creates one."
        ) from error


def _create_pair(path: Path, secret: bytes, public_path: Path, line: bytes) -> None:
    """Create both files, or none: a public key beside another private key would be taken for its own."""
    _create(path, secret, 0o600)
    try:
        _create(public_path, line, 0o644)
    except OSError:
        path.unlink()
        raise


def _create(path: Path, content: bytes, mode: int) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
    except OSError:
        path.unlink()
        raise
