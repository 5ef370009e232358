"""Evaluate one game: embed its rows once, fit the probes, and keep what was computed."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Final, Self

import numpy as np
import numpy.typing as npt
from blake3 import blake3

from builders.manifest import DEEP, Manifest
from builders.package import source_digest
from harness.cache import Cache
from harness.encoders.objects import Request
from harness.evaluation import environment
from harness.evaluation.embedding import embed
from harness.evaluation.fresh import record_test
from harness.evaluation.identity import Opened
from harness.evaluation.progress import STAGES, Progress
from harness.evaluation.scoring import ProbeData, ProbeScore, score
from harness.isolation.process import Limits
from harness.probes.probe import STATES, ProbeRun, States
from harness.probes.registry import load_probe
from harness.protocol import splits_of
from harness.results.predictions import Predicted, Predictions
from harness.results.provenance import Split, SplitName, split_of
from harness.splits import FRAMES, SplitRows, open_split
from harness.trivial.store import FIELDS, look_up, rules_digest

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Options:
    """The options of an evaluation, besides encoder and games.

    Attributes:
        loading: How to load the encoder.
        runs: The probes and training sizes.
        cache: The cache of features and finished games.
        limits: The time and memory that the encoder's process may take.
        num_proc: The number of processes that build the dataset.
        label_set, limit, fresh_seed, fresh_of, pretraining_data, code, paper, submitter, cache_dir, isolate,
            progress: As for `harness.evaluate`.
    """

    loading: Request
    runs: tuple[ProbeRun, ...]
    label_set: str
    limit: int | None
    fresh_seed: int | None
    fresh_of: str | None
    pretraining_data: str | None
    code: str | None
    paper: str | None
    submitter: Mapping[str, str | None] | None
    cache_dir: str | None
    num_proc: int | None
    cache: Cache
    isolate: bool
    limits: Limits
    progress: bool


@dataclass(frozen=True)
class EvaluatedGame:
    """The outcome of one game.

    Attributes:
        embeddings: A digest of the features of all rows of all splits.
        scores: The scores under each probe and training size.
        predictions: The probes' predictions for every test row.
        splits: The number of rows and the digest of each split.
        machine: Where it was computed, as `harness.evaluation.environment.machine` says.
    """

    embeddings: str
    scores: list[ProbeScore]
    predictions: Predictions
    splits: dict[SplitName, Split]
    machine: str


def evaluate_game(
    encoder: Opened, key: str, manifest: Manifest, options: Options, progress: Progress
) -> EvaluatedGame:
    """Embed and probe one game, or return what an earlier run kept, for which it need not be built.

    Args:
        encoder: An open encoder.
        key: The key under which its features are kept.
        manifest: The game's manifest.
        options: What the evaluation is asked for.
        progress: Is told how far it is.

    Raises:
        EncoderError: The encoder fails, or returns something other than finite [n, d].
        DataError: As `atariari_data.load_dataset`.
    """
    done = _kept(encoder, key, manifest, options)
    is_done = all(kept is not None for kept in done.values())
    if is_done and options.fresh_seed is None:
        splits = _frozen_splits(manifest, options)
    else:
        rows, splits = _open_splits(manifest, options)
    if is_done:
        for stage in STAGES:
            progress.skip(manifest.game, stage)
    else:
        progress.begin(manifest.game, "embedding")
        known_as = {
            str(s): f"{key}-{split.digest.removeprefix('blake3:')[:32]}-{options.limit}-{FRAMES}"
            for s, split in splits.items()
        }
        features = _embed(encoder, known_as, rows, options, manifest.game, progress)
        digest = blake3()
        for s in rows:
            digest.update(np.ascontiguousarray(features[s]).view(np.uint8).data)
        device = "cpu" if encoder.device.startswith("mps") else encoder.device  # which has no float64
        data = ProbeData(manifest, options.label_set, rows, features, device, dry=options.limit is not None)
        embeddings = f"blake3:{digest.hexdigest()}"
        # Scores of other features, as of a GPU that never gives the same bits, are not put beside these.
        done = {run: kept if kept and kept.embeddings == embeddings else None for run, kept in done.items()}
        groups = fits([run for run, kept in done.items() if kept is None])
        progress.skip(manifest.game, "probing", len(fits(options.runs)) - len(groups))
        progress.begin(manifest.game, "probing")
        for runs in groups:
            scored_runs = score(data, runs, lambda _: progress.advance(0))
            progress.advance()
            for run, (scores, predicted) in zip(runs, scored_runs, strict=True):
                done[run] = new = Scored(embeddings, scores, predicted, environment.machine())
                _keep(encoder, key, manifest, run, options, new)
    scored = {run: kept for run, kept in done.items() if kept is not None}
    return EvaluatedGame(
        embeddings=next(iter(scored.values())).embeddings,
        scores=[_beside_others(kept.scores, manifest, options) for kept in scored.values()],
        predictions={run: kept.predicted for run, kept in scored.items()},
        splits=splits,
        machine=next(iter(scored.values())).machine,
    )


def fits(runs: Sequence[ProbeRun]) -> list[list[ProbeRun]]:
    """Return the runs in groups that share their fits."""
    groups: dict[ProbeRun, list[ProbeRun]] = {}
    for run in runs:
        groups.setdefault(run._replace(scored_on="play"), []).append(run)
    return list(groups.values())


_ARRAYS: Final = ("truth", "episode", "step", "values", "constants")


@dataclass(frozen=True)
class Scored:
    """One game under one probe, as cached.

    Attributes:
        embeddings: A digest of the features.
        scores: The scores.
        predicted: The predictions.
        machine: Where they were computed.
    """

    embeddings: str
    scores: ProbeScore
    predicted: Predicted
    machine: str

    def stored(self) -> tuple[dict[str, Any], dict[str, npt.NDArray[Any]]]:
        """Return JSON and arrays, as `harness.cache.Cache.keep_scored` takes them."""
        content = {"embeddings": self.embeddings, "scores": asdict(self.scores), "machine": self.machine}
        return content, {field: getattr(self.predicted, field) for field in _ARRAYS}

    @classmethod
    def of_stored(cls, content: Mapping[str, Any], arrays: Mapping[str, npt.NDArray[Any]]) -> Self:
        """Read what `stored` returned."""
        scores = ProbeScore.from_plain(content["scores"])
        names = tuple(variable.name for variable in scores.variables)
        return cls(content["embeddings"], scores, Predicted(names, **arrays), content["machine"])


def _cache_key(key: str, manifest: Manifest, run: ProbeRun, options: Options) -> str:
    rules, source = rules_digest(manifest, options.label_set, run), source_digest("*.py")
    parts = (key, rules, source, manifest.game, options.label_set, options.limit, options.fresh_seed, *run)
    return blake3(repr(parts).encode()).hexdigest()


def _kept(encoder: Opened, key: str, manifest: Manifest, options: Options) -> dict[ProbeRun, Scored | None]:
    """Return what is cached for each run; None for what is not."""
    found: dict[ProbeRun, Scored | None] = {}
    for run in options.runs:
        kept = options.cache.scored(_cache_key(key, manifest, run, options), encoder.holds)
        found[run] = None if kept is None else Scored.of_stored(*kept)
    return found


def _keep(
    encoder: Opened, key: str, manifest: Manifest, run: ProbeRun, options: Options, scored: Scored
) -> None:
    if (files := encoder.files()) is not None:
        options.cache.keep_scored(_cache_key(key, manifest, run, options), *scored.stored(), files)


def _open_splits(manifest: Manifest, options: Options) -> tuple[dict[str, SplitRows], dict[SplitName, Split]]:
    """Open the splits of a game. With a fresh seed, the test split is recorded now."""
    name = manifest.game
    where: dict[str, Any] = {"cache_dir": options.cache_dir, "num_proc": options.num_proc}
    rows: dict[str, SplitRows] = {}
    for states in _states(options):
        config = name + (DEEP if states == "deep" else "")
        for part in splits_of(name, states):
            rows[split_of(states, part)] = open_split(config, part, limit=options.limit, **where)
    splits = _frozen_splits(manifest, options)
    if options.fresh_seed is not None:
        fresh = record_test(manifest, rows, options.fresh_seed, limit=options.limit, **where)
        rows["test"] = fresh.rows
        splits["test"] = Split(rows=len(fresh.rows), digest=f"blake3:{fresh.digest}")
    return rows, splits


def _frozen_splits(manifest: Manifest, options: Options) -> dict[SplitName, Split]:
    """Return the rows and digests of the splits that are used, as the manifests have them."""
    used = {
        split_of(states, part): Split(rows=frozen.rows, digest=f"blake3:{frozen.digest}")
        for states in _states(options)
        for part, frozen in splits_of(manifest.game, states).items()
    }
    return dict(sorted(used.items()))


def _states(options: Options) -> list[States]:
    wanted = {run.fitted_on for run in options.runs} | {run.scored_on for run in options.runs} | {"play"}
    return [states for states in STATES if states in wanted]


def _beside_others(scores: ProbeScore, manifest: Manifest, options: Options) -> ProbeScore:
    """Add ceilings and the scores of the trivial encoders, or the reason why there are none."""
    if options.limit is not None or options.fresh_seed is not None:
        kind = "a dry run" if options.limit is not None else "a fresh test split"
        reason = f"{kind}: the trivial encoders were scored on all rows of the published splits"
        return replace(scores, trivial_reason=reason)
    known = look_up(manifest, options.label_set, scores.run)
    of_manifest = manifest.label_sets[options.label_set]
    is_f1 = load_probe(scores.probe).metric == "f1"
    variables = []
    for variable in scores.variables:
        name = variable.name
        beside: dict[str, Any] = {
            field: None if known.scores is None else known.scores.get(encoder, {}).get(name)
            for encoder, field in FIELDS.items()
        }
        ceilings: dict[str, Any] = (
            {"ceiling": of_manifest[name].ceiling_f1, "ceiling_accuracy": of_manifest[name].ceiling_accuracy}
            if is_f1
            else {"ceiling": known.ceilings.get(name)}
        )
        variables.append(replace(variable, **beside, **ceilings))
    return replace(scores, variables=variables, trivial_reason=known.reason)


def _embed(
    encoder: Opened,
    known_as: dict[str, str],
    rows: dict[str, SplitRows],
    options: Options,
    game: str,
    progress: Progress,
) -> dict[str, npt.NDArray[np.float32]]:
    cache = options.cache
    kept = {s: cache.features(known_as[s], encoder.holds) for s in rows}
    found = {s: features for s, features in kept.items() if features is not None}
    missing = {s: rows[s] for s in rows if s not in found}
    progress.skip(game, "embedding", sum(len(rows[s]) for s in found))
    if not missing:
        return found
    part = "-".join([*(known_as[s] for s in missing), "part"])
    part = blake3(part.encode()).hexdigest()

    def keep(name: str, features: npt.NDArray[np.float32]) -> None:
        if (files := encoder.files()) is not None:
            cache.keep_features(name, features, files)

    new = embed(
        encoder.for_game(rows["train"]),
        missing,
        progress.advance,
        done=cache.features(part, encoder.holds),
        keep=lambda features: keep(part, features),
    )
    for s, features in new.items():
        keep(known_as[s], features)
    cache.drop_features(part)
    if cache.folder is not None and encoder.files() is None:
        _log.warning("%s: not kept, as it cannot be told what files the encoder read, or one changed.", game)
    return found | new
