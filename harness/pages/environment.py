"""Jinja templates that escape all text, for pages that load nothing and run only our script."""

from __future__ import annotations

import base64
import hashlib

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from atariari_data.errors import DataError
from harness.pages.words import CATEGORY_TITLES, game_title, probe_meaning, probe_title, score, size
from harness.results.means import APART


def environment(package: str, *, styles: tuple[str, ...] = (), script: str | None = None) -> Environment:
    """Return a Jinja environment with a package's templates and the shared ``frame.html``.

    Args:
        package: Package whose folder ``templates`` is loaded.
        styles: Style sheets to append to the shared one.
        script: Script to inline, if the pages run one.

    Raises:
        DataError: A style sheet or the script is missing.
    """
    loader = ChoiceLoader([PackageLoader(package), PackageLoader("harness.pages")])
    made = Environment(
        loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    style = "".join(_asset(made, name) for name in ("style.css", *styles))
    code = None if script is None else _asset(made, script)
    # The policy pins both by hash: no other style or script runs, whatever a result contains.
    scripts = "'none'" if code is None else f"'{_hash(code)}'"
    made.globals |= {
        "style": Markup(style),  # noqa: S704  trusted file
        "script": None if code is None else Markup(code),  # noqa: S704
        "policy": f"default-src 'none'; img-src 'self' data:; style-src '{_hash(style)}'; "
        f"script-src {scripts}; base-uri 'none'; form-action 'none'",
        "categories": {name: title for name, title in CATEGORY_TITLES.items() if name not in APART},
        "game_title": game_title,
        "probe_title": probe_title,
        "probe_meaning": probe_meaning,
    }
    made.filters |= {"score": score, "size": size}
    return made


def _asset(made: Environment, name: str) -> str:
    if made.loader is None:
        raise DataError("The templates are missing.", cure="Reinstall atariari.")
    return made.loader.get_source(made, name)[0]


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
