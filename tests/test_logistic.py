"""Joint passes over the rows: what surrounds them."""

from __future__ import annotations

import pytest
import torch

from harness.logistic import FEW_ROWS, workers

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
