"""Every Eval Ever 0.3: a shared schema for results of evaluations (github.com/evaleval/every_eval_ever)."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any, Final

from harness.exports.export import Options
from harness.probes.probe import METRICS, ProbeRun
from harness.results.provenance import split_of
from harness.results.result import Result, Signed
from harness.results.variables import Scores, VariableScores
from harness.results.verify import Report

VERSION: Final = "0.3.0"
SOURCE: Final = "https://github.com/atariari/atariari"

Json = dict[str, Any]


def to_every_eval_ever(result: Result, report: Report, options: Options) -> str:
    """Return the record of a result: an entry for each mean of a game or the suite, and each variable.

    An entry needs a score, so means and variables without one are left out, and counted in
    ``source_metadata.additional_details``.
    """
    signed = result.signed
    scored = list(_scored(signed))
    entries = [_entry(signed, *row) for row in scored if row[-1].score is not None]
    submitter, now = report.submitter or "unknown", str(int(time.time()))
    name = signed.encoder.name
    record = {
        "schema_version": VERSION,
        "evaluation_id": f"atariari/{_model_id(signed)}/{now}",
        "evaluation_timestamp": signed.finished,
        "retrieved_timestamp": now,
        "source_metadata": {
            "source_name": "atariari",
            "source_type": "evaluation_run",
            "source_organization_name": submitter,
            "evaluator_relationship": "other",  # a result does not say whose encoder it is
            "additional_details": _texts(
                result_url=options.url,
                result_sha256=signed.digest,
                run_id=signed.run_id,
                signed_by=" ".join(signature.keyid for signature in report.signed_by),
                ranked=signed.ranked,
                unranked_reason=signed.unranked_reason,
                entries_without_score=len(scored) - len(entries),
            ),
        },
        "eval_library": {
            "name": "atariari",
            "version": signed.harness.version,
            "additional_details": _texts(
                source=signed.harness.source,
                protocol=signed.protocol.name,
                protocol_digest=signed.protocol.digest,
            ),
        },
        "model_info": {
            "name": name,
            "id": _model_id(signed),
            "additional_details": {
                "deployment_type": "self_deployed",
                "model_availability": "unknown",
                **_texts(
                    **{k: v for k, v in signed.encoder.model_dump().items() if k not in {"name", "frames"}}
                ),
            },
        },
        "evaluation_results": entries,
    }
    return json.dumps(record, indent=1, ensure_ascii=False) + "\n"


def _model_id(signed: Signed) -> str:
    """Return ``DEVELOPER/MODEL``, as the schema asks for."""
    name = signed.encoder.name
    submitter = "unknown" if signed.submitter is None else signed.submitter.principal
    return name if "/" in name else f"{submitter}/{name}"


def _scored(signed: Signed) -> Iterator[tuple[str, ProbeRun, Scores]]:
    """Yield game or suite, run and scores of every mean, and then of every variable."""
    yield from signed.means()
    for game, found in signed.games.items():
        for scores in found.scores:
            yield from ((game, scores.run, variable) for variable in scores.variables)


def _entry(signed: Signed, game: str, run: ProbeRun, scores: Scores) -> Json:
    variable = scores if isinstance(scores, VariableScores) else None
    metric = next(probe.metric for probe in signed.probes if probe.run == run)
    part = "mean" if variable is None else variable.name
    details = _texts(
        constant=scores.constant,
        best_trivial=scores.trivial,
        ceiling=scores.ceiling,
        normalised=scores.normalised,
        note=None if variable is None else variable.note,
    )
    return {
        "evaluation_result_id": f"{signed.run_id}/{game}/{run.key}/{part}",
        "evaluation_name": f"atariari {game}, {run}, {part}",
        "source_data": {
            "dataset_name": f"atariari {game}",
            "source_type": "url",
            "url": [SOURCE],
            "additional_details": _texts(
                version=signed.dataset.version,
                label_set=signed.dataset.label_set,
                **_split(signed, game, run),
            ),
        },
        "metric_config": {
            "evaluation_description": METRICS[metric],
            "metric_id": f"atariari.{metric}",
            "metric_name": metric,
            "metric_kind": metric,
            "metric_unit": "proportion",
            "metric_parameters": {name: str(value) for name, value in run._asdict().items()},
            "lower_is_better": False,
            "score_type": "continuous",
            "min_score": 0,
            "max_score": 1,
        },
        "score_details": {
            "score": scores.score,
            "details": details,
            **({} if variable is None else _uncertainty(variable)),
        },
    }


def _split(signed: Signed, game: str, run: ProbeRun) -> Json:
    """Return the rows that were scored; nothing for the suite."""
    if game not in signed.dataset.splits:
        return {}
    name = split_of(run.scored_on, "test")
    split = signed.dataset.splits[game][name]
    return {"split": name, "rows": split.rows, "digest": split.digest}


def _uncertainty(variable: VariableScores) -> Json:
    if variable.interval is None:
        return {}
    low, high = variable.interval
    interval = {
        "lower": low,
        "upper": high,
        "confidence_level": 0.95,
        "method": "bootstrap over episodes",
    }
    return {"uncertainty": {"confidence_interval": interval, "num_samples": variable.n}}


def _texts(**values: Any) -> dict[str, str]:
    """Return values as text, which is all that the schema takes; without those that are null."""
    return {name: str(value) for name, value in values.items() if value is not None}
