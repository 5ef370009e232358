"""Running a result again: the same games, probes and rows with an encoder at hand, and how far it agrees."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from atariari_data.errors import UsageError
from harness.encoders.frame_spec import FrameSpec
from harness.evaluation.evaluate import evaluate
from harness.probes.probe import ProbeRun, Tolerance
from harness.probes.registry import load_probe
from harness.protocol import choose_runs, game_rules, possible_runs, protocol_digest
from harness.results.consistency import check
from harness.results.frame import rows_of
from harness.results.result import ProbeScores, Result, Signed
from harness.results.variables import Table

_HALF = ("float16", "bfloat16")


@dataclass(frozen=True)
class Compared:
    """One thing that a result says, and what it is now.

    Attributes:
        what: In words.
        theirs: In the result.
        ours: In this run.
        agrees: Whether that is the same, for scores within the tolerance.
        decides: Whether the result counts as reproduced only if it does.
    """

    what: str
    theirs: str
    ours: str
    agrees: bool
    decides: bool = True


@dataclass(frozen=True)
class Reproduction:
    """How far a result could be reproduced.

    Attributes:
        result: The new run.
        rows: What was compared.
    """

    result: Result
    rows: tuple[Compared, ...]

    @property
    def agrees(self) -> bool:
        """Whether all that decides does."""
        return all(row.agrees for row in self.rows if row.decides)

    def as_dict(self) -> dict[str, Any]:
        """Return everything for ``--json``."""
        return {"reproduced": self.agrees, "compared": [asdict(row) for row in self.rows]}


def reproduce(claimed: Result, encoder: str | Path, **options: Any) -> Reproduction:
    """Evaluate an encoder as a result says it was, and compare.

    Source and weights must be the same, so must dataset and rules. Embeddings and predictions are the same
    bit for bit on a machine of the same kind, but need not be on another. There the scores decide: that of
    every variable and the mean of every game have to agree within the probe's tolerances.

    Args:
        claimed: The result.
        encoder: A file, or a model by name.
        **options: ``weights``, ``device``, ``batch_size``, ``cache_dir``, ``jobs``, ``cluster``,
            ``timeout``, ``memory_limit``, ``isolate``, ``progress`` of `harness.evaluate`.

    Raises:
        ResultError: The result contradicts itself.
        UsageError: It was made under other rules or on another version of the dataset.
        EncoderError, DataError: As `harness.evaluate`.
    """
    signed = claimed.signed
    check(signed)
    label_set = signed.dataset.label_set
    for what, ours_is, theirs_is in (
        (f"protocol {signed.protocol.name}", protocol_digest(label_set), signed.protocol.digest),
        *((f"rules of {g}", game_rules(g, label_set), known) for g, known in signed.dataset.rules.items()),
    ):
        if ours_is != theirs_is:
            raise UsageError(
                "The result was made under other rules than this version has.",
                expected=f"{what}: {ours_is}",
                got=f"{what}: {theirs_is}",
                cure=f"pip install atariari=={signed.harness.version}",
            )
    ours = evaluate(encoder, **_as_it_was(signed), **options)
    return Reproduction(ours, tuple(_compare(signed, ours.signed)))


def _as_it_was(signed: Signed) -> dict[str, Any]:
    """Return the options of `harness.evaluate` that give such a result."""
    runs = tuple(probe.run for probe in signed.probes)
    probes = list(dict.fromkeys(run.probe for run in runs))
    sizes = list(dict.fromkeys(run.train_rows for run in runs))
    seen = signed.encoder.frames
    return {
        "games": list(signed.games),
        "probes": probes,
        "train_sizes": None if possible_runs(choose_runs(probes, None), signed.games) == runs else sizes,
        "label_set": signed.dataset.label_set,
        "limit": signed.dry_run_rows,
        "fresh_seed": signed.dataset.fresh_seed,
        "fresh_of": signed.dataset.fresh_of,
        "name": signed.encoder.name,
        "pool": signed.encoder.pool,
        "output": signed.encoder.output,
        "spec": None
        if seen is None
        else FrameSpec(
            color=seen.color,
            stack=seen.stack,
            layout="NCHW" if seen.layout == "nchw" else "NHWC",
            scale="byte" if seen.scale == "byte" else "unit",
            size=(seen.size[0], seen.size[1]),
        ),
        "autocast": signed.encoder.precision in _HALF,
        "pretraining_data": signed.encoder.pretraining_data,
        "code": signed.encoder.code,
        "paper": signed.encoder.paper,
        "use_cache": False,
    }


def _compare(theirs: Signed, ours: Signed) -> Iterator[Compared]:
    for what in ("source", "weights", "feature_size", "parameters", "precision"):
        yield _same(f"encoder, {what.replace('_', ' ')}", theirs.encoder, ours.encoder, what)
    yield _same("program", theirs.harness, ours.harness, "source", decides=False)
    for name, game in theirs.games.items():
        again = ours.games[name]
        for split, known in theirs.dataset.splits[name].items():
            yield _same(f"{name}, rows of {split}", known, ours.dataset.splits[name][split], "digest")
        yield _same(f"{name}, embeddings", game, again, "embeddings", decides=False)
        by_run = {scores.run: scores for scores in again.scores}
        for one in game.scores:
            run, other = one.run, by_run[one.run]
            yield _same(f"{name}, predictions of {run}", one, other, "predictions", decides=False)
            tolerance = load_probe(run.probe).tolerance(_train_rows(theirs, name, run))
            yield from _scores(f"{name}, {run}", one, other, tolerance)


def _same(what: str, theirs: object, ours: object, field: str, *, decides: bool = True) -> Compared:
    a, b = getattr(theirs, field), getattr(ours, field)
    return Compared(what, str(a), str(b), a == b, decides)


def _train_rows(signed: Signed, game: str, run: ProbeRun) -> int:
    """Return how many rows a probe was fitted to."""
    return min(rows_of(signed, game, run), rows_of(signed, game, run._replace(train_rows="full")))


def _scores(where: str, theirs: ProbeScores, ours: ProbeScores, tolerance: Tolerance) -> Iterator[Compared]:
    names = theirs.variables.column("name"), ours.variables.column("name")
    if names[0] != names[1]:
        yield Compared(f"{where}: variables", ", ".join(names[0]), ", ".join(names[1]), agrees=False)
        return
    for what, (times, of) in _DECIDING.items():
        pairs = zip(names[0], of(theirs.variables), of(ours.variables), strict=True)
        apart = {name: _apart(a, b) for name, a, b in pairs}
        worst, most = max(apart, key=lambda name: apart[name]), round(times * tolerance.variable, 4)
        yield Compared(
            f"{where}: {what} of the variable furthest apart",
            "",
            f"{worst} by {apart[worst]:.4f}, at most {most}",
            apart[worst] <= most,
        )
    mean = _apart(theirs.means.score, ours.means.score)
    yield Compared(
        f"{where}: mean score",
        _shown(theirs.means.score),
        f"{_shown(ours.means.score)}, at most {tolerance.mean} apart",
        mean <= tolerance.mean,
    )


def _ends(variables: Table, end: int) -> list[float | None]:
    return [interval and interval[end] for interval in variables.column("interval")]


def _errors(variables: Table) -> list[float | None]:
    """Return the errors as a share of that of the constant, where it has one."""
    pairs = zip(variables.column("error"), variables.column("constant_error"), strict=True)
    return [error if error is None or not constant else error / constant for error, constant in pairs]


_DECIDING: Final[Mapping[str, tuple[int, Callable[[Table], list[float | None]]]]] = {
    "score": (1, lambda variables: variables.column("score")),
    "lower end of the interval": (2, lambda variables: _ends(variables, 0)),
    "upper end of the interval": (2, lambda variables: _ends(variables, 1)),
    "error": (5, _errors),
}
"""What is compared of each variable, and how many times a score's tolerance it may be apart.

An accuracy goes with the score (`harness.results.consistency`).
"""


def _apart(a: float | None, b: float | None) -> float:
    """Return how far two numbers are apart; of those above 1, such as huge errors, as a share."""
    if a is None or b is None:
        return 0.0 if a is b else 1.0
    return round(abs(a - b) / max(1.0, abs(a), abs(b)), 4)


def _shown(value: float | None) -> str:
    return "none" if value is None else f"{value:.4f}"
