"""The methods of arXiv 1906.08226 by name, and the loop that trains them.

Importing this package is cheap: a method's module, and torch with it, is imported on first use.
`docs/methods.md` describes each method, `harness.methods.train.train` trains one.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Final

from atariari_data.errors import MissingExtraError, UnknownNameError, UsageError
from harness.encoders.named import NAMED

if TYPE_CHECKING:
    from harness.methods.method import Method

METHODS: Final = {
    "infonce-stdim": "contrastive:SpatioTemporalDIM",
    "jsd-stdim": "contrastive:JensenShannonDIM",
    "global-infonce-stdim": "contrastive:GlobalTemporalDIM",
    "global-local-infonce-stdim": "contrastive:GlobalLocalDIM",
    "dim": "contrastive:DeepInfoMax",
    "cpc": "cpc:ContrastivePredictiveCoding",
    "vae": "pixels:VariationalAutoEncoder",
    "naff": "pixels:NextFrame",
    "supervised": "supervised:Supervised",
    "random-cnn": "untrained:RandomCNN",
    "majority": "untrained:Majority",
    "pretrained-rl-agent": "agent:PretrainedAgent",
}
"""The class of each method, as ``module:class`` in this package."""

_ANAND = "https://arxiv.org/abs/1906.08226"
PAPERS: Final = {
    "infonce-stdim": _ANAND,
    "jsd-stdim": _ANAND,
    "global-infonce-stdim": _ANAND,
    "global-local-infonce-stdim": _ANAND,
    "dim": "https://arxiv.org/abs/1808.06670",
    "cpc": "https://arxiv.org/abs/1807.03748",
    "vae": "https://arxiv.org/abs/1312.6114",
    "naff": "https://arxiv.org/abs/1507.08750",
    "supervised": _ANAND,
    "random-cnn": _ANAND,
}
"""The paper that describes a method."""


def load_method(name: str) -> type[Method]:
    """Return the class of a method.

    Raises:
        UnknownNameError: No such method.
        UsageError: The name is of an encoder that needs no training.
        MissingExtraError: torch is not installed.
    """
    if name in NAMED and name not in METHODS:
        raise UsageError(
            f"{name} needs no training.", cure=f"harness evaluate {name}, or harness run --method {name}"
        )
    if name not in METHODS:
        raise UnknownNameError("method", name, METHODS)
    return _imported(METHODS[name])


def _imported(home: str) -> type[Method]:
    module, _, attribute = home.partition(":")
    try:
        found: type[Method] = getattr(import_module(f"{__name__}.{module}"), attribute)
    except ModuleNotFoundError as error:
        if error.name != "torch":
            raise
        raise MissingExtraError("torch", "harness") from error
    return found


__all__ = ["METHODS", "load_method"]
