"""Encoders that are built in: `harness evaluate random-cnn`."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any, Final, NamedTuple

RAM: Final = "ram"
"""The only name of the bound that takes RAM in place of frames."""
PIXELS_PCA: Final = "pixels-pca"
RANDOM_PROJECTION: Final = "random-projection"
RANDOM_CNN: Final = "random-cnn"


class Named(NamedTuple):
    """An encoder that is known by name.

    Attributes:
        home: The function that makes it, as ``module:function``.
        summary: A short description.
        trained_on: A description of its training data.
        not_isolated: Why it never runs in a process of its own; None if it does.
        arguments: What the function is called with.
    """

    home: str
    summary: str
    trained_on: str = "none"
    not_isolated: str | None = None
    arguments: tuple[Any, ...] = ()


_EACH_GAME = "the training frames of each game"
_FITTED_HERE = "it is fitted here, to the training frames of each game"

NAMED: Final = {
    "majority": Named("harness.methods.untrained:Constant", "features that say nothing"),
    PIXELS_PCA: Named(
        "harness.trivial.encoders:load_pixels_pca",
        "256 principal components of the pixels, of each game's training frames",
        _EACH_GAME,
        not_isolated=_FITTED_HERE,
    ),
    **{
        f"{PIXELS_PCA}-{components}": Named(
            "harness.trivial.encoders:load_pixels_pca",
            f"the first {components} of them",
            _EACH_GAME,
            not_isolated=_FITTED_HERE,
            arguments=(components,),
        )
        for components in (16, 64)
    },
    RANDOM_PROJECTION: Named(
        "harness.trivial.encoders:random_projection", "256 random linear functions of the pixels"
    ),
    RANDOM_CNN: Named("harness.methods.untrained:random_cnn", "the encoder as it starts, seed 0"),
    RAM: Named(
        "harness.encoders.ram:load_ram",
        "the bits of the RAM: a bound, not an encoder",
        not_isolated="it is the RAM: there is nothing to keep from it",
    ),
}


def make(name: str) -> Any:
    """Make the encoder with a name in `NAMED`: any kind of object that `harness.load_encoder` takes.

    Raises:
        ModuleNotFoundError: It needs a package that is not installed.
    """
    module, _, function = NAMED[name].home.partition(":")
    factory: Callable[..., Any] = getattr(import_module(module), function)
    return factory(*NAMED[name].arguments)
