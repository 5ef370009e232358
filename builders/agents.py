"""Agents: trained policies for recording, with 20 % random actions.

An agent sees the last four frames of the episode in gray, 84 by 84; the first frame is repeated at the start.
Checkpoints are read as weights only, and no code in them is run. The network is that of
doi:10.1038/nature14236, as saved by Stable-Baselines3 (`CnnPolicy` of PPO and A2C) and CleanRL
(`ppo_atari.py`).
"""

from __future__ import annotations

import inspect
import io
import pickle
import uuid
import zipfile
import zlib
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from atariari_data.errors import DataError, MissingExtraError, UsageError
from atariari_data.observations import luma, shrink
from builders.digest import bytes_digest
from builders.emulator import Emulator
from builders.policies import POLICIES, Policy, load_policy

if TYPE_CHECKING:
    import torch

RANDOM_SHARE = 0.2
STACK = 4
HUB = "hf:"
STRIDES = (4, 2, 1)
_SB3_WEIGHTS = "policy.pth"
_DAMAGED = (
    pickle.UnpicklingError,
    zipfile.BadZipFile,
    zlib.error,
    EOFError,
    LookupError,
    OSError,
    RuntimeError,
    ValueError,
)
"""What `torch.load` and `zipfile` raise of a file that is no checkpoint."""

# Takes the observation, uint8 [1, 4, 84, 84], ALE's numbers of the minimal actions, and a generator.
Choose = Callable[[npt.NDArray[np.uint8], tuple[int, ...], np.random.Generator], Any]


class Agent:
    """A policy that follows ``choose``, and acts at random in a share of the steps (arXiv 1906.08226)."""

    def __init__(self, choose: Choose, random_share: float = RANDOM_SHARE) -> None:
        """Wrap a function that returns an index into the minimal action set."""
        self._choose = choose
        self._random_share = random_share
        self._seen: deque[npt.NDArray[np.uint8]] = deque(maxlen=STACK)

    def __call__(self, emulator: Emulator, generator: np.random.Generator, step: int) -> int:
        """Return the action for the next frames.

        Raises:
            UsageError: The choice is not an index into the minimal action set.
        """
        frame = shrink(luma(emulator.frame().rgb()))
        self._seen.extend([frame] * (STACK if step == 0 else 1))
        actions = emulator.minimal_actions
        if generator.random() < self._random_share:
            return actions[int(generator.integers(len(actions)))]
        chosen = self._choose(np.concatenate(self._seen)[None], actions, generator)
        return actions[_index(chosen, len(actions))]


def _index(chosen: Any, actions: int) -> int:
    try:
        value = np.asarray(chosen)
        index = int(value.item()) if value.dtype.kind in "iu" else -1
    except (ValueError, TypeError, RuntimeError):
        index = -1
    if not 0 <= index < actions:
        raise UsageError(
            "The policy did not return an action.",
            expected=f"an integer from 0 to {actions - 1}, an index into the minimal action set",
            got=repr(chosen)[:200],
        )
    return index


def load_agent(policy: str | Path | Callable[..., Any]) -> tuple[Policy, str]:
    """Return a policy, and the digest that identifies it in the cache.

    Args:
        policy: A name in `builders.policies.POLICIES`, a callable (its digest is new each time), the path of
            a checkpoint, or ``"hf:ORG/REPO/FILE"`` for one on the Hugging Face Hub. See
            `atariari_data.get_episodes`.

    Raises:
        UsageError: The policy is none of these.
        DataError: The checkpoint cannot be read, or has an unknown architecture.
        MissingExtraError: PyTorch is not installed.
    """
    if callable(policy):
        return Agent(_Called(policy)), uuid.uuid4().hex
    expected = f"{', '.join(POLICIES)}, the file of a checkpoint, {HUB}ORG/REPO/FILE, or a callable"
    if not isinstance(policy, str | Path):
        raise UsageError("Not a policy.", expected=expected, got=repr(policy)[:200])
    if policy in POLICIES:
        return load_policy(str(policy))
    if policy == Path(policy).stem and not Path(policy).exists():  # a name, as that of a file has an ending
        raise UsageError(f"No such policy: {policy!r}.", expected=expected, got=repr(policy)[:200])
    layers, digest = load_layers(policy)
    return Agent(Actor(layers, str(policy))), digest


def load_layers(checkpoint: str | Path) -> tuple[list[tuple[torch.Tensor, torch.Tensor]], str]:
    """Return weight and bias of an agent's five layers, and the digest of the file.

    The layers are three convolutions, the hidden layer, and the action layer.

    Args:
        checkpoint: A path, or ``"hf:ORG/REPO/FILE"``.

    Raises:
        UsageError: The name does not include a file.
        DataError: The checkpoint cannot be read, or has an unknown architecture.
        MissingExtraError: PyTorch is not installed.
    """
    name = str(checkpoint)
    path = _download(name) if name.startswith(HUB) else Path(checkpoint)
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DataError(f"The checkpoint {name} cannot be read: {error}") from error
    return _layers(content, name), bytes_digest(content)


class _Called:
    """Calls a user's policy with the observation, and with ``actions`` and ``generator`` if it takes them."""

    def __init__(self, policy: Callable[..., Any]) -> None:
        self._policy = policy
        try:
            names = set(inspect.signature(policy).parameters)
        except (TypeError, ValueError):  # some builtins have no signature
            names = set()
        self._names = names & {"actions", "generator"}

    def __call__(
        self, observation: npt.NDArray[np.uint8], actions: tuple[int, ...], generator: np.random.Generator
    ) -> Any:
        more = {"actions": actions, "generator": generator}
        return self._policy(observation, **{name: more[name] for name in self._names})


class Actor:
    """Three convolutions and two linear layers, from four frames to a distribution over actions."""

    def __init__(self, layers: Sequence[tuple[torch.Tensor, torch.Tensor]], name: str) -> None:
        """Store weight and bias of the five layers, and try them.

        Raises:
            DataError: Their shapes do not fit.
        """
        self._layers = layers
        self._name = name
        try:
            self._logits(np.zeros((1, STACK, 84, 84), np.uint8))
        except RuntimeError as error:
            raise DataError(
                f"The checkpoint {name} is not an agent for four gray frames of 84 x 84: {error}"
            ) from error

    def __call__(
        self, observation: npt.NDArray[np.uint8], actions: tuple[int, ...], generator: np.random.Generator
    ) -> int:
        """Sample an action.

        Raises:
            UsageError: The agent has another number of actions than the game.
        """
        logits = self._logits(observation)
        if len(logits) != len(actions):
            raise UsageError(
                f"The agent {self._name} is not for this game.",
                expected=f"{len(actions)} actions, the game's minimal set",
                got=f"{len(logits)} actions",
            )
        share = np.exp(logits - logits.max()).cumsum()
        return min(int(np.searchsorted(share, generator.random() * share[-1], "right")), len(actions) - 1)

    def _logits(self, observation: npt.NDArray[np.uint8]) -> npt.NDArray[np.float64]:
        import torch
        from torch.nn import functional

        *convolutions, hidden, last = self._layers
        with torch.no_grad():
            x = torch.from_numpy(observation).float() / 255
            for (weight, bias), stride in zip(convolutions, STRIDES, strict=True):
                x = functional.conv2d(x, weight, bias, stride=stride).relu()
            x = functional.linear(x.flatten(1), *hidden).relu()
            return functional.linear(x, *last)[0].double().numpy()


def _download(name: str) -> Path:
    from huggingface_hub import hf_hub_download

    organisation, _, rest = name.removeprefix(HUB).partition("/")
    repository, _, file = rest.partition("/")
    if not file:
        raise UsageError(f"{name} is not a file on the Hub.", expected="hf:ORG/REPO/FILE", got=name)
    try:
        return Path(hf_hub_download(f"{organisation}/{repository}", file))
    except (OSError, ValueError) as error:  # the Hub's own errors are among these
        raise DataError(f"The checkpoint {name} cannot be downloaded: {error}") from error


def _layers(content: bytes, name: str) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Find the actor's layers in a checkpoint of either kind, by the names of its weights."""
    weights = _weights(content, name)
    if "actor.weight" in weights:
        layers = ["network.0", "network.2", "network.4", "network.7", "actor"]
    else:
        # Since 1.7, an actor that shares nothing with the critic has an extractor of its own.
        own = "pi_features_extractor.cnn.0.weight" in weights
        extractor = "pi_features_extractor" if own else "features_extractor"
        layers = [f"{extractor}.{part}" for part in ("cnn.0", "cnn.2", "cnn.4", "linear.0")]
        layers.append("action_net")
    try:
        found = [(weights[f"{x}.weight"].float(), weights[f"{x}.bias"].float()) for x in layers]
    except KeyError as error:
        raise _unknown(name, f"no {error}") from error
    if more := [key for key in weights if key.startswith(("mlp_extractor.policy", "mlp_extractor.shared"))]:
        raise _unknown(name, f"further layers, {more[0]}")
    return found


def _weights(content: bytes, name: str) -> Mapping[str, torch.Tensor]:
    try:
        import torch
    except ImportError as error:
        raise MissingExtraError("torch", "harness") from error
    try:
        if zipfile.is_zipfile(io.BytesIO(content)):  # so is what torch.save writes
            with zipfile.ZipFile(io.BytesIO(content)) as archive:
                if _SB3_WEIGHTS in archive.namelist():
                    content = archive.read(_SB3_WEIGHTS)
        weights = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except _DAMAGED as error:
        raise _unknown(name, f"a file that torch cannot read as weights only: {error}") from error
    if not isinstance(weights, Mapping) or not all(isinstance(w, torch.Tensor) for w in weights.values()):
        raise _unknown(name, f"a {type(weights).__name__}")
    return weights


def _unknown(name: str, got: str) -> DataError:
    return DataError(
        f"Unknown kind of checkpoint: {name}.",
        expected="a .zip of Stable-Baselines3 (PPO or A2C, CnnPolicy) or a .cleanrl_model of ppo_atari",
        got=got,
        cure="Load it yourself and pass a callable as policy=.",
    )
