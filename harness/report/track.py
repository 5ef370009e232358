"""Log a result's scores to TensorBoard, trackio or Weights & Biases."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

from atariari_data.errors import UnknownNameError
from harness.methods.trackers import TRACKERS, Record
from harness.results.result import CategoryMeans, Means, Result
from harness.results.variables import VariableScores


def track(result: Result, folder: Path, trackers: Sequence[str]) -> None:
    """Log the scores of a result, under the name of its encoder.

    Args:
        result: The result.
        folder: Folder for trackers that write files; TensorBoard's events go to
            ``folder/tensorboard/ENCODER-RUN``.
        trackers: Names from `harness.methods.trackers.TRACKERS`.

    Raises:
        UnknownNameError: An unknown tracker.
        MissingExtraError: A tracker's package is not installed.
    """
    signed = result.signed
    safe = "".join(c if c.isalnum() or c in "._-" else "_" for c in signed.encoder.name)
    name = f"{safe}-{signed.run_id[:4]}"
    for tracker in trackers:
        if tracker not in TRACKERS:
            raise UnknownNameError("tracker", tracker, TRACKERS)
    with ExitStack() as stack:
        opened = []
        for tracker in trackers:
            place = folder / "tensorboard" / name if tracker == "tensorboard" else folder
            opened.append(TRACKERS[tracker](place, name))
            stack.callback(opened[-1].close)
        for record in records(result):
            for open_ in opened:
                open_.write(record)


def records(result: Result) -> Iterator[Record]:
    """Yield a record for each probe and training size.

    ``split`` is the probe and its rows (``linear_full``) and ``step`` is 0. Scores are named ``suite/score``,
    ``pong/score``, ``pong/small_object_localization/score`` or ``pong/ball_x/score``;
    ``pong/ball_x/error`` is the mean absolute error. Null numbers are left out.
    """
    signed = result.signed
    for at, probe in enumerate(signed.probes):
        found: dict[str, float | int | str] = {
            "step": 0,
            "split": probe.run.key,
        }
        found |= _numbers("suite", signed.suite[at].means)
        for category in signed.suite[at].means.categories:
            found |= _numbers(f"suite/{category.category}", category)
        for name, game in signed.games.items():
            scores = game.scores[at]
            found |= _numbers(name, scores.means)
            for category in scores.means.categories:
                found |= _numbers(f"{name}/{category.category}", category)
            for variable in scores.variables:
                found |= _numbers(f"{name}/{variable.name}", variable)
        yield found


def _numbers(name: str, scored: Means | CategoryMeans | VariableScores) -> dict[str, float]:
    values = {"score": scored.score, "error": getattr(scored, "error", None)}
    return {f"{name}/{metric}": value for metric, value in values.items() if value is not None}
