"""One game of an evaluation: its rows are embedded once, probed, and what came out is kept."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
from blake3 import blake3
from tqdm.auto import tqdm

from atariari_data.games import DEFAULT_LABEL_SET
from builders.manifest import Manifest
from builders.recording import PROBE_SPLITS
from harness.cache import Cache
from harness.encoders.encoder import LoadedEncoder
from harness.evaluation import environment
from harness.evaluation.embedding import embed
from harness.evaluation.fresh import record_test
from harness.evaluation.identity import Opened
from harness.evaluation.scoring import ProbeData, score, truth_of
from harness.probes.probe import ProbeRun
from harness.protocol import RANKED, protocol_digest
from harness.results.predictions import Predictions
from harness.splits import SplitRows, open_split
from harness.trivial.store import with_trivial


@dataclass(frozen=True)
class Options:
    """What a run is asked for besides encoder and games; see `harness.evaluate`."""

    runs: tuple[ProbeRun, ...] = RANKED
    label_set: str = DEFAULT_LABEL_SET
    limit: int | None = None
    fresh_seed: int | None = None
    cache_dir: str | None = None
    num_proc: int | None = None
    cache: Cache = field(default_factory=lambda: Cache(None))
    progress: bool = True


def evaluate_game(
    encoder: Opened, key: str, manifest: Manifest, options: Options, bar: tqdm[Any]
) -> tuple[dict[str, Any], Predictions, dict[str, Any]]:
    """Embed and probe one game, or take what an earlier run kept.

    Args:
        encoder: Open.
        key: Under which its features are kept.
        manifest: Of the game.
        options: What is asked for.
        bar: Told of every row that is embedded.

    Returns:
        The fields of `harness.results.result.GameScores`, the predictions, and rows and digest of each split.

    Raises:
        EncoderError: It fails, or gives something else than finite [n, d].
        DataError: As `atariari_data.load_dataset`.
    """
    name = manifest.game
    rules, source = protocol_digest(options.label_set), environment.source_digest("*.py")
    keys = {
        run: blake3(
            repr((key, rules, source, name, options.limit, options.fresh_seed, *run)).encode()
        ).hexdigest()
        for run in options.runs
    }
    kept = {run: options.cache.scored(at) for run, at in keys.items()}
    done = {run: found for run, found in kept.items() if found is not None}
    rows = {
        s: open_split(name, s, limit=options.limit, cache_dir=options.cache_dir, num_proc=options.num_proc)
        for s in PROBE_SPLITS
    }
    used = {s: (split.rows, split.digest) for s, split in manifest.configs[name].splits.items()}
    if options.fresh_seed is not None:
        fresh = record_test(
            manifest,
            rows,
            options.fresh_seed,
            limit=options.limit,
            cache_dir=options.cache_dir,
            num_proc=options.num_proc,
        )
        rows["test"], used["test"] = fresh.rows, (len(fresh.rows), fresh.digest)
    truth = {s: truth_of(rows[s], manifest, options.label_set) for s in PROBE_SPLITS}
    if len(done) == len(keys):
        bar.update(sum(map(len, rows.values())))
    else:
        bar.set_description(f"Embedding {name}")
        known_as = {s: f"{key}-{used[s][1][:32]}-{options.limit}" for s in PROBE_SPLITS}
        features = _embed(encoder, known_as, rows, options, bar)
        digest = blake3()
        for s in PROBE_SPLITS:
            digest.update(np.ascontiguousarray(features[s]).view(np.uint8).data)
        embeddings = f"blake3:{digest.hexdigest()}"
        dry = options.limit is not None
        data = ProbeData(
            manifest, options.label_set, truth, features, encoder.device, dry, options.fresh_seed is not None
        )
        missing = [run for run in options.runs if run not in done]
        for run in missing:
            scores, predictions = _score(data, run, options)
            done[run] = {"embeddings": embeddings, "scores": scores}, predictions
            options.cache.keep_scored(keys[run], *done[run])
    other_rows = None
    if options.limit is not None or options.fresh_seed is not None:
        kind = "a dry run" if options.limit is not None else "a fresh test split"
        other_rows = f"{kind}: the trivial encoders were scored on all rows of the published splits"
    found = {
        "embeddings": next(iter(done.values()))[0]["embeddings"],
        "scores": [
            with_trivial(done[run][0]["scores"], manifest, options.label_set, other_rows)
            for run in options.runs
        ],
    }
    splits = {s: {"rows": used[s][0], "digest": f"blake3:{used[s][1]}"} for s in sorted(used)}
    return found, Predictions(truth["test"], {run: done[run][1] for run in options.runs}), splits


def _score(data: ProbeData, run: ProbeRun, options: Options) -> tuple[dict[str, Any], npt.NDArray[np.uint8]]:
    with tqdm(
        total=len(data.truth["test"].names),
        unit="variable",
        desc=f"Probing {data.manifest.game}: {run}",
        leave=False,
        disable=not options.progress,
    ) as bar:
        return score(data, run, lambda _: bar.update())


def _embed(
    encoder: Opened,
    known_as: dict[str, str],
    rows: dict[str, SplitRows],
    options: Options,
    bar: tqdm[Any],
) -> dict[str, npt.NDArray[np.float32]]:
    if isinstance(encoder, LoadedEncoder) and encoder.of_ram is not None:
        bar.update(sum(map(len, rows.values())))
        return {s: encoder.of_ram(rows[s].ram) for s in PROBE_SPLITS}
    kept = {s: options.cache.features(known_as[s]) for s in PROBE_SPLITS}
    found = {s: features for s, features in kept.items() if features is not None}
    missing = {s: rows[s] for s in PROBE_SPLITS if s not in found}
    bar.update(sum(len(rows[s]) for s in found))
    if not missing:
        return found
    if isinstance(encoder, LoadedEncoder) and encoder.refit is not None:
        encoder = encoder.refit(rows["train"].batches(encoder.spec))
    part = "-".join([*(known_as[s] for s in missing), "part"])
    part = blake3(part.encode()).hexdigest()
    new = embed(
        encoder,
        missing,
        bar.update,
        done=options.cache.features(part),
        keep=lambda features: options.cache.keep_features(part, features),
    )
    for s, features in new.items():
        options.cache.keep_features(known_as[s], features)
    return found | new
