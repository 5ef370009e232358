"""The losses, as functions of tensors; each is tested against a literal one of loops."""

from __future__ import annotations

import torch
from torch.nn import functional


def info_nce(predicted: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """InfoNCE, arXiv 1906.08226 equation 1 (arXiv 1807.03748, equation 4), with a bilinear score.

    The score of pair (i, j) is the inner product of ``predicted[i]`` (which holds the bilinear form's matrix)
    and ``targets[j]``. For every i, j = i is right, and every other j of the batch is wrong.

    Args:
        predicted: float [n, c], or [p, n, c] for p batches that are scored apart.
        targets: float [n, c] or [p, n, c]; where one has p batches and the other none, that one serves all.

    Returns:
        The mean over n (and p) of the negative logarithm of the share of the right pair, a scalar, in nats.
    """
    scores = predicted @ targets.transpose(-1, -2)
    n = scores.shape[-1]
    scores = scores.reshape(-1, n)
    right = torch.arange(n, device=scores.device).repeat(len(scores) // n)
    return functional.cross_entropy(scores, right)


def jensen_shannon(right: torch.Tensor, wrong: torch.Tensor) -> torch.Tensor:
    """Jensen-Shannon estimator of mutual information, negated (arXiv 1808.06670, equation 4).

    Args:
        right: Scores of pairs that belong together, any shape.
        wrong: Scores of pairs that do not.

    Returns:
        Half the mean of softplus(-right) plus half the mean of softplus(wrong), a scalar: the binary
        cross-entropy of telling the two apart, when there are as many of either.
    """
    return (functional.softplus(-right).mean() + functional.softplus(wrong).mean()) / 2


def evidence_bound(
    frames: torch.Tensor, decoded: torch.Tensor, mean: torch.Tensor, log_variance: torch.Tensor, beta: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """Both parts of a VAE's loss (arXiv 1312.6114, equation 10), with a Gaussian decoder of variance 1/2.

    Args:
        frames: float [n, ...].
        decoded: What the decoder makes of a draw, the same shape.
        mean: float [n, d], of the posterior.
        log_variance: float [n, d], of the posterior.
        beta: Weight of the divergence (1 is the bound itself).

    Returns:
        Squared error, and beta times the divergence from a standard normal: sums over pixels and dimensions,
        means over n.
    """
    n = len(frames)
    error = (decoded - frames).square().sum() / n
    divergence = (mean.square() + log_variance.exp() - 1 - log_variance).sum() / (2 * n)
    return error, beta * divergence
