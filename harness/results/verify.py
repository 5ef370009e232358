"""Verify a result: its signatures, its format, and the consistency of its numbers.

Needs neither torch, ale-py nor a network. Verification proves who signed the numbers and that they have not
changed since. It does not prove that they are true.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from functools import cache
from typing import TYPE_CHECKING, Any

from atariari_data.games import game as game_of
from harness.probes.probe import FEW
from harness.results.canonical import PLACES, ResultError, to_plain
from harness.results.consistency import check, expect
from harness.results.provenance import Dataset
from harness.results.result import NAMESPACE, ProbeScores, Result, Signed
from harness.results.result_file import read
from harness.signing import allowed_signers, sshsig
from harness.signing.allowed_signers import AllowedSigner
from harness.signing.sshsig import PublicKey, SignatureError

if TYPE_CHECKING:
    from builders.manifest import Manifest


@dataclass(frozen=True)
class SignedBy:
    """A valid signature.

    Attributes:
        keyid: The key's fingerprint.
        principal: The key's owner, if a list of allowed signers was given.
    """

    keyid: str
    principal: str | None


@dataclass(frozen=True)
class Report:
    """What verification found out about a valid result.

    Attributes:
        digest: SHA-256 of the signed bytes.
        encoder: The encoder's name.
        submitter: The submitter named in the result.
        signed_by: All signatures; they are valid.
        signed_by_submitter: Whether one of them is by the submitter, according to the allowed signers.
        ranked: Whether the result can be ranked.
        dataset_known: Whether it was made on the installed dataset version, so that rows, digests and
            variables were compared with the manifests.
        without_trivial: Games whose trivial scores are null under a probe although they are known: the result
            says that they were not made yet. A leaderboard refuses this in a new result.
    """

    digest: str
    encoder: str
    submitter: str | None
    signed_by: tuple[SignedBy, ...]
    signed_by_submitter: bool
    ranked: bool
    dataset_known: bool = False
    without_trivial: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """Return the report for ``--json``."""
        return {"verified": True, **asdict(self)}


def verify(
    path: str | os.PathLike[str],
    signers: str | os.PathLike[str] | None = None,
    *,
    at: datetime | None = None,
) -> Report:
    """Verify a result file.

    Args:
        path: The file.
        signers: An ``allowed_signers`` file. If given, every signature must be by a key in it, and one of
            them by the submitter.
        at: The time at which the keys must be valid. Default: now.

    Raises:
        ResultError: The file cannot be read or its numbers are inconsistent.
        SignatureError: The result is unsigned, a signature is invalid, or the submitter did not sign.
    """
    return read_verified(path, signers, at=at)[1]


def read_verified(
    path: str | os.PathLike[str],
    signers: str | os.PathLike[str] | None = None,
    *,
    at: datetime | None = None,
) -> tuple[Result, Report]:
    """Verify a result file as :func:`verify` does, and return the result, too."""
    result = read(path)
    known = None if signers is None else allowed_signers.read(signers)
    report = check_signatures(result, known, at=at)
    check(result.signed)
    known_dataset = check_manifests(result.signed)
    missing = without_trivial(result.signed) if known_dataset else ()
    return result, replace(report, dataset_known=known_dataset, without_trivial=missing)


def check_signatures(
    result: Result, known: Sequence[AllowedSigner] | None, *, at: datetime | None = None
) -> Report:
    """Verify the signatures of a result and find their owners; as :func:`verify`."""
    signed, at = result.signed, at or datetime.now(UTC)
    submitter = _principal(signed)
    found = signers_of(
        result, lambda key: None if known is None else whose(key, known, at=at, submitter=submitter)
    )
    by_submitter = submitter is not None and any(s.principal == submitter for s in found)
    return Report(signed.digest, signed.encoder.name, submitter, found, by_submitter, signed.ranked)


def signers_of(result: Result, owner_of: Callable[[PublicKey], str | None]) -> tuple[SignedBy, ...]:
    """Verify every signature of a result, and return them with their owners.

    Args:
        result: With at least one signature.
        owner_of: Returns the owner of a key, or None for every key if owners are not verified.

    Raises:
        SignatureError: There is no signature, one is invalid, a key signed twice, or the owners are verified
            and the submitter is not among them.
    """
    if not result.signatures:
        raise SignatureError("The result is not signed.", cure="harness sign RESULT")
    found: list[SignedBy] = []
    for signature in result.signatures:
        key = sshsig.verify(signature.sig, result.signed.payload, NAMESPACE)
        if key.fingerprint != signature.keyid:
            raise SignatureError(
                "A signature was made by another key than it says.",
                expected=signature.keyid,
                got=key.fingerprint,
            )
        if any(other.keyid == signature.keyid for other in found):
            raise SignatureError("The same key signed twice.", got=signature.keyid)
        found.append(SignedBy(signature.keyid, owner_of(key)))
    submitter, owners = _principal(result.signed), [s.principal for s in found]
    if submitter is not None and submitter not in owners and None not in owners:
        raise SignatureError(
            "The submitter did not sign the result.",
            expected=f"a signature by {submitter}",
            got=", ".join(map(str, owners)),
        )
    return tuple(found)


def whose(key: PublicKey, known: Sequence[AllowedSigner], *, at: datetime, submitter: str | None) -> str:
    """Return the principal that a key belongs to.

    Raises:
        SignatureError: The key is not listed, or not allowed to sign results at that time.
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
    raise SignatureError(f"The key {key.fingerprint} is not accepted: {refusal}.")


def check_manifests(signed: Signed) -> bool:
    """Compare a result with the installed protocol and dataset.

    Returns:
        Whether it was made on the rows and labels of the installed dataset; others cannot be compared.

    Raises:
        ResultError: Probes or their settings differ from those of the protocol that it names, or rows,
            digests or variables from those of the dataset.
    """
    from builders.manifest import DEEP, load_manifest, recorded_configs

    dataset = signed.dataset
    _check_protocol(signed)
    if not _knows_rules(dataset):
        return False
    for name, game in signed.games.items():
        manifest = load_manifest(name)
        for split, used in dataset.splits[name].items():
            config = name + DEEP if split.startswith("deep_") else name
            if config not in recorded_configs():
                raise ResultError(f"The dataset has no deep states of {name}.")
            frozen = load_manifest(config).configs[config].splits[split.removeprefix("deep_")]
            if split != "test" or dataset.fresh_seed is None:
                expect(f"{name}: rows of {split}", frozen.rows, used.rows)
                expect(f"{name}: digest of {split}", f"blake3:{frozen.digest}", used.digest)
        for probe, scores in zip(signed.probes, game.scores, strict=True):
            if probe.metric == "f1":
                _check_probed(name, scores, manifest, signed)
            else:
                _check_targets(name, scores, dataset.label_set)
                _check_scored(name, scores, manifest, signed)
            _check_trivial(name, scores, manifest, signed)
    return True


def _check_probed(name: str, scores: ProbeScores, manifest: Manifest, signed: Signed) -> None:
    """Check the variables that are scored by F1, and their ceilings."""
    dataset = signed.dataset
    known = {v.name: v for v in game_of(name).variables(dataset.label_set)}
    probed = [
        (variable, list(known[variable].categories), "ordered" if known[variable].ordered else "nominal")
        for variable in manifest.probed(dataset.label_set)
    ]
    shown = zip(*scores.variables.take(("name", "categories", "kind")), strict=True)
    expect(f"{name}: variables", probed, list(shown))
    ceilings = {"ceiling": "ceiling_f1", "ceiling_accuracy": "ceiling_accuracy"}
    for key, frozen in ceilings.items() if dataset.fresh_seed is None else ():
        for variable, value in zip(*scores.variables.take(("name", key)), strict=True):
            of_it = getattr(manifest.label_sets[dataset.label_set][variable], frozen)
            if value is not None or signed.ranked:
                expect(f"{name}: {key} of {variable}", round(of_it, PLACES), value)


def _check_targets(name: str, scores: ProbeScores, label_set: str) -> None:
    """Check that what is scored by a readout can be read out, and is what the annotations say it is."""
    from harness.targets import targets_of

    known = {target.name: target for target in targets_of(name, label_set)}
    for variable in scores.variables:
        if variable.name not in known:
            raise ResultError(f"{name} has no {variable.name}.", expected=", ".join(known))
        expect(f"{name}: what {variable.name} is", known[variable.name], variable.target)


def _check_scored(name: str, scores: ProbeScores, manifest: Manifest, signed: Signed) -> None:
    """Check that a readout leaves out nothing that is scored on the published split.

    What varies enough to be scored depends on the splits, not on the encoder or the number of training rows,
    so stored scores of the trivial encoders name it. Where there are none, only the rows themselves tell.
    """
    from harness.trivial.store import look_up

    if signed.dataset.fresh_seed is not None or signed.dry_run_rows is not None:
        return
    for size in (scores.train_rows, FEW, "full"):
        run = scores.run._replace(train_rows=size)
        for of_it in (look_up(manifest, signed.dataset.label_set, run).scores or {}).values():
            expect(f"{name}: variables under {scores.run}", list(of_it), scores.variables.column("name"))


def _knows_rules(dataset: Dataset) -> bool:
    """Return whether the installed games have the result's rows and labels.

    Raises:
        ResultError: They have others, in the same version of the dataset.
    """
    from harness.protocol import DATASET, suites

    for name, digest in dataset.rules.items():
        known = _known_rules(name, dataset.label_set)
        if known != digest and dataset.version == DATASET:
            raise ResultError(
                f"Version {DATASET} of the dataset has other rows or labels of {name}, or no such game.",
                expected=known,
                got=digest,
            )
        if known != digest:
            return False
    if dataset.version == DATASET:
        of_suite = list(suites(dataset.label_set).get(dataset.suite, ()))
        expect(f"games of the suite {dataset.suite}", of_suite, dataset.suite_games)
    return True


@cache
def _known_rules(name: str, label_set: str) -> str | None:
    """Return the digest of a game's rows and labels as installed; None if there is no such game."""
    from harness.protocol import game_rules, suites

    return game_rules(name, label_set) if name in suites(label_set)["all"] else None


@cache
def _protocol_digest(label_set: str) -> str:
    from harness.protocol import protocol_digest

    return protocol_digest(label_set)


def _check_protocol(signed: Signed) -> None:
    """Compare probes, settings and seeds with the installed protocol's, if the result was made under it."""
    from harness.probes.registry import load_probe
    from harness.protocol import seeds, settings, unranked_reason

    if signed.protocol.digest != _protocol_digest(signed.dataset.label_set):
        return
    reason = unranked_reason([probe.run for probe in signed.probes])
    if signed.ranked and reason is not None:
        raise ResultError("The result cannot be ranked.", expected="ranked: false", got=reason)
    for probe in signed.probes:
        expect(f"settings of {probe.probe}", to_plain(settings(probe.probe)), to_plain(probe.settings))
        expect(f"metric of {probe.probe}", load_probe(probe.probe).metric, probe.metric)
    expect("seeds", seeds(probe.probe for probe in signed.probes), signed.seeds)


def without_trivial(signed: Signed) -> tuple[str, ...]:
    """Return the games of a ranked result that lack known scores of the trivial encoders."""
    from builders.manifest import load_manifest
    from harness.trivial.store import look_up

    return tuple(
        name
        for name, game in signed.games.items()
        if signed.ranked
        and any(
            scores.trivial_reason is not None
            and look_up(load_manifest(name), signed.dataset.label_set, scores.run).scores is not None
            for scores in game.scores
        )
    )


def _check_trivial(game: str, scores: ProbeScores, manifest: Manifest, signed: Signed) -> None:
    """Compare the trivial encoders' scores with the stored ones."""
    from harness.trivial.store import FIELDS, is_reason, look_up

    label_set = signed.dataset.label_set
    stored = look_up(manifest, label_set, scores.run)
    if stored.scores is None:
        return
    reason = scores.trivial_reason
    if signed.ranked and reason is not None and not is_reason(reason, game, label_set, scores.run):
        raise ResultError(
            f"{game}, {scores.run}: the scores of the trivial encoders are missing.",
            expected="a score for each variable, or the harness's reason why there was none",
            got=ascii(reason)[:200],
        )
    for encoder, of_it in stored.scores.items():
        for variable, value in zip(*scores.variables.take(("name", FIELDS[encoder])), strict=True):
            if value is not None:
                expect(f"{game}: {FIELDS[encoder]} of {variable}", of_it.get(variable), value)
    for variable, value in zip(*scores.variables.take(("name", "ceiling")), strict=True):
        if value is not None and variable in stored.ceilings:
            expect(f"{game}: ceiling of {variable}", stored.ceilings[variable], value)


def _principal(signed: Signed) -> str | None:
    return None if signed.submitter is None else signed.submitter.principal
