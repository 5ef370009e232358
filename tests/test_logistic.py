"""Joint passes over the rows: what they give, and what surrounds them."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from harness.probes import logistic
from harness.probes.basis import Basis
from harness.probes.logistic import FEW_ROWS, Rows, evaluate, workers

TINY = 1e-40  # of float32: below the least normal number
CPU = torch.device("cpu")


def times_one(value: float) -> float:
    return float(torch.tensor(value).mul(1))


@pytest.mark.parametrize("rows", [FEW_ROWS, FEW_ROWS + 1])
@pytest.mark.parametrize("before", [False, True])
def test_tiny_numbers_are_zero_in_every_thread_and_afterwards_what_they_were(rows: int, before: bool) -> None:
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    torch.set_flush_denormal(before)
    try:
        with workers(rows, CPU) as each:
            assert list(each(times_one, [TINY] * 8)) == [0] * 8
        assert (times_one(TINY) == 0) is before
        assert torch.get_num_threads() == 2
    finally:
        torch.set_flush_denormal(False)
        torch.set_num_threads(threads)


@pytest.mark.parametrize("group", [1, 7, 12, 100])
def test_a_pass_gives_the_loss_and_gradient_of_each_variable(
    group: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logistic, "GROUP", group)
    monkeypatch.setattr(logistic, "CHUNK", 16)
    generator = np.random.default_rng(3)
    features = generator.standard_normal((90, 5)).astype(np.float32)
    sizes = (3, 9, 2, 5)
    classes = [torch.from_numpy(generator.integers(0, k, 90)) for k in sizes]
    coordinates = Basis.of(features).coordinates(features)
    asked = [3, 0, 1]
    weights = [torch.randn(sizes[v], 6, generator=torch.Generator().manual_seed(v)) for v in asked]
    answers = evaluate(Rows(coordinates, classes), asked, weights)
    for v, own, answer in zip(asked, weights, answers, strict=True):
        own.requires_grad_(True)
        loss = torch.nn.functional.cross_entropy(coordinates.chunk(0, 90) @ own.T, classes[v])
        loss.backward()  # type: ignore[no-untyped-call]
        assert answer.loss == pytest.approx(loss.item(), rel=1e-5)
        assert own.grad is not None
        assert torch.allclose(answer.gradient, own.grad, atol=1e-6)
