"""Create a leaderboard: a git repository with rules, keys, workflow, README and tests."""

from __future__ import annotations

import io
import json
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from importlib import resources
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Final

from atariari_data.errors import UsageError
from atariari_data.games import DEFAULT_LABEL_SET, LABEL_SETS
from atariari_data.games import game as game_of
from harness.leaderboard.board import (
    BASELINES,
    PROTOCOL_FORMAT,
    RESULTS,
    RULES,
    SIGNERS,
    AcceptedProtocol,
    parse_rules,
    path_of,
)
from harness.leaderboard.gate import verify
from harness.leaderboard.majority import majority
from harness.leaderboard.repository import BoardError, Repository, commit, git
from harness.probes.probe import STATES, ProbeRun
from harness.results import result_file
from harness.results.canonical import to_plain
from harness.results.result import Result

_FILES = {
    "README.md": "readme.md",
    ".gitattributes": "gitattributes.txt",
    ".gitignore": "gitignore.txt",
    ".github/CODEOWNERS": "codeowners.txt",
    ".github/workflows/leaderboard.yml": "workflow.yml",
    "tests/test_leaderboard.py": "test_leaderboard.txt",
}
GATE: Final = (
    "atariari",
    "annotated-types",
    "blake3",
    "cffi",
    "click",
    "cryptography",
    "jinja2",
    "markupsafe",
    "orjson",
    "pydantic",
    "pydantic-core",
    "typing-extensions",
    "typing-inspection",
    "wrapt",
)
"""What the gate imports, and what that needs; at most 50 MB, so without NumPy.

A board's workflow installs these without their dependencies. The others that ``atariari`` has, such as the
emulator and ``datasets``, the gate never imports, and an extra cannot leave them out.
"""


def create(
    folder: Path,
    protocols: Sequence[AcceptedProtocol],
    *,
    title: str,
    maintainers: Sequence[str] = (),
    frames: Callable[[Path, Sequence[str]], None] | None = None,
) -> None:
    """Create a leaderboard in a new or empty folder, and commit it.

    Args:
        folder: The folder.
        protocols: The accepted protocols; the first one ranks.
        title: Title of the site.
        maintainers: Names of the maintainers, as in ``allowed_signers``.
        frames: Draws a picture of each game, as `draw_frames`.

    Raises:
        UsageError: The folder is not empty.
        BoardError: git failed, or the folder cannot be written. It is then left empty.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UsageError(f"{folder} is not an empty folder.", cure="Name a new folder.")
    try:
        _write_files(folder, protocols, title, maintainers)
        if frames is not None:
            frames(folder, sorted({name for protocol in protocols for name in protocol.games}))
        git(folder, "init", "--quiet", "--initial-branch=main")
        git(folder, "add", "--all")
        commit(folder, f"Create the leaderboard {title!r}\n")
    except OSError as error:
        _empty(folder)
        raise BoardError(f"{folder} cannot be written: {error.strerror or error}.") from error
    except BaseException:
        _empty(folder)
        raise


def _write_files(
    folder: Path, protocols: Sequence[AcceptedProtocol], title: str, maintainers: Sequence[str]
) -> None:
    values: dict[str, Any] = {
        "schema_version": 1,
        "title": title,
        "url": "",
        "current": protocols[0].name,
        "maintainers": list(maintainers),
        "withdrawn": {},
        "removed": {},
    }
    rules = parse_rules(json.dumps(values).encode())
    template = resources.files("harness.leaderboard").joinpath("new")
    owners = " ".join(name if "@" in name else f"@{name}" for name in maintainers) or "@YOUR-ACCOUNT"
    words = {
        "@TITLE@": title,
        "@OWNERS@": owners,
        "@PYTHON@": f"{sys.version_info.major}.{sys.version_info.minor}",
        "@HARNESS@": "\n    ".join(f"{name}=={_version(name)}" for name in GATE),
    }
    for name, source in _FILES.items():
        text = template.joinpath(source).read_text(encoding="utf-8")
        for key, value in words.items():
            text = text.replace(key, value)
        _write(folder / name, text)
    _write(folder / RULES, json.dumps(rules.model_dump(), indent=1) + "\n")
    for protocol in protocols:
        text = json.dumps(protocol.model_dump(), indent=1) + "\n"
        _write(folder / "protocols" / f"{protocol.name}.json", text)
    _write(
        folder / SIGNERS,
        "# Keys and their owners, one line for each key:\n"
        '# you@example.org namespaces="atariari-result-v1" ssh-ed25519 AAAA...\n',
    )
    _write(folder / RESULTS / ".gitkeep", "")


def _empty(folder: Path) -> None:
    for path in folder.iterdir() if folder.is_dir() else ():
        shutil.rmtree(path) if path.is_dir() else path.unlink()


def read_first(results: Path) -> dict[str, tuple[Path, Result]]:
    """Read the first results of a leaderboard; return each file and result by its path in the leaderboard.

    Args:
        results: A folder with ``*.json`` files and ``allowed_signers``.

    Raises:
        UsageError: There are no results, or no ``allowed_signers`` beside them.
        ResultError: A file is not a result, or names no submitter.
    """
    files = sorted(results.glob("*.json"))
    if not files or not (results / SIGNERS).is_file():
        raise UsageError(
            f"{results} has no results to start with.", expected=f"*.json, and {SIGNERS} beside them"
        )
    read = [(file, result_file.read(file)) for file in files]
    return {path_of(result.signed): (file, result) for file, result in read}


def begin_with(folder: Path, first: Mapping[str, tuple[Path, Result]], signers: Path) -> None:
    """Add first results to a new leaderboard, with the keys that signed them, and commit them.

    Args:
        folder: The leaderboard, as `create` left it.
        first: As `read_first` returns it.
        signers: An ``allowed_signers`` file.

    Raises:
        BoardError: The gate refuses one. Then none is added.
    """
    before = Repository(folder).commit_of("HEAD")
    try:
        for path, (_, result) in first.items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            result_file.write(result, folder / path)
        _write(folder / SIGNERS, signers.read_text(encoding="utf-8"))
        git(folder, "add", "--all", "--force", RESULTS, SIGNERS)
        commit(folder, f"Add the first {len(first)} results\n")
        _gate(folder, first)
    except BaseException:
        git(folder, "reset", "--quiet", "--hard", before)
        git(folder, "clean", "--quiet", "--force", "-d")
        raise


def _gate(folder: Path, first: Mapping[str, tuple[Path, Result]]) -> None:
    if findings := verify(folder).findings:
        path, error = findings[0].path, findings[0].error
        name = first[path][0] if path in first else path
        raise BoardError(
            f"The leaderboard was created without results, because {name} is refused: {error.what}",
            expected=error.expected,
            got=error.got,
            cure=error.cure,
        )


def protocols_here() -> list[AcceptedProtocol]:
    """Return the installed harness's protocols on the installed dataset, one for each label set.

    Raises:
        MissingExtraError: The extra ``harness`` is not installed.
    """
    from builders.manifest import recorded_games

    names = recorded_games()
    sets = [s for s in LABEL_SETS if all(s in game_of(name).label_sets for name in names)]
    return [_protocol(names, label_set) for label_set in sets]


def _protocol(names: Sequence[str], label_set: str) -> AcceptedProtocol:
    from builders.manifest import load_manifest
    from harness.probes.registry import PROBES, load_probe
    from harness.protocol import (
        DATASET,
        PROTOCOL,
        RANKED,
        SHOWN,
        game_rules,
        has_deep,
        protocol_digest,
        seeds,
        settings,
        splits_of,
        suites,
    )
    from harness.results.provenance import split_of
    from harness.targets import targets_of
    from harness.trivial.store import FIELDS, look_up

    games: dict[str, Any] = {}
    baselines = []
    for name in names:
        manifest = load_manifest(name)
        known = {v.name: v for v in game_of(name).variables(label_set)}
        splits = {
            split_of(states, part): {"rows": split.rows, "digest": f"blake3:{split.digest}"}
            for states in STATES
            if states == "play" or has_deep(name)
            for part, split in sorted(splits_of(name, states).items())
        }
        statistics = manifest.label_sets[label_set]
        games[name] = {
            "rules": game_rules(name, label_set),
            "splits": splits,
            "variables": [
                {
                    "name": v,
                    "categories": list(known[v].categories),
                    "ordered": known[v].ordered,
                    "ceiling": statistics[v].ceiling_f1,
                    "ceiling_accuracy": statistics[v].ceiling_accuracy,
                }
                for v in manifest.probed(label_set)
            ],
            "targets": targets_of(name, label_set),
        }
        for run in (*RANKED, *SHOWN):
            stored = look_up(manifest, label_set, run)
            fields: dict[str, Any] = {FIELDS[e]: dict(scores) for e, scores in (stored.scores or {}).items()}
            if stored.ceilings:
                fields["ceiling"] = dict(stored.ceilings)
            if load_probe(run.probe).metric == "f1":
                fields |= majority(manifest, label_set, run.train_rows) or {}
            if fields:
                missing = dict.fromkeys(BASELINES)
                baselines.append({"game": name, **run._asdict(), **missing, **fields})
    found = {
        "schema_version": PROTOCOL_FORMAT,
        "name": PROTOCOL if label_set == DEFAULT_LABEL_SET else f"{PROTOCOL}-{label_set}",
        "digest": protocol_digest(label_set),
        "accepted_until": None,
        "dataset_version": DATASET,
        "label_set": label_set,
        "probes": [_choice(run) for run in RANKED],
        "shown": [_choice(run) for run in SHOWN],
        "settings": {probe: settings(probe) for probe in PROBES},
        "seeds": seeds(PROBES),
        "reserved": built_in_sources(),
        "baselines": baselines,
        "games": games,
        "suites": {suite: [g for g in of_it if g in games] for suite, of_it in suites(label_set).items()},
    }
    return AcceptedProtocol.model_validate(to_plain(found))


def _choice(run: ProbeRun) -> dict[str, Any]:
    from harness.probes.registry import load_probe

    return {**run._asdict(), "metric": load_probe(run.probe).metric}


def built_in_sources() -> dict[str, str]:
    """Return the source digest of every built-in encoder, by name."""
    from harness.adapters import load_encoder
    from harness.encoders.digests import object_digest
    from harness.encoders.named import NAMED
    from harness.methods import METHODS, load_method
    from harness.methods.method import Network

    methods = {name: load_method(name) for name in METHODS if name not in NAMED}
    made = {name: method.make_encoder(Network(), method.Options()) for name, method in methods.items()}
    found = {name: object_digest(encoder)[0] for name, encoder in made.items()}
    found |= {name: load_encoder(name).source_digest for name in NAMED}
    return {name: f"sha256:{digest}" for name, digest in sorted(found.items())}


def draw_frames(folder: Path, games: Sequence[str]) -> None:
    """Write a picture of each game to ``frames/`` for the site: its screen after two seconds."""
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


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "0"


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
