"""Add a signature to a result."""

from __future__ import annotations

import os

from harness.results.result import NAMESPACE, Result, Signature
from harness.signing.keys import AskPassphrase, default_key, sign
from harness.signing.sshsig import SignatureError


def sign_result(
    result: Result, key: str | os.PathLike[str] | None = None, *, ask: AskPassphrase | None = None
) -> Result:
    """Return ``result`` with an additional signature.

    Args:
        result: Signed or unsigned.
        key: As in `harness.signing.keys.sign`. Default: the user's own key.
        ask: As in `harness.signing.keys.sign`.

    Raises:
        SignatureError: There is no key, it has already signed, or as in `harness.signing.keys.sign`.
    """
    if (key := key or default_key()) is None:
        raise SignatureError(
            "No SSH key to sign with.",
            expected="--key, or git's user.signingkey, or ~/.ssh/id_ed25519",
            cure="harness keygen creates one.",
        )
    public, signature = sign(result.signed.payload, NAMESPACE, key, ask=ask)
    if any(other.keyid == public.fingerprint for other in result.signatures):
        raise SignatureError("This key has already signed the result.", got=public.fingerprint)
    added = Signature(keyid=public.fingerprint, sig=signature)
    signed = Result(signatures=[*result.signatures, added], signed=result.signed)
    return signed.with_predictions(result.predictions)
