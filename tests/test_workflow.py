"""The Snakefile: the course's graph as jobs, tried with notebooks of a few lines."""

import os
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
from small_project import Project

from nbhelpers.graph import NODES

HERE = Path(__file__).parents[1]
BY_NAME = {node.name: node for node in NODES}
WRITES = """
for make in {makes}:
    head, _, rest = make.partition("/")
    place = {{"run": run, "prepared": pathlib.Path("../data/prepared/phantom-150-64")}}[head] / rest
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text("made")
with open(run / "ran.txt", "a") as file:
    file.write("{name} ")
"""

pytestmark = pytest.mark.skipif(
    find_spec("snakemake") is None, reason="snakemake is not installed: pip install '.[cluster]'"
)


def snakemake(folder: Path, *more: object) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "snakemake", "-s", HERE / "workflow" / "Snakefile", *more]
    environment = os.environ | {"PYTHONPATH": str(HERE), "OMP_NUM_THREADS": "1"}
    return subprocess.run(list(map(str, command)), cwd=folder, env=environment, timeout=300,
                          capture_output=True, text=True)  # fmt: skip


@pytest.fixture
def project(tmp_path) -> Project:
    made = Project(tmp_path / "plain")
    made.root = made.root.rename(tmp_path / "a project")
    made.run_folder = made.root / "runs" / "smoke-phantom-64"
    for name in ("02_preprocess", "10_dcgan", "11_cgan"):
        made.notebook(name, WRITES.format(makes=BY_NAME[name].makes, name=name))
    return made


def test_a_failure_is_resumed_with_what_it_needs_and_nothing_else(project):
    whole = project.root / "notebooks" / "11_cgan.ipynb"
    kept = whole.read_text()
    project.notebook("11_cgan", "raise ValueError('injected')")
    wanted = [f"{project.run_folder}/state/{name}.done" for name in ("10_dcgan", "11_cgan")]
    told = ["--cores", 4, "--keep-going", "--config", "preset=smoke"]
    done = snakemake(project.root, *wanted, *told)
    assert done.returncode == 1 and "injected" in done.stdout + done.stderr
    ran = project.run_folder / "ran.txt"
    assert sorted(ran.read_text().split()) == ["02_preprocess", "10_dcgan"]
    whole.write_text(kept)
    assert snakemake(project.root, *wanted, *told).returncode == 0
    assert ran.read_text().split()[2:] == ["11_cgan"]
    assert "Nothing to be done" in snakemake(project.root, *wanted, *told).stderr


@pytest.mark.parametrize("executor", ["slurm", "kubernetes"])
def test_every_notebook_is_a_job_with_resources_on_a_cluster(tmp_path, executor):
    cluster = ["--executor", executor, "--jobs", 20]
    if executor == "kubernetes":  # it asks for a storage, which nothing here is kept in
        cluster += ["--kubernetes-persistent-volumes", f"work:{tmp_path}"]
        cluster += ["--default-storage-provider", "fs", "--default-storage-prefix", tmp_path / "s"]
    runs = f"runs={tmp_path / 'runs'}"
    done = snakemake(HERE, "-n", *cluster, "--config", "preset=full", "dataset=phantom", runs)
    assert done.returncode == 0, done.stderr[-2000:]
    assert f"output: {tmp_path}/runs/full-phantom-64/report.html" in done.stdout + done.stderr
    jobs = re.findall(r"^(?:local)?rule (\w+):", done.stdout + done.stderr, re.M)
    assert sorted(jobs) == sorted([f"notebook_{node.name}" for node in NODES] + ["report"])
    assert (done.stdout + done.stderr).count("gpu=1") == len(NODES)


def test_generators_are_fanned_out_by_fold_and_seed(tmp_path):
    asked = ["gan=cgan", "folds=3", "seeds=2", "preset=smoke", f"runs={tmp_path / 'my runs'}"]
    done = snakemake(HERE, "-n", "study", "--cores", 4, "--config", *asked)
    assert done.returncode == 0, done.stderr[-2000:]
    jobs = re.findall(r"^rule (\w+):", done.stdout + done.stderr, re.M)
    assert jobs.count("generator") == 6 and jobs.count("study") == 1
    assert "notebook_02_preprocess" in jobs and "notebook_10_dcgan" not in jobs
