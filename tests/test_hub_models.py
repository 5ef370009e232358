import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from atariari_data.errors import MissingExtraError, UsageError
from harness.adapters import load_encoder
from harness.conformance import assert_conforms
from harness.encoders.encoder import EncoderError, FrameSpec, sample_frames
from harness.encoders.hub_models import _loading
from harness.encoders.objects import Request
from harness.isolation.opening import open_encoder
from harness.isolation.process import Limits

SPEC = FrameSpec(color="rgb", size=(160, 160))
FRAMES = sample_frames(SPEC, 3)


@pytest.mark.parametrize(("library", "extra"), [("timm", "timm"), ("transformers", "hf")])
def test_a_missing_library_names_its_extra(monkeypatch: pytest.MonkeyPatch, library: str, extra: str) -> None:
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(MissingExtraError, match=rf"{library}.*\n.*pip install 'atariari\[{extra}\]'"):
        load_encoder(f"{extra}:anything")


@pytest.mark.parametrize(("library", "extra"), [("timm", "timm"), ("transformers", "hf")])
def test_a_torchvision_of_another_release_is_one_short_error(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, library: str, extra: str
) -> None:
    (tmp_path / f"{library}.py").write_text("raise RuntimeError('operator torchvision::nms does not exist')")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, library, raising=False)
    monkeypatch.setattr(torch, "__version__", "2.8.0+cpu")
    monkeypatch.setattr("harness.encoders.hub_models.version", lambda _: "0.20.1")
    with pytest.raises(
        EncoderError, match=r"torchvision::nms(.|\n)*needs torchvision 0.23, and 0.20.1"
    ) as failure:
        load_encoder(f"{extra}:anything")
    assert len(str(failure.value)) < 500


def test_without_network_there_is_one_error_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.delenv("http_proxy", raising=False)
    offline = []

    def load() -> None:
        with _loading("It cannot be loaded."):
            offline.append(constants.HF_HUB_OFFLINE)
            raise OSError("no such model")

    with pytest.raises(EncoderError, match=r"Connect to http://127.0.0.1:9"):
        load()
    assert offline == [True]
    assert constants.HF_HUB_OFFLINE is False


def make_timm(name: str, weights: Path) -> Any:
    timm = pytest.importorskip("timm", exc_type=ImportError)
    torch.manual_seed(1)
    model = timm.create_model(name, num_classes=0).eval()
    torch.save(model.state_dict(), weights)
    return model


def pictures(mean: list[float], std: list[float], size: tuple[int, int]) -> torch.Tensor:
    """The frames as the library's own preprocessing would hand them over, but for cropping."""
    images = [
        np.asarray(Image.fromarray(frame[0]).resize((size[1], size[0]), Image.Resampling.BILINEAR)) / 255
        for frame in FRAMES
    ]
    scaled = (np.stack(images) - np.array(mean)) / np.array(std)
    return torch.from_numpy(scaled).permute(0, 3, 1, 2).float()


def test_timm_pools_as_the_model_does_unless_told(tmp_path: Path) -> None:
    weights = tmp_path / "weights.pt"
    model = make_timm("test_vit", weights)
    config = model.pretrained_cfg
    with torch.no_grad():
        tokens = model.forward_features(pictures(config["mean"], config["std"], (160, 160)))
        own = model(pictures(config["mean"], config["std"], (160, 160)))
    encoder = load_encoder("timm:test_vit", weights=weights)
    assert encoder.spec == SPEC
    np.testing.assert_allclose(encoder.embed(FRAMES), own.numpy(), atol=1e-4)
    assert "pooled as its classifier does" in encoder.description
    for pool, expected in [("mean", tokens.mean(1)), ("cls", tokens[:, 0]), ("flatten", tokens.flatten(1))]:
        pooled = load_encoder("timm:test_vit", weights=weights, pool=pool)  # type: ignore[arg-type]
        np.testing.assert_allclose(pooled.embed(FRAMES), expected.numpy(), atol=1e-4)
        assert f"pooled by {pool}" in pooled.description
        assert (pooled.source_digest, pooled.weights_digest) == (
            encoder.source_digest,
            encoder.weights_digest,
        )
        assert pooled.cache_key() != encoder.cache_key()
    assert_conforms("timm:test_vit", weights=weights)


def test_timm_maps_with_channels_last_are_pooled_over_places(tmp_path: Path) -> None:
    weights = tmp_path / "weights.pt"
    model = make_timm("test_resnet", weights)
    model.output_fmt = "NHWC"
    model.forward_features = lambda x: x.permute(0, 2, 3, 1)
    timm = pytest.importorskip("timm", exc_type=ImportError)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(timm, "create_model", lambda *_, **__: model)
        features = load_encoder("timm:test_resnet", weights=weights, pool="mean").embed(FRAMES)
    config = model.pretrained_cfg
    np.testing.assert_allclose(
        features, pictures(config["mean"], config["std"], (160, 160)).mean((2, 3)), atol=1e-4
    )


def test_timm_says_what_it_cannot_make(tmp_path: Path) -> None:
    weights = tmp_path / "weights.pt"
    make_timm("test_resnet", weights)
    with pytest.raises(EncoderError, match=r"(?s)no model named 'resnet5'.*Did you mean 'resnet5"):
        load_encoder("timm:resnet5")
    with pytest.raises(EncoderError, match="do not match the encoder"):
        load_encoder("timm:test_vit", weights=weights)
    with pytest.raises(UsageError, match="takes one RGB frame"):
        load_encoder("timm:test_resnet", weights=weights, spec=FrameSpec())
    assert load_encoder("timm:test_resnet", weights=weights, spec=FrameSpec(color="rgb")).embed(
        FRAMES
    ).shape == (3, 96)


@pytest.fixture
def vit(tmp_path: Path) -> Path:
    transformers = pytest.importorskip("transformers", exc_type=ImportError)
    config = transformers.ViTConfig(
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=32,
        image_size=64,
        patch_size=16,
    )
    transformers.ViTModel(config, add_pooling_layer=False).save_pretrained(tmp_path / "vit")
    (tmp_path / "vit" / "preprocessor_config.json").write_text(
        json.dumps(
            {"image_mean": [0.5, 0.4, 0.3], "image_std": [0.2, 0.3, 0.4], "size": {"height": 64, "width": 64}}
        )
    )
    return tmp_path / "vit"


def test_transformers_from_a_folder(vit: Path) -> None:
    transformers = pytest.importorskip("transformers", exc_type=ImportError)
    model = transformers.ViTModel.from_pretrained(vit, add_pooling_layer=False).eval()
    with torch.no_grad():
        tokens = model(pixel_values=pictures([0.5, 0.4, 0.3], [0.2, 0.3, 0.4], (64, 64))).last_hidden_state
    for pool, expected in [("mean", tokens.mean(1)), ("cls", tokens[:, 0]), ("flatten", tokens.flatten(1))]:
        encoder = load_encoder(f"hf:{vit}", pool=pool)  # type: ignore[arg-type]
        assert encoder.spec == FrameSpec(color="rgb", size=(64, 64))
        np.testing.assert_allclose(encoder.embed(FRAMES), expected.numpy(), atol=1e-4)
    # The layer that the checkpoint lacks is drawn, but drawn alike.
    assert encoder.weights_digest == load_encoder(f"hf:{vit}").weights_digest
    assert_conforms(f"hf:{vit}", pool="cls")
    encoder = load_encoder(f"hf:{vit}", output="hidden_states.0", pool="cls")
    with pytest.raises(EncoderError, match=r"(?s)no part 'hidden_states'.*one of last_hidden_state"):
        encoder.embed(FRAMES)
    with pytest.raises(EncoderError, match=r"(?s)no pooling is set.*\[3, 17, 16\]"):
        load_encoder(f"hf:{vit}").embed(FRAMES)


def test_a_model_output_as_it_comes() -> None:
    outputs = pytest.importorskip("transformers.modeling_outputs", exc_type=ImportError)

    class Returns(torch.nn.Module):
        spec = FrameSpec(color="rgb")

        def forward(self, x: torch.Tensor) -> Any:
            return outputs.BaseModelOutputWithPooling(
                last_hidden_state=x[:, 0, ::15], pooler_output=x[:, 0, 0]
            )

    with pytest.raises(
        EncoderError,
        match=r"(?s)BaseModelOutputWithPooling of 2: last_hidden_state float32 \[3, 14, 160\], pooler_output",
    ):
        load_encoder(Returns()).embed(FRAMES)
    assert load_encoder(Returns(), output="pooler_output").embed(FRAMES).shape == (3, 160)
    assert load_encoder(Returns(), output="last_hidden_state", pool="mean").embed(FRAMES).shape == (3, 160)
    assert_conforms(Returns(), output="pooler_output")


def test_a_saved_model_runs_in_the_sandbox(vit: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(vit.parent)
    request = Request(pool="cls")
    with open_encoder("hf:vit", request, isolate=True, limits=Limits(), cache_dir=None) as (encoder, guards):
        assert (encoder.name, guards.own_process) == ("hf:vit", True)
        expected = load_encoder("hf:vit", pool="cls").embed(FRAMES)
        np.testing.assert_allclose(encoder.embed(FRAMES), expected, atol=1e-4)


@pytest.mark.parametrize("size", [64, {"shortest_edge": 64}])
def test_transformers_sizes(vit: Path, size: Any) -> None:
    (vit / "preprocessor_config.json").write_text(
        json.dumps({"image_mean": [0.5] * 3, "image_std": [0.5] * 3, "size": size})
    )
    assert load_encoder(f"hf:{vit}", pool="mean").spec.size == (64, 64)


def test_transformers_that_do_not_say_how_pictures_are_made(vit: Path) -> None:
    (vit / "preprocessor_config.json").write_text("{}")
    with pytest.raises(EncoderError, match="preprocessing of"):
        load_encoder(f"hf:{vit}")
    (vit / "config.json").unlink()
    with pytest.raises(EncoderError, match="transformers cannot load"):
        load_encoder(f"hf:{vit}")
