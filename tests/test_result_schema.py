from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from harness.results.result import SCHEMA_VERSION, Result, Signed
from harness.results.result_file import read, write
from harness.results.sign import sign_result
from harness.results.variables import Table, Variables
from harness.results.verify import verify
from harness.signing import keys
from tests import made_results
from tools import result_schema

ROOT = Path(__file__).parents[1]
RELEASED = ROOT / "tests" / "released_results"
UPDATE = "python -m tools.result_schema"


def test_the_schema_is_fresh() -> None:
    stored = json.loads((ROOT / "docs" / "result.schema.json").read_text(encoding="utf-8"))
    assert stored == result_schema.schema(), f"run: {UPDATE}"


def test_the_table_of_fields_is_fresh_and_whole() -> None:
    document = (ROOT / "docs" / "result.md").read_text(encoding="utf-8")
    assert document == result_schema.with_table(document), f"run: {UPDATE}"
    documented = dict(re.findall(r"^\| `([\w.*\[\]]+)` \| ([^|]*) \|", document, re.MULTILINE))
    values = made_results.fields()
    values["encoder"]["training"] = made_results.training("vae", {"pong": 9})
    assert set(documented) == set(paths(Result(signatures=[], signed=Signed.build(**values)))) | {
        "signatures[].keyid",
        "signatures[].sig",
    }
    assert all(documented.values())


def paths(value: Any, where: str = "") -> set[str]:
    """Return where the fields of a result are, as the table writes it."""
    if isinstance(value, Table | Variables):
        assert value.columns.keys() <= value.model.model_fields.keys()
        return {f"{where}.{name}" for name in value.model.model_fields}
    if isinstance(value, BaseModel):
        found = set()
        for name in type(value).model_fields:
            path = f"{where}.{name}".lstrip(".")
            found |= {path} | paths(getattr(value, name), path)
        return found
    if isinstance(value, list):
        return set().union(*(paths(item, f"{where}[]") for item in value))
    if isinstance(value, dict):
        return set().union(*(paths(item, f"{where}.*") for item in value.values()))
    return set()


def commands() -> str:
    """Return the document's commands for checking a result without the harness."""
    document = (ROOT / "docs" / "result.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"```sh\n(.*?)```", document, re.DOTALL)
    return str(block)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    public = keys.keygen(tmp_path / "key")
    (tmp_path / "allowed_signers").write_text(f"alice@example.org {public.line}\n", encoding="ascii")
    result = Result(signatures=[], signed=made_results.make(games=("pong",)))
    write(sign_result(result, tmp_path / "key"), tmp_path / "result.json")
    return tmp_path


def run(folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", "-e", "-o", "pipefail", "-c", commands()],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_documents_commands_agree_with_us(folder: Path) -> None:
    verify(folder / "result.json", folder / "allowed_signers")
    done = run(folder)
    assert done.returncode == 0, done.stderr
    assert 'Good "atariari-result-v1" signature for alice@example.org' in done.stdout


def test_the_documents_commands_refuse_a_changed_result(folder: Path) -> None:
    path = folder / "result.json"
    path.write_bytes(path.read_bytes().replace(b'"feature_size":256', b'"feature_size":128'))
    assert run(folder).returncode != 0


def test_a_signature_made_with_openssh_alone_counts(folder: Path) -> None:
    plain = read(folder / "result.json")
    command = "jq -cjS .signed result.json | ssh-keygen -Y sign -f key -n atariari-result-v1"
    assert command in (ROOT / "docs" / "result.md").read_text(encoding="utf-8")
    done = subprocess.run(["bash", "-c", command], cwd=folder, capture_output=True, text=True, check=True)
    assert done.stdout == plain.signatures[0].sig


@pytest.mark.parametrize("path", sorted(RELEASED.glob("*.json")), ids=lambda path: path.name)
def test_files_of_released_versions_stay_readable(path: Path) -> None:
    report = verify(path, RELEASED / "allowed_signers")
    assert report.signed_by_submitter
    assert report.digest in (RELEASED / "digests.txt").read_text(encoding="ascii")


def test_every_released_version_is_there() -> None:
    assert len(list(RELEASED.glob("v*.json"))) == SCHEMA_VERSION
    assert shutil.which("jq") is not None
