import os

import pytest

from nbhelpers.errors import DataError, NbhelpersError
from nbhelpers.files import read_json, sha256_file, write_atomic, write_json


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
