"""Notebooks side by side: real kernels in processes of their own."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
from small_project import Project, statuses
from waiting import until

from nbhelpers import config, lanes
from nbhelpers.errors import NbhelpersError, UsageError
from nbhelpers.graph import Node

HERE = Path(__file__).resolve().parents[1]
MEET = """
import time
(run / "{here}.txt").write_text(os.environ["OMP_NUM_THREADS"])
end = time.monotonic() + 60
while not (run / "{other}.txt").exists():
    assert time.monotonic() < end, "nobody else is running"
    time.sleep(0.1)
"""
NODES = [Node("00_a"), Node("01_b"), Node("02_c", ("00_a", "01_b"))]
RUNNER = """
import sys
from nbhelpers import pipeline
from nbhelpers.graph import Node
if __name__ == "__main__":
    root = __import__("pathlib").Path(sys.argv[1])
    pipeline.run(preset="smoke", root=root, nodes=[Node("00_a"), Node("01_b")], jobs=2)
"""


@pytest.fixture
def project(tmp_path):
    return Project(tmp_path)


@pytest.fixture(autouse=True)
def two_cores(monkeypatch):
    if config.cores() < 2:
        pytest.skip("two notebooks at once need two cores")


def test_two_notebooks_run_at_once_and_a_third_waits_for_both(project):
    for here, other in (("00_a", "01_b"), ("01_b", "00_a")):
        project.notebook(here, MEET.format(here=here, other=other))
    both = "print(sorted(path.name for path in run.glob('*.txt')))"
    project.notebook("02_c", both)
    summary = project.run(NODES, jobs=2)
    assert statuses(summary) == {"00": "done", "01": "done", "02": "done"}, str(summary)
    assert "['00_a.txt', '01_b.txt']" in project.text("02_c")
    threads = {(project.run_folder / f"{name}.txt").read_text() for name in ("00_a", "01_b")}
    assert threads == {str(config.cores() // 2)}
    assert statuses(project.run(NODES, jobs=2)) == dict.fromkeys(("00", "01", "02"), "up to date")


def test_a_failure_spares_what_does_not_need_it(project):
    project.notebook("00_a", "raise ValueError('broken here')")
    project.notebook("01_b")
    project.notebook("02_c")
    summary = project.run(NODES, jobs=2, keep_going=True)
    assert statuses(summary) == {"00": "failed", "01": "done", "02": "skipped"}
    assert "it needs 00_a" in str(summary)


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_a_killed_runner_takes_all_its_kernels_with_it(project, how):
    for name in ("00_a", "01_b"):
        note = f"(run / '{name}.pid').write_text(str(os.getpid()))"
        project.notebook(name, f"{note}; import time; time.sleep(120)")
    runner = subprocess.Popen([sys.executable, "-c", RUNNER, str(project.root)], cwd=HERE)
    try:
        notes = [project.run_folder / f"{name}.pid" for name in ("00_a", "01_b")]
        until(lambda: all(note.exists() and note.read_text() for note in notes), "kernels", 60)
        below = psutil.Process(runner.pid).children(recursive=True)
        runner.send_signal(how)
        runner.wait(30)
    finally:
        runner.kill()
    assert psutil.wait_procs(below, timeout=20)[1] == []
    for name in ("00_a", "01_b"):
        state = json.loads((project.run_folder / "state" / f"{name}.json").read_text())
        assert state["status"] == "incomplete"


def test_a_worker_that_is_killed_ends_the_run_with_a_reason(project):
    project.notebook("00_a", "os.kill(os.getppid(), 9)")
    project.notebook("01_b")
    with pytest.raises(NbhelpersError, match="killed, likely for want of memory: lower --jobs"):
        project.run(NODES[:2], jobs=2)


def test_more_jobs_than_there_is_room_for_are_refused(project):
    project.notebook("00_a")
    with pytest.raises(UsageError, match="jobs is 1000: this machine has room for 1 to"):
        project.run(NODES[:1], jobs=1000)
    assert lanes.room() >= 1
