"""What a result was made on, against what its protocol fixes."""

from __future__ import annotations

from harness.leaderboard.board import AcceptedProtocol, KeptGame
from harness.leaderboard.names import skeleton
from harness.leaderboard.repository import BoardError
from harness.probes.probe import Metric
from harness.results.provenance import Dataset
from harness.results.result import ProbeScores, Signed
from harness.results.variables import Variable, Variables

_KEPT = ("name", "categories", "kind", "ceiling", "ceiling_accuracy")
_OF_TEST_ROWS = ("constant", "constant_accuracy", "ceiling", "pixels_pca", "random_projection", "random_cnn")
_TRIVIAL = ("pixels_pca", "random_projection", "random_cnn")
_KNOWN = {"pixels-pca": _TRIVIAL[0], "random-projection": _TRIVIAL[1], "random-cnn": _TRIVIAL[2]}
"""Built-in encoders whose scores the protocol has."""
_TOLERANCE = 0.01
"""How far such a score may be from the protocol's: other hardware changes its last places."""


def check_made_on(signed: Signed, protocol: AcceptedProtocol, *, new: bool) -> None:
    """Refuse a result that was made on anything else than its protocol says.

    Args:
        signed: The result.
        protocol: The protocol.
        new: Whether it is about to come in. One that is there may lack scores of the trivial encoders, which
            may not have been made yet when it was run.

    Raises:
        BoardError: Says what, expected against got.
    """
    if signed.protocol.name not in {protocol.name, protocol.name.removesuffix(f"-{protocol.label_set}")}:
        _expect("name of the protocol", protocol.name, signed.protocol.name)
    _check_dataset(signed.dataset, protocol, new=new)
    wanted = [p.run for p in protocol.probes]
    found = [p.run for p in signed.probes]
    _expect("probes", wanted, [run for run in found if run in wanted])
    _expect("first probe", wanted[0], found[0])
    for probe in signed.probes:
        _expect(f"settings of {probe.probe}", protocol.settings.get(probe.probe), probe.settings)
    used = {probe.probe for probe in signed.probes}
    unused = set(protocol.settings) - used
    _expect("seeds", {k: v for k, v in protocol.seeds.items() if k not in unused}, signed.seeds)
    _check_reserved(signed, protocol)
    fresh = signed.dataset.fresh_seed is not None
    for name, game in signed.games.items():
        if "explained" in game.variables:
            _check_targets(name, game.variables["explained"], protocol.games[name])
        for probe, scores in zip(signed.probes, game.scores, strict=True):
            _check_rows(name, probe.metric, scores, protocol, fresh=fresh, new=new)


def _check_dataset(dataset: Dataset, protocol: AcceptedProtocol, *, new: bool) -> None:
    if new:  # one that is there may be older than the protocol's last games
        _expect("dataset version", protocol.dataset_version, dataset.version)
    _expect("label set", protocol.label_set, dataset.label_set)
    of_suite = protocol.suites.get(dataset.suite)
    if of_suite is None or new:
        _expect(f"games of the suite {dataset.suite}", of_suite, dataset.suite_games)
    for name, splits in dataset.splits.items():
        kept = protocol.games.get(name)
        if kept is None:
            raise BoardError(f"The protocol has no game {name}.", expected=", ".join(protocol.games))
        _expect(f"rows and labels of {name}", kept.rules, dataset.rules[name])
        for split, known in kept.splits.items():
            if split == "test" and dataset.fresh_seed is not None:
                continue
            rows = splits.get(split)
            if rows is None and split.startswith("deep_"):
                continue  # which the probes need, says the result itself
            if rows is None:
                raise BoardError(f"{name}: the split {split} is missing.")
            _expect(f"{name}: rows of {split}", known.rows, rows.rows)
            _expect(f"{name}: digest of {split}", known.digest, rows.digest)


def _check_reserved(signed: Signed, protocol: AcceptedProtocol) -> None:
    """Keep the names of built-in encoders for them."""
    name, look = signed.encoder.name, skeleton(signed.encoder.name)
    for built_in, source in protocol.reserved.items():
        if skeleton(built_in) == look and (name, signed.encoder.source) != (built_in, source):
            raise BoardError(
                f"The name {name!r} is reserved for the built-in encoder {built_in!r}.",
                expected=f"source {source}",
                got=f"source {signed.encoder.source}",
                cure="harness evaluate --name ANOTHER",
            )
    field = _KNOWN.get(name)
    if field is None or signed.dataset.fresh_seed is not None:
        return
    for game, scores in ((g, s) for g, each in signed.games.items() for s in each.scores):
        known = [*protocol.baselines_of.get((game, scores.run), {}).get(field, {}).values()]
        if not known:
            continue
        mean = sum(known) / len(known)
        got = sum(f1 or 0.0 for f1 in scores.variables.column("score")) / len(known)
        if abs(got - mean) > _TOLERANCE:
            raise BoardError(
                f"The scores are not those of the built-in encoder {name!r} on {game}.",
                expected=f"mean {mean:.4f}",
                got=f"{got:.4f}",
            )


def _check_targets(name: str, found: Variables, kept: KeptGame) -> None:
    """Check what the variables of a readout are: in which means they count, and what their errors mean."""
    fields = tuple(Variable.model_fields)
    columns = (found.columns.get(field) or [None] * len(found) for field in fields)
    for row in zip(*columns, strict=True):
        got = dict(zip(fields, row, strict=True))
        target = kept.target_of.get(got["name"])
        if target is None:
            raise BoardError(f"{name} has no {got['name']} to read out.", expected=", ".join(kept.target_of))
        for field, value in got.items():
            _expect(f"{name}: {field} of {target.name}", getattr(target, field), value)


def _check_rows(
    name: str, metric: Metric, scores: ProbeScores, protocol: AcceptedProtocol, *, fresh: bool, new: bool
) -> None:
    names = scores.variables.column("name")
    if metric == "f1":
        kept, got = protocol.games[name].columns, scores.variables.take(_KEPT)
        if fresh:  # other rows, whose ceilings are not known
            kept = [*kept[:-2], *[[None] * len(kept[0])] * 2]
        if kept != got:
            rows = (list(zip(*table, strict=True)) for table in (kept, got))
            _expect(f"{name}: variables and their ceilings", *rows)
    # What a readout scores is known where its baselines are. Where they are not, only the rows tell; but all
    # runs with the same splits score the same, as `harness.results.consistency` checks. On other test rows
    # other variables may vary enough.
    known = protocol.baselines_by_column(name, scores.run, tuple(names))
    if known is None and not fresh:
        values = next(iter(protocol.baselines_of[name, scores.run].values()))
        _expect(f"{name}: variables", sorted(values), sorted(names))
    without = _TRIVIAL if scores.trivial_reason is not None and not new else ()
    for field, expected in (known or {}).items():
        column = scores.variables.column(field)
        if expected != column and field not in (_OF_TEST_ROWS if fresh else without):
            rows = (list(zip(names, table, strict=True)) for table in (expected, column))
            _expect(f"{name}: {field}", *rows)


def _expect(what: str, expected: object, got: object) -> None:
    if expected == got:
        return
    if isinstance(expected, list) and isinstance(got, list) and len(expected) == len(got):
        expected, got = next((e, g) for e, g in zip(expected, got, strict=True) if e != g)
    raise BoardError(
        f"The result was not made on what its protocol fixes: {what}.",
        expected=str(expected)[:300],
        got=ascii(got)[:300],
    )
