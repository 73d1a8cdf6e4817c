import os
import time

import pytest

from nbhelpers.errors import DataError, NbhelpersError
from nbhelpers.files import read_json, remove_unfinished, sha256_file, write_atomic, write_json


def test_write_replaces_and_leaves_nothing_else(tmp_path):
    path = tmp_path / "new" / "é file.bin"
    write_atomic(path, b"one")
    write_atomic(path, b"two")
    assert path.read_bytes() == b"two"
    assert list(path.parent.iterdir()) == [path]


def test_a_failed_write_keeps_the_old_file(tmp_path, monkeypatch):
    path = write_atomic(tmp_path / "a", b"old")

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(NbhelpersError, match=r"No space left on device.*previous file is intact"):
        write_atomic(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_json_round_trip_and_errors(tmp_path):
    path = write_json(tmp_path / "a.json", {"é": [1, 2.5, None]})
    assert read_json(path) == {"é": [1, 2.5, None]}
    path.write_text("{")
    with pytest.raises(DataError, match=r"a.json is not valid JSON"):
        read_json(path)
    with pytest.raises(DataError, match=r"b\.json is missing"):
        read_json(tmp_path / "b.json")


def test_sha256_of_the_empty_file(tmp_path):
    (tmp_path / "empty").touch()
    assert sha256_file(tmp_path / "empty").startswith("e3b0c44298fc1c149afbf4c8996fb924")


def test_what_killed_writers_left_goes_after_a_day(tmp_path):
    """A file of today may still be being written; one of somebody else is never touched."""
    yesterday = time.time() - 90_000
    for name in (".a.x1.unfinished", ".b.x2.unfinished", ".gitkeep", "c.unfinished"):
        (tmp_path / name).touch()
        os.utime(tmp_path / name, (yesterday, yesterday))
    (tmp_path / ".d.x3.unfinished").mkdir()
    os.utime(tmp_path / ".d.x3.unfinished", (yesterday, yesterday))
    (tmp_path / ".a.x4.unfinished").touch()
    remove_unfinished(tmp_path, ".a.*")
    assert not (tmp_path / ".a.x1.unfinished").exists() and (tmp_path / ".b.x2.unfinished").exists()
    remove_unfinished(tmp_path)
    left = {path.name for path in tmp_path.iterdir()}
    assert left == {".a.x4.unfinished", ".gitkeep", "c.unfinished"}
    remove_unfinished(tmp_path, seconds=0)
    assert not (tmp_path / ".a.x4.unfinished").exists()
