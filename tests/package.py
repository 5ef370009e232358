"""Code that runs on the games of the package, not on the small ones that the tests record."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def run_on_package(code: str) -> str:
    """Run code in a process of its own, at the root of the checkout; return what it prints."""
    plain = {name: value for name, value in os.environ.items() if name != "ATARIARI_RECORDINGS"}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=ROOT, env=plain
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
