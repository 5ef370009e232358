"""Settings of the documentation site; `make docs` builds it and fails on any warning."""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import version as version_of
from typing import Any

from sphinx.application import Sphinx
from sphinx.util import logging

project = "atariari"
author = "The atariari authors"
copyright = author  # noqa: A001  Sphinx's name for it
release = version = version_of("atariari")

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx_click",
    "sphinx_copybutton",
]
exclude_patterns = ["results/*"]
html_theme = "furo"
html_title = f"atariari {release}"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_theme_options = {
    "source_repository": "https://github.com/atariari/atariari/",
    "source_branch": "main",
    "source_directory": "docs/",
}
html_show_sphinx = False
html_last_updated_fmt = None

myst_heading_anchors = 4
myst_enable_extensions = ["fieldlist", "dollarmath"]
copybutton_prompt_text = "$ "

default_role = "code"  # docstrings mark names with single backticks
nitpicky = True
# Only public names are looked for: inner types and those of other libraries are shown as plain text.
nitpick_ignore_regex = [("py:.*", r"(?!(harness|atariari_data)\.\w+$).*")]
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
python_maximum_signature_line_length = 88
napoleon_use_ivar = True

PUBLIC = ("atariari_data", "harness")
"""Every name in their `__all__` must have a docstring and a place in the reference."""


def check_public_names(app: Sphinx, env: Any) -> None:
    """Warn of every public name that the reference leaves out, or that has no docstring."""
    del app
    log = logging.getLogger(__name__)
    documented = env.domains["py"].objects
    for package in PUBLIC:
        module = import_module(package)
        for name in module.__all__:
            if f"{package}.{name}" not in documented:
                log.warning("%s.%s is public, and the reference leaves it out", package, name)
            if not getattr(module, name).__doc__:
                log.warning("%s.%s is public, and has no docstring", package, name)


def examples_as_code(app: Sphinx, context: Any, lines: list[str]) -> None:
    """Show the examples in a command's help as a literal block; sphinx-click makes them lines of text."""
    del app, context
    found: list[str] = []
    for line in lines:
        if not line.startswith("| "):
            found.append(line)
            continue
        if not (found and found[-1].startswith("   ")):
            found += ["", "::", ""]
        found.append("   " + line.removeprefix("| "))
    lines[:] = found


def setup(app: Sphinx) -> None:
    """Connect the check and the examples."""
    app.connect("env-check-consistency", check_public_names)
    app.connect("sphinx-click-process-description", examples_as_code)
