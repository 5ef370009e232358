"""`ram`: the memory itself as features, which bounds what a probe can read and is never ranked."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from blake3 import blake3
from sklearn.linear_model import LogisticRegression

import harness
from atariari_data.errors import AtariariError, UsageError
from harness.conformance import check as try_rules
from harness.encoders.ram import BITS, bits
from harness.evaluation.reproduction import reproduce
from harness.leaderboard import site
from harness.report.page import write_html
from harness.results.consistency import check
from harness.results.provenance import IS_BOUND
from harness.results.result import Result, Signed
from harness.splits import open_split
from tests.boards import TestBoard
from tests.made_results import fields


@pytest.fixture(scope="module")
def result(built: str) -> Result:
    return harness.evaluate("ram", games=["pong"], cache_dir=built, use_cache=False, progress=False)


def bound(seed: int = 3, **changes: Any) -> dict[str, Any]:
    """Return the fields of a bound on a test leaderboard."""
    values = fields(seed, games=("breakout", "pong"), suite=("breakout", "pong"), encoder="ram", skill=0.99)
    values["encoder"]["frames"] = None
    return {**values, "ranked": False, "unranked_reason": IS_BOUND, "isolation": None, **changes}


def test_every_bit_is_a_feature() -> None:
    ram = np.zeros((2, 128), np.uint8)
    ram[0, :2] = 1, 130
    found = bits(ram)
    assert found.shape == (2, BITS)
    assert found.dtype == np.float32
    assert np.flatnonzero(found[0]).tolist() == [7, 8, 14]
    assert not found[1].any()


@pytest.mark.filterwarnings("ignore:The number of unique classes")
def test_every_value_of_a_byte_is_linear_in_its_bits() -> None:
    byte = np.arange(256, dtype=np.uint8)
    ram = np.zeros((256, 128), np.uint8)
    ram[:, 40] = byte
    features = bits(ram)[:, 8 * 40 : 8 * 41]
    decimal = (byte >> 4 < 10) & (byte & 15 < 10)
    for label, rows in ((byte, byte >= 0), (byte >> 4, byte >= 0), (10 * (byte >> 4) + (byte & 15), decimal)):
        fit = LogisticRegression(C=100, max_iter=300).fit(features[rows], label[rows])
        assert fit.score(features[rows], label[rows]) == 1


def test_its_result_is_a_bound_and_says_so(result: Result, built: str) -> None:
    signed = result.signed
    check(signed)
    assert (signed.ranked, signed.unranked_reason, signed.is_bound) == (False, IS_BOUND, True)
    assert (signed.encoder.frames, signed.isolation) == (None, None)
    assert (signed.encoder.name, signed.encoder.feature_size) == ("ram", BITS)
    assert signed.encoder.pretraining_data == "none"
    digest = blake3()
    for config in ("pong", "pong_deep"):
        for name in ("train", "validation", "test"):
            digest.update(bits(open_split(config, name, cache_dir=built).ram).tobytes())
    assert signed.games["pong"].embeddings == f"blake3:{digest.hexdigest()}"
    play = next(scores for scores in signed.games["pong"].scores if scores.run.title == "play")
    by_name = {v.name: v for v in play.variables}
    assert by_name["enemy_score"].score is not None
    assert by_name["enemy_score"].score > 0.9


def test_it_is_reproduced_and_reported(result: Result, built: str, tmp_path: Path) -> None:
    again = reproduce(result, "ram", cache_dir=built, progress=False)
    assert again.agrees, again.rows
    assert again.result.signed.is_bound
    page = write_html(tmp_path / "ram.html", [result]).read_text(encoding="utf-8")
    assert "the RAM instead of frames" in page


def test_nothing_about_it_can_be_chosen_and_a_dry_run_is_no_bound(built: str) -> None:
    findings = try_rules("ram", seconds=0)
    assert "sees no frames" in findings[0].message
    for options in ({"spec": "color=rgb"}, {"pool": "mean"}, {"name": "my-encoder"}):
        with pytest.raises(UsageError):
            harness.evaluate("ram", games=["pong"], **options)  # type: ignore[arg-type]
    dry = harness.evaluate("ram", games=["pong"], limit=40, train_sizes=[30], cache_dir=built, progress=False)
    assert IS_BOUND in str(dry.signed.unranked_reason)
    assert not dry.signed.is_bound


def test_a_leaderboard_shows_it_apart_and_ranks_without_it(tmp_path: Path, git_identity: None) -> None:
    del git_identity
    board = TestBoard.new(tmp_path)
    board.place(board.result(1, skill=0.5))
    board.place(board.sign(Signed.build(**bound()), "alice@example.org"))
    verdict = board.verify()
    assert verdict.findings == ()
    site.build(verdict, tmp_path / "site")
    page = (tmp_path / "site" / "index.html").read_text(encoding="utf-8")
    encoders, apart = page.split('<tbody id="bounds">')
    assert "encoders/encoder-1.html" in encoders
    assert 'data-rank="1"' in encoders
    assert "encoders/ram.html" not in encoders
    assert 'data-row="1"' in apart
    assert 'data-rank=""' in apart
    assert "1 encoder<" in page
    assert f"Not ranked: {IS_BOUND}" in (tmp_path / "site/encoders/ram.html").read_text(encoding="utf-8")
    assert '<span class="tier other">bound</span>' in (tmp_path / "site/games/pong.html").read_text("utf-8")


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"ranked": True, "unranked_reason": None}, "The RAM is an upper bound"),
        (
            {"unranked_reason": f"dry run: 500 rows of each split; {IS_BOUND}", "dry_run_rows": 500},
            "n is not the number of test rows",
        ),
        (
            {"frames": {"color": "gray", "stack": 1, "layout": "nchw", "scale": "unit", "size": [1, 1]}},
            "null",
        ),
        ({"name": "my encoder"}, "null for ram alone"),
        ({"rows": 9872}, "n is not the number of test rows"),
    ],
)
def test_what_is_no_bound_is_refused(
    changes: dict[str, Any], match: str, tmp_path: Path, git_identity: None
) -> None:
    del git_identity
    values = bound()
    test = values["dataset"]["splits"]["pong"]["test"]
    for key, value in changes.items():
        next(part for part in (values, values["encoder"], test) if key in part)[key] = value
    board = TestBoard.new(tmp_path)
    board.place(board.sign(Signed.build(**values), "alice@example.org"))
    (finding,) = board.verify().findings
    with pytest.raises(AtariariError, match=match):
        raise finding.error
