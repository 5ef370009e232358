"""What identifies an encoder: its code, and not the words or the layout around it."""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from harness.encoders.digests import code_of, object_digest
from harness.encoders.ram import bits, load_ram

CLASS = '''
class Encoder:
    """Embed frames."""

    size = 4
    """The number of features."""

    def encode(self, frames):
        """Return features."""
        return frames[:, : self.size]  # the first ones
'''

EVERYTHING = r"""
@decorator(1, *args, key=None, **more)
class Thing(Base, metaclass=Meta):
    field: int = -1

    async def method(self, a, /, b=2.5, *rest, c: str = "x", **others) -> None:
        async with self as one, two:
            yield [x async for x in one if x > 1e-9]
        return None

def function(*, key=..., other):
    global name
    try:
        with open(f"{name!r:>{width}}" "tail", b"raw") as file, lock:
            del file[1:2, ::3]
    except (OSError, ValueError) as error:
        raise Error from error
    else:
        assert (found := {**other, 1: True, None: 2j}), {1, 2}
    finally:
        x, *y = (lambda q=1: q)(), not z
    match found:
        case {"a": [1, *_], **rest} | Point(x=0) if x is not None:
            pass
    while a < b <= c and d:
        a += yield
        break
    return [i for i in (j @ k if j else u"k" for j in ()) for _ in i]
"""


def _module(text: str, folder: Path, name: str) -> Any:
    path = folder / f"{name}.py"
    path.write_text(text, encoding="utf-8")
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module: ModuleType = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # where `inspect` looks for the file of a class
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("old", "new", "same"),
    [
        ("Embed frames.", "Make features of frames.", True),
        ("The number of features.", "How many.", True),
        ('        """Return features."""\n', "", True),
        ("  # the first ones", "", True),
        ("frames[:, : self.size]", "(frames[:,:self.size])", True),
        ("size = 4", "size = 5", False),
        ("size = 4", "size = 4.0", False),
        ("frames[:, : self.size]", "frames[:, self.size :]", False),
        ("return frames", "return -frames", False),
    ],
)
def test_words_and_layout_do_not_count_and_code_does(
    tmp_path: Path, old: str, new: str, *, same: bool
) -> None:
    assert old in CLASS
    one = _module(CLASS, tmp_path, "one_encoder").Encoder
    other = _module(f"# elsewhere\n{CLASS.replace(old, new)}", tmp_path, "other_encoder").Encoder
    assert (object_digest(one) == object_digest(other)) is same
    assert object_digest(one()) == object_digest(one)


def test_a_docstring_of_a_built_in_encoder_does_not_count(tmp_path: Path) -> None:
    source = Path(bits.__code__.co_filename).read_text(encoding="utf-8")
    reworded = source.replace("Bits rather than bytes", "Each bit by itself")
    changed = source.replace(".astype(np.float32)", ".astype(np.float64)")
    assert len({source, reworded, changed}) == 3
    known = load_ram().source_digest
    assert _module(reworded, tmp_path, "reworded").load_ram().source_digest == known
    assert _module(changed, tmp_path, "changed").load_ram().source_digest != known


def test_the_text_of_a_tree_is_the_same_in_every_version_of_python() -> None:
    """If this fails in one version of Python alone, its syntax tree has a field that others do not have."""
    found = hashlib.sha256(code_of(EVERYTHING).encode()).hexdigest()
    assert found == "eb4a84caecec5bbbd54a3809afa5acc46310cca577b8d00907c51e2c25851ce0"


def test_fields_that_a_later_version_adds_do_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    before = code_of(CLASS)
    monkeypatch.setattr(ast.ClassDef, "_fields", (*ast.ClassDef._fields, "added"))
    monkeypatch.setattr(ast.ClassDef, "added", [], raising=False)
    assert code_of(CLASS) == before


def test_a_source_that_is_not_python_by_itself_counts_as_it_is() -> None:
    assert code_of("lambda x: x)") == "lambda x: x)"
