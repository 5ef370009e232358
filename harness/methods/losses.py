"""The losses, as functions of tensors; each is tested against a plain implementation with loops."""

from __future__ import annotations

import torch
from torch.nn import functional


def info_nce(predicted: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """InfoNCE, arXiv 1906.08226 equation 1 (arXiv 1807.03748, equation 4), with a bilinear score.

    The score of the pair (i, j) is the inner product of ``predicted[i]``, to which the matrix of the bilinear
    form is already applied, and ``targets[j]``. Pair (i, i) is the positive, all other j are negatives.

    Args:
        predicted: float [n, c], or [p, n, c] for p separate batches.
        targets: float [n, c] or [p, n, c]. If only one of the two has p batches, the other is used for each.

    Returns:
        The mean negative log-probability of the positive pair, a scalar, in nats.
    """
    predicted, targets = _widened(predicted, targets)
    # Features of a game's frames hardly differ, and gradients are their differences, which products in half
    # precision lose: with bfloat16 the loss of ST-DIM rises on Pong.
    with torch.autocast(predicted.device.type, enabled=False):
        scores = predicted @ targets.transpose(-1, -2)
    n = scores.shape[-1]
    scores = scores.reshape(-1, n)
    right = torch.arange(n, device=scores.device).repeat(len(scores) // n)
    return functional.cross_entropy(scores, right)


def jensen_shannon(right: torch.Tensor, wrong: torch.Tensor) -> torch.Tensor:
    """Negative Jensen-Shannon estimate of mutual information (arXiv 1808.06670, equation 4).

    Args:
        right: Scores of positive pairs, any shape.
        wrong: Scores of negative pairs, any shape.

    Returns:
        Half the mean of softplus(-right) plus half the mean of softplus(wrong), a scalar. This is the binary
        cross-entropy of classifying pairs, with both classes equally frequent.
    """
    right, wrong = _widened(right, wrong)
    return (functional.softplus(-right).mean() + functional.softplus(wrong).mean()) / 2


def evidence_bound(
    frames: torch.Tensor, decoded: torch.Tensor, mean: torch.Tensor, log_variance: torch.Tensor, beta: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """The two terms of a VAE's loss (arXiv 1312.6114, equation 10), with a Gaussian decoder of variance 1/2.

    Args:
        frames: The input frames, float [n, ...].
        decoded: Their reconstruction from a posterior sample, the same shape.
        mean: Mean of the posterior, float [n, d].
        log_variance: Logarithm of the posterior's variance, float [n, d].
        beta: Weight of the divergence; 1 gives the evidence lower bound.

    Returns:
        Squared error, and beta times the divergence from a standard normal, summed over pixels or dimensions
        and averaged over n.
    """
    frames, decoded, mean, log_variance = _widened(frames, decoded, mean, log_variance)
    n = len(frames)
    error = (decoded - frames).square().sum() / n
    divergence = (mean.square() + log_variance.exp() - 1 - log_variance).sum() / (2 * n)
    return error, beta * divergence


def _widened(*tensors: torch.Tensor) -> list[torch.Tensor]:
    """Return them in float32 at least; autocast has no rule for these losses on the CPU."""
    return [tensor.to(torch.promote_types(tensor.dtype, torch.float32)) for tensor in tensors]
