"""Encoders that are known by name: `harness evaluate random-cnn`."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any, Final, NamedTuple


class Named(NamedTuple):
    """An encoder by name.

    Attributes:
        home: Where the function is that makes it, ``module:function``.
        summary: What it is, in words.
        trained_on: In words.
    """

    home: str
    summary: str
    trained_on: str = "none"


RAM: Final = "ram"
"""The name of what sees no frames, and of nothing else."""

NAMED: Final = {
    "majority": Named("harness.methods.untrained:Constant", "features that say nothing"),
    "pixels-pca": Named(
        "harness.trivial.encoders:load_pixels_pca",
        "256 principal components of the pixels, of each game's training frames",
        "the training frames of each game",
    ),
    "random-projection": Named(
        "harness.trivial.encoders:random_projection", "256 random linear functions of the pixels"
    ),
    "random-cnn": Named("harness.methods.untrained:random_cnn", "the encoder as it starts, seed 0"),
    RAM: Named("harness.encoders.ram:load_ram", "the bits of the RAM: a bound, not an encoder"),
}


def make(name: str) -> Any:
    """Make the encoder of a name in `NAMED`, whatever kind of thing `harness.load_encoder` takes.

    Raises:
        ModuleNotFoundError: It needs a package that is not installed.
    """
    module, _, function = NAMED[name].home.partition(":")
    factory: Callable[[], Any] = getattr(import_module(module), function)
    return factory()
