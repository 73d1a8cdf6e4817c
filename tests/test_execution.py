"""One notebook in one kernel: endings that papermill would call success, and a full disk."""

import errno
import os
import signal
import sys
import time

import pytest
from small_project import Project, statuses

from nbhelpers import execution
from nbhelpers.graph import Node


@pytest.fixture
def project(tmp_path):
    return Project(tmp_path)


def test_the_line_in_a_terminal_is_rewritten_and_in_a_log_is_not(capsys, monkeypatch):
    monkeypatch.setattr(execution.Ticker, "seconds", {True: 0.02, False: 0.02})
    for live in (True, False):
        monkeypatch.setattr(sys.stdout, "isatty", lambda live=live: live, raising=False)
        with execution.Ticker("10_gan", 9) as ticker:
            ticker.at_cell(None, 3)
            ticker.heard("step 1\rstep 2\n\n")
            time.sleep(0.1)
        printed = capsys.readouterr().out
        assert "10_gan · cell 4 of 9 · 0:00 · step 2" in printed
        assert ("\r" in printed, "\n" in printed) == (live, not live)


def test_endings_papermill_would_call_success(project):
    project.notebook("00_exit", "import sys; sys.exit(0)", "later = 1")
    project.notebook("01_killed", "import signal; os.kill(os.getpid(), signal.SIGKILL)")
    project.notebook("02_slow", "import time; time.sleep(60)")
    nodes = [Node("00_exit"), Node("01_killed"), Node("02_slow")]
    summary = project.run(nodes, keep_going=True, cell_seconds=3)
    assert set(statuses(summary).values()) == {"incomplete"}
    exited, killed, slow = (r.message for r in summary.results)
    assert (
        "SystemExit" in exited
        and "kernel died, likely out of memory" in killed
        and "time-out" in slow
    )
    assert (
        "sys.exit(0)" in exited and "os.kill" in killed and "sleep(60)" in slow
    )  # each names its cell
    for node in nodes:
        assert project.executed(node.name).cells


def test_a_full_disk_leaves_the_old_copy(project, monkeypatch):
    project.notebook("00_a", "print(1)")
    old = project.run_folder / "notebooks" / "00_a.ipynb"
    old.parent.mkdir(parents=True)
    old.write_text("old")

    def full(*_args, **_kwargs):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("papermill.engines.write_ipynb", full)
    summary = project.run([Node("00_a")])
    assert statuses(summary) == {"00": "failed"} and "No space left" in summary.results[0].message
    assert old.read_text() == "old" and not list(project.run_folder.rglob("*partial*"))


def test_a_polite_kill_ends_like_ctrl_c():
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(KeyboardInterrupt), execution.stop_like_ctrl_c():
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(5)
    assert signal.getsignal(signal.SIGTERM) == before
