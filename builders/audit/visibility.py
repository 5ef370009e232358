"""Visibility: how much of a variable's entropy the pixels determine.

What stays unknown, H(V | frame), lies between two estimates, both in nats:

- *at least*: rows with equal pixels and different labels. The plug-in entropy of the labels within groups of
  equal frames is, in expectation, no more than the truth (entropy is concave); frames that occur once add 0,
  so it says little where few frames occur twice.
- *at most*: the cross-entropy of a model on episodes that it never saw. The cross-entropy of any model is, in
  expectation, no less than the truth; a better model would lower it. The model is a multinomial logistic
  regression on the yes-or-no questions of `features` that share most with the variable and, for a position
  that is seen in play, on how well the pixels fit a template of the thing at each value's place; it is
  stopped early on other episodes.

Neither knows the truth; a variable counts as determined only as far as the model determines it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from builders.audit.claims import Seen
from builders.audit.information import shared, tables, unknown_given

QUESTIONS = 160
_A_VALUE = 3  # questions that are kept for each value, those that tell it best
_EARLIER = 80  # questions asked again of each earlier frame
_STEPS = 60
_MARGIN = 3  # pixels before and after a thing
_EVERY = 6
_PATIENCE = 2
_RATE = 0.15
_MIXED = (0.002, 0.01, 0.05, 0.2)  # with the distribution that knows no pixels
_FLOOR = 0.005  # spread over all 256 values, some of which training never met

Values = npt.NDArray[np.uint8]
Asked = npt.NDArray[np.uint8]
Rows = npt.NDArray[np.intp]
Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Parts:
    """Rows to learn from, to stop on, and to test on: whole episodes, or blocks where these are too few."""

    train: Rows
    stop: Rows
    test: Rows


def parts(episode: npt.NDArray[np.int32], seed: int, *, least: int = 6, blocks: int = 10) -> Parts:
    """Cut rows 60/15/25 by episodes, shuffled.

    Args:
        episode: int [m].
        seed: The seed of the shuffle.
        least: Episodes; where there are fewer, blocks of rows take their place.
        blocks: How many then.
    """
    group = np.unique(episode, return_inverse=True)[1]
    if group.max() + 1 < least:
        group = np.arange(len(episode)) * blocks // len(episode)
    order = np.random.default_rng(seed).permutation(group.max() + 1)
    filled = np.cumsum(np.bincount(group)[order]) / len(group)
    place = np.empty(len(order), int)
    place[order] = np.searchsorted([0.6, 0.75], filled - 1e-9, side="left")
    place[order[-1]] = 2
    place[order[0]] = 0
    if not (place == 1).any():
        place[order[1]] = 1
    of = place[group]
    return Parts(*(np.flatnonzero(of == i) for i in range(3)))


def at_least(values: Values, frame: npt.NDArray[np.intp]) -> float:
    """Return the lower estimate.

    Args:
        values: uint8 [m].
        frame: int [m], the same number for equal pixels.
    """
    return unknown_given(values, frame, corrected=False)


def examples(values: Values, frame: npt.NDArray[np.intp], most: int = 3) -> list[tuple[int, int]]:
    """Return pairs of rows with equal pixels and different labels, the labels as far apart as there are."""
    order = np.lexsort((values, frame))
    group = frame[order]
    starts = np.flatnonzero(np.diff(group, prepend=-1))
    ends = np.append(starts[1:], len(group)) - 1
    apart = values[order[ends]].astype(int) - values[order[starts]]
    best = np.argsort(-apart, kind="stable")[:most]
    return [(int(order[starts[i]]), int(order[ends[i]])) for i in best if apart[i] > 0]


@dataclass(frozen=True)
class Guess:
    """What a model leaves unknown, in nats a row: on test; on the rows it was stopped on; without pixels."""

    left: float
    stopped: float
    without: float

    @property
    def determined(self) -> float:
        """Return the share of the entropy that the model determines, 0 to 1."""
        return min(1.0, max(0.0, 1 - self.left / self.without)) if self.without > 0 else 0.0


def questions(values: Values, asked: Asked, train: Rows) -> npt.NDArray[np.intp]:
    """Choose the questions that share most with a variable, and for each value those that tell it best."""
    every = shared(*tables(values[train], asked[train].astype(np.float32)))
    best = np.argsort(-every.sum(axis=0), kind="stable")[:QUESTIONS]
    one_by_one = np.argpartition(-every, min(_A_VALUE, every.shape[1] - 1), axis=1)[:, :_A_VALUE]
    return np.union1d(best, one_by_one.reshape(-1))


def earlier(asked: Asked, chosen: npt.NDArray[np.intp], frames: Sequence[int]) -> npt.NDArray[np.float32]:
    """Ask the first questions of earlier frames, too: float32 [m, d]; of the first frames, of themselves."""
    now = asked[:, chosen].astype(np.float32)
    first = np.maximum(np.arange(len(asked))[:, None] - np.array(frames), 0)
    before = [asked[first[:, i]][:, chosen[:_EARLIER]].astype(np.float32) for i in range(len(frames))]
    # What changed says which way things go.
    return np.concatenate([now, *(part - now[:, :_EARLIER] for part in before)], axis=1)


def placed(found: Seen, values: Values, profile: Asked, train: Rows) -> Floats:
    """Return how much more likely the thing is to be where each value puts it than not: float32 [m, 256].

    The template, how often its colour is in each column (or row) from a little before its end to a little
    past it, is shared by all values, so few rows teach it.

    Args:
        found: What moves with the position.
        values: uint8 [m].
        profile: uint8 [m, size of the axis], the columns or rows in which its colour is.
        train: Rows to learn from.
    """
    size = profile.shape[1]
    first = np.floor(found.scale * np.arange(256)).astype(int) + found.offset - _MARGIN
    pixels = first[:, None] + np.arange(found.size + 2 * _MARGIN)
    inside, pixels = (pixels >= 0) & (pixels < size), np.clip(pixels, 0, size - 1)
    ground = (profile[train].sum(axis=0) + 1) / (len(train) + 2)
    here = pixels[values[train]]
    there = inside[values[train]]
    yes = np.take_along_axis(profile[train], here, axis=1) * there
    thing = (yes.sum(axis=0) + 1) / (there.sum(axis=0) + 2)
    for_yes = np.where(inside, np.log(thing / ground[pixels]), 0)
    for_no = np.where(inside, np.log((1 - thing) / (1 - ground[pixels])), 0)
    weight = np.zeros((256, size))
    np.add.at(weight, (np.arange(256)[:, None], pixels), for_yes - for_no)
    # Overlapping pixels say the same several times: a thing as wide as ten is seen about once.
    score: Floats = ((profile @ weight.T + for_no.sum(axis=1)) / np.sqrt(found.size)).astype(np.float32)
    return score


def guess(values: Values, seen: Floats, cut: Parts, place: Floats | None = None) -> Guess:
    """Fit the model and test it.

    Args:
        values: uint8 [m].
        seen: float32 [m, d], answers.
        cut: Which rows are what.
        place: float32 [m, 256] of `placed`, for a position that is seen in play.
    """
    met, label = np.unique(values[cut.train], return_inverse=True)
    prior = (np.bincount(label) / len(label)).astype(np.float32)
    number = np.full(256, -1)
    number[met] = np.arange(met.size)
    stop, test = number[values[cut.stop]], number[values[cut.test]]
    nothing = _mixed(prior[None], stop, prior, 0)
    score = np.zeros((len(values), met.size), np.float32) if place is None else place[:, met]
    x = np.concatenate([seen, np.ones((len(seen), 1), np.float32)], axis=1)
    target = np.zeros((len(label), met.size), np.float32)
    target[np.arange(len(label)), label] = 1
    best: tuple[float, Floats, float, float] = (
        nothing,
        np.zeros((x.shape[1], met.size), np.float32),
        0.0,
        1.0,
    )
    worse = 0
    for weights, trust in _descend(prior, x[cut.train], score[cut.train], target):
        p = _softmax(x[cut.stop] @ weights + trust * score[cut.stop])
        left, mixed = min((_mixed(p, stop, prior, mix), mix) for mix in _MIXED)
        if left < best[0]:
            best, worse = (left, weights, trust, mixed), 0
        elif (worse := worse + 1) == _PATIENCE:
            break
    stopped, weights, trust, mixed = best
    p = _softmax(x[cut.test] @ weights + trust * score[cut.test])
    return Guess(_mixed(p, test, prior, mixed), stopped, _mixed(prior[None], test, prior, 0))


def _descend(prior: Floats, x: Floats, score: Floats, target: Floats) -> Iterator[tuple[Floats, float]]:
    """Descend with Adam on all rows at once; yield weights and the trust in places every few steps."""
    weights = np.zeros((x.shape[1] + 1, prior.size), np.float32)  # the last row is the trust, in one place
    weights[-2] = np.log(prior)
    moment, square = np.zeros_like(weights), np.zeros_like(weights)
    slope = np.zeros_like(weights)
    for step in range(1, _STEPS + 1):
        error = (_softmax(x @ weights[:-1] + weights[-1, 0] * score) - target) / len(x)
        slope[:-1] = x.T @ error
        slope[-1, 0] = (error * score).sum()
        moment += 0.1 * (slope - moment)
        square += 0.01 * (slope * slope - square)
        rate = np.float32(_RATE * np.sqrt(1 - 0.99**step) / (1 - 0.9**step))
        weights -= rate * moment / (np.sqrt(square) + np.float32(1e-8))
        if step % _EVERY == 0:
            yield weights[:-1].copy(), float(weights[-1, 0])


def _softmax(x: Floats) -> Floats:
    e: Floats = np.exp(x - x.max(axis=1, keepdims=True))
    total: Floats = e / e.sum(axis=1, keepdims=True)
    return total


def _mixed(p: Floats, label: npt.NDArray[np.int64], prior: Floats, mix: float) -> float:
    """Return the cross-entropy of a distribution mixed with two that know no pixels."""
    known = (1 - mix) * p + mix * prior
    row = known[np.arange(len(label)) if len(known) > 1 else 0, np.maximum(label, 0)]
    likelihood = (1 - _FLOOR) * np.where(label >= 0, row, 0) + _FLOOR / 256
    return float(-np.log(likelihood.astype(np.float64)).mean())
