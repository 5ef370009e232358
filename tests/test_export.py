from __future__ import annotations

import hashlib
import io
import json
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from huggingface_hub.errors import HfHubHTTPError, RepositoryNotFoundError
from PIL import Image

from atariari_data.errors import DataError, UsageError
from builders import hub
from builders.card import is_ours, write_card
from builders.croissant import write_croissant
from builders.export import SHARDS, _write_labels, export, verify_copy
from builders.manifest import labels_digest, load_manifest
from builders.shards import shard, shards
from builders.show import labels_of
from tests.conftest import change_a_label

SPLITS = load_manifest("pong").configs["pong"].splits


@pytest.fixture(scope="module")
def copy(built: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An exported Pong; shared, so nobody changes it."""
    folder = tmp_path_factory.mktemp("copy")
    export(["pong"], folder, cache_dir=built, progress=False)
    return folder


def test_stock_datasets_reads_it(copy: Path, tmp_path: Path) -> None:
    code = f"""
import datasets, json, sys, torch
data = datasets.load_dataset({str(copy)!r}, "pong", cache_dir={str(tmp_path)!r})
row = data["test"][3]
features = data["test"].features
streamed = datasets.load_dataset({str(copy)!r}, "pong", split="test", streaming=True)
rows = list(streamed)
workers = torch.utils.data.DataLoader(streamed.select_columns("step"), batch_size=None, num_workers=2)
ours = [m for m in sys.modules if m.partition(".")[0] in ("atariari_data", "builders", "harness")]
print(json.dumps({{
    "rows": {{name: split.num_rows for name, split in data.items()}},
    "frame": repr(features["frame"]),
    "labels": row["labels"], "ram": row["ram"], "size": row["frame"].size, "mode": row["frame"].mode,
    "streamed": len(rows), "same": rows[3]["frame"].tobytes() == row["frame"].tobytes(),
    "files": streamed.num_shards, "shared": sum(1 for _ in workers),
    "last": [rows[-1]["action"], rows[-1]["is_last"]],
    "types": [features["ram"].feature.dtype]
    + [features[name].dtype for name in ("episode", "action", "reward", "is_first", "lives")],
    "ours": ours,
}}))
"""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["ours"] == []
    assert found["rows"] == {name: split.rows for name, split in SPLITS.items()}
    assert found["frame"].startswith("Image(mode='RGB'")
    assert (found["size"], found["mode"]) == ([160, 210], "RGB")
    assert found["types"] == ["uint8", "int32", "uint8", "float32", "bool", "uint8"]
    assert found["labels"]["ball_x"] == found["ram"][49]
    assert (found["streamed"], found["same"]) == (SPLITS["test"].rows, True)
    assert (found["files"], found["shared"]) == (SHARDS, SPLITS["test"].rows)
    assert found["last"] == [None, True]


def test_the_copy_has_the_manifest_s_digests(copy: Path) -> None:
    assert verify_copy("pong", copy) == {name: split.digest for name, split in SPLITS.items()}


def test_a_changed_copy_does_not(copy: Path, tmp_path: Path) -> None:
    shutil.copytree(copy / "pong", tmp_path / "pong")
    file = shards("pong", "validation", tmp_path)[3]
    table = pq.read_table(file)
    pq.write_table(table.slice(1), file)
    with pytest.raises(DataError, match="pong, validation, episode"):
        verify_copy("pong", tmp_path)
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(DataError, match="cannot be read"):
        verify_copy("pong", tmp_path)
    file.unlink()
    with pytest.raises(DataError, match="not complete"):
        verify_copy("pong", tmp_path)


def test_what_is_finished_is_kept_and_nothing_else_overwritten(
    built: str, copy: Path, tmp_path: Path
) -> None:
    (tmp_path / "pong").mkdir()
    for file in (*shards("pong", "train", copy), shards("pong", "validation", copy)[2]):
        shutil.copy(file, tmp_path / "pong")
    kept = shards("pong", "train", tmp_path)
    before = [file.stat().st_mtime_ns for file in kept]
    files = export(["pong"], tmp_path, files_per_split=2, cache_dir=built, progress=False)
    assert [file.stat().st_mtime_ns for file in kept] == before
    counts = {"train": SHARDS, "validation": SHARDS, "test": 2}  # what was begun is finished as it was
    assert files == [shard("pong", s, i, n, tmp_path) for s, n in counts.items() for i in range(n)]
    assert sorted((tmp_path / "pong").iterdir()) == sorted(files), "nothing half-written stays"
    assert verify_copy("pong", tmp_path)
    files[-1].write_bytes(files[0].read_bytes())
    with pytest.raises(UsageError, match="already exists, and is not pong, test"):
        export(["pong"], tmp_path, cache_dir=built, progress=False)
    shutil.copy(shards("pong", "test", copy)[0], tmp_path / "pong")
    files[-1].unlink()
    with pytest.raises(UsageError, match="two exports of test"):
        export(["pong"], tmp_path, cache_dir=built, progress=False)


def test_a_copy_of_other_labels_is_not_finished(
    built: str, copy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(copy, tmp_path, dirs_exist_ok=True)
    export(["pong"], tmp_path, cache_dir=built, progress=False)
    change_a_label(monkeypatch)
    with pytest.raises(UsageError, match=r"is not pong, train of .* with the labels of this version"):
        export(["pong"], tmp_path, cache_dir=built, progress=False)


def test_a_picture_of_other_labels_is_drawn_again(
    copy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    picture = tmp_path / "images" / "pong_labels.png"
    picture.parent.mkdir()
    shutil.copy(copy / "images" / picture.name, picture)
    before, time = labels_of(picture), picture.stat().st_mtime_ns
    assert before == labels_digest("pong")
    _write_labels("pong", tmp_path)
    assert picture.stat().st_mtime_ns == time
    change_a_label(monkeypatch)
    _write_labels("pong", tmp_path)
    assert labels_of(picture) == labels_digest("pong") != before
    Image.new("RGB", (1, 1)).save(picture)
    _write_labels("pong", tmp_path)
    assert labels_of(picture) is None, "a picture of somebody's own stays"


def test_programs_read_the_metadata(copy: Path, tmp_path: Path) -> None:
    mlcroissant = pytest.importorskip("mlcroissant")
    found = mlcroissant.Dataset(jsonld=copy / "croissant.json")
    assert not found.metadata.ctx.issues.errors
    (warning,) = found.metadata.ctx.issues.warnings
    assert "datePublished" in warning
    assert {record_set.uuid for record_set in found.metadata.record_sets} == {f"pong/{s}" for s in SPLITS}
    rows = pa.concat_tables(map(pq.read_table, shards("pong", "validation", copy))).to_pylist()
    records = list(found.records("pong/validation"))
    assert len(records) == SPLITS["validation"].rows
    for record, row in ((records[0], rows[0]), (records[-1], rows[-1])):
        found = {name.removeprefix("pong/validation/"): value for name, value in record.items()}
        pixels = np.asarray(found.pop("frame").convert("RGB"))
        assert (pixels == np.asarray(Image.open(io.BytesIO(row["frame"]["bytes"])).convert("RGB"))).all()
        assert list(found.pop("labels").values()) == list(row["labels"].values())
        assert found == {name: row[name] for name in found}
        assert set(found) == set(row) - {"frame", "labels"}
    changed = json.loads((copy / "croissant.json").read_text(encoding="utf-8")) | {"name": "Mine"}
    (tmp_path / "croissant.json").write_text(json.dumps(changed), encoding="utf-8")
    with pytest.raises(UsageError, match="was edited since"):
        write_croissant(tmp_path)


def test_the_card(copy: Path, tmp_path: Path) -> None:
    text = (copy / "README.md").read_text(encoding="utf-8")
    for split in SPLITS.values():
        assert split.digest in text
    assert "ROM" in text
    assert "ball_x" in text
    assert "@inproceedings" in text
    assert (copy / "images" / "pong.png").is_file()
    assert "](images/pong.png)" in text
    assert (copy / "images" / "pong_labels.png").is_file()
    assert "](images/pong_labels.png)" in text
    (tmp_path / "README.md").write_text(text.replace("Frames of", "My frames of"), encoding="utf-8")
    with pytest.raises(UsageError, match="was not written by the export"):
        write_card(tmp_path)


class Hub:
    """What the tests need of `huggingface_hub.HfApi`: a repository in memory."""

    def __init__(self, files: dict[str, bytes], folder: Path, error: Exception | None = None) -> None:
        self.files, self.folder, self.error = files, folder, error
        self.token = "hf_x"  # noqa: S105  not a secret

    def repo_info(self, repo_id: str, *, repo_type: str) -> None:
        assert (repo_id, repo_type) == ("org/name", "dataset")
        if self.error:
            raise self.error

    def list_repo_files(self, repo_id: str, *, repo_type: str) -> list[str]:
        self.repo_info(repo_id, repo_type=repo_type)
        return list(self.files)

    def get_paths_info(self, repo_id: str, paths: list[str], *, repo_type: str) -> list[Any]:
        from huggingface_hub.hf_api import RepoFile

        self.repo_info(repo_id, repo_type=repo_type)
        assert paths, "the Hub refuses an empty list"
        found = []
        for path in paths:
            content = self.files[path]
            lfs = {"size": len(content), "oid": hashlib.sha256(content).hexdigest(), "pointerSize": 1}
            git = hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()
            large = {"lfs": lfs} if path.endswith(".parquet") else {}
            file = RepoFile(path=path, size=len(content), oid=git, **large)  # type: ignore[no-untyped-call]
            found.append(file)
        return found

    def hf_hub_download(self, repo_id: str, filename: str, *, repo_type: str) -> str:
        self.repo_info(repo_id, repo_type=repo_type)
        file = self.folder / "downloaded"
        file.write_bytes(self.files[filename])
        return str(file)

    def upload_folder(self, *, repo_id: str, folder_path: str, repo_type: str, **_: Any) -> None:
        self.repo_info(repo_id, repo_type=repo_type)
        root = Path(folder_path)
        self.files |= {str(f.relative_to(root)): f.read_bytes() for f in root.rglob("*") if f.is_file()}


def test_upload_and_upload_again(copy: Path, tmp_path: Path) -> None:
    api = Hub({".gitattributes": b"", "README.md": b"---\nlicense: mit\n---\n"}, tmp_path)
    assert hub.upload(copy, "org/name", api).endswith("/datasets/org/name")
    file = shards("pong", "train", copy)[0]
    assert api.files[f"pong/{file.name}"] == file.read_bytes()
    assert is_ours(api.files["README.md"])
    hub.upload(copy, "org/name", api)
    hub.upload(copy, "org/name", Hub({".gitattributes": b""}, tmp_path))


def test_upload_overwrites_nothing_of_others(copy: Path, tmp_path: Path) -> None:
    for files, match in (
        ({"pong/test-00000-of-00008.parquet": b"other"}, "a different pong/test-00000-of-00008.parquet"),
        ({"croissant.json": b"{}"}, "a different croissant.json"),
        ({"README.md": b"# Mine\n"}, "a different README.md"),
        ({"breakout/test.parquet": b""}, "breakout/test.parquet"),
    ):
        api = Hub(dict(files), tmp_path)
        with pytest.raises(UsageError, match=match):
            hub.upload(copy, "org/name", api)
        assert api.files == files


def test_errors_of_the_hub_say_what_to_do(
    copy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import huggingface_hub

    answer: Any = SimpleNamespace(headers={}, request=None, status_code=404)
    api = Hub({}, tmp_path, RepositoryNotFoundError("no", response=answer))
    with pytest.raises(UsageError, match="No dataset org/name") as raised:
        hub.check_access("org/name", api)
    assert "hf repos create org/name" in str(raised.value.cure)
    api = Hub({}, tmp_path, HfHubHTTPError("quota", response=answer))
    with pytest.raises(DataError, match="quota"):
        hub.upload(copy, "org/name", api)
    api = Hub({}, tmp_path, RuntimeError("no route to host"))  # of the library that speaks HTTP
    with pytest.raises(DataError, match="no route to host"):
        hub.check_access("org/name", api)
    monkeypatch.setattr(huggingface_hub, "get_token", lambda: None)
    api.token = ""
    with pytest.raises(UsageError, match="No token"):
        hub.check_access("org/name", api)
    with pytest.raises(UsageError, match="Not an address"):
        hub.repository("hf://models/org/name")
