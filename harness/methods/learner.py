"""A method in training: weights, optimiser and schedule, saved and restored as one state."""

from __future__ import annotations

import math
import pickle
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch

from atariari_data.errors import AtariariError, DataError
from builders.files import new_file
from harness.encoders.features import first_line
from harness.methods.method import Batch, Loss, Method
from harness.methods.rows import Rows
from harness.methods.run import Settings, check_same
from harness.methods.sampling import Indices
from harness.splits import prefetch

ADAM_EPSILON: Final = 1e-5
PLATEAU_PATIENCE: Final = 5
PLATEAU_FACTOR: Final = 0.2
LEAST_LEARNING_RATE: Final = 1e-5
DIVERGED: Final = 10.0  # times the initial loss
_VALIDATION: Final = 1 << 40  # beyond all steps, so that validation draws other noise than training
_DAMAGED: Final = (
    pickle.UnpicklingError,
    AttributeError,
    EOFError,
    LookupError,
    OSError,
    RuntimeError,
    TypeError,
    ValueError,
)
"""What reading a state raises of a file that is none."""


class TrainingError(AtariariError):
    """Training cannot continue."""


class Learner:
    """A method, its optimiser, and their progress.

    Attributes:
        step: Steps taken.
        seconds: Time of training and validation, over all sessions.
        first_loss: Mean loss over the first window of the log.
        best_loss: Lowest validation loss.
        best_step: The step of the lowest validation loss.
        best_weights: The encoder's weights at that step.
        waited: Validations since that step.
    """

    def __init__(self, method: Method, settings: Settings, device: torch.device) -> None:
        """Start from a method with fresh weights."""
        # 1.5 times as fast on the CPU (benchmarks/train.py), and the layout that tensor cores need.
        self.method = method.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]  # undeclared
        self.settings = settings
        self.device = device
        self.optimizer = torch.optim.Adam(
            method.parameters(), lr=settings.learning_rate, eps=ADAM_EPSILON, fused=True
        )
        self.plateau = torch.optim.lr_scheduler.ReduceLROnPlateau(
            self.optimizer, patience=PLATEAU_PATIENCE, factor=PLATEAU_FACTOR, min_lr=LEAST_LEARNING_RATE
        )
        half = torch.bfloat16 if _has_bfloat16(device) else torch.float16
        self.precision = half if settings.mixed_precision else None
        self.scaler = torch.amp.GradScaler(device.type, enabled=self.precision is torch.float16)
        self.step = 0
        self.seconds = 0.0
        self.first_loss: float | None = None
        self.best_loss = math.inf
        self.best_step = 0
        self.best_weights: dict[str, torch.Tensor] = {}
        self.waited = 0

    def learn(self, batch: Batch) -> Loss:
        """Take a step, and return the loss before it, detached."""
        self.method.train()
        loss = self._loss(batch, self.step)
        self.optimizer.zero_grad(set_to_none=True)
        self.scaler.scale(loss.total).backward()  # type: ignore[no-untyped-call]  # torch has no types here
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.step += 1
        return Loss(loss.total.detach(), {name: part.detach() for name, part in loss.parts.items()})

    def validate(self, rows: Rows, batches: Indices) -> float:
        """Return the mean loss over batches, and keep the weights if it is the lowest so far."""
        self.method.eval()
        total = 0.0
        with torch.no_grad():
            for number, batch in enumerate(read_batches(rows, batches, self.device)):
                total += float(self._loss(batch, _VALIDATION + number).total)
        loss = total / len(batches)
        self.check(loss)
        self.plateau.step(loss)
        self.waited += 1
        if loss < self.best_loss:
            self.best_loss, self.best_step, self.waited = loss, self.step, 0
            self.best_weights = {k: v.detach().clone() for k, v in self.method.encoder.state_dict().items()}
        return loss

    def check(self, loss: float) -> None:
        """Check that training has not diverged.

        Raises:
            TrainingError: The loss is not finite, or is far larger than at the start.
        """
        cure = "Start again in another folder, with a smaller --learning-rate or with --full-precision."
        if not math.isfinite(loss):
            raise TrainingError(
                f"The loss is not finite at step {self.step}.",
                expected="a finite number",
                got=loss,
                cure=cure,
            )
        if self.first_loss is None:
            self.first_loss = loss
        if loss > DIVERGED * max(abs(self.first_loss), 1e-3):
            raise TrainingError(
                f"Training diverged at step {self.step}.",
                expected=f"a loss below {DIVERGED:.0f} times the initial one, {self.first_loss:.4g}",
                got=f"{loss:.4g}",
                cure=cure,
            )

    def memory(self, batch: Batch) -> float:
        """Estimate the bytes that a training step keeps for its backward pass, weights and moments.

        It extrapolates from two small batches: one part grows with the batch, one with its square.
        """
        if len(batch.frames) < 4:  # noqa: PLR2004  too few to tell the parts apart
            return 0.0
        two, four = (self._kept(Batch(*(part[:n].clone() for part in batch))) for n in (2, 4))
        square = (four - 2 * two) / 8
        linear = two / 2 - 2 * square
        n = len(batch.frames)
        weights = sum(p.numel() * p.element_size() for p in self.method.parameters())
        return float(max(linear, 0.0) * n + max(square, 0.0) * n * n + 4 * weights)

    def save(self, path: Path) -> None:
        """Replace the saved state, atomically."""
        state = {
            "settings": self.settings.model_dump_json(),
            "method": self.method.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "plateau": self.plateau.state_dict(),
            "scaler": self.scaler.state_dict(),
            **{name: getattr(self, name) for name in _NUMBERS},
        }
        with new_file(path, replace=True) as part:
            torch.save(state, part)

    def load(self, path: Path) -> None:
        """Restore the saved state of a run.

        Raises:
            UsageError: The run has other settings.
            DataError: The file cannot be read.
        """
        try:
            state = torch.load(path, map_location=self.device, weights_only=True)
            check_same(path.parent, Settings.model_validate_json(state["settings"]), self.settings)
            self.method.load_state_dict(state["method"])
            self.optimizer.load_state_dict(state["optimizer"])
            self.plateau.load_state_dict(state["plateau"])
            if state["scaler"]:  # empty if it was saved where no scaler is needed
                self.scaler.load_state_dict(state["scaler"])
            for name in _NUMBERS:
                setattr(self, name, state[name])
        except _DAMAGED as error:
            raise DataError(
                f"Cannot read the saved state {path}.",
                got=first_line(error),
                cure="Delete the file; training then starts from the beginning.",
            ) from error

    def _loss(self, batch: Batch, number: int) -> Loss:
        """Compute the loss; its noise depends only on the seed and on ``number``."""
        generator = torch.Generator(self.device)
        generator.manual_seed(int(np.random.SeedSequence((self.settings.seed, number)).generate_state(1)[0]))
        with torch.autocast(self.device.type, self.precision, enabled=self.precision is not None):
            loss: Loss = self.method.loss(batch, generator)
        return loss

    def _kept(self, batch: Batch) -> float:
        seen: dict[int, int] = {}

        def pack(tensor: torch.Tensor) -> torch.Tensor:
            storage = tensor.untyped_storage()
            seen[storage.data_ptr()] = storage.nbytes()
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            self._loss(batch, 0)
        own = {p.untyped_storage().data_ptr() for p in self.method.parameters()}
        return float(sum(size for place, size in seen.items() if place not in own))


def _has_bfloat16(device: torch.device) -> bool:
    """Return whether a device computes in bfloat16; `torch.cuda.is_bf16_supported` counts emulation, too."""
    if device.type != "cuda" or torch.version.hip is not None:
        return True
    return torch.cuda.get_device_capability(device) >= (8, 0)


_NUMBERS: Final = ("step", "seconds", "first_loss", "best_loss", "best_step", "best_weights", "waited")


def read_batches(rows: Rows, index: Sequence[Any] | Indices, device: torch.device) -> Iterator[Batch]:
    """Read batches in order; the next one is read from disk while one is in use.

    Args:
        rows: The split.
        index: Rows of each batch, int64 [batches, b, k].
        device: Device of the tensors.
    """

    def read(chosen: Indices) -> tuple[torch.Tensor, ...]:
        first = chosen[:, 0]
        arrays = (rows.frames[chosen], rows.actions[first], rows.ram[first])
        tensors = tuple(torch.from_numpy(np.ascontiguousarray(array)) for array in arrays)
        return tuple(t.pin_memory() for t in tensors) if device.type == "cuda" else tensors

    for _, tensors in prefetch(index, read):
        frames, actions, ram = (t.to(device, non_blocking=True) for t in tensors)
        yield Batch(frames.float().div_(255), actions.long(), ram)
