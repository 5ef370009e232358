"""The dataset as users load it, on the small recordings, and what happens when files are broken."""

from __future__ import annotations

import errno
import itertools
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pyarrow as pa
import pytest

import atariari_data
import harness
from atariari_data import get_episodes, load_dataset
from atariari_data.errors import AtariariError, DataError, UnknownNameError, UsageError
from builders.atariari import CODE, FRESH_CODE, Atariari
from builders.lane import build_lane, discard
from builders.manifest import load_manifest, load_recording, version_of
from builders.png import from_png
from builders.replay import replay
from builders.verify import verify
from harness.encoders.frame_spec import FrameSpec
from harness.splits import open_split

CONFIGS = ["breakout", "breakout_pretrain", "pong", "pong_pretrain", "pong_deep"]
COLUMNS = [
    "frame",
    "ram",
    "labels",
    "episode",
    "step",
    "action",
    "reward",
    "is_first",
    "is_last",
    "is_terminal",
    "lives",
]


def _run(code: str, cwd: Path, *before: str) -> str:
    done = subprocess.run(
        [*before, sys.executable, "-c", code],
        capture_output=True,
        text=True,
        cwd=cwd,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def copy(built: str, tmp_path: Path) -> Path:
    """A cache of one's own, to break."""
    target = tmp_path / "cache"
    shutil.copytree(built, target)
    return target


def test_the_cache_is_keyed_by_every_module_that_decides_rows(tmp_path: Path) -> None:
    code = "import sys, builders.atariari; print(*(m for m in sys.modules if m.startswith('builders.')))"
    imported = {name.removeprefix("builders.") for name in _run(code, tmp_path).split()}
    assert imported - {"content", "files", "manifest", "progress", "statistics"} == {*CODE, *FRESH_CODE}


def _arrow(cache: Path, split: str) -> Path:
    (file,) = (cache / "atariari" / "pong").rglob(f"atariari-{split}.arrow")
    return file


def _read(file: Path) -> pa.Table:
    with pa.ipc.open_stream(file.read_bytes()) as reader:
        return reader.read_all()


def _write(file: Path, table: pa.Table) -> None:
    with pa.ipc.new_stream(str(file), table.schema) as writer:
        writer.write_table(table)


def test_splits_rows_and_columns_are_the_manifest_s(built: str) -> None:
    data = load_dataset("atariari", "pong", cache_dir=built)
    frozen = load_manifest("pong").configs["pong"].splits
    assert {name: split.num_rows for name, split in data.items()} == {n: s.rows for n, s in frozen.items()}
    assert data["train"].column_names == COLUMNS
    assert str(data["train"].info.version) == version_of("pong")


def test_rows_say_what_the_emulator_showed(built: str) -> None:
    data = load_dataset("atariari", "pong", split="train", cache_dir=built)
    from builders.manifest import load_recording

    expected = [r for lane in range(8) for r in replay(load_recording("pong"), lane, split="train")]
    assert len(expected) == len(data)
    for at in (0, 1, 57, 300, len(data) - 1):
        row, want = data[at], expected[at]
        assert np.array_equal(np.asarray(row["frame"]), want.row.frame.rgb())
        assert row["frame"].mode == "RGB"
        assert bytes(row["ram"]) == want.row.ram
        ram = np.frombuffer(want.row.ram, np.uint8)
        assert row["labels"] == {k: int(v) for k, v in atariari_data.labels(ram, "pong").items()}
        assert (row["episode"], row["step"], row["lives"]) == (want.episode, want.row.step, want.row.lives)
        assert row["is_first"] == (want.row.step == 0)
        assert (row["action"] is None) == (row["reward"] is None) == row["is_last"] == want.row.is_last


def test_is_terminal_only_where_the_game_is_over(built: str) -> None:
    data = load_dataset("atariari", "breakout", cache_dir=built)
    for split in data.values():
        columns = split.select_columns(["is_last", "is_terminal", "lives"])[:]
        for last, terminal, lives in zip(*columns.values(), strict=True):
            assert not terminal or (last and lives == 0)
    assert any(any(split["is_terminal"]) for split in data.values()), "no game ended, so this shows nothing"


def test_the_original_s_labels_on_request(built: str) -> None:
    data = load_dataset("atariari", "breakout", split="test", label_set="anand2019", cache_dir=built)
    row = data[3]
    ram = np.array(row["ram"], np.uint8)
    want = atariari_data.labels(ram, "breakout", "anand2019")
    assert row["labels"] == {name: int(value) for name, value in want.items()}


def test_formats_give_uint8_frames(built: str) -> None:
    import torch

    data = load_dataset("atariari", "pong", split="test", cache_dir=built)
    frames = data.with_format("numpy")[:3]["frame"]
    assert frames.dtype == np.uint8
    assert frames.shape == (3, 210, 160, 3)
    tensors = data.with_format("torch")[:3]["frame"]
    assert tensors.dtype == torch.uint8
    assert sorted(tensors.shape) == [3, 3, 160, 210]
    assert np.array_equal(np.asarray(data[1]["frame"]), frames[1])


def test_streaming_gives_the_same_rows(built: str, tmp_path: Path) -> None:
    stored = load_dataset("atariari", "pong", split="validation", cache_dir=built)
    streamed = load_dataset("atariari", "pong", split="validation", streaming=True, cache_dir=str(tmp_path))
    n = 0
    for a, b in zip(stored, streamed, strict=True):
        assert np.array_equal(np.asarray(a.pop("frame")), np.asarray(b.pop("frame")))
        assert a == b
        n += 1
    assert n == len(stored) > 50
    assert not list(tmp_path.rglob("*.arrow"))


def test_processes_do_not_change_the_rows(built: str, tmp_path: Path) -> None:
    load_dataset("atariari", "pong", num_proc=2, cache_dir=str(tmp_path))
    one = verify("pong", cache_dir=built)
    assert verify("pong", cache_dir=str(tmp_path)) == one
    assert one == {n: s.digest for n, s in load_manifest("pong").configs["pong"].splits.items()}
    assert not list(tmp_path.rglob("*.lanes")), "the stage is removed after a build"


@pytest.mark.parametrize("order", ["import atariari_data, datasets", "import datasets, atariari_data"])
def test_the_bare_name_is_ours_in_either_order_of_import(order: str, built: str, tmp_path: Path) -> None:
    # A local folder of that name, with data in it, must not win.
    (tmp_path / "atariari").mkdir()
    (tmp_path / "atariari" / "data.csv").write_text("a,b\n1,2\n")
    code = (
        f"{order}\n"
        f"d = datasets.load_dataset('atariari', 'pong', cache_dir={built!r})\n"
        "print(d['test'].num_rows, datasets.get_dataset_config_names('atariari'))"
    )
    rows = load_manifest("pong").configs["pong"].splits["test"].rows
    assert _run(code, tmp_path).strip() == f"{rows} {CONFIGS}"


def test_other_names_are_left_to_datasets(tmp_path: Path) -> None:
    (tmp_path / "data.csv").write_text("a,b\n1,2\n")
    data = datasets.load_dataset("csv", data_files=str(tmp_path / "data.csv"), cache_dir=str(tmp_path))
    assert data["train"][0] == {"a": 1, "b": 2}


def test_importing_is_light(tmp_path: Path) -> None:
    code = (
        "import sys, atariari_data, harness\n"
        "heavy = ('numpy', 'torch', 'datasets', 'gymnasium', 'ale_py', 'pyarrow', 'sklearn')\n"
        "print([m for m in heavy if m in sys.modules])"
    )
    assert _run(code, tmp_path).strip() == "[]"


def test_an_unknown_game_says_which_are_known_and_the_nearest() -> None:
    with pytest.raises(UnknownNameError, match="Did you mean 'pong'") as raised:
        load_dataset("atariari", "pogn")
    assert "breakout" in str(raised.value)
    with pytest.raises(UnknownNameError, match="Unknown config"):
        load_dataset("atariari")


@pytest.mark.parametrize(
    ("arguments", "meant"),
    [
        (("pong",), "pong"),
        (("pong", "train"), "pong"),
        (("pogn",), "pong"),
        (("pong_pretrain",), "pong_pretrain"),
        (("ALE/Breakout-v5",), "breakout"),
        (("ALE/Braekout-v5_deep",), "breakout_deep"),
    ],
)
def test_a_game_in_place_of_the_dataset_s_name(arguments: tuple[str, ...], meant: str) -> None:
    with pytest.raises(UsageError, match="the second the game") as raised:
        load_dataset(*arguments)
    assert raised.value.cure == f"load_dataset('atariari', '{meant}')"


def test_no_name_of_others_is_taken_for_a_game(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    monkeypatch.setattr(datasets, "load_dataset", lambda path, name: asked.append((path, name)))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "breakout").mkdir()
    others = (*datasets.packaged_modules._PACKAGED_DATASETS_MODULES, "imdb", "me/breakout", "breakout")
    for path in others:
        load_dataset(path)
    assert asked == [(path, None) for path in others]


def test_a_config_that_is_not_built_is_not_verified(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="is not built") as raised:
        verify("pong", cache_dir=str(tmp_path))
    assert raised.value.cure == "atariari-data build pong"


@pytest.mark.parametrize("share", [0.02, 0.2, 0.4, 0.6, 0.8, 0.95])
def test_flipped_bytes_in_an_arrow_file_are_found(share: float, copy: Path) -> None:
    file = _arrow(copy, "test")
    content = bytearray(file.read_bytes())
    start = int(share * len(content))
    for at in range(start, start + 64):  # padding holds nothing, so one byte may say nothing
        content[at] ^= 0x5A
    file.write_bytes(content)
    with pytest.raises(AtariariError, match="pong, test"):
        verify("pong", cache_dir=str(copy))


def test_a_changed_row_is_named_by_episode_and_step(copy: Path) -> None:
    file = _arrow(copy, "train")
    table = _read(file)
    at = 123
    ram = table["ram"].combine_chunks().flatten().to_numpy().copy()
    ram[at * 128 + 5] ^= 1
    column = pa.FixedSizeListArray.from_arrays(pa.array(ram), 128)
    changed = table.set_column(table.schema.get_field_index("ram"), table.schema.field("ram"), column)
    _write(file, changed)
    episode, step = table["episode"][at].as_py(), table["step"][at].as_py()
    with pytest.raises(DataError, match=f"pong, train, episode {episode}, step {step}: the file was changed"):
        verify("pong", cache_dir=str(copy))


def test_a_changed_label_is_found(copy: Path) -> None:
    file = _arrow(copy, "test")
    table = _read(file)
    labels = table["labels"].combine_chunks()
    names = [field.name for field in labels.type]
    columns = [labels.field(name) for name in names]
    columns[2] = pa.array(columns[2].to_numpy() ^ (np.arange(len(labels)) == 77), pa.uint8())
    changed = pa.StructArray.from_arrays(columns, names)
    table = table.set_column(table.schema.get_field_index("labels"), table.schema.field("labels"), changed)
    _write(file, table)
    episode, step = table["episode"][77].as_py(), table["step"][77].as_py()
    with pytest.raises(DataError, match=f"pong, test, episode {episode}, step {step}: the labels"):
        verify("pong", cache_dir=str(copy))


def test_missing_rows_are_found(copy: Path) -> None:
    file = _arrow(copy, "validation")
    table = _read(file)
    _write(file, table.slice(1))
    with pytest.raises(DataError, match="pong, validation"):
        verify("pong", cache_dir=str(copy))


def test_a_build_goes_on_with_the_lanes_that_are_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[int] = []

    def dies_at_the_fourth(config: str, lane: int, *rest: Any) -> None:
        calls.append(lane)
        if len(calls) == 4:
            raise KeyboardInterrupt
        build_lane(config, lane, *rest)

    monkeypatch.setattr("builders.atariari.build_lane", dies_at_the_fourth)
    with pytest.raises(KeyboardInterrupt):
        load_dataset("atariari", "pong", cache_dir=str(tmp_path))
    assert calls == [0, 1, 2, 3]
    load_dataset("atariari", "pong", cache_dir=str(tmp_path))
    assert calls == [0, 1, 2, 3, 3, 4, 5, 6, 7], "three lanes were done, and are not done again"
    verify("pong", cache_dir=str(tmp_path))


def test_a_worker_that_outlives_its_killed_parent_may_finish_a_lane(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def others_are_first(config: str, lane: int, folder: Path, *rest: Any) -> None:
        if lane % 3 == 0:
            build_lane(config, lane, folder, *rest)
            finished = {file: file.stat().st_mtime_ns for file in folder.iterdir()}
            build_lane(config, lane, folder, *rest)
            assert finished == {file: file.stat().st_mtime_ns for file in folder.iterdir()}
        else:
            build_lane(config, lane, folder, *rest)
        assert not list(folder.parent.glob("partial-*"))

    monkeypatch.setattr("builders.atariari.build_lane", others_are_first)
    load_dataset("atariari", "pong", cache_dir=str(tmp_path))
    verify("pong", cache_dir=str(tmp_path))
    discard(tmp_path / "finished meanwhile")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 64 kB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(folder)], check=False)
    if mounted.returncode:
        pytest.skip("only root may mount a small disk")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_full_disk_says_so(small_disk: Path) -> None:
    with pytest.raises(DataError, match="disk is full") as raised:
        load_dataset("atariari", "pong", cache_dir=str(small_disk))
    assert "HF_DATASETS_CACHE" in str(raised.value.cure)


def test_a_folder_that_cannot_be_written_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(DataError, match="cannot be written"):
        load_dataset("atariari", "pong", cache_dir=str(tmp_path / "file" / "cache"))


def test_the_builder_s_configs_are_the_games() -> None:
    assert sorted(Atariari.builder_configs) == sorted(CONFIGS)


def test_frames_on_disk_are_lossless_pngs(built: str) -> None:
    data = load_dataset("atariari", "pong", split="test", cache_dir=built)
    png = data.cast_column("frame", datasets.Image(decode=False))[0]["frame"]["bytes"]
    assert np.array_equal(from_png(png).rgb(), np.asarray(data[0]["frame"]))


def _cli(*arguments: str, cache: str | None = None) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, **({"HF_DATASETS_CACHE": cache} if cache else {})}
    return subprocess.run(
        [sys.executable, "-c", "from builders.cli.main import main; main()", *arguments],
        capture_output=True,
        text=True,
        check=False,
        env=environment,
        timeout=120,
    )


def test_the_command_builds_verifies_and_lists(tmp_path: Path) -> None:
    done = _cli("build", "pong", "--jobs", "1", "--json", cache=str(tmp_path))
    assert done.returncode == 0, done.stderr
    frozen = load_manifest("pong").configs["pong"].splits
    assert {r["split"]: r["digest"] for r in json.loads(done.stdout)} == {
        n: s.digest for n, s in frozen.items()
    }
    done = _cli("verify", "pong", cache=str(tmp_path))
    assert (done.returncode, done.stdout.count("ok")) == (0, 3), done.stderr
    listed = json.loads(_cli("list", "--json").stdout)
    assert [row["game"] for row in listed] == ["breakout", "pong"]
    info = " ".join(_cli("info", "pong").stdout.split())
    for variable in atariari_data.game("pong").variables():
        assert variable.name in info
        assert variable.description in info, "folded, and whole"


def test_the_command_s_errors(tmp_path: Path) -> None:
    done = _cli("build", "pogn", cache=str(tmp_path))
    assert done.returncode == 2
    assert done.stdout == ""
    assert "Did you mean 'pong'" in done.stderr
    assert "Traceback" not in done.stderr
    done = _cli("verify", "pong", "--json", cache=str(tmp_path))
    assert done.returncode == 1
    assert json.loads(done.stdout)["error"] == "DataError"
    done = _cli("verify", "pong", "--copy", "nowhere", cache=str(tmp_path))
    assert (done.returncode, "'nowhere' does not exist" in done.stderr) == (2, True)
    assert _cli("build").returncode == 2
    assert _cli("nonsense").returncode == 2


def test_the_rows_left_out_are_there_as_context_and_only_where_they_are_named(
    tmp_path: Path,
) -> None:
    """Every stack is of the emulator's last frames, as a replay of everything shows them."""
    folder = str(tmp_path)
    whole = load_dataset("atariari", "breakout", cache_dir=folder)
    assert set(whole) == {"train", "validation", "test"}
    left_out = load_dataset("atariari", "breakout", cache_dir=folder, split="left_out")
    splits = load_manifest("breakout").configs["breakout"].splits
    assert len(left_out) == sum(s.left_out for s in splits.values()) > 0
    everything = load_dataset("atariari", "breakout", cache_dir=folder, split="all")
    assert len(everything) == sum(s.rows for s in splits.values())

    shown = {
        (r.episode, r.row.step): r.row
        for lane in range(8)
        for r in replay(load_recording("breakout"), lane, left_out=True)
    }
    jumps = 0
    for name in whole:
        rows = open_split("breakout", name, cache_dir=folder)
        assert len(rows) == splits[name].rows
        jumps += int((np.diff(rows.step)[np.diff(rows.episode) == 0] > 1).sum())
        stacks = np.concatenate(list(rows.batches(FrameSpec(stack=4, color="rgb"))))
        for episode, step, stack in zip(rows.episode.tolist(), rows.step.tolist(), stacks, strict=True):
            for back, frame in enumerate(reversed(stack)):
                assert np.array_equal(frame, shown[episode, max(step - back, 0)].frame.rgb())
    assert jumps, "no row was left out within an episode, so this shows nothing"

    _, val, *_, test, _ = get_episodes("breakout", num_frame_stack=4, color=True, cache_dir=folder)
    for name, episodes in (("validation", val), ("test", test)):
        number = whole[name]["episode"]
        steps = whole[name]["step"]
        frames = [frame for episode in episodes for frame in episode]
        for episode, step, stack in zip(number, steps, frames, strict=True):
            for back in range(4):
                frame = stack[3 * (3 - back) : 3 * (4 - back)].permute(1, 2, 0).numpy()
                assert np.array_equal(frame, shown[episode, max(step - back, 0)].frame.rgb())

    streamed = load_dataset("atariari", "breakout", cache_dir=folder, streaming=True)
    assert set(streamed) == set(whole)
    streamed = load_dataset("atariari", "breakout", cache_dir=folder, streaming=True, split="all")
    assert [(r["episode"], r["step"]) for r in streamed] == list(
        zip(everything["episode"], everything["step"], strict=True)
    )
    again = load_dataset("atariari", "breakout", cache_dir=folder, streaming=True, split="left_out")
    assert [(r["episode"], r["step"]) for r in again] == list(
        zip(left_out["episode"], left_out["step"], strict=True)
    )


def _cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def _fewer_rows(file: Path) -> None:
    table = _read(file)
    _write(file, table.slice(1))


@pytest.mark.parametrize(
    ("what", "damage"),
    [
        *itertools.product(("info", "train", "left_out"), (_cut, lambda f: f.write_bytes(b""), Path.unlink)),
        *itertools.product(("train", "left_out"), (_fewer_rows,)),
    ],
)
def test_a_damaged_copy_is_built_again_whatever_reads_it(what: str, damage: Any, copy: Path) -> None:
    folder = _arrow(copy, "train").parent
    file = folder / "dataset_info.json" if what == "info" else _arrow(copy, what)
    before = {f.name for f in folder.iterdir()}
    damage(file)
    if what != "info":
        builder = datasets.load_dataset_builder("atariari", "pong", cache_dir=str(copy))
        if damage is not _fewer_rows:
            with pytest.raises(DataError, match=f"pong, {what}: the copy in .* is damaged") as raised:
                builder.as_dataset(what)
            assert raised.value.cure == "atariari-data build pong --rebuild"
        with pytest.raises(DataError, match=f"pong, {what}"):
            verify("pong", cache_dir=str(copy))
    load_dataset("atariari", "pong", cache_dir=str(copy))
    assert {f.name for f in folder.iterdir()} == before
    verify("pong", cache_dir=str(copy))


def _exchange(file: Path, *columns: str) -> None:
    """Exchange these columns of two rows."""
    table = _read(file)
    order = np.arange(len(table))
    order[[3, 60]] = order[[60, 3]]
    for name in columns:
        at = table.schema.get_field_index(name)
        table = table.set_column(at, table.schema.field(at), table[name].take(pa.array(order)))
    _write(file, table)


def test_an_evaluation_reads_what_the_manifest_says_or_nothing(copy: Path) -> None:
    """Frames and RAM of two rows are exchanged: the same number of rows, and every file can be read."""
    open_split("pong", "test", cache_dir=str(copy))  # verified once, under its content
    _exchange(_arrow(copy, "test"), "frame", "ram", "labels")
    for split in ("test", "train"):
        with pytest.raises(DataError, match=r"pong, test, episode .*: the file was changed") as raised:
            open_split("pong", split, cache_dir=str(copy))
        assert raised.value.cure == "atariari-data build pong --rebuild"


def test_what_was_verified_is_not_verified_again(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    open_split("pong", "test", cache_dir=str(copy))
    monkeypatch.setattr("harness.splits.verify", lambda *_, **__: pytest.fail("verified again"))
    open_split("pong", "train", cache_dir=str(copy))


def _dots(frames: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    return np.asarray(frames).reshape(len(frames), -1)[:, ::777].astype(np.float32)


def test_features_of_a_damaged_copy_are_not_kept(
    built: str, copy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Frames of two test rows are exchanged, then the copy is built again: the score is the right one."""
    monkeypatch.setenv("ATARIARI_CACHE", str(tmp_path / "features"))

    def scores(cache: str) -> list[float]:
        monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", Path(cache))
        found = harness.evaluate(_dots, games=["pong"], name="dots", probes=["linear"], progress=False)
        return list(found.to_frame()["score"])

    _exchange(_arrow(copy, "test"), "frame")
    with pytest.raises(DataError, match="the file was changed"):
        scores(str(copy))
    assert not list((tmp_path / "features").rglob("*.np?"))
    load_dataset("atariari", "pong", cache_dir=str(copy), download_mode="force_redownload")
    assert scores(str(copy)) == scores(built)


@pytest.fixture
def read_only(copy: Path) -> Iterator[Path]:
    """A cache of Pong alone that nobody may write to."""
    shutil.rmtree(copy / "atariari" / "breakout", ignore_errors=True)  # which other tests may have built
    for path in (*copy.rglob("*"), copy):
        path.unlink() if path.suffix == ".lock" else path.chmod(0o555 if path.is_dir() else 0o444)
    yield copy
    for path in (copy, *copy.rglob("*")):
        path.chmod(0o755)


def test_a_read_only_cache_is_read(read_only: Path, tmp_path: Path) -> None:
    """The administrator may write everywhere unless this right is dropped."""
    code = f"""
import os
from atariari_data import load_dataset
try:
    open(os.path.join({str(read_only)!r}, "new"), "w")
except OSError as refused:
    print(type(refused).__name__)
rows = load_dataset("atariari", "pong", split="test", cache_dir={str(read_only)!r})
print(len(rows), rows[0]["frame"].size)
try:
    load_dataset("atariari", "breakout", cache_dir={str(read_only)!r})
except Exception as error:
    print(type(error).__name__, error)
"""
    drop = ["setpriv", "--bounding-set=-dac_override"] if os.geteuid() == 0 else []
    refused, rows, other = _run(code, tmp_path, *drop).splitlines()[:3]
    assert refused in ("PermissionError", "OSError")
    assert rows == f"{load_manifest('pong').configs['pong'].splits['test'].rows} (160, 210)"
    assert other.startswith("DataError")
    assert "cannot be written" in other


@pytest.mark.parametrize("number", [errno.EROFS, errno.EACCES, errno.ENOLCK, errno.ENOSYS])
def test_without_a_lock_a_built_game_is_read_and_nothing_is_built(
    number: int, built: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: Any, **__: Any) -> Any:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr("datasets.builder.FileLock", refused)
    read_only = number in (errno.EROFS, errno.EACCES)
    if read_only:
        assert len(load_dataset("atariari", "pong", split="test", cache_dir=built)) > 0
        monkeypatch.setattr("os.makedirs", refused)
    match = "cannot be written" if read_only else "does not support locks"  # some time after the first look
    with pytest.raises(DataError, match=match) as raised:
        load_dataset("atariari", "pong", cache_dir=str(tmp_path / "new"))
    assert "HF_DATASETS_CACHE" in str(raised.value.cure)


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.ENOSYS])
def test_on_a_disk_without_locks_a_game_is_built_apart_and_appears_whole(
    number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: Any) -> Any:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr("fcntl.flock", refused)
    load_dataset("atariari", "pong", cache_dir=str(tmp_path))
    assert verify("pong", cache_dir=str(tmp_path))
    (folder,) = tmp_path.glob("atariari/pong/*")
    assert [path.is_dir() for path in folder.iterdir()] == [True], "nothing but the copy"
    with monkeypatch.context() as built_once:
        built_once.setattr("builders.atariari.build_lane", lambda *_: pytest.fail("built again"))
        assert len(load_dataset("atariari", "pong", split="test", cache_dir=str(tmp_path))) > 0
    before = _arrow(tmp_path, "test").stat().st_mtime_ns
    again = datasets.DownloadMode.FORCE_REDOWNLOAD
    load_dataset("atariari", "pong", cache_dir=str(tmp_path), download_mode=again)
    assert _arrow(tmp_path, "test").stat().st_mtime_ns > before, "built again where that is asked"


@pytest.mark.parametrize("left", [0, -8, -100])
def test_lanes_that_a_power_failure_cut_are_replayed(
    left: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as killed:
        killed.setattr(datasets.ArrowBasedBuilder, "_download_and_prepare", _killed_after_staging)
        with pytest.raises(KeyboardInterrupt):
            load_dataset("atariari", "pong", cache_dir=str(tmp_path))
    files = list(tmp_path.rglob("lane-0/*.arrow"))
    assert files
    for file in files:
        os.truncate(file, max(0, file.stat().st_size + left) if left else 0)
    load_dataset("atariari", "pong", cache_dir=str(tmp_path))
    assert verify("pong", cache_dir=str(tmp_path))


def _killed_after_staging(self: Any, dl_manager: Any, *_: Any, **__: Any) -> None:
    self._split_generators(dl_manager)
    raise KeyboardInterrupt


def test_a_builder_that_has_built_nothing_says_so(tmp_path: Path) -> None:
    builder = datasets.load_dataset_builder("atariari", "pong", cache_dir=str(tmp_path))
    with pytest.raises(FileNotFoundError, match="download_and_prepare"):
        builder.as_dataset()


@pytest.mark.parametrize("streaming", [False, True])
@pytest.mark.parametrize("context", ["fork", "spawn"])
def test_rows_for_torch(streaming: bool, context: str, built: str) -> None:
    from torch.utils.data import DataLoader

    data = load_dataset(
        "atariari", "pong", split="test", cache_dir=built, fill_last=True, streaming=streaming
    ).with_format("torch")
    loader = DataLoader(data, batch_size=32, num_workers=2, multiprocessing_context=context)
    rows, ends = 0, 0
    for batch in loader:
        assert set(batch) == set(COLUMNS)
        assert (str(batch["action"].dtype), str(batch["reward"].dtype)) == ("torch.int64", "torch.float32")
        last = batch["is_last"]
        assert not batch["action"][last].any()
        assert not batch["reward"][last].any()
        assert batch["action"][~last].all(), "the random policy never plays NOOP"
        rows, ends = rows + len(last), ends + int(last.sum())
    plain = load_dataset("atariari", "pong", split="test", cache_dir=built)
    assert (rows, ends) == (len(plain), sum(plain["is_last"]))
    assert plain["action"].count(None) == ends > 0


def test_filled_rows_are_the_same_but_for_the_nulls(built: str) -> None:
    plain = load_dataset("atariari", "pong", split="test[:300]", cache_dir=built)
    filled = load_dataset("atariari", "pong", split="test[:300]", cache_dir=built, fill_last=True)
    assert filled.features == plain.features
    assert filled.column_names == plain.column_names
    columns = [name for name in COLUMNS if name != "frame"]
    for one, other in zip(plain.select_columns(columns), filled.select_columns(columns), strict=True):
        assert other == one | {name: one[name] or 0 for name in ("action", "reward")}
    with pytest.raises(UsageError, match="fill_last"):
        load_dataset("atariari", "pong", cache_dir=built, fill_last="yes")


@pytest.mark.parametrize("name", ["ALE/Pong-v5", "PongNoFrameskip-v4", "Pong"])
def test_load_dataset_takes_the_names_that_game_takes(name: str, built: str) -> None:
    data = load_dataset("atariari", name, split="test", cache_dir=built)
    assert data.info.config_name == "pong"
    assert Atariari(config_name=f"{name}_pretrain", cache_dir=built).config.name == "pong_pretrain"


@pytest.mark.parametrize("num_proc", [0, -1, 2.5, "2", True])
def test_a_number_of_processes_that_is_none_is_refused(num_proc: Any, built: str) -> None:
    with pytest.raises(UsageError, match="Invalid num_proc"):
        load_dataset("atariari", "pong", cache_dir=built, num_proc=num_proc)
