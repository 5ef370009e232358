import re
from pathlib import Path
from typing import get_args

import pytest

from harness.adapters import load_encoder
from harness.conformance import RULES, assert_conforms
from harness.encoders.encoder import POOLS
from harness.encoders.frame_spec import Color, FrameSpec, Layout, Scale
from harness.encoders.programs import PROGRAM_SUFFIXES
from harness.encoders.torch_modules import WEIGHT_SUFFIXES

TEXT = (Path(__file__).parent.parent / "docs" / "encoders.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)


@pytest.mark.parametrize("number", range(len(BLOCKS)))
def test_every_encoder_of_the_page_keeps_the_rules(tmp_path: Path, number: int) -> None:
    (tmp_path / "my_encoder.py").write_text(BLOCKS[number])
    assert load_encoder(tmp_path / "my_encoder.py").name == "my_encoder"
    assert_conforms(tmp_path / "my_encoder.py")


def test_the_page_names_everything_there_is() -> None:
    assert BLOCKS
    for pool in POOLS:
        assert f'"{pool}"' in TEXT, pool
    kinds = [value for kind in (Color, Layout, Scale) for value in get_args(kind)]
    for name in (*RULES, *FrameSpec.__dataclass_fields__, *kinds, *PROGRAM_SUFFIXES, *WEIGHT_SUFFIXES):
        assert f"`{name}`" in TEXT, name
