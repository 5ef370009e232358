"""What a result was made on, against what its protocol fixes."""

from __future__ import annotations

from harness.leaderboard.board import AcceptedProtocol, BoardError
from harness.results.result import ProbeScores, Signed
from harness.results.variables import Columns

_KEPT = ("name", "categories", "ceiling_f1", "ceiling_accuracy")
_TRIVIAL = ("pixels_pca_f1", "random_projection_f1")


def check_made_on(signed: Signed, protocol: AcceptedProtocol) -> None:
    """Refuse a result that was made on something else than its protocol's file says.

    Raises:
        BoardError: Says what, expected against got.
    """
    dataset = signed.dataset
    if signed.protocol.name not in {protocol.name, protocol.name.removesuffix(f"-{protocol.label_set}")}:
        _expect("name of the protocol", protocol.name, signed.protocol.name)
    _expect("dataset version", protocol.dataset_version, dataset.version)
    _expect("label set", protocol.label_set, dataset.label_set)
    _expect("games of the suite", sorted(protocol.games), dataset.suite)
    wanted = [(p.probe, p.train_rows) for p in protocol.probes]
    found = [(p.probe, p.train_rows) for p in signed.probes]
    _expect("probes", wanted, [run for run in found if run in wanted])
    _expect("first probe", wanted[0], found[0])
    for probe in signed.probes:
        _expect(f"settings of {probe.probe}", protocol.settings.get(probe.probe), probe.settings)
    for what, seed in signed.seeds.items():
        _expect(f"seed of {what}", protocol.seeds.get(what), seed)
    for name, game in signed.games.items():
        kept = protocol.games.get(name)
        if kept is None:
            raise BoardError(f"The game {name} is not in the suite.")
        for split, known in kept.splits.items():
            if split == "test" and dataset.fresh_seed is not None:
                continue
            used = dataset.splits[name][split]
            _expect(f"{name}: rows of {split}", known.rows, used.rows)
            _expect(f"{name}: digest of {split}", known.digest, used.digest)
        for scores in game.scores:
            _check_rows(name, scores, protocol, fresh=dataset.fresh_seed is not None)


def _check_rows(name: str, scores: ProbeScores, protocol: AcceptedProtocol, *, fresh: bool) -> None:
    kept = protocol.games[name].columns
    if fresh:  # other rows, of which no ceiling is known
        kept = [*kept[:2], *[[None] * len(kept[0])] * 2]
    _expect_rows(f"{name}: variables and their ceilings", kept, scores.variables.take(_KEPT))
    known = protocol.trivial_of.get((name, scores.probe, scores.train_rows))
    if known is not None and not fresh and scores.trivial_reason is None:
        found = scores.variables.take(_TRIVIAL)
        _expect_rows(f"{name}: scores of the trivial encoders", [kept[0], *known], [kept[0], *found])


def _expect_rows(what: str, expected: Columns, got: Columns) -> None:
    if expected != got:  # which row it is
        _expect(what, list(zip(*expected, strict=True)), list(zip(*got, strict=True)))


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
