"""The rules for encoders, and a kit that finds the rules an encoder breaks.

For your own tests: ``assert_conforms(MyEncoder())``. On the command line: ``harness check my_encoder.py``.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from atariari_data.errors import AtariariError, UsageError
from harness.encoders.encoder import EncoderError, Features, Frames, FrameSpec, LoadedEncoder, sample_frames
from harness.encoders.features import as_features, describe, excess, to_numpy

Status = Literal["passed", "failed", "skipped", "info"]

RULES = {
    "runs": "takes the frames of its spec",
    "dtype": "returns floats",
    "shape": "returns [n, d] for any n, always with the same d",
    "finite": "returns no NaN and no infinity, not even for a black or white screen",
    "input": "does not modify its input",
    "deterministic": "the same frames give the same features, whatever came before",
    "batch": "the features of a frame do not depend on the rest of the batch",
    "order": "the features of a frame do not depend on its position in the batch",
}
LEAST_FRAMES = 8
TIMEOUT = 600.0
"""Default limit in seconds for a check in a process of its own."""
_EXCERPT = 6


class ConformanceError(EncoderError, AssertionError):
    """An encoder breaks a rule; also an ``AssertionError``, so that a test fails rather than errors."""


@dataclass(frozen=True)
class Finding:
    """The outcome of one rule, or a figure.

    Attributes:
        rule: A key of ``RULES``; for figures ``features``, ``speed``, ``memory`` or ``encoder``.
        status: ``passed``, ``failed``, ``skipped`` after an earlier failure, or ``info`` for a figure.
        message: One sentence.
        shown: Excerpts of the arrays that show a failure, each with its name.
    """

    rule: str
    status: Status
    message: str
    shown: tuple[tuple[str, npt.NDArray[Any]], ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """Return the fields for ``--json``; numbers of the excerpts as text, since JSON has no NaN."""
        shown = {name: np.vectorize(_number, otypes=[object])(array).tolist() for name, array in self.shown}
        return {"rule": self.rule, "status": self.status, "message": self.message, "shown": shown}


def check(
    encoder: object, frames: Frames | None = None, *, seconds: float = 1.0, **options: Any
) -> list[Finding]:
    """Check an encoder against every rule.

    Args:
        encoder: Anything that ``load_encoder`` takes.
        frames: uint8, at least 8, in the shape of the encoder's spec; by default synthetic pictures. A black
            and a white screen are added.
        seconds: How long to measure the speed; 0 for no figures.
        options: Options of ``load_encoder``.

    Returns:
        A finding for every rule, in their order; a description of the encoder; and if it passes, its feature
        size, speed and memory.

    Raises:
        EncoderError: It cannot be loaded.
        UsageError: The frames do not match the encoder's spec, or are too few.
    """
    from harness.adapters import load_encoder

    loaded = load_encoder(encoder, **options)
    trial = _Trial(loaded, _with_blanks(loaded.spec, frames))
    findings: list[Finding] = []
    for rule, test in trial.tests():
        broken = {finding.rule for finding in findings if finding.status == "failed"}
        if broken & set(_NEEDS[rule]):
            findings.append(Finding(rule, "skipped", f"not checked because `{min(broken)}` fails"))
            continue
        findings.append(test() or Finding(rule, "passed", RULES[rule]))
    findings.append(Finding("encoder", "info", f"{loaded.name}: {loaded.description}"))
    if seconds > 0 and conforms(findings):
        findings.extend(trial.figures(seconds))
    return findings


def check_apart(encoder: str, *, timeout: float = TIMEOUT, **options: Any) -> list[Finding]:
    """Check an encoder as `check` does, in a process of its own that may crash, exit or hang.

    Args:
        encoder: A file, a folder of a run, or a name.
        timeout: Seconds for loading and all rules together.
        options: As for ``check``.

    Raises:
        EncoderError: The encoder cannot be loaded, ended its process, or took too long.
        UsageError: As ``check``.
    """
    context = get_context("spawn")
    findings, sender = context.Pipe(duplex=False)
    process = context.Process(target=_send_findings, args=(sender, encoder, options))
    process.start()
    sender.close()
    try:
        if not wait([findings, process.sentinel], timeout):
            raise EncoderError(
                "The encoder did not finish the check.",
                expected=f"at most {timeout:g} s",
                cure="Give it more time: --timeout.",
            )
        found = findings.recv()
    except EOFError as error:
        raise EncoderError(
            "The encoder ended the process in which it was tried.",
            expected="that it comes back with features, or raises",
            cure="No exit in it; a library that crashes says more under `python -X faulthandler`.",
        ) from error
    finally:  # its threads and what it started may never end by themselves
        with contextlib.suppress(ProcessLookupError, PermissionError):
            if os.name == "posix" and process.pid is not None:
                os.killpg(process.pid, signal.SIGKILL)
        process.kill()
        process.join()
    if isinstance(found, AtariariError):
        raise found
    return list(found)


def _send_findings(sender: Connection, encoder: str, options: dict[str, Any]) -> None:
    if os.name == "posix":
        os.setsid()
    try:
        sender.send(check(encoder, **options))
    except AtariariError as error:
        sender.send(error)


def conforms(findings: list[Finding]) -> bool:
    """Return whether no rule failed."""
    return all(finding.status != "failed" for finding in findings)


def assert_conforms(encoder: object, frames: Frames | None = None, **options: Any) -> None:
    """Raise an error if an encoder breaks a rule; for tests.

    Args:
        encoder: As for ``check``.
        frames: As for ``check``.
        options: As for ``check``.

    Raises:
        ConformanceError: It breaks a rule; the message lists all of them.
        EncoderError: It cannot be loaded.
    """
    findings = check(encoder, frames, seconds=0, **options)
    failed = [finding for finding in findings if finding.status == "failed"]
    if failed:
        raise ConformanceError("The encoder breaks rules.\n" + report(failed))


def report(findings: list[Finding]) -> str:
    """Return the findings as text, one per line, with the arrays that show a failure below."""
    marks = {"passed": "ok", "failed": "FAILED", "skipped": "skipped", "info": "info"}
    lines = []
    for finding in findings:
        lines.append(f"{marks[finding.status]:7}  {finding.rule:13}  {finding.message}")
        width = max((len(name) for name, _ in finding.shown), default=0)
        for name, array in finding.shown:
            numbers = "  ".join(_number(value) for value in array.reshape(-1))
            lines.append(f"{'':9}{name:{width}}  {numbers}")
    return "\n".join(lines)


# Rules that must pass before a rule can be checked. Noise would fail the last two as well.
_NEEDS: dict[str, tuple[str, ...]] = {
    "runs": (),
    "dtype": ("runs",),
    "shape": ("runs", "dtype"),
    "finite": ("runs", "dtype", "shape"),
    "input": ("runs",),
    "deterministic": ("runs", "dtype", "shape", "finite"),
    "batch": ("runs", "dtype", "shape", "finite", "deterministic"),
    "order": ("runs", "dtype", "shape", "finite", "deterministic"),
}


class _Trial:
    """An encoder and the frames to check it on; the method of a rule returns a failure or None."""

    def __init__(self, encoder: LoadedEncoder, frames: Frames) -> None:
        self.encoder = encoder
        self.frames = frames
        self.n = len(frames)
        self.half = self.n // 2

    def tests(self) -> Iterator[tuple[str, Callable[[], Finding | None]]]:
        for rule in RULES:
            yield rule, getattr(self, rule)

    def output(self, frames: Frames) -> Any:
        return self.encoder.call(self.encoder.prepare(frames))

    def features(self, frames: Frames) -> Features:
        return as_features(self.output(frames), len(frames), self.encoder.pool, self.encoder.spec.layout)

    def runs(self) -> Finding | None:
        try:
            self.output(self.frames)
        except EncoderError as error:
            return Finding("runs", "failed", str(error))
        return None

    def dtype(self) -> Finding | None:
        output = self.output(self.frames)
        if to_numpy(output).dtype.kind == "f":
            return None
        return Finding("dtype", "failed", f"returns {describe(output)}, which is not an array of floats")

    def shape(self) -> Finding | None:
        widths: dict[int, int] = {}
        for n in (self.n, 1, 3):
            try:
                widths[n] = self.features(self.frames[:n]).shape[1]
            except EncoderError as error:
                return Finding("shape", "failed", f"for {n} frames: {error}")
        if len(set(widths.values())) == 1:
            return None
        sizes = ", ".join(f"[{n}, {d}]" for n, d in widths.items())
        return Finding("shape", "failed", f"the feature size changes with the number of frames: {sizes}")

    def finite(self) -> Finding | None:
        features = self.features(self.frames)
        bad = np.flatnonzero(~np.isfinite(features).all(axis=1))
        if not bad.size:
            return None
        row = int(bad[0])
        name = {self.n - 2: " (a black screen)", self.n - 1: " (a white screen)"}.get(row, "")
        first = int(np.flatnonzero(~np.isfinite(features[row]))[0])
        return Finding(
            "finite",
            "failed",
            f"NaN or infinity in {bad.size} of {self.n} rows, the first in row {row}{name}, feature {first}",
            _excerpt(first, {f"row {row}": features[row]}),
        )

    def input(self) -> Finding | None:
        prepared = self.encoder.prepare(self.frames)
        before = to_numpy(prepared).copy()
        self.encoder.call(prepared)
        after = to_numpy(prepared)
        if np.array_equal(before, after):
            return None
        changed = np.flatnonzero(before.reshape(-1) != after.reshape(-1))
        return Finding(
            "input",
            "failed",
            f"{changed.size} of {before.size} values of the input changed during the call",
            _excerpt(int(changed[0]), {"before": before.reshape(-1), "after": after.reshape(-1)}),
        )

    def deterministic(self) -> Finding | None:
        some, others = self.frames[: self.half], self.frames[self.half :]
        first, second = self.features(some), self.features(some)
        self.features(others)
        later = self.features(some)
        return self.differ(
            "deterministic", "the same frames give different features", first=first, second=second
        ) or self.differ(
            "deterministic", "features change after other frames were seen", first=first, later=later
        )

    def batch(self) -> Finding | None:
        # Positions stay, the other frames change: dependence on the position is the next rule.
        whole = self.features(self.frames)
        others = self.features(np.concatenate([self.frames[: self.half], self.frames[::-1]]))[: self.half]
        says = "features depend on the other frames of the batch"
        return self.differ(
            "batch", says, like=whole, alone=self.features(self.frames[:1]), together=whole[:1]
        ) or self.differ("batch", says, together=whole[: self.half], with_others=others)

    def order(self) -> Finding | None:
        features = self.features(self.frames)
        for order in (np.arange(self.n)[::-1], np.random.default_rng(0).permutation(self.n)):
            back = np.empty_like(features)
            back[order] = self.features(self.frames[order])
            says = "features depend on the position in the batch"
            if found := self.differ("order", says, in_order=features, reordered=back):
                return found
        return None

    def differ(self, rule: str, says: str, like: Features | None = None, **pair: Features) -> Finding | None:
        """A failure where two sets of features differ by more than rounding does; see `excess`."""
        (left_name, left), (right_name, right) = pair.items()
        times, tolerance = excess(left, right, self.encoder.precision, like)
        if times.max() <= 1:
            return None
        row, column = (int(i) for i in np.unravel_index(times.argmax(), times.shape))
        distance = abs(float(left[row, column]) - float(right[row, column]))
        return Finding(
            rule,
            "failed",
            f"{says}: by up to {_number(distance)} (row {row}, feature {column}); "
            f"rounding explains {_number(tolerance[column])}",
            _excerpt(
                column, {left_name.replace("_", " "): left[row], right_name.replace("_", " "): right[row]}
            ),
        )

    def figures(self, seconds: float) -> Iterator[Finding]:
        features = self.features(self.frames)
        same = int((np.ptp(features, axis=0) == 0).sum())
        size = (
            f"{features.shape[1]} features, {4 * features.shape[1] * 50_000 / 1e6:.0f} MB for 50,000 frames"
        )
        yield Finding(
            "features", "info", size + (f"; {same} of them are constant on these frames" if same else "")
        )
        rows = min(self.encoder.batches.size, 128)
        many = np.resize(self.frames, (rows, *self.frames.shape[1:]))
        self.encoder.embed(many[:1])  # the first call is slower
        start, done = time.perf_counter(), 0
        while time.perf_counter() - start < seconds:
            self.encoder.embed(many)
            done += rows
        rate = done / (time.perf_counter() - start)
        yield Finding(
            "speed", "info", f"{rate:,.0f} frames/s in batches of {rows}, {50_000 / rate:,.0f} s for 50,000"
        )
        yield Finding("memory", "info", _memory(self.encoder.device))


def _with_blanks(spec: FrameSpec, frames: Frames | None) -> Frames:
    """Return the frames to check on, ending with a black and a white screen."""
    if frames is None:
        frames = sample_frames(spec, LEAST_FRAMES)
    frames = np.asarray(frames)
    spec.arrange(frames[:1])
    if len(frames) < LEAST_FRAMES:
        raise UsageError("Too few frames to check an encoder.", expected=LEAST_FRAMES, got=len(frames))
    black = np.zeros_like(frames[:1])
    return np.concatenate([frames, black, black + np.uint8(255)])


def _excerpt(around: int, arrays: dict[str, npt.NDArray[Any]]) -> tuple[tuple[str, npt.NDArray[Any]], ...]:
    """Return a few values of each array, from the same positions."""
    length = min(len(array) for array in arrays.values())
    start = max(0, min(around - 1, length - _EXCERPT))
    return tuple((name, array[start : start + _EXCERPT].copy()) for name, array in arrays.items())


def _number(value: Any) -> str:
    return f"{float(value):.4g}"


def _memory(device: str) -> str:
    if device.startswith("cuda"):
        torch = sys.modules["torch"]
        return f"{torch.cuda.max_memory_allocated(device) / 1e6:,.0f} MB at most on {device}"
    try:
        import resource
    except ImportError:  # Windows
        return "not available on this system"
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    return f"{peak / 1e6:,.0f} MB at most in this process so far"
