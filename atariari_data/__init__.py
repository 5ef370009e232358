"""Frozen Atari datasets with labels read from RAM: what `pip install atariari` gives you.

- :func:`load_dataset`: frames and labels, ``load_dataset("atariari", "pong")``.
- :func:`labels`: decode RAM into labels, one RAM or a whole array of them.
- :func:`positions`: decode RAM into screen positions.
- :func:`presence`: tell from RAM whether the things that labels describe are there.
- :func:`game`, :func:`game_names`, :func:`suites`: the games and the meaning of their RAM.
- :class:`AtariARIWrapper`: a Gymnasium wrapper that adds labels to ``info``.
- :func:`get_episodes`: the function of the 2019 benchmark, with its arguments and shapes.
- :class:`AtariariError`: base class of all errors.
"""

import importlib
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from atariari_data.dataset import announce, load_dataset
from atariari_data.errors import AtariariError
from atariari_data.games import game, game_names, suites
from atariari_data.labels import labels
from atariari_data.positions import positions, presence

if TYPE_CHECKING:
    from atariari_data.episodes import get_episodes
    from atariari_data.wrapper import AtariARIWrapper

    __version__: str

__all__ = [
    "AtariARIWrapper",
    "AtariariError",
    "game",
    "game_names",
    "get_episodes",
    "labels",
    "load_dataset",
    "positions",
    "presence",
    "suites",
]

# These modules import more than NumPy, so they are loaded on first use.
_LAZY = {"AtariARIWrapper": "atariari_data.wrapper", "get_episodes": "atariari_data.episodes"}


def __getattr__(name: str) -> Any:
    if name == "__version__":
        return version("atariari")
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_LAZY[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


announce()
