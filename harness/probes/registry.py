"""The probes by name. To add one, write a file with a `PROBE` in it and name it here."""

from __future__ import annotations

from importlib import import_module
from typing import Final

from atariari_data.errors import UnknownNameError
from harness.probes.probe import Probe, ProbeRun

PROBES: Final = {
    "readout": "harness.probes.readout",
    "linear": "harness.probes.linear",
    "anand2019": "harness.probes.adam",
}
"""Module of each probe; the first one is the default, and ranks."""


def load_probe(name: str) -> Probe:
    """Return a probe by name.

    Raises:
        UnknownNameError: No such probe.
    """
    if name not in PROBES:
        raise UnknownNameError("probe", name, PROBES)
    probe: Probe = import_module(PROBES[name]).PROBE
    return probe


def meaning(run: ProbeRun) -> str:
    """Return what the score of a run measures, in a sentence; empty for a probe that is not known here."""
    if run.probe not in PROBES:
        return ""
    rows = {"full": "all", "1k": "1,000"}.get(str(run.train_rows), run.train_rows)
    of = {"play": "random play", "deep": "deep states"}
    where = "" if run.fitted_on == run.scored_on else f", scored on {of[run.scored_on]}"
    return load_probe(run.probe).measures.format(rows=f"{rows} training rows of {of[run.fitted_on]}{where}")
