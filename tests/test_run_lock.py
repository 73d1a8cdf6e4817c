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
    lock, course = tmp_path / "state" / "00_a.lock", ["00_a", "01_b"]
    with run_lock(tmp_path, course):
        with (
            pytest.raises(
                NbhelpersError, match=f"00_a of .* is being run by process {os.getpid()}"
            ),
            run_lock(tmp_path, course[:1]),
        ):
            pass
        assert lock.exists()
        mine = json.loads(lock.read_text())
    assert not lock.exists()
    lock.write_text(
        json.dumps(mine | {"started": mine["started"] - 100})
    )  # the number was given again
    with run_lock(tmp_path, course):
        assert json.loads(lock.read_text()) == mine
    for other in (json.dumps(mine | {"host": socket.gethostname() + "x"}), ""):
        lock.write_text(other)
        with pytest.raises(NbhelpersError, match="delete"), run_lock(tmp_path, course):
            pass


def test_a_folder_that_cannot_be_written_is_said_first(project, fake):
    project.notebook("00_a")
    (project.root / "runs").write_text("a file, not a folder")
    with pytest.raises(NbhelpersError, match=r"cannot be written.*--runs"):
        project.run([Node("00_a")])
    assert fake == []


def test_runners_of_other_notebooks_share_a_folder_and_a_refused_one_leaves_no_lock(tmp_path):
    with run_lock(tmp_path, ["10_a"]), run_lock(tmp_path, ["11_b"]):
        with pytest.raises(NbhelpersError, match="11_b"), run_lock(tmp_path, ["00_c", "11_b"]):
            pass
        held = {path.name for path in (tmp_path / "state").iterdir()}
        assert held == {"10_a.lock", "11_b.lock"}
    assert list((tmp_path / "state").iterdir()) == []
