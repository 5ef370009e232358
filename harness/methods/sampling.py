"""The rows of each batch: a function of seed and epoch, so that a run can resume at any step."""

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

    A sample is ``length`` consecutive rows, and all samples are equally likely. An epoch has each single row
    or pair once; of longer samples it has as many as cover each row about once, but at least a batch. An
    incomplete last batch is dropped, because a contrastive loss depends on the batch size.

    Args:
        rows: The rows to draw from.
        length: Consecutive rows per sample.
        batch_size: Samples per batch.
        seed: Random seed.
        epoch: Number of the epoch, from 0.
        random_frame: End each sample with a random row of its episode.

    Returns:
        Row numbers, int64 [batches, batch_size, length], or length + 1 with ``random_frame``.

    Raises:
        DataError: There are not enough samples for a batch.
    """
    starts = rows.starts(length)
    batches = len(starts) // max(length - 1, 1) // batch_size or min(len(starts) // batch_size, 1)
    if not batches:
        raise DataError(
            f"Not enough samples of {length} consecutive frames for a batch.",
            expected=f"at least {batch_size}",
            got=len(starts),
            cure="Use a smaller --batch-size"
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
    """Draw the batches of every validation, at most ``most``; they are the same for all seeds and runs.

    The batch is smaller if the split has too few samples.

    Returns:
        As `draw_epoch`.

    Raises:
        DataError: There are fewer than two samples.
    """
    size = min(batch_size, max(len(rows.starts(length)), 2))
    return draw_epoch(rows, length, size, seed=0, epoch=0, random_frame=random_frame)[:most]
