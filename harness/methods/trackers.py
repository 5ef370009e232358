"""Trackers of training metrics: JSON lines always; TensorBoard, trackio and Weights & Biases on request."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Protocol, Self

from atariari_data.errors import MissingExtraError, UnknownNameError, require
from builders.files import new_file
from harness.methods.run import METRICS

Record = Mapping[str, float | int | str]


class Tracker(Protocol):
    """A destination for metrics."""

    def write(self, record: Record) -> None:
        """Log a record: ``step``, ``split``, and metrics by name."""

    def close(self) -> None:
        """Finish logging."""


class JsonLines:
    """Appends to ``metrics.jsonl``; a resumed run first drops the lines after its saved step."""

    def __init__(self, folder: Path, step: int) -> None:
        """Open the file of a run at ``step``."""
        path = folder / METRICS
        if path.exists():
            lines = path.read_text(encoding="utf-8").splitlines()
            kept = [line for line in lines if _is_before(line, step)]
            with new_file(path, replace=True) as part:
                part.write_text("".join(f"{line}\n" for line in kept), encoding="utf-8")
        self._file = path.open("a", encoding="utf-8", buffering=1)

    def write(self, record: Record) -> None:
        """Append a line."""
        self._file.write(json.dumps(record) + "\n")

    def close(self) -> None:
        """Close the file."""
        self._file.close()


class TensorBoard:
    """Writes event files to the run's folder."""

    files: Final = "events.out.tfevents.*"

    def __init__(self, folder: Path, _: str) -> None:
        """Open a new event file.

        Raises:
            MissingExtraError: TensorBoard is not installed.
        """
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            raise MissingExtraError(error.name or "tensorboard", "tensorboard") from error
        self._writer = SummaryWriter(folder)

    def write(self, record: Record) -> None:
        """Log every number as ``split/name``."""
        for name, value in _numbers(record).items():
            self._writer.add_scalar(name, value, record["step"])

    def close(self) -> None:
        """Flush and close."""
        self._writer.close()


class WeightsAndBiases:
    """Logs to Weights & Biases, project ``atariari``; ``WANDB_MODE=offline`` logs locally."""

    def __init__(self, folder: Path, name: str) -> None:
        """Start a run with this name.

        Raises:
            MissingExtraError: W&B is not installed.
        """
        try:
            import wandb
        except ImportError as error:
            raise MissingExtraError(error.name or "wandb", "wandb") from error
        self._run: Any = wandb.init(project="atariari", name=name, dir=folder)

    def write(self, record: Record) -> None:
        """Log every number as ``split/name``."""
        self._run.log(_numbers(record), step=record["step"])

    def close(self) -> None:
        """Finish the run."""
        self._run.finish()


class Trackio:
    """Logs to trackio, project ``atariari``; set ``TRACKIO_SPACE_ID`` to log to a Space."""

    def __init__(self, _: Path, name: str) -> None:
        """Start a run with this name.

        Raises:
            MissingExtraError: trackio is not installed.
        """
        try:
            import trackio
        except ImportError as error:
            raise MissingExtraError(error.name or "trackio", "trackio") from error
        self._run: Any = trackio.init(project="atariari", name=name)

    def write(self, record: Record) -> None:
        """Log every number as ``split/name``."""
        self._run.log(_numbers(record), step=record["step"])

    def close(self) -> None:
        """Finish the run."""
        self._run.finish()


TRACKERS: Final[Mapping[str, Callable[[Path, str], Tracker]]] = {
    "tensorboard": TensorBoard,
    "trackio": Trackio,
    "wandb": WeightsAndBiases,
}


def check_trackers(names: Collection[str]) -> None:
    """Check before a run that its trackers can be used.

    Raises:
        UnknownNameError: No such tracker.
        MissingExtraError: Its package is not installed.
    """
    for name in names:
        if name not in TRACKERS:
            raise UnknownNameError("tracker", name, TRACKERS)
        require(name, name)


class Trackers:
    """All trackers of a run."""

    def __init__(self, folder: Path, step: int, name: str, others: tuple[str, ...] = ()) -> None:
        """Open the file of lines, and ``others`` by their names in `TRACKERS`.

        Raises:
            UnknownNameError: No such tracker.
            MissingExtraError: Its package is not installed.
        """
        check_trackers(others)
        more = [TRACKERS[other](folder, name) for other in others]
        self._all: list[Tracker] = [JsonLines(folder, step), *more]

    def write(self, record: Record) -> None:
        """Log a record to all."""
        for tracker in self._all:
            tracker.write(record)

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close all."""
        for tracker in self._all:
            tracker.close()


def _is_before(line: str, step: int) -> bool:
    try:
        return int(json.loads(line)["step"]) <= step
    except (ValueError, KeyError, TypeError):  # a line cut off by a kill
        return False


def _numbers(record: Record) -> dict[str, float]:
    split = record["split"]
    return {
        f"{split}/{name}": value
        for name, value in record.items()
        if name != "step" and isinstance(value, int | float)
    }
