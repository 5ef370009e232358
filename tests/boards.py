"""Leaderboards for tests: real git repositories, real keys, results as the harness makes them."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from atariari_data.games import game
from harness.leaderboard.board import BASELINES, PROTOCOL_FORMAT, AcceptedProtocol, path_of
from harness.leaderboard.create import create
from harness.leaderboard.gate import Verdict, verify
from harness.probes.probe import ProbeRun
from harness.results.canonical import to_plain
from harness.results.result import Result, Signed
from harness.results.result_file import write
from harness.results.sign import sign_result
from harness.signing import keys
from harness.signing.sshsig import PublicKey
from harness.targets import targets_of
from tests.made_results import LABEL_SET, PROBES, digest, fields

SUITE = ("breakout", "pong")
BOARD = "board@example.org"
RESERVED = {name: digest("source", name) for name in ("majority", "pixels-pca", "ram", "vae")}


def protocol(suite: tuple[str, ...] = SUITE, **changes: Any) -> AcceptedProtocol:
    """Return the protocol that ``fields`` makes results under."""
    example = fields(games=suite)
    splits = example["dataset"]["splits"]
    ceilings = {
        (name, row["name"]): {key: round(row[key], 4) for key in ("ceiling", "ceiling_accuracy")}
        for name in suite
        for row in example["games"][name]["scores"][0]["variables"]
    }
    baselines = [
        {
            "game": name,
            **{key: scores[key] for key in ProbeRun._fields},
            **dict.fromkeys(BASELINES),
            **{
                key: {row["name"]: round(row[key], 4) for row in scores["variables"]}
                for key in BASELINES
                if key != "ceiling" and scores["variables"][0][key] is not None
            },
        }
        for name in suite
        for scores in example["games"][name]["scores"]
    ]
    values = {
        "schema_version": PROTOCOL_FORMAT,
        "name": "v1",
        "digest": digest("protocol"),
        "accepted_until": None,
        "dataset_version": "0.0.1",
        "label_set": LABEL_SET,
        "probes": [{**ProbeRun(*run)._asdict(), "metric": "f1"} for run in PROBES[:2]],
        "shown": [{**ProbeRun(*run)._asdict(), "metric": "f1"} for run in PROBES[2:]],
        "settings": {p["probe"]: p["settings"] for p in example["probes"]},
        "seeds": example["seeds"],
        "reserved": RESERVED,
        "baselines": baselines,
        "games": {
            name: {
                "rules": digest("rules", name),
                "splits": splits[name],
                "variables": [
                    {
                        "name": v.name,
                        "categories": list(v.categories),
                        "ordered": True,
                        **ceilings[name, v.name],
                    }
                    for v in game(name).variables(LABEL_SET)
                    if v.categories
                ],
                "targets": to_plain(targets_of(name, LABEL_SET)),
            }
            for name in suite
        },
        "suites": {"all": list(suite)},
        **changes,
    }
    return AcceptedProtocol.model_validate(values)


@dataclass
class TestBoard:
    """A leaderboard in a folder, and the keys of the people around it."""

    __test__ = False

    folder: Path
    keys: Path
    suite: tuple[str, ...] = SUITE
    people: dict[str, PublicKey] = field(default_factory=dict)

    @classmethod
    def new(cls, where: Path, suite: tuple[str, ...] = SUITE, **changes: Any) -> TestBoard:
        """Make a leaderboard with a maintainer, Alice's key and Bob's."""
        (where / "keys").mkdir()
        made = cls(where / "board", where / "keys", suite)
        create(made.folder, [protocol(suite, **changes)], title="Test board", maintainers=[BOARD])
        for person in (BOARD, "alice@example.org", "bob@example.org"):
            made.allow(person)
        made.commit("Keys")
        return made

    def key(self, person: str) -> Path:
        """Return a person's key, made when first asked for."""
        path = self.keys / person
        if not path.exists():
            self.people[person] = keys.keygen(path)
        return path

    def line(self, person: str, options: str = "") -> str:
        """Return a person's line for ``allowed_signers``."""
        self.key(person)
        public = PublicKey.from_line((self.keys / f"{person}.pub").read_text(encoding="ascii"))
        return f'{person.split("#", maxsplit=1)[0]} namespaces="atariari-result-v1"{options} {public.line}\n'

    def allow(self, person: str, options: str = "") -> None:
        """Add a person's line to ``allowed_signers``."""
        with (self.folder / "allowed_signers").open("a", encoding="ascii") as file:
            file.write(self.line(person, options))

    def result(self, seed: int = 0, person: str = "alice@example.org", **options: Any) -> Result:
        """Return a result of a person's, signed."""
        options = {"encoder": f"Encoder {seed}", "games": self.suite, "suite": self.suite, **options}
        values = fields(seed, principal=person.split("#", maxsplit=1)[0], **options)
        return self.sign(Signed.build(**values), person)

    def sign(self, signed: Signed, *people: str) -> Result:
        """Sign."""
        result = Result(signatures=[], signed=signed)
        for person in people:
            result = sign_result(result, self.key(person))
        return result

    def place(self, result: Result, path: str | None = None) -> str:
        """Put a result where it belongs, or elsewhere."""
        path = path or path_of(result.signed)
        (self.folder / path).parent.mkdir(parents=True, exist_ok=True)
        write(result, self.folder / path, overwrite=True)
        return path

    def git(self, *arguments: str, **environment: str) -> str:
        """Run git."""
        done = subprocess.run(
            ["git", "-C", str(self.folder), *arguments],
            check=True,
            capture_output=True,
            text=True,
            errors="surrogateescape",  # a path may be any bytes
            env={**os.environ, **environment},
        )
        return done.stdout

    def verify(self, base: str | None = None) -> Verdict:
        """Commit everything, and ask the gate."""
        if self.git("status", "--porcelain"):
            self.commit()
        return verify(self.folder, base)

    def commit(self, message: str = "Change", date: str | None = None) -> None:
        """Commit everything."""
        self.git("add", "--all")
        when = {"GIT_COMMITTER_DATE": date, "GIT_AUTHOR_DATE": date} if date else {}
        self.git("commit", "--quiet", "--allow-empty", "-m", message, **when)
