"""The error tree: every error of ours comes back whole from another process."""

from __future__ import annotations

import copy
import pickle

import pytest

from atariari_data.errors import AtariariError, DataError, MissingExtraError, UnknownNameError
from harness.encoders.features import EncoderError

ERRORS = (
    UnknownNameError("game", "pongg", ["pong", "qbert"]),
    MissingExtraError("timm", "timm"),
    EncoderError("It fails.", expected=1, got=None, cure="Mend it."),
    DataError("It is not there."),
)


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_errors_survive_pickling(error: AtariariError) -> None:
    for again in (pickle.loads(pickle.dumps(error)), copy.copy(error)):  # noqa: S301  made one line above
        assert type(again) is type(error)
        assert (str(again), again.as_dict()) == (str(error), error.as_dict())
