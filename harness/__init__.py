"""From an encoder to a signed result: what `pip install 'atariari[harness]'` gives.

- :func:`evaluate`: embed the frames of games, fit the probes, return a result.
- :func:`load_encoder`: make a file, a torch module, a NumPy function or an object ready to embed.
- :class:`FrameSpec`, :class:`Encoder`: what an encoder says it wants, and the protocol it follows.
- :class:`Result`: the result file.
- :func:`compare`: two results on the same rows, which differences are noise.

The names are imported when they are first used: `import harness` costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from atariari_data.errors import MissingExtraError

if TYPE_CHECKING:
    from harness.adapters import load_encoder
    from harness.encoders.encoder import Encoder
    from harness.encoders.frame_spec import FrameSpec
    from harness.evaluation.evaluate import evaluate
    from harness.results.comparison import compare
    from harness.results.result import Result

__all__ = ["Encoder", "FrameSpec", "Result", "compare", "evaluate", "load_encoder"]

_HOMES = {
    "Encoder": "harness.encoders.encoder",
    "FrameSpec": "harness.encoders.frame_spec",
    "Result": "harness.results.result",
    "compare": "harness.results.comparison",
    "evaluate": "harness.evaluation.evaluate",
    "load_encoder": "harness.adapters",
}
EXTRA = "harness"
EXTRA_PACKAGES = ("cryptography", "orjson", "pydantic", "safetensors", "sklearn", "torch")


def missing_extra(error: ModuleNotFoundError) -> MissingExtraError | None:
    """Return what to tell of a package that is not there, if it is one of the extra's."""
    package = str(error.name).partition(".")[0]
    return MissingExtraError(package, EXTRA) if package in EXTRA_PACKAGES else None


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'harness' has no attribute {name!r}")
    try:
        return getattr(import_module(_HOMES[name]), name)
    except ModuleNotFoundError as error:
        if missing := missing_extra(error):
            raise missing from error
        raise


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
