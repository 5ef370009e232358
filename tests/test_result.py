from __future__ import annotations

import json
import math
import subprocess
from collections.abc import Callable
from decimal import ROUND_HALF_EVEN, Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rfc8785
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from atariari_data.errors import DataError, UsageError
from harness.results import canonical, variables
from harness.results.canonical import ResultError
from harness.results.means import mean
from harness.results.result import Result, Signed
from harness.results.result_file import loads, read, write
from harness.results.variables import Table, VariableScores
from tests.made_results import GAMES, fields, make


@pytest.fixture(scope="module")
def signed() -> Signed:
    return make()


@pytest.fixture(scope="module")
def text(signed: Signed) -> str:
    return Result(signatures=[], signed=signed).content.decode()


def refused(data: bytes | str, match: str) -> None:
    with pytest.raises(DataError, match=match):
        loads(data if isinstance(data, bytes) else data.encode())


def test_what_is_written_is_read_again(signed: Signed, tmp_path: Path) -> None:
    result = Result(signatures=[], signed=signed)
    path = write(result, tmp_path / "result.json")
    assert read(path) == result
    assert read(path).content == result.content == path.read_bytes()


def test_signed_bytes_are_rfc_8785_and_what_jq_writes(signed: Signed, text: str, tmp_path: Path) -> None:
    (tmp_path / "result.json").write_text(text, encoding="utf-8")
    jq = subprocess.run(
        ["jq", "-cjS", ".signed", "result.json"], cwd=tmp_path, capture_output=True, check=True
    )
    assert jq.stdout == signed.payload == rfc8785.dumps(signed.plain)


_NUMBERS = st.integers(0, 10**11).map(lambda n: canonical.to_plain(n / 10_000)) | st.integers(-999, 2**53 - 1)
_TEXTS = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E) | st.sampled_from("éßŁžÆ"), max_size=9)
_KEYS = st.text("abc_XYZ09", min_size=1, max_size=3)
_FLAT = st.none() | st.booleans() | _NUMBERS | _TEXTS | st.lists(_NUMBERS, max_size=3)
_ROWS = st.lists(st.dictionaries(_KEYS, _FLAT, max_size=4), max_size=3)
_VALUES = _FLAT | _ROWS | st.dictionaries(_KEYS, _FLAT | _ROWS, max_size=3)


@settings(max_examples=50, deadline=None)
@given(st.dictionaries(_KEYS, _VALUES, max_size=4))
def test_within_its_bounds_the_form_is_rfc_8785_and_the_file_is_the_same_json(value: dict[str, Any]) -> None:
    assert canonical.canonical(value) == rfc8785.dumps(value)
    assert json.loads(canonical.file_form([], rfc8785.dumps(value))) == {"signatures": [], "signed": value}


@pytest.mark.parametrize("number", [0, 1, -7, 0.5, 0.0001, 0.9999, 100000.5, 2**53 - 1, 10**11, -0.25])
def test_jq_writes_numbers_as_we_do(number: float) -> None:
    text = canonical.canonical(number)
    assert subprocess.run(["jq", "-cj", "."], input=text, capture_output=True, check=True).stdout == text


def test_rows_are_lines_and_no_text_can_break_one() -> None:
    rows = [{"accuracy": 1, "name": '{"accuracy":'}, {"accuracy": 0, "name": "{"}]
    assert canonical.file_form([], canonical.canonical({"rows": rows})).decode().splitlines() == [
        '{"signatures":[],"signed":{"rows":[',
        r'{"accuracy":1,"name":"{\"accuracy\":"},',
        '{"accuracy":0,"name":"{"}]}}',
    ]


@given(st.lists(st.integers(0, 10_000), min_size=1, max_size=40))
def test_means_are_rounded_half_to_even_as_decimal_does(values: list[int]) -> None:
    exact = sum((Decimal(v) / 10_000 for v in values), Decimal(0)) / len(values)
    expected = exact.quantize(Decimal("0.0001"), rounding=ROUND_HALF_EVEN)
    assert Decimal(repr(mean([value / 10_000 for value in values]))) == expected


def test_means_of_a_game_and_the_suite() -> None:
    signed = make(games=GAMES)
    pong = signed.games["pong"].scores[0]
    categories = {c.category: c for c in pong.means.categories}
    by_hand = {
        name: [v.score for v in pong.variables if name in v.categories and v.score is not None]
        for name in categories
    }
    for name, values in by_hand.items():
        assert categories[name].score == pytest.approx(np.mean(values), abs=6e-5)
        assert categories[name].count == len(values)
    assert pong.means.score == pytest.approx(np.mean([c.score for c in categories.values()]), abs=6e-5)
    suite = signed.suite[0].means
    of_games = [game.scores[0].means.score or 0 for game in signed.games.values()]
    assert suite.score == pytest.approx(np.mean(of_games), abs=6e-5)
    assert suite.reason is None


def test_a_missing_game_gives_no_suite_mean(signed: Signed) -> None:
    means = signed.suite[0].means
    assert means.score is None
    assert means.reason is not None
    assert means.reason.startswith("not evaluated: asteroids, ")
    assert "pong" not in means.reason


def test_a_missing_score_gives_no_mean_above_it() -> None:
    values = fields(suite=("breakout", "pong"))
    row = values["games"]["pong"]["scores"][1]["variables"][0]
    row |= {"score": None, "interval": None, "note": "did not converge"}
    signed = Signed.build(**values)
    means = signed.games["pong"].scores[1].means
    assert means.score is None
    assert means.constant is not None
    assert means.reason == f"no score for {row['name']}"
    assert signed.suite[1].means.score is None
    assert signed.suite[1].means.reason == "no mean for pong"
    assert signed.suite[0].means.score is not None


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (lambda scores: scores[0]["variables"][0].update(score="abc"), "abc"),
        (lambda scores: scores[0]["variables"][0].update(score="0.5"), "score"),
        (lambda scores: scores.pop(), "do not make"),
        (lambda scores: scores.append(scores[0]), "do not make"),
        (lambda scores: scores[0]["variables"].clear(), "do not make"),
        (lambda scores: scores[0]["variables"][0].pop("score"), "do not make"),
        (lambda scores: scores[0]["variables"][1].update(more=1), "do not make"),
    ],
)
def test_build_says_which_scores_do_not_fit(change: Callable[[Any], object], match: str) -> None:
    values = fields()
    change(values["games"]["pong"]["scores"])
    with pytest.raises(ResultError, match=match):
        Signed.build(**values)


def by_rows(columns: dict[str, list[Any]]) -> list[dict[str, Any]]:
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def stored(columns: dict[str, list[Any]], model: type[variables.Table | variables.Variables]) -> Any:
    """Return the columns that a file has: those of the model that are not null throughout."""
    fields = model.model.model_fields
    return {k: v for k, v in columns.items() if k in fields and any(value is not None for value in v)}


@pytest.mark.parametrize("name", sorted(set(VariableScores.model_fields) - {"trivial", "normalised"}))
def test_columns_hold_what_rows_hold(name: str) -> None:
    model = variables.Table if name in variables.Table.model.model_fields else variables.Variables
    by_row, by_column = TypeAdapter(list[VariableScores]), TypeAdapter(model)
    table = make().games["pong"].scores[0].variables
    columns = {field: table.column(field) for field in VariableScores.model_fields}
    texts = ("", "a", "\u202ea", "x" * 400)
    odd: tuple[Any, ...] = (
        None,
        True,
        0,
        1,
        -1,
        2,
        0.5,
        1e300,
        math.nan,
        *texts,
        [],
        [0.1, 0.2],
        ["a"],
        {},
        "nominal",
    )
    kept = 0
    for value in odd:
        changed = {**columns, name: [columns[name][0], value, *columns[name][2:]]}
        try:
            by_row.validate_python(by_rows(changed))
        except ValidationError:
            with pytest.raises(ValidationError, match=rf"{name}\.1"):
                by_column.validate_python(stored(changed, model))
        else:
            kept += 1
            assert by_column.validate_python(stored(changed, model)).columns == stored(changed, model)
    assert 0 < kept < len(odd)


def test_a_table_is_the_rows_that_it_was_made_of() -> None:
    rows = fields()["games"]["pong"]["scores"][0]["variables"]
    head, (columns,) = variables.by_column([rows])
    assert head["name"] == [row["name"] for row in rows]
    table = TypeAdapter(variables.Table).validate_python(columns)
    table.join(TypeAdapter(variables.Variables).validate_python(head))
    shown = [row.model_dump() for row in table]
    assert [{key: row[key] for key in rows[0]} for row in shown] == rows
    with pytest.raises(ValueError, match="different fields"):
        variables.by_column([[rows[0], {**rows[1], "more": 1}]])
    with pytest.raises(ValueError, match=f"two kinds of {rows[0]['name']}"):
        variables.by_column([rows, [{**rows[0], "unit": "miles"}]])
    table = make().games["pong"].scores[0].variables
    assert [row.name for row in table[1:3]] == [table[1].name, table[2].name] == table.columns["name"][1:3]


def test_a_table_says_nothing_that_follows_or_is_null() -> None:
    signed = make(games=("pong",))
    game = signed.plain["games"]["pong"]
    for scores in game["scores"]:
        assert not {"trivial", "normalised", "categories", "period"} & set(scores["variables"])
        assert all(any(value is not None for value in column) for column in scores["variables"].values())
    columns = {**game["scores"][0]["variables"], "epochs": [None] * len(game["variables"]["f1"]["name"])}
    with pytest.raises(ValidationError, match="epochs holds nothing but nulls"):
        TypeAdapter(variables.Table).validate_python(columns)


def test_a_table_refuses_missing_and_further_columns_and_other_lengths() -> None:
    columns = make().plain["games"]["pong"]["scores"][0]["variables"]
    less = {key: value for key, value in columns.items() if key != "n"}
    empty: dict[str, list[Any]] = {key: [] for key in columns}
    long = {key: [values[0]] * 401 for key, values in columns.items()}
    tables: tuple[Any, ...] = ({}, [], None, less, {**columns, "more": columns["score"]}, empty, long)
    for table in tables:
        with pytest.raises(ValidationError):
            TypeAdapter(Table).validate_python(table)
    with pytest.raises(ValidationError, match="equal lengths"):
        TypeAdapter(Table).validate_python({**columns, "score": columns["score"][1:]})


def test_build_takes_numpy_values_and_rounds() -> None:
    values = fields()
    row = values["games"]["pong"]["scores"][0]["variables"][0]
    row |= {"score": np.float32(0.123456), "n": np.int64(9871), "accuracy": np.float64(1.0)}
    built = Signed.build(**values)
    variable = built.games["pong"].scores[0].variables[0]
    assert (variable.score, variable.n, variable.accuracy) == (0.1235, 9871, 1.0)
    assert b'"accuracy":[1,' in built.payload


@pytest.mark.parametrize("value", [math.nan, math.inf, np.float32("nan")])
def test_build_never_lets_a_nan_in(value: float) -> None:
    values = fields()
    values["games"]["pong"]["scores"][0]["variables"][2]["score"] = value
    with pytest.raises(ResultError, match=r"games\.pong\.scores\[0\]\.variables\[2\]\.score is (nan|inf)"):
        Signed.build(**values)


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"run_id": "x"}, "run_id"),
        ({"nonsense": 1}, "nonsense"),
        ({"games": {}}, "games"),
        ({"games": 3}, "do not make"),
        ({"started": "yesterday"}, "started"),
    ],
)
def test_build_says_what_does_not_fit(change: dict[str, Any], match: str) -> None:
    with pytest.raises(ResultError, match=match):
        Signed.build(**{**fields(), **change})


@pytest.mark.parametrize(
    "name",
    [
        "Random\u200bCNN",  # invisible
        "CNN\u202ename",  # bidirectional
        "R\u0430ndom CNN",  # Cyrillic a
        "Random CNN ",
        "",
        "a" * 65,
        "<script>",
        "CNN\n",
    ],
)
def test_names_are_plain(name: str) -> None:
    with pytest.raises(ResultError, match=r"encoder\.name"):
        make(encoder=name)


@pytest.mark.parametrize("name", ["Zo\u0131", "a\u0301", "x\u202e", "x\u00a0y", "\u7f8e", "tab\t", "del\x7f"])
def test_text_is_printable_latin(name: str) -> None:
    values = fields()
    values["submitter"]["name"] = name
    with pytest.raises(ResultError, match=r"submitter\.name"):
        Signed.build(**values)


def test_newer_versions_are_refused(text: str) -> None:
    refused(text.replace('"schema_version":1', '"schema_version":2'), "newer format(.|\n)*upgrade")


@pytest.mark.parametrize(
    ("data", "match"),
    [
        (b"", "not JSON"),
        (b"{}", "Not a result"),
        (b"[]", "Not a result"),
        (b"null", "Not a result"),
        (b'{"signed": {"schema_version": true}}', "Not a result"),
        (b'{"signed": {"schema_version": 1}, "signatures": []}', "schema"),
        (b"\xff\xfe", "not UTF-8"),
        (b"[" * 1_000_000, "nested too deeply"),
        (b'{"a":' * 100_000 + b"1" + b"}" * 100_000, "nested too deeply"),
        (b" " * 5_000_001, "too large"),
        (b'{"signed": {"schema_version": ' + b"9" * 5000 + b"}}", "out of bounds"),
        (b'{"a": 1, "a": 2}', "Not a result|Duplicate"),
    ],
)
def test_what_is_no_result_is_refused(data: bytes, match: str) -> None:
    refused(data, match)


@pytest.mark.parametrize(
    ("old", "new", "match"),
    [
        ('"ranked":true,', '"ranked":true, "ranked":true,', "Duplicate"),
        ('"elapsed_seconds":2096.25', '"elapsed_seconds":NaN', "no NaN or infinity"),
        ('"elapsed_seconds":2096.25', '"elapsed_seconds":Infinity', "no NaN or infinity"),
        ('"elapsed_seconds":2096.25', '"elapsed_seconds":1e999', "Number in the wrong format"),
        ('"elapsed_seconds":2096.25', '"elapsed_seconds":2096.250', "Number in the wrong format"),
        ('"elapsed_seconds":2096.25', '"elapsed_seconds":2.09625e3', "Number in the wrong format"),
        ('"elapsed_seconds":2096.25', '"elapsed_seconds":2096.0', "Number in the wrong format"),
        ('"elapsed_seconds":2096.25', '"elapsed_seconds":2096.25001', "Number in the wrong format"),
        ('"elapsed_seconds":2096.25', '"elapsed_seconds":1e-5', "Number in the wrong format"),
        ('"elapsed_seconds":2096.25', '"elapsed_seconds":1E5', "Number in the wrong format"),
        ('"elapsed_seconds":2096.25', '"elapsed_seconds":-0', "differs from the harness's own format"),
        ('"elapsed_seconds":2096.25', '"elapsed_seconds":"2096.25"', "elapsed_seconds"),
        ('"elapsed_seconds":2096.25', '"elapsed_seconds":true', "elapsed_seconds"),
        ('"feature_size":256', '"feature_size":123456789012345678901234567890', "feature_size"),
        ('"feature_size":256', '"feature_size":256.0', "feature_size|wrong format"),
        ("Random CNN", r"Random\u0020CNN", "differs from the harness's own format"),
        ("Random CNN", "Random\u2028CNN", r"encoder\.name"),
        ('"ranked":true', '"ranked": true', "differs from the harness's own format"),
        ('"ranked":true', '"ranked":1', "ranked"),
        ('"ranked":true,"run_id":"', '"run_id":"', "ranked"),
        ('"name":"Zoë Example","principal":', '"principal":', "name"),
        (
            '"name":"Zoë Example","principal":"alice@example.org"',
            '"principal":"alice@example.org","name":"Zoë Example"',
            "differs from the harness's own format",
        ),
        ("\n", "\r\n", "differs from the harness's own format"),
        (
            '"ale-py":"0.12.1","torch":"2.13.0"',
            '"torch":"2.13.0","ale-py":"0.12.1"',
            "differs from the harness's own format",
        ),
    ],
)
def test_there_is_one_way_to_write_a_result(text: str, old: str, new: str, match: str) -> None:
    assert old in text
    refused(text.replace(old, new, 1), match)


def test_a_result_that_was_cut_short_is_refused(text: str) -> None:
    data = text.encode()
    for length in range(0, len(data) - 1, 997):
        refused(data[:length], "not JSON|not UTF-8|Number in the wrong format")
    refused(data[:-1], "differs from the harness's own format")


def test_nothing_is_overwritten_and_failures_leave_nothing(signed: Signed, tmp_path: Path) -> None:
    result = Result(signatures=[], signed=signed)
    path = tmp_path / "result.json"
    path.write_text("mine", encoding="utf-8")
    with pytest.raises(UsageError, match="already exists"):
        write(result, path)
    assert path.read_text(encoding="utf-8") == "mine"
    assert list(tmp_path.iterdir()) == [path]
    write(result, path, overwrite=True)
    assert read(path) == result
    path.chmod(0o644)
    with pytest.raises(DataError, match="cannot be written"):
        write(result, path / "result.json")
    assert list(tmp_path.iterdir()) == [path]


def test_a_full_disk_is_one_clear_message(signed: Signed) -> None:
    with pytest.raises(DataError, match=r"/dev/full.* cannot be written"):
        write(Result(signatures=[], signed=signed), "/dev/full/x.json")


def test_reading_what_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ResultError, match="cannot be read: No such file"):
        read(tmp_path / "none.json")
    (tmp_path / "empty.json").touch()
    with pytest.raises(ResultError, match="is empty"):
        read(tmp_path / "empty.json")


def test_a_huge_file_is_refused_before_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "huge.json"
    with path.open("wb") as file:
        file.truncate(2**40)  # a sparse terabyte: reading it would end the test run
    with pytest.raises(ResultError, match="too large"):
        read(path)
