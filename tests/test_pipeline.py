"""The runner against notebooks that misbehave, in a project with an awkward path."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from small_project import PARAMETERS, Project, statuses, without_kernel

from nbhelpers import pipeline
from nbhelpers.errors import DataError, NbhelpersError
from nbhelpers.executed_copy import CAP
from nbhelpers.graph import Node

HERE = Path(__file__).resolve().parents[1]
RUNNER = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # `make test &` starts with it ignored
from nbhelpers import pipeline
from nbhelpers.graph import Node
root = __import__("pathlib").Path(sys.argv[1])
pipeline.run(preset="smoke", root=root, nodes=[Node("00_a"), Node("01_b")])
"""


@pytest.fixture
def project(tmp_path):
    return Project(tmp_path)


@pytest.fixture
def fake(monkeypatch):
    return without_kernel(monkeypatch)


def test_upstream_missing_is_said_before_the_start(project, fake):
    nodes = [Node("02_pre", makes=("run/made.txt",)), Node("10_gan", ("02_pre",))]
    project.notebook("10_gan")
    with pytest.raises(DataError, match=r"made\.txt: run 02 first"):
        project.run(nodes, only=["10"])
    with pytest.raises(DataError, match=r"missing or empty: `nbhelpers download ham10000`"):
        pipeline.run(preset="smoke", dataset="ham10000", root=project.root, nodes=[Node("10_gan")])
    assert fake == []


def test_built_in_data_are_no_errand(project, fake):
    """Notebook 10 makes them itself, so it may be the first that is run."""
    nodes = [Node("02_pre", makes=("prepared/manifest.json",)), Node("10_gan", ("02_pre",))]
    project.notebook("10_gan")
    assert project.run(nodes, only=["10"]).ok
    assert [name[:2] for name in fake] == ["10"]
    with pytest.raises(DataError, match=r"manifest\.json: run 02 first"):
        project.run(nodes, only=["10"], dataset="ham10000")


def test_only_what_changed_is_run_again(project, fake):
    nodes = [
        Node("02_pre", makes=("run/made.txt",)),
        Node("10_gan", ("02_pre",)),
        Node("20_look", ("10_gan",)),
    ]
    project.notebook("02_pre", "# writes made.txt")
    project.notebook("10_gan")
    project.notebook("20_look")

    def ran(**settings):
        fake.clear()
        assert project.run(nodes, **settings).ok
        return [name[:2] for name in fake]

    assert ran() == ["02", "10", "20"]
    assert ran() == []
    project.notebook("10_gan", "changed = 1")
    assert ran() == ["10", "20"]
    (project.run_folder / "made.txt").unlink()
    assert ran() == ["02"]  # the same file comes back: nothing after it changes
    (project.root / "nbhelpers" / "helper.py").write_text("one = 2\n")
    assert ran() == ["02", "10", "20"]
    assert ran(force=True, only=["20"]) == ["20"]
    assert ran(seed=1) == ["02", "10", "20"]


def test_only_one_notebook_uses_what_its_needs_really_were(project, fake):
    nodes = [Node("02_pre"), Node("10_gan", ("02_pre",))]
    project.notebook("02_pre")
    project.notebook("10_gan")
    project.run(nodes)
    project.notebook("02_pre", "changed = 1")  # and not run
    fake.clear()
    project.run(nodes, only=["10"])
    assert fake == []  # made from the old 02, and still is
    project.run(nodes)
    assert fake == ["02_pre", "10_gan"]


def test_changed_photographs_run_again(project, fake, tmp_path):
    photographs = tmp_path / "photographs"
    photographs.mkdir()
    (photographs / "a.jpg").write_bytes(b"1")
    project.notebook("02_pre")
    settings = {"dataset": "folder", "source": str(photographs)}
    for addition, times in ((None, 1), (None, 1), ("b.jpg", 2)):
        if addition:
            (photographs / addition).write_bytes(b"2")
        project.run([Node("02_pre")], **settings)
        assert len(fake) == times


def test_a_failure_stops_or_skips_and_is_tried_again(project, fake):
    nodes = [Node("00_a"), Node("10_b"), Node("20_c", ("10_b",)), Node("21_d", ("00_a",))]
    for node in nodes:
        project.notebook(node.name, "# fails" if node.name == "10_b" else "")
    summary = project.run(nodes)
    assert statuses(summary) == {"00": "done", "10": "failed", "20": "not run", "21": "not run"}
    summary = project.run(nodes, keep_going=True)
    assert statuses(summary) == {"00": "up to date", "10": "failed", "20": "skipped", "21": "done"}
    assert not summary.ok and "10_b" in str(summary) and "broken" in str(summary)
    written = json.loads((project.run_folder / "state" / "summary.json").read_text())
    assert [r["status"] for r in written["results"]] == ["up to date", "failed", "skipped", "done"]


def test_a_missing_file_is_no_success(project, fake):
    project.notebook("02_pre")
    summary = project.run([Node("02_pre", makes=("run/made.txt",))])
    assert statuses(summary) == {"02": "incomplete"} and "made.txt" in summary.results[0].message


@pytest.fixture
def decoy(tmp_path, monkeypatch):
    """A user-level python3 kernel that cannot start."""
    spec = tmp_path / "jupyter" / "kernels" / "python3"
    spec.mkdir(parents=True)
    (spec / "kernel.json").write_text(
        json.dumps({"argv": ["/nowhere/python"], "display_name": "x", "language": "python"})
    )
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path / "jupyter"))
    monkeypatch.setenv("JUPYTER_DATA_DIR", str(tmp_path / "jupyter"))
    monkeypatch.setenv("MPLBACKEND", "agg")


def test_a_run_from_elsewhere_and_its_repair(project, decoy, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    names = "['MPLBACKEND', 'NBHELPERS_HEADLESS']"
    facts = f"import sys; print(sys.executable, *map(os.environ.get, {names}))"
    found = "print(os.getcwd()); import helper_of_the_project; print('https://x.org/?token=s3cret')"
    (project.root / "helper_of_the_project.py").write_text("")
    project.notebook("00_a", facts, found, "print('chatty ' * 20_000)")
    project.notebook(
        "02_b",
        "(run / 'made.txt').write_text(f'{seed} {rate}')",
        parameters=PARAMETERS + "rate = 1e-3",
    )
    project.notebook("10_c", "a = 1", "b = 2\nraise ValueError('broken here')", "c = 3")
    project.notebook("20_d")
    nodes = [
        Node("00_a"),
        Node("02_b", makes=("run/made.txt",)),
        Node("10_c", ("02_b",)),
        Node("20_d", ("10_c",)),
    ]
    summary = project.run(nodes, keep_going=True, seed=5, overrides={"rate": "1e-4"})
    assert statuses(summary) == {"00": "done", "02": "done", "10": "failed", "20": "skipped"}
    assert "raise ValueError('broken here')" in summary.results[2].message
    assert "ValueError: broken here" in summary.results[2].message and not summary.ok
    assert "10_c: failed" in capsys.readouterr().out
    assert (project.run_folder / "made.txt").read_text() == "5 0.0001"

    text = project.text("00_a")
    assert "<python>" in text and "matplotlib_inline" in text and "./notebooks" in text
    assert len(text) < CAP + 2000 and "characters left out here" in text
    for name in ("00_a", "10_c"):  # kept when it failed, too
        raw = (project.run_folder / "notebooks" / f"{name}.ipynb").read_text()
        assert str(tmp_path) not in raw and "s3cret" not in raw and sys.prefix not in raw
    assert [c.execution_count for c in project.executed("10_c").cells if c.cell_type == "code"][
        -1
    ] is None
    assert not list(project.run_folder.rglob("*partial*")) and not list(
        project.run_folder.rglob("*.lock")
    )
    state = json.loads((project.run_folder / "state" / "10_c.json").read_text())
    assert (state["status"], state["fingerprint"], state["seed"]) == ("failed", None, 5)

    project.notebook("10_c", "a = 1")
    summary = project.run(nodes, seed=5, overrides={"rate": "1e-4"})
    assert statuses(summary) == {"00": "up to date", "02": "up to date", "10": "done", "20": "done"}


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_a_killed_runner_leaves_no_kernel_and_the_next_one_goes_on(project, how, fake):
    project.notebook("00_a")
    project.notebook(
        "01_b", "(run / 'pid').write_text(str(os.getpid())); import time; time.sleep(120)"
    )
    (project.run_folder / "state").mkdir(parents=True)
    nodes = [Node("00_a"), Node("01_b")]
    project.run(nodes, only=["00"])  # the first notebook is done already
    command = [sys.executable, "-c", RUNNER, str(project.root)]
    runner = subprocess.Popen(
        command, cwd=HERE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        note = project.run_folder / "pid"
        _wait(lambda: (note.exists() and note.read_text()) or runner.poll() is not None, 60)
        assert runner.poll() is None, runner.communicate()
        with pytest.raises(NbhelpersError, match=f"process {runner.pid}"):
            project.run(nodes)  # while it runs
        runner.send_signal(how)
        out, errors = runner.communicate(timeout=30)
    finally:
        runner.kill()
    assert "00_a: up to date" in out
    assert "never awaited" not in errors and "was destroyed" not in errors
    assert _wait(lambda: not psutil.pid_exists(int(note.read_text())), 15)
    assert (
        json.loads((project.run_folder / "state" / "01_b.json").read_text())["status"]
        == "incomplete"
    )
    assert (project.run_folder / "state" / "01_b.lock").exists() == (how == signal.SIGKILL)
    fake.clear()
    assert statuses(project.run(nodes)) == {"00": "up to date", "01": "done"} and fake == ["01_b"]


def _wait(condition, seconds):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.1)
    return False
