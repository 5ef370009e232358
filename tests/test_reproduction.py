"""Results run again, and on test splits recorded afresh: with real files, keys and processes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

import harness
from atariari_data.errors import UsageError
from builders.manifest import load_manifest
from harness.cli import output
from harness.cli.main import cli
from harness.encoders.frame_spec import FrameSpec
from harness.evaluation.fresh import gaps, record_test
from harness.evaluation.reproduction import reproduce
from harness.probes.registry import load_probe
from harness.results.result import Result
from harness.results.result_file import read, write
from harness.signing.keys import keygen
from harness.splits import SplitRows, open_split

CODE = """
def encoder(frames):
    return {"frames": frames, "coarse": frames[:, 0, ::15, ::15].reshape(len(frames), -1)}
"""


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("encoder") / "my_encoder.py"
    path.write_text(CODE, encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def result(encoder: Path) -> Result:
    options = {"probes": ["linear"], "limit": 150, "isolate": False, "progress": False, "output": "coarse"}
    return harness.evaluate(encoder, games=["pong"], **options)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def splits() -> dict[str, SplitRows]:
    return {name: open_split("pong", name) for name in ("train", "validation", "test")}


def pictures(rows: SplitRows) -> set[bytes]:
    return {frame.tobytes() for batch in rows.batches(FrameSpec(color="rgb")) for frame in batch}


def test_a_result_is_reproduced_bit_for_bit_and_cosigned(
    result: Result, encoder: Path, tmp_path: Path
) -> None:
    path = write(result, tmp_path / "result.json")
    keygen(tmp_path / "key")
    run = CliRunner().invoke(
        cli, ["reproduce", str(path), str(encoder), "--key", str(tmp_path / "key"), "--quiet", "--json"]
    )
    assert run.exit_code == 0, run.output
    found = json.loads(run.stdout)
    assert found["reproduced"]
    compared = {row["what"]: row for row in found["compared"]}
    assert compared["pong, embeddings"]["agrees"]
    assert compared["pong, predictions of linear, all rows"]["agrees"]
    assert compared["pong, linear, 1k rows: mean score"]["agrees"]
    cosigned = read(path)
    assert cosigned.signed.encoder.output == "coarse"
    assert [signature.keyid for signature in cosigned.signatures] == [found["cosigned"]]
    assert cosigned.signed == result.signed


def test_a_locked_key_is_asked_for_after_the_outcome_is_printed(
    result: Result, encoder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(result, tmp_path / "result.json")
    keygen(tmp_path / "key", passphrase="open")  # noqa: S106
    asked = ["reproduce", str(path), str(encoder), "--key", str(tmp_path / "key"), "--quiet"]
    run = CliRunner().invoke(cli, asked)
    assert run.exit_code == 1
    assert "has a passphrase" in run.stderr  # without a terminal, before the rerun
    assert run.stdout == ""
    monkeypatch.setattr(output, "has_terminal", lambda: True)
    wrong = CliRunner().invoke(cli, asked, input="wrong\n")
    assert wrong.exit_code == 1
    assert "result.json: reproduced" in wrong.stdout
    assert "Wrong passphrase" in wrong.stderr
    assert not read(path).signatures
    right = CliRunner().invoke(cli, [*asked, "--json"], input="open\n")
    assert right.exit_code == 0, right.output
    assert [signature.keyid for signature in read(path).signatures] == [json.loads(right.stdout)["cosigned"]]


def test_the_encoder_is_looked_for_first(result: Result, encoder: Path, tmp_path: Path) -> None:
    path = tmp_path / "ram.json"
    path.write_bytes(result.content.replace(b'"name":"my_encoder"', b'"name":"ram"'))
    assert read(path).signed.encoder.name == "ram"
    for given, said in (
        ("nope.py", "No such encoder file or name: 'nope.py'"),
        (
            str(encoder),
            f"ram.json is a result of the built-in encoder 'ram'.\n  expected: harness reproduce {path} ram",
        ),
    ):
        run = CliRunner().invoke(cli, ["reproduce", str(path), given, "--quiet"])
        assert run.exit_code == 2
        assert said in run.stderr


def test_another_encoder_or_other_scores_are_not(result: Result, tmp_path: Path) -> None:
    other = tmp_path / "my_encoder.py"
    other.write_text(CODE.replace("::15, ::15", "::15, ::16"), encoding="utf-8")
    path = write(result, tmp_path / "result.json")
    keygen(tmp_path / "key")
    run = CliRunner().invoke(
        cli, ["reproduce", str(path), str(other), "--key", str(tmp_path / "key"), "--quiet"]
    )
    assert run.exit_code == 1
    assert "DIFFERS" in run.stdout
    assert "not reproduced" in run.stdout
    assert not read(path).signatures


@pytest.mark.parametrize("what", ["score", "lower end of the interval", "error"])
def test_numbers_that_were_made_up_are_found(what: str, result: Result, encoder: Path) -> None:
    plain = json.loads(json.dumps(result.signed.plain))
    scores = plain["games"]["pong"]["scores"][0]
    made_up = scores["variables"]
    if what == "score":
        made_up["score"][0] += 0.1 if made_up["score"][0] < 0.9 else -0.1
        made_up["interval"][0] = [0.0, 1.0]
    elif what == "error":
        made_up["error"][0] /= 10
    else:
        made_up["interval"] = [[score, score] for score in made_up["score"]]
    for part in (plain, scores):
        part.pop("means", None)
    plain.pop("schema_version")
    plain.pop("suite")
    for game in plain["games"].values():
        for one in game["scores"]:
            one.pop("means", None)
    claimed = Result(signatures=[], signed=type(result.signed).build(**plain))
    found = reproduce(claimed, encoder, isolate=False, progress=False)
    assert not found.agrees
    wrong = [row.what for row in found.rows if row.decides and not row.agrees]
    assert f"pong, linear, all rows: {what} of the variable furthest apart" in wrong
    assert not [what for what in wrong if "1k" in what or "encoder" in what]


def test_tolerances_are_by_the_rows_that_a_probe_was_fitted_to(result: Result, encoder: Path) -> None:
    """A dry run of all rows is a fit to few."""
    linear = load_probe("linear")
    assert linear.tolerance(0) == linear.tolerance(1_000)
    assert linear.tolerance(31_022) < linear.tolerance(1_000)
    found = reproduce(result, encoder, isolate=False, progress=False)
    shown = [row.ours for row in found.rows if "score of the variable furthest apart" in row.what]
    assert shown
    assert all(text.endswith(f"at most {linear.tolerance(150).variable}") for text in shown)


def test_other_rules_are_not_run(result: Result, encoder: Path) -> None:
    plain = {**result.signed.plain, "protocol": {"name": "v1", "digest": "blake3:" + "0" * 64}}
    signed = type(result.signed).model_validate(plain)
    with pytest.raises(UsageError, match="other rules"):
        reproduce(Result(signatures=[], signed=signed), encoder)


def test_a_fresh_split_is_new_and_the_same_for_the_same_seed(splits: dict[str, SplitRows]) -> None:
    manifest = load_manifest("pong")
    one = record_test(manifest, splits, 3)
    assert one.digest == record_test(manifest, splits, 3).digest
    assert one.digest != record_test(manifest, splits, 5).digest
    known = set().union(*(pictures(rows) for rows in splits.values()))
    assert not pictures(one.rows) & known
    test = manifest.configs["pong"].splits["test"]
    assert 0 < len(one.rows) <= max(test.rows + test.left_out, 8 * 65), "the rows, or an episode a lane"
    assert np.all(np.diff(one.rows.episode.astype(np.int64) * 100_000 + one.rows.step) > 0)
    with pytest.raises(UsageError, match="Invalid seed"):
        record_test(manifest, splits, -1)


def test_a_table_of_the_published_frames_loses_on_a_fresh_split(tmp_path: Path) -> None:
    """What no wall catches: labels of frames that were looked up beforehand."""
    path = tmp_path / "memory.py"
    labels, frames = [], []
    for name in ("train", "validation", "test"):
        rows = open_split("pong", name)
        labels.append(rows.ram)
        frames += [f.tobytes() for batch in rows.batches(FrameSpec(scale="byte")) for f in batch]
    import zlib

    np.savez(tmp_path / "table.npz", key=[zlib.crc32(f) for f in frames], ram=np.concatenate(labels))
    path.write_text(
        """
import pathlib, zlib
import numpy as np
from harness.encoders.encoder import FrameSpec
spec = FrameSpec(scale="byte")
table = np.load(pathlib.Path(__file__).with_name("table.npz"))
known = {int(k): np.unpackbits(r).astype(np.float32) for k, r in zip(table["key"], table["ram"])}
nothing = np.zeros(1024, np.float32)
def encoder(frames):
    return np.stack([known.get(zlib.crc32(f.tobytes()), nothing) for f in frames])
""",
        encoding="utf-8",
    )
    options = {"games": ["pong"], "train_sizes": ["1k"], "progress": False}
    public = harness.evaluate(path, **options)  # type: ignore[arg-type]
    fresh = harness.evaluate(path, fresh_seed=3, **options)  # type: ignore[arg-type]
    assert fresh.signed.dataset.fresh_seed == 3
    assert not fresh.signed.ranked
    assert fresh.signed.unranked_reason is not None
    assert "seed 3" in fresh.signed.unranked_reason
    digests = [r.signed.dataset.splits["pong"] for r in (public, fresh)]
    assert digests[0]["train"] == digests[1]["train"]
    assert digests[0]["test"] != digests[1]["test"]
    lost = gaps(public, fresh)["mean"]["gap"]
    assert lost is not None
    assert lost > 0.03


def test_the_command_shows_the_gap(encoder: Path, tmp_path: Path) -> None:
    out = tmp_path / "fresh.json"
    asked = ["evaluate", str(encoder), "--games", "pong", "--fresh-seed", "5", "--limit", "150"]
    asked += ["--output", "coarse"]
    run = CliRunner().invoke(cli, [*asked, "--no-isolation", "--quiet", "--out", str(out)])
    assert run.exit_code == 0, run.output
    assert "frozen" in run.stdout
    assert "lost" in run.stdout
    signed = read(out).signed
    assert signed.dataset.fresh_seed == 5
    assert all(v.ceiling_accuracy is None for v in signed.games["pong"].scores[0].variables)
