"""Faults 26 to 40, configuration and notebooks: full and read-only disks, orphans, logs."""

import os
import signal
import sys
from pathlib import Path

import psutil
import pytest
import torch
from disks import disk
from small_project import Project, statuses, without_kernel
from waiting import until

from nbhelpers import prepare
from nbhelpers.__main__ import main
from nbhelpers.errors import NbhelpersError
from nbhelpers.execution import Ticker
from nbhelpers.graph import Node
from nbhelpers.lesion_encoder import trained_encoder
from nbhelpers.run_lock import run_lock

HERE = Path(__file__).parents[1]


@pytest.fixture
def project(tmp_path):
    return Project(tmp_path)


def test_29_without_any_kernel_the_package_to_install_is_named(project, monkeypatch):
    project.notebook("00_a")
    monkeypatch.setitem(sys.modules, "ipykernel", None)
    summary = project.run([Node("00_a")])
    assert statuses(summary) == {"00": "failed"}
    assert "has no kernel: pip install ipykernel" in summary.results[0].message


WORKERS = """
import os, sys, time
sys.path.insert(0, sys.argv[1])
from nbhelpers.side_by_side import each

def work(item):
    open(sys.argv[2] + "/" + str(item), "w").write(str(os.getpid()))
    time.sleep(600)

if __name__ == "__main__":
    list(each(work, (), range(2), 2))
"""


def test_36_workers_end_with_a_killed_runner(tmp_path):
    script, notes = tmp_path / "work.py", tmp_path / "notes"
    script.write_text(WORKERS)
    notes.mkdir()
    runner = psutil.Popen([sys.executable, str(script), str(HERE.parent), str(notes)])
    try:
        until(lambda: len(list(notes.glob("*"))) == 2, "two workers begin")
        below = runner.children(recursive=True)
        assert len(below) >= 2
    finally:
        runner.kill()
        runner.wait()
    assert psutil.wait_procs(below, timeout=30)[1] == []


def test_37_a_full_disk_leaves_no_lock(tmp_path):
    """A lock of no bytes would be somebody's for ever."""
    with disk(tmp_path / "disk", "64k") as folder:
        (folder / "state").mkdir()
        (folder / "notebooks").mkdir()
        ballast = folder / "ballast"
        with pytest.raises(OSError, match="No space left"):
            ballast.write_bytes(bytes(100_000))
        refused = pytest.raises(NbhelpersError, match=r"No space left.*choose another")
        with refused, run_lock(folder, ["00_a"]):
            pass
        ballast.unlink()
        with run_lock(folder, ["00_a"]):
            pass


def test_38_a_full_disk_keeps_the_executed_copy_of_before(tmp_path, project):
    """A notebook that fills the disk: the copy of its last good run stays, and room helps."""
    fill = "if (run / 'fill').exists(): (run / 'ballast').write_bytes(bytes(4_000_000))"
    project.notebook("00_a", "print('well')", fill)
    nodes = [Node("00_a")]
    project.run_folder.parent.mkdir()
    with disk(project.run_folder, "1m"):
        assert project.run(nodes).ok
        before = (project.run_folder / "notebooks" / "00_a.ipynb").read_bytes()
        (project.run_folder / "fill").touch()
        told = project.run(nodes, force=True).results[0]
        assert told.status == "failed"
        assert "No space left" in told.message
        assert (project.run_folder / "notebooks" / "00_a.ipynb").read_bytes() == before
        (project.run_folder / "ballast").unlink()
        (project.run_folder / "fill").unlink()
        assert project.run(nodes).ok
        assert not list(project.run_folder.rglob(".*")), "nothing half written stays"


def test_40_a_read_only_folder_is_said_before_any_kernel(tmp_path, project, monkeypatch):
    started = without_kernel(monkeypatch)
    project.notebook("00_a")
    refused = pytest.raises(NbhelpersError, match=r"cannot be written \(Read-only.*--runs")
    with disk(tmp_path / "disk", read_only=True) as folder, refused:
        project.run([Node("00_a")], runs=str(folder / "runs"))
    assert started == []


def test_40_and_before_a_photograph_is_read_or_an_encoder_trained(
    tmp_path, raw, prepared, capsys, monkeypatch
):
    for work in ("pictures.read_image", "lesion_encoder.train"):
        monkeypatch.setattr(f"nbhelpers.{work}", lambda *_, **__: pytest.fail("too late"))
    with disk(tmp_path / "disk", read_only=True) as folder:
        with pytest.raises(NbhelpersError, match=r"p could not be written \(Read-only"):
            prepare.prepare(raw, folder / "p", 64)
        call = ["train", "dcgan", "--data", str(prepared.folder), "--run", str(folder / "r")]
        assert main(call) == 1
    told = capsys.readouterr().err
    assert len(told.splitlines()) <= 2 and str(folder) in told and "Read-only" in told


def test_46_a_disk_too_small_for_a_training_is_said_before_an_encoder_is_trained(
    tmp_path, prepared, capsys, monkeypatch
):
    monkeypatch.setattr("nbhelpers.lesion_encoder.train", lambda *_, **__: pytest.fail("too late"))
    with disk(tmp_path / "disk", "2m") as folder:
        call = ["train", "dcgan", "--data", str(prepared.folder), "--run", str(folder / "r")]
        assert main(call) == 1
        assert list(folder.iterdir()) == []
    told = capsys.readouterr().err
    assert len(told.splitlines()) == 1 and "bytes are needed" in told and "free some space" in told


def test_64_what_is_logged_shows_no_token_and_no_path(project, monkeypatch, capsys):
    """The line that says where a notebook is repeats what a cell prints."""
    monkeypatch.setitem(Ticker.seconds, False, 0.05)
    loud = (
        "print('https://a.b/c?token=s3cret', os.getcwd(), flush=True); import time; time.sleep(1)"
    )
    project.notebook("00_a", loud)
    assert project.run([Node("00_a")]).ok
    told = capsys.readouterr().out
    assert "https://a.b/c?token=" in told, "the line was shown"
    assert "s3cret" not in told and str(project.root) not in told
    for file in project.run_folder.rglob("*"):
        assert not file.is_file() or b"s3cret" not in file.read_bytes(), file


RANKS = """
import sys
sys.path[:0] = sys.argv[1:3]
from pathlib import Path
import torch
from nbhelpers.gan_jobs import Job
from nbhelpers.launcher import train_on
from nbhelpers.prepare import load_prepared
job = Job("dcgan", 1_000_000, 8, settings={"width": 8})
train_on(2, job, load_prepared(Path(sys.argv[3])), Path(sys.argv[4]), torch.device("cpu"))
"""


def test_36_ranks_end_with_a_killed_notebook(tmp_path, prepared):
    trained_encoder(prepared, 0, 2, torch.device("cpu"), tmp_path)
    folder = tmp_path / "gans" / "run"
    call = [sys.executable, "-c", RANKS, HERE.parent, HERE, prepared.folder, folder]
    log = (tmp_path / "log").open("w")
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    kernel = psutil.Popen(list(map(str, call)), stdout=log, stderr=log, env=environment)
    try:
        begun = "training begins"
        until(lambda: list(folder.glob("samples/*.png")) or kernel.poll() is not None, begun)
        below = kernel.children(recursive=True)
        assert len(below) >= 3, (tmp_path / "log").read_text()[-2000:]
    finally:
        kernel.send_signal(signal.SIGKILL)
        kernel.wait()
    left = psutil.wait_procs(below, timeout=60)[1]
    for process in left:
        process.kill()
    assert left == []
