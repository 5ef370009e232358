"""Commands of ours in processes that have imported the libraries already, which takes longer than most tests.

A server imports them once and forks for each command. The command runs as ``python -m harness`` would, with
its own arguments, environment, working directory and streams.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).parents[1]
MODULES = {"harness": "harness", "atariari-data": "builders"}
"""Programs, and the modules that they run."""


@contextmanager
def programs(folder: Path) -> Iterator[None]:
    """Put our programs into a folder, and run them for as long as the context lasts.

    Elsewhere than on Linux, where frameworks do not survive a fork, they start as usual.
    """
    with tempfile.TemporaryDirectory() as short, contextlib.ExitStack() as stack:
        address = str(Path(short, "socket"))  # of which a system takes about a hundred characters
        if sys.platform == "linux":
            stack.enter_context(_server(address))
        for name, module in MODULES.items():
            way = f'-IS "{__file__}" ask "{address}" {module}' if sys.platform == "linux" else f"-m {module}"
            program = folder / name
            program.write_text(f'#!/bin/sh\nexec "{sys.executable}" {way} "$@"\n', encoding="utf-8")
            program.chmod(0o755)
        yield


@contextmanager
def _server(address: str) -> Iterator[None]:
    server = subprocess.Popen(
        [sys.executable, __file__, "serve", address],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
    )
    try:
        assert server.stdout is not None
        assert server.stdout.readline() == b"ready\n"
        yield
    finally:
        server.terminate()
        server.wait()


def _ask(address: str, *command: str) -> int:
    """Have the server run a command on our streams, and return its exit code."""
    with socket.socket(socket.AF_UNIX) as line:
        line.connect(address)
        request = {"command": command, "environment": dict(os.environ), "folder": os.getcwd()}  # noqa: PTH109
        content = json.dumps(request).encode()
        socket.send_fds(line, [b"%10d" % len(content)], [0, 1, 2])
        line.sendall(content)
        return int(line.recv(4) or b"1")  # nothing if it was killed


def _serve(address: str) -> None:
    import datasets  # noqa: F401
    import sklearn.linear_model  # noqa: F401
    import torch  # noqa: F401

    import harness.evaluation.evaluate
    import harness.report.page  # noqa: F401

    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(address)
        listener.listen()
        print("ready", flush=True)  # noqa: T201
        running: set[int] = set()
        while True:
            line, _ = listener.accept()
            running = {pid for pid in running if os.waitpid(pid, os.WNOHANG) == (0, 0)}
            if pid := os.fork():
                running.add(pid)
                line.close()
            else:
                listener.close()
                _run(line)


def _run(line: socket.socket) -> None:
    """Run the command that is asked for, answer with its exit code, and end this process."""
    import runpy

    head, streams, _, _ = socket.recv_fds(line, 10, 3)
    content = b""
    while len(content) < int(head):
        content += line.recv(int(head) - len(content))
    request = json.loads(content)
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    os.environ.clear()
    os.environ.update(request["environment"])
    os.chdir(request["folder"])
    module, *arguments = request["command"]
    sys.argv = [module, *arguments]
    code: object = 1
    try:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
        code = 0
    except SystemExit as error:
        code = error.code or 0
    except BaseException:  # noqa: BLE001  as Python itself does
        sys.excepthook(*sys.exc_info())
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        line.sendall(b"%d" % (code if isinstance(code, int) else 1))
        os._exit(0)


if __name__ == "__main__":
    if sys.argv[1] == "ask":
        sys.exit(_ask(*sys.argv[2:]))
    _serve(sys.argv[2])
