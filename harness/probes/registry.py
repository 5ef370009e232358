"""The probes by name. To add one, write a file with a `PROBE` in it and name it here."""

from __future__ import annotations

from importlib import import_module
from typing import Final, NamedTuple

from atariari_data.errors import UnknownNameError
from harness.probes.probe import Probe, ProbeRun


class Known(NamedTuple):
    """A probe that is known by name. What a page says of it is here, so that pages need no probe's libraries.

    Attributes:
        home: The module with its `PROBE`.
        measures: What its score measures, as a sentence with a slot for the training rows.
    """

    home: str
    measures: str


PROBES: Final = {
    "readout": Known(
        "harness.probes.readout",
        "The smallest readout that fits, on {rows}: the share of what is unknown that features tell.",
    ),
    "linear": Known(
        "harness.probes.linear",
        "A converged linear probe on {rows}: how much is linearly decodable.",
    ),
    "anand2019": Known(
        "harness.probes.adam",
        "The 2019 paper's probe, a short run of Adam, on {rows}. Not comparable with the other scores.",
    ),
}
"""The probes by name; the first one is the default, and ranks."""


def load_probe(name: str) -> Probe:
    """Return a probe by name.

    Raises:
        UnknownNameError: No such probe.
    """
    if name not in PROBES:
        raise UnknownNameError("probe", name, PROBES)
    probe: Probe = import_module(PROBES[name].home).PROBE
    return probe


def meaning(run: ProbeRun) -> str:
    """Return what the score of a run measures, in a sentence; empty for a probe that is not known here."""
    if run.probe not in PROBES:
        return ""
    rows = {"full": "all", "1k": "1,000"}.get(str(run.train_rows), run.train_rows)
    of = {"play": "random play", "deep": "deep states"}
    where = "" if run.fitted_on == run.scored_on else f", scored on {of[run.scored_on]}"
    return PROBES[run.probe].measures.format(rows=f"{rows} training rows of {of[run.fitted_on]}{where}")
