"""The commands' entry points, which notice when another project has replaced one of our packages.

Other projects on the package index install top-level packages called ``harness`` or ``builders``, too. pip
lets them overwrite our files, and deletes our files when it uninstalls them.
"""

from __future__ import annotations

import base64
import hashlib
import sys
from importlib import import_module
from importlib.metadata import PackageNotFoundError, files, packages_distributions
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from atariari_data.errors import AtariariError

DISTRIBUTION: Final = "atariari"


def harness() -> None:
    """Run the command ``harness``."""
    _run("harness.cli.main", "builders", "harness")


def data() -> None:
    """Run the command ``atariari-data``."""
    _run("builders.cli.main", "builders")


def check_ours(package: str) -> None:
    """Check that a top-level package is the one of this distribution.

    Raises:
        AtariariError: Another project has replaced it, or it is gone.
    """
    spec = find_spec(package)
    expected = Path(__file__).resolve().parents[1] / package / "__init__.py"
    found = None if spec is None or spec.origin is None else Path(spec.origin).resolve()
    if found == expected and _as_recorded(expected, package):
        return
    others = sorted({*packages_distributions().get(package, ())} - {DISTRIBUTION})
    raise AtariariError(
        f"The package {package!r} of {DISTRIBUTION} was replaced by another project.",
        expected=expected,
        got="nothing" if found is None else f"{found}, from {' or '.join(others) or 'an unknown project'}",
        cure=f"pip uninstall {' '.join(others) or 'THE OTHER PROJECT'} && "
        f"pip install --force-reinstall --no-deps {DISTRIBUTION}. Use separate environments to keep both.",
    )


def _as_recorded(file: Path, package: str) -> bool:
    """Return whether a file has the digest of pip's record; true where none is kept, as in a checkout."""
    try:
        recorded = files(DISTRIBUTION) or []
    except PackageNotFoundError:
        return True
    for path in recorded:
        if path.as_posix() == f"{package}/__init__.py" and path.hash is not None:
            digest = hashlib.new(path.hash.mode, file.read_bytes()).digest()
            return base64.urlsafe_b64encode(digest).rstrip(b"=").decode() == path.hash.value
    return True


def _run(module: str, *packages: str) -> None:
    try:
        for package in packages:
            check_ours(package)
    except AtariariError as error:
        sys.exit(f"Error: {error}")
    import_module(module).main()
