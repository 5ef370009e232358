import hashlib
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from sklearn.decomposition import PCA
from torch import nn

from atariari_data.errors import UsageError
from harness.adapters import LIBRARIES, load_encoder
from harness.encoders.encoder import Encoder, EncoderError, FrameSpec, sample_frames
from harness.encoders.torch_modules import caller, prefer_channels_last

Write = Callable[..., Path]
EXAMPLE = Path(__file__).parent.parent / "examples" / "my_encoder.py"
FRAMES = sample_frames(FrameSpec(), 5)

# The way that encoders for the original are written: no defaults, and a view that wants plain strides.
ORIGINAL = """
import torch.nn as nn

class MyEncoder(nn.Module):
    def __init__(self, input_channels, feature_size):
        super().__init__()
        self.feature_size = feature_size
        self.cnn = nn.Sequential(
            nn.Conv2d(input_channels, 32, 8, stride=4), nn.ReLU(),
            nn.Conv2d(32, 64, 4, stride=2), nn.ReLU(),
            nn.Conv2d(64, 128, 4, stride=2), nn.ReLU(),
            nn.Conv2d(128, 64, 3, stride=1), nn.ReLU())
        self.fc = nn.Linear(64 * 9 * 6, feature_size)

    def forward(self, inputs):
        x = self.cnn(inputs)
        x = x.view(x.size(0), -1)
        return self.fc(x)
"""
SMALL = """
import torch
from torch import nn
class Small(nn.Module):
    def __init__(self, channels=1, d=3):
        super().__init__()
        self.layer = nn.Conv2d(channels, d, 64, stride=64)
    def forward(self, x):
        return self.layer(x).mean((2, 3))
"""


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def write(text: str, name: str = "my_encoder.py") -> Path:
        (tmp_path / name).write_text(text)
        return tmp_path / name

    return write


def same(one: Any, other: Any) -> None:
    """Compare features of one encoder; MKL's sums depend on where in memory frames lie, by up to 1e-6."""
    np.testing.assert_allclose(one, other, rtol=0, atol=1e-5)


def test_the_example() -> None:
    encoder = load_encoder(EXAMPLE)
    features = encoder.embed(FRAMES)
    assert features.shape == (5, 256)
    assert encoder.name == "my_encoder"
    assert encoder.spec == FrameSpec()
    assert encoder.source_digest == hashlib.sha256(EXAMPLE.read_bytes()).hexdigest()
    assert encoder.parameters == sum(
        [32 * 64 + 32, 64 * 32 * 16 + 64, 128 * 64 * 16 + 128, 64 * 128 * 9 + 64, 64 * 54 * 256 + 256]
    )
    same(load_encoder(str(EXAMPLE)).embed(FRAMES), features)


def test_a_class_of_the_original_works_unchanged(write: Write) -> None:
    path = write(ORIGINAL)
    encoder = load_encoder(path)
    module = load_encoder_class(path)(1, 256)
    with torch.no_grad():
        expected = module(torch.from_numpy(FRAMES).float() / 255)
    assert load_encoder(module).embed(FRAMES).shape == (5, 256)
    np.testing.assert_allclose(load_encoder(module).embed(FRAMES), expected.numpy(), atol=1e-5)
    assert encoder.embed(FRAMES).shape == (5, 256)
    assert encoder.weights_digest == load_encoder(path).weights_digest


@pytest.mark.parametrize("text", [ORIGINAL, EXAMPLE.read_text()])
def test_convolutions_of_a_file_run_channels_last_where_they_can(write: Write, text: str) -> None:
    module = load_encoder_class(write(text))(1, 256)
    sample = torch.rand(2, 1, 210, 160)
    before = module(sample)
    prefer_channels_last(module, caller(module, torch.device("cpu"), autocast=None), sample)
    weight = next(p for p in module.parameters() if p.ndim == 4 and p.shape[1] > 1)
    takes_a_view = ".view(" in text
    assert weight.is_contiguous() == takes_a_view
    assert weight.is_contiguous(memory_format=torch.channels_last) != takes_a_view
    torch.testing.assert_close(module(sample), before, rtol=1e-4, atol=1e-5)


def test_objects_keep_their_layout(write: Write) -> None:
    module = load_encoder_class(write(EXAMPLE.read_text()))()
    load_encoder(module)
    assert all(p.is_contiguous() for p in module.parameters())


def load_encoder_class(path: Path) -> Any:
    space: dict[str, Any] = {}
    exec(compile(path.read_text(), path, "exec"), space)  # noqa: S102 - the text above
    return space["MyEncoder"]


PROTOCOL = """
from harness.encoders.encoder import Encoder, FrameSpec
class E(Encoder):
    spec = FrameSpec(scale="byte")
    def encode(self, frames):
        return frames.mean((2, 3))
"""
SPEC_BESIDE = """
import harness.encoders.encoder
spec = harness.encoders.encoder.FrameSpec(layout="NHWC")
def encoder(frames):
    return frames.mean((1, 2))
"""
DATACLASS = """
from dataclasses import dataclass
@dataclass
class E:
    d: int = 2
    def encode(self, frames):
        return frames[:, 0, 0, : self.d]
"""
LAZY = """
import torch
encoder = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.LazyLinear(6))
"""
ENCODE = "def encode(self, x): pass"
NUMPY_ENCODE = "def encode(self, frames): return frames[:, 0, ::42, ::40].reshape(len(frames), -1)"


@pytest.mark.parametrize(
    ("text", "shape"),
    [
        (SMALL, (5, 3)),
        (SMALL + "encoder = Small(d=4)", (5, 4)),
        (SMALL + "encoder = Small", (5, 3)),
        (SMALL + "def load_encoder(): return Small(d=5)", (5, 5)),
        (SMALL + "class Other(nn.Module): pass\nencoder = Small()", (5, 3)),
        (ORIGINAL, (5, 256)),
        (f"class E:\n    {NUMPY_ENCODE}", (5, 20)),
        (f"class E:\n    {NUMPY_ENCODE}\nencoder = E()", (5, 20)),
        ("def encoder(frames): return frames.mean((2, 3))", (5, 1)),
        ("def load_encoder(): return lambda frames: frames.mean((2, 3))", (5, 1)),
        (PROTOCOL, (5, 1)),
        (SPEC_BESIDE, (5, 1)),
        ("def encode(frames): return frames.mean((2, 3))", (5, 1)),
        (SPEC_BESIDE.replace("def encoder", "def encode"), (5, 1)),
        (DATACLASS, (5, 2)),
        (LAZY, (5, 6)),
    ],
)  # fmt: skip
def test_files_that_hold_an_encoder(write: Write, text: str, shape: tuple[int, ...]) -> None:
    encoder = load_encoder(write(text))
    assert encoder.embed(FRAMES).shape == shape
    again = load_encoder(write(text))
    assert again.weights_digest == encoder.weights_digest
    same(again.embed(FRAMES), encoder.embed(FRAMES))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"my_encoder.py defines no encoder.*`encoder`.*`load_encoder.*class.*got: an empty file"),
        ("x = 1\ndef helper(): pass", r"my_encoder.py defines no encoder.*got: x, helper"),
        ("class A:\n    pass", r"my_encoder.py defines no encoder.*got: A"),
        (SMALL + "class Large(Small): pass", r"2 possible encoders.*: Small, Large.*encoder = Large"),
        (SMALL + "def encode(x): pass", "2 possible encoders.*: Small, encode.*= Small.*= encode`"),
        (SMALL + "encoder = Small()\ndef load_encoder(): pass", "both `encoder` and `load_encoder`"),
        ("x = 1\nx = = 2", r"Importing my_encoder.py failed at line 2: `x = = 2`.*SyntaxError: invalid"),
        ("x = 1\n\ny = x / 0", r"failed at line 3: `y = x / 0`.*ZeroDivisionError: division by zero"),
        ("def f():\n    import nowhere\nf()", r"line 2: `import nowhere`.*ModuleNotFoundError"),
        ("import json\njson.loads('{')", r"line 2: `json.loads\('{'\)`.*JSONDecodeError"),
        ("import sys\nsys.exit(0)", r"line 2: `sys.exit\(0\)`.*SystemExit"),
        ("def load_encoder(): raise OSError", r"Calling load_encoder\(\) of my_encoder.py failed at line 1"),
        ("def load_encoder(): return 3", "Not an encoder.*got: int"),
        ("def load_encoder(): pass", "Not an encoder.*got: NoneType"),
        ("load_encoder = 3", "`load_encoder` in my_encoder.py is not a function"),
        ("encoder = None", "Not an encoder"),
        (f"class E:\n  def __init__(self, depth, feature_size): pass\n  {ENCODE}", "arguments.*got: depth"),
        (f"class E:\n  def __init__(self): [][0]\n  {ENCODE}", r"Instantiating E of .* line 2.*IndexError"),
        (f"class E:\n  spec = 3\n  {ENCODE}\nencoder = E()", "`spec` must be a FrameSpec.*got: 3"),
        (f"class E:\n  spec = dict(colour='rgb')\n  {ENCODE}\nencoder = E()", "field of a frame spec.*color"),
        (f"class E:\n  pool = 'max'\n  {ENCODE}", "`pool` is unknown.*got: max"),
        (f"class E:\n  def __getattr__(self, name): raise ValueError(name)\n  {ENCODE}", "ValueError"),
    ],
)  # fmt: skip
def test_files_without_a_usable_encoder_say_what_is_wrong(write: Write, text: str, message: str) -> None:
    with pytest.raises(EncoderError, match="(?s)" + message):
        load_encoder(write(text))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "def encoder(x):\n    return x @ x",
            r"failed at line 2: `return x @ x`.*takes float32 0..1 \[n, 1, 210, 160\], gray.*got: ValueError",
        ),
        (
            SMALL + "encoder = Small(channels=3)",
            r"line 9: `return self.layer\(x\).*takes.*RuntimeError.*FrameSpec\(color='rgb'",
        ),
        ("import sys\ndef encoder(x): sys.exit()", "Running my_encoder.py failed at line 2.*SystemExit"),
    ],
)  # fmt: skip
def test_an_encoder_that_fails_names_its_line_and_what_it_was_given(
    write: Write, text: str, message: str
) -> None:
    with pytest.raises(EncoderError, match="(?s)" + message):
        load_encoder(write(text)).embed(FRAMES)


def test_what_is_not_there_or_no_encoder_file(tmp_path: Path) -> None:
    (tmp_path / "weights.pkl").write_bytes(b"")
    (tmp_path / "notes.txt").write_text("")
    for source, message in [
        (tmp_path / "nowhere.py", "No such encoder file"),
        (tmp_path, "is not a run.*got: notes.txt"),
        (tmp_path / "weights.pkl", "a pickle: reading it would run code"),
        (tmp_path / "notes.txt", "notes.txt is not a supported encoder file"),
    ]:
        with pytest.raises(EncoderError, match="(?s)" + message):
            load_encoder(source)


@pytest.mark.parametrize(
    ("source", "cure"),
    [
        ("majorit", "Did you mean 'majority'? harness init my_encoder.py writes"),
        ("arm", "Did you mean 'ram'? harness init my_encoder.py writes"),
        ("nowhere/net.py", "harness init nowhere/net.py writes"),
        ("resnet18", "harness init my_encoder.py writes"),
        ("timm:", "harness init my_encoder.py writes"),
    ],
)
def test_an_encoder_that_is_not_there_says_what_may_be_meant(source: str, cure: str) -> None:
    with pytest.raises(UsageError, match="No such encoder") as error:
        load_encoder(source)
    assert error.value.cure == f"{cure} an encoder to start from."
    for known in ("Python file", ".onnx", "timm:MODEL", "hf:MODEL", "pixels-pca-16"):
        assert known in str(error.value.expected)


def test_a_module_without_a_file_is_no_neighbour(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # where `_ghost.py` would be, if it were a file
    file = tmp_path / "my_encoder.py"
    file.write_text(
        "import sys, types\n"
        "sys.modules['ghost'] = types.ModuleType('ghost')\n"
        "sys.modules['ghost'].__file__ = '_ghost.py'\n"
        "def encoder(x): return x.mean((2, 3))"
    )
    try:
        assert load_encoder(Path("my_encoder.py")).source_kind == "file"
    finally:
        sys.modules.pop("ghost", None)


def test_two_encoders_with_neighbours_of_the_same_name_do_not_mix(tmp_path: Path) -> None:
    digests = []
    for folder, value in [("a", 1), ("b", 2)]:
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "layers.py").write_text(f"VALUE = {value}")
        file = tmp_path / folder / "my_encoder.py"
        file.write_text("from layers import VALUE\ndef encoder(x): return x.mean((2, 3)) * 0 + VALUE")
        path = list(sys.path)
        encoder = load_encoder(file)
        assert sys.path == path
        assert "layers" not in sys.modules
        assert encoder.embed(FRAMES).tolist() == [[value]] * 5
        assert encoder.source_kind == "files"
        digests.append(encoder.source_digest)
    lines = [
        f"{hashlib.sha256((tmp_path / 'b' / n).read_bytes()).hexdigest()}  {n}\n"
        for n in ("layers.py", "my_encoder.py")
    ]
    assert digests[1] == hashlib.sha256("".join(lines).encode()).hexdigest() != digests[0]


LATE = {
    "load_encoder": "def load_encoder():\n    from layers import Layer\n    return Layer()",
    "constructor": """
class E:
    def __init__(self):
        from layers import Layer
        self.layer = Layer()
    def encode(self, x): return self.layer(x)
""",
    "call": "def encode(x):\n    from layers import Layer\n    return Layer()(x)",
    "import_module": "import importlib\ndef encode(x): return importlib.import_module('layers').Layer()(x)",
    "unpickling": """
import pickle, sys
from pathlib import Path
sys.path.pop(0)
def encode(x):
    sys.path.insert(0, str(Path(__file__).parent))
    return pickle.loads(b"clayers\\nLayer\\n(tR.")(x)
""",
}


@pytest.mark.parametrize("late", LATE)
def test_neighbours_can_be_imported_late_and_do_not_mix(tmp_path: Path, late: str) -> None:
    encoders = []
    for folder, value in [("a", 1), ("b", 2)]:
        (tmp_path / folder).mkdir()
        layer = f"class Layer:\n    def __call__(self, x): return x.mean((2, 3)) * 0 + {value}"
        (tmp_path / folder / "layers.py").write_text(layer)
        (tmp_path / folder / "my_encoder.py").write_text(LATE[late])
        encoders.append(load_encoder(tmp_path / folder / "my_encoder.py"))
    assert [encoder.embed(FRAMES)[0, 0] for encoder in encoders * 2] == [1, 2, 1, 2]
    assert "layers" not in sys.modules
    if late != "unpickling":
        assert {encoder.source_kind for encoder in encoders} == {"files"}


def test_a_file_sees_no_arguments_of_the_harness(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["harness", "evaluate", "my_encoder.py", "--games", "pong"])
    path = write(
        "import argparse\nparser = argparse.ArgumentParser()\n"
        "parser.add_argument('--d', type=int, default=3)\n"
        "parser.parse_args()\n"
        "def encode(x): return x[:, 0, 0, : parser.parse_args().d]"
    )
    assert load_encoder(path).embed(FRAMES).shape == (5, 3)
    assert sys.argv[1:] == ["evaluate", "my_encoder.py", "--games", "pong"]


@pytest.mark.parametrize(
    "text", ["import sys\ndef encode(x): sys.exit()", "def encode(x): return encode(x)", "def encode(): pass"]
)
def test_a_cure_fits_its_failure(write: Write, text: str) -> None:
    with pytest.raises(EncoderError) as failure:
        load_encoder(write(text)).embed(FRAMES)
    assert failure.value.cure is None


@pytest.mark.parametrize("spec", ["dict(color='rgb', stack=2)", "'color=rgb,stack=2'"])
def test_a_spec_may_be_a_dict_or_text(write: Write, spec: str) -> None:
    wanted = FrameSpec(color="rgb", stack=2)
    assert load_encoder(write(f"class E:\n  spec = {spec}\n  {ENCODE}\nencoder = E()")).spec == wanted
    assert load_encoder(write(f"spec = {spec}\ndef {ENCODE.removeprefix('def ')}")).spec == wanted
    assert load_encoder(write(f"def {ENCODE.removeprefix('def ')}"), spec=eval(spec)).spec == wanted  # noqa: S307


def test_an_encoder_in_a_package(tmp_path: Path) -> None:
    inner = tmp_path / "nets" / "small"
    inner.mkdir(parents=True)
    for folder in (inner.parent, inner):
        (folder / "__init__.py").write_text("")
    (inner / "layers.py").write_text("from ..scale import SCALE")
    (inner.parent / "scale.py").write_text("SCALE = 3.0")
    path = inner / "encoder.py"
    path.write_text(
        "from .layers import SCALE\n"
        "def encode(frames):\n    from nets import scale\n    return frames[:, 0, 0] * SCALE * scale.SCALE\n"
    )
    encoder = load_encoder(path)
    np.testing.assert_allclose(encoder.embed(FRAMES), FRAMES[:, 0, 0].astype(np.float32) / 255 * 9, rtol=1e-6)
    digest = encoder.source_digest
    (inner.parent / "scale.py").write_text("SCALE = 4.0")
    assert load_encoder(path).source_digest != digest
    assert not {"nets", "nets.scale"} & set(sys.modules)


def test_a_neighbour_with_the_name_of_our_package_is_told(write: Write, tmp_path: Path) -> None:
    (tmp_path / "harness").mkdir()
    (tmp_path / "harness" / "__init__.py").write_text("class Mine: pass")
    with pytest.raises(EncoderError, match=r"(?s)line 1.*ImportError.*Rename 'harness' beside the file"):
        load_encoder(write("from harness import Mine"))


def test_an_argument_of_the_wrong_type_is_a_usage_error() -> None:
    with pytest.raises(UsageError, match="`spec` must be a FrameSpec"):
        load_encoder(EXAMPLE, spec=3)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="batch_size"):
        load_encoder(EXAMPLE, batch_size="8")  # type: ignore[arg-type]


def test_a_file_that_changed_within_a_second_is_read_again(write: Write) -> None:
    for value in range(3):
        encoder = load_encoder(write(f"def encoder(x): return x.mean((2, 3)) * 0 + {value}"))
        assert encoder.embed(FRAMES)[0, 0] == value
    assert not (Path(write("")).parent / "__pycache__").exists()


def test_what_a_file_prints_stays_out_of_standard_output(
    write: Write, capsys: pytest.CaptureFixture[str]
) -> None:
    text = "print('at import')\ndef load_encoder():\n    print('while loading')\n    return Prints()\n"
    text += "class Prints:\n    def __init__(self): print('while made')\n"
    text += "    def encode(self, x):\n        print('while run')\n        return x.mean((2, 3))\n"
    load_encoder(write(text)).embed(FRAMES)
    out, err = capsys.readouterr()
    assert out == ""
    assert err.splitlines() == ["at import", "while loading", "while made", "while run"]


def test_loading_leaves_random_generators_alone(write: Write) -> None:
    torch.manual_seed(3)
    before = torch.random.get_rng_state(), str(np.random.get_state())  # noqa: NPY002 - the global one
    load_encoder(write("import torch, numpy as np\ntorch.rand(3); np.random.rand(3)\n" + SMALL))
    assert torch.equal(before[0], torch.random.get_rng_state())
    assert before[1] == str(np.random.get_state())  # noqa: NPY002 - the global one


def test_objects_in_the_process() -> None:
    linear = nn.Linear(33600, 4)
    module = nn.Sequential(nn.Flatten(), linear, nn.Dropout(0.5))
    linear.eval()
    encoder = load_encoder(module, name="mine")
    features = encoder.embed(FRAMES)
    same(features, encoder.embed(FRAMES))
    assert [part.training for part in module.modules()] == [True, True, False, True]
    assert encoder.name == "mine"
    assert encoder.source_kind == "source"
    linear.weight.data[0, 0] += 1
    assert load_encoder(module).weights_digest != encoder.weights_digest
    assert load_encoder(nn.Sequential(module)).source_digest != encoder.source_digest
    assert load_encoder(encoder) is encoder


def test_a_module_with_encode_is_called_there_and_gets_tensors() -> None:
    class Autoencoder(nn.Module):
        spec = FrameSpec(scale="byte", layout="NHWC")

        def encode(self, frames: Any) -> Any:
            assert isinstance(frames, torch.Tensor)
            assert frames.dtype == torch.uint8
            return frames.float().mean((1, 2))

        def forward(self, frames: Any) -> Any:
            raise NotImplementedError

    assert isinstance(Autoencoder(), Encoder)
    expected = FRAMES.astype(float).mean((2, 3))
    np.testing.assert_allclose(load_encoder(Autoencoder()).embed(FRAMES), expected, rtol=1e-5)


def test_a_double_precision_module_gets_doubles() -> None:
    module = nn.Sequential(nn.Flatten(), nn.Linear(33600, 2)).double()
    assert load_encoder(module).embed(FRAMES).shape == (5, 2)
    assert load_encoder(module).precision == "float64"


def test_a_layer_named_pool_is_no_pooling() -> None:
    class Pooled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.pool = nn.AdaptiveAvgPool2d(2)

        def forward(self, x: torch.Tensor) -> Any:
            return self.pool(x).flatten(1)

    assert load_encoder(Pooled()).embed(FRAMES).shape == (5, 4)


def test_a_fitted_transformer_sees_flat_frames() -> None:
    flat = FrameSpec().prepare(FRAMES).reshape(5, -1)
    pca = PCA(2, random_state=0).fit(flat)
    encoder = load_encoder(pca)
    np.testing.assert_allclose(encoder.embed(FRAMES), pca.transform(flat), atol=1e-4)
    assert encoder.weights_digest != load_encoder(PCA(3, random_state=0).fit(flat)).weights_digest
    with pytest.raises(EncoderError, match="PCA is not fitted"):
        load_encoder(PCA(2))


def test_weights_of_a_file_s_function_are_what_it_refers_to(tmp_path: Path) -> None:
    found = []
    for number in (1, 2):
        path = tmp_path / f"encoder_{number}.py"
        path.write_text(
            f"import numpy as np\nW = np.full((33600, 2), {number}, np.float32)\n"
            "def encode(frames):\n    return frames.reshape(len(frames), -1) @ W\n",
            encoding="utf-8",
        )
        found.append(load_encoder(path).weights_digest)
    assert None not in found
    assert found[0] != found[1]


def test_weights_of_a_function_are_what_it_refers_to() -> None:
    table, other = np.ones((33600, 2), np.float32), np.zeros((33600, 2), np.float32)

    def with_table(table: Any) -> Any:
        return lambda frames: frames.reshape(len(frames), -1) @ table

    one, two = load_encoder(with_table(table)), load_encoder(with_table(other))
    assert one.source_digest == two.source_digest
    assert one.weights_digest is not None
    assert one.weights_digest != two.weights_digest


@pytest.fixture
def state() -> dict[str, torch.Tensor]:
    return {"layer.weight": torch.randn(3, 1, 64, 64), "layer.bias": torch.randn(3)}


def test_weights_are_the_same_from_every_kind_of_file(
    write: Write, tmp_path: Path, state: dict[str, torch.Tensor]
) -> None:
    files: dict[str, Callable[[Path], object]] = {
        "a.safetensors": lambda p: save_file(state, p),
        "b.pt": lambda p: torch.save(state, p),
        "c.pth": lambda p: torch.save({"state_dict": state, "epoch": 3}, p),
        "d.pt": lambda p: torch.save({f"module.{k}": v for k, v in state.items()}, p),
        "f.pt": lambda p: torch.save({f"module._orig_mod.{k}": v for k, v in state.items()}, p),
        "g.pt": lambda p: torch.save({f"_orig_mod.module.{k}": v for k, v in state.items()}, p),
        "h.pt": lambda p: torch.save({"model": state, "best": np.float64(1.5), "seen": np.arange(3)}, p),
        "e.ckpt": lambda p: torch.save({"model": {f"_orig_mod.{k}": v for k, v in state.items()}}, p),
        "i.pt": lambda p: torch.save(
            {**{f"module.encoder.{k}": v for k, v in state.items()}, "module.head.weight": torch.ones(2)}, p
        ),
        "j.pt": lambda p: torch.save(
            {f"model._orig_mod.net.module.{k}": v for k, v in state.items()} | {"loss.weight": torch.ones(2)},
            p,
        ),
    }
    path = write(SMALL)
    digests, features, parts = set(), [], []
    for name, save in files.items():
        save(tmp_path / name)
        encoder = load_encoder(path, weights=tmp_path / name)
        digests.add(encoder.weights_digest)
        features.append(encoder.embed(FRAMES))
        parts.append(encoder.weights_part)
    assert len(digests) == 1
    assert digests != {load_encoder(path).weights_digest}
    assert all((f == features[0]).all() for f in features)
    assert parts == [None] * (len(files) - 2) + ["encoder.", "model.net."]
    assert "weights of 'model.net'" in encoder.description


def test_weights_go_into_a_module_that_is_compiled_or_a_shell(
    write: Write, tmp_path: Path, state: dict[str, torch.Tensor]
) -> None:
    torch.save(state, tmp_path / "w.pt")
    torch.save({f"net.{name}": tensor for name, tensor in state.items()}, tmp_path / "part.pt")
    shell = (
        SMALL
        + """
class Shell(nn.Module):
    def __init__(self):
        super().__init__()
        self._orig_mod = nn.Module()
        self._orig_mod.model = Small()
    def forward(self, x):
        return self._orig_mod.model(x)
encoder = Shell()
"""
    )
    small = load_encoder(write(SMALL), weights=tmp_path / "w.pt")
    assert small.weights_part is None
    inside = load_encoder(write(shell), weights=tmp_path / "w.pt")
    same(inside.embed(FRAMES), small.embed(FRAMES))
    assert inside.weights_part is None
    with pytest.raises(EncoderError, match=r"2 missing .*2 unexpected \(net.layer.weight"):
        load_encoder(write(shell), weights=tmp_path / "part.pt")


def test_numpy_in_a_checkpoint_is_read_and_anything_else_is_named(
    write: Write, tmp_path: Path, state: dict[str, torch.Tensor]
) -> None:
    scalars = [np.float32(1), np.float64(2), np.int64(3), np.bool_(1), np.str_("a"), np.complex128(1)]
    beside = {"scalars": scalars, "random": np.random.RandomState(0).get_state()}
    torch.save({"state_dict": state, **beside}, tmp_path / "w.pt")
    assert load_encoder(write(SMALL), weights=tmp_path / "w.pt").embed(FRAMES).shape == (5, 3)
    torch.save({"state_dict": state, "config": SimpleNamespace(lr=1)}, tmp_path / "w.pt")
    with pytest.raises(EncoderError, match=r"got: types.SimpleNamespace\n") as error:
        load_encoder(write(SMALL), weights=tmp_path / "w.pt")
    assert "\x1b" not in str(error.value)


def test_two_parts_of_a_model_that_match_are_told(
    write: Write, tmp_path: Path, state: dict[str, torch.Tensor]
) -> None:
    two = {f"{part}.{k}": v for part in ("online", "target") for k, v in state.items()}
    torch.save(two, tmp_path / "two.pt")
    with pytest.raises(EncoderError, match=r"2 parts of the model in two.pt match(.|\n)*online., target"):
        load_encoder(write(SMALL), weights=tmp_path / "two.pt")


@pytest.fixture
def _in_tmp_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


class Runs:
    def __reduce__(self) -> Any:
        return (Path.touch, (Path("ran_from_pickle"),))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s.pop("layer.bias"), r"do not match the encoder.*1 missing \(layer.bias\)"),
        (lambda s: s.update(extra=torch.ones(1)), r"0 missing \(none\), 1 unexpected \(extra\)"),
        (
            lambda s: s.update({"layer.bias": torch.ones(4)}),
            r"different shapes.*size mismatch for layer.bias",
        ),
        (
            lambda s: s.update({"layer.bias": 3}),
            r"does not contain a state dict.*got: layer.weight, layer.bias",
        ),
        (lambda s: s.clear(), "does not contain a state dict"),
        (
            lambda s: s.update({"code": Runs()}),
            r"would run code.*got: (getattr|[\w.]*Path[\w.]*)\n",  # by the version of Python
        ),
    ],
)
@pytest.mark.usefixtures("_in_tmp_path")
def test_weights_that_do_not_fit_are_refused(
    write: Write,
    tmp_path: Path,
    state: dict[str, torch.Tensor],
    change: Callable[[dict[str, Any]], object],
    message: str,
) -> None:
    change(state)
    torch.save(state, tmp_path / "weights.pt")
    with pytest.raises(EncoderError, match="(?s)" + message):
        load_encoder(write(SMALL), weights=tmp_path / "weights.pt")
    assert not (tmp_path / "ran_from_pickle").exists()


@pytest.mark.parametrize("name", ["weights.pt", "weights.safetensors"])
def test_a_weights_file_that_is_none_is_refused(write: Write, tmp_path: Path, name: str) -> None:
    path = write(SMALL)
    with pytest.raises(EncoderError, match="No such weights file"):
        load_encoder(path, weights=tmp_path / name)
    (tmp_path / name).write_bytes(b"\x00" * 40)
    with pytest.raises(EncoderError, match=r"cannot be read as weights|would run code"):
        load_encoder(path, weights=tmp_path / name)
    with pytest.raises(EncoderError, match="not a supported weights file"):
        load_encoder(path, weights=path)
    with pytest.raises(EncoderError, match="Only torch modules take a weights file"):
        load_encoder(lambda x: x, weights=tmp_path / name)


def test_a_tied_weight_may_be_missing(tmp_path: Path) -> None:
    class Tied(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first = nn.Linear(160, 160)
            self.second = nn.Linear(160, 160)
            self.second.weight = self.first.weight

        def forward(self, x: torch.Tensor) -> Any:
            return self.second(self.first(x.mean((1, 2))))

    state = Tied().state_dict()
    del state["second.weight"]
    save_file(state, tmp_path / "w.safetensors")
    assert load_encoder(Tied(), weights=tmp_path / "w.safetensors").embed(FRAMES).shape == (5, 160)


def test_devices(write: Write) -> None:
    path = write(SMALL)
    assert load_encoder(path, device="cpu").device == "cpu"
    for device in ["cuda:17", "gpu", "meta"]:
        with pytest.raises(UsageError, match=r"device|meta"):
            load_encoder(path, device=device)
    with pytest.raises(EncoderError, match="Only torch modules can be moved to a device"):
        load_encoder(lambda x: x, device="cuda")


def test_autocast_leaves_what_is_in_half_precision_as_it_is() -> None:
    module = nn.Sequential(nn.Flatten(), nn.Linear(33600, 4)).to(torch.float16)
    plain, again = load_encoder(module), load_encoder(module, autocast=True)  # as a reproduction asks for it
    assert plain.precision == again.precision == "float16"
    same(plain.embed(FRAMES), again.embed(FRAMES))


def test_autocast_is_said_and_part_of_the_cache_key(write: Write) -> None:
    path = write(SMALL)
    full, half = load_encoder(path), load_encoder(path, autocast=True)
    assert (full.precision, half.precision) == ("float32", "bfloat16")
    np.testing.assert_allclose(half.embed(FRAMES), full.embed(FRAMES), atol=0.02)
    assert half.cache_key() != full.cache_key()


def test_a_library_of_models_is_a_loader_and_a_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "zoo.py").write_text(
        "def load(name, spec, pool, weights):\n    return lambda frames: frames[:, 0, :: int(name), 0]\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(LIBRARIES, "zoo", "zoo:load")
    encoder = load_encoder("zoo:70")
    assert encoder.name == "zoo:70"
    assert encoder.embed(FRAMES).shape == (5, 3)
