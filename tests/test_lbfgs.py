"""How the strength of a probe is chosen: what is solved how well, and what decides."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import pytest
import torch

from harness.probes import lbfgs
from harness.probes.lbfgs import (
    AT_THE_END,
    CLOSE,
    ON_THE_WAY,
    Answer,
    Ask,
    Chosen,
    Memory,
    Solution,
    Tolerance,
)

GRID = (1e1, 1e0, 1e-1, 1e-2, 1e-3, 1e-4, 1e-5)
GAIN = 0.01


def walk(monkeypatch: pytest.MonkeyPatch, rough: dict[float, float], exact: dict[float, float]) -> Any:
    """Choose where solutions cost nothing, and a solution on the way scores otherwise than a good one.

    Returns:
        The choice, and what was solved: strength and tolerance.
    """
    solved: list[tuple[float, Tolerance]] = []

    def minimise(
        start: torch.Tensor, strength: float, tolerance: Tolerance, history: int, **_: Any
    ) -> Generator[Ask, Answer, Solution]:
        del start, history
        solved.append((strength, tolerance))
        yield Ask(torch.zeros(1, 1))
        nothing = Memory(torch.zeros(1, 1))
        return Solution(torch.tensor([[strength]]), 0.0, 0.0, converged=True, evaluations=1, memory=nothing)

    monkeypatch.setattr(lbfgs, "minimise", minimise)
    chooser = lbfgs.choose(torch.zeros(1, 1), GRID, 1e-2, GAIN)
    ask = next(chooser)
    while True:
        answer = Answer()
        if ask.wants == "validation":
            strength, tolerance = solved[-1]
            scores = exact if tolerance == AT_THE_END else rough
            assert ask.weights.item() == pytest.approx(strength)
            answer = Answer(score=scores[strength])
        try:
            ask = chooser.send(answer)
        except StopIteration as end:
            chosen: Chosen = end.value
            return chosen, solved


def test_where_the_choice_is_clear_only_the_chosen_one_is_solved_to_the_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    scores = {1e-2: 0.5, 1e-3: 0.6, 1e-4: 0.63, 1e-5: 0.6}
    chosen, solved = walk(monkeypatch, scores, scores)
    assert chosen.strength == 1e-4
    assert solved == [*((s, ON_THE_WAY) for s in scores), (1e-4, AT_THE_END)]
    assert chosen.tried == scores
    assert chosen.evaluations == len(solved)


@pytest.mark.parametrize("gains", [True, False])
def test_where_it_is_close_both_are_solved_to_the_end_before_it_is_made(
    gains: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    less = {1e-2: 0.5, 1e-3: 0.5 + GAIN - CLOSE / 2, 1e-4: 0.5, 1e-1: 0.4}
    more = {**less, 1e-3: 0.5 + GAIN + CLOSE / 2}
    rough, exact = (less, more) if gains else (more, less)
    chosen, solved = walk(monkeypatch, rough, exact)
    assert chosen.strength == (1e-3 if gains else 1e-2)
    assert solved[:4] == [(1e-2, ON_THE_WAY), (1e-3, ON_THE_WAY), (1e-2, AT_THE_END), (1e-3, AT_THE_END)]
    assert chosen.tried[1e-3] == exact[1e-3]


def test_what_is_clear_once_the_chosen_one_is_solved_needs_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    rough = {1e-2: 0.5, 1e-3: 0.5 + GAIN, 1e-4: 0.4, 1e-1: 0.4}
    chosen, solved = walk(monkeypatch, rough, {**rough, 1e-2: 0.5 + 2 * CLOSE})
    assert chosen.strength == 1e-2
    assert (1e-3, AT_THE_END) not in solved


def test_a_tolerance_holds_for_the_gradient_and_for_the_distance() -> None:
    rule = Tolerance(gradient=4e-4, nats=1e-3)
    assert rule.norm(1e-2) == 4e-4, "where the penalty is strong, the gradient decides"
    assert rule.norm(1e-6) ** 2 / (2 * 1e-6) == pytest.approx(1e-3), "where it is weak, the distance"
