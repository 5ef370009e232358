from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, f1_score

from builders.statistics import ceiling, entropy


def test_entropy_is_in_nats() -> None:
    assert entropy(np.array([7] * 10, np.uint8)) == 0
    assert entropy(np.array([0, 1, 2, 255], np.uint8)) == pytest.approx(np.log(4))


def test_distinct_frames_have_no_ceiling() -> None:
    labels = np.array([1, 2, 3, 3], np.uint8)
    assert ceiling(labels, [b"a", b"b", b"c", b"d"]) == (1.0, 1.0)


@settings(deadline=None, max_examples=60)
@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2)), min_size=1, max_size=14))
def test_the_ceiling_is_what_the_best_of_all_functions_reaches(rows: list[tuple[int, int]]) -> None:
    frames = [bytes([frame]) for frame, _ in rows]
    labels = np.array([label for _, label in rows], np.uint8)
    best_f1 = best_accuracy = 0.0
    for answers in itertools.product(range(3), repeat=3):
        predictions = [answers[frame] for frame, _ in rows]
        best_accuracy = max(best_accuracy, accuracy_score(labels, predictions))
        f1 = f1_score(labels, predictions, average="weighted", zero_division=0)
        best_f1 = max(best_f1, f1)
    f1, accuracy = ceiling(labels, frames)
    assert accuracy == pytest.approx(best_accuracy)
    assert f1 <= best_f1 + 1e-9
    assert f1 >= best_f1 - 0.15, "a local optimum may miss the best, but not by much"
