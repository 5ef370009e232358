"""The `ProbeTrainer` of the 2019 code: ``ProbeTrainer(encoder).train(...)`` and ``.test(...)``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from atariari_data.checks import count, positive
from atariari_data.errors import UsageError
from atariari_data.games import CATEGORIES, LABEL_SETS, game, game_names
from harness.encoders.features import as_features
from harness.metrics import accuracy, category_means, weighted_f1
from harness.probes.adam import CLASS_LEARNING_RATE, CLASSES, AdamProbe, AdamSettings, fit_anand2019
from harness.probes.inputs import Split, check_finite

if TYPE_CHECKING:
    import torch

BATCH: Final = 128
Episodes = Sequence[Sequence[Any]]
EpisodeLabels = Sequence[Sequence[Mapping[str, int]]]
MISC_KEY: Final = "misc_keys"  # the 2019 code's name of the category ``misc``


class ProbeTrainer:
    """Train and test the published probe, with the arguments and keys of the 2019 code.

    This is the probe ``anand2019``: every row is used once per epoch, every frame is encoded once, and
    vectors are used as they are (the 2019 code divided them by 255, like pixels).
    """

    def __init__(
        self,
        encoder: Any = None,
        method_name: str = "my_method",
        *,
        wandb: None = None,
        patience: int = 15,
        num_classes: int = CLASSES,
        num_state_variables: int | None = None,
        fully_supervised: bool = False,
        save_dir: str | Path | None = None,
        device: str | torch.device = "cpu",
        lr: float = CLASS_LEARNING_RATE,
        epochs: int = 100,
        batch_size: int = 64,
        representation_len: int = 256,
        seed: int = 0,
    ) -> None:
        """Make an untrained probe.

        Args:
            encoder: A torch module or a function of tensors, from frames divided by 255, float32
                [n, c, h, w], to features [n, d]. None if the episodes contain vectors instead of frames.
            method_name: Name of the method; not used.
            wandb: Not supported.
            patience: Stop a variable after this many epochs without a better validation accuracy.
            num_classes: Must be 256; labels are bytes.
            num_state_variables: Not used; the number of variables follows from the labels.
            fully_supervised: Not supported.
            save_dir: Not used; nothing is saved.
            device: Torch device.
            lr: Learning rate; 5e-4 in the class of 2019, 3e-4 in its script.
            epochs: Maximum number of epochs.
            batch_size: Rows per step.
            representation_len: Number of features, d.
            seed: Random seed for the initial weights and the order of rows.

        Raises:
            UsageError: An argument is invalid or not supported.
        """
        del num_state_variables, save_dir
        if wandb is not None:
            raise UsageError(
                "ProbeTrainer does not log to wandb.", cure="Log the scores that test() returns."
            )
        if num_classes != CLASSES:
            raise UsageError("The number of classes cannot be changed.", expected=CLASSES, got=num_classes)
        if fully_supervised:
            raise UsageError(
                "ProbeTrainer does not train encoders.", cure="harness train --method supervised --game GAME"
            )
        self.encoder = encoder
        self.method = method_name
        self.representation_len = count("representation_len", representation_len)
        self.device = str(device)
        self.settings = AdamSettings(
            positive("lr", lr),
            count("batch_size", batch_size),
            count("epochs", epochs),
            count("patience", patience),
            count("seed", seed, least=0),
        )
        self.probes: list[AdamProbe] = []

    def train(
        self, tr_eps: Episodes, val_eps: Episodes, tr_labels: EpisodeLabels, val_labels: EpisodeLabels
    ) -> None:
        """Train a probe for every variable.

        Args:
            tr_eps: Training episodes: lists of frames, uint8 [c, h, w], or of vectors, [d].
            val_eps: Validation episodes.
            tr_labels: For each frame of each episode, a dict of values by variable.
            val_labels: The same for validation.

        Raises:
            UsageError: Frames and labels do not match, or features do not have length d.
            FeatureError: Features are not finite.
        """
        names = list(_first(tr_labels))
        if not names:
            raise UsageError(
                "The labels have no variables.", expected="at least one name in each dict", got="{}"
            )
        train = Split(self._features(tr_eps, "train"), _table(tr_labels, names))
        validation = Split(self._features(val_eps, "validation"), _table(val_labels, names))
        self.probes = fit_anand2019(
            train, validation, names=names, settings=self.settings, device=self.device
        )

    def test(
        self, test_eps: Episodes, test_labels: EpisodeLabels, epoch: int | None = None
    ) -> tuple[dict[str, float], dict[str, float]]:
        """Score every row of the test episodes.

        Returns:
            Accuracy and weighted F1, with the keys of the 2019 code: ``VARIABLE_acc``, ``CATEGORY_avg_acc``,
            ``overall_avg_acc`` (mean over variables) and ``across_categories_avg_acc`` (the score of a game),
            and the same with ``f1``.

        Raises:
            UsageError: The probe is not trained, or frames and labels do not match.
            FeatureError: Features are not finite.
        """
        del epoch  # the 2019 code logs it
        if not self.probes:
            raise UsageError("The probe is not trained yet.", cure="Call train() before test().")
        features = self._features(test_eps, "test")
        labels = _table(test_labels, [probe.name for probe in self.probes])
        if len(features) != len(labels):
            raise _mismatch("test", len(features), len(labels))
        check_finite(features, "test")
        predictions = [probe.predict(features) for probe in self.probes]
        return (
            _with_means({p.name: accuracy(y, g) for p, y, g in self._each(labels, predictions)}, "acc"),
            _with_means({p.name: weighted_f1(y, g) for p, y, g in self._each(labels, predictions)}, "f1"),
        )

    def _each(
        self, labels: npt.NDArray[np.uint8], predictions: list[npt.NDArray[np.uint8]]
    ) -> Iterator[tuple[AdamProbe, npt.NDArray[np.uint8], npt.NDArray[np.uint8]]]:
        return zip(self.probes, labels.T, predictions, strict=True)

    def _features(self, episodes: Episodes, split: str) -> npt.NDArray[np.float32]:
        """Return float32 [n, d] of all frames, in order."""
        import torch

        from harness.encoders.torch_modules import evaluating

        frames = [frame for episode in episodes for frame in episode]
        if not frames:
            raise UsageError(f"The {split} split has no frames.")
        parts = []
        module = self.encoder if isinstance(self.encoder, torch.nn.Module) else torch.nn.Identity()
        with torch.no_grad(), evaluating(module.to(self.device)):
            for start in range(0, len(frames), BATCH):
                batch = torch.stack([torch.as_tensor(frame) for frame in frames[start : start + BATCH]])
                if self.encoder is not None:
                    output = self.encoder(batch.to(self.device).float() / 255)
                elif batch.ndim == 2:  # noqa: PLR2004  rows and features
                    output = batch.float()
                else:
                    raise UsageError(
                        "Without an encoder, episodes must contain vectors.",
                        expected=f"[{self.representation_len}] each",
                        got=str(list(batch.shape[1:])),
                    )
                parts.append(as_features(output, len(batch), None))
        features = np.concatenate(parts)
        if features.shape[1] != self.representation_len:
            raise UsageError(
                "The features do not have the length representation_len.",
                expected=self.representation_len,
                got=features.shape[1],
            )
        return features


def _first(labels: EpisodeLabels) -> Mapping[str, int]:
    for episode in labels:
        for row in episode:
            return row
    raise UsageError("The train split has no labels.")


def _table(labels: EpisodeLabels, names: list[str]) -> npt.NDArray[np.uint8]:
    """Return uint8 [n, v]."""
    try:
        rows = [[int(row[name]) for name in names] for episode in labels for row in episode]
        return np.array(rows, np.uint8).reshape(len(rows), len(names))
    except (KeyError, OverflowError) as error:
        raise UsageError(
            "Labels differ from those of the first training row.",
            expected=f"integers from 0 to 255 for {', '.join(names)}",
            got=str(error),
        ) from error


def _mismatch(split: str, frames: int, labels: int) -> UsageError:
    return UsageError(
        f"The {split} split has different numbers of frames and labels.", expected=frames, got=labels
    )


def _with_means(scores: dict[str, float], metric: str) -> dict[str, float]:
    known = _categories()
    means = category_means(scores, {name: known.get(name, ()) for name in scores})
    named = {f"{MISC_KEY if c == 'misc' else c}_avg": means[c] for c in CATEGORIES if c in means}
    overall = {"overall_avg": float(np.mean(list(scores.values())))}
    if means:
        overall["across_categories_avg"] = float(np.mean(list(means.values())))
    return {f"{key}_{metric}": value for key, value in {**scores, **named, **overall}.items()}


@cache
def _categories() -> dict[str, tuple[str, ...]]:
    """Return the categories of every variable of every game; ``anand2019`` takes precedence."""
    found: dict[str, tuple[str, ...]] = {}
    for label_set in sorted(LABEL_SETS, reverse=True):
        for name in game_names():
            for variable in game(name).label_sets.get(label_set, ()):
                found[variable.name] = variable.categories
    return found
