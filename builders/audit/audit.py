"""The audit of a game: play, archive, writes; then what each variable turns out to be."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from typing import Any

import numpy as np
import numpy.typing as npt

from atariari_data.games import Game, Variable
from atariari_data.labels import values_of
from atariari_data.positions import present, things
from builders.audit import facts
from builders.audit.alignment import Aligner, Alignment
from builders.audit.branches import Branches, silenced
from builders.audit.cause import Cause, State, cause, states_of, values_to_write
from builders.audit.claims import Seen, axis_of, disputes, moves_beside, seen
from builders.audit.deep import Deep, deep, moves_by_place, moves_where_absent
from builders.audit.features import Features, features
from builders.audit.information import Coverage, coverage
from builders.audit.play import Play, replay
from builders.audit.sight import Sight, Visibility
from builders.audit.sources import Redundancy, effects, redundancy
from builders.audit.verdict import CHANGES, verdict
from builders.audit.visibility import Guess
from builders.digest import bytes_digest
from builders.manifest import DATASET_VERSION, load_recording
from builders.statistics import entropy

FORMAT = 1
_WRITES = 16  # the least that can contradict an absence


@dataclass(frozen=True)
class Budget:
    """How much is examined. The findings depend on this and not on the machine.

    Attributes:
        rows: The largest number of rows of recorded play.
        shown: About how many of these rows have their screens kept.
        search: Steps of the search for deep states.
        states: The number of states to write into, half from play and half from the search.
        seed: The seed of the search and of the values written.
    """

    rows: int = 12000
    shown: int = 2400
    search: int = 20000
    states: int = 40
    seed: int = 0


@dataclass(frozen=True)
class Evidence:
    """The evidence on one variable."""

    cause: Cause
    control: tuple[float, float]
    play: Coverage
    archive: Coverage
    places: Mapping[str, Any]
    absence: Mapping[str, Any] | None
    alignment: Alignment | None
    seen: Seen | None
    visibility: Visibility | None
    redundancy: Redundancy
    disputes: Sequence[str]


@dataclass(frozen=True)
class Scene:
    """What the variables of a game are checked against."""

    play: Play
    deep: Deep
    states: Sequence[State]
    where: Sequence[str]
    actions: npt.NDArray[np.uint8]
    asked: Features
    sight: Sight
    changing: dict[int, float]
    console: Branches


def look(game: str, budget: Budget) -> Scene:
    """Replay, search and branch, before any variable is examined."""
    recording = load_recording(game)
    half = max(1, budget.states // 2)
    play = replay(recording, lambda s: Branches(game, s), rows=budget.rows, shown=budget.shown, states=half)
    console = Branches(game, budget.seed)
    found = deep(game, console, steps=budget.search, seed=budget.seed, states=half)
    kept = [*play.states, *found.states]
    actions = facts.controlled(console, kept)
    states, asked = states_of(console, kept), features(play.pooled)
    changing = effects(console, states, play.ram, np.random.default_rng(budget.seed))
    sight = Sight(play, asked, budget.seed)
    where = [found.place(state.ram) for state in states]
    return Scene(play, found, states, where, actions, asked, sight, changing, console)


def audit(game: Game, label_set: str, budget: Budget) -> dict[str, Any]:
    """Audit a label set.

    Args:
        game: A game with a recording; its variables may come from another annotation file.
        label_set: ``v1`` or ``anand2019``.
        budget: How much to look at.

    Returns:
        The findings, as `atariari_data/audits` holds them.

    Raises:
        UnknownNameError: No recording of such a game, or no such label set.
    """
    variables = game.variables(label_set)
    with silenced():
        scene = look(game.name, budget)
        evidence = list(_evidence(variables, scene, budget))
    found = {v.name: (v, e) for v, e in zip(variables, evidence, strict=True)}
    return {
        "format": FORMAT,
        "game": game.name,
        "label_set": label_set,
        "dataset_version": DATASET_VERSION,
        "ale_py": version("ale-py"),
        "budget": asdict(budget),
        "rows": len(scene.play.ram),
        "screens": len(scene.play.shown),
        "states": len(scene.states),
        "cells": len(scene.deep.ram),
        "variables": {name: _stored(v, e) for name, (v, e) in found.items()},
    }


def summary(found: Mapping[str, Any]) -> tuple[tuple[str, ...], list[tuple[object, ...]]]:
    """Return the columns and rows of a table for people."""
    columns = (
        "variable",
        "byte",
        "verdict",
        "writes that show",
        "nats",
        "left unknown",
        "fits at lag",
        "why",
    )
    rows: list[tuple[object, ...]] = []
    for name, v in found["variables"].items():
        fits = v["alignment"]["lag_steps"] if v["alignment"] else None
        nats = v["coverage"]["play"]["nats"]
        left = v["visibility"]["one"]["left"] if v["visibility"] else None
        why = "; ".join(v["disputes"]) or None
        rows.append((name, v["byte"], v["verdict"], v["cause"]["changed"], nats, left, fits, why))
    return columns, rows


def _evidence(variables: Sequence[Variable], scene: Scene, budget: Budget) -> Iterator[Evidence]:
    play, reached_ram = scene.play, scene.deep.ram
    generator = np.random.default_rng(budget.seed)
    aligner = Aligner(play, scene.asked)
    ram = np.array([state.ram for state in scene.states])
    beside = _beside(variables, ram)
    there, on_shown = present(variables, ram), present(variables, play.ram[play.shown])
    stated = present([_unconditional(v) for v in variables], ram)
    in_play = scene.actions[: len(play.states)]  # deep states are often ones in which the game waits
    controls = {v.name: facts.control(values_of(v)[in_play[..., v.address]]) for v in variables}
    together = {name: thing.variables for thing in things(variables) for name in thing.variables}
    at_once = {name: max(controls[n][1] for n in names) for name, names in together.items()}
    causes: dict[str, Cause] = {}
    for variable in variables:
        table = values_of(variable)
        both = np.concatenate([table[rows[:, variable.address]] for rows in (play.ram, reached_ram)])
        writes = values_to_write(variable, both, generator)
        here = there[variable.name]
        causes[variable.name] = cause(scene.console, scene.states, variable, table, writes, here)
    absences = {name: moves_where_absent(caused, ~stated[name]) for name, caused in causes.items()}
    moved_beside = {v.name: moves_beside(v, causes[v.name].movement, beside[v.name]) for v in variables}
    for variable in variables:
        table, caused, absence = values_of(variable), causes[variable.name], absences[variable.name]
        values, reached = table[play.ram[:, variable.address]], table[reached_ram[:, variable.address]]
        both = np.concatenate([values, reached])
        here, shown = there[variable.name], on_shown[variable.name]
        on_screen = seen(variable, values[play.shown], scene.asked, shown) if axis_of(variable) else None
        of_thing = together.get(variable.name, (variable.name,))
        ever, soon = controls[variable.name]
        others = max((share for name, share in at_once.items() if name not in of_thing), default=0.0)
        moved = facts.Moved(ever, at_once.get(variable.name, soon), others)
        met = coverage(both, variable.values)
        own = play.ram[:, variable.address]
        yield Evidence(
            cause=caused,
            control=(ever, soon),
            play=coverage(values, variable.values),
            archive=coverage(reached, variable.values),
            places=moves_by_place(caused, scene.where, here),
            absence=absence,
            alignment=aligner.align(values, on_screen),
            seen=on_screen,
            visibility=scene.sight.look(variable, values[play.shown], on_screen, shown),
            redundancy=redundancy(values, play.ram, variable.address, scene.changing),
            disputes=[
                *facts.contradictions(variable, values, own, met, play, moved),
                *disputes(
                    variable,
                    entropy(values),
                    caused.movement,
                    on_screen,
                    beside[variable.name],
                    beside=any(moved_beside[name] for name in of_thing if name != variable.name),
                ),
                *_moved_though_absent([absences[name] for name in of_thing]),
            ],
        )


Place = npt.NDArray[np.float32]


def _beside(variables: Sequence[Variable], ram: npt.NDArray[np.uint8]) -> Mapping[str, Place | None]:
    """Return where the annotations have each variable's thing: [n, 2]; None where they say nothing."""
    found: dict[str, Place | None] = dict.fromkeys(v.name for v in variables)
    for thing in things(variables):
        if thing.stated:
            found.update(dict.fromkeys(thing.variables, thing.places(ram)))
    return found


def _unconditional(variable: Variable) -> Variable:
    """Return the variable without what its own byte says of its absence, which a write replaces."""
    drawn = variable.drawn and replace(variable.drawn, absent=())
    there = tuple(tuple(c for c in case if c.address != variable.address) for case in variable.there)
    return replace(variable, drawn=drawn, there=() if () in there else there)


def _moved_though_absent(absences: Sequence[Mapping[str, Any] | None]) -> Iterator[str]:
    """Contradict an absence if writing each of the thing's variables shows.

    Where only some do, another thing is drawn elsewhere: games with more things than sprites share these by
    row, so that the row of a thing that is not there may move others.
    """
    if all(a and a["writes"] >= _WRITES and a["changed"] >= CHANGES for a in absences):
        shares = " and ".join(f"{a['changed']:.0%} of {a['writes']}" for a in absences if a)
        yield f"said to be absent, but {shares} writes there show"


def _stored(variable: Variable, evidence: Evidence) -> dict[str, Any]:
    """Bring a variable's evidence into the form of the file: numbers of a few digits, no NaN."""
    caused, met = evidence.cause, evidence.play
    stored: dict[str, Any] = {
        "byte": variable.address,
        "mask": variable.mask,
        "decoded": bytes_digest(values_of(variable).tobytes())[:8],
        "cause": {
            "writes": caused.writes,
            "changed": round(caused.changed, 3),
            "changed_states": round(caused.changed_states, 3),
            "lag_frames": caused.lag,
            "pixels": caused.pixels,
            "overwritten": round(caused.overwritten, 3),
            "side_effects": list(caused.side_effects),
            "joystick": round(evidence.control[0], 3),
            "joystick_at_once": round(evidence.control[1], 3),
        },
        "coverage": {"play": _covered(met), "archive": _covered(evidence.archive)},
        "alignment": None,
        "visibility": _visible(evidence.visibility) if evidence.visibility else None,
        "redundancy": {
            "same": [
                {"byte": s.byte, "of_variable": round(s.of_variable, 3), "of_byte": round(s.of_byte, 3)}
                for s in evidence.redundancy.same
            ],
            "better_source": evidence.redundancy.better,
        },
        "places": evidence.places,
        "absence": evidence.absence,
        "disputes": list(evidence.disputes),
    }
    if caused.movement:
        stored["cause"]["movement"] = {"pairs": caused.movement.pairs} | {
            axis: {
                "scale": found.scale,
                "share": round(found.share, 3),
                "offset": found.offset,
                "size": found.size,
            }
            for axis, found in (("x", caused.movement.x), ("y", caused.movement.y))
        }
    if evidence.seen:
        stored["in_play"] = {
            key: round(value, 3) if isinstance(value, float) else value
            for key, value in asdict(evidence.seen).items()
        }
    if evidence.alignment:
        stored["alignment"] = {
            "lag_steps": evidence.alignment.lag,
            "scores": [round(score, 3) for score in evidence.alignment.scores],
            "lag_at_edges": evidence.alignment.edges,
        }
    return {"verdict": verdict(axis_of(variable), stored), **stored}


def _visible(found: Visibility) -> dict[str, Any]:
    def guess(of: Guess) -> dict[str, float]:
        # A model that no pixels help may do worse than none, on episodes unlike those it learnt from.
        return {"left": round(min(of.left, of.without), 2), "determined": round(of.determined, 2)}

    return {
        "without": round(found.one.without, 2),
        "one": guess(found.one),
        "two": guess(found.two),
        "four": guess(found.four),
        "last_screen": guess(found.last),
        "at_least": round(found.at_least, 3),
        "rows_twice": round(found.twice, 3),
        "examples": [[list(row) for row in pair] for pair in found.examples],
    }


def _covered(met: Coverage) -> dict[str, Any]:
    return {
        "values": met.count,
        "low": met.low,
        "high": met.high,
        "nats": round(met.nats, 3) + 0.0,  # never -0.0
        "never": [list(run) for run in met.never],
    }
