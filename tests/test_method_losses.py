"""Every loss against a slow one that is written out in loops, values and gradients."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch

from harness.methods.contrastive import (
    DeepInfoMax,
    GlobalLocalDIM,
    GlobalTemporalDIM,
    JensenShannonDIM,
    SpatioTemporalDIM,
    _WithLocals,
)
from harness.methods.cpc import ContrastivePredictiveCoding, CPCOptions
from harness.methods.encoders import Encoder, NatureCNN
from harness.methods.losses import evidence_bound, info_nce, jensen_shannon
from harness.methods.method import Batch, Method
from harness.methods.pixels import NextFrame, NextFrameOptions, VAEOptions, VariationalAutoEncoder
from harness.methods.supervised import Supervised, SupervisedOptions
from tests.small_methods import small_encoder

SAMPLES = 4


def _batch(frames: int, size: tuple[int, int] = (12, 10), dtype: torch.dtype = torch.float64) -> Batch:
    generator = torch.Generator().manual_seed(1)
    return Batch(
        torch.rand(SAMPLES, frames, *size, generator=generator, dtype=dtype),
        torch.randint(18, (SAMPLES,), generator=generator),
        torch.randint(256, (SAMPLES, 128), generator=generator, dtype=torch.uint8),
    )


def _nce(score: Callable[[int, int], torch.Tensor], n: int) -> torch.Tensor:
    """Equation 1, written out: the mean over i of -log(exp f(i, i) / sum_j exp f(i, j))."""
    total = torch.zeros(())
    for i in range(n):
        bottom = sum(torch.exp(score(i, j)) for j in range(n))
        total = total - torch.log(torch.exp(score(i, i)) / bottom)
    return total / n


def _bilinear(x: torch.Tensor, weight: Any, y: torch.Tensor) -> torch.Tensor:
    """x' W y, where the layer holds W's transpose."""
    return sum(
        (x[a] * weight[b, a] * y[b] for a in range(len(x)) for b in range(len(y))), start=torch.zeros(())
    )


def _one(encoder: Encoder, frame: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Features [d] and local map [c, h, w] of one frame alone."""
    parts = encoder.parts(frame[None, None])
    return parts.features[0], parts.local[0]


def _slow_global_local(m: _WithLocals, b: Batch, later: int = 1) -> torch.Tensor:
    now = [_one(m.encoder, f[0])[0] for f in b.frames]
    maps = [_one(m.encoder, f[later])[1] for f in b.frames]
    w = m.global_form.weight
    places = [(y, x) for y in range(maps[0].shape[1]) for x in range(maps[0].shape[2])]
    losses = [_nce(lambda i, j: _bilinear(now[i], w, maps[j][:, y, x]), SAMPLES) for y, x in places]  # noqa: B023  used at once
    return sum(losses, start=torch.zeros(())) / len(losses)


def _slow_stdim(m: SpatioTemporalDIM, b: Batch) -> torch.Tensor:
    now = [_one(m.encoder, f[0])[1] for f in b.frames]
    after = [_one(m.encoder, f[1])[1] for f in b.frames]
    w = m.local_form.weight
    places = [(y, x) for y in range(now[0].shape[1]) for x in range(now[0].shape[2])]
    losses = [
        _nce(lambda i, j: _bilinear(now[i][:, y, x], w, after[j][:, y, x]), SAMPLES)  # noqa: B023  as above
        for y, x in places
    ]
    return _slow_global_local(m, b) + sum(losses, start=torch.zeros(())) / len(losses)


def _slow_global(m: GlobalTemporalDIM, b: Batch) -> torch.Tensor:
    now, after = ([_one(m.encoder, f[k])[0] for f in b.frames] for k in (0, 1))
    return _nce(lambda i, j: _bilinear(now[i], m.form.weight, after[j]), SAMPLES)


def _slow_jsd(m: JensenShannonDIM, b: Batch) -> torch.Tensor:
    """Binary cross-entropy of right and wrong, over samples and positions, for both kinds of score."""
    total, n = torch.zeros(()), 0
    for f in b.frames:
        (features, local), (_, after), (_, other) = (_one(m.encoder, f[k]) for k in range(3))
        for y in range(local.shape[1]):
            for x in range(local.shape[2]):
                for target, frame in ((1, after), (0, other)):
                    at = frame[:, y, x]
                    for score in (
                        _bilinear(features, m.global_form.weight, at) + m.global_bias,
                        _bilinear(local[:, y, x], m.local_form.weight, at) + m.local_bias,
                    ):
                        p = 1 / (1 + torch.exp(-score))
                        total = total - torch.log(p if target else 1 - p)
                n += 2
    return total / n


def _slow_cpc(m: ContrastivePredictiveCoding, b: Batch) -> torch.Tensor:
    latents = [[_one(m.encoder, x)[0] for x in f] for f in b.frames]
    contexts = [m.context(torch.stack(z)[None])[0][0] for z in latents]
    losses = []
    for k, form in zip((1, 3), m.forms, strict=True):
        pairs = [(s, t) for s in range(SAMPLES) for t in range(5 - k)]

        def score(i: int, j: int) -> torch.Tensor:
            (s, t), (u, v) = pairs[i], pairs[j]  # noqa: B023  used at once
            return _bilinear(contexts[s][t], form.weight, latents[u][v + k])  # noqa: B023  as above

        losses.append(_nce(score, len(pairs)))
    return sum(losses, start=torch.zeros(())) / len(losses)


CASES: dict[str, tuple[Callable[[], Method], int, Callable[[Any, Batch], torch.Tensor]]] = {
    "infonce-stdim": (lambda: SpatioTemporalDIM(small_encoder()), 2, _slow_stdim),
    "jsd-stdim": (lambda: JensenShannonDIM(small_encoder()), 3, _slow_jsd),
    "global-infonce-stdim": (lambda: GlobalTemporalDIM(small_encoder()), 2, _slow_global),
    "global-local-infonce-stdim": (lambda: GlobalLocalDIM(small_encoder()), 2, _slow_global_local),
    "dim": (lambda: DeepInfoMax(small_encoder()), 1, lambda m, b: _slow_global_local(m, b, later=0)),
    "cpc": (
        lambda: ContrastivePredictiveCoding(
            small_encoder(), CPCOptions(sequence_length=5, offset_step=2, context_size=3)
        ),
        5,
        _slow_cpc,
    ),
}


def _gradients(method: Method, loss: torch.Tensor) -> dict[str, torch.Tensor]:
    method.zero_grad()
    torch.autograd.backward(loss)
    return {name: p.grad.clone() for name, p in method.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("name", CASES)
def test_contrastive_losses(name: str) -> None:
    make, frames, slow = CASES[name]
    method = make().double()
    for parameter in method.parameters():  # biases, too, are something
        torch.nn.init.normal_(parameter, std=0.7)
    batch = _batch(frames)
    found = method.loss(batch, torch.Generator()).total
    expected = slow(method, batch)
    torch.testing.assert_close(found, expected)
    ours, theirs = _gradients(method, found), _gradients(method, expected)
    assert ours.keys() == theirs.keys() == dict(method.named_parameters()).keys()
    assert all(gradient.abs().max() > 1e-9 for gradient in theirs.values())
    for layer, gradient in theirs.items():
        torch.testing.assert_close(ours[layer], gradient, msg=layer)


def test_info_nce_of_batches_apart_is_their_mean() -> None:
    x, y = torch.randn(3, 4, 6), torch.randn(3, 4, 6)
    apart = torch.stack([info_nce(x[p], y[p]) for p in range(3)]).mean()
    torch.testing.assert_close(info_nce(x, y), apart)
    assert info_nce(torch.zeros(8, 2), torch.randn(8, 2)).item() == pytest.approx(math.log(8))


def test_jensen_shannon_does_not_overflow() -> None:
    loss = jensen_shannon(torch.tensor([1e4, -1e4]), torch.tensor([-1e4, 1e4]))
    assert loss.item() == pytest.approx(5e3)


def test_losses_of_half_precision_are_summed_in_single() -> None:
    torch.manual_seed(0)
    a, b, c, d = (torch.randn(8, 40).bfloat16() for _ in range(4))
    torch.testing.assert_close(jensen_shannon(a, b), jensen_shannon(a.float(), b.float()))
    expected = evidence_bound(a.float(), b.float(), c.float(), d.float(), beta=1.0)
    torch.testing.assert_close(evidence_bound(a, b, c, d, beta=1.0), expected)


def _slow_vae(m: VariationalAutoEncoder, b: Batch) -> torch.Tensor:
    generator = torch.Generator().manual_seed(3)
    noise = torch.randn(SAMPLES, m.encoder.feature_size, generator=generator)
    total = torch.zeros(())
    for i in range(SAMPLES):
        parts = m.encoder.parts(b.frames[i : i + 1])
        mean, log_variance = parts.features[0], m.log_variance(parts.last)[0]
        posterior = torch.distributions.Normal(mean, torch.exp(0.5 * log_variance))
        drawn = m.decoder((mean + posterior.stddev * noise[i])[None])[0]
        prior = torch.distributions.Normal(torch.zeros_like(mean), torch.ones_like(mean))
        divergence = torch.distributions.kl_divergence(posterior, prior).sum()
        total = total + ((drawn - b.frames[i]) ** 2).sum() + m.beta * divergence
    return total / SAMPLES


def _slow_next(m: NextFrame, b: Batch) -> torch.Tensor:
    total = torch.zeros(())
    for i in range(SAMPLES):
        h = m.encoder(b.frames[i, :1][None])[0]
        if m.with_actions:
            one_hot = torch.zeros(18)
            one_hot[b.actions[i]] = 1
            h = (m.of_features.weight @ h) * (m.of_action.weight.T @ one_hot)
        drawn = m.decoder((m.predict.weight @ h + m.predict.bias)[None])[0, 0]
        total = total + ((drawn - b.frames[i, 1]) ** 2).sum() / drawn.numel()
    return total / SAMPLES


def _slow_supervised(m: Supervised, b: Batch) -> torch.Tensor:
    from atariari_data.labels import labels

    truth = labels(b.ram.numpy(), "pong")
    total = torch.zeros(())
    for i in range(SAMPLES):
        scores = m.classify(m.encoder(b.frames[i : i + 1]))[0]
        for v, name in enumerate(truth):
            own = scores[256 * v : 256 * (v + 1)]
            total = total - torch.log(torch.softmax(own, 0)[int(truth[name][i])])
    return total / (SAMPLES * len(truth))


@pytest.mark.parametrize(
    ("make", "frames", "slow"),
    [
        (lambda e: VariationalAutoEncoder(e, VAEOptions(beta=3.0)), 1, _slow_vae),
        (NextFrame, 2, _slow_next),
        (lambda e: NextFrame(e, NextFrameOptions(actions=True, factors=7)), 2, _slow_next),
        (lambda e: Supervised(e, SupervisedOptions(game="pong")), 1, _slow_supervised),
    ],
    ids=["vae", "naff", "naff-actions", "supervised"],
)
def test_other_losses(
    make: Callable[[Encoder], Method], frames: int, slow: Callable[[Method, Batch], torch.Tensor]
) -> None:
    torch.manual_seed(0)
    method = make(NatureCNN((84, 84), 16))
    batch = _batch(frames, (84, 84), torch.float32)
    found = method.loss(batch, torch.Generator().manual_seed(3)).total
    expected = slow(method, batch)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
    ours, theirs = _gradients(method, found), _gradients(method, expected)
    assert ours.keys() == theirs.keys() == dict(method.named_parameters()).keys()
    for parameter, gradient in theirs.items():
        scale = float(gradient.abs().max())
        torch.testing.assert_close(ours[parameter], gradient, rtol=1e-3, atol=1e-4 * scale, msg=parameter)


def test_the_evidence_bound_is_the_sum_of_its_parts() -> None:
    frames, drawn = torch.rand(2, 1, 3, 3), torch.rand(2, 1, 3, 3)
    mean, log_variance = torch.zeros(2, 4), torch.zeros(2, 4)
    error, divergence = evidence_bound(frames, drawn, mean, log_variance, beta=2.0)
    assert divergence.item() == 0.0  # the posterior is the prior
    assert error.item() == pytest.approx(float(((frames - drawn) ** 2).sum()) / 2)
