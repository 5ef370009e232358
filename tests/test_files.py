"""Files are written whole, beside the place where they end up."""

from __future__ import annotations

import errno
import os
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from atariari_data.errors import UsageError
from builders.files import new_file, new_folder


def test_a_file_is_whole_or_not_there(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "file"
    with pytest.raises(UnicodeEncodeError), new_file(path) as part:
        part.write_text("\u00e9", encoding="ascii")
    assert not list(path.parent.iterdir())
    with new_file(path) as part:
        part.write_text("whole", encoding="ascii")
    assert path.read_text(encoding="ascii") == "whole"
    assert list(path.parent.iterdir()) == [path]


def test_nothing_is_overwritten_unless_asked(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("old", encoding="ascii")
    with pytest.raises(UsageError, match="already exists"), new_file(path) as part:
        part.write_text("new", encoding="ascii")
    assert path.read_text(encoding="ascii") == "old"
    with new_file(path, replace=True) as part:
        part.write_text("new", encoding="ascii")
    assert path.read_text(encoding="ascii") == "new"
    with pytest.raises(UsageError, match="is a folder"), new_file(tmp_path, replace=True):
        pass


def test_a_disk_without_hard_links_takes_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object) -> None:
        raise OSError(errno.EOPNOTSUPP, "Operation not supported")

    monkeypatch.setattr("os.link", refused)
    path = tmp_path / "file"
    with new_file(path) as part:
        part.write_text("whole", encoding="ascii")
    assert path.read_text(encoding="ascii") == "whole"

    def write_late() -> None:
        with new_file(tmp_path / "late") as part:
            part.write_text("mine", encoding="ascii")
            (tmp_path / "late").write_text("theirs", encoding="ascii")

    with pytest.raises(UsageError, match="already exists"):
        write_late()
    assert (tmp_path / "late").read_text(encoding="ascii") == "theirs"


def test_a_new_folder_has_the_permissions_of_one(tmp_path: Path) -> None:
    (tmp_path / "usual").mkdir()
    with new_folder(tmp_path / "new") as part:
        (part / "file").touch()
    assert (tmp_path / "new").stat().st_mode == (tmp_path / "usual").stat().st_mode
    assert sorted(path.name for path in tmp_path.iterdir()) == ["new", "usual"]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes")
def test_a_pipe_or_device_is_written_into_and_stays(tmp_path: Path) -> None:
    """Renaming onto ``/dev/null``, as an administrator may, would replace it by a file."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with ThreadPoolExecutor(1) as pool:
        read = pool.submit(pipe.read_bytes)
        with new_file(pipe, replace=True) as part:
            part.write_bytes(b"content")
        assert read.result() == b"content"
    assert stat.S_ISFIFO(pipe.stat().st_mode)
    assert list(tmp_path.iterdir()) == [pipe]
