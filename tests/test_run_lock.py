"""One runner a run folder."""

import json
import os
import socket

import pytest
from small_project import Project, without_kernel

from nbhelpers.errors import NbhelpersError
from nbhelpers.graph import Node
from nbhelpers.run_lock import run_lock


@pytest.fixture
def project(tmp_path):
    return Project(tmp_path)


@pytest.fixture
def fake(monkeypatch):
    return without_kernel(monkeypatch)


def test_a_second_runner_refuses_and_a_stale_lock_is_taken_over(tmp_path):
    lock = tmp_path / ".lock"
    with run_lock(tmp_path):
        with (
            pytest.raises(NbhelpersError, match=f"in use by process {os.getpid()}"),
            run_lock(tmp_path),
        ):
            pass
        assert lock.exists()
        mine = json.loads(lock.read_text())
    assert not lock.exists()
    lock.write_text(
        json.dumps(mine | {"started": mine["started"] - 100})
    )  # the number was given again
    with run_lock(tmp_path):
        assert json.loads(lock.read_text()) == mine
    for other in (json.dumps(mine | {"host": socket.gethostname() + "x"}), ""):
        lock.write_text(other)
        with pytest.raises(NbhelpersError, match="delete"), run_lock(tmp_path):
            pass


def test_a_folder_that_cannot_be_written_is_said_first(project, fake):
    project.notebook("00_a")
    (project.root / "runs").write_text("a file, not a folder")
    with pytest.raises(NbhelpersError, match=r"cannot be written.*--runs"):
        project.run([Node("00_a")])
    assert fake == []
