"""`load_dataset`, here and as a name that `datasets.load_dataset` knows.

`datasets` has no place where a package may announce a dataset of its own. Its table of packaged modules is
no such place: a name in it still wants data files in the working directory. What decides how a name is
loaded is the function `datasets.load.dataset_module_factory`; we answer for our own name, and leave all
others to it.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import ModuleType
from typing import TYPE_CHECKING, Any

import wrapt

if TYPE_CHECKING:
    import datasets

NAME = "atariari"
_BUILDER = "builders.atariari"
_FACTORY = "dataset_module_factory"


def load_dataset(path: str = NAME, name: str | None = None, **kwargs: Any) -> datasets.DatasetDict | Any:
    """Load a game, building it on first use; the same as ``datasets.load_dataset``.

    Args:
        path: ``"atariari"``.
        name: A game, ``"pong"``, or its pretraining config, ``"pong_pretrain"``.
        **kwargs: As ``datasets.load_dataset`` takes them: ``split=``, ``streaming=``, ``num_proc=``,
            ``cache_dir=``; and ``label_set="anand2019"`` for the paper's labels in column ``labels``.

    Returns:
        A ``DatasetDict``, or a ``Dataset`` where ``split=`` is given (their iterable kin when streaming).

    Raises:
        UnknownNameError: No such game; says which are known, and the nearest.
        DataError: A recording, a manifest or the ROM is not what it should be; the disk is full.
        DriftError: The emulator does not give what was recorded; names episode and step.
    """
    import datasets

    return datasets.load_dataset(path, name, **kwargs)


def announce() -> None:
    """Make ``datasets.load_dataset("atariari", ...)`` ours, whenever `datasets` is or was imported."""
    for module in ("datasets.load", "datasets.inspect"):
        wrapt.register_post_import_hook(_answer_for_our_name, module)
        if module in sys.modules:
            _answer_for_our_name(sys.modules[module])


def _answer_for_our_name(module: ModuleType) -> None:
    factory = getattr(module, _FACTORY, None)
    if factory is None:
        raise ImportError(
            f"This version of datasets has no {module.__name__}.{_FACTORY}; atariari supports >=4.0,<6."
        )
    if not isinstance(factory, wrapt.FunctionWrapper):
        setattr(module, _FACTORY, wrapt.FunctionWrapper(factory, _ours_or_theirs))


def _ours_or_theirs(
    factory: Callable[..., Any], _: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
    path = args[0] if args else kwargs.get("path")
    if path != NAME:
        return factory(*args, **kwargs)
    from datasets.load import DatasetModule

    return DatasetModule(_BUILDER, "", {"dataset_name": NAME})
