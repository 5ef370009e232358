import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from torch import nn

from atariari_data.errors import UsageError
from harness.cli.main import cli
from harness.conformance import RULES, ConformanceError, assert_conforms, check, check_apart, conforms, report
from harness.encoders.encoder import EncoderError, FrameSpec, sample_frames

EXAMPLE = Path(__file__).parent.parent / "examples" / "my_encoder.py"


def small(x: Any) -> Any:
    """A right one: the mean colour of 20 patches."""
    return x[:, 0].reshape(len(x), 5, 42, 4, 40).mean((2, 4)).reshape(len(x), 20)


def in_order(x: Any) -> Any:
    return np.arange(len(x), dtype=np.float32)[:, None]


def writes(x: Any) -> Any:
    features = small(x)
    x[:, :, 0] = 0.25
    return features


def standardised(x: Any) -> Any:
    with np.errstate(all="ignore"):
        return small(x) / x.std((1, 2, 3), keepdims=True)[:, 0, 0]


class Remembers:
    """Adds the mean of the last input that was another one."""

    def __init__(self) -> None:
        self.now, self.before = np.zeros(1), np.zeros(1)

    def encode(self, x: Any) -> Any:
        if not np.array_equal(x, self.now):
            self.now, self.before = x.copy(), self.now
        return small(x) + self.before.mean()


class Trains(nn.Module):
    """Computes with the moments of the batch, also in evaluation mode."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return nn.functional.batch_norm(x, None, None, training=True).mean(3)[:, 0]


def fails(x: Any) -> Any:
    raise ValueError(f"no {x.shape}")


def squeezed(x: Any) -> Any:
    return small(x).squeeze()


noise = np.random.default_rng(0)
WRONG: dict[str, list[object]] = {
    "runs": [fails, nn.Conv2d(3, 4, 8)],
    "dtype": [lambda x: small(x) > 0.5, lambda x: small(x).astype(int), lambda x: [None] * len(x)],
    "shape": [
        squeezed,
        lambda x: x,
        lambda x: small(x)[:, : max(1, len(x) - 2)],
        lambda x: small(x).mean(0, keepdims=True),
        lambda x: np.concatenate([small(x)] * 2),
    ],
    "finite": [standardised, lambda x: np.log(np.maximum(0, small(x) - 0.2), where=True) * 1.0],
    "input": [writes],
    "deterministic": [
        lambda x: small(x) + noise.normal(size=(len(x), 1)),
        lambda x: torch.dropout(torch.from_numpy(small(x)), 0.5, True),
        Remembers(),
    ],
    "batch": [
        Trains(),
        lambda x: np.hstack([small(x) - small(x).mean(0), np.full((len(x), 1), 1e6)]),
        lambda x: small(x) - small(x).mean(0),
        lambda x: small(x) / small(x).max(),
    ],
    "order": [lambda x: small(x) + 0.1 * in_order(x), lambda x: small(x) * (in_order(x) % 2)],
}


@pytest.mark.filterwarnings("ignore:divide by zero")
@pytest.mark.parametrize(
    ("rule", "encoder"), [(rule, wrong) for rule, encoders in WRONG.items() for wrong in encoders]
)
def test_a_wrong_encoder_fails_exactly_its_rule(rule: str, encoder: object) -> None:
    findings = check(encoder)
    assert [f.rule for f in findings if f.status == "failed"] == [rule]
    assert not conforms(findings)
    assert [f.rule for f in findings][: len(RULES)] == list(RULES)


def test_every_rule_has_a_wrong_encoder() -> None:
    assert list(WRONG) == list(RULES)


class Protocol:
    spec = FrameSpec("rgb", 2, "NHWC", "byte", (42, 40))

    def encode(self, x: Any) -> Any:
        return x.mean((1, 2)) / 255


RIGHT = [
    small,
    Protocol(),
    EXAMPLE,
    nn.Sequential(nn.Conv2d(1, 4, 16, stride=16), nn.BatchNorm2d(4), nn.Flatten(), nn.Dropout(0.5)),
    lambda x: 1e6 + small(x),  # rounding of large numbers is no error
    lambda x: 1e-6 * small(x),
    lambda x: torch.from_numpy(small(x)).half(),
    lambda x: np.ones((len(x), 3)),  # useless, but it breaks no rule
]


@pytest.mark.parametrize("encoder", RIGHT)
def test_a_right_encoder_passes_and_has_figures(encoder: object) -> None:
    findings = check(encoder, seconds=0.01)
    assert {f.rule: f.status for f in findings if f.rule in RULES} == dict.fromkeys(RULES, "passed")
    assert [f.rule for f in findings[len(RULES) :]] == ["encoder", "features", "speed", "memory"]


def test_half_precision_is_given_its_rounding() -> None:
    assert_conforms(EXAMPLE, autocast=True)


def test_a_failure_shows_the_two_arrays() -> None:
    def wrong(x: Any) -> Any:
        return small(x) + 0.5 * in_order(x)

    findings = check(wrong)
    (failed,) = (f for f in findings if f.status == "failed")
    (_, left), (_, right) = failed.shown
    assert [name for name, _ in failed.shown] == ["in order", "reordered"]
    np.testing.assert_allclose(np.abs(left - right), 4.5, rtol=1e-5)
    text = report(findings)
    assert "FAILED   order" in text
    for row in failed.shown:
        assert f"{row[1][0]:.4g}" in text
    assert "features depend on the position in the batch: by up to 4.5 (row" in text


def test_hidden_state_is_told_from_noise() -> None:
    failed = next(f for f in check(Remembers()) if f.status == "failed")
    assert failed.message.startswith("features change after other frames were seen")
    failed = next(f for f in check(WRONG["deterministic"][0]) if f.status == "failed")
    assert failed.message.startswith("the same frames give different features")


def test_what_is_not_finite_is_named() -> None:
    failed = next(f for f in check(standardised) if f.status == "failed")
    assert "the first in row 8 (a black screen), feature 0" in failed.message


def test_later_rules_are_skipped_where_they_would_only_repeat_the_failure() -> None:
    statuses = {f.rule: f.status for f in check(fails)}
    assert set(statuses.values()) - {"info"} == {"failed", "skipped"}
    (first,) = (f.message for f in check(fails) if f.rule == "runs")
    assert "ValueError: no (10, 1, 210, 160)" in first


def test_findings_are_json_even_with_nan() -> None:
    text = json.dumps([f.as_dict() for f in check(standardised)], allow_nan=False)
    assert '"nan"' in text


def test_assert_conforms_fails_a_test() -> None:
    with pytest.raises(AssertionError, match=r"(?s)breaks rules.*FAILED   input.*before +\S+.*after +0.25"):
        assert_conforms(writes)
    with pytest.raises(ConformanceError):
        assert_conforms(squeezed)
    with pytest.raises(EncoderError, match="No such encoder file"):
        assert_conforms("nowhere.py")


def test_own_frames_are_used() -> None:
    seen = []

    def keeps(x: Any) -> Any:
        seen.append(x)
        return small(x)

    frames = sample_frames(FrameSpec(), 9, seed=5)
    assert_conforms(keeps, frames)
    np.testing.assert_array_equal(seen[0][:9], FrameSpec().prepare(frames))
    with pytest.raises(UsageError, match="Too few"):
        check(keeps, frames[:7])
    with pytest.raises(UsageError, match="do not match the spec"):
        check(keeps, frames[:, 0])


def test_on_the_command_line_an_encoder_that_ends_its_process_is_told(tmp_path: Path) -> None:
    file = tmp_path / "leaves.py"
    file.write_text("import os\ndef encode(frames): os._exit(0)\n")
    said = CliRunner().invoke(cli, ["check", str(file)])
    assert (said.exit_code, "ended the process" in said.stderr) == (1, True)


def test_on_the_command_line_findings_and_errors_come_back(tmp_path: Path) -> None:
    file = tmp_path / "mean.py"
    file.write_text("def encode(frames): return {'mean': frames.mean((2, 3)), 'frames': frames}\n")
    said = CliRunner().invoke(cli, ["check", str(file)])
    assert (said.exit_code, "--output" in said.stdout) == (1, True)
    said = CliRunner().invoke(cli, ["check", str(file), "--output", "mean", "--json"])
    assert said.exit_code == 0
    assert [f["rule"] for f in json.loads(said.stdout)][: len(RULES)] == list(RULES)
    said = CliRunner().invoke(cli, ["check", str(tmp_path / "nowhere.py")])
    assert (said.exit_code, "No such encoder file" in said.stderr) == (2, True)


def test_a_check_ends_although_the_encoder_does_not(tmp_path: Path) -> None:
    works = "def encoder(x):\n    return x[:, 0, ::10, ::10].reshape(len(x), -1)\n"
    file = tmp_path / "my_encoder.py"
    file.write_text(
        "import threading, time\nthreading.Thread(target=time.sleep, args=(3600,)).start()\n" + works
    )
    assert conforms(check_apart(str(file), seconds=0))
    file.write_text("while True: pass\n" + works)
    said = CliRunner().invoke(cli, ["check", str(file), "--timeout", "3"])
    assert said.exit_code == 1
    assert "did not finish the check" in said.stderr
    assert "at most 3 s" in said.stderr
