from __future__ import annotations

import importlib
import io
import struct

import numpy as np
import numpy.typing as npt
import pytest
from blake3 import blake3
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from atariari_data import AtariariError, game_names
from builders import digest, frames
from builders import png as png_of
from builders.emulator import Emulator

Screens = npt.NDArray[np.uint8]


def _screens(seed: int, colours: int) -> tuple[Screens, Screens]:
    generator = np.random.default_rng(seed)
    palette = generator.choice(128, colours, replace=False).astype(np.uint8) * 2
    first = palette[generator.integers(0, colours, (210, 160))]
    last = first.copy()
    moved = generator.random((210, 160)) < 0.02
    last[moved] = palette[generator.integers(0, colours, int(moved.sum()))]
    return first, last


def _rgb(screen: Screens) -> npt.NDArray[np.uint8]:
    pixels: npt.NDArray[np.uint8] = frames.PALETTE[screen >> 1]
    return pixels


def _pool(pooler: frames.Pooler, first: Screens, last: Screens) -> frames.Frame:
    (frame,) = pooler.pool(first[None], last[None])
    return frame


@settings(deadline=None, max_examples=40)
@given(st.lists(st.tuples(st.integers(0, 2**32 - 1), st.integers(1, 128)), min_size=1, max_size=4))
def test_pooling_is_the_pixelwise_maximum_whatever_came_before(screens: list[tuple[int, int]]) -> None:
    pairs = [_screens(seed, colours) for seed, colours in screens]
    expected = [frames.canonical(np.maximum(_rgb(first), _rgb(last))) for first, last in pairs]
    pooler = frames.Pooler()
    assert [_pool(pooler, *pair) for pair in pairs] == expected
    assert pooler.pool(*(np.stack(side) for side in zip(*pairs, strict=True))) == expected


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 2**32 - 1), st.integers(1, 128))
def test_a_png_gives_back_its_frame_to_us_and_to_pillow(seed: int, colours: int) -> None:
    first, last = _screens(seed, colours)
    frame = _pool(frames.Pooler(), first, last)
    png = png_of.to_png(frame)
    assert png_of.from_png(png) == frame
    with Image.open(io.BytesIO(png)) as image:
        pillow = np.asarray(image.convert("RGB"))
        luma = np.asarray(image.convert("RGB").convert("L"))
    assert np.array_equal(pillow, frame.rgb())
    assert np.array_equal(png_of.rgb([png])[0], pillow)
    assert np.array_equal(png_of.gray([png])[0], luma)


def test_a_png_of_another_hand_has_the_same_canonical_form() -> None:
    frame = _pool(frames.Pooler(), *_screens(0, 20))
    file = io.BytesIO()
    Image.fromarray(frame.rgb()).save(file, "png")
    assert png_of.from_png(file.getvalue()) == frame
    assert np.array_equal(png_of.gray([file.getvalue()]), png_of.gray([png_of.to_png(frame)]))


def test_more_than_256_colours_are_kept_as_they_are() -> None:
    rgb = np.random.default_rng(0).integers(0, 256, (210, 160, 3)).astype(np.uint8)
    frame = frames.canonical(rgb)
    assert frame.colours == b""
    assert np.array_equal(png_of.from_png(png_of.to_png(frame)).rgb(), rgb)
    # So many mixtures that no palette holds them.
    noise = np.random.default_rng(1).integers(0, 128, (2, 210, 160)).astype(np.uint8) * 2
    few = _screens(4, 9)
    first, last = np.stack([few[0], noise[0], few[0]]), np.stack([few[1], noise[1], few[1]])
    pooled = frames.Pooler().pool(first, last)
    assert pooled == [
        frames.canonical(np.maximum(_rgb(a), _rgb(b))) for a, b in zip(first, last, strict=True)
    ]
    assert [bool(frame.colours) for frame in pooled] == [True, False, True]


def test_the_digest_covers_every_pixel() -> None:
    frame = _pool(frames.Pooler(), *_screens(3, 5))
    rgb = frame.rgb().copy()
    rgb[209, 159, 2] ^= 1
    assert frames.canonical(rgb).content() != frame.content()


@pytest.mark.parametrize("png", [b"", b"nonsense", png_of.to_png(frames.Frame(b"\0\0\0", bytes(33600)))[:60]])
def test_bytes_that_are_no_frame_are_refused(png: bytes) -> None:
    with pytest.raises(AtariariError, match="PNG"):
        png_of.from_png(png)


def test_a_frame_of_another_size_is_refused() -> None:
    file = io.BytesIO()
    Image.new("RGB", (84, 84)).save(file, "png")
    with pytest.raises(AtariariError, match="wrong size"):
        png_of.gray([file.getvalue()])


@pytest.mark.parametrize("game", game_names())
def test_the_emulator_draws_in_our_palette_and_pools_its_last_two_screens(game: str) -> None:
    emulator = Emulator(game, seed=1)
    emulator.reset()
    generator = np.random.default_rng(0)
    for _ in range(12):
        action = int(generator.choice(emulator.minimal_actions))
        emulator.act(action, 3)
        before = emulator._ale.getScreenRGB()
        emulator.act(action, 1)
        expected = np.maximum(before, emulator._ale.getScreenRGB())
        assert np.array_equal(emulator.frame().rgb(), expected)
        assert emulator.ram() == emulator._ale.getRAM().tobytes()


@pytest.mark.parametrize("game", game_names())
@pytest.mark.parametrize("decoder", ["pillow", "opencv", "torchvision"])
def test_every_decoder_gives_the_same_pixels(game: str, decoder: str) -> None:
    emulator = Emulator(game, seed=1)
    emulator.reset()
    emulator.act(emulator.minimal_actions[1], 40)
    frame = emulator.frame()
    assert np.array_equal(_decoded(decoder, png_of.to_png(frame)), frame.rgb())


def _decoded(decoder: str, png: bytes) -> npt.NDArray[np.uint8]:
    if decoder == "pillow":
        return np.asarray(Image.open(io.BytesIO(png)).convert("RGB"))
    if decoder == "opencv":
        import cv2

        decoded = cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_COLOR)
        return np.asarray(decoded)[..., ::-1]
    import torch

    try:
        images = importlib.import_module("torchvision.io")
    except (ImportError, RuntimeError, AttributeError) as error:  # of another release than torch
        pytest.skip(f"torchvision does not import: {error}")
    data = torch.frombuffer(bytearray(png), dtype=torch.uint8)
    pixels = images.decode_png(data, mode=images.ImageReadMode.RGB).permute(1, 2, 0)
    return np.asarray(pixels)


def test_only_one_form_of_a_frame_is_canonical() -> None:
    frame = _pool(frames.Pooler(), *_screens(5, 6))
    n = len(frame.colours) // 3
    unused = frame.colours + b"\xff\xff\xff"
    swapped = frame.colours[3:6] + frame.colours[:3] + frame.colours[6:]
    without_one = frame.pixels.replace(b"\x02", b"\x01")
    beyond = without_one.replace(b"\x01", bytes([n]), 1)
    assert frames.is_canonical(frame)
    for colours, pixels in (
        (unused, frame.pixels),
        (swapped, frame.pixels),
        (frame.colours, without_one),
        (frame.colours, beyond),
    ):
        assert not frames.is_canonical(frames.Frame(colours, pixels))


def test_a_row_s_digest_comes_with_its_frame_s() -> None:
    frame = _pool(frames.Pooler(), *_screens(6, 4))
    row = digest.Row(frame, bytes(128), step=3, action=1, reward=0.0, over=False, lives=2)
    assert row.digests() == (digest.frame_digest(frame), row.digest())
    assert (
        row.digest() == blake3(frame.content() + bytes(128) + struct.pack("<iBfBB", 3, 1, 0, 0, 2)).digest()
    )
