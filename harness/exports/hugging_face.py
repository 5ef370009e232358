"""For a model's repository on the Hugging Face Hub: ``.eval_results/atariari.yaml``, a part of its card."""

from __future__ import annotations

import re

import yaml

from atariari_data.errors import MissingExtraError, UsageError
from atariari_data.games import game as game_of
from harness.exports.export import Options
from harness.probes.probe import ProbeRun
from harness.results.result import Result
from harness.results.verify import Report

_SUITES = {"all": "all games", "paper": "the paper's games", "atari100k": "Atari 100k"}
_MARKUP = re.compile(r"([\\`*_{}\[\]<>()#!|~&])")
_CARD = """\
## State representation in Atari

Scores of `{encoder}` on [AtariARI](https://atariari.github.io/atariari/): how much of a game's state a small
probe reads out of its features. 1 is all of it. Compare with the best trivial encoder, such as a PCA of the
pixels.

| game | probe | score | best trivial encoder | ceiling |
| --- | --- | ---: | ---: | ---: |
{rows}

Protocol {protocol}, dataset {dataset}, label set {label_set}, atariari {version}. The result is signed by
{signed_by}; its signed content has the SHA-256 `{digest}`.{where}{ranked}
"""


def to_eval_results(result: Result, report: Report, options: Options) -> str:
    """Return the entries of ``.eval_results/*.yaml``: one for each mean of a game and of the suite.

    Raises:
        UsageError: The result is not ranked: next to others, its numbers would mislead.
        MissingExtraError: huggingface_hub is too old.
    """
    try:
        from huggingface_hub import EvalResultEntry, eval_result_entries_to_yaml
    except ImportError as error:
        raise MissingExtraError("huggingface_hub>=1.4", "harness") from error
    signed = result.signed
    if not signed.ranked:
        raise UsageError(
            f"The result is not ranked: {signed.unranked_reason}.",
            cure="The Hub shows a number beside others. Evaluate on all rows, or use --format model-card.",
        )
    entries = [
        EvalResultEntry(
            dataset_id=options.dataset,
            task_id=_task(game, run),
            value=means.score,
            date=signed.finished,
            source_url=options.url,
            source_name=None if options.url is None else "signed result",
            notes=f"protocol {signed.protocol.name}, dataset {signed.dataset.version}, "
            f"label set {signed.dataset.label_set}, result sha256:{report.digest}",
        )
        for game, run, means in signed.means()
        if means.score is not None
    ]
    return str(yaml.safe_dump(eval_result_entries_to_yaml(entries), sort_keys=False, width=1000))


def to_model_card(result: Result, report: Report, options: Options) -> str:
    """Return a section for a model card, in Markdown: the means, and what identifies the result."""
    signed = result.signed
    rows = [
        f"| {_SUITES.get(name) or game_of(name).title} | {signed.fitted(run)} | "
        + " | ".join(_number(value) for value in (means.score, means.trivial, means.ceiling))
        + " |"
        for name, run, means in signed.means()
        if means.score is not None
    ]
    reason = None if signed.ranked else _MARKUP.sub(r"\\\1", str(signed.unranked_reason))
    return _CARD.format(
        encoder=signed.encoder.name,
        rows="\n".join(rows),
        protocol=signed.protocol.name,
        dataset=signed.dataset.version,
        label_set=signed.dataset.label_set,
        version=signed.harness.version,
        signed_by=", ".join(f"`{s.keyid}`" for s in report.signed_by),
        digest=report.digest,
        where="" if options.url is None else f" [The result]({options.url}).",
        ranked="" if reason is None else f"\n\n**Not ranked:** {reason}.",
    )


def _task(game: str, run: ProbeRun) -> str:
    """Return the task's name: ``pong_readout_transfer``."""
    return re.sub(r"[^a-z0-9]+", "_", f"{game} {run}".lower())


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"
