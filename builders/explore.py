"""Exploring a game: an archive search that can be stopped and resumed, and what it reached over time."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path

import numpy as np

from atariari_data.errors import UsageError, require
from atariari_data.games import game as game_of
from builders.archive import Archive, load, save
from builders.audit.branches import Branches
from builders.cells import Cells
from builders.files import new_file
from builders.search import GIGABYTES, Reached, Search

POINTS = 100
"""Rows of the table."""
SAVES = 10
"""After so many of these the archive is kept, for a search that is killed."""


def explore(
    game: str,
    folder: Path,
    *,
    steps: int,
    seed: int,
    gigabytes: float = GIGABYTES,
    progress: Callable[[Reached], object] = lambda _: None,
) -> list[Path]:
    """Search a game and write what was reached; go on where an earlier call stopped.

    Args:
        game: The game's name.
        folder: Where ``GAME-SEED.parquet`` (the archive), ``.csv`` (what was reached after how many steps)
            and ``.png`` (the same as a picture) are written.
        steps: Agent steps in all, four frames each.
        seed: The seed of the emulator and of the search.
        gigabytes: Memory for emulator states.
        progress: Called now and then.

    Returns:
        The files.

    Raises:
        UsageError: The archive in the folder has more steps already.
        DataError: It cannot be read or written.
        MissingExtraError: Matplotlib is not installed.
    """
    archive_file, table, picture = (folder / f"{game}-{seed}.{kind}" for kind in ("parquet", "csv", "png"))
    require("matplotlib", "plots")
    archive = searched(game, archive_file, steps=steps, seed=seed, gigabytes=gigabytes, progress=progress)
    rows = over_time(archive)
    with new_file(table, replace=True) as part, part.open("w", newline="", encoding="ascii") as file:
        writer = csv.writer(file)
        writer.writerow(("steps", "cells", "reward", "rooms", "longest"))
        writer.writerows((r.steps, r.cells, f"{r.reward:g}", r.rooms, r.longest) for r in rows)
    with new_file(picture, replace=True) as part:
        draw(archive, rows, part)
    return [archive_file, table, picture]


def searched(
    game: str,
    file: Path,
    *,
    steps: int,
    seed: int,
    gigabytes: float = GIGABYTES,
    progress: Callable[[Reached], object] = lambda _: None,
) -> Archive:
    """Search a game, or go on with the search in a file, and keep in it what was found.

    Args:
        game: The game's name.
        file: The archive.
        steps: Agent steps in all, four frames each.
        seed: The seed of the emulator and of the search.
        gigabytes: Memory for emulator states.
        progress: Called now and then.

    Raises:
        UsageError: The archive has more steps already.
        DataError: It cannot be read or written.
    """
    archive = load(file) if file.exists() else Archive(game, seed)
    if archive.steps > steps:
        raise UsageError(
            f"{file} has more steps than that.",
            expected=f"--steps {archive.steps} or more",
            got=steps,
            cure="Or name another folder.",
        )
    if archive.steps == steps:
        return archive
    found = Search(archive, Branches(game, seed), gigabytes)
    every = max(1, steps // POINTS)
    at, keep = archive.steps, archive.steps
    try:
        while archive.steps < steps:
            if archive.steps >= keep:  # also at the start, so that a folder that is closed is told at once
                save(archive, file)
                keep = archive.steps + SAVES * every
            found.go(steps)
            if archive.steps >= at:
                progress(found.reached())
                at = archive.steps + every
        progress(found.reached())
    finally:  # interrupted, too: what was found is kept
        save(archive, file)
    return archive


def over_time(archive: Archive) -> list[Reached]:
    """Return what a search had reached after each hundredth of its steps."""
    read = Cells.of(archive.game).reader()
    rooms: set[tuple[int, ...]] = set()
    reward, longest, cell, rows = 0.0, 0, 0, []
    for steps in np.linspace(0, archive.steps, POINTS + 1).astype(int)[1:].tolist():
        while cell < len(archive) and archive.found[cell] <= steps:
            rooms.add(read(archive.ram[cell]).room)
            reward, longest = max(reward, archive.reward[cell]), max(longest, archive.depth[cell])
            cell += 1
        rows.append(Reached(steps, cell, reward, len(rooms), longest))
    return rows


def draw(archive: Archive, rows: list[Reached], path: Path) -> None:
    """Draw cells, reward, rooms and the longest path over the steps of a search, as PNG."""
    from matplotlib.figure import Figure

    panels = {"cells": "Cells", "reward": "Highest reward", "longest": "Longest path (steps)"}
    if Cells.of(archive.game).has_rooms:
        panels["rooms"] = "Rooms or levels"
    figure = Figure(figsize=(3.2 * len(panels), 2.8), layout="constrained")
    axes = figure.subplots(1, len(panels))
    for axis, (name, title) in zip(axes, panels.items(), strict=True):
        axis.plot([row.steps for row in rows], [getattr(row, name) for row in rows], color="#1f5fa8")
        axis.set(title=title, xlabel="search steps", xlim=(0, archive.steps), ylim=(0, None))
        axis.spines[["top", "right"]].set_visible(False)
        axis.ticklabel_format(axis="x", style="sci", scilimits=(3, 3))
    figure.suptitle(f"{game_of(archive.game).title}, seed {archive.seed}")
    figure.savefig(path, format="png", dpi=110)
