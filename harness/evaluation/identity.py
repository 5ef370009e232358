"""The identity of an encoder in a result, whether it is one for all games or one for each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Self

from harness.encoders.encoder import EncoderError, LoadedEncoder
from harness.isolation.process import Guards, IsolatedEncoder
from harness.results.declared import printable_name
from harness.results.provenance import Encoder

Opened = LoadedEncoder | IsolatedEncoder


@dataclass(frozen=True)
class Identity:
    """What identifies an encoder, which may be on another machine.

    Attributes:
        fields: Those of `harness.results.provenance.Encoder` that the encoder itself says.
        per_game: Whether it is fitted to each game.
        sees: ``frames`` or ``ram``.
        device: The device that it runs on.
    """

    fields: Mapping[str, Any]
    per_game: bool
    sees: Literal["frames", "ram"]
    device: str

    @classmethod
    def of(cls, encoder: Opened) -> Self:
        """Return the identity of an open encoder that has embedded something."""
        return cls(_identity(encoder), encoder.per_game, encoder.sees, encoder.device)


def identity(encoders: Mapping[str, Identity], declared: Mapping[str, Any], *, own: bool) -> Encoder:
    """Return the part ``encoder`` of a result.

    Args:
        encoders: The encoder of each game.
        declared: What is said of it: ``pretraining_data``, ``training``, ``code``, ``paper``.
        own: Whether each game has an encoder of its own.

    Raises:
        EncoderError: The encoders of the games differ in more than their weights, or one encoder differs
            between machines.
    """
    parts = {game: encoder.fields for game, encoder in encoders.items()}
    first_game, first = next(iter(parts.items()))
    for game, part in parts.items():
        for name, value in part.items():
            if value != first[name] and not (own and name == "weights"):
                raise EncoderError(
                    "The encoders of the games differ in more than their weights."
                    if own
                    else "The encoder is not the same for all games.",
                    expected=f"{name} {first[name]}, as for {first_game}",
                    got=f"{value} for {game}",
                )
    weights = first["weights"]
    if own and weights is not None:
        weights = {game: part["weights"] for game, part in sorted(parts.items())}
    per_game = own or any(encoder.per_game for encoder in encoders.values())
    return Encoder(**{**first, "weights": weights, "per_game": per_game, **declared})


def weakest(guards: list[Guards]) -> Guards:
    """Return the guards that all of these encoders had."""
    return Guards(
        all(each.own_process for each in guards),
        all(each.no_network for each in guards),
        all(each.no_dataset for each in guards),
        next((each.note for each in guards if each.note), None),
    )


def _identity(encoder: Opened) -> dict[str, Any]:
    spec = encoder.spec
    frames = {
        "color": spec.color,
        "stack": spec.stack,
        "layout": spec.layout.lower(),
        "scale": spec.scale,
        "size": list(spec.size),
    }
    return {
        "name": printable_name(encoder.name, sees_ram=encoder.sees == "ram"),
        "source": f"sha256:{encoder.source_digest}",
        "source_kind": encoder.source_kind,
        "weights": None if encoder.weights_digest is None else f"sha256:{encoder.weights_digest}",
        "feature_size": encoder.feature_size,
        "parameters": encoder.parameters,
        "frames": frames if encoder.sees == "frames" else None,
        "pool": encoder.pool,
        "output": encoder.output,
        "weights_part": encoder.weights_part,
        "precision": encoder.precision,
    }
