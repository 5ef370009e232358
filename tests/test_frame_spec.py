from typing import Any

import numpy as np
import pytest
from PIL import Image

from atariari_data.errors import UsageError
from harness.encoders.encoder import FrameSpec, sample_frames
from harness.encoders.frame_spec import Color, Layout, Scale


@pytest.mark.parametrize(
    ("spec", "shape"),
    [
        (FrameSpec(), (2, 1, 210, 160)),
        (FrameSpec(stack=4), (2, 4, 210, 160)),
        (FrameSpec(color="rgb", stack=2), (2, 6, 210, 160)),
        (FrameSpec(color="rgb", stack=2, layout="NHWC"), (2, 210, 160, 6)),
        (FrameSpec(layout="NHWC", size=(84, 80)), (2, 84, 80, 1)),
        (FrameSpec(color="rgb", size=(224, 224)), (2, 3, 224, 224)),
    ],
)
@pytest.mark.parametrize("scale", ["unit", "byte"])
def test_prepared_frames_have_the_shape_that_the_spec_says(
    spec: FrameSpec, shape: tuple[int, ...], scale: Scale
) -> None:
    spec = FrameSpec(spec.color, spec.stack, spec.layout, scale, spec.size).validate()
    prepared = spec.prepare(sample_frames(spec, 2))
    assert prepared.shape == shape == spec.shape(2)
    assert prepared.dtype == (np.float32 if scale == "unit" else np.uint8)


def test_unit_is_bytes_over_255() -> None:
    spec, bytes_ = FrameSpec(), FrameSpec(scale="byte")
    frames = sample_frames(spec, 3)
    np.testing.assert_array_equal(spec.prepare(frames), frames.astype(np.float32) / np.float32(255))
    np.testing.assert_array_equal(bytes_.prepare(frames), frames)


def test_channels_are_frames_in_order_with_their_colours_together() -> None:
    frames = sample_frames(FrameSpec(color="rgb", stack=3), 2)
    nchw = FrameSpec("rgb", 3, "NCHW", "byte").prepare(frames)
    nhwc = FrameSpec("rgb", 3, "NHWC", "byte").prepare(frames)
    for stacked in range(3):
        for colour in range(3):
            channel = 3 * stacked + colour
            np.testing.assert_array_equal(nchw[:, channel], frames[:, stacked, :, :, colour])
            np.testing.assert_array_equal(nhwc[..., channel], frames[:, stacked, :, :, colour])


@pytest.mark.parametrize("color", ["gray", "rgb"])
def test_resizing_is_pillows(color: Color) -> None:
    spec = FrameSpec(color, 2, "NHWC", "byte", (84, 96))
    frames = sample_frames(spec, 2)
    prepared = spec.prepare(frames).reshape(2, 84, 96, 2, -1)
    for row in range(2):
        for stacked in range(2):
            expected = Image.fromarray(frames[row, stacked]).resize((96, 84), Image.Resampling.BILINEAR)
            np.testing.assert_array_equal(prepared[row, :, :, stacked].squeeze(), np.asarray(expected))


@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
@pytest.mark.parametrize("scale", ["unit", "byte"])
def test_prepared_frames_are_a_copy(layout: Layout, scale: Scale) -> None:
    spec = FrameSpec(layout=layout, scale=scale)
    frames = sample_frames(spec, 1)
    kept = frames.copy()
    spec.prepare(frames)[:] = 7
    np.testing.assert_array_equal(frames, kept)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"color": "grey"}, "color"),
        ({"stack": 0}, "stack"),
        ({"stack": True}, "stack"),
        ({"layout": "CHW"}, "layout"),
        ({"scale": 255}, "scale"),
        ({"size": (84,)}, "size"),
        ({"size": 84}, "size"),
        ({"size": (84, 84.0)}, "size"),
        ({"size": (0, 84)}, "size"),
    ],
)
def test_a_spec_that_cannot_be_is_refused(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=f"Invalid {message}"):
        FrameSpec(**fields).validate()


@pytest.mark.parametrize(
    ("text", "spec"),
    [
        ("", FrameSpec()),
        ("color=rgb", FrameSpec("rgb")),
        ("color=rgb, stack=4, size=84x96", FrameSpec("rgb", 4, size=(84, 96))),
        ("scale=byte,layout=NHWC", FrameSpec(scale="byte", layout="NHWC")),
    ],
)
def test_a_spec_is_read_from_a_command_line(text: str, spec: FrameSpec) -> None:
    assert FrameSpec.parse(text) == spec


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("colour=rgb", "(?s)Unknown field of a frame spec: 'colour'.*Did you mean 'color'"),
        ("rgb", "Unknown field of a frame spec: 'rgb'"),
        ("stack=four", "Invalid stack"),
        ("stack=", "Invalid stack"),
        ("stack=-1", "Invalid stack"),
        ("size=84", "Invalid size"),
        ("size=84x84x3", "Invalid size"),
        ("size=0x84", "Invalid size"),
        ("color=", "Invalid color"),
    ],
)
def test_a_spec_that_cannot_be_read_is_refused(text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        FrameSpec.parse(text)


@pytest.mark.parametrize(
    "frames",
    [
        np.zeros((2, 210, 160), np.uint8),
        np.zeros((2, 1, 160, 210), np.uint8),
        np.zeros((2, 1, 210, 160), np.float32),
        np.zeros((), np.uint8),
    ],
)
def test_other_frames_are_refused(frames: Any) -> None:
    with pytest.raises(UsageError, match=r"uint8 \[n, 1, 210, 160\]"):
        FrameSpec().prepare(frames)


def test_sample_frames_are_the_same_every_time_and_differ_among_themselves() -> None:
    spec = FrameSpec(stack=2)
    frames = sample_frames(spec, 4)
    np.testing.assert_array_equal(frames, sample_frames(spec, 4))
    assert len({picture.tobytes() for picture in frames.reshape(8, -1)}) == 8
