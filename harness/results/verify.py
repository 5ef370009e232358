"""Whether a result holds: its signatures, its form, and that its numbers follow from one another.

Needs neither torch, ale-py nor a network. What it proves is who vouches for the numbers and that nobody
changed them since, not that they are true.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from atariari_data.games import game as game_of
from harness.results.canonical import PLACES, ResultError
from harness.results.consistency import check, expect
from harness.results.result import NAMESPACE, ProbeScores, Result, Signed
from harness.results.result_file import read
from harness.signing import allowed_signers
from harness.signing import sshsig as signing
from harness.signing.allowed_signers import AllowedSigner
from harness.signing.sshsig import SignatureError

if TYPE_CHECKING:
    from builders.manifest import Manifest


@dataclass(frozen=True)
class SignedBy:
    """A signature that holds.

    Attributes:
        keyid: Fingerprint of the key.
        principal: Whose key it is, where a list of keys says so.
    """

    keyid: str
    principal: str | None


@dataclass(frozen=True)
class Report:
    """What was found about a result that holds.

    Attributes:
        digest: SHA-256 of the signed bytes.
        encoder: Its name.
        submitter: Who the result says vouches for it.
        signed_by: The signatures, all of them valid.
        vouched: Whether the submitter's own key is among them, as a list of keys tells.
        ranked: Whether the result may stand in a ranking.
        dataset_known: Whether its dataset is the installed one, so that rows, digests and variables could be
            compared with the manifests.
    """

    digest: str
    encoder: str
    submitter: str | None
    signed_by: tuple[SignedBy, ...]
    vouched: bool
    ranked: bool
    dataset_known: bool = False

    def as_dict(self) -> dict[str, Any]:
        """Return the report for ``--json``."""
        return {"verified": True, **asdict(self)}


def verify(
    path: str | os.PathLike[str],
    signers: str | os.PathLike[str] | None = None,
    *,
    at: datetime | None = None,
) -> Report:
    """Check a result file.

    Args:
        path: The file.
        signers: An ``allowed_signers`` file. With one, every signature must be by a key in it, and one of
            them by the submitter's.
        at: When the keys must be valid; now, if not given.

    Raises:
        ResultError: It cannot be read, or its numbers do not follow from one another.
        SignatureError: It is not signed, a signature does not hold, or the wrong one signed.
    """
    result = read(path)
    known = None if signers is None else allowed_signers.read(signers)
    report = check_signatures(result, known, at=at)
    check(result.signed)
    return replace(report, dataset_known=check_manifests(result.signed))


def check_signatures(
    result: Result, known: Sequence[AllowedSigner] | None, *, at: datetime | None = None
) -> Report:
    """Check the signatures of a result, and whose they are; as :func:`verify`."""
    if not result.signatures:
        raise SignatureError("The result is not signed.", cure="harness sign RESULT")
    signed, payload, at = result.signed, result.signed.payload, at or datetime.now(UTC)
    found: list[SignedBy] = []
    for signature in result.signatures:
        key = signing.verify(signature.sig, payload, NAMESPACE)
        if key.fingerprint != signature.keyid:
            raise SignatureError(
                "A signature is by another key than it says.", expected=signature.keyid, got=key.fingerprint
            )
        if any(other.keyid == signature.keyid for other in found):
            raise SignatureError("One key signed twice.", got=signature.keyid)
        principal = None if known is None else whose(key, known, at=at, submitter=_principal(signed))
        found.append(SignedBy(signature.keyid, principal))
    vouched = known is not None and any(s.principal == _principal(signed) for s in found)
    if known is not None and _principal(signed) is not None and not vouched:
        raise SignatureError(
            "The submitter did not sign the result.",
            expected=f"a signature by {_principal(signed)}",
            got=", ".join(str(s.principal) for s in found),
        )
    return Report(
        signed.digest, signed.encoder.name, _principal(signed), tuple(found), vouched, signed.ranked
    )


def whose(
    key: signing.PublicKey, known: Sequence[AllowedSigner], *, at: datetime, submitter: str | None
) -> str:
    """Return the principal that a key belongs to.

    Raises:
        SignatureError: Nobody's, or it may not sign results, or not at that time.
    """
    refusal = "it is not in the list of allowed signers"
    lines = [line for line in known if line.key == key]
    for line in sorted(lines, key=lambda line: not (submitter is not None and line.covers(submitter))):
        reason = line.refusal(NAMESPACE, at)
        if reason is None:
            return (
                submitter if submitter is not None and line.covers(submitter) else ",".join(line.principals)
            )
        refusal = reason
    raise SignatureError(f"The key {key.fingerprint} does not count: {refusal}.")


def check_manifests(signed: Signed) -> bool:
    """Compare a result with the manifests of the installed dataset; False if it was made on another version.

    Raises:
        ResultError: Rows, digests or variables are not those of the dataset it names.
    """
    from builders.manifest import DATASET_VERSION, load_manifest, recorded_games

    dataset = signed.dataset
    if dataset.version != DATASET_VERSION:
        return False
    for name, game in signed.games.items():
        if name not in recorded_games() or dataset.label_set not in game_of(name).label_sets:
            raise ResultError(f"The dataset has no {name} with labels {dataset.label_set}.")
        manifest = load_manifest(name)
        for split, frozen in manifest.configs[name].splits.items():
            if split != "test" or dataset.fresh_seed is None:
                used = {str(key): value for key, value in dataset.splits[name].items()}[split]
                expect(f"{name}: rows of {split}", frozen.rows, used.rows)
                expect(f"{name}: digest of {split}", f"blake3:{frozen.digest}", used.digest)
        categories = {v.name: list(v.categories) for v in game_of(name).variables(dataset.label_set)}
        probed = [(variable, categories[variable]) for variable in manifest.probed(dataset.label_set)]
        shown = zip(*game.scores[0].variables.take(("name", "categories")), strict=True)
        expect(f"{name}: variables", probed, list(shown))
        for scores in game.scores:
            _check_trivial(name, scores, manifest, dataset.label_set)
            for key in ("ceiling_f1", "ceiling_accuracy") if dataset.fresh_seed is None else ():
                for variable, value in zip(*scores.variables.take(("name", key)), strict=True):
                    known = getattr(manifest.label_sets[dataset.label_set][variable], key)
                    if value is not None or signed.ranked:
                        expect(f"{name}: {key} of {variable}", round(known, PLACES), value)
    return True


def _check_trivial(game: str, scores: ProbeScores, manifest: Manifest, label_set: str) -> None:
    """Compare the trivial encoders' scores, where the result has some, with those that are stored."""
    from harness.trivial.encoders import ENCODERS
    from harness.trivial.store import look_up

    stored = look_up(manifest, label_set, scores.run).f1
    if stored is None:
        return
    for encoder in ENCODERS:
        key = f"{encoder.replace('-', '_')}_f1"
        for variable, value in zip(*scores.variables.take(("name", key)), strict=True):
            if value is not None:
                expect(f"{game}: {key} of {variable}", stored[encoder][variable], value)


def _principal(signed: Signed) -> str | None:
    return None if signed.submitter is None else signed.submitter.principal
