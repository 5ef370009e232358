"""The calls of the 2019 code: ``ProbeTrainer(encoder).train(...)`` and ``.test(...)``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from atariari_data.errors import UsageError
from atariari_data.games import CATEGORIES, LABEL_SETS, game, game_names
from harness.encoders.features import as_features
from harness.metrics import accuracy, category_means, weighted_f1
from harness.probes.adam import CLASS_LEARNING_RATE, AdamProbe, AdamSettings, fit_anand2019
from harness.probes.inputs import Split, check_finite

BATCH: Final = 128
Episodes = Sequence[Sequence[Any]]
EpisodeLabels = Sequence[Sequence[Mapping[str, int]]]
MISC_KEY: Final = "misc_keys"  # what the 2019 code calls the category ``misc``


class ProbeTrainer:
    """Train and test the published probe with the calls and the keys of the 2019 code.

    It is the ``anand2019`` probe of this package: sampling mistakes mended, every frame encoded once, and
    ready-made vectors taken as they are (the 2019 code divided them by 255, as if they were pixels).
    """

    def __init__(
        self,
        encoder: Any = None,
        *,
        representation_len: int = 256,
        lr: float = CLASS_LEARNING_RATE,
        batch_size: int = 64,
        epochs: int = 100,
        patience: int = 15,
        seed: int = 0,
        device: str = "cpu",
    ) -> None:
        """Keep what training needs.

        Args:
            encoder: From a batch of frames divided by 255, float32 [n, c, h, w], to features [n, d]: a torch
                module or a function of tensors. None where the episodes hold vectors instead of frames.
            representation_len: Length d of the features.
            lr: Learning rate; the class of 2019 had 5e-4, its script 3e-4.
            batch_size: Rows of a step.
            epochs: At most.
            patience: Epochs without a better validation accuracy.
            seed: Of the initial weights and the order of the rows.
            device: A torch device.
        """
        self.encoder = encoder
        self.representation_len = representation_len
        self.device = device
        self.settings = AdamSettings(lr, batch_size, epochs, patience, seed)
        self.probes: list[AdamProbe] = []

    def train(
        self, tr_eps: Episodes, val_eps: Episodes, tr_labels: EpisodeLabels, val_labels: EpisodeLabels
    ) -> None:
        """Train a probe for every variable.

        Args:
            tr_eps: Episodes of frames, uint8 [c, h, w] each, or of vectors, [d] each.
            val_eps: The same of validation.
            tr_labels: For each frame of each episode, name of the variable to its value.
            val_labels: The same of validation.

        Raises:
            UsageError: Frames and labels do not go together, or features of another length.
            FeatureError: Features that are not finite.
        """
        names = list(_first(tr_labels))
        train = Split(self._features(tr_eps, "train"), _table(tr_labels, names))
        validation = Split(self._features(val_eps, "validation"), _table(val_labels, names))
        self.probes = fit_anand2019(
            train, validation, names=names, settings=self.settings, device=self.device
        )

    def test(
        self, test_eps: Episodes, test_labels: EpisodeLabels
    ) -> tuple[dict[str, float], dict[str, float]]:
        """Score every row of the test episodes.

        Returns:
            Accuracies and weighted F1, with the keys of the 2019 code: ``VARIABLE_acc``,
            ``CATEGORY_avg_acc``, ``overall_avg_acc`` (over variables) and ``across_categories_avg_acc`` (the
            score of a game), and the same with ``f1``.

        Raises:
            UsageError: Not trained yet, or frames and labels that do not go together.
            FeatureError: Features that are not finite.
        """
        if not self.probes:
            raise UsageError("These probes are not trained yet.", cure="Call train() before test().")
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
            raise UsageError(f"There are no frames of {split}.")
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
                        "Without an encoder the episodes must hold vectors.",
                        expected=f"[{self.representation_len}] each",
                        got=str(list(batch.shape[1:])),
                    )
                parts.append(as_features(output, len(batch), None))
        features = np.concatenate(parts)
        if features.shape[1] != self.representation_len:
            raise UsageError(
                "The features are not as long as representation_len says.",
                expected=self.representation_len,
                got=features.shape[1],
            )
        return features


def _first(labels: EpisodeLabels) -> Mapping[str, int]:
    for episode in labels:
        for row in episode:
            return row
    raise UsageError("There are no labels of train.")


def _table(labels: EpisodeLabels, names: list[str]) -> npt.NDArray[np.uint8]:
    """Return uint8 [n, v]."""
    try:
        rows = [[int(row[name]) for name in names] for episode in labels for row in episode]
        return np.array(rows, np.uint8).reshape(len(rows), len(names))
    except (KeyError, OverflowError) as error:
        raise UsageError(
            "The labels are not those of the first training row.",
            expected=f"integers from 0 to 255 for {', '.join(names)}",
            got=str(error),
        ) from error


def _mismatch(split: str, frames: int, labels: int) -> UsageError:
    return UsageError(f"Frames and labels of {split} are not as many.", expected=frames, got=labels)


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
    """Return the categories of every variable of every game, of ``anand2019`` where the sets differ."""
    found: dict[str, tuple[str, ...]] = {}
    for label_set in sorted(LABEL_SETS, reverse=True):
        for name in game_names():
            for variable in game(name).label_sets.get(label_set, ()):
                found[variable.name] = variable.categories
    return found
