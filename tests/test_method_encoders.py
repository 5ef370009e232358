"""The encoders have the shapes of the papers, and by name or from a folder they are taken as encoders."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import harness
from atariari_data.errors import AtariariError, UnknownNameError, UsageError
from atariari_data.observations import shrink
from builders.agents import Actor, load_layers
from harness.adapters import origin
from harness.conformance import assert_conforms
from harness.encoders.frame_spec import FrameSpec, sample_frames
from harness.encoders.named import NAMED
from harness.methods import METHODS, load_method
from harness.methods.agent import AgentEncoder
from harness.methods.encoders import NatureCNN, make_encoder
from harness.methods.method import Network, parse_options
from harness.methods.pixels import Decoder
from harness.methods.run import Settings, make
from harness.methods.train import Surroundings, train

WHOLE, SMALL = (210, 160), (84, 84)


@pytest.mark.parametrize(
    ("name", "size", "local", "last"),
    [
        ("nature", WHOLE, (128, 11, 8), 64 * 9 * 6),
        ("nature", SMALL, (64, 7, 7), 64 * 7 * 7),
        ("impala", WHOLE, (32, 27, 20), 32 * 14 * 10),
        ("impala", SMALL, (32, 11, 11), 32 * 11 * 11),
    ],
)
def test_shapes_are_the_published_ones(
    name: str, size: tuple[int, int], local: tuple[int, ...], last: int
) -> None:
    encoder = make_encoder(name, size)
    parts = encoder.parts(torch.rand(2, 1, *size))
    assert parts.features.shape == (2, 256)
    assert parts.local.shape == (2, *local)
    assert parts.last.shape == (2, last)
    assert encoder.local_channels == local[0]
    assert encoder.spec == FrameSpec(size=size)
    assert (parts.features < 0).any()  # no ReLU at the end
    assert (parts.local >= 0).all() == (name == "nature")  # the map is taken after the ReLU


def test_the_nature_network_has_the_published_layers() -> None:
    convolutions = [m for m in NatureCNN().modules() if isinstance(m, nn.Conv2d)]
    found = [(c.out_channels, c.kernel_size[0], c.stride[0]) for c in convolutions]
    assert found == [(32, 8, 4), (64, 4, 2), (128, 4, 2), (64, 3, 1)]
    weight = convolutions[1].weight.flatten(1)
    torch.testing.assert_close(weight @ weight.T, 2 * torch.eye(64), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("size", [WHOLE, SMALL])
def test_the_decoder_draws_frames_of_the_encoder_s_size(size: tuple[int, int]) -> None:
    drawn = Decoder(size, 16)(torch.randn(2, 16))
    assert drawn.shape == (2, 1, *size)
    assert ((drawn > 0) & (drawn < 1)).all()


def test_wrong_names_and_sizes() -> None:
    with pytest.raises(UnknownNameError, match="natur"):
        make_encoder("natur")
    with pytest.raises(UsageError, match="do not take frames of this size"):
        make_encoder("impala", (100, 100))
    with pytest.raises(UnknownNameError, match="infonce-stdim"):
        load_method("infonce-stdmi")
    with pytest.raises(UsageError, match="Invalid value of the option beta"):
        parse_options(load_method("vae"), {"beta": "much"})
    with pytest.raises(UnknownNameError, match="option of this method"):
        parse_options(load_method("cpc"), {"beta": "1"})


@pytest.mark.parametrize("name", METHODS)
def test_every_method_makes_an_encoder(name: str) -> None:
    kind = load_method(name)
    encoder = kind.make_encoder(Network(size=SMALL), kind.Options())
    assert (
        harness.load_encoder(encoder).embed(sample_frames(getattr(encoder, "spec", FrameSpec()), 2)).shape[0]
        == 2
    )


# The PCA is another for every game (tests/test_trivial.py), the RAM sees no frames (tests/test_ram.py).
@pytest.mark.parametrize("name", [n for n in NAMED if n != "ram" and not n.startswith("pixels-pca")])
def test_encoders_by_name(name: str) -> None:
    encoder = harness.load_encoder(name)
    assert encoder.name == name
    frames = sample_frames(encoder.spec, 3)
    # MKL's sums depend on where in memory frames lie: by up to 1e-6 of features near 1.
    np.testing.assert_allclose(
        harness.load_encoder(name).embed(frames), encoder.embed(frames), rtol=1e-5, atol=1e-5
    )
    assert_conforms(name)


def test_a_name_that_is_not_there_says_which_are() -> None:
    with pytest.raises(AtariariError, match="random-cnn"):
        harness.load_encoder("random-cn")


def agent_checkpoint(path: Path) -> Path:
    """A checkpoint as Stable-Baselines3 writes it: a .zip with the policy's state dict."""
    torch.manual_seed(5)
    shapes = {
        "features_extractor.cnn.0": (32, 4, 8, 8),
        "features_extractor.cnn.2": (64, 32, 4, 4),
        "features_extractor.cnn.4": (64, 64, 3, 3),
        "features_extractor.linear.0": (512, 3136),
        "action_net": (6, 512),
    }
    state = {}
    for layer, shape in shapes.items():
        state[f"{layer}.weight"] = torch.randn(shape) / np.sqrt(np.prod(shape[1:]))
        state[f"{layer}.bias"] = torch.randn(shape[0]) / 10
    buffer = io.BytesIO()
    torch.save(state, buffer)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("policy.pth", buffer.getvalue())
    return path


def test_an_agent_s_features_are_what_its_actions_are_chosen_from(tmp_path: Path) -> None:
    path = agent_checkpoint(tmp_path / "agent.zip")
    kind = load_method("pretrained-rl-agent")
    encoder = kind.make_encoder(Network(), parse_options(kind, {"checkpoint": str(path)}))
    assert isinstance(encoder, AgentEncoder)
    frames = sample_frames(encoder.spec, 2)
    assert np.array_equal(encoder.shrink(torch.from_numpy(frames)).numpy(), shrink(frames))
    features = encoder(torch.from_numpy(frames))
    layers, _ = load_layers(path)
    actor = Actor(layers, "agent")
    for i in range(2):
        logits = features[i] @ layers[-1][0].T + layers[-1][1]
        np.testing.assert_allclose(
            logits.detach(), actor._logits(shrink(frames[i : i + 1])), rtol=1e-3, atol=1e-4
        )


def test_a_run_of_an_agent_does_without_its_checkpoint(tmp_path: Path) -> None:
    path = agent_checkpoint(tmp_path / "agent.zip")
    settings = make(Settings, method="pretrained-rl-agent", game="pong", options={"checkpoint": str(path)})
    train(settings, tmp_path / "run", surroundings=Surroundings(progress=False))
    found = origin(tmp_path / "run", {})
    assert (found.pretraining_data, found.training) == ("reward, by the agent agent.zip", None)
    frames = sample_frames(AgentEncoder.spec, 2)
    before = harness.load_encoder(str(tmp_path / "run")).embed(frames)
    path.unlink()
    after = harness.load_encoder(str(tmp_path / "run")).embed(frames)
    np.testing.assert_allclose(after, before, rtol=1e-5, atol=1e-5)
    assert before.any()


def test_an_agent_is_needed() -> None:
    kind = load_method("pretrained-rl-agent")
    with pytest.raises(UsageError, match="needs a checkpoint"):
        kind.check_options(kind.Options())
