"""The identity of an encoder in a result, whether it is one for all games or one for each."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from harness.encoders.encoder import EncoderError, LoadedEncoder
from harness.isolation.process import Guards, IsolatedEncoder
from harness.results.declared import printable_name
from harness.results.provenance import Encoder

Opened = LoadedEncoder | IsolatedEncoder


def identity(encoders: Mapping[str, Opened], declared: Mapping[str, str | None]) -> Encoder:
    """Return the part ``encoder`` of a result.

    Args:
        encoders: The encoder of each game, which may be the same for all.
        declared: What the submitter says of it: ``pretraining_data``, ``code``, ``paper``.

    Raises:
        EncoderError: The encoders of the games differ in more than their weights.
    """
    parts = {game: _identity(encoder) for game, encoder in encoders.items()}
    first_game, first = next(iter(parts.items()))
    several = len({id(encoder) for encoder in encoders.values()}) > 1
    for game, part in parts.items():
        for name, value in part.items():
            if value != first[name] and name != "weights":
                raise EncoderError(
                    "The encoders of the games differ in more than their weights.",
                    expected=f"{name} {first[name]}, as for {first_game}",
                    got=f"{value} for {game}",
                )
    weights = first["weights"]
    if several and weights is not None:
        lines = "".join(
            f"{part['weights'].removeprefix('sha256:')}  {g}\n" for g, part in sorted(parts.items())
        )
        weights = f"sha256:{hashlib.sha256(lines.encode()).hexdigest()}"
    per_game = several or any(encoder.per_game for encoder in encoders.values())
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
