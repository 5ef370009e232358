import hashlib
import sys
import warnings
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from atariari_data.errors import MissingExtraError, UsageError
from harness.adapters import load_encoder
from harness.conformance import assert_conforms
from harness.encoders.encoder import EncoderError, FrameSpec, sample_frames

FRAMES = sample_frames(FrameSpec(), 5)


class Small(nn.Module):
    def __init__(self, channels: int = 1) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layer = nn.Conv2d(channels, 6, 16, stride=16)
        self.drop = nn.Dropout(0.5)

    def forward(self, frames: torch.Tensor) -> torch.Tensor:
        features: torch.Tensor = self.drop(self.layer(frames)).mean((2, 3))
        return features


def save_script(path: Path, module: nn.Module) -> Path:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.jit.save(torch.jit.script(module), path)
    return path


def save_exported(path: Path, module: nn.Module, rows: int, *, fixed: bool) -> Path:
    example = torch.zeros(rows, 1, 210, 160)
    shapes = None if fixed else ({0: torch.export.Dim("n")},)
    torch.export.save(torch.export.export(module.eval(), (example,), dynamic_shapes=shapes), path)
    return path


def expected() -> Any:
    return load_encoder(Small()).embed(FRAMES)


@pytest.mark.parametrize("name", ["encoder.ts", "encoder.pt", "encoder.pth"])
def test_torchscript(tmp_path: Path, name: str) -> None:
    path = save_script(tmp_path / name, Small())  # in training mode, as such files often are
    encoder = load_encoder(path)
    np.testing.assert_allclose(encoder.embed(FRAMES), expected(), atol=1e-6)
    assert encoder.weights_digest == load_encoder(Small()).weights_digest
    assert encoder.source_digest == hashlib.sha256(path.read_bytes()).hexdigest()
    assert encoder.parameters == 6 * 257
    assert encoder.name == "encoder"
    assert_conforms(path)


def test_frozen_torchscript(tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        frozen = torch.jit.freeze(torch.jit.script(Small().eval()))
        torch.jit.save(frozen, tmp_path / "frozen.pt")
    np.testing.assert_allclose(load_encoder(tmp_path / "frozen.pt").embed(FRAMES), expected(), atol=1e-6)


def test_other_frames_than_a_script_wants(tmp_path: Path) -> None:
    path = save_script(tmp_path / "rgb.pt", Small(channels=3))
    with pytest.raises(EncoderError, match=r"(?s)takes float32 0..1 \[n, 1, 210, 160\].*RuntimeError"):
        load_encoder(path).embed(FRAMES)
    spec = FrameSpec(color="rgb")
    assert load_encoder(path, spec=spec).embed(sample_frames(spec, 2)).shape == (2, 6)


def test_exported_with_any_batch_size(tmp_path: Path) -> None:
    path = save_exported(tmp_path / "encoder.pt2", Small(), 2, fixed=False)
    encoder = load_encoder(path)
    np.testing.assert_allclose(encoder.embed(FRAMES), expected(), atol=1e-6)
    assert encoder.weights_digest == load_encoder(Small()).weights_digest
    assert_conforms(path)


@pytest.mark.parametrize("rows", [1, 3, 8])
def test_exported_for_one_batch_size(tmp_path: Path, rows: int) -> None:
    path = save_exported(tmp_path / "encoder.pt2", Small(), rows, fixed=True)
    np.testing.assert_allclose(load_encoder(path).embed(FRAMES), expected(), atol=1e-6)
    assert_conforms(path)


class Runs:
    """Leaves a file behind when it is unpickled."""

    def __reduce__(self) -> Any:
        return (Path.touch, (Path("ran_from_pickle"),))


@pytest.mark.parametrize("member", ["sample_inputs", "weights"])
def test_pickled_code_in_an_exported_program_is_not_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, member: str
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("TORCH_FORCE_WEIGHTS_ONLY_LOAD", raising=False)
    good = save_exported(tmp_path / "good.pt2", Small(), 2, fixed=False)
    torch.save(Runs(), tmp_path / "payload")
    with zipfile.ZipFile(good) as old, zipfile.ZipFile(tmp_path / "bad.pt2", "w") as new:
        for name in old.namelist():
            content = old.read(name)
            if member == "sample_inputs" and name.endswith("sample_inputs/model.pt"):
                content = (tmp_path / "payload").read_bytes()
            if member == "weights" and name.endswith("weights/weight_0"):
                content = (tmp_path / "payload").read_bytes()
            if member == "weights" and name.endswith("weights_config.json"):
                content = content.replace(b'"use_pickle": false', b'"use_pickle": true').replace(
                    b'"use_pickle":false', b'"use_pickle":true'
                )
            new.writestr(name, content)
    with pytest.raises(EncoderError, match="without running pickled code"):
        load_encoder(tmp_path / "bad.pt2")
    assert not (tmp_path / "ran_from_pickle").exists()
    assert load_encoder(good).embed(FRAMES).shape == (5, 6)


def test_weights_alone_are_no_encoder(tmp_path: Path) -> None:
    torch.save(Small().state_dict(), tmp_path / "weights.pt")
    with pytest.raises(EncoderError, match=r"(?s)contains weights, but no encoder.*--weights weights.pt"):
        load_encoder(tmp_path / "weights.pt")
    (tmp_path / "noise.pt").write_bytes(b"noise")
    with pytest.raises(EncoderError, match=r"noise.pt contains no encoder"):
        load_encoder(tmp_path / "noise.pt")
    script = save_script(tmp_path / "script.pt", Small())
    with pytest.raises(EncoderError, match="contains its weights"):
        load_encoder(script, weights=tmp_path / "weights.pt")
    script.write_bytes(script.read_bytes()[:-100])
    with pytest.raises(EncoderError, match=r"script.pt contains no encoder"):
        load_encoder(script)


def save_onnx(path: Path, rows: int | str, kind: str = "FLOAT", channels: int = 1, outputs: int = 1) -> Path:
    """``y = mean over rows of pixels``, [n, 160], so that the answer is plain."""
    onnx = pytest.importorskip("onnx")
    helper = onnx.helper
    pytest.importorskip("onnxruntime")
    dtype = getattr(onnx.TensorProto, kind)
    axes = helper.make_tensor("axes", onnx.TensorProto.INT64, [2], [1, 2])
    nodes = [
        helper.make_node("Cast", ["x"], ["f"], to=onnx.TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["f", "axes"], ["y"], keepdims=0),
        helper.make_node("Neg", ["y"], ["z"]),
    ]
    names = ["y", "z"][:outputs]
    graph = helper.make_graph(
        nodes,
        "encoder",
        [helper.make_tensor_value_info("x", dtype, [rows, channels, 210, 160])],
        [helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [rows, 160]) for name in names],
        [axes],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    onnx.save(model, path)
    return path


@pytest.mark.parametrize("rows", ["n", 1, 4])
def test_onnx(tmp_path: Path, rows: int | str) -> None:
    path = save_onnx(tmp_path / "encoder.onnx", rows)
    encoder = load_encoder(path)
    np.testing.assert_allclose(encoder.embed(FRAMES), FRAMES.mean((1, 2)) / 255, rtol=1e-5)
    assert encoder.source_digest == hashlib.sha256(path.read_bytes()).hexdigest()
    assert encoder.name == "encoder"
    assert (encoder.device, encoder.weights_digest) == ("cpu", None)
    assert_conforms(path)


@pytest.mark.parametrize("rows", ["n", 4])
def test_onnx_with_two_outputs_needs_to_be_told_which(tmp_path: Path, rows: int | str) -> None:
    path = save_onnx(tmp_path / "two.onnx", rows, outputs=2)
    with pytest.raises(EncoderError, match=r"(?s)none is chosen.*y float32 \[\d, 160\], z float32"):
        load_encoder(path).embed(FRAMES)
    encoder = load_encoder(path, output="z")
    np.testing.assert_allclose(encoder.embed(FRAMES), -FRAMES.mean((1, 2)) / 255, rtol=1e-5)
    assert encoder.output == "z"


def test_onnx_of_other_types(tmp_path: Path) -> None:
    bytes_ = load_encoder(save_onnx(tmp_path / "bytes.onnx", "n", "UINT8"))
    assert bytes_.spec == FrameSpec(scale="byte")
    np.testing.assert_allclose(bytes_.embed(FRAMES), FRAMES.mean((1, 2)), rtol=1e-5)
    half = load_encoder(save_onnx(tmp_path / "half.onnx", "n", "FLOAT16"))
    np.testing.assert_allclose(half.embed(FRAMES), FRAMES.mean((1, 2)) / 255, rtol=1e-2)


def test_onnx_that_does_not_fit(tmp_path: Path) -> None:
    rgb = save_onnx(tmp_path / "rgb.onnx", "n", channels=3)
    with pytest.raises(
        EncoderError, match=r"(?s)takes different frames.*got: \(float\) \[n, 3, 210, 160\].*color=rgb"
    ):
        load_encoder(rgb)
    spec = FrameSpec("rgb")
    assert load_encoder(rgb, spec=spec).embed(sample_frames(spec, 3)).shape == (3, 160)
    with pytest.raises(EncoderError, match="takes different frames"):
        load_encoder(rgb, spec=FrameSpec("rgb", scale="byte"))
    with pytest.raises(EncoderError, match="takes different frames"):
        load_encoder(save_onnx(tmp_path / "int.onnx", "n", "INT32"))
    with pytest.raises(UsageError, match="cannot use the device 'cuda'"):
        load_encoder(rgb, device="cuda", spec=spec)
    rgb.write_bytes(b"noise")
    with pytest.raises(EncoderError, match="is not a readable ONNX model"):
        load_encoder(rgb)


def test_without_onnxruntime_the_error_names_the_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    (tmp_path / "encoder.onnx").write_bytes(b"")
    with pytest.raises(MissingExtraError, match=r"pip install 'atariari\[onnx\]'"):
        load_encoder(tmp_path / "encoder.onnx")
