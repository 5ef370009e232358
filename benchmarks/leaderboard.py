"""Time ``verify`` and ``build`` of a leaderboard of generated results, on one core.

python -m benchmarks.leaderboard [--results 1000] [--keep FOLDER]
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from pathlib import Path

from harness.leaderboard import gate, site
from harness.leaderboard.create import draw_frames
from tests.boards import TestBoard
from tests.made_results import GAMES


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--results", type=int, default=1000)
    parser.add_argument("--keep", type=Path)
    options = parser.parse_args()
    for name in ("GIT_AUTHOR", "GIT_COMMITTER"):
        os.environ |= {f"{name}_NAME": "Benchmark", f"{name}_EMAIL": "benchmark@example.org"}
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    with tempfile.TemporaryDirectory() as temporary:
        where = options.keep or Path(temporary)
        where.mkdir(exist_ok=True)
        board = make(where, options.results)
        size = sum(path.stat().st_size for path in (board.folder / "results").rglob("*.json"))
        print(f"{options.results} results, {size / 1e6:.0f} MB")
        begin, cpu = time.monotonic(), cpu_seconds()
        verdict = gate.verify(board.folder)
        print(f"verify {time.monotonic() - begin:.1f} s ({cpu_seconds() - cpu:.1f} CPU s)")
        if verdict.findings:
            raise SystemExit(str(verdict.findings[0]))
        begin, cpu = time.monotonic(), cpu_seconds()
        pages = site.build(gate.verify(board.folder), board.folder / "site")
        print(f"build  {time.monotonic() - begin:.1f} s ({cpu_seconds() - cpu:.1f} CPU s), {pages} pages")
        index = (board.folder / "site" / "index.html").stat().st_size
        whole = sum(path.stat().st_size for path in (board.folder / "site").rglob("*") if path.is_file())
        print(f"front page {index / 1e6:.2f} MB, site {whole / 1e6:.0f} MB")


def cpu_seconds() -> float:
    """Return what this process and git, which it runs, have used."""
    return sum(os.times()[:4])


def make(where: Path, results: int) -> TestBoard:
    board = TestBoard.new(where, GAMES)
    draw_frames(board.folder, GAMES)
    names = ("ST-DIM", "CPC", "ResNet", "ViT", "Random CNN", "VAE", "DINO", "PCA")
    for seed in range(results):
        whole = seed % 8 != 7  # noqa: PLR2004  one in eight has not run every game
        skill = 0.35 + 0.6 * (seed * 37 % 101) / 101
        day = f"2026-{1 + seed % 10:02d}-{1 + seed * 7 % 28:02d}T12:34:56Z"
        options = {"encoder": f"{names[seed % 8]} {seed}", "skill": skill, "finished": day}
        person = ("alice@example.org", "bob@example.org")[seed % 2]
        board.place(board.result(seed, person, games=GAMES if whole else GAMES[:3], **options))
    board.commit(f"{results} results")
    return board


if __name__ == "__main__":
    main()
