"""`load_dataset`, and the hook that makes `datasets.load_dataset("atariari", ...)` work.

`datasets` offers no way for a package to register a dataset. Its table of packaged modules does not help,
because those modules still need data files in the working directory. The function
`datasets.load.dataset_module_factory` decides how a name is loaded, so we wrap it: it handles our name and
passes every other name through.
"""

from __future__ import annotations

import contextlib
import re
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import wrapt

from atariari_data.errors import UnknownNameError, UsageError, nearest
from atariari_data.games import base_of, game, game_names

if TYPE_CHECKING:
    import datasets

NAME = "atariari"
_BUILDER = "builders.atariari"
_FACTORY = "dataset_module_factory"
_CONFIG = re.compile(r"(?P<game>.+?)(?P<suffix>_pretrain|_deep)?")


def load_dataset(path: str = NAME, name: str | None = None, **kwargs: Any) -> datasets.DatasetDict | Any:
    """Load a game, building it on first use; same as ``datasets.load_dataset("atariari", name, ...)``.

    Args:
        path: ``"atariari"``.
        name: A game, ``"pong"``; its pretraining config, ``"pong_pretrain"``; or its deep states,
            ``"pong_deep"``.
        **kwargs: Passed to ``datasets.load_dataset``: ``split=``, ``streaming=``, ``num_proc=``,
            ``cache_dir=``. In addition, ``label_set="anand2019"`` puts the paper's labels into column
            ``labels``.

    Returns:
        A ``DatasetDict``, or a ``Dataset`` if ``split=`` is given (iterable versions when streaming).

    Raises:
        UsageError: ``path`` is a game, or nearly one: that is the second argument.
        UnknownNameError: No such game. The message lists the known games and suggests the nearest.
        DataError: A recording, a manifest, the built copy or the ROM is damaged, or the disk is full.
        DriftError: The emulator does not reproduce the recording. The message names episode and step.
    """
    import datasets

    if (config := _meant(path)) is not None:
        raise UsageError(
            f"{path!r} is not a dataset: the first argument is {NAME!r}, the second the game.",
            got=f"load_dataset({path!r}{'' if name is None else f', {name!r}'})",
            cure=f"load_dataset({NAME!r}, {config!r})",
        )
    return datasets.load_dataset(path, name, **kwargs)


def _meant(path: object) -> str | None:
    """Return the config that was probably meant by ``path``; None if it may be a dataset of others."""
    if not isinstance(path, str) or path == NAME or Path(path).exists():
        return None
    if (found := _CONFIG.fullmatch(path)) is None:
        return None
    base = base_of(found["game"])
    try:
        known: str | None = game(base).name
    except UnknownNameError:
        known = None if "/" in base else nearest(base, game_names())  # ORG/NAME is a dataset of the Hub
    return None if known is None else known + (found["suffix"] or "")


def announce() -> None:
    """Register the dataset with `datasets` and Atari with `gymnasium`, once they are imported."""
    wrapt.register_post_import_hook(_register_atari, "gymnasium")
    for module in ("datasets.load", "datasets.inspect"):
        wrapt.register_post_import_hook(_answer_for_our_name, module)
        if module in sys.modules:
            _answer_for_our_name(sys.modules[module])


def _register_atari(gymnasium: ModuleType) -> None:
    with contextlib.suppress(ImportError, OSError):
        import ale_py

        gymnasium.register_envs(ale_py)


def _answer_for_our_name(module: ModuleType) -> None:
    factory = getattr(module, _FACTORY, None)
    if factory is None:
        raise ImportError(
            f"atariari supports datasets >=4.0,<6; this version has no {module.__name__}.{_FACTORY}."
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
