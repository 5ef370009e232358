"""A Gymnasium wrapper that adds labels to ``info``.

Importing this module registers the Atari environments of ale-py with Gymnasium.
"""

from __future__ import annotations

import warnings
from typing import Any, SupportsFloat

import ale_py
import gymnasium
import numpy as np
from gymnasium.core import ActType, ObsType
from gymnasium.utils import RecordConstructorArgs
from gymnasium.vector import VectorEnv

from atariari_data.errors import UnknownNameError, UsageError
from atariari_data.games import DEFAULT_LABEL_SET
from atariari_data.games import game as game_of
from atariari_data.labels import RAM_BYTES, decoder
from atariari_data.positions import presence

gymnasium.register_envs(ale_py)


_NO_STATE = (-1, b"")
"""As the note of a copy that has no state of its own: it is the state of no emulator."""


class AtariARIWrapper(gymnasium.Wrapper[ObsType, ActType, ObsType, ActType], RecordConstructorArgs):
    """Add ``info["labels"]``, the game's state read from RAM, at every reset and step.

    ``info["labels"]`` is a new dict each time, from variable name to a plain ``int`` (0 to 255). It is read
    from the emulator after the wrapped environment has made its step. Observations and rewards are not
    changed. The wrapper can be combined with others in any order. In a vector environment, passed as one of
    its ``wrappers``, it gives ``infos["labels"][name]``, int64 [num_envs].

    Labels are the game's bytes as they are: those of a thing that is not there, such as a monster that was
    killed, keep some value. With ``present=True``, ``info["present"]`` says for each variable whether its
    thing is there: a new dict of ``bool`` each time, from :func:`atariari_data.presence`.

    Named after the wrapper of "Unsupervised State Representation Learning in Atari" (arXiv 1906.08226).

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
        *,
        present: bool = False,
    ) -> None:
        """Wrap an Atari environment.

        Args:
            env: An ale-py environment, with or without other wrappers.
            label_set: ``v1`` or ``anand2019``.
            game: Game whose annotations to use; by default the environment's game.
            present: Whether to add ``info["present"]``.

        Raises:
            UsageError: ``env`` is not a single ale-py environment, or its game has no annotations.
            UnknownNameError: No such ``game`` or label set.

        Warns:
            UserWarning: The environment runs a mode or difficulty in which the labels were not checked.
        """
        _check_atari(env)
        RecordConstructorArgs.__init__(self, label_set=label_set, game=game, present=present)
        gymnasium.Wrapper.__init__(self, env)
        self._decoder = decoder(game or _annotated_game(env), label_set)
        self._add_present = present
        self._atari = env.unwrapped
        self._ram = np.empty(RAM_BYTES, np.uint8)
        _check_mode(self._atari, self._decoder.game)
        # RAM at which a copy's new emulator started, until it has a state of its own.
        self._unset: tuple[int, bytes] | None = None

    def __getstate__(self) -> dict[str, Any]:
        """Pickle (or deep-copy) with a note of the RAM, which the copy's emulator will not have."""
        now = self._now()
        return {**vars(self), "_unset": _NO_STATE if self._unset == now else now}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Restore a pickle or a deep copy; ale-py gives it a new emulator without the original's state."""
        vars(self).update(state)
        now = self._now()
        self._unset = now if now != self._unset else None

    @property
    def game(self) -> str:
        """The game's name, as in :func:`atariari_data.game_names`."""
        return self._decoder.game

    @property
    def label_set(self) -> str:
        """The label set's name."""
        return self._decoder.label_set

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[ObsType, dict[str, Any]]:
        """Reset the environment; ``info["labels"]`` describes the first observation."""
        observation, info = self.env.reset(seed=seed, options=options)
        self._unset = None
        info["labels"] = self.labels()
        if self._add_present:
            info["present"] = self._presence()
        return observation, info

    def step(self, action: ActType) -> tuple[ObsType, SupportsFloat, bool, bool, dict[str, Any]]:
        """Step the environment; ``info["labels"]`` describes the state after the step."""
        result = self.env.step(action)
        # labels() inlined: the call takes half a percent of a step of a single frame.
        self._atari.ale.getRAM(self._ram)  # type: ignore[attr-defined]
        result[4]["labels"] = self._decoder.scalars(self._ram.tobytes())
        if self._add_present:
            result[4]["present"] = self._presence()
        return result

    def labels(self) -> dict[str, int]:
        """Return the labels of the emulator's current RAM.

        Raises:
            UsageError: This is a copy or a pickle that was neither reset nor restored: ale-py gives it a new
                emulator, without the original's state.
        """
        if self._unset is not None and self._unset == self._now():
            raise UsageError(
                "This copy of the environment has a new emulator without the original's state.",
                cure="Call copy.reset(), or copy.step(0) and then "
                "copy.unwrapped.restore_state(env.unwrapped.clone_state()).",
            )
        self._atari.ale.getRAM(self._ram)  # type: ignore[attr-defined]
        return self._decoder.scalars(self._ram.tobytes())

    def _presence(self) -> dict[str, bool]:
        there = presence(self._ram, self.game, self.label_set)
        return {name: bool(value) for name, value in there.items()}

    def _now(self) -> tuple[int, bytes]:
        ale = self._atari.ale  # type: ignore[attr-defined]
        return ale.getFrameNumber(), ale.getRAM().tobytes()


def _check_atari(env: object) -> None:
    if isinstance(env, VectorEnv):
        raise UsageError(
            f"AtariARIWrapper cannot wrap the vector environment {env}.",
            expected="a single environment; pass the wrapper to the vector environment instead",
            got=type(env.unwrapped).__name__,
            cure='gymnasium.make_vec(id, num_envs, vectorization_mode="sync", wrappers=[AtariARIWrapper]), '
            'or "async" (ale-py\'s AtariVectorEnv does not expose the RAM)',
        )
    if not isinstance(env, gymnasium.Env) or not isinstance(
        getattr(env.unwrapped, "ale", None), ale_py.ALEInterface
    ):
        raise UsageError(
            f"Not an Atari environment: {env}.",
            expected="an ale-py environment",
            got=type(getattr(env, "unwrapped", env)).__name__,
            cure='gymnasium.make("ALE/Pong-v5")',
        )


def _check_mode(atari: Any, game_name: str) -> None:
    # The emulator does not tell its mode; AtariEnv keeps its arguments, None for the default.
    named = {
        "mode": (getattr(atari, "_game_mode", None), atari.ale.getAvailableModes()),
        "difficulty": (getattr(atari, "_game_difficulty", None), atari.ale.getAvailableDifficulties()),
    }
    others = [f"{name} {chosen}" for name, (chosen, known) in named.items() if chosen not in (None, known[0])]
    if others:
        warnings.warn(
            f"The labels of {game_name} were checked in the default mode and difficulty only, and this "
            f"environment runs {' and '.join(others)}. {game_of(game_name).modes}".rstrip(),
            stacklevel=3,
        )


def _annotated_game(env: gymnasium.Env[Any, Any]) -> str:
    name = _rom_name(env)
    try:
        return game_of(name).name
    except UnknownNameError as error:
        raise UsageError(
            f"The game {name} has no annotations: nobody has said yet what its RAM means.",
            expected=error.expected,
            got=name,
            cure="Take one of these games, or annotate this one: "
            "https://atariari.github.io/atariari/howto/add_a_game.html",
        ) from error


def _rom_name(env: gymnasium.Env[Any, Any]) -> str:
    spec = env.unwrapped.spec
    # An AtariEnv created without gymnasium.make has no spec, only a private field.
    name = spec.kwargs.get("game") if spec else getattr(env.unwrapped, "_game", None)
    if not isinstance(name, str):
        raise UsageError(
            f"The game of {env} cannot be determined from its spec.",
            expected='a spec with kwargs["game"]',
            got=spec,
            cure='AtariARIWrapper(env, game="pong")',
        )
    return name
