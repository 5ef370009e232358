"""Encoders that are known by name: `harness evaluate random-cnn`."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any, Final

# Where the function is that makes each: `module:function`.
NAMED: Final = {
    "majority": "harness.methods.untrained:Constant",
    "pixels-pca": "harness.trivial.encoders:load_pixels_pca",
    "random-projection": "harness.trivial.encoders:random_projection",
    "random-cnn": "harness.methods.untrained:random_cnn",
    "ram": "harness.ram:load_ram",
}

TRAINED_ON: Final = {"pixels-pca": "the training frames of each game"}
"""Those that are not named here were trained on nothing."""


def make(name: str) -> Any:
    """Make the encoder of a name in `NAMED`, whatever kind of thing `harness.load_encoder` takes.

    Raises:
        ModuleNotFoundError: It needs a package that is not installed.
    """
    module, _, function = NAMED[name].partition(":")
    factory: Callable[[], Any] = getattr(import_module(module), function)
    return factory()
