"""The manifest's statistics of a variable: entropy and ceiling."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

MIN_ENTROPY = 0.6  # nats, below which a variable is not probed
MIN_PRESENT = 0.05  # share of the rows with its thing, likewise
Labels = npt.NDArray[np.uint8]


def entropy(labels: Labels) -> float:
    """Return the entropy of uint8 [n] in nats."""
    share = np.bincount(labels, minlength=256) / len(labels)
    share = share[share > 0]
    return float(-(share * np.log(share)).sum())


def ceiling(labels: Labels, frame: Sequence[bytes]) -> tuple[float, float]:
    """Return the best weighted F1 and the best accuracy that a function of the single frame can reach.

    A function must give equal frames equal labels. The best accuracy gives each distinct frame the label
    that it has most often, and is exact. The best weighted F1 starts there and changes the answer to one
    frame at a time while that raises it; it is a local optimum, at least the F1 of the most accurate
    function.

    Args:
        labels: uint8 [n].
        frame: A digest of the pixels of each of the n rows.
    """
    _, group = np.unique(np.array(frame), return_inverse=True)
    pairs, count = np.unique(np.stack([group, labels], axis=1), axis=0, return_counts=True)
    order = np.lexsort((pairs[:, 1], -count, pairs[:, 0]))
    pairs, count = pairs[order], count[order]
    starts = np.flatnonzero(np.diff(pairs[:, 0], prepend=-1))
    accuracy = float(count[starts].sum() / len(labels))

    support = np.bincount(labels, minlength=256).astype(float)
    sizes = np.add.reduceat(count, starts)
    predicted = np.bincount(pairs[starts, 1], weights=sizes, minlength=256).astype(float)
    hits = np.bincount(pairs[starts, 1], weights=count[starts], minlength=256).astype(float)
    ambiguous = [
        (dict(zip(pairs[a:b, 1].tolist(), count[a:b].tolist(), strict=True)), int(size))
        for a, b, size in zip(starts, [*starts[1:], len(pairs)], sizes, strict=True)
        if b - a > 1
    ]
    _climb(ambiguous, support, predicted, hits)
    return _weighted_f1(support, predicted, hits), accuracy


def _climb(
    ambiguous: Sequence[tuple[dict[int, int], int]],
    support: npt.NDArray[np.float64],
    predicted: npt.NDArray[np.float64],
    hits: npt.NDArray[np.float64],
) -> None:
    """Change ``predicted`` and ``hits`` in place, a frame's answer at a time, while weighted F1 rises."""

    def term(label: int, more: int = 0, right: int = 0) -> float:
        return float(support[label] * 2 * (hits[label] + right) / (support[label] + predicted[label] + more))

    answer = [next(iter(counts)) for counts, _ in ambiguous]  # the most frequent comes first
    moved = True
    while moved:
        moved = False
        for i, (counts, size) in enumerate(ambiguous):
            old = answer[i]
            lost = term(old) - term(old, -size, -counts[old])
            gain, new = max((term(v, size, c) - term(v), v) for v, c in counts.items() if v != old)
            if gain > lost + 1e-9:
                predicted[old] -= size
                hits[old] -= counts[old]
                predicted[new] += size
                hits[new] += counts[new]
                answer[i], moved = new, True


def _weighted_f1(
    support: npt.NDArray[np.float64], predicted: npt.NDArray[np.float64], hits: npt.NDArray[np.float64]
) -> float:
    there = support > 0
    f1 = 2 * hits[there] / (support[there] + predicted[there])
    return float((support[there] * f1).sum() / support.sum())
