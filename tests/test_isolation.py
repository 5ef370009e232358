"""Encoders that look for the answers, keep state, hang, crash, eat and spawn: each in a real process."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

import harness
from atariari_data import load_dataset
from atariari_data.errors import AtariariError, UsageError
from harness.conformance import check
from harness.encoders.encoder import EncoderError
from harness.encoders.frame_spec import FrameSpec, sample_frames
from harness.encoders.objects import Request
from harness.evaluation.embedding import embed
from harness.evaluation.identity import Identity, identity
from harness.isolation import sandbox
from harness.isolation.opening import hidden_folders
from harness.isolation.process import IsolatedEncoder, Limits
from harness.splits import open_split

GOOD = """
def encode(frames):
    return frames[:, 0, ::10, ::10].reshape(len(frames), -1)
"""
LINUX = pytest.mark.skipif(sys.platform != "linux", reason="walls and counts of memory are Linux's")

Start = Callable[..., IsolatedEncoder]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Start an encoder from its code."""
    started: list[IsolatedEncoder] = []

    def of(code: str, seconds: float = 60, gigabytes: float | None = None) -> IsolatedEncoder:
        path = tmp_path / "my_encoder.py"
        path.write_text(f"import numpy as np\n{code}\nencoder = encode\n", encoding="utf-8")
        started.append(
            IsolatedEncoder(str(path), hidden_folders(None), Limits(seconds, gigabytes), Request())
        )
        return started[-1]

    yield of
    for encoder in started:
        encoder.close()


def frames(n: int = 8) -> np.ndarray:
    return sample_frames(FrameSpec(), n)


def test_it_is_what_it_is_in_process(start: Start, tmp_path: Path) -> None:
    encoder = start(GOOD)
    inside = harness.load_encoder(tmp_path / "my_encoder.py")
    assert np.array_equal(encoder.embed(frames()), inside.embed(frames()))
    assert np.array_equal(encoder.embed(frames(20)[3:]), inside.embed(frames(20)[3:]))  # a larger batch
    for name in ("name", "spec", "source_digest", "weights_digest", "parameters", "precision", "device"):
        assert getattr(encoder, name) == getattr(inside, name)
    assert (encoder.files() is not None) == encoder.guards.no_dataset
    assert encoder.feature_size == 336
    assert encoder.guards.own_process


@LINUX
def test_one_that_looks_for_keys_and_other_projects(
    start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    home = tmp_path.with_name(f"{tmp_path.name}-home")
    secrets = {
        "ssh key": home / ".ssh" / "id_ed25519",
        "token": home / ".cache" / "huggingface" / "token",
        "configuration": home / ".config" / "tool.toml",
        "other project": home / "project" / "train.py",
        "key beside it": tmp_path / "my_key",
        "hidden file beside it": tmp_path / ".env",
        "this project": Path(__file__),
    }
    for path in list(secrets.values())[:-1]:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("-----BEGIN OPENSSH PRIVATE KEY-----\n" if "key" in path.name else "secret")
    secrets["ssh key"].write_text("secret")
    (tmp_path / "table.txt").write_text("data")
    monkeypatch.setenv("HOME", str(home))
    for name in ("NVIDIA_API_KEY", "TORCH_TOKEN", "HF_TOKEN", "SSH_AUTH_SOCK", "MY_PROJECT"):
        monkeypatch.setenv(name, "from the environment")
    start(
        f"""
import json, os, subprocess
from pathlib import Path

def attempt(what):
    try:
        return repr(what())[:60]
    except Exception as error:
        return type(error).__name__

secrets = { ({name: str(path) for name, path in secrets.items()})!r}
found = {{name: attempt(lambda: open(path).read()) for name, path in secrets.items()}}
found["by a program"] = attempt(lambda: subprocess.check_output(["cat", secrets["ssh key"]]))
found["list"] = attempt(lambda: os.listdir({str(home)!r}))
print("FOUND", json.dumps(found))
assert Path(__file__).with_name("table.txt").read_text() == "data"
assert "from the environment" not in os.environ.values()
"""
        + GOOD
    )
    found = json.loads(capfd.readouterr().err.split("FOUND ")[1].splitlines()[0])
    assert found.pop("by a program") == "CalledProcessError"
    assert found == dict.fromkeys(found, "PermissionError")


@LINUX
def test_one_that_leaves_notes(start: Start, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Nothing outlives the process: no file or attribute, no System V or POSIX object, no kernel key."""
    start(
        """
import ctypes, json, os, pathlib

libc = ctypes.CDLL(None, use_errno=True)

def attempt(what):
    try:
        return repr(what())[:60]
    except Exception as error:
        return type(error).__name__

me = pathlib.Path(__file__)
print("FOUND", json.dumps({
    "shared memory": attempt(lambda: open("/dev/shm/note", "w")),
    "temporary": attempt(lambda: open("/tmp/note", "w")),
    "beside it": attempt(lambda: me.with_name("note").write_text("note")),
    "itself": attempt(lambda: me.open("a")),
    "link": attempt(lambda: os.link(me, me.with_name("link"))),
    "attribute": attempt(lambda: os.setxattr(me, "user.note", b"1")),
    "shmget": libc.shmget(9713, 10, 0o1666),
    "semget": libc.semget(9713, 1, 0o1666),
    "msgget": libc.msgget(9713, 0o1666),
    "mq_open": libc.syscall({"x86_64": 240, "aarch64": 180}[os.uname().machine], b"note", 0o102, 0o600, None),
    "add_key": libc.syscall(
        {"x86_64": 248, "aarch64": 217}[os.uname().machine], b"user", b"note", b"1", 1, -5
    ),
}))
os.utime(me, (5, 5))
me.chmod(0o640)
pathlib.Path("own").write_text("this one may be written")

import torch
torch.save(torch.nn.Conv2d(1, 4, 8)(torch.rand(2, 1, 210, 160)), "features.pt")
"""
        + GOOD
    )
    found = json.loads(capfd.readouterr().err.split("FOUND ")[1].splitlines()[0])
    assert found.pop("attribute") == "OSError"
    assert all(outcome in ("PermissionError", "OSError", -1) for outcome in found.values()), found
    assert not Path("/dev/shm/note").exists()  # noqa: S108  other processes make and remove others meanwhile
    status = (tmp_path / "my_encoder.py").stat()
    assert (status.st_mtime > 5, status.st_mode & 0o777) == (True, 0o644)


@LINUX
def test_one_that_asks_an_agent(start: Start, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path, name = str(tmp_path / "agent"), f"\0atariari-{os.getpid()}"
    with contextlib.ExitStack() as stack:
        for kind in (socket.SOCK_STREAM, socket.SOCK_SEQPACKET, socket.SOCK_DGRAM):
            for address in (path, name):
                agent = stack.enter_context(socket.socket(socket.AF_UNIX, kind))
                agent.bind(address + str(int(kind)))
                if kind != socket.SOCK_DGRAM:
                    agent.listen()
        start(
            f"""
import json, socket
found = []
for kind in (socket.SOCK_STREAM, socket.SOCK_SEQPACKET, socket.SOCK_DGRAM):
    for address in ({path!r}, {name!r}):
        for make in (lambda: socket.socket(socket.AF_UNIX, kind), lambda: socket.socketpair(type=kind)[0]):
            for reach in ("connect", "sendto"):
                try:
                    one = make()
                    if reach == "connect":
                        one.connect(address + str(int(kind)))
                    elif kind == socket.SOCK_DGRAM:
                        one.sendto(b"note", address + str(int(kind)))
                    else:
                        continue
                    found.append((int(kind), address, reach))
                except OSError:
                    pass
print("FOUND", json.dumps(found))
"""
            + GOOD
        )
        found = capfd.readouterr().err.split("FOUND ")[1].splitlines()[0]
    assert json.loads(found) == []


def test_one_in_a_package(tmp_path: Path) -> None:
    folder = tmp_path / "nets" / "small"
    folder.mkdir(parents=True)
    for name, text in (("../__init__", ""), ("__init__", ""), ("../scale", "SCALE = 2.0")):
        (folder / f"{name}.py").write_text(text, encoding="ascii")
    path = folder / "encoder.py"
    path.write_text("from ..scale import SCALE\ndef encode(x): return x[:, 0, 0] * SCALE", encoding="ascii")
    with IsolatedEncoder(str(path), hidden_folders(None), Limits(60, None), Request()) as encoder:
        assert encoder.embed(frames(3)).shape == (3, 160)


@LINUX
def test_one_that_lies_loose_in_a_folder_of_projects(start: Start, tmp_path: Path) -> None:
    for name in ("other/.git", "other/train.py", "notes.txt"):  # beside a file in no repository
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("secret", encoding="ascii")
    (tmp_path / "beside.py").write_text("number = 1", encoding="ascii")
    code = f"""
import beside
for name in ("other/train.py", "notes.txt"):
    try:
        open({str(tmp_path)!r} + "/" + name).read()
        raise SystemExit("read " + name)
    except PermissionError:
        pass
"""
    start(code + GOOD)
    (tmp_path / ".git").mkdir()  # now it is one project, and the other one a part of it; imports go on
    with pytest.raises(EncoderError, match="read other"):
        start(code + GOOD)


@LINUX
@pytest.mark.parametrize(
    ("code", "match"),
    [
        ("open(__file__ + '.log', 'w')", r"PermissionError(.|\n)*runs in a sandbox"),
        ("import multiprocessing as m\nm.get_context('fork').Pool(2)", "PermissionError(.|\\n)*sandbox"),
        (
            "import torch.utils.data as d\nnext(iter(d.DataLoader([1], num_workers=1)))",
            "PermissionError(.|\\n)*sandbox",
        ),
        ("raise RuntimeError('other')", r"RuntimeError: other$"),
    ],
)
def test_what_the_sandbox_refuses_is_said_to_be_the_sandbox(start: Start, code: str, match: str) -> None:
    with pytest.raises(EncoderError, match=match):
        start(code)


def test_child_processes_that_need_nothing_live(start: Start) -> None:
    encoder = start(
        """
import subprocess, sys, warnings
warnings.simplefilter("ignore")
import joblib
assert subprocess.check_output([sys.executable, "-c", "print(1 + 1)"]) == b"2\\n"
assert joblib.Parallel(n_jobs=2)(joblib.delayed(abs)(i) for i in (-1, -2)) == [1, 2]
"""
        + GOOD
    )
    assert len(encoder.embed(frames())) == 8


@LINUX
def test_one_that_looks_for_the_answers(
    start: Start, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    load_dataset(name="pong")
    arrow = next(path for path in hidden_folders(None)[0].rglob("*.arrow"))
    recording = next(path for path in hidden_folders(None)[-2].iterdir())
    assert arrow.read_bytes()
    encoder = start(
        f"""
import json, os, pathlib, socket, subprocess, sys

def attempt(what):
    try:
        return repr(what())[:200]
    except Exception as error:
        return type(error).__name__

found = {{
    "folder": os.listdir("."),
    "arrow": attempt(lambda: open({str(arrow)!r}, "rb").read(1)),
    "recording": attempt(lambda: open({str(recording)!r}, "rb").read(1)),
    "by a program": attempt(lambda: subprocess.run(["cat", {str(arrow)!r}], capture_output=True, check=True)),
    "by link": attempt(lambda: (os.symlink({str(arrow)!r}, "link"), open("link", "rb").read(1))),
    "command line": attempt(lambda: open(f"/proc/{{os.getppid()}}/cmdline").read()),
    "memory": attempt(lambda: open(f"/proc/{{os.getppid()}}/mem", "rb").read(1)),
    "files": attempt(lambda: os.readlink(f"/proc/{{os.getppid()}}/fd/3")),
    "network": attempt(lambda: socket.create_connection(("127.0.0.1", 1), timeout=1)),
    "udp": attempt(lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM)),
    "write": attempt(lambda: open({str(tmp_path / "note")!r}, "w")),
    "overwrite": attempt(lambda: open({str(arrow)!r}, "ab")),
    "dataset": attempt(lambda: __import__("atariari_data").load_dataset("atariari", "pong")),
    "environment": " ".join(f"{{k}}={{v}}" for k, v in os.environ.items()),
    "arguments": " ".join(sys.argv),
    "here": os.getcwd(),
}}
print("FOUND", json.dumps(found))

def encode(frames):
    return frames[:, 0, ::10, ::10].reshape(len(frames), -1)
"""
    )
    found = json.loads(capfd.readouterr().err.split("FOUND ")[1].splitlines()[0])
    for name in ("arrow", "recording", "by link", "command line", "memory", "files", "network", "udp"):
        assert found.pop(name) == "PermissionError", name
    for name in ("write", "overwrite"):
        assert found.pop(name) == "PermissionError", name
    assert found.pop("by a program") == "CalledProcessError"
    assert "Error" in found.pop("dataset")
    assert found.pop("folder") == []
    for text in found.values():
        for told in ("pong", str(arrow.parents[4]), os.environ["ATARIARI_CACHE"]):
            assert told not in text.replace("test_isolation", "")
    assert encoder.guards.no_network
    assert encoder.guards.no_dataset
    assert encoder.guards.note is None


def test_one_that_keeps_state_between_calls(start: Start) -> None:
    encoder = start(
        """
seen = 0
def encode(frames):
    global seen
    seen += 1
    return frames[:, 0, ::10, ::10].reshape(len(frames), -1) + 0.01 * seen
"""
    )
    rows = {s: open_split("pong", s) for s in ("train", "validation", "test")}
    with pytest.raises(
        EncoderError, match=r"different features(.|\n)*rows differ: (train|validation|test) \d+ by"
    ):
        embed(encoder, rows, lambda _: None)


@pytest.mark.parametrize(
    "hides",
    [
        "np.full((len(x), 1), 1e9)",  # beside one large constant
        "np.full((len(x), 400), 1e9)",  # beside many
        "np.full((len(x), 1), 1e9) * (1 + x[:, :1])",  # beside one that is large and varies
    ],
)
def test_batch_statistics_are_not_hidden_by_large_columns(tmp_path: Path, hides: str) -> None:
    path = tmp_path / "my_encoder.py"
    path.write_text(
        f"""
import numpy as np

def encoder(frames):
    x = frames[:, 0, ::10, ::10].reshape(len(frames), -1)
    return np.concatenate([x - 0.05 * x.mean(0), {hides}], axis=1).astype(np.float32)
""",
        encoding="utf-8",
    )
    encoder = harness.load_encoder(path)
    rows = {"test": open_split("pong", "test")}
    with pytest.raises(EncoderError, match=r"rows differ: test \d+ by .* in feature \d+"):
        embed(encoder, rows, lambda _: None)
    broken = [finding.rule for finding in check(path, seconds=0) if finding.status == "failed"]
    assert broken == ["batch"]


def test_one_that_fails_on_a_single_frame_always_fails(tmp_path: Path) -> None:
    path = tmp_path / "my_encoder.py"
    path.write_text(
        "def encoder(frames):\n    return frames[:, :, ::10, ::10].reshape(len(frames), -1).squeeze()\n",
        encoding="utf-8",
    )
    rows = {"test": open_split("pong", "test", limit=300)}
    for _ in range(5):
        with pytest.raises(EncoderError, match="wrong shape"):
            embed(harness.load_encoder(path), rows, lambda _: None)
    assert [f.rule for f in check(path, seconds=0) if f.status == "failed"] == ["shape"]


def test_rows_come_back_in_order(start: Start) -> None:
    rows = {s: open_split("pong", s) for s in ("train", "validation", "test")}
    told: list[int] = []
    found = embed(start(GOOD), rows, told.append)
    assert sum(told) == sum(map(len, rows.values()))
    for split, features in found.items():
        raw = np.concatenate(list(rows[split].batches(FrameSpec())))
        assert np.allclose(features, raw[:, 0, ::10, ::10].reshape(len(raw), -1) / 255)


def test_one_that_looks_frames_up_in_a_table_is_not_caught(start: Start) -> None:
    """No wall helps against a table among the weights: a fresh test split does."""
    encoder = start(
        """
import zlib
def encode(frames):
    return np.array([[zlib.crc32(f.tobytes()) % 7] for f in frames], dtype=np.float32)
"""
    )
    rows = {"test": open_split("pong", "test")}
    assert embed(encoder, rows, lambda _: None)["test"].shape == (len(rows["test"]), 1)


def test_one_that_never_returns(start: Start) -> None:
    encoder = start(
        "import time\n" + GOOD.replace("return", "time.sleep(len(frames) > 8 and 1000)\n    return"), 15
    )
    assert len(encoder.embed(frames())) == 8
    encoder._limits = Limits(0.5)
    with pytest.raises(EncoderError, match=r"did not finish embedding 9 frames(.|\n)*at most 0.5 s"):
        encoder.embed(frames(9))
    with pytest.raises(EncoderError, match=r"did not finish loading it(.|\n)*: Give it more time: --t"):
        start("while True: pass", 4)


@pytest.mark.parametrize(
    ("code", "match"),
    [
        ("import ctypes; ctypes.string_at(0)", "died while loading it(.|\n)*SIGSEGV"),
        ("import os; os._exit(3)", "ended while loading it(.|\n)*exit code 3(.|\n)*os._exit"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", "SIGKILL .the system ran out of memory"),
        ("raise SystemExit", "Importing my_encoder.py failed at line 2(.|\n)*SystemExit"),
        ("x = 1 / 0", "failed at line 2: `x = 1 / 0`"),
        ("import os; os.closerange(3, 100)", "closed its pipe to the harness while loading it"),
    ],
)
def test_one_that_crashes(start: Start, code: str, match: str) -> None:
    with pytest.raises(EncoderError, match=match):
        start(code)


@LINUX
def test_one_that_eats_memory(start: Start) -> None:
    eats = """
def encode(frames):
    held = []
    while len(frames) > 8:
        held.append(np.ones(5_000_000))
    return frames[:, 0, ::10, ::10].reshape(len(frames), -1)
"""
    encoder = start(eats, gigabytes=2)
    encoder.embed(frames())
    with pytest.raises(EncoderError, match=r"too much memory while embedding 9 frames(.|\n)*at most 2.0 GB"):
        encoder.embed(frames(9))
    with pytest.raises(UsageError, match="memory limit must be positive"):
        start(eats, gigabytes=-1)


def test_one_that_dies_between_batches(start: Start) -> None:
    encoder = start(GOOD)
    encoder.embed(frames())
    os.kill(encoder._process.pid, signal.SIGKILL)
    encoder._process.wait()
    with pytest.raises(EncoderError, match="while embedding"):
        encoder.embed(frames())


def test_one_that_prints_and_forks(start: Start, capfd: pytest.CaptureFixture[str]) -> None:
    encoder = start(
        """
import os, subprocess, sys
print("to standard output")
child = subprocess.Popen(["sleep", "600"])
print(f"sleeper {child.pid}", file=sys.stderr)
def encode(frames):
    os.fork()  # both come back; one of them may speak
    return frames[:, 0, ::10, ::10].reshape(len(frames), -1)
"""
    )
    assert len(encoder.embed(frames())) == 8
    assert len(encoder.embed(frames())) == 8
    encoder.close()
    out, err = capfd.readouterr()
    assert "to standard output" not in out
    assert "to standard output" in err
    sleeper = int(err.split("sleeper ")[1].split()[0])
    for _ in range(50):
        if not _runs(sleeper):
            break
        time.sleep(0.1)
    assert not _runs(sleeper), "it outlived the encoder"


def test_one_that_closes_its_outputs(start: Start) -> None:
    encoder = start("import os, sys\nsys.stdout.close(); sys.stderr.close(); os.closerange(0, 3)" + GOOD)
    assert len(encoder.embed(frames())) == 8


def test_what_was_embedded_is_not_lost_when_it_fails_in_the_next_game(tmp_path: Path) -> None:
    path, most = tmp_path / "my_encoder.py", tmp_path / "most"
    path.write_text(
        f"""
import pathlib
seen = 0
def encoder(frames):
    global seen
    seen += len(frames)
    assert seen <= pathlib.Path({str(most)!r}).stat().st_size, "enough"
    return frames[:, 0, ::10, ::10].reshape(len(frames), -1)
""",
        encoding="utf-8",
    )
    rows = {
        game: sum(len(open_split(game, s, limit=100)) for s in ("train", "validation", "test"))
        for game in ("breakout", "pong")
    }
    look, fill = 8, 63

    def run() -> harness.Result:
        return harness.evaluate(path, games=["breakout", "pong"], limit=100, progress=False)

    most.write_bytes(bytes(look + rows["breakout"] + fill + 256))
    with pytest.raises(EncoderError, match="enough"):
        run()
    most.write_bytes(bytes(look + rows["pong"] + fill + 256))
    assert set(run().signed.games) == {"breakout", "pong"}, "breakout was embedded once more"


@pytest.mark.parametrize(
    "read",
    [
        "table = np.load(here / 'table.npy')",  # while loading
        "import subprocess; table = np.array(eval(subprocess.check_output(['cat', here / 'table.txt'])))",
        "import ctypes; table = np.array(read_by_c(ctypes.CDLL(None), bytes(here / 'table.txt')))",
        "from neighbour.numbers import table",
    ],
)
def test_what_is_kept_depends_on_a_file_that_is_read_while_loading(
    start: Start, tmp_path: Path, read: str
) -> None:
    code = f"""
import pathlib
here = pathlib.Path(__file__).parent
def read_by_c(libc, path):
    buffer = ctypes.create_string_buffer(99)
    libc.read(libc.open(path, 0), buffer, 99)
    return eval(buffer.value)
{read}
def encode(frames):
    x = frames[:, 0, ::10, ::10].reshape(len(frames), -1)
    return x + table[(x.mean(1) == 0).astype(int) + 1][:, None] * (x.mean(1) == 0.123)[:, None]  # never here
"""
    (tmp_path / "neighbour").mkdir()

    def kept(numbers: list[int], before: dict[str, str] | None) -> tuple[bool, dict[str, str] | None]:
        np.save(tmp_path / "table.npy", numbers)
        (tmp_path / "table.txt").write_text(str(numbers), encoding="ascii")
        (tmp_path / "neighbour" / "numbers.py").write_text(
            f"import numpy as np\ntable = np.array({numbers})\n", encoding="ascii"
        )
        with start(code) as encoder:
            return before is not None and encoder.holds(before), encoder.files()

    _, first = kept([1, 2, 3], None)
    holds, other = kept([1, 2, 4], first)
    assert not holds
    assert first is None or first != other
    assert kept([1, 2, 3], first) == (first is not None, first)


def test_what_other_processes_read_costs_nothing(start: Start, tmp_path: Path) -> None:
    """As with a job array on one machine: each looks into the folder of the encoder."""
    (tmp_path / "sibling.py").write_text("x = 1", encoding="ascii")
    first = start(GOOD)
    before = first.files()
    subprocess.run(["cat", tmp_path / "sibling.py"], check=True, capture_output=True)
    files = first.files()
    if files is None or before is None:  # a kernel without guards
        assert files is before
        return
    assert files.keys() - before.keys() == {"sibling.py"}
    later = start(GOOD)
    assert later.holds(before)
    assert later.holds(files)
    (tmp_path / "sibling.py").write_text("x = 2", encoding="ascii")
    assert later.holds(before)
    assert not later.holds(files), "it cannot be told who read it"


def test_features_depend_on_what_is_read_while_embedding(start: Start, tmp_path: Path) -> None:
    table = tmp_path / "table.txt"
    table.write_text("1", encoding="ascii")
    later = start(
        f"""
def encode(frames):
    x = frames[:, 0, ::10, ::10].reshape(len(frames), -1)
    return x * int(open({str(table)!r}).read()) if len(frames) > 8 else x
"""
    )
    at_first = later.files()
    later.embed(frames(8))
    assert later.files() == at_first
    later.embed(frames(9))
    files = later.files()
    if files is not None:
        assert at_first is not None
        assert {Path(place).name for place in files.keys() - at_first.keys()} == {"table.txt"}
        assert later.holds(files)
    always = start(
        f"""
def encode(frames):
    return frames[:, 0, ::10, ::10].reshape(len(frames), -1) * int(open({str(table)!r}).read())
"""
    )
    always.embed(frames(9))
    assert (always.files() is None) == (at_first is None)
    table.write_text("2", encoding="ascii")
    assert always.files() is None
    assert files is None or not later.holds(files)


@pytest.mark.parametrize("while_embedding", [False, True])
def test_a_changed_file_changes_the_second_result(tmp_path: Path, *, while_embedding: bool) -> None:
    """The eight frames of the key do not show it."""
    path, table = tmp_path / "my_encoder.py", tmp_path / "table.txt"
    path.write_text(
        f"""
import numpy as np
factor = {"None" if while_embedding else f"int(open({str(table)!r}).read())"}
def encoder(frames):
    x = frames[:, 0, ::10, ::10].reshape(len(frames), -1)
    black = frames[:, 0].std((1, 2)) < 0.25  # as in the game, unlike the frames of the key
    if not black.any():
        return x
    return np.where(black[:, None], (factor or int(open({str(table)!r}).read())) * x, x)
""",
        encoding="utf-8",
    )

    def run() -> str:
        result = harness.evaluate(path, games=["pong"], limit=40, progress=False)
        return result.signed.games["pong"].embeddings

    table.write_text("1", encoding="ascii")
    first = run()
    assert run() == first
    table.write_text("2", encoding="ascii")
    assert run() != first


@pytest.mark.skipif(sys.platform != "linux", reason="Landlock and seccomp are of Linux")
@pytest.mark.parametrize("number", [errno.ENOSYS, errno.EPERM, errno.EOPNOTSUPP])
def test_a_kernel_without_guards_is_noted_and_the_run_goes_on(number: int, tmp_path: Path) -> None:
    program = f"""
from harness.isolation import sandbox

def refused(*_):
    raise OSError({number}, "refused")

sandbox._call = refused
print(sandbox.close_in([], [], [], [], {str(tmp_path)!r}))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    said = os.strerror(number)
    assert f"note='no Landlock ({said}); no seccomp ({said})'" in done.stdout


def test_part_of_the_output_and_of_the_weights_are_told(tmp_path: Path) -> None:
    path = tmp_path / "my_encoder.py"
    path.write_text(
        """
import torch
class Net(torch.nn.Module):
    output = "half"
    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(160, 4)
    def forward(self, x):
        return {"whole": self.layer(x.mean((1, 2))), "half": self.layer(x.mean((1, 2)))[:, :2]}
""",
        encoding="utf-8",
    )
    layer = torch.nn.Linear(160, 4).state_dict()
    torch.save({f"module.net.layer.{name}": tensor for name, tensor in layer.items()}, tmp_path / "w.pt")
    asked = Request(weights=tmp_path / "w.pt")
    with IsolatedEncoder(str(path), hidden_folders(None), Limits(60, None), asked) as encoder:
        assert (encoder.output, encoder.weights_part) == ("half", "net.")
        assert encoder.embed(frames()).shape == (8, 2)
        declared = {"pretraining_data": "none", "training": None, "code": None, "paper": None}
        said = identity({"pong": Identity.of(encoder)}, declared, own=False)
    assert (said.output, said.weights_part) == ("half", "net.")


def test_what_an_encoder_says_of_itself_is_bounded(start: Start) -> None:
    lies = """
import harness.isolation.worker as worker
tell = worker._answer
worker._answer = lambda me, replies, content, *more: tell(me, replies, {**content, %s}, *more)
"""
    with pytest.raises(EncoderError, match=r"cannot be read(.|\n)*name 'kkk"):
        start(lies % "'name': 'k' * 5000" + GOOD)
    with pytest.raises(EncoderError, match=r"cannot be read(.|\n)*output 'ooo"):
        start(lies % "'output': 'o' * 5000" + GOOD)
    with pytest.raises(EncoderError, match=r"cannot be read(.|\n)*weights_digest 'key'"):
        start(lies % "'weights_digest': 'key'" + GOOD)
    claims = start(lies % "'walls': {'no_network': True, 'no_dataset': True, 'note': 'key'}" + GOOD)
    assert claims.guards.note != "key"


@LINUX
def test_a_guard_that_is_missing_is_named(
    start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on an old kernel: the calls that set the guards up are unknown, and the run goes on."""
    code = Path(sandbox.__file__).read_text(encoding="utf-8")
    for call in ("_call(libc, _CREATE_RULESET, ", "_call(libc, machine.seccomp, "):
        assert call in code
        code = code.replace(call, "_call(libc, 9999, ")
    old = tmp_path / "old_sandbox.py"
    old.write_text(code, encoding="utf-8")
    monkeypatch.setattr(sandbox, "__file__", str(old))
    encoder = start(GOOD)
    assert len(encoder.embed(frames())) == 8
    assert "no Landlock" in str(encoder.guards.note)
    assert "no seccomp" in str(encoder.guards.note)
    assert not encoder.guards.no_dataset
    assert not encoder.guards.no_network
    assert encoder.files() is None


def test_the_result_says_which_guards_held(tmp_path: Path) -> None:
    path = tmp_path / "my_encoder.py"
    path.write_text(f"{GOOD}\nencoder = encode\n", encoding="utf-8")
    isolated = harness.evaluate(path, games=["pong"], limit=40, progress=False).signed.isolation
    assert isolated is not None
    assert isolated.own_process
    assert isolated.shuffled
    assert isolated.second_pass
    open_ = harness.evaluate(path, games=["pong"], limit=40, isolate=False, progress=False).signed.isolation
    assert open_ is not None
    assert not open_.own_process
    assert open_.note == "isolation was switched off"
    thing = harness.evaluate(
        lambda x: x[:, 0, ::10, ::10].reshape(len(x), -1), games=["pong"], limit=40, progress=False
    ).signed.isolation
    assert thing is not None
    assert not thing.no_dataset
    assert thing.note == "the encoder was given as a Python object"


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except OSError:
        return False
    status = Path(f"/proc/{pid}/stat")
    return not (status.exists() and status.read_text(encoding="ascii").rpartition(")")[2].split()[0] == "Z")


def test_errors_keep_their_kind(tmp_path: Path) -> None:
    with pytest.raises(AtariariError, match="No such encoder file"):
        harness.evaluate(tmp_path / "none.py", games=["pong"], limit=40, progress=False)
