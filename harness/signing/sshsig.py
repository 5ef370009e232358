"""SSH signatures (OpenSSH's PROTOCOL.sshsig): signed with existing SSH keys, verified without OpenSSH."""

from __future__ import annotations

import base64
import binascii
import hashlib
import struct
from dataclasses import dataclass

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.hashes import SHA512

from atariari_data.errors import AtariariError

_MAGIC = b"SSHSIG"
_BEGIN, _END = "-----BEGIN SSH SIGNATURE-----\n", "-----END SSH SIGNATURE-----\n"
_WIDTH = 70  # line length of OpenSSH's armour
MIN_RSA_BITS = 3072
_MAX_RSA_BITS = 16384  # as OpenSSH

ED25519 = "ssh-ed25519"
RSA = "ssh-rsa"
SK_ED25519 = "sk-ssh-ed25519@openssh.com"
_SIGNATURE_OF = {ED25519: ED25519, RSA: "rsa-sha2-512", SK_ED25519: SK_ED25519}


class SignatureError(AtariariError):
    """A signature or key that cannot be read or is invalid."""


@dataclass(frozen=True)
class PublicKey:
    """A public key in SSH's wire format.

    Attributes:
        blob: The second column of a ``.pub`` file, decoded.
    """

    blob: bytes

    @property
    def kind(self) -> str:
        """The key's type: the first column of a ``.pub`` file."""
        return _text(_Reader(self.blob).string())

    @property
    def fingerprint(self) -> str:
        """The fingerprint, as ``ssh-keygen -l`` prints it."""
        digest = hashlib.sha256(self.blob).digest()
        return "SHA256:" + base64.b64encode(digest).decode().rstrip("=")

    @property
    def line(self) -> str:
        """The line of a ``.pub`` file, without the comment."""
        return f"{self.kind} {base64.b64encode(self.blob).decode()}"

    @classmethod
    def from_line(cls, line: str) -> PublicKey:
        """Read the line of a ``.pub`` file.

        Raises:
            SignatureError: Not a public key, or of an unsupported type.
        """
        kind, encoded, *_ = *line.split(None, 2), "", ""
        try:
            key = cls(base64.b64decode(encoded, validate=True))
        except (binascii.Error, ValueError) as error:
            raise SignatureError("Not an SSH public key.", got=ascii(line[:60])) from error
        if key.kind != kind:
            raise SignatureError(
                "An SSH public key names two different types.", expected=kind, got=ascii(key.kind)
            )
        key.check()
        return key

    def check(self) -> None:
        """Check that this is a complete ed25519 or sk-ed25519 key, or an RSA key of at least 3072 bits.

        Raises:
            SignatureError: It is not.
        """
        self.verify_raw(None, b"")

    def verify_raw(self, signature: bytes | None, message: bytes) -> None:
        """Verify an SSH signature blob over ``message``; without a signature, check only the key.

        Raises:
            SignatureError: The signature or the key is invalid.
        """
        reader = _Reader(self.blob)
        kind = _text(reader.string())
        if kind == RSA:
            self._verify_rsa(reader, signature, message)
        elif kind in (ED25519, SK_ED25519):
            self._verify_ed25519(kind, reader, signature, message)
        else:
            raise SignatureError(
                "Unsupported key type.",
                expected="ed25519, sk-ed25519, or RSA with at least 3072 bits",
                got=ascii(kind[:60]),
                cure="harness keygen creates an ed25519 key.",
            )

    def _verify_rsa(self, reader: _Reader, signature: bytes | None, message: bytes) -> None:
        exponent, modulus = reader.integer(), reader.integer()
        reader.end()
        if not MIN_RSA_BITS <= modulus.bit_length() <= _MAX_RSA_BITS:
            raise SignatureError(
                "Unsupported RSA key size.",
                expected=f"{MIN_RSA_BITS} to {_MAX_RSA_BITS} bits",
                got=f"{modulus.bit_length()} bits",
                cure="harness keygen creates an ed25519 key.",
            )
        try:
            key = rsa.RSAPublicNumbers(exponent, modulus).public_key()
        except ValueError as error:
            raise SignatureError("Invalid RSA key.", got=str(error)) from error
        if signature is None:
            return
        body = _open_signature(RSA, signature)
        raw = body.string()
        body.end()
        if len(raw) != (modulus.bit_length() + 7) // 8:
            raise _invalid()
        try:
            key.verify(raw, message, padding.PKCS1v15(), SHA512())
        except InvalidSignature:
            raise _invalid() from None

    @staticmethod
    def _verify_ed25519(kind: str, reader: _Reader, signature: bytes | None, message: bytes) -> None:
        point = reader.string()
        application = reader.string() if kind == SK_ED25519 else b""
        reader.end()
        try:
            key = Ed25519PublicKey.from_public_bytes(point)
        except ValueError as error:
            raise SignatureError("Invalid ed25519 key.", got=f"{len(point)} bytes") from error
        if signature is None:
            return
        body = _open_signature(kind, signature)
        raw = body.string()
        if kind == SK_ED25519:  # U2F: the device signs digests, flags and a counter
            flags_and_counter = body.take(5)
            message = (
                hashlib.sha256(application).digest() + flags_and_counter + hashlib.sha256(message).digest()
            )
        body.end()
        try:
            key.verify(raw, message)
        except InvalidSignature:
            raise _invalid() from None


def to_sign(message: bytes, namespace: str) -> bytes:
    """Return the bytes to sign for ``message``: its SHA-512, tied to the namespace."""
    return (
        _MAGIC
        + _string(namespace.encode())
        + _string(b"")
        + _string(b"sha512")
        + _string(hashlib.sha512(message).digest())
    )


def armour(key: PublicKey, signature: bytes, namespace: str) -> str:
    """Return an SSH signature as text, as ``ssh-keygen -Y sign`` writes it."""
    blob = (
        _MAGIC
        + struct.pack(">I", 1)
        + _string(key.blob)
        + _string(namespace.encode())
        + _string(b"")
        + _string(b"sha512")
        + _string(signature)
    )
    text = base64.b64encode(blob).decode()
    lines = [text[at : at + _WIDTH] + "\n" for at in range(0, len(text), _WIDTH)]
    return _BEGIN + "".join(lines) + _END


def signature_blob(kind: str, raw: bytes) -> bytes:
    """Return a raw ed25519 or RSA (SHA-512) signature, prefixed with the name of its algorithm."""
    return _string(_SIGNATURE_OF[kind].encode()) + _string(raw)


def signer(text: str, namespace: str) -> PublicKey:
    """Return the key that a signature claims to be made with, without verifying it.

    Raises:
        SignatureError: The signature cannot be read or is for another namespace.
    """
    return _open_armour(text, namespace)[0]


def verify(text: str, message: bytes, namespace: str) -> PublicKey:
    """Verify an armoured SSH signature and return the key that made it.

    The key's owner is found in an ``allowed_signers`` file (:mod:`harness.signing.allowed_signers`).

    Raises:
        SignatureError: The signature cannot be read, is for another namespace, or is invalid.
    """
    key, signature = _open_armour(text, namespace)
    key.verify_raw(signature, to_sign(message, namespace))
    return key


def _open_armour(text: str, namespace: str) -> tuple[PublicKey, bytes]:
    if not (text.startswith(_BEGIN) and text.endswith(_END)):
        raise SignatureError("Not an armoured SSH signature.", got=ascii(text[:40]))
    try:
        blob = base64.b64decode(text[len(_BEGIN) : -len(_END)].replace("\n", ""), validate=True)
    except binascii.Error as error:
        raise SignatureError("The SSH signature is not valid base64.", got=str(error)) from error
    reader = _Reader(blob)
    if reader.take(len(_MAGIC)) != _MAGIC or reader.take(4) != b"\0\0\0\1":
        raise SignatureError("Not an SSH signature of version 1.")
    key = PublicKey(reader.string())
    found = _text(reader.string())
    reserved, algorithm, signature = reader.string(), _text(reader.string()), reader.string()
    reader.end()
    if found != namespace:
        raise SignatureError(
            "The signature was made for another purpose.",
            expected=f"namespace {namespace}",
            got=ascii(found[:80]),
        )
    if reserved or algorithm != "sha512":
        raise SignatureError(
            "Unsupported hash in the signature.", expected="sha512", got=ascii(algorithm[:20])
        )
    if armour(key, signature, namespace) != text:  # each signature has exactly one text
        raise SignatureError("The signature is not formatted as OpenSSH formats it.")
    return key, signature


def _open_signature(kind: str, signature: bytes) -> _Reader:
    reader = _Reader(signature)
    algorithm = _text(reader.string())
    if algorithm != _SIGNATURE_OF[kind]:
        raise SignatureError(
            "The signature's algorithm does not match its key.",
            expected=_SIGNATURE_OF[kind],
            got=ascii(algorithm[:60]),
        )
    return reader


def _invalid() -> SignatureError:
    return SignatureError(
        "The signature is invalid: the content was changed, or the signature belongs to another file.",
        cure="Use the file as its author signed it.",
    )


def _string(value: bytes) -> bytes:
    return struct.pack(">I", len(value)) + value


def _text(value: bytes) -> str:
    return value.decode("ascii", errors="backslashreplace")


class _Reader:
    """A sequential reader of SSH's wire format (RFC 4251)."""

    def __init__(self, data: bytes) -> None:
        self._data, self._at = data, 0

    def take(self, count: int) -> bytes:
        if count > len(self._data) - self._at:
            raise SignatureError("A signature or key is truncated.")
        self._at += count
        return self._data[self._at - count : self._at]

    def string(self) -> bytes:
        return self.take(struct.unpack(">I", self.take(4))[0])

    def integer(self) -> int:
        raw = self.string()
        if not raw or raw[0] & 0x80 or (raw[0] == 0 and not (len(raw) > 1 and raw[1] & 0x80)):
            raise SignatureError("A number in a key is negative or not in its shortest form.")
        return int.from_bytes(raw)

    def end(self) -> None:
        if self._at != len(self._data):
            raise SignatureError("A signature or key has trailing bytes.")
