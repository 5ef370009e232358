"""The published probe against a plain torch loop, and its 2019 calls."""

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch

from atariari_data.errors import UsageError
from harness import ProbeTrainer
from harness.encoders.features import EncoderError, Features
from harness.metrics import accuracy, weighted_f1
from harness.probes.adam import AdamSettings, _drawn, fit_anand2019
from harness.probes.inputs import FeatureError, Split

NAMES = ["player_y", "enemy_y", "ball_x"]


def _split(n: int, seed: int) -> Split:
    generator = np.random.default_rng(seed)
    features = generator.standard_normal((n, 6)).astype(np.float32)
    labels = [np.digitize(features[:, 0], [-1, 0, 1]), features[:, 1] > 0, generator.integers(0, 9, n)]
    return Split(features, np.stack(labels, axis=1).astype(np.uint8))


TRAIN, VALIDATION, TEST = _split(300, 0), _split(90, 1), _split(120, 2)
QUICK = AdamSettings(learning_rate=0.02, epochs=30, patience=9)


def _as_it_is(features: Features) -> Features:
    return features


def _with_zeros(features: Features) -> Features:
    """Insert features that are zero in every row."""
    return np.insert(features, (0, 3, 6, 6), 0, axis=1)


def _with_equals(features: Features) -> Features:
    """Insert copies, some of them far away, and constants like that of the bias."""
    return np.column_stack([features[:, (0, 0, *range(6), 4, 0)], np.ones((len(features), 2))])


@pytest.mark.parametrize("more", [_as_it_is, _with_zeros, _with_equals])
def test_equals_a_plain_loop_for_each_variable_alone(more: Callable[[Features], Features]) -> None:
    train, validation = (Split(more(s.features).astype(np.float32), s.labels) for s in (TRAIN, VALIDATION))
    probes = fit_anand2019(train, validation, names=NAMES, settings=QUICK)
    assert len({probe.epochs for probe in probes}) > 1, "one stops before another"
    assert len({probe.learning_rate for probe in probes}) > 1, "and the rate of one has fallen more often"
    for v, probe in enumerate(probes):
        expected = _plain_loop(v, train, validation)
        assert (probe.epochs, probe.best_epoch, probe.learning_rate) == expected[1:]
        assert np.allclose(probe.weights, expected[0], atol=1e-4)


def _plain_loop(v: int, train: Split, validation: Split) -> tuple[npt.NDArray[np.float32], int, int, float]:
    """torch.nn.Linear and its usual training loop, begun where the probe begins and fed the same batches."""
    none = AdamSettings(learning_rate=0.0, epochs=1)
    start = fit_anand2019(train, validation, names=NAMES, settings=none)[v].weights
    layer = torch.nn.Linear(train.features.shape[1], 256)
    layer.weight.data, layer.bias.data = torch.tensor(start[:, :-1]), torch.tensor(start[:, -1])
    optimiser = torch.optim.Adam(layer.parameters(), lr=QUICK.learning_rate, eps=1e-5)
    schedule = torch.optim.lr_scheduler.ReduceLROnPlateau(
        optimiser, mode="max", patience=5, factor=0.2, min_lr=1e-5
    )
    order = torch.Generator().manual_seed(QUICK.seed)
    x, y = torch.tensor(train.features), torch.tensor(train.labels[:, v]).long()
    best, kept, best_epoch, epoch = -1.0, start, 0, 0
    for epoch in range(1, QUICK.epochs + 1):
        for batch in torch.split(torch.randperm(300, generator=order), QUICK.batch_size):
            optimiser.zero_grad()
            torch.nn.functional.cross_entropy(layer(x[batch]), y[batch]).backward()  # type: ignore[no-untyped-call]
            optimiser.step()
        guess = layer(torch.tensor(validation.features)).argmax(1).numpy()
        right = float(np.mean(guess == validation.labels[:, v]))
        if right > best:
            best, best_epoch = right, epoch
            kept = np.column_stack([layer.weight.detach().numpy(), layer.bias.detach().numpy()])
        elif epoch - best_epoch >= QUICK.patience:
            break
        schedule.step(right)
    return kept, epoch, best_epoch, float(optimiser.param_groups[0]["lr"])


def test_the_seed_decides_and_nothing_else() -> None:
    first, again = (fit_anand2019(TRAIN, VALIDATION, names=NAMES, settings=QUICK) for _ in range(2))
    other = fit_anand2019(TRAIN, VALIDATION, names=NAMES, settings=AdamSettings(0.02, epochs=14, seed=1))
    assert all(np.array_equal(a.weights, b.weights) for a, b in zip(first, again, strict=True))
    assert not np.array_equal(first[0].weights, other[0].weights)
    alone = Split(TRAIN.features, TRAIN.labels[:, 1:2]), Split(VALIDATION.features, VALIDATION.labels[:, 1:2])
    single = fit_anand2019(*alone, names=NAMES[1:2], settings=QUICK)[0]
    assert np.allclose(single.weights, first[1].weights, atol=1e-4)
    assert single.epochs == first[1].epochs


def test_published_drawing_favours_rows_of_short_episodes() -> None:
    episodes = np.repeat([5, 2, 9], [10, 1, 989])
    drawn = _drawn(episodes, torch.Generator().manual_seed(0)).numpy()
    assert len(drawn) == 1000
    shares = [np.mean(episodes[drawn] == e) for e in (5, 2, 9)]
    assert shares == pytest.approx([1 / 3] * 3, abs=0.06)
    assert len(np.unique(drawn[episodes[drawn] == 5])) == 10


def test_published_drawing_keeps_the_last_weights() -> None:
    episodes = (np.arange(300) // 30, np.arange(90) // 30)
    probes = fit_anand2019(TRAIN, VALIDATION, names=NAMES, settings=QUICK, episodes=episodes)
    assert all(probe.best_epoch == probe.epochs for probe in probes)


def test_features_that_are_not_finite_are_refused() -> None:
    bad = TRAIN.features.copy()
    bad[3, 1] = np.nan
    with pytest.raises(FeatureError, match="1 of 300 rows of train"):
        fit_anand2019(Split(bad, TRAIN.labels), VALIDATION, names=NAMES)


class Encoder(torch.nn.Module):
    """The mean of each quarter of the picture, in train mode noise."""

    seen = 0

    def forward(self, frames: torch.Tensor) -> torch.Tensor:
        assert frames.dtype == torch.float32
        assert float(frames.max()) <= 1
        self.seen += len(frames)
        noise = torch.rand(len(frames), 4) if self.training else 0
        return torch.nn.functional.adaptive_avg_pool2d(frames, 2).flatten(1) * 10 + noise


Episodes = list[list[torch.Tensor]]
EpisodeLabels = list[list[dict[str, int]]]


def _episodes(seed: int, lengths: tuple[int, ...]) -> tuple[Episodes, EpisodeLabels]:
    """Frames with a bright quarter, and labels of which one is that quarter."""
    generator = np.random.default_rng(seed)
    frames, labels = [], []
    for length in lengths:
        quarters = generator.integers(0, 4, length)
        pictures = torch.randint(0, 60, (length, 1, 12, 8), dtype=torch.uint8)
        for picture, quarter in zip(pictures, quarters, strict=True):
            picture[0, 6 * (quarter // 2) :][:6, 4 * (quarter % 2) :][:, :4] += 180
        frames.append(list(pictures))
        labels.append([{"ball_x": int(q), "player_score": int(q > 0), "unknown": 7} for q in quarters])
    return frames, labels


def test_the_calls_of_2019() -> None:
    train, validation, test = (_episodes(s, n) for s, n in enumerate([(90, 70, 80), (65, 40), (50, 61)]))
    encoder = Encoder()
    trainer = ProbeTrainer(encoder, representation_len=4, lr=0.02, epochs=20)
    trainer.train(train[0], validation[0], train[1], validation[1])
    accuracies, f1 = trainer.test(*test)
    assert encoder.seen == 240 + 105 + 111, "every frame is encoded once"
    assert encoder.training, "and the mode is as it was"
    assert accuracies["ball_x_acc"] > 0.9
    assert set(accuracies) == {
        "ball_x_acc",
        "player_score_acc",
        "unknown_acc",
        "small_object_localization_avg_acc",
        "score_clock_lives_display_avg_acc",
        "overall_avg_acc",
        "across_categories_avg_acc",
    }
    assert set(f1) == {key.removesuffix("acc") + "f1" for key in accuracies}
    assert accuracies["small_object_localization_avg_acc"] == accuracies["ball_x_acc"]
    three = [accuracies[f"{name}_acc"] for name in ("ball_x", "player_score", "unknown")]
    assert accuracies["overall_avg_acc"] == pytest.approx(np.mean(three))
    assert accuracies["across_categories_avg_acc"] == pytest.approx(np.mean(three[:2]))
    labels = np.array([row["ball_x"] for episode in test[1] for row in episode], np.uint8)
    flat = torch.stack([frame for episode in test[0] for frame in episode]).float() / 255
    guess = trainer.probes[0].predict(encoder.eval()(flat).numpy())
    assert accuracies["ball_x_acc"] == accuracy(labels, guess)
    assert f1["ball_x_f1"] == weighted_f1(labels, guess)


def test_vectors_are_taken_as_they_are() -> None:
    frames, labels = _episodes(0, (100, 80))
    encoder = Encoder().eval()
    vectors = [[encoder(f[None].float() / 255)[0] for f in episode] for episode in frames]
    trained = []
    for given, taken in ((encoder, frames), (None, vectors)):
        trainer = ProbeTrainer(given, representation_len=4, lr=0.02, epochs=3)
        trainer.train(taken, taken, labels, labels)
        trained.append(trainer.probes[0].weights)
    assert np.allclose(trained[0], trained[1], atol=1e-5)


def test_wrong_calls_say_what_is_wrong() -> None:
    frames, labels = _episodes(0, (20, 30))
    with pytest.raises(UsageError, match="not trained yet"):
        ProbeTrainer(Encoder(), representation_len=4).test(frames, labels)
    with pytest.raises(UsageError, match=r"the length representation_len.*\n.*256\n.*4"):
        ProbeTrainer(Encoder()).train(frames, frames, labels, labels)
    with pytest.raises(UsageError, match="must contain vectors"):
        ProbeTrainer(representation_len=4).train(frames, frames, labels, labels)
    with pytest.raises(UsageError, match="labels of train do not match"):
        ProbeTrainer(Encoder(), representation_len=4).train(frames, frames, labels[:1], labels)
    wrong = [[{**row, "ball_x": 300} for row in episode] for episode in labels]
    with pytest.raises(UsageError, match=r"(?s)differ from those of the first.*ball_x.*300"):
        ProbeTrainer(Encoder(), representation_len=4).train(frames, frames, labels, wrong)
    with pytest.raises(EncoderError, match="not return feature vectors"):
        ProbeTrainer(lambda x: x).train(frames, frames, labels, labels)
    nothing: Any = [[{} for _ in episode] for episode in labels]
    empty: Any
    for empty in ([], [[]]):
        with pytest.raises(UsageError, match="has no labels"):
            ProbeTrainer(Encoder(), representation_len=4).train(frames, frames, empty, empty)
    with pytest.raises(UsageError, match="labels have no variables"):
        ProbeTrainer(Encoder(), representation_len=4).train(frames, frames, nothing, nothing)


def test_the_arguments_of_2019_are_accepted_or_refused_with_a_cure() -> None:
    trainer = ProbeTrainer(
        None,
        "mine",
        patience=3,
        num_classes=256,
        num_state_variables=8,
        fully_supervised=False,
        save_dir=".models",
        device=torch.device("cpu"),
        lr=5e-4,
        epochs=2,
        batch_size=64,
        representation_len=4,
        wandb=None,
    )
    assert (trainer.method, trainer.device, trainer.settings.epochs) == ("mine", "cpu", 2)
    with pytest.raises(UsageError, match=r"(?s)does not train encoders.*--method supervised"):
        ProbeTrainer(fully_supervised=True)
    with pytest.raises(UsageError, match=r"(?s)number of classes.*256.*10"):
        ProbeTrainer(num_classes=10)
    with pytest.raises(UsageError, match="wandb"):
        ProbeTrainer(wandb=object())  # type: ignore[arg-type]  # what is tested


@pytest.mark.parametrize("name", ["epochs", "batch_size", "patience", "representation_len", "lr"])
@pytest.mark.parametrize("value", [0, -1, "2", None, True, float("nan")])
def test_numbers_that_cannot_be_are_refused(name: str, value: Any) -> None:
    with pytest.raises(UsageError, match=rf"(?s)Invalid {name}.*got: {value!r}"):
        ProbeTrainer(**{name: value})
