"""The Gymnasium wrapper that puts labels into ``info``.

Importing this module registers the Atari environments of ale-py with Gymnasium.
"""

from __future__ import annotations

from typing import Any, SupportsFloat

import ale_py
import gymnasium
import numpy as np
from gymnasium.core import ActType, ObsType
from gymnasium.utils import RecordConstructorArgs
from gymnasium.vector import VectorEnv

from atariari_data.errors import UsageError
from atariari_data.games import DEFAULT_LABEL_SET
from atariari_data.labels import RAM_BYTES, decoder

gymnasium.register_envs(ale_py)


class AtariARIWrapper(gymnasium.Wrapper[ObsType, ActType, ObsType, ActType], RecordConstructorArgs):
    """Add ``info["labels"]``, what the RAM says about the game, at every reset and step.

    ``info["labels"]`` is a new dict each time: name of the variable to a plain ``int`` (0 to 255), read from
    the emulator after everything that is wrapped has made its step. Observations and rewards pass untouched.
    It may stand outside or inside of other wrappers.
    Vector environments that are given it as one of their ``wrappers`` make of it
    ``infos["labels"][name]``, int64 [num_envs].

    After "Unsupervised State Representation Learning in Atari" (arXiv 1906.08226), whose wrapper has
    this name too.

    Example:
        >>> import gymnasium
        >>> from atariari_data import AtariARIWrapper
        >>> env = AtariARIWrapper(gymnasium.make("ALE/Pong-v5"))
        >>> obs, info = env.reset(seed=0)
        >>> sorted(info["labels"])[0]
        'ball_x'
    """

    def __init__(
        self,
        env: gymnasium.Env[ObsType, ActType],
        label_set: str = DEFAULT_LABEL_SET,
        game: str | None = None,
    ) -> None:
        """Wrap an Atari environment.

        Args:
            env: An environment of ale-py, bare or already wrapped.
            label_set: ``v1`` or ``anand2019``.
            game: Game whose annotations to use; by default the one that the environment runs.

        Raises:
            UsageError: ``env`` is not an environment over one ``ALEInterface``: another kind of environment,
                or a vector environment.
            UnknownNameError: No annotations for this game, or no such label set of it; says the nearest name.
        """
        _check_atari(env)
        RecordConstructorArgs.__init__(self, label_set=label_set, game=game)
        gymnasium.Wrapper.__init__(self, env)
        self._decoder = decoder(game or _rom_name(env), label_set)
        self._atari = env.unwrapped
        self._ram = np.empty(RAM_BYTES, np.uint8)

    @property
    def game(self) -> str:
        """Name of the game, as in :func:`atariari_data.game_names`."""
        return self._decoder.game

    @property
    def label_set(self) -> str:
        """Name of the label set."""
        return self._decoder.label_set

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[ObsType, dict[str, Any]]:
        """Reset the environment; ``info`` has the labels of the first observation."""
        observation, info = self.env.reset(seed=seed, options=options)
        info["labels"] = self.labels()
        return observation, info

    def step(self, action: ActType) -> tuple[ObsType, SupportsFloat, bool, bool, dict[str, Any]]:
        """Step the environment; ``info`` has the labels after the step."""
        result = self.env.step(action)
        # labels(), written out: the call is half a percent of an environment that steps single frames.
        self._atari.ale.getRAM(self._ram)  # type: ignore[attr-defined]
        result[4]["labels"] = self._decoder.scalars(self._ram.tobytes())
        return result

    def labels(self) -> dict[str, int]:
        """Return the labels of the emulator's present RAM."""
        self._atari.ale.getRAM(self._ram)  # type: ignore[attr-defined]
        return self._decoder.scalars(self._ram.tobytes())


def _check_atari(env: object) -> None:
    if isinstance(env, VectorEnv):
        raise UsageError(
            f"AtariARIWrapper cannot wrap the vector environment {env}.",
            expected="a single environment; a vector environment takes the wrapper for each of its own",
            got=type(env.unwrapped).__name__,
            cure='gymnasium.make_vec(id, num_envs, vectorization_mode="sync", wrappers=[AtariARIWrapper]), '
            'or "async"; ale-py\'s own AtariVectorEnv gives no access to the RAM',
        )
    if not isinstance(env, gymnasium.Env) or not isinstance(
        getattr(env.unwrapped, "ale", None), ale_py.ALEInterface
    ):
        raise UsageError(
            f"AtariARIWrapper needs an Atari environment, which {env} is not.",
            expected="a gymnasium environment of ale-py",
            got=type(getattr(env, "unwrapped", env)).__name__,
            cure='gymnasium.make("ALE/Pong-v5")',
        )


def _rom_name(env: gymnasium.Env[Any, Any]) -> str:
    spec = env.unwrapped.spec
    # An AtariEnv made without gymnasium.make has no spec, and keeps the name of its ROM for itself.
    name = spec.kwargs.get("game") if spec else getattr(env.unwrapped, "_game", None)
    if not isinstance(name, str):
        raise UsageError(
            f"Which game {env} runs cannot be told from its spec.",
            expected='a spec with kwargs["game"]',
            got=spec,
            cure='AtariARIWrapper(env, game="pong")',
        )
    return name
