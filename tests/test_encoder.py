from collections.abc import Callable
from dataclasses import dataclass
from itertools import repeat
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch

from atariari_data.errors import UsageError
from harness.adapters import load_encoder
from harness.encoders.encoder import EncoderError, FrameSpec, Pool, sample_frames
from harness.encoders.frame_spec import Layout

FRAMES = sample_frames(FrameSpec(), 10)
FRAMES.flags.writeable = False  # as Arrow gives them


def thumbnail(frames: Any) -> Any:
    return frames[:, 0, ::42, ::40].reshape(len(frames), -1)


def test_features_are_those_of_the_function_whatever_the_batch_size() -> None:
    expected = thumbnail(FrameSpec().prepare(FRAMES))
    for batch_size in (1, 3, 10, 100):
        encoder = load_encoder(thumbnail, batch_size=batch_size)
        features = encoder.embed(FRAMES)
        assert features.dtype == np.float32
        np.testing.assert_array_equal(features, expected)
        assert encoder.feature_size == 20


def test_an_encoder_may_use_its_output_buffer_again() -> None:
    buffer = torch.empty(3, 20)

    def reuses(frames: Any) -> Any:
        return buffer[: len(frames)].copy_(torch.from_numpy(thumbnail(frames)))

    expected = thumbnail(FrameSpec().prepare(FRAMES))
    np.testing.assert_array_equal(load_encoder(reuses, batch_size=3).embed(FRAMES), expected)


@pytest.mark.parametrize("kind", [np.float16, np.float64])
def test_other_floats_become_float32(kind: Any) -> None:
    features = load_encoder(lambda x: thumbnail(x).astype(kind)).embed(FRAMES)
    assert features.dtype == np.float32


def test_bfloat16_of_torch_is_read() -> None:
    encoder = load_encoder(lambda x: torch.tensor(thumbnail(x)).bfloat16())
    np.testing.assert_allclose(encoder.embed(FRAMES), thumbnail(FrameSpec().prepare(FRAMES)), atol=0.01)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda x: x, r"no pooling is set.*got: float32 \[10, 1, 210, 160\].*pool='flatten'"),
        (lambda x: torch.tensor(thumbnail(x)).to_sparse(), r"cannot be read as an array.*got: float32"),
        (lambda x: thumbnail(x)[:, 0], r"wrong shape.*\[10, d\] for 10 frames.*got: float32 \[10\]"),
        (lambda x: thumbnail(x)[:-1], r"wrong shape.*got: float32 \[9, 20\]"),
        (lambda x: thumbnail(x).T, r"wrong shape.*got: float32 \[20, 10\]"),
        (lambda x: thumbnail(x)[:, :0], r"wrong shape.*got: float32 \[10, 0\]"),
        (lambda x: x.mean(), r"wrong shape.*float32 \[\]"),
        (lambda x: thumbnail(x) > 0.5, r"does not return floats.*got: bool \[10, 20\]"),
        (lambda x: thumbnail(x).astype(int), r"does not return floats.*got: int64"),
        (lambda x: thumbnail(x) + 1j, r"does not return floats.*got: complex"),
        (lambda _: None, r"does not return floats.*got: NoneType"),
        (lambda x: (thumbnail(x), thumbnail(x)), r"wrong shape.*tuple of 2: float32 \[10, 20\]"),
        (lambda x: (thumbnail(x), thumbnail(x)[:, :3]), r"does not return floats.*tuple of 2"),
        (lambda x: thumbnail(x) * 1e39, r"infinite values \(as float32\)"),
        (lambda x: thumbnail(x.astype(np.float64)) * 1e39, r"infinite values \(as float32\)"),
    ],
)
def test_what_is_no_features_is_refused(wrong: Callable[[Any], Any], message: str) -> None:
    with pytest.raises(EncoderError, match="(?s)" + message), np.errstate(over="ignore"):
        load_encoder(wrong).embed(FRAMES)


@dataclass
class Output:
    last_hidden_state: Any
    pooled: Any = None


class Pair(NamedTuple):
    features: Any
    value: Any


@pytest.mark.parametrize(
    ("returned", "output"),
    [
        (lambda f: {"other": f[:, :3], "features": f}, "features"),
        (lambda f: {"a.b": f}, "a.b"),
        (Output, "last_hidden_state"),
        (lambda f: Output(f[:, :3], [{"deep": f}, None]), "pooled.0.deep"),
        (lambda f: Pair(f, f[:, 0]), "features"),
        (lambda f: (f[:, :3], f), "1"),
        (lambda f: {"hidden_states": (f[:, :3], f)}, "hidden_states.-1"),
    ],
)
def test_one_part_of_an_output_holds_the_features(returned: Callable[[Any], Any], output: str) -> None:
    encoder = load_encoder(lambda x: returned(thumbnail(x)), output=output)
    np.testing.assert_allclose(encoder.embed(FRAMES), thumbnail(FrameSpec().prepare(FRAMES)))
    assert encoder.output == output
    assert f"gives {output!r}" in encoder.description


def test_the_part_is_an_attribute_and_the_argument_replaces_it() -> None:
    class Both:
        output = "features"

        def encode(self, x: Any) -> Any:
            return {"features": thumbnail(x), "half": thumbnail(x)[:, :10]}

    assert load_encoder(Both()).embed(FRAMES).shape == (10, 20)
    assert load_encoder(Both(), output="half").embed(FRAMES).shape == (10, 10)
    assert load_encoder(Both()).cache_key() != load_encoder(Both(), output="half").cache_key()


def test_parts_are_named_where_none_is_chosen_or_there_is_no_such() -> None:
    def several(x: Any) -> Any:
        return Output(thumbnail(x)[:, None], {"mean": thumbnail(x)})

    with pytest.raises(
        EncoderError,
        match=r"(?s)none is chosen.*got: Output of 2: last_hidden_state float32 \[10, 1, 20\], "
        r"pooled dict of 1: mean float32 \[10, 20\].*--output.*output = 'last_hidden_state'",
    ):
        load_encoder(several).embed(FRAMES)
    with pytest.raises(EncoderError, match=r"(?s)no part 'x'.*one of last_hidden_state, pooled"):
        load_encoder(several, output="x").embed(FRAMES)
    with pytest.raises(EncoderError, match=r"(?s)output 'pooled' has no part 'x'.*one of mean"):
        load_encoder(several, output="pooled.x").embed(FRAMES)
    with pytest.raises(EncoderError, match=r"(?s)has no part 'x'.*Remove the option `output`"):
        load_encoder(thumbnail, output="x").embed(FRAMES)
    with pytest.raises(UsageError, match="Not the name of a part"):
        load_encoder(thumbnail, output="a\nb")


def test_a_layer_named_output_is_no_choice() -> None:
    class Net(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.output = torch.nn.Linear(160, 3)

        def forward(self, x: torch.Tensor) -> Any:
            return self.output(x.mean((1, 2)))

    assert load_encoder(Net()).output is None


def test_nan_is_counted_and_located_across_batches() -> None:
    def wrong(frames: Any) -> Any:
        features = thumbnail(frames).copy()
        features[frames[:, 0, 0, 0] == FRAMES[7, 0, 0, 0] / np.float32(255), :2] = np.nan
        return features

    with pytest.raises(
        EncoderError, match=r"2 NaN and 0 infinite values .* in 1 of 3 rows, the first in row 7"
    ):
        load_encoder(wrong, batch_size=3).embed(FRAMES)


def test_a_feature_size_that_changes_is_refused_even_between_calls() -> None:
    encoder = load_encoder(lambda x: thumbnail(x)[:, : len(x)])
    encoder.embed(FRAMES[:4])
    with pytest.raises(EncoderError, match=r"(?s)feature size.*\[n, 4\] as before.*\[n, 5\]"):
        encoder.embed(FRAMES[:5])


@pytest.mark.parametrize("spec", [FrameSpec(), FrameSpec(scale="byte"), FrameSpec(layout="NHWC")])
def test_writing_to_the_input_is_refused_and_never_reaches_the_callers_frames(spec: FrameSpec) -> None:
    def wrong(frames: Any) -> Any:
        frames[:, 0, 0] = 1
        return np.ones((len(frames), 2), np.float32)

    frames = sample_frames(spec, 3)
    kept = frames.copy()
    with pytest.raises(EncoderError, match="modifies its input"):
        load_encoder(wrong, spec=spec).embed(frames)
    np.testing.assert_array_equal(frames, kept)


@pytest.mark.parametrize(
    ("frames", "message"),
    [
        (FRAMES[:0], "No frames"),
        (FRAMES[:, 0], "do not match the spec"),
        (FRAMES / np.float32(255), "do not match the spec"),
    ],
)
def test_other_frames_are_refused(frames: Any, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        load_encoder(thumbnail).embed(frames)


@pytest.mark.parametrize(
    ("pool", "layout", "make", "expected"),
    [
        ("flatten", "NCHW", lambda m: m, lambda m: m.reshape(10, -1)),
        ("mean", "NCHW", lambda m: m, lambda m: m.mean((2, 3))),
        ("mean", "NHWC", lambda m: m, lambda m: m.mean((1, 2))),
        ("mean", "NCHW", lambda m: m.reshape(10, 4, 30), lambda m: m.reshape(10, 4, 30).mean(1)),
        ("cls", "NCHW", lambda m: m.reshape(10, 4, 30), lambda m: m.reshape(10, 4, 30)[:, 0]),
        ("cls", "NCHW", lambda m: m.reshape(10, -1), lambda m: m.reshape(10, -1)),
    ],
)
def test_pooling_does_what_was_stated(
    pool: Pool, layout: Layout, make: Callable[[Any], Any], expected: Any
) -> None:
    maps = np.random.default_rng(0).normal(size=(10, 4, 5, 6)).astype(np.float32)
    encoder = load_encoder(lambda _: make(maps), pool=pool, spec=FrameSpec(layout=layout))
    np.testing.assert_allclose(encoder.embed(FRAMES), expected(maps), rtol=1e-5, atol=1e-6)


def test_a_pooling_that_does_not_fit_is_refused() -> None:
    with pytest.raises(EncoderError, match="'cls' cannot pool its output"):
        load_encoder(lambda x: x, pool="cls").embed(FRAMES)
    with pytest.raises(UsageError, match="No such pooling"):
        load_encoder(lambda x: x, pool="max")  # type: ignore[arg-type]


class Hungry:
    """Takes no more than ``most`` rows."""

    def __init__(self, most: int, error: type[Exception] = torch.OutOfMemoryError) -> None:
        self.most, self.error = most, error
        self.tried: list[int] = []

    def __call__(self, frames: Any) -> Any:
        self.tried.append(len(frames))
        if len(frames) > self.most:
            raise self.error("out of memory")
        return thumbnail(frames)


@pytest.mark.parametrize("error", [torch.OutOfMemoryError, MemoryError])
def test_out_of_memory_halves_the_batch_and_loses_nothing(error: type[Exception]) -> None:
    hungry = Hungry(3, error)
    encoder = load_encoder(hungry, batch_size=10)
    np.testing.assert_array_equal(encoder.embed(FRAMES), thumbnail(FrameSpec().prepare(FRAMES)))
    assert hungry.tried == [10, 5, 2, 2, 2, 2, 2]
    encoder.embed(FRAMES[:2])
    assert hungry.tried[-1] == 2


def test_out_of_memory_with_one_frame_ends_it() -> None:
    with pytest.raises(EncoderError, match="out of memory on a single frame"):
        load_encoder(Hungry(0)).embed(FRAMES)


def test_a_growing_batch_doubles_while_it_fits() -> None:
    hungry = Hungry(4)
    encoder = load_encoder(hungry)
    encoder.batches.size, encoder.batches.limit = 1, 64
    frames = np.concatenate([FRAMES, FRAMES])
    assert len(encoder.embed(frames)) == 20
    assert hungry.tried == [1, 2, 4, 8, 4, 4, 4, 1]


def test_the_cache_key_follows_what_the_encoder_does() -> None:
    spec = FrameSpec()
    key = load_encoder(thumbnail).cache_key()
    assert key == load_encoder(thumbnail).cache_key()
    assert key != load_encoder(thumbnail, spec=FrameSpec(size=(84, 80))).cache_key()
    factors = iter([1.0, 1.000001, 1.01])

    class Sidecar:
        """Reads something at its start that no digest can see."""

        def __init__(self) -> None:
            self.spec, self.factors = spec, repeat(next(factors))

        def encode(self, frames: Any) -> Any:
            return thumbnail(frames) * next(self.factors)

    one, rounded, two = (load_encoder(Sidecar()) for _ in range(3))
    assert (one.source_digest, one.weights_digest) == (two.source_digest, two.weights_digest)
    assert one.cache_key() == rounded.cache_key()
    assert one.cache_key() != two.cache_key()
