"""Evaluation of encoders: what `pip install 'atariari[harness]'` adds.

- :func:`evaluate`: embed the frames of games, fit the probes, return a result.
- :func:`load_encoder`: load an encoder from a file, a torch module, a NumPy function or another object.
- :class:`FrameSpec`, :class:`Encoder`: the input format of an encoder, and its protocol.
- :class:`Result`: a result file.
- :func:`compare`: compare two results on the same rows.
- :class:`ProbeTrainer`: the class of the 2019 benchmark, with its methods and keys.

Names are imported on first use, so `import harness` is cheap.
"""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from atariari_data.errors import MissingExtraError

if TYPE_CHECKING:
    from harness.adapters import load_encoder
    from harness.encoders.encoder import Encoder
    from harness.encoders.frame_spec import FrameSpec
    from harness.evaluation.evaluate import evaluate
    from harness.probes.probe_trainer import ProbeTrainer
    from harness.results.comparison import compare
    from harness.results.result import Result

    __version__: str

__all__ = ["Encoder", "FrameSpec", "ProbeTrainer", "Result", "compare", "evaluate", "load_encoder"]

_HOMES = {
    "Encoder": "harness.encoders.encoder",
    "FrameSpec": "harness.encoders.frame_spec",
    "ProbeTrainer": "harness.probes.probe_trainer",
    "Result": "harness.results.result",
    "compare": "harness.results.comparison",
    "evaluate": "harness.evaluation.evaluate",
    "load_encoder": "harness.adapters",
}
EXTRA = "harness"
EXTRA_PACKAGES = ("cryptography", "orjson", "pydantic", "safetensors", "sklearn", "torch")


def missing_extra(error: ModuleNotFoundError) -> MissingExtraError | None:
    """Return the error for a missing package, if it belongs to the extra."""
    package = str(error.name).partition(".")[0]
    return MissingExtraError(package, EXTRA) if package in EXTRA_PACKAGES else None


def __getattr__(name: str) -> Any:
    if name == "__version__":
        return version("atariari")
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
