"""Decoding RAM, against the annotations taken one variable and one byte at a time."""

import pickle
from typing import Any

import numpy as np
import pytest

from atariari_data import game, game_names, labels, positions
from atariari_data.errors import UsageError
from atariari_data.games import Variable
from atariari_data.labels import decoder

GAMES_AND_SETS = [(name, label_set) for name in game_names() for label_set in game(name).label_sets]
RAM = np.random.default_rng(0).integers(256, size=(3, 5, 128), dtype=np.uint8)


def by_hand(variable: Variable, ram: bytes) -> int:
    """Keep the digits of the byte, as text, that the mask has."""
    if variable.motion:
        fine, delay = divmod(ram[variable.address], 16)
        return (variable.motion[delay] - fine + (16 if fine >= 8 else 0)) % 160
    bits = [
        bit
        for bit, kept in zip(f"{ram[variable.address]:08b}", f"{variable.mask:08b}", strict=True)
        if kept == "1"
    ]
    value = int("".join(bits), 2)
    # The low digit may be over 9 in a byte that is no decimal; it then counts on.
    return 10 * (value >> 4) + (value & 15) if variable.bcd else (value + variable.step - 1) // variable.step


@pytest.mark.parametrize(("game_name", "label_set"), GAMES_AND_SETS)
def test_many_rams_or_one_give_what_the_annotations_say(game_name: str, label_set: str) -> None:
    variables = game(game_name).variables(label_set)
    many = labels(RAM, game_name, label_set)
    assert list(many) == [variable.name for variable in variables]
    for i, j in np.ndindex(3, 5):
        wanted = {variable.name: by_hand(variable, RAM[i, j].tobytes()) for variable in variables}
        one = labels(RAM[i, j], game_name, label_set)
        plain = decoder(game_name, label_set).scalars(RAM[i, j].tobytes())
        assert {name: int(column[i, j]) for name, column in many.items()} == wanted
        assert {name: int(value) for name, value in one.items()} == wanted
        assert plain == wanted
        assert list(plain) == list(one) == list(wanted)
    for array in (*many.values(), *one.values()):
        assert array.dtype == np.uint8
    assert {type(value) for value in plain.values()} == {int}


def test_any_shape_in_front_is_kept() -> None:
    assert labels(RAM, "pong")["ball_x"].shape == (3, 5)
    assert labels(RAM[0, 0], "pong")["ball_x"].shape == ()
    assert labels(RAM[:0], "pong")["ball_x"].shape == (0, 5)


@pytest.mark.parametrize(
    "ram",
    [
        RAM.astype(np.int64) + 1000,
        RAM.astype(np.int64) - 300,
        RAM.astype(np.float32),
        RAM.astype(np.bool_),
        RAM[..., :127],
        [[1, 2], [3]],
        np.uint8(3),
        b"ram",
        None,
    ],
)
def test_what_is_no_ram_is_refused(ram: Any) -> None:
    with pytest.raises(UsageError, match=r"expected: integers \[\.\.\., 128\] from 0 to 255"):
        labels(ram, "pong")


@pytest.mark.parametrize("kind", ["int64", "uint16", "list", "tensor"])
def test_any_integers_that_are_bytes_are_ram(kind: str) -> None:
    import torch

    ram: Any = {
        "int64": RAM.astype(np.int64),
        "uint16": RAM.astype(np.uint16),
        "list": RAM.tolist(),
        "tensor": torch.from_numpy(RAM.astype(np.int64)),
    }[kind]
    for name, values in labels(RAM, "pong").items():
        np.testing.assert_array_equal(labels(ram, "pong")[name], values)
    for name, places in positions(RAM, "pong").items():
        np.testing.assert_array_equal(positions(ram, "pong")[name], places)


def test_rows_of_pandas_and_arrow_are_ram() -> None:
    import pandas as pd
    import pyarrow as pa

    rows = RAM.reshape(-1, 128)
    arrow = pa.array(rows.tolist(), pa.list_(pa.uint8(), 128))
    for ram in (pd.Series(list(rows)), arrow, pa.chunked_array([arrow])):
        for name, values in labels(ram, "pong").items():
            np.testing.assert_array_equal(values, labels(rows, "pong")[name])
    with pytest.raises(UsageError, match="Not the RAM"):
        labels(pd.Series([rows[0], rows[1][:5]]), "pong")
    with pytest.raises(UsageError, match="Not the RAM"):
        labels(pd.Series([rows[0], None]), "pong")


def test_arithmetic_wraps_unless_another_type_is_asked_for() -> None:
    ram = np.zeros(128, np.uint8)
    x = labels(ram, "pong")["ball_x"]
    assert x == 0
    assert (np.asarray(x) - np.uint8(1)) == 255
    for dtype in (np.int64, "int16", float):
        wide = labels(np.stack([ram]), "pong", dtype=dtype)["ball_x"]
        assert wide.dtype == np.dtype(dtype)
        assert (wide - 48).tolist() == [-48]


@pytest.mark.parametrize("dtype", [np.int8, "bool", "U3", "nonsense", object])
def test_a_type_that_cannot_hold_the_labels_is_refused(dtype: Any) -> None:
    with pytest.raises(UsageError, match="dtype cannot hold the labels"):
        labels(RAM, "pong", dtype=dtype)


def test_a_pickled_decoder_is_two_names() -> None:
    small = pickle.dumps(decoder("asteroids", "anand2019"))
    assert len(small) < 200
    assert pickle.loads(small) is decoder("asteroids", "anand2019")  # noqa: S301  our own
