"""Pictures of predicted against true: what is drawn is what was said."""

from __future__ import annotations

import base64
import io
import re

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image
from sklearn.metrics import confusion_matrix

from harness.report.pictures import _error, _whole, draw, in_words

Labels = npt.NDArray[np.int64]


def _rows(low: int, high: int, *, off: int, n: int = 4000) -> tuple[Labels, Labels]:
    draw = np.random.default_rng(0)
    labels = draw.integers(low, high + 1, n)
    said = np.clip(labels + draw.integers(-off, off + 1, n), low, high)
    return labels.astype(np.int64), said.astype(np.int64)


def _opacity(svg: str) -> npt.NDArray[np.float64]:
    """Return the image's opacity, [true, predicted]."""
    (data,) = re.findall(r"data:image/png;base64,([A-Za-z0-9+/=]+)", svg)
    image = Image.open(io.BytesIO(base64.b64decode(data))).convert("RGBA")
    return np.asarray(image)[::-1, :, 3].T / 255


def test_few_classes_are_numbered_as_scikit_learn_counts_them() -> None:
    labels, said = _rows(3, 7, off=1)
    shares = confusion_matrix(labels, said, normalize="true")
    svg = draw(labels, said, "x", ordered=True)
    assert "<image" not in svg
    shown = re.findall(r'class="share"[^>]*>([^<]*)<', svg)
    assert shown == [f"{share:.0%}".rstrip("%") for share in shares.flatten() if share > 0]
    assert svg.count("cell right") == 5
    assert re.findall(r'text-anchor="end">(\d+)<', svg) == list("34567")


def test_true_goes_across_and_predicted_up() -> None:
    labels, said = np.array([0, 1, 1], np.int64), np.array([1, 1, 1], np.int64)
    svg = draw(labels, said, "x", ordered=False)
    cells = re.findall(r'class="(cell[^"]*)" x="([\d.]+)" y="([\d.]+)"', svg)
    (wrong, left, up), (right, farther, as_high) = cells
    assert (wrong, right) == ("cell", "cell right")
    assert float(left) < float(farther)
    (frame,) = re.findall(r'class="frame" x="[\d.]+" y="([\d.]+)"', svg)
    assert float(up) == float(as_high) == float(frame)


def test_a_rare_mistake_is_not_shown_as_none() -> None:
    labels = np.zeros(1000, np.int64)
    said = labels.copy()
    said[0] = 1
    assert "&lt;1<" in draw(labels, said, "x", ordered=False)


def test_codes_become_an_image_of_the_classes_that_occur() -> None:
    codes = np.arange(0, 240, 12).astype(np.int64)
    labels, said = (codes[index] for index in _rows(0, len(codes) - 1, off=2))
    found = _opacity(draw(labels, said, "x", ordered=False))
    shares = confusion_matrix(labels, said, normalize="true")
    assert found.shape == shares.shape == (20, 20)
    assert np.array_equal(found > 0, shares > 0)
    there = shares > 0
    assert np.corrcoef(found[there], np.sqrt(shares[there]))[0, 1] > 0.999


def test_positions_stand_where_their_values_are() -> None:
    labels, said = _rows(20, 70, off=3)
    said[labels == 30] = 60
    found = _opacity(draw(labels, said, "x", ordered=True))
    assert found.shape == (51, 51)
    assert np.flatnonzero(found[30 - 20]).tolist() == [60 - 20]


def test_neighbours_share_a_cell_where_there_are_many_values() -> None:
    labels, said = _rows(0, 207, off=0)
    found = _opacity(draw(labels, said, "x", ordered=True))
    assert found.shape == (70, 70)
    assert np.array_equal(found > 0, np.eye(70, dtype=bool))


@pytest.mark.parametrize("ordered", [True, False])
@pytest.mark.parametrize("value", [0, 255])
def test_one_class_and_the_ends_of_the_range_draw(value: int, *, ordered: bool) -> None:
    labels = np.full(5, value, np.int64)
    assert ">100</text>" in draw(labels, labels, "x", ordered=ordered)
    every = np.arange(256).astype(np.int64)
    assert "<image" in draw(every, every[::-1].copy(), "x", ordered=ordered)


def test_in_words() -> None:
    labels = np.array([5, 5, 5, 5, 9, 9, 200, 1], np.int64)
    said = np.array([5, 5, 6, 6, 9, 5, 190, 1], np.int64)
    assert in_words(labels, said, ordered=True, unit="px") == (
        "Correct 50.0%, within 1 75.0%, within 5 87.5%, mean error 2.00 px. "
        "Most frequent mistakes (rows): 5 for 6 (2), 9 for 5 (1), 200 for 190 (1)."
    )
    assert in_words(labels, said, ordered=False).startswith("Correct 50.0%. Most frequent mistakes")
    assert in_words(labels, labels, ordered=True, unit="px") == "Correct 100.0%, mean error 0.00 px."
    for unit, amount in (("2 px", "4.00 px"), ("code", "2.00"), ("", "2.00"), ("1/100 s", "2.00 1/100 s")):
        assert f"mean error {amount}. Most" in in_words(labels, said, ordered=True, unit=unit)


def test_motions_may_be_negative() -> None:
    labels, said = np.array([-4, -2, -3, -1]), np.array([-1, -1, -8, -30])
    assert in_words(labels, said, ordered=True, unit="px") == (
        "Correct 0.0%, within 1 25.0%, within 5 75.0%, mean error 9.50 px. "
        "Most frequent mistakes (rows): -4 for -1 (1), -3 for -8 (1), -2 for -1 (1)."
    )
    svg = draw(labels, said, "x", ordered=True)
    assert svg.count("cell right") == 0
    assert re.findall(r'text-anchor="end">(-?\d+)<', svg) == ["-30", "-8", "-4", "-3", "-2", "-1"]
    labels, said = _rows(0, 50, off=3)
    found = _opacity(draw(labels - 40, said - 40, "x", ordered=True))
    assert np.array_equal(found, _opacity(draw(labels, said, "x", ordered=True)))


def test_an_error_is_that_of_predictions_before_they_are_rounded() -> None:
    truth, said = np.array([4, 4, 15.75], np.float32), np.array([4.25, 4, 0.25], np.float32)
    assert _error(truth, said, None) == pytest.approx((0.25 + 15.5) / 3)
    assert _error(truth, said, 16) == pytest.approx(0.75 / 3)
    whole = (np.array([4, 4]), np.array([4, 4]))
    assert in_words(*whole, ordered=True, error=0.125) == "Correct 100.0%, mean error 0.12."


def test_neighbours_on_a_circle_are_near() -> None:
    labels, said = np.array([15, 0, 8]), np.array([0, 16, 7])
    assert in_words(labels, said, ordered=True, period=16).startswith("Correct 33.3%, mean error 0.67.")


def test_a_prediction_far_off_leaves_the_true_values_in_sight() -> None:
    labels, said = _whole(np.array([-3, 0, 4], np.float32), np.array([-2.6, 1e30, -1e30], np.float32))
    assert labels.tolist() == [-3, 0, 4]
    assert said.tolist() == [-3, 253, -252]
    labels, said = _whole(np.array([0, 510], np.float32), np.array([1, 509], np.float32))
    assert said.tolist() == [1, 509]


def test_a_title_stays_a_text() -> None:
    labels = np.zeros(3, np.int64)
    assert "<script>" not in draw(labels, labels, '"><script>alert(1)</script>', ordered=True)
