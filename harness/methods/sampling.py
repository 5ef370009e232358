"""Which rows make up which batch: a function of seed and epoch, so that a run can go on from any step."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from atariari_data.errors import DataError
from harness.methods.rows import Rows

Indices = npt.NDArray[np.int64]


def draw_epoch(
    rows: Rows, length: int, batch_size: int, *, seed: int, epoch: int, random_frame: bool = False
) -> Indices:
    """Draw the batches of an epoch.

    Every run of ``length`` consecutive rows is as likely as every other. Of single rows and pairs each comes
    once in an epoch, of longer ones as many as cover each row about once. The last batch is left out where
    it is not full, since the loss of a contrastive method depends on how many it contrasts.

    Args:
        rows: To draw from.
        length: Consecutive rows in a sample.
        batch_size: Samples in a batch.
        seed: With ``epoch``, decides.
        epoch: From 0.
        random_frame: End each sample with a row from a random time of its stretch.

    Returns:
        int64 [batches, batch_size, length], or with one more in the last axis.

    Raises:
        DataError: There are fewer samples than a batch needs.
    """
    starts = rows.starts(length)
    samples = len(starts) // max(length - 1, 1)
    batches = samples // batch_size
    if not batches:
        raise DataError(
            f"There are too few stretches of {length} consecutive frames for a batch.",
            expected=f"at least {batch_size * max(length - 1, 1)}",
            got=len(starts),
            cure="Take a smaller --batch-size"
            + (", or shorter samples: --set sequence_length=N." if length > 2 else "."),  # noqa: PLR2004
        )
    generator = np.random.default_rng((seed, epoch))
    chosen = generator.permutation(starts)[: batches * batch_size]
    index = chosen[:, None] + np.arange(length)
    if random_frame:
        first, count = rows.bounds()
        place = np.searchsorted(first, chosen, "right") - 1
        other = first[place] + generator.integers(count[place])
        index = np.concatenate([index, other[:, None]], axis=1)
    return index.reshape(batches, batch_size, -1)


def validation_batches(
    rows: Rows, length: int, batch_size: int, most: int, *, random_frame: bool = False
) -> Indices:
    """Draw the batches that every validation looks at, at most ``most``; the same for every seed and run.

    Where the split has too few samples for a batch, the batch is smaller.

    Returns:
        As `draw_epoch`.

    Raises:
        DataError: There are not two samples.
    """
    samples = len(rows.starts(length)) // max(length - 1, 1)
    size = min(batch_size, max(samples, 2))
    return draw_epoch(rows, length, size, seed=0, epoch=0, random_frame=random_frame)[:most]
