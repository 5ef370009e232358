"""The probe of arXiv 1906.08226, ``anand2019``: Adam on a linear layer, stopped by validation accuracy.

It is there to compare with published numbers. Its answer hangs on the scale of the features and on how far
Adam gets within its epochs, so it is not to be mixed with that of `harness.probes.fit_linear`;
docs/probes.md has the figures.

What the published code did otherwise, each mended here: it drew an episode and then a step of it, with
replacement, instead of taking every row once an epoch; it stopped by the accuracy of such a draw from
validation; it kept the last weights instead of the best; it scored a draw from test; nothing was seeded.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt

from harness.probes import Split, check_probe_input

if TYPE_CHECKING:
    import torch

CLASSES: Final = 256
EPSILON: Final = 1e-5
SCRIPT_LEARNING_RATE: Final = 3e-4
CLASS_LEARNING_RATE: Final = 5e-4
BLOCK: Final = 4096  # rows predicted at once


@dataclass(frozen=True)
class AdamSettings:
    """The published settings.

    Attributes:
        learning_rate: 3e-4, as the script that made the published tables had it; the class had 5e-4.
        batch_size: Rows of a step.
        epochs: At most.
        patience: Epochs without a better validation accuracy after which a variable stops.
        seed: Of the initial weights and of the order of the rows.
    """

    learning_rate: float = SCRIPT_LEARNING_RATE
    batch_size: int = 64
    epochs: int = 100
    patience: int = 15
    seed: int = 0


@dataclass(frozen=True)
class AdamProbe:
    """One variable's trained probe.

    Attributes:
        name: Of the variable.
        weights: float32 [256, d + 1]; the last column is the bias.
        epochs: How many were trained.
        best_epoch: The one whose weights these are, from 1.
        validation_accuracy: The best there was, by which training stopped.
        learning_rate: At the end, after the plateaus.
    """

    name: str
    weights: npt.NDArray[np.float32]
    epochs: int
    best_epoch: int
    validation_accuracy: float
    learning_rate: float

    def predict(self, features: npt.NDArray[np.float32]) -> npt.NDArray[np.uint8]:
        """Return the most likely class of each row, uint8 [n], from features, float32 [n, d]."""
        parts = [
            (features[start : start + BLOCK] @ self.weights[:, :-1].T + self.weights[:, -1]).argmax(axis=1)
            for start in range(0, len(features), BLOCK)
        ]
        return np.concatenate(parts).astype(np.uint8)


def fit_anand2019(
    train: Split,
    validation: Split,
    *,
    names: Sequence[str],
    settings: AdamSettings | None = None,
    episodes: tuple[npt.NDArray[np.integer], npt.NDArray[np.integer]] | None = None,
    device: str = "cpu",
    progress: Callable[[str], object] | None = None,
) -> list[AdamProbe]:
    """Train the published probe for every variable in one loop.

    Every variable has its own optimiser, plateau schedule and early stop, and initial weights drawn from the
    seed and its name; all see the same batches. So each ends as it would alone.

    Args:
        train: Rows to fit to.
        validation: Rows whose accuracy lowers the learning rate and stops.
        names: Of the variables, in the order of the columns of ``labels``.
        settings: The published ones, if not given.
        episodes: Episode of each row of train and validation. Given, rows are drawn as the published code
            drew them and the last weights are kept: only to show what its mistakes did.
        device: A torch device.
        progress: Called with the name of each variable when it stops.

    Returns:
        One probe a variable, in the order of ``names``.

    Raises:
        FeatureError: Features that are not finite.
        UsageError: Shapes that do not fit together, or no rows.
    """
    check_probe_input(train, validation, validation.features, names)
    import torch

    settings = settings or AdamSettings()
    order = torch.Generator().manual_seed(settings.seed)

    def rows(part: int) -> torch.Tensor:
        if episodes is not None:
            return _drawn(episodes[part], order).to(device)
        n = len((train, validation)[part].features)
        return (torch.randperm(n, generator=order) if part == 0 else torch.arange(n)).to(device)

    # A feature that is zero in every row has no gradient, so Adam leaves its weights as they were drawn.
    used = np.flatnonzero(train.features.any(axis=0) | validation.features.any(axis=0))
    x, x_validation = (_with_ones(s.features, used).to(device) for s in (train, validation))
    y, y_validation = (torch.tensor(s.labels, dtype=torch.int64, device=device) for s in (train, validation))
    probes = [
        _Training(v, name, train.features.shape[1], used, settings, device) for v, name in enumerate(names)
    ]
    active = probes
    for epoch in range(1, settings.epochs + 1):
        joint, gradient = _share_storage(active)
        columns = [probe.column for probe in active]
        y_active = y[:, columns]
        for batch in torch.split(rows(0), settings.batch_size):
            if episodes is not None and len(batch) < settings.batch_size:
                break  # as published
            _step(active, joint, gradient, x[batch], y_active[batch])
        seen = rows(1)
        right = _predicted(active, x_validation[seen]) == y_validation[seen][:, columns]
        for probe, accuracy in zip(active, right.double().mean(0).tolist(), strict=True):
            probe.note(epoch, accuracy, restore=episodes is None)
            if progress and (probe.stopped or epoch == settings.epochs):
                progress(probe.name)
        active = [probe for probe in active if not probe.stopped]
        if not active:
            break
    return [probe.finished() for probe in probes]


class _Training:
    """A linear layer with its optimiser, schedule and early stop."""

    def __init__(
        self,
        column: int,
        name: str,
        d: int,
        used: npt.NDArray[np.int64],
        settings: AdamSettings,
        device: str,
    ) -> None:
        import torch

        self.column, self.name, self.patience = column, name, settings.patience
        digest = hashlib.sha256(f"{settings.seed} {name}".encode()).digest()
        draw = torch.Generator().manual_seed(int.from_bytes(digest[:7], "big"))
        bound = d**-0.5  # as torch.nn.Linear
        start = (torch.rand(CLASSES, d + 1, generator=draw) * 2 - 1) * bound
        self.start, self.used = start, torch.from_numpy(np.append(used, d))  # the last column is the bias
        self.weights = torch.nn.Parameter(start[:, self.used].to(device))
        self.optimiser = torch.optim.Adam([self.weights], lr=settings.learning_rate, eps=EPSILON, fused=True)
        self.schedule = torch.optim.lr_scheduler.ReduceLROnPlateau(
            self.optimiser, mode="max", patience=5, factor=0.2, min_lr=1e-5
        )
        self.epochs = self.best_epoch = self.waited = 0
        self.best_accuracy = -1.0
        self.best: torch.Tensor | None = None
        self.stopped = False

    def note(self, epoch: int, accuracy: float, *, restore: bool) -> None:
        """Keep the best weights, stop at the end of patience, lower the learning rate on a plateau."""
        self.epochs = epoch
        if accuracy > self.best_accuracy:
            self.best_accuracy, self.best_epoch, self.waited = accuracy, epoch, 0
            self.best = self.weights.detach().clone() if restore else None
        else:
            self.waited += 1
            self.stopped = self.waited >= self.patience
        if not restore:
            self.best_epoch = epoch
        if not self.stopped:
            self.schedule.step(accuracy)

    def finished(self) -> AdamProbe:
        best = self.weights.detach() if self.best is None else self.best
        rate = float(self.optimiser.param_groups[0]["lr"])
        self.start[:, self.used] = best.cpu()
        return AdamProbe(
            self.name, self.start.numpy(), self.epochs, self.best_epoch, self.best_accuracy, rate
        )


def _with_ones(features: npt.NDArray[np.float32], used: npt.NDArray[np.int64]) -> torch.Tensor:
    import torch

    features = features if len(used) == features.shape[1] else features[:, used]
    return torch.from_numpy(np.pad(features, ((0, 0), (0, 1)), constant_values=1.0))


def _drawn(episodes: npt.NDArray[np.integer], generator: torch.Generator) -> torch.Tensor:
    """Draw as many rows as there are: an episode, each as likely, then a row of it; with replacement."""
    import torch

    group, sizes = np.unique(episodes, return_inverse=True, return_counts=True)[1:]
    order = torch.from_numpy(np.argsort(group.reshape(-1), kind="stable"))
    starts = torch.from_numpy(np.cumsum(sizes) - sizes)
    chosen = torch.randint(len(sizes), (len(episodes),), generator=generator)
    within = torch.rand(len(episodes), generator=generator, dtype=torch.float64)
    return order[starts[chosen] + (within * torch.from_numpy(sizes)[chosen]).long()]


def _share_storage(probes: Sequence[_Training]) -> tuple[torch.Tensor, torch.Tensor]:
    """Put the weights of all probes into one tensor, and their gradients into another, [v * 256, d + 1].

    Weights and gradients of each are views of these from now on.
    """
    import torch

    joint = torch.cat([probe.weights.detach() for probe in probes])
    gradient = torch.empty_like(joint)
    blocks = zip(probes, torch.split(joint, CLASSES), torch.split(gradient, CLASSES), strict=True)
    for probe, weights, grad in blocks:
        probe.weights.data, probe.weights.grad = weights, grad
    return joint, gradient


def _step(
    probes: Sequence[_Training],
    joint: torch.Tensor,
    gradient: torch.Tensor,
    x: torch.Tensor,
    y: torch.Tensor,
) -> None:
    """Take one step of Adam down the mean cross-entropy of a batch, x [b, d + 1] and y [b, v]."""
    import torch

    residual = torch.softmax((x @ joint.T).view(len(x), len(probes), CLASSES), 2)
    residual.scatter_add_(2, y[:, :, None], residual.new_full((*y.shape, 1), -1.0))
    residual.div_(len(x))
    # Into memory that is there: fresh memory of this size costs as much as the product.
    torch.mm(residual.view(len(x), -1).T, x, out=gradient)
    for probe in probes:
        probe.optimiser.step()


def _predicted(probes: Sequence[_Training], x: torch.Tensor) -> torch.Tensor:
    """Return the classes, int64 [n, v], of rows that end in a one."""
    import torch

    parts = [
        torch.stack([(rows @ probe.weights.detach().T).argmax(1) for probe in probes], 1)
        for rows in torch.split(x, BLOCK)
    ]
    return torch.cat(parts)
