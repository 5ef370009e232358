"""An in-toto attestation (github.com/in-toto/attestation): the test-result predicate in a DSSE envelope."""

from __future__ import annotations

import base64
import json
from typing import Any, Final

from harness.exports.export import Options
from harness.results.canonical import canonical
from harness.results.result import Result, Signed
from harness.results.verify import Report
from harness.signing.keys import sign_bare

STATEMENT: Final = "https://in-toto.io/Statement/v1"
PREDICATE: Final = "https://in-toto.io/attestation/test-result/v0.1"
PAYLOAD: Final = "application/vnd.in-toto+json"

Json = dict[str, Any]


def to_in_toto(result: Result, report: Report, options: Options) -> str:
    """Return a DSSE envelope: whoever exports signs that these means are in a result that holds.

    Its subjects are the encoder's source and weights. A test is a game under a probe: it passed if it has a
    score, and carries a warning if it has none, or if the result is not ranked.

    Raises:
        SignatureError: There is no key, or it is not in a file (see `harness.signing.keys.sign_bare`).
    """
    payload = canonical(statement(result.signed, report, options))
    public, signature = sign_bare(pre_authentication(payload), options.key, ask=options.ask)
    envelope = {
        "payload": base64.b64encode(payload).decode(),
        "payloadType": PAYLOAD,
        "signatures": [{"keyid": public.fingerprint, "sig": base64.b64encode(signature).decode()}],
    }
    return json.dumps(envelope) + "\n"


def pre_authentication(payload: bytes) -> bytes:
    """Return what a DSSE signature covers: the type and the payload, each with its length."""
    kind = PAYLOAD.encode()
    return b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload)


def statement(signed: Signed, report: Report, options: Options) -> Json:
    """Return the statement, with the means of the games as the extension ``atariariScores``."""
    passed: list[str] = []
    warned: list[str] = []
    scores: list[Json] = []
    for game, found in signed.games.items():
        for of_run in found.scores:
            means = of_run.means
            name = f"{game}: {signed.fitted(of_run.run)}"
            (passed if signed.ranked and means.score is not None else warned).append(name)
            numbers = means.model_dump(include={"score", "constant", "trivial", "ceiling", "normalised"})
            scores.append({"test": name, **numbers})
    return {
        "_type": STATEMENT,
        "subject": _subjects(signed),
        "predicateType": PREDICATE,
        "predicate": {
            "result": "WARNED" if warned else "PASSED",
            "configuration": _configuration(signed, report),
            **({} if options.url is None else {"url": options.url}),
            "passedTests": passed,
            "warnedTests": warned,
            "failedTests": [],
            "atariariScores": scores,
            "atariariUnranked": signed.unranked_reason,
        },
    }


def _subjects(signed: Signed) -> list[Json]:
    """Return the encoder's code and weights.

    Only the digest of a single source file is what ``sha256sum`` prints of a file; the others have names of
    their own.
    """
    encoder = signed.encoder
    source = "sha256" if encoder.source_kind == "file" else f"atariari_{encoder.source_kind}"
    subjects = [{"name": encoder.name, "digest": {source: _hex(encoder.source)}}]
    weights = encoder.weights
    named = weights if isinstance(weights, dict) else {"": weights} if weights else {}
    subjects += [
        {
            "name": f"{encoder.name}, weights{game and f' for {game}'}",
            "digest": {"atariari_weights": _hex(digest)},
        }
        for game, digest in named.items()
    ]
    return subjects


def _configuration(signed: Signed, report: Report) -> list[Json]:
    dataset, signers = signed.dataset, [signature.keyid for signature in report.signed_by]
    return [
        {
            "name": "result",
            "digest": {"sha256": signed.digest},
            "mediaType": "application/json",
            "annotations": {"run_id": signed.run_id, "signed_by": signers, "finished": signed.finished},
        },
        _descriptor(f"protocol {signed.protocol.name}", signed.protocol.digest),
        _descriptor(f"atariari {signed.harness.version}", signed.harness.source),
        *(
            _descriptor(f"{game}, dataset {dataset.version}, label set {dataset.label_set}", digest)
            for game, digest in dataset.rules.items()
        ),
    ]


def _descriptor(name: str, digest: str) -> Json:
    algorithm, _, value = digest.partition(":")
    return {"name": name, "digest": {algorithm: value}}


def _hex(digest: str) -> str:
    return digest.partition(":")[2]
