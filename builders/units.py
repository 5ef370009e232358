"""Units of work of `atariari-data`: one config or game each, in this process or in a worker elsewhere."""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, TypeVar

from atariari_data.errors import AtariariError
from builders.files import check_new, new_file
from builders.progress import progress_bar
from builders.spread import Engine, Outcome, Task, spread

Made = TypeVar("Made")

_SHOWN: Final = 3


def done(
    function: Callable[..., Made],
    tasks: Sequence[Task],
    engine: Engine,
    *,
    what: str,
    failed: list[str],
    shown: bool = True,
) -> Iterator[tuple[str, Made]]:
    """Do tasks, and yield the name and result of each as it comes.

    Args:
        function: What to call for each.
        tasks: What to call it with.
        engine: Where; a single process is this one, which stops at the first error.
        what: What is being done, for the progress bar.
        failed: Gets the names of the tasks that failed elsewhere, with their errors.
        shown: Whether to show the progress bar.

    Raises:
        AtariariError: A task failed in this process.
    """
    if not engine.spreads(len(tasks)):
        for task in tasks:
            yield task.name, function(*task.arguments)
        return
    outcome: Outcome[Made]
    with progress_bar(len(tasks), what, "task", shown=shown) as bar:
        for outcome in spread(function, tasks, engine):
            bar.update()
            if outcome.error is None:
                yield outcome.name, outcome.get()
            else:
                failed.append(f"{outcome.name} on {outcome.worker}: {outcome.error}")


def refuse_failures(failed: Sequence[str], tasks: int) -> None:
    """Raise one error for all tasks that failed elsewhere.

    Raises:
        AtariariError: There are some.
    """
    if failed:
        raise AtariariError(
            f"{len(failed)} of {tasks} failed.",
            got="\n".join(failed[:_SHOWN]),
            cure="Fix the cause and run it again.",
        )


def build(config: str, cache_dir: str | None, processes: int, rebuild: bool) -> tuple[float, str]:
    """Build a config; return the seconds that it took, and the folder."""
    import datasets

    from atariari_data.dataset import NAME

    start = time.monotonic()
    builder = datasets.load_dataset_builder(NAME, config, cache_dir=cache_dir)
    mode = "force_redownload" if rebuild else "reuse_dataset_if_exists"
    builder.download_and_prepare(num_proc=processes, download_mode=mode)
    return round(time.monotonic() - start, 1), str(builder.cache_dir)


def verify(config: str, cache_dir: str | None, copy: Path | None) -> Mapping[str, str]:
    """Verify a built config, or its copy in a folder; return the digest of each split."""
    from builders.export import verify_copy
    from builders.verify import verify as verify_config

    return verify_copy(config, copy) if copy else verify_config(config, cache_dir=cache_dir)


def audit(name: str, label_set: str, budget: Any, annotations: bytes | None) -> dict[str, Any]:
    """Audit a game, with its annotations or those of a file; return the findings."""
    from atariari_data.games import game, parse
    from builders.audit.audit import audit as audit_game

    known = game(name)
    if annotations is not None:
        page = "https://atariari.github.io/atariari/annotations.html"
        known = parse(known.name, annotations, cure=f"Compare it with {page}")
    return audit_game(known, label_set, budget)


def write_audit(found: Mapping[str, Any], out: Path) -> None:
    """Write the findings to ``GAME.json`` in a folder; nothing is overwritten."""
    with new_file(audit_file(str(found["game"]), out)) as part:
        part.write_text(json.dumps(found, indent=1, allow_nan=False) + "\n", encoding="utf-8")


def audit_file(game: str, out: Path) -> Path:
    """Return where the findings on a game go, which must not be there.

    Raises:
        UsageError: It is.
    """
    path = out / f"{game}.json"
    check_new(path)
    return path


def explore_in(game: str, folder: Path, steps: int, seed: int, gigabytes: float) -> list[Path]:
    """Search a game, and keep what is reached in a folder of this machine; return the files."""
    from builders.explore import explore as explore_game

    return explore_game(game, folder, steps=steps, seed=seed, gigabytes=gigabytes)


def explore(game: str, archive: bytes | None, steps: int, seed: int, gigabytes: float) -> dict[str, bytes]:
    """Search a game in a folder that is not kept, from an archive if there is one; return the files."""
    from builders.explore import explore as explore_game

    with tempfile.TemporaryDirectory(prefix="atariari-explore-") as folder:
        if archive is not None:
            Path(folder, f"{game}-{seed}.parquet").write_bytes(archive)
        files = explore_game(game, Path(folder), steps=steps, seed=seed, gigabytes=gigabytes)
        return {file.name: file.read_bytes() for file in files}
