"""Training: a kill costs nothing, the best weights are kept, trouble ends with a message."""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from filelock import FileLock

import harness
from atariari_data.errors import AtariariError, DataError, MissingExtraError, UnknownNameError, UsageError
from builders.spread import Engine
from harness.encoders.encoder import EncoderError
from harness.encoders.frame_spec import sample_frames
from harness.encoders.named import NAMED
from harness.methods import METHODS, load_method
from harness.methods.contrastive import DeepInfoMax, SpatioTemporalDIM
from harness.methods.encoders import NatureCNN
from harness.methods.learner import Learner, TrainingError, _has_bfloat16, read_batches
from harness.methods.method import Batch, Loss, Network, parse_options
from harness.methods.rows import Rows
from harness.methods.run import LOCK, Budget, Settings, complete, load_run, make, read_config, write_config
from harness.methods.sampling import draw_epoch
from harness.methods.trackers import TRACKERS
from harness.methods.train import Surroundings, _claim, train
from harness.methods.units import Unit, _train_there, train_spread
from tests.small_methods import moving_dots

QUIET = Surroundings(progress=False)
SMALL = (84, 84)


def _settings(method: str = "infonce-stdim", **others: Any) -> Settings:
    usual = {"method": method, "game": "pong", "size": SMALL, "batch_size": 16}
    return make(Settings, **{**usual, **others})


@pytest.fixture(scope="module")
def dots() -> tuple[Rows, Rows]:
    return moving_dots(10)[0], moving_dots(2, seed=1)[0]


def _records(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def _harness(*arguments: object, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", "from harness.cli.main import main; main()", *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        cwd=cwd,
        timeout=300,
    )


def test_a_killed_run_ends_with_the_very_same_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = ["train", "--method", "vae", "--game", "pong", "--size", "84x84", "--batch-size", "16"]
    command += ["--steps", "40", "--validate-every", "15", "--save-seconds", "0", "--feature-size", "32"]
    settings = _settings("vae", validate_every=15, feature_size=32)
    # The bits of a sum depend on how many threads share it, so all three runs have one.
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    torch.set_num_threads(1)
    train(settings, tmp_path / "whole", Budget(steps=40), QUIET)

    killed = tmp_path / "killed"
    process = subprocess.Popen(
        [sys.executable, "-c", "from harness.cli.main import main; main()", *command, "--out", str(killed)],
        stderr=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 120
    while not (killed / "metrics.jsonl").is_file() or not (killed / "metrics.jsonl").read_text():
        assert time.monotonic() < deadline
        assert process.poll() is None, "it ended before it was killed"
        time.sleep(0.002)
    os.kill(process.pid, signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert not (killed / "model.safetensors").exists()
    with pytest.raises(EncoderError, match="is not finished"):
        harness.load_encoder(str(killed))

    again = _harness(*command, "--out", killed)
    assert again.returncode == 0, again.stderr
    assert "resuming at step" in again.stderr
    weights = [(tmp_path / name / "model.safetensors").read_bytes() for name in ("whole", "killed")]
    assert weights[0] == weights[1]
    losses = [
        [(r["step"], r["split"], r["loss"]) for r in _records(tmp_path / name) if r["split"] == "validation"]
        for name in ("whole", "killed")
    ]
    assert losses[0] == losses[1]
    assert [step for step, _, _ in losses[0]] == [15, 30, 40]
    assert sorted(p.name for p in killed.iterdir()) == ["config.json", "metrics.jsonl", "model.safetensors"]


def test_a_run_is_an_encoder(tmp_path: Path, dots: tuple[Rows, Rows]) -> None:
    config = train(_settings(), tmp_path, Budget(steps=3), QUIET, rows=dots)
    assert config.training is not None
    assert (config.training.steps, config.training.stopped_by) == (3, "steps")
    assert config.training.samples == 48
    encoder = harness.load_encoder(str(tmp_path))
    assert (encoder.name, encoder.spec.size) == ("infonce-stdim", SMALL)
    assert encoder.embed(sample_frames(encoder.spec, 2)).shape == (2, 256)
    (train_record,) = (r for r in _records(tmp_path) if r["split"] == "train")
    assert {"step", "loss", "global_local", "local_local", "learning_rate", "samples_per_second"} <= set(
        train_record
    )


def test_a_line_of_the_log_is_the_mean_of_its_steps(
    tmp_path: Path, dots: tuple[Rows, Rows], monkeypatch: pytest.MonkeyPatch
) -> None:
    learn, validate, now, losses = Learner.learn, Learner.validate, [0.0], []

    def slowly(learner: Learner, batch: Batch) -> Loss:
        now[0] += 1
        losses.append(learn(learner, batch))
        return losses[-1]

    def more_slowly(*given: Any) -> float:
        now[0] += 100
        return validate(*given)

    monkeypatch.setattr(Learner, "learn", slowly)
    monkeypatch.setattr(Learner, "validate", more_slowly)
    monkeypatch.setattr("harness.methods.train._Clock.seconds", lambda _: now[0])
    config = train(_settings(validate_every=2), tmp_path, Budget(steps=5), QUIET, rows=dots)
    (line,) = (r for r in _records(tmp_path) if r["split"] == "train")
    for name in ("global_local", "local_local"):
        assert line[name] == pytest.approx(np.mean([float(loss.parts[name]) for loss in losses]))
    assert line["loss"] == pytest.approx(line["global_local"] + line["local_local"])
    assert line["samples_per_second"] == 16.0
    assert config.training is not None
    assert config.training.seconds == 305


def test_a_run_that_has_ended_is_left_alone(tmp_path: Path, dots: tuple[Rows, Rows]) -> None:
    train(_settings(), tmp_path, Budget(steps=2), QUIET, rows=dots)
    before = {p.name: p.read_bytes() for p in tmp_path.iterdir()}
    train(_settings(), tmp_path, Budget(steps=2), QUIET, rows=dots)
    with pytest.raises(UsageError, match=r"(?s)finished run with another budget.*steps=2.*steps=9"):
        train(_settings(), tmp_path, Budget(steps=9), QUIET, rows=dots)
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == before


def test_a_run_on_older_rows_is_not_taken_for_one_on_these(tmp_path: Path, dots: tuple[Rows, Rows]) -> None:
    config = train(_settings(), tmp_path, Budget(steps=1), QUIET, rows=dots)
    write_config(tmp_path, config.model_copy(update={"data": {**config.data, "train": "blake3:00"}}))
    with pytest.raises(UsageError, match="a run on other rows"):
        train(_settings(), tmp_path, Budget(steps=1), QUIET, rows=dots)


def test_a_process_waits_for_the_one_that_trains_the_same_run(
    tmp_path: Path, dots: tuple[Rows, Rows], caplog: pytest.LogCaptureFixture
) -> None:
    held = FileLock(tmp_path / LOCK)
    with ThreadPoolExecutor() as pool:
        with held:
            waiting = pool.submit(train, _settings(), tmp_path, Budget(steps=1), QUIET, rows=dots)
            deadline = time.monotonic() + 60
            while "another process trains this run" not in caplog.text:
                assert time.monotonic() < deadline
                time.sleep(0.01)
            assert [path.name for path in tmp_path.iterdir()] == [LOCK]
        assert waiting.result(60).training is not None
    assert not (tmp_path / LOCK).exists()


def test_a_checkpoint_is_what_a_shorter_run_ends_with(tmp_path: Path, dots: tuple[Rows, Rows]) -> None:
    train(_settings(), tmp_path / "short", Budget(steps=2), QUIET, rows=dots)
    train(_settings(), tmp_path / "plain", Budget(steps=5), QUIET, rows=dots)
    around = replace(QUIET, checkpoints=(2, 4))
    train(_settings(), tmp_path / "run", Budget(steps=5), around, rows=dots)
    kept = tmp_path / "run" / "checkpoints"
    assert sorted(path.name for path in kept.iterdir()) == ["2", "4"]
    short, plain, run, two, four = (
        (folder / "model.safetensors").read_bytes()
        for folder in (*(tmp_path / name for name in ("short", "plain", "run")), kept / "2", kept / "4")
    )
    assert two == short
    assert run == plain, "keeping them changes nothing"
    assert four not in (two, run)
    found = load_run(kept / "4").config
    assert found.training is not None
    assert (found.training.stopped_by, found.training.steps, found.training.best_step) == ("checkpoint", 4, 4)
    with pytest.raises(UsageError, match=r"does not reach this checkpoint(.|\n)*1 to 5(.|\n)*6"):
        train(_settings(), tmp_path / "past", Budget(steps=5), replace(QUIET, checkpoints=(6,)), rows=dots)


def test_checkpoints_are_not_mixed_with_those_of_other_settings(
    tmp_path: Path, dots: tuple[Rows, Rows], monkeypatch: pytest.MonkeyPatch
) -> None:
    around = replace(QUIET, checkpoints=(1,))
    with monkeypatch.context() as killed:
        killed.setattr(Learner, "validate", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            train(_settings(), tmp_path, Budget(steps=2), around, rows=dots)
    assert (tmp_path / "checkpoints" / "1").is_dir()
    with pytest.raises(UsageError, match="run with different settings"):
        train(_settings(seed=9), tmp_path, Budget(steps=2), around, rows=dots)


def test_a_folder_is_taken_before_the_first_step(
    tmp_path: Path, dots: tuple[Rows, Rows], monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as killed:
        killed.setattr(Learner, "learn", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            train(_settings(), tmp_path, Budget(steps=1), QUIET, rows=dots)
    with pytest.raises(UsageError, match="run with different settings"):
        train(_settings(seed=9), tmp_path, Budget(steps=1), QUIET, rows=dots)
    config = read_config(tmp_path)
    write_config(tmp_path, config.model_copy(update={"data": {**config.data, "train": "blake3:0"}}))
    with pytest.raises(UsageError, match=r"on other rows of pong(.|\n)*blake3:0"):
        train(_settings(), tmp_path, Budget(steps=1), QUIET, rows=dots)
    write_config(tmp_path, config.model_copy(update={"data": {**config.data, "dataset": "0.9.0"}}))
    train(_settings(), tmp_path, Budget(steps=1), QUIET, rows=dots)
    assert read_config(tmp_path).data == config.data


def test_a_state_of_other_settings_is_not_resumed(tmp_path: Path) -> None:
    """Two runs may claim a folder at the same time; the one that comes later then finds the other's state."""
    ours, others = (
        Learner(DeepInfoMax(NatureCNN(SMALL)), _settings("dim", seed=seed), torch.device("cpu"))
        for seed in (0, 1)
    )
    others.save(tmp_path / "state.pt")
    with pytest.raises(UsageError, match=r"(?s)different settings.*seed=1.*seed=0"):
        ours.load(tmp_path / "state.pt")
    others.load(tmp_path / "state.pt")


@pytest.mark.parametrize("content", [[1, 2], "state", {"settings": 1}, {}])
def test_a_file_that_is_no_state_is_said(content: object, tmp_path: Path) -> None:
    learner = Learner(DeepInfoMax(NatureCNN(SMALL)), _settings("dim"), torch.device("cpu"))
    torch.save(content, tmp_path / "state.pt")
    with pytest.raises(DataError, match=r"(?s)Cannot read the saved state.*Delete the file"):
        learner.load(tmp_path / "state.pt")


def test_a_run_that_claims_the_folder_meanwhile_breaks_no_save(
    tmp_path: Path, dots: tuple[Rows, Rows], monkeypatch: pytest.MonkeyPatch
) -> None:
    save = torch.save

    def claimed(state: object, part: Path) -> None:
        _claim(tmp_path, complete(_settings(seed=9)), Budget())
        save(state, part)

    with monkeypatch.context() as killed:
        killed.setattr("torch.save", claimed)
        killed.setattr(Learner, "learn", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            train(_settings(), tmp_path, Budget(steps=1), QUIET, rows=dots)
    assert train(_settings(), tmp_path, Budget(steps=1), QUIET, rows=dots).settings.seed == 0


def test_a_checkpoint_that_is_missing_is_told(
    tmp_path: Path, dots: tuple[Rows, Rows], caplog: pytest.LogCaptureFixture
) -> None:
    for around in (QUIET, replace(QUIET, checkpoints=(1,))):
        train(_settings(), tmp_path, Budget(steps=2), around, rows=dots)
    assert "has no checkpoint of step 1" in caplog.text


def test_a_cluster_takes_no_run_of_other_settings_for_the_asked_one(
    tmp_path: Path, dots: tuple[Rows, Rows]
) -> None:
    train(_settings(), tmp_path / "run", Budget(steps=1), QUIET, rows=dots)
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "config.json").write_text('{"model_type": "vit"}', encoding="utf-8")
    units = [Unit(_settings(seed=7), tmp_path / name, Budget(steps=1), QUIET) for name in ("run", "model")]
    other, foreign = train_spread(units, Engine(2, "dask://127.0.0.1:1"), progress=False)
    assert "run with different settings" in str(other.error)
    assert foreign.error is not None
    assert (tmp_path / "model" / "config.json").read_text(encoding="utf-8") == '{"model_type": "vit"}'
    same = Unit(_settings(), tmp_path / "run", Budget(steps=1), QUIET)
    assert list(train_spread([same], Engine(2, "dask://127.0.0.1:1"), progress=False)) == []


def test_a_worker_trains_anew_for_another_budget(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ATARIARI_CACHE", str(tmp_path))
    settings = _settings("vae", feature_size=8)
    one, two = (
        _train_there(Unit(settings, tmp_path / "out", Budget(steps=steps), QUIET), on_this_disk=False)
        for steps in (1, 2)
    )
    assert one["model.safetensors"] != two["model.safetensors"]


def test_a_worker_sends_the_files_of_tensorboard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Events:
        def __init__(self, folder: Path, _: str) -> None:
            (folder / "events.out.tfevents.17").write_bytes(b"events")

        def write(self, record: object) -> None:
            pass

        def close(self) -> None:
            pass

    monkeypatch.setenv("ATARIARI_CACHE", str(tmp_path))
    monkeypatch.setattr("harness.methods.trackers.require", lambda *_: None)
    monkeypatch.setitem(TRACKERS, "tensorboard", Events)
    around = replace(QUIET, trackers=("tensorboard",))
    unit = Unit(_settings("vae", feature_size=8), tmp_path / "out", Budget(steps=1), around)
    sent = _train_there(unit, on_this_disk=False)
    assert sent["events.out.tfevents.17"] == b"events"
    assert list(sent)[-1] == "config.json", "with it, the run counts as finished"


def test_the_seed_decides_the_weights(tmp_path: Path, dots: tuple[Rows, Rows]) -> None:
    torch.manual_seed(99)
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        train(_settings(seed=seed), tmp_path / name, Budget(steps=2), QUIET, rows=dots)
        torch.rand(5)  # what else happens to torch's generator does not matter
    a, b, c = ((tmp_path / name / "model.safetensors").read_bytes() for name in "abc")
    assert a == b != c


def test_the_best_weights_are_kept_and_patience_ends(tmp_path: Path, dots: tuple[Rows, Rows]) -> None:
    """With labels that say nothing, validation only gets worse once training frames are learned by heart."""
    noise = np.random.default_rng(0)
    rows = tuple(replace(r, ram=noise.integers(0, 256, r.ram.shape).astype(np.uint8)) for r in dots)
    settings = _settings("supervised", learning_rate=1e-3, validate_every=5, patience=2, feature_size=64)
    config = train(settings, tmp_path, Budget(steps=200), QUIET, rows=(rows[0], rows[1]))
    assert config.training is not None
    assert config.training.stopped_by == "patience"
    found = {r["step"]: r["loss"] for r in _records(tmp_path) if r["split"] == "validation"}
    best = min(found, key=lambda step: found[step])
    assert (config.training.best_step, config.training.validation_loss) == (best, found[best])
    assert config.training.steps == best + 10
    # The weights are those of that step: a run that ends there has them, too.
    other = tmp_path.parent / "to-the-best"
    train(settings, other, Budget(steps=best), QUIET, rows=(rows[0], rows[1]))
    assert (other / "model.safetensors").read_bytes() == (tmp_path / "model.safetensors").read_bytes()


def test_minutes_end_a_run(tmp_path: Path, dots: tuple[Rows, Rows]) -> None:
    config = train(_settings(), tmp_path, Budget(max_minutes=0.02), QUIET, rows=dots)
    assert config.training is not None
    assert config.training.stopped_by == "minutes"
    assert 1.2 <= config.training.seconds < 60


def test_a_loss_that_is_not_a_number_stops_with_a_message(tmp_path: Path, dots: tuple[Rows, Rows]) -> None:
    with pytest.raises(TrainingError, match=r"(?s)(not finite|diverged).*learning-rate"):
        train(_settings("vae", learning_rate=1e6), tmp_path, Budget(steps=60), QUIET, rows=dots)
    assert not (tmp_path / "model.safetensors").exists()


def test_a_growing_loss_stops_too() -> None:
    learner = Learner(DeepInfoMax(NatureCNN(SMALL)), _settings("dim"), torch.device("cpu"))
    learner.check(4.0)
    learner.check(39.0)
    with pytest.raises(TrainingError, match="diverged"):
        learner.check(41.0)
    with pytest.raises(TrainingError, match="not finite"):
        learner.check(float("nan"))


@pytest.mark.parametrize(
    ("others", "expected"),
    [
        ({"method": "infonce"}, UnknownNameError),
        ({"game": "pongg"}, UnknownNameError),
        ({"encoder": "natural"}, UnknownNameError),
        ({"size": (10, 10)}, UsageError),
        ({"options": {"beta": 2}}, UsageError),
        ({"method": "vae", "options": {"beta": "nan"}}, UsageError),
        ({"method": "cpc", "options": {"context_size": 0}}, UsageError),
        ({"method": "cpc", "options": {"layers": -1}}, UsageError),
        ({"method": "cpc", "options": {"layers": math.inf}}, UsageError),
        ({"method": "naff", "options": {"actions": "yes", "factors": -1}}, UsageError),
        ({"learning_rate": math.inf}, UsageError),
        ({"batch_size": 4096}, DataError),
    ],
)
def test_what_cannot_be_is_said(
    others: dict[str, Any], expected: type[AtariariError], tmp_path: Path, dots: tuple[Rows, Rows]
) -> None:
    with pytest.raises(expected):
        train(_settings(**others), tmp_path / "run", Budget(steps=1), QUIET, rows=dots)


def test_other_settings_need_another_folder(tmp_path: Path, dots: tuple[Rows, Rows]) -> None:
    train(_settings("random-cnn"), tmp_path / "run", Budget(), QUIET, rows=dots)
    with pytest.raises(UsageError, match=r"(?s)different settings.*seed=0.*seed=1"):
        train(_settings("random-cnn", seed=1), tmp_path / "run", Budget(), QUIET, rows=dots)
    with pytest.raises(UnknownNameError):  # nothing was learned, so nothing is lost
        train(_settings(encoder="nautre"), tmp_path / "typo", Budget(), QUIET, rows=dots)
    train(_settings(), tmp_path / "typo", Budget(steps=1), QUIET, rows=dots)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.tex").write_text("x")
    with pytest.raises(UsageError, match="is not a run"):
        train(_settings(), tmp_path / "full", Budget(), QUIET, rows=dots)


@pytest.mark.parametrize("tracker", ["tensorboard", "trackio", "wandb"])
def test_a_tracker_that_is_not_installed_names_its_extra(
    tracker: str, tmp_path: Path, dots: tuple[Rows, Rows], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, tracker, None)
    monkeypatch.delitem(sys.modules, "torch.utils.tensorboard", raising=False)
    around = Surroundings(progress=False, trackers=(tracker,))
    with pytest.raises(MissingExtraError, match=rf"atariari\[{tracker}\]"):
        train(_settings(), tmp_path, Budget(steps=1), around, rows=dots)


def test_a_tracker_that_is_not_known_is_refused_before_frames_are_decoded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("harness.methods.train.open_rows", pytest.fail)
    with pytest.raises(UnknownNameError, match=r"tensorbord.*\n.*\n.*'tensorboard'"):
        train(_settings(), tmp_path, Budget(steps=1), Surroundings(trackers=("tensorbord",)))


def test_mixed_precision_learns_the_same_but_for_rounding(tmp_path: Path, dots: tuple[Rows, Rows]) -> None:
    found = []
    for mixed in (False, True):
        folder = tmp_path / str(mixed)
        config = train(_settings(mixed_precision=mixed), folder, Budget(steps=4), QUIET, rows=dots)
        assert config.training is not None
        found.append(config.training.validation_loss)
    assert found[0] != found[1]
    assert found[1] == pytest.approx(found[0], rel=0.05)


@pytest.mark.parametrize("method", ["infonce-stdim", "global-local-infonce-stdim", "dim", "cpc"])
def test_half_precision_keeps_the_gradient_of_frames_that_hardly_differ(method: str) -> None:
    """As those of a game do: something small moves over a screen that stays."""
    kind = load_method(method)
    options = parse_options(kind, {})
    torch.manual_seed(0)
    learner = kind(kind.make_encoder(Network(size=SMALL), options), options)
    samples = 32 // learner.frames_per_sample + 2
    frames = torch.rand(SMALL).repeat(samples, learner.frames_per_sample, 1, 1)
    for sample in frames:
        y, x = torch.randint(40, (2,))
        for i, frame in enumerate(sample):
            at = int(y + i) % 80
            frame[at : at + 3, x : x + 3] = 1
    batch = Batch(
        frames, torch.zeros(samples, dtype=torch.int64), torch.zeros((samples, 128), dtype=torch.uint8)
    )

    def gradient(mixed: bool) -> torch.Tensor:
        learner.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=mixed):
            loss = learner.loss(batch, torch.Generator().manual_seed(0))
        loss.total.backward()  # type: ignore[no-untyped-call]  # torch has no types here
        return torch.cat([p.grad.flatten() for p in learner.parameters() if p.grad is not None])

    full, half = gradient(mixed=False), gradient(mixed=True)
    assert torch.cosine_similarity(full, half, dim=0) > 0.95
    assert float(half.norm()) == pytest.approx(float(full.norm()), rel=0.1)


@pytest.mark.parametrize(
    ("capability", "hip", "expected"), [((7, 5), None, False), ((8, 0), None, True), ((7, 5), "6.0", True)]
)
def test_a_card_that_only_emulates_bfloat16_gets_float16(
    capability: tuple[int, int], hip: str | None, expected: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torch.cuda.get_device_capability", lambda _: capability)
    monkeypatch.setattr("torch.version.hip", hip)
    assert _has_bfloat16(torch.device("cuda")) is expected
    assert _has_bfloat16(torch.device("cpu"))


def test_a_state_without_a_scaler_s_is_resumed_with_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def learner() -> Learner:
        settings = _settings("dim", mixed_precision=True)
        return Learner(DeepInfoMax(NatureCNN(SMALL)), settings, torch.device("cpu"))

    learner().save(tmp_path / "state.pt")
    monkeypatch.setattr("harness.methods.learner._has_bfloat16", lambda _: False)
    old = learner()
    assert (old.precision, old.scaler.is_enabled()) == (torch.float16, True)
    old.load(tmp_path / "state.pt")


def test_batches_come_in_order_as_floats(dots: tuple[Rows, Rows]) -> None:
    index = draw_epoch(dots[0], 2, 16, seed=0, epoch=0)
    for rows, batch in zip(index, read_batches(dots[0], index, torch.device("cpu")), strict=True):
        assert np.array_equal((batch.frames * 255).round().byte().numpy(), dots[0].frames[rows])
        assert np.array_equal(batch.ram.numpy(), dots[0].ram[rows[:, 0]])
        assert np.array_equal(batch.actions.numpy(), dots[0].actions[rows[:, 0]])


def test_memory_is_estimated_from_what_small_batches_keep(dots: tuple[Rows, Rows]) -> None:
    learner = Learner(SpatioTemporalDIM(NatureCNN(SMALL)), _settings(), torch.device("cpu"))
    index = draw_epoch(dots[0], 2, 64, seed=0, epoch=0)
    batch = next(read_batches(dots[0], index, torch.device("cpu")))
    kept = learner._kept(batch)
    weights = sum(p.numel() * 4 for p in learner.method.parameters())
    assert learner.memory(batch) == pytest.approx(kept + 4 * weights, rel=0.1)


def test_a_damaged_run_is_said(tmp_path: Path, dots: tuple[Rows, Rows]) -> None:
    train(_settings("random-cnn"), tmp_path, Budget(), QUIET, rows=dots)
    weights = tmp_path / "model.safetensors"
    whole = weights.read_bytes()
    weights.write_bytes(whole[:-100])
    with pytest.raises(EncoderError, match="damaged"):
        load_run(tmp_path)
    weights.write_bytes(whole)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**config, "format": 2}))
    with pytest.raises(DataError, match="newer format"):
        load_run(tmp_path)
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(EncoderError, match="not written by harness train"):
        load_run(tmp_path)
    with pytest.raises(EncoderError, match="is not a run"):
        harness.load_encoder(str(tmp_path.parent))


def test_one_command_trains_and_evaluates(tmp_path: Path) -> None:
    command = ["run", "--method", "majority", "--env-name", "PongNoFrameskip-v4", "--probe", "linear"]
    done = _harness(*command, "--quiet", "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert (tmp_path / "runs" / "pong-majority-0" / "model.safetensors").is_file()
    assert found["encoder"]["name"] == "majority"
    assert found["encoder"]["pretraining_data"] == "none"
    full = found["games"]["pong"]["scores"][0]
    # A probe that sees nothing can only learn what is frequent.
    assert full["variables"]["score"] == full["variables"]["constant"]


def test_the_command_says_what_is_wrong(tmp_path: Path) -> None:
    def fails(*arguments: str) -> str:
        done = _harness("train", "--game", "pong", "--out", tmp_path / "run", *arguments)
        assert done.returncode == 2
        assert "Traceback" not in done.stderr
        return done.stderr

    assert "Did you mean 'infonce-stdim'" in fails("--method", "infonce-stdm")
    assert "210x160 or 84x84" in fails("--method", "vae", "--size", "big")
    for minutes in ("inf", "nan"):
        assert "Invalid max_minutes" in fails("--method", "vae", "--max-minutes", minutes)


def test_every_method_is_listed_with_its_options() -> None:
    done = _harness("methods", "--json")
    listed = {row["name"]: row for row in json.loads(done.stdout)}
    assert list(listed) == list(dict.fromkeys([*METHODS, *NAMED]))
    assert listed["cpc"]["options"]["sequence_length"] == 100
    assert listed["vae"]["options"] == {"beta": 1.0}
    assert all(row["summary"] for row in listed.values())
