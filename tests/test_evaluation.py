"""From an encoder to a signed file, on the small recordings, by call and by command."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pytest
from sklearn.metrics import accuracy_score, f1_score

import atariari_data
import harness
from atariari_data.errors import AtariariError, UnknownNameError, UsageError
from builders.manifest import load_manifest
from harness.cache import Cache
from harness.cli.output import default_out
from harness.encoders.encoder import EncoderError
from harness.encoders.frame_spec import FrameSpec
from harness.evaluation.embedding import embed
from harness.probes.adam import fit_anand2019
from harness.probes.inputs import Split
from harness.probes.linear import fit_linear
from harness.probes.probe import ProbeRun
from harness.protocol import training_rows
from harness.results.canonical import ResultError
from harness.results.result import Result, Signed
from harness.results.result_file import read, write
from harness.results.verify import verify
from harness.signing.keys import keygen
from harness.splits import first_of_its_kind, open_split
from tests import made_results

ROOT = Path(__file__).parents[1]
EXAMPLE = ROOT / "examples" / "my_encoder.py"

Frames = npt.NDArray[np.float32]


def coarse(frames: Frames) -> Frames:
    """Every tenth pixel: quick, and it sees the ball now and then."""
    return frames[:, 0, ::10, ::10].reshape(len(frames), -1)


def _harness(
    *arguments: object, cwd: Path, code: str = "", **environment: str
) -> subprocess.CompletedProcess[str]:
    program = f"{code}\nfrom harness.cli.main import main; main()"
    return subprocess.run(
        [sys.executable, "-c", program, *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        cwd=cwd,
        env={**os.environ, **environment},
        timeout=300,
    )


@pytest.fixture(scope="module")
def result() -> harness.Result:
    return harness.evaluate(coarse, games=["pong", "breakout"], probes=["linear"], progress=False)


@dataclass
class Coarse:
    """An object without a hash, as every dataclass that can be compared and changed."""

    every: int = 30

    def encode(self, frames: Frames) -> Frames:
        return frames[:, 0, :: self.every, :: self.every].reshape(len(frames), -1)


def test_features_that_do_not_fit_into_memory_are_refused_at_the_first_batch(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    batches = []

    def wide(frames: Frames) -> Frames:
        batches.append(len(frames))
        return np.repeat(coarse(frames), 300, axis=1)  # 100,800 features

    monkeypatch.setattr("harness.evaluation.embedding.free_memory", lambda: 1e6)
    with pytest.raises(UsageError, match=r"not enough memory for the features: .* rows of 100,800"):
        harness.evaluate(wide, games=["pong"], isolate=False, progress=False)
    assert sum(batches) < 600


def test_an_object_that_cannot_be_hashed_is_an_encoder() -> None:
    found = harness.evaluate(Coarse(), games=["pong"], limit=40, progress=False)
    assert found.signed.encoder.pretraining_data == "not declared"


def test_scores_are_those_of_a_probe_fitted_by_hand(result: harness.Result) -> None:
    manifest = load_manifest("pong")
    names = manifest.probed("v1")
    parts = {}
    for name in ("train", "validation", "test"):
        rows = open_split("pong", name)
        features = np.concatenate([coarse((b / 255).astype(np.float32)) for b in rows.batches(FrameSpec())])
        labels = atariari_data.labels(rows.ram, "pong")
        parts[name] = Split(features, np.stack([labels[n] for n in names], axis=1))
    fits = fit_linear(parts["train"], parts["validation"], parts["test"].features, names=names)
    full = result.signed.games["pong"].scores[0]
    assert [v.name for v in full.variables] == list(names)
    for v, (fit, scored) in enumerate(zip(fits, full.variables, strict=True)):
        truth = parts["test"].labels[:, v]
        assert scored.n == len(truth)
        assert scored.score == pytest.approx(
            f1_score(truth, fit.predictions, average="weighted", zero_division=0), abs=2e-3
        )
        assert scored.accuracy == pytest.approx(accuracy_score(truth, fit.predictions), abs=2e-3)
        commonest = np.bincount(parts["train"].labels[:, v]).argmax()
        assert scored.constant_accuracy == pytest.approx((truth == commonest).mean(), abs=1e-4)
        assert scored.interval is not None
        assert scored.interval[0] <= scored.interval[1]


def test_the_result_binds_what_decides_it(result: harness.Result) -> None:
    signed = result.signed
    for game in ("pong", "breakout"):
        frozen = load_manifest(game).configs[game].splits
        assert {s: v.digest for s, v in signed.dataset.splits[game].items()} == {
            s: f"blake3:{v.digest}" for s, v in frozen.items()
        }
    assert signed.encoder.feature_size == 21 * 16
    assert signed.unranked_reason is not None
    assert signed.unranked_reason.startswith("other probes than the protocol's")
    assert [(p.probe, p.train_rows) for p in signed.probes] == [("linear", "full"), ("linear", "1k")]
    assert signed.suite[0].means.score is not None, "the suite of the small recordings has these two games"
    assert signed.environment.packages["ale-py"]


def test_a_learning_curve_and_the_paper_s_probe_are_those_fitted_by_hand(built: str) -> None:
    found = harness.evaluate(
        lambda x: coarse(x)[:, ::8],
        games=["pong"],
        probes=["anand2019", "linear", "linear"],
        train_sizes=[50, "all", 1000, "1k"],
        label_set="anand2019",
        progress=False,
        cache_dir=built,
    ).signed
    wanted = [(p, n) for p in ("linear", "anand2019") for n in ("full", "1k", 50)]
    assert [(p.probe, p.train_rows) for p in found.probes] == wanted
    assert [(s.probe, s.train_rows) for s in found.games["pong"].scores] == wanted
    assert found.seeds["anand2019"] == 0
    manifest = load_manifest("pong")
    names = manifest.probed("anand2019")
    parts = {}
    for name in ("train", "validation", "test"):
        rows = open_split("pong", name, cache_dir=built)
        features = np.concatenate([coarse((b / 255).astype(np.float32)) for b in rows.batches(FrameSpec())])
        labels = atariari_data.labels(rows.ram, "pong", "anand2019")
        parts[name] = Split(features[:, ::8].copy(), np.stack([labels[n] for n in names], axis=1))
    few = training_rows(manifest, ProbeRun("anand2019", 50))
    assert few is not None
    train = Split(parts["train"].features[few], parts["train"].labels[few])
    by_hand = fit_anand2019(train, parts["validation"], names=names)
    scores = found.games["pong"].scores[5]
    for v, (probe, scored) in enumerate(zip(by_hand, scores.variables, strict=True)):
        predicted = probe.predict(parts["test"].features)
        truth = parts["test"].labels[:, v]
        assert scored.accuracy == pytest.approx(accuracy_score(truth, predicted), abs=1e-4)
        assert scored.epochs == probe.epochs
        assert scored.strength_log10 is None
        assert scored.classes == len(np.unique(train.labels[:, v]))
        assert scored.constant_accuracy == pytest.approx(
            (truth == np.bincount(train.labels[:, v]).argmax()).mean(), abs=1e-4
        )


def test_other_probes_than_the_protocol_s_are_not_ranked_and_sizes_must_be_there(built: str) -> None:
    few = harness.evaluate(coarse, games=["pong"], train_sizes=[20], progress=False, cache_dir=built)
    assert not few.signed.ranked
    assert few.signed.unranked_reason
    assert "without readout, few" in few.signed.unranked_reason
    with pytest.raises(UsageError, match=r"does not have that many training rows(.|\n)*99,999"):
        harness.evaluate(coarse, games=["pong"], train_sizes=[99_999], progress=False, cache_dir=built)
    dry = harness.evaluate(coarse, games=["pong"], train_sizes=[99_999], limit=40, progress=False)
    assert dry.signed.unranked_reason == "dry run: 40 rows of each split"


def test_what_the_encoder_sees_and_how_it_computes_is_bound(built: str) -> None:
    import torch

    def run(**options: Any) -> Any:
        torch.manual_seed(0)
        net = torch.nn.Sequential(torch.nn.Conv2d(3, 2, 8, 8))
        return harness.evaluate(
            net, games=["pong"], limit=40, progress=False, cache_dir=built, spec="color=rgb", **options
        ).signed

    flat, mean = run(pool="flatten"), run(pool="mean")
    assert (flat.encoder.pool, mean.encoder.pool) == ("flatten", "mean")
    assert (flat.encoder.feature_size, mean.encoder.feature_size) == (2 * 26 * 20, 2)
    assert flat.encoder.frames.color == "rgb"
    assert flat.encoder.precision == "float32"
    assert flat.encoder.source_kind == "source"
    half = run(pool="flatten", autocast=True)
    assert half.encoder.precision == "bfloat16"
    assert half.games["pong"].embeddings != flat.games["pong"].embeddings
    with pytest.raises(EncoderError, match="Only torch modules support autocast"):
        harness.evaluate(coarse, games=["pong"], autocast=True, progress=False)
    with pytest.raises(UnknownNameError, match="Did you mean 'color'"):
        harness.evaluate(coarse, games=["pong"], spec="colour=rgb", progress=False)


def test_a_missing_game_gives_no_suite_mean() -> None:
    one = harness.evaluate(coarse, games=["pong"], progress=False)
    assert one.signed.suite[0].means.score is None
    assert one.signed.suite[0].means.reason == "not evaluated: breakout"
    assert one.signed.games["pong"].scores[0].means.score is not None


def test_the_same_encoder_gives_the_same_result_and_is_not_run_twice() -> None:
    calls = []

    class Counting:
        spec = FrameSpec()

        def encode(self, frames: Frames) -> Frames:
            calls.append(len(frames))
            return coarse(frames)

    first = harness.evaluate(Counting(), games=["pong"], probes=["linear"], progress=False)
    splits = load_manifest("pong").configs["pong"].splits
    rows = sum(split.rows for split in splits.values())
    assert rows <= sum(calls) <= rows + 256 + 64 + 50, "each frame once, and a sample again"
    calls.clear()
    again = harness.evaluate(Counting(), games=["pong"], probes=["linear"], progress=False)
    assert sum(calls) <= 50, "features of the first run were kept"
    assert again.signed.games == first.signed.games
    assert again.signed.run_id != first.signed.run_id
    calls.clear()
    harness.evaluate(Counting(), games=["pong"], probes=["linear"], use_cache=False, progress=False)
    assert sum(calls) >= rows


def test_a_dry_run_says_that_it_is_one() -> None:
    dry = harness.evaluate(coarse, games=["pong"], probes=["linear"], limit=60, progress=False)
    assert not dry.signed.ranked
    assert dry.signed.unranked_reason == "dry run: 60 rows of each split"
    assert {v.n for v in dry.signed.games["pong"].scores[0].variables} == {60}


def test_stacked_and_coloured_frames_are_those_before_in_the_episode() -> None:
    rows = open_split("pong", "train")
    plain = np.concatenate(list(rows.batches(FrameSpec())))
    stacked = np.concatenate(list(rows.batches(FrameSpec(stack=3))))
    assert stacked.shape == (len(rows), 3, 210, 160)
    starts = np.flatnonzero(np.diff(rows.episode, prepend=-1))
    for row in (0, 1, 2, 50, int(starts[1]), int(starts[1]) + 1):
        start = int(starts[starts <= row].max())
        for back in range(3):
            assert np.array_equal(stacked[row, 2 - back], plain[max(row - back, start), 0])
    coloured = next(iter(rows.batches(FrameSpec(color="rgb"))))
    assert coloured.shape == (512, 1, 210, 160, 3)


@pytest.mark.parametrize("stack", [1, 3])
def test_rows_with_the_same_frames_are_embedded_once(stack: int) -> None:
    splits = {name: open_split("breakout", name) for name in ("train", "test")}
    decoded = np.concatenate([b for s in splits.values() for b in s.batches(FrameSpec(stack=stack))])
    inputs = [frames.tobytes() for frames in decoded]
    first = [inputs.index(frames) for frames in inputs]
    assert first_of_its_kind(list(splits.values()), stack).tolist() == first
    seen: list[bytes] = []

    class Counting:
        spec, precision, device = FrameSpec(stack=stack), "float32", "cuda"
        sees: Literal["frames", "ram"] = "frames"

        def embed(self, frames: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
            seen.extend(frame.tobytes() for frame in frames)
            return frames.reshape(len(frames), -1)[:, ::997].astype(np.float32)

    made = np.concatenate(list(embed(Counting(), splits, lambda _: None).values()))
    assert np.array_equal(made, decoded.reshape(len(decoded), -1)[:, ::997])
    again, fill = 256, 63
    assert len(set(first)) <= len(seen) <= len(set(first)) + 2 * (again + fill)
    assert len(set(first)) < len(first)


@pytest.mark.parametrize(
    ("encoder", "message"),
    [
        (lambda x: x[:, 0, :9, 0] * np.nan, "NaN or infinite"),
        (lambda x: x[: len(x) // 2, 0, :9, 0], r"\[\d+, 9\]"),
        (lambda x: x, "shape|pool|\\[n, d\\]"),
    ],
)
def test_a_wrong_encoder_gives_one_clear_error(encoder: object, message: str) -> None:
    with pytest.raises(EncoderError, match=message):
        harness.evaluate(encoder, games=["pong"], progress=False, use_cache=False)


def test_a_constant_feature_scores_as_the_majority() -> None:
    flat = harness.evaluate(lambda x: np.ones((len(x), 4), np.float32), games=["pong"], progress=False)
    for variable in flat.signed.games["pong"].scores[0].variables:
        assert variable.accuracy == variable.constant_accuracy


def test_bad_arguments() -> None:
    with pytest.raises(UnknownNameError, match="Did you mean 'pong'"):
        harness.evaluate(coarse, games=["pogn"])
    with pytest.raises(UnknownNameError, match="Unknown game with label set anand2019: 'skiing'"):
        harness.evaluate(coarse, games=["skiing"], label_set="anand2019")
    with pytest.raises(UsageError, match="list of names"):
        harness.evaluate(coarse, games="pong")
    with pytest.raises(UsageError, match="list of names"):  # and not every game
        harness.evaluate(coarse, games=[])
    with pytest.raises(UnknownNameError, match="label set"):
        harness.evaluate(coarse, games=["pong"], label_set="v2")


def test_a_game_that_was_finished_is_not_computed_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ATARIARI_CACHE", str(tmp_path))
    failing = {"breakout": True}
    seen: list[int] = []

    class Fragile:
        spec = FrameSpec()

        def encode(self, frames: Frames) -> Frames:
            seen.append(len(frames))
            if failing["breakout"] and sum(seen) > 1000:
                raise RuntimeError("out of luck")
            return coarse(frames)

    with pytest.raises(EncoderError, match="out of luck"):
        harness.evaluate(
            Fragile(), games=["breakout", "pong"], probes=["linear"], batch_size=200, progress=False
        )
    failing["breakout"] = False
    before = len(seen)
    harness.evaluate(Fragile(), games=["breakout", "pong"], probes=["linear"], batch_size=200, progress=False)
    whole = sum(s.rows for g in ("pong", "breakout") for s in load_manifest(g).configs[g].splits.values())
    look, again, fill = 8, 256, 63
    assert sum(seen[before:]) <= whole - 512 + look + 2 * (again + fill), (
        "what was embedded before the failure is not embedded again"
    )
    assert len(list(tmp_path.glob("*.npy"))) == 6, "features of each split of both games, and nothing else"


def _key(number: int) -> str:
    """Return the name of something in the cache: a digest."""
    return f"{number:064x}"


def test_the_cache_forgets_what_was_longest_unused(tmp_path: Path) -> None:
    def holds(files: Mapping[str, str]) -> bool:
        return not files

    cache = Cache(tmp_path, gigabytes=100_000 / 1e9)
    for i in range(4):
        cache.keep_features(_key(i), np.zeros((100, 100), np.float32), {})
        os.utime(tmp_path / f"{_key(i)}.npy", (i, i))
    cache.keep_scored(_key(9), {"a": 1}, {"values": np.ones((2, 3), np.uint8)}, {})
    assert cache.size() <= 100_000
    assert cache.features(_key(0), holds) is None
    assert cache.features(_key(3), holds) is not None
    scored = cache.scored(_key(9), holds)
    assert scored is not None
    assert scored[0] == {"a": 1}
    assert np.array_equal(scored[1]["values"], np.ones((2, 3)))
    for key in (_key(4), _key(5), _key(6)):
        cache.keep_features(key, np.zeros((100, 100), np.float32), {})
    assert cache.scored(_key(9), holds) is not None, "scores outlive features"
    cache.keep_features(_key(7), np.zeros((1000, 100), np.float32), {})
    assert cache.features(_key(7), holds) is None
    assert cache.features(_key(6), holds) is not None, "what does not fit removes nothing"
    assert cache.clear() > 0
    assert cache.size() == 0


def test_the_cache_leaves_files_of_others_alone(tmp_path: Path) -> None:
    others = [tmp_path / name for name in ("thesis.tex", ".ssh/id", "photos/one.jpg", "frames/two.png")]
    for other in others:
        other.parent.mkdir(exist_ok=True)
        other.write_bytes(b"x" * 100_000)
    cache = Cache(tmp_path, gigabytes=50_000 / 1e9)
    for i in range(4):
        cache.keep_features(_key(i), np.zeros((100, 100), np.float32), {})
    ours = tmp_path / "frames" / f"{_key(4)}.npy"
    ours.write_bytes(b"x" * 1000)
    assert 41_000 < cache.size() <= 51_000
    assert cache.clear() > 41_000
    assert all(other.is_file() for other in others)
    assert not ours.exists()
    assert not list(tmp_path.glob("*.npy"))


@pytest.mark.parametrize("left", [0, 5, 200])
def test_a_damaged_file_of_the_cache_counts_as_missing(tmp_path: Path, left: int) -> None:
    cache = Cache(tmp_path)
    cache.keep_features(_key(0), np.zeros((100, 100), np.float32), {"a": "b"})
    cache.keep_scored(_key(0), {"a": 1}, {"values": np.arange(1000)}, {})
    for file in tmp_path.glob(f"{_key(0)}.*"):
        os.truncate(file, left)
    assert cache.features(_key(0), lambda _: True) is None
    assert cache.scored(_key(0), lambda _: True) is None


def test_the_size_of_the_cache_is_an_option(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("ATARIARI_CACHE_GB", "1e-4")
    cache = Cache(tmp_path)
    for key in (_key(1), _key(2), _key(3)):
        cache.keep_features(key, np.zeros((100, 100), np.float32), {})
    assert 0 < cache.size() <= 100_000
    for wrong in ("much", "0", "nan"):
        monkeypatch.setenv("ATARIARI_CACHE_GB", wrong)
        with pytest.raises(UsageError, match="ATARIARI_CACHE_GB is not a size"):
            harness.evaluate(coarse, games=["pong"])


def test_the_command_writes_a_signed_result_that_verifies(tmp_path: Path) -> None:
    key = tmp_path / "key"
    keygen(key)
    out = tmp_path / "result.json"
    done = _harness(
        "evaluate", EXAMPLE, "--games", "pong", "--limit", "40", "--key", key, "--out", out, cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    assert str(out) in done.stdout.splitlines()[-1]
    for text in (
        "player_y",
        "agent localization",
        "mean over categories",
        "const.",
        "transfer",
        "play",
    ):
        assert text in done.stdout
    assert "dry run" in done.stderr
    assert "All games: 100 % of the whole" in done.stderr
    assert "\r" not in done.stderr
    assert max(map(len, done.stdout.splitlines()[:-1])) <= 80
    assert verify(out).signed_by[0].keyid.startswith("SHA256:")
    assert _harness("verify", out, cwd=tmp_path).returncode == 0


def test_the_command_shows_every_probe_and_size_in_80_columns(tmp_path: Path) -> None:
    arguments = ["--games", "pong", "--limit", "40", "--train-sizes", "10,20,1000,all"]
    probes = ["--probe", "linear", "--probe", "anand2019", "--probe", "linear"]
    done = _harness("evaluate", EXAMPLE, *arguments, *probes, "--json", "--spec", "layout=NCHW", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    signed = json.loads(done.stdout)
    assert [(p["probe"], p["train_rows"]) for p in signed["probes"]] == [
        (p, n) for p in ("linear", "anand2019") for n in ("full", "1k", 20, 10)
    ]
    shown = _harness("evaluate", EXAMPLE, *arguments, *probes, cwd=tmp_path)
    assert max(map(len, shown.stdout.splitlines()[:-1])) <= 80, shown.stdout
    assert shown.stdout.count("mean over categories") == 2
    assert "pong, anand2019" in shown.stdout


def test_without_a_key_the_result_is_unsigned_and_says_so(tmp_path: Path) -> None:
    done = _harness("evaluate", EXAMPLE, "--games", "pong", "--limit", "40", "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["signed"] is False
    assert "Not signed" in done.stderr
    assert not read(tmp_path / told["path"]).signatures
    verified = _harness("verify", told["path"], cwd=tmp_path)
    assert verified.returncode == 1
    assert "not signed" in verified.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["evaluate", "nowhere.py", "--games", "pong"], 2, "nowhere.py"),
        (["evaluate", "empty.py", "--games", "pong"], 1, "no encoder|encoder"),
        (["evaluate", "broken.py", "--games", "pong"], 1, "line 2"),
        (["evaluate", str(EXAMPLE), "--games", "pogn"], 2, "Did you mean 'pong'"),
        (["evaluate", str(EXAMPLE), "--games", "pong", "--out", "taken.json"], 2, "already exists"),
        (["evaluate", str(EXAMPLE), "--games", "pong", "--out", "."], 2, "is a folder"),
        (["evaluate", str(EXAMPLE), "--games", "pong", "--out", "/proc/nope/r.json"], 2, "not writable"),
        (["evaluate", str(EXAMPLE), "--games", "pong", "--train-sizes", "0"], 2, "Not a number of training"),
        (["evaluate", str(EXAMPLE), "--games", "pong", "--probe", "liner"], 2, "liner"),
        (["evaluate", str(EXAMPLE), "--games", "pong", "--spec", "stack=99"], 2, "from 1 to 16"),
        (["evaluate"], 2, "ENCODER"),
        (["verify", "taken.json"], 1, "result"),
        (["verify", "nowhere.json"], 2, "nowhere.json"),
    ],
)
def test_wrong_input_is_one_message_and_an_exit_code(
    arguments: list[str], code: int, message: str, tmp_path: Path
) -> None:
    (tmp_path / "empty.py").write_text("x = 1\n")
    (tmp_path / "broken.py").write_text("x = 1\nraise ValueError('no weights here')\n")
    (tmp_path / "taken.json").write_text("{}")
    done = _harness(*arguments, cwd=tmp_path)
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""
    import re

    assert re.search(message, done.stderr), done.stderr


def test_no_bar_is_drawn_before_an_encoder_is_there(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(EncoderError, match="No such encoder file"):
        harness.evaluate(tmp_path / "nothing.py", games=["pong"])
    assert "Embedding" not in capsys.readouterr().err


def test_a_result_file_is_named_as_its_encoder() -> None:
    fields = made_results.fields()
    fields["encoder"]["name"] = "infonce-stdim"
    name = default_out(Result(signatures=[], signed=Signed.build(**fields))).name
    assert name.startswith("infonce-stdim-")


def test_a_missing_extra_names_the_command(tmp_path: Path) -> None:
    hide = "import sys\nfor m in ('torch', 'pydantic', 'cryptography'): sys.modules[m] = None"
    (tmp_path / "x.json").touch()
    for command in (["evaluate", EXAMPLE, "--games", "pong"], ["verify", "x.json"]):
        done = _harness(*command, cwd=tmp_path, code=hide)
        assert done.returncode == 2, done.stderr
        assert "pip install 'atariari[harness]'" in done.stderr
        assert "Traceback" not in done.stderr
    assert _harness("--help", cwd=tmp_path, code=hide).returncode == 0


def test_a_result_that_cannot_be_written_is_not_lost(
    result: harness.Result, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from harness.cli.output import write_result

    (tmp_path / "file").touch()
    path = write_result(result, tmp_path / "file" / "r.json")
    assert read(path).signed == result.signed
    assert "instead" in capsys.readouterr().err
    path.unlink()


def test_what_was_written_is_never_overwritten(result: harness.Result, tmp_path: Path) -> None:
    write(result, tmp_path / "r.json")
    with pytest.raises(AtariariError, match="already exists"):
        write(result, tmp_path / "r.json")
    (tmp_path / "r.json").write_bytes((tmp_path / "r.json").read_bytes()[:-100])
    with pytest.raises(ResultError):
        read(tmp_path / "r.json")
