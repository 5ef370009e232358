"""The probe of arXiv 1906.08226, ``anand2019``: Adam on a linear layer, stopped by validation accuracy.

It exists for comparison with published numbers. Its score depends on the scale of the features and on how far
Adam gets within its epochs, so it is not comparable with that of `harness.probes.linear.fit_linear`;
docs/probes.md has the figures.

What the published code did differently, each fixed here: it drew an episode and then a step of it, with
replacement, instead of taking every row once an epoch; it stopped by the accuracy of such a draw from
validation; it kept the last weights instead of the best; it scored a draw from test; nothing was seeded.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt

from harness.encoders.features import Features
from harness.metrics import most_frequent
from harness.probes.inputs import Split, Values, check_probe_input
from harness.probes.probe import Fit, Probe, ProbeRun, Tolerance
from harness.probes.target import Target

if TYPE_CHECKING:
    import torch

CLASSES: Final = 256
EPSILON: Final = 1e-5
PLATEAU_PATIENCE: Final = 5  # epochs without a better validation accuracy before the rate is lowered
PLATEAU_FACTOR: Final = 0.2
PLATEAU_RISE: Final = 1e-4  # relative; what counts as better
LEAST_LEARNING_RATE: Final = 1e-5
SCRIPT_LEARNING_RATE: Final = 3e-4
CLASS_LEARNING_RATE: Final = 5e-4
BLOCK: Final = 4096  # rows predicted at once


@dataclass(frozen=True)
class AdamSettings:
    """The published settings.

    Attributes:
        learning_rate: 3e-4 as in the script behind the published tables; the class had 5e-4.
        batch_size: Rows per step.
        epochs: The largest number of epochs.
        patience: A variable stops after this many epochs without a better validation accuracy.
        seed: The seed of the initial weights and of the order of the rows.
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
        name: The variable's name.
        weights: float32 [256, d + 1]; the last column is the bias.
        epochs: The number of epochs trained.
        best_epoch: The epoch that these weights are from, counted from 1.
        validation_accuracy: The accuracy of that epoch on validation.
        learning_rate: The learning rate at the end.
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

    Every variable has its own learning rate, which falls on its plateaus, its own early stop, and initial
    weights drawn from the seed and its name; all see the same batches. So each ends as it would alone.

    Args:
        train: The rows to fit to.
        validation: The rows whose accuracy lowers the learning rate and stops training.
        names: The variables' names, in the order of the columns of ``labels``.
        settings: The published ones, if not given.
        episodes: Episode of each row of train and validation. Given, rows are drawn as the published code
            drew them and the last weights are kept: only to show what its mistakes did.
        device: A torch device.
        progress: Called with the name of each variable when it stops.

    Returns:
        One probe for each variable, in the order of ``names``.

    Raises:
        FeatureError: Some features are not finite.
        UsageError: Shapes do not match, or there are no rows.
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

    columns = _Columns.of(train.features, validation.features, device)
    x, x_validation = columns.inputs(train.features), columns.summed(columns.inputs(validation.features))
    y, y_validation = (torch.tensor(s.labels, dtype=torch.int64, device=device) for s in (train, validation))
    probes = [_Training(v, name, columns, settings) for v, name in enumerate(names)]
    scores = x.new_empty(settings.batch_size, CLASSES)  # once: fresh memory costs as much as the product
    active, optimiser = probes, None
    for epoch in range(1, settings.epochs + 1):
        optimiser = _optimiser(active, optimiser)
        variables = [probe.variable for probe in active]
        y_active = y[:, variables]
        for batch in torch.split(rows(0), settings.batch_size):
            if episodes is not None and len(batch) < settings.batch_size:
                break  # as published
            x_batch = x[batch]
            _put_gradients(active, columns.summed(x_batch), x_batch, y_active[batch], scores[: len(batch)])
            optimiser.step()
        seen = rows(1)
        right = _predicted(active, x_validation[seen]) == y_validation[seen][:, variables]
        for probe, accuracy in zip(active, right.double().mean(0).tolist(), strict=True):
            probe.note(epoch, accuracy, restore=episodes is None)
            if progress and (probe.stopped or epoch == settings.epochs):
                progress(probe.name)
        active = [probe for probe in active if not probe.stopped]
        if not active:
            break
    return [probe.finished() for probe in probes]


@dataclass(frozen=True)
class _Columns:
    """Which features have to be trained, each with a weight a class.

    Features that are equal in every row have equal gradients, so Adam moves their weights alike: the mean of
    these weights is trained, and counts as often as there are such features. A feature that is zero in every
    row has no gradient, and its weights stay as they were drawn. To most encoders this is nothing; of the
    bits of a RAM, two thirds need not be trained. The last feature is the constant of the bias.

    Attributes:
        kind: int64 [d + 1], which of the u trained columns a feature is; u for one that is zero.
        first: int64 [u], the first feature of each, ascending.
        count: float32 [u], how many features each is.
    """

    kind: torch.Tensor
    first: npt.NDArray[np.int64]
    count: torch.Tensor

    @classmethod
    def of(cls, train: Features, validation: Features, device: str) -> _Columns:
        """Compare the features of rows, float32 [n, d], and the constant."""
        import torch

        n, d = len(train) + len(validation), train.shape[1]
        found: dict[bytes, int] = {_digest(np.zeros(n, np.float32)): -1}
        first: list[int] = []
        kind: list[int] = []
        for j in range(d + 1):
            column = np.append(train[:, j], validation[:, j]) if j < d else np.ones(n, np.float32)
            kind.append(found.setdefault(_digest(column), len(first)))
            if kind[-1] == len(first):
                first.append(j)
        kinds = np.array(kind) % (len(first) + 1)
        count = np.bincount(kinds, minlength=len(first) + 1)[:-1].astype(np.float32)
        return cls(torch.tensor(kinds, device=device), np.array(first), torch.tensor(count, device=device))

    def inputs(self, features: Features) -> torch.Tensor:
        """Return the trained columns of rows, float32 [n, u], in memory of their own alone."""
        import torch

        own = self.first[self.first < features.shape[1]]
        x = np.ones((len(features), len(self.first)), np.float32)
        x[:, : len(own)] = features if len(own) == features.shape[1] else features[:, own]
        return torch.from_numpy(x).to(self.kind.device)

    def summed(self, x: torch.Tensor) -> torch.Tensor:
        """Return inputs, [n, u], so that their product with the trained weights is that of all features."""
        return x if len(self.kind) == len(self.first) else x * self.count

    def means(self, weights: torch.Tensor) -> torch.Tensor:
        """Return the means of the weights of equal features, from [256, d + 1] to [256, u]."""
        sums = weights.new_zeros(len(weights), len(self.first) + 1).index_add_(1, self.kind, weights)
        return sums[:, :-1] / self.count

    def spread(self, moved: torch.Tensor) -> torch.Tensor:
        """Return how far each feature's weight moved, from [256, u] to [256, d + 1]."""
        import torch

        return torch.nn.functional.pad(moved, (0, 1))[:, self.kind]


def _digest(column: npt.NDArray[np.float32]) -> bytes:
    return hashlib.blake2b(column.tobytes()).digest()


class _Training:
    """A linear layer with its learning rate and early stop."""

    def __init__(self, variable: int, name: str, columns: _Columns, settings: AdamSettings) -> None:
        import torch

        self.variable, self.name, self.columns, self.patience = variable, name, columns, settings.patience
        digest = hashlib.sha256(f"{settings.seed} {name}".encode()).digest()
        draw = torch.Generator().manual_seed(int.from_bytes(digest[:7], "big"))
        d = len(columns.kind) - 1
        bound = d**-0.5  # as torch.nn.Linear
        self.start = ((torch.rand(CLASSES, d + 1, generator=draw) * 2 - 1) * bound).to(columns.kind.device)
        self.weights = columns.means(self.start)
        self.weights.grad = torch.empty_like(self.weights)
        self.learning_rate = settings.learning_rate
        self.epochs = self.best_epoch = self.waited = self.level = 0
        self.best_accuracy = -1.0
        self.height = -math.inf
        self.best: torch.Tensor | None = None
        self.stopped = False

    def note(self, epoch: int, accuracy: float, *, restore: bool) -> None:
        """Keep the best weights, stop at the end of patience, lower the learning rate on a plateau."""
        self.epochs = epoch
        if accuracy > self.best_accuracy:
            self.best_accuracy, self.best_epoch, self.waited = accuracy, epoch, 0
            self.best = self.weights.clone() if restore else None
        else:
            self.waited += 1
            self.stopped = self.waited >= self.patience
        if not restore:
            self.best_epoch = epoch
        if not self.stopped:
            self._lower_rate_on_plateau(accuracy)

    def _lower_rate_on_plateau(self, accuracy: float) -> None:
        """As torch's ``ReduceLROnPlateau``, which would want an optimiser for each variable."""
        if accuracy > self.height * (1 + PLATEAU_RISE):
            self.height, self.level = accuracy, 0
        elif self.level < PLATEAU_PATIENCE:
            self.level += 1
        else:
            self.learning_rate = max(PLATEAU_FACTOR * self.learning_rate, LEAST_LEARNING_RATE)
            self.level = 0

    def finished(self) -> AdamProbe:
        moved = (self.weights if self.best is None else self.best) - self.columns.means(self.start)
        weights = self.start + self.columns.spread(moved)
        return AdamProbe(
            self.name,
            weights.cpu().numpy(),
            self.epochs,
            self.best_epoch,
            self.best_accuracy,
            self.learning_rate,
        )


def _drawn(episodes: npt.NDArray[np.integer], generator: torch.Generator) -> torch.Tensor:
    """Draw as many rows as there are: an episode, each as likely, then a row of it; with replacement."""
    import torch

    group, sizes = np.unique(episodes, return_inverse=True, return_counts=True)[1:]
    order = torch.from_numpy(np.argsort(group.reshape(-1), kind="stable"))
    starts = torch.from_numpy(np.cumsum(sizes) - sizes)
    chosen = torch.randint(len(sizes), (len(episodes),), generator=generator)
    within = torch.rand(len(episodes), generator=generator, dtype=torch.float64)
    return order[starts[chosen] + (within * torch.from_numpy(sizes)[chosen]).long()]


def _optimiser(probes: Sequence[_Training], before: torch.optim.Adam | None) -> torch.optim.Adam:
    """Return one Adam for all that go on, at the rate of each, which remembers what the one before did.

    One for each variable would spend a fifth of a step on itself.
    """
    import torch

    rates: dict[float, list[torch.Tensor]] = {}
    for probe in probes:
        rates.setdefault(probe.learning_rate, []).append(probe.weights)
    groups = [{"params": weights, "lr": rate} for rate, weights in rates.items()]
    optimiser = torch.optim.Adam(groups, eps=EPSILON, fused=True)
    if before is not None:
        optimiser.state.update({probe.weights: before.state[probe.weights] for probe in probes})
    return optimiser


def _put_gradients(
    probes: Sequence[_Training], summed: torch.Tensor, x: torch.Tensor, y: torch.Tensor, scores: torch.Tensor
) -> None:
    """Compute the gradient of each for the mean cross-entropy of a batch, x [b, u] and y [b, v].

    One variable after the other, so that its weights stay in the cache; ``scores`` is room for [b, 256].
    """
    import torch

    shares, minus = x / len(x), x.new_full((len(x), 1), -1.0)
    for probe, right in zip(probes, y.T, strict=True):
        torch.mm(summed, probe.weights.T, out=scores)
        torch.softmax(scores, 1, out=scores)
        scores.scatter_add_(1, right[:, None], minus)
        torch.mm(scores.T, shares, out=probe.weights.grad)


def _predicted(probes: Sequence[_Training], x: torch.Tensor) -> torch.Tensor:
    """Return the classes, int64 [n, v], of summed inputs [n, u]."""
    import torch

    parts = [
        torch.stack([(rows @ probe.weights.T).argmax(1) for probe in probes], 1)
        for rows in torch.split(x, BLOCK)
    ]
    return torch.cat(parts)


def _fit(
    features: Features,
    values: Values,
    tests: Sequence[Features],
    targets: Sequence[Target],
    *,
    validation: tuple[Features, Values] | None,
    device: str,
    progress: Callable[[str], object] | None,
) -> list[Fit]:
    train = Split(features, values.astype(np.uint8))
    chosen = train if validation is None else Split(validation[0], validation[1].astype(np.uint8))
    names = [target.name for target in targets]
    probes = fit_anand2019(train, chosen, names=names, device=device, progress=progress)
    return [
        Fit(
            tuple(probe.predict(test).astype(np.float64) for test in tests),
            int(most_frequent(labels)),
            epochs=probe.epochs,
        )
        for probe, labels in zip(probes, train.labels.T, strict=True)
    ]


PROBE: Final = Probe(
    metric="f1",
    settings={
        **asdict(AdamSettings()),
        "classes": CLASSES,
        "epsilon_log10": math.log10(EPSILON),
        "selected_by": "validation accuracy, best epoch kept",
        "standardised": False,
    },
    fit=_fit,
    runs=(ProbeRun("anand2019", "full"),),
    tolerances=((0, Tolerance(0.05, 0.01)),),  # not measured; early stopping amplifies the last bits
)
