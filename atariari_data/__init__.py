"""Atari games with labels from RAM, frozen: what `pip install atariari` gives.

- :func:`load_dataset`: frames and labels, ``load_dataset("atariari", "pong")``.
- :func:`labels`: decode RAM, ``uint8 [n, 128]`` at once.
- :func:`positions`: where on the screen things are, from RAM.
- :func:`game`, :func:`game_names`: the games and what their RAM means.
- :class:`AtariARIWrapper`: a Gymnasium wrapper that puts labels into ``info``.
- :func:`get_episodes`: the 2019 benchmark's call, in its shapes.
- :class:`AtariariError`: the base of all errors.
"""

import importlib
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from atariari_data.dataset import announce, load_dataset
from atariari_data.errors import AtariariError
from atariari_data.games import game, game_names
from atariari_data.labels import labels
from atariari_data.positions import positions

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
]

# Names whose modules import more than NumPy; they are imported when first asked for.
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
