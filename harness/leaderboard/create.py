"""A new leaderboard: a git repository with rules, keys, workflow, README and tests, that works at once."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Mapping, Sequence
from importlib import resources
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from atariari_data.errors import UsageError
from atariari_data.games import DEFAULT_LABEL_SET, LABEL_SETS
from atariari_data.games import game as game_of
from harness.leaderboard import repository
from harness.leaderboard.board import SIGNERS, AcceptedProtocol, BoardError, parse_rules, path_of
from harness.leaderboard.gate import verify
from harness.results import result_file
from harness.results.canonical import to_plain
from harness.results.result import Result

_FILES = {
    "README.md": "readme.md",
    ".gitattributes": "gitattributes.txt",
    ".gitignore": "gitignore.txt",
    ".github/workflows/leaderboard.yml": "workflow.yml",
    "tests/test_leaderboard.py": "test_leaderboard.txt",
}


def create(
    folder: Path,
    protocols: Sequence[AcceptedProtocol],
    *,
    title: str,
    maintainers: Sequence[str] = (),
    frames: Callable[[Path, Sequence[str]], None] | None = None,
) -> None:
    """Make a leaderboard in a new or empty folder, and commit it.

    Args:
        folder: Where.
        protocols: What it accepts; the first ranks.
        title: Heads the site.
        maintainers: Principals whose co-signature says that a result was reproduced.
        frames: Called to draw a picture of each game, as `draw_frames`.

    Raises:
        UsageError: The folder has something in it.
        BoardError: git failed, or it cannot be written.
    """
    if folder.exists() and any(folder.iterdir()):
        raise UsageError(f"{folder} is not empty.", cure="Name a new folder.")
    values: dict[str, Any] = {
        "schema_version": 1,
        "title": title,
        "url": "",
        "current": protocols[0].name,
        "maintainers": list(maintainers),
        "withdrawn": {},
    }
    rules = parse_rules(json.dumps(values).encode())
    template = resources.files("harness.leaderboard").joinpath("new")
    words = {"@TITLE@": title, "@VERSION@": _version()}
    try:
        for name, source in _FILES.items():
            text = template.joinpath(source).read_text(encoding="utf-8")
            for key, value in words.items():
                text = text.replace(key, value)
            _write(folder / name, text)
        _write(folder / "board.json", json.dumps(rules.model_dump(), indent=1) + "\n")
        for protocol in protocols:
            _write(
                folder / "protocols" / f"{protocol.name}.json",
                json.dumps(protocol.model_dump(), indent=1) + "\n",
            )
        _write(
            folder / SIGNERS,
            "# Whose key is whose. One line for each key:\n"
            '# you@example.org namespaces="atariari-result-v1" ssh-ed25519 AAAA...\n',
        )
        _write(folder / "results" / ".gitkeep", "")
        if frames is not None:
            frames(folder, sorted({name for protocol in protocols for name in protocol.games}))
    except OSError as error:
        raise BoardError(f"{folder} cannot be written: {error.strerror or error}.") from error
    repository.git(folder, "init", "--quiet", "--initial-branch=main")
    repository.git(folder, "add", "--all")
    repository.commit(folder, f"Begin the leaderboard {title!r}\n")


def read_first(results: Path) -> dict[str, tuple[Path, Result]]:
    """Return the results that a leaderboard is to begin with, and their files, by where they go in it.

    Args:
        results: A folder of ``*.json`` and an ``allowed_signers``.

    Raises:
        UsageError: There are none, or no ``allowed_signers`` beside them.
        ResultError: A file is not a result, or nobody vouches for it.
    """
    files = sorted(results.glob("*.json"))
    if not files or not (results / SIGNERS).is_file():
        raise UsageError(
            f"{results} has no results to begin with.", expected=f"*.json, and {SIGNERS} beside them"
        )
    read = [(file, result_file.read(file)) for file in files]
    return {path_of(result.signed): (file, result) for file, result in read}


def begin_with(folder: Path, first: Mapping[str, tuple[Path, Result]], signers: Path) -> None:
    """Put the first results into a new leaderboard, with the keys that they hold against, and commit them.

    Args:
        folder: The leaderboard, as `create` left it.
        first: As of `read_first`.
        signers: An ``allowed_signers`` file.

    Raises:
        BoardError: The gate refuses one. Then none is put in.
    """
    try:
        for path, (_, result) in first.items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            result_file.write(result, folder / path)
        _write(folder / SIGNERS, signers.read_text(encoding="utf-8"))
        _gate(folder, first)
        repository.git(folder, "add", "--all")
        repository.commit(folder, f"Add the first {len(first)} results\n")
    except BaseException:
        repository.git(folder, "reset", "--quiet", "--hard")
        repository.git(folder, "clean", "--quiet", "--force", "-d")
        raise


def _gate(folder: Path, first: Mapping[str, tuple[Path, Result]]) -> None:
    if findings := verify(folder).findings:
        path, error = findings[0].path, findings[0].error
        name = first[path][0] if path in first else path
        raise BoardError(
            f"The leaderboard was made without results, since {name} is refused: {error.what}",
            expected=error.expected,
            got=error.got,
            cure=error.cure,
        )


def protocols_here() -> list[AcceptedProtocol]:
    """Return the protocols of the installed harness, one for each label set, on the installed dataset.

    Raises:
        MissingExtraError: The extra ``harness`` is not installed.
    """
    from builders.manifest import recorded_games

    names = recorded_games()
    sets = [s for s in LABEL_SETS if all(s in game_of(name).label_sets for name in names)]
    return [_protocol(names, label_set) for label_set in sets]


def _protocol(names: Sequence[str], label_set: str) -> AcceptedProtocol:
    from builders.manifest import DATASET_VERSION, load_manifest
    from harness.probes.registry import PROBES
    from harness.protocol import PROTOCOL, RANKED, SHOWN, protocol_digest, seeds, settings
    from harness.trivial.store import look_up

    games: dict[str, Any] = {}
    trivial = []
    for name in names:
        manifest = load_manifest(name)
        categories = {v.name: list(v.categories) for v in game_of(name).variables(label_set)}
        splits = sorted(manifest.configs[name].splits.items())
        statistics = manifest.label_sets[label_set]
        games[name] = {
            "splits": {s: {"rows": split.rows, "digest": f"blake3:{split.digest}"} for s, split in splits},
            "variables": [
                {
                    "name": v,
                    "categories": categories[v],
                    "ceiling_f1": statistics[v].ceiling_f1,
                    "ceiling_accuracy": statistics[v].ceiling_accuracy,
                }
                for v in manifest.probed(label_set)
            ],
        }
        for run in (*RANKED, *SHOWN):
            if (known := look_up(manifest, label_set, run).f1) is not None:
                scores = {f"{encoder.replace('-', '_')}_f1": dict(f1) for encoder, f1 in known.items()}
                trivial.append({"game": name, **run._asdict(), **scores})
    found = {
        "schema_version": 1,
        "name": PROTOCOL if label_set == DEFAULT_LABEL_SET else f"{PROTOCOL}-{label_set}",
        "digest": protocol_digest(label_set),
        "accepted_until": None,
        "dataset_version": DATASET_VERSION,
        "label_set": label_set,
        "probes": [run._asdict() for run in RANKED],
        "shown": [run._asdict() for run in SHOWN],
        "settings": {probe: settings(probe) for probe in PROBES},
        "seeds": seeds(PROBES),
        "trivial": trivial,
        "games": games,
    }
    return AcceptedProtocol.model_validate(to_plain(found))


def draw_frames(folder: Path, games: Sequence[str]) -> None:
    """Put a picture of every game into ``frames/``, for the site: the screen after two seconds of waiting."""
    from ale_py import ALEInterface, LoggerMode, roms
    from PIL import Image

    ALEInterface.setLoggerMode(LoggerMode.Error)
    for name in games:
        ale = ALEInterface()
        ale.setInt("random_seed", 0)
        ale.loadROM(str(roms.get_rom_path(name)))
        for _ in range(120):
            ale.act(0)
        stream = io.BytesIO()
        Image.fromarray(ale.getScreenRGB()).quantize(64).save(stream, "PNG", optimize=True)
        path = folder / "frames" / f"{name}.png"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(stream.getvalue())


def _version() -> str:
    try:
        return version("atariari")
    except PackageNotFoundError:
        return "0"


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
