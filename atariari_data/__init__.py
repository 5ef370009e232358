"""Atari games with labels from RAM, frozen: what `pip install atariari` gives.

- :func:`load_dataset`: frames and labels, ``load_dataset("atariari", "pong")``.
- :func:`labels`: decode RAM, ``uint8 [n, 128]`` at once.
- :func:`game`, :func:`game_names`: the games and what their RAM means.
- :class:`AtariariError`: the base of all errors.
"""

from atariari_data.dataset import announce, load_dataset
from atariari_data.errors import AtariariError
from atariari_data.games import game, game_names
from atariari_data.labels import labels

__all__ = ["AtariariError", "game", "game_names", "labels", "load_dataset"]

announce()
