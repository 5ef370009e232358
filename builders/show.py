"""Show: one picture of a game, from which people see at a glance whether its labels are right.

Above, frames of one episode with each position variable drawn where it says that the thing is; then all
variables over the episode's steps; then how often each value occurs. It comes from a replay of one lane, so
nothing needs to be built.
"""

from __future__ import annotations

import contextlib
from pathlib import Path

from atariari_data.errors import require
from atariari_data.games import DEFAULT_LABEL_SET
from atariari_data.games import game as game_of
from atariari_data.labels import labels as decode
from atariari_data.positions import things
from builders.episode import Episode, episode_of
from builders.files import new_file
from builders.manifest import game_of_config, labels_digest, load_manifest, version_of

FRAMES = 8
_LABELS = "atariari labels"
"""In a picture's metadata: the digest of how its labels were decoded."""


def show(
    config: str,
    out: Path,
    *,
    label_set: str = DEFAULT_LABEL_SET,
    episode: int | None = None,
    replace: bool = False,
) -> Episode:
    """Write the picture of a game, a PNG.

    Args:
        config: ``pong``, ``pong_pretrain`` or ``pong_deep``.
        out: The file.
        label_set: ``v1`` or ``anand2019``.
        episode: Which to show; by default the one of the last split with the most rows.
        replace: Whether to overwrite the file.

    Returns:
        The episode that it shows.

    Raises:
        UnknownNameError: No such config, label set or episode.
        MissingExtraError: Matplotlib is not installed.
        UsageError: The file already exists, and `replace` is not set.
        DataError: It cannot be written, or a variable was annotated after the statistics were computed.
        DriftError: The emulator does not give what was recorded.
    """
    require("matplotlib", "plots")
    from builders.picture import picture

    game = game_of_config(config)
    variables = game_of(game).variables(label_set)
    statistics = load_manifest(config).statistics(label_set)
    with new_file(out, replace=replace) as part:
        shown = episode_of(config, episode)
        figure = picture(
            title=_title(config, label_set, shown),
            episode=shown,
            things=things(variables),
            values=decode(shown.ram, game, label_set),
            lane_values=decode(shown.lane_ram, game, label_set),
            statistics=statistics,
            frames=FRAMES,
        )
        figure.savefig(part, format="png", metadata={_LABELS: labels_digest(game, label_set)})
    return shown


def labels_of(file: Path) -> str | None:
    """Return the digest of how the labels in a picture were decoded; None if `show` did not draw it."""
    from PIL import Image

    with contextlib.suppress(OSError), Image.open(file) as image:
        found: str | None = image.info.get(_LABELS)
        return found
    return None


def _title(config: str, label_set: str, shown: Episode) -> str:
    return (
        f"{game_of(game_of_config(config)).title}, label set {label_set}: {config}, split {shown.split},"
        f" episode {shown.number}, {len(shown.rows):,} rows (dataset {version_of(config)})"
    )
