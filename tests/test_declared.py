"""What a submitter declares is checked before the run; what a run computed is never lost."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import harness
from atariari_data.errors import UsageError
from harness.results.canonical import ResultError
from harness.results.declared import check_declared, printable_name
from harness.results.result_file import build_or_keep
from tests.made_results import fields


@pytest.mark.parametrize(
    ("declared", "match"),
    [
        ({"name": "(my) net"}, r"name cannot be signed(.|\n)*letters"),
        ({"name": "x"}, "name cannot be signed"),
        ({"name": "ram"}, "'ram' is reserved"),
        ({"name": 3}, "name cannot be signed"),
        ({"submitter": {"principal": "Alice@example.org"}}, r"submitter cannot be signed(.|\n)*lower-case"),
        ({"submitter": {}}, "submitter cannot be signed"),
        ({"submitter": "alice@example.org"}, "must be a dict"),
        ({"code": "http://b.org"}, "address of the code cannot be signed"),
        ({"paper": "arXiv 1906.08226"}, "address of the paper cannot be signed"),
        ({"submitter": {"principal": "a@b.org", "mail": "a@b.org"}}, "mail cannot be signed"),
        ({"pretraining_data": "pong → breakout"}, "pretraining data cannot be signed"),
        ({"pretraining_data": ""}, "pretraining data cannot be signed"),
    ],
)
def test_what_cannot_be_signed_is_refused_before_the_run(declared: dict[str, Any], match: str) -> None:
    with pytest.raises(UsageError, match=match):
        check_declared(**declared)
    with pytest.raises(UsageError, match=match):
        harness.evaluate(lambda _: 1 / 0, games=["pong"], progress=False, **declared)


def test_what_can_be_signed_passes() -> None:
    check_declared()
    check_declared(name="ram", sees_ram=True)
    check_declared(name="My net (2)", submitter={"principal": "a@b.org"}, pretraining_data="none")
    check_declared(code="https://example.org/code", paper="https://arxiv.org/abs/1906.08226")


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("(my) net", "my) net"),
        ("_Encoder", "Encoder"),
        ("\u0421NN", "NN"),
        ("x", "x encoder"),
        ("", "encoder"),
        ("ram", "ram encoder"),
        ("a" * 63 + "-b", "a" * 63),
        ("My net (2)", "My net (2)"),
    ],
)
def test_an_encoder_s_own_name_becomes_one_that_can_be_signed(text: str, name: str) -> None:
    assert printable_name(text) == name
    check_declared(name=name)
    assert printable_name("ram", sees_ram=True) == "ram"


@pytest.mark.parametrize(("field", "wrong"), [("note", "\u200b"), ("raw", float("nan")), ("raw", object())])
def test_scores_that_make_no_result_are_kept(field: str, wrong: object) -> None:
    values = fields(games=("pong",))
    values["games"]["pong"]["scores"][0]["variables"][0][field] = wrong
    with pytest.raises(ResultError) as caught:
        build_or_keep(**values)
    assert caught.value.cure is not None
    kept = Path(caught.value.cure.removeprefix("The scores are in ").removesuffix("."))
    found = json.loads(kept.read_text(encoding="utf-8"))
    f1 = values["games"]["pong"]["scores"][0]["variables"][1]["score"]
    assert found["games"]["pong"]["scores"][0]["variables"][1]["score"] == pytest.approx(f1, abs=1e-4)
