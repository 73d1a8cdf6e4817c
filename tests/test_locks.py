"""Turns among threads and processes, and what a killed owner leaves."""

import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from nbhelpers import locks
from nbhelpers.errors import NbhelpersError
from nbhelpers.locks import one_process

ROOT = Path(__file__).parents[1]
OWNER = """
import sys, time
from pathlib import Path
from nbhelpers.locks import one_process
with one_process(Path(sys.argv[1])):
    print("inside", flush=True)
    time.sleep(60)
"""


def test_threads_are_inside_one_at_a_time(tmp_path):
    inside, most = [], []

    def work():
        with one_process(tmp_path / "file"):
            inside.append(1)
            most.append(len(inside))
            time.sleep(0.02)
            inside.pop()

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert most == [1] * 6
    assert list(tmp_path.iterdir()) == [], "no lock file stays behind"


def test_a_killed_owner_frees_its_lock(tmp_path):
    command = [sys.executable, "-c", OWNER, str(tmp_path / "file")]
    owner = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT)
    assert owner.stdout.readline().strip() == "inside"
    entered = threading.Event()

    def enter():
        with one_process(tmp_path / "file"):
            entered.set()

    thread = threading.Thread(target=enter)
    thread.start()
    assert not entered.wait(0.5), "held by the other process"
    owner.kill()
    owner.wait()
    assert entered.wait(5), "free at once, although the lock file is still there"
    thread.join()


def test_a_lock_file_that_was_replaced_before_it_was_locked_does_not_count(tmp_path, monkeypatch):
    path, lock = tmp_path / ".file.lock", locks._try_lock

    def last_owner_leaves_and_another_comes(handle):
        path.unlink()
        path.touch()
        lock(handle)

    monkeypatch.setattr(locks, "_try_lock", last_owner_leaves_and_another_comes)
    assert locks._locked(path) is None


def test_different_targets_do_not_wait_for_each_other(tmp_path):
    with one_process(tmp_path / "a"), one_process(tmp_path / "b"):
        assert sorted(p.name for p in tmp_path.iterdir()) == [".a.lock", ".b.lock"]


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    with (
        pytest.raises(NbhelpersError, match=r"none.*cannot be written.*choose another"),
        one_process(tmp_path / "none" / "file"),
    ):
        raise AssertionError("never inside")
