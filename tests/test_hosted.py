"""The first cell of a notebook on a machine of Colab's or Kaggle's."""

import json
import os
import shutil
import subprocess
import sys
import types
from importlib import metadata
from pathlib import Path

import pytest

from nbhelpers import hosted
from nbhelpers.errors import UsageError

ROOT = Path(__file__).parents[1]


@pytest.fixture
def colab(tmp_path, monkeypatch) -> Path:
    """A machine with `google.colab`, whose Drive is mounted at a folder of this test."""
    drive = types.ModuleType("google.colab.drive")
    drive.mount = lambda place: (Path(place) / "MyDrive").mkdir(parents=True, exist_ok=True)
    module = types.ModuleType("google.colab")
    module.drive = drive
    monkeypatch.setitem(sys.modules, "google", types.ModuleType("google"))
    monkeypatch.setitem(sys.modules, "google.colab", module)
    monkeypatch.setitem(sys.modules, "google.colab.drive", drive)
    monkeypatch.setattr(hosted, "DRIVE", tmp_path / "drive")
    monkeypatch.setenv("NBHELPERS_DATA", "before")
    return tmp_path


def without(monkeypatch, *names: str) -> list[list[str]]:
    """From now on these packages are not installed; the calls of pip, which are not made."""
    known, calls = metadata.version, []

    def version(name: str) -> str:
        if name in names:
            raise metadata.PackageNotFoundError(name)
        return known(name)

    def run(call, **_):
        held = Path(call[call.index("-c") + 1]).read_text()
        calls.append([*call[2:], held])

    monkeypatch.setattr(metadata, "version", version)
    monkeypatch.setattr(subprocess, "run", run)
    return calls


def test_elsewhere_nothing_is_done(monkeypatch):
    calls = without(monkeypatch, "piq")
    hosted.ready(drive=True)
    assert calls == []


def test_only_what_is_missing_is_installed(colab, monkeypatch):
    calls = without(monkeypatch, "piq", "papermill", "jupyterlab")
    hosted.ready()
    ((*call, held),) = calls
    assert call[:3] == ["pip", "install", "-q"]
    assert sorted(call[5:]) == ["papermill>=2.5", "piq>=0.8"]
    lines = held.split()
    assert [line.partition("==")[0] for line in lines] == list(hosted.BROUGHT)
    assert f"torch=={metadata.version('torch')}" in lines
    calls.clear()
    monkeypatch.undo()
    assert hosted.lacking() == []


def test_kaggle_is_known_by_its_environment(monkeypatch):
    calls = without(monkeypatch, "piq")
    monkeypatch.setenv("KAGGLE_KERNEL_RUN_TYPE", "Interactive")
    hosted.ready(drive=True)  # there is none: its own /kaggle/working is kept
    assert len(calls) == 1


def test_torch_is_never_installed(colab, monkeypatch):
    calls = without(monkeypatch, "torch", "piq")
    with pytest.raises(UsageError, match="brings no torch: choose a runtime"):
        hosted.ready()
    assert calls == []


def test_runs_in_drive_outlive_the_machine(colab, monkeypatch):
    today, tomorrow = colab / "today" / "course", colab / "tomorrow" / "course"
    for root in (today, tomorrow):
        (root / "runs").mkdir(parents=True)
        hosted.keep_in_drive(root)
        hosted.keep_in_drive(root)  # the cell is run again
        if root == today:
            (root / "runs" / "smoke-phantom-64").mkdir()
    assert (tomorrow / "runs" / "smoke-phantom-64").is_dir()
    assert os.environ["NBHELPERS_DATA"] == str(colab / "drive" / "MyDrive" / "course" / "data")
    late = colab / "late" / "course"
    (late / "runs" / "smoke-phantom-64").mkdir(parents=True)
    with pytest.raises(UsageError, match=r"runs holds runs that are not in Drive: move them"):
        hosted.keep_in_drive(late)


def published(folder: Path) -> Path:
    """A repository that holds this checkout's files, whatever has not been committed yet."""
    folder.mkdir()
    for name in ("nbhelpers", "notebooks", "pyproject.toml"):
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, folder / name)
    somebody = ["-c", "user.name=somebody", "-c", "user.email=somebody@example.org"]
    for command in (["init", "-q"], ["add", "."], [*somebody, "commit", "-q", "-m", "all"]):
        subprocess.run(["git", *command], cwd=folder, check=True)
    return folder


def first_cell() -> str:
    notebook = json.loads((ROOT / "notebooks" / "00_start_here.ipynb").read_text())
    sources = ["".join(c["source"]) for c in notebook["cells"] if c["cell_type"] == "code"]
    (first,) = [source for source in sources if "notebook.start(" in source]
    return first


@pytest.mark.parametrize("where", ["elsewhere", ROOT, ROOT / "notebooks", ROOT / "docs"])
def test_the_first_cell_works_in_any_folder(tmp_path, where):
    """In one that has nothing to do with the course as well, where the course is installed."""
    here = tmp_path / where
    here.mkdir(exist_ok=True)
    parameters = 'preset, dataset, source, image_size, seed = "smoke", "phantom", "", 64, 0\n'
    script = tmp_path / "first_cell.py"
    script.write_text(parameters + f"runs = {str(tmp_path / 'runs')!r}\n" + first_cell())
    installed = os.environ | {"PYTHONPATH": str(ROOT)}
    call = [sys.executable, str(script)]
    done = subprocess.run(call, cwd=here, env=installed, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert (tmp_path / "runs" / "smoke-phantom-64").is_dir()
    assert not (here / "gan-medical-images").exists()


CLEAN = """
import importlib.util, sys
sys.path.append({packages!r})  # what the host has installed, without the course's own link
assert importlib.util.find_spec("nbhelpers") is None
preset, dataset, source, image_size, seed, runs = "smoke", "phantom", "", 64, 0, "runs"
"""
AFTER = """
assert pathlib.Path(notebook.__file__).is_relative_to(pathlib.Path.cwd())
assert run.folder == pathlib.Path.cwd() / "gan-medical-images" / "runs" / "smoke-phantom-64"
"""


@pytest.mark.skipif(shutil.which("git") is None, reason="there is no git here")
@pytest.mark.parametrize("name", ["google/colab", "kaggle"])
def test_the_first_cell_on_a_fresh_machine(tmp_path, name):
    """A clean interpreter with the installed packages and no checkout around: it clones
    (from disk), finds all there, and the run lies beside the notebooks."""
    first = first_cell()
    address = "https://github.com/gan-medical-images/gan-medical-images"
    assert first.count(address) == 1
    first = first.replace(address, f"file://{published(tmp_path / 'gan-medical-images')}")
    if name == "google/colab":
        (tmp_path / "google" / "colab").mkdir(parents=True)
        (tmp_path / "google" / "colab" / "__init__.py").touch()
    packages = str(Path(metadata.distribution("torch").locate_file("")))
    script = tmp_path / "first_cell.py"
    script.write_text(CLEAN.format(packages=packages) + first + AFTER)
    here = tmp_path / "content"
    here.mkdir()
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "NBHELPERS"))}
    kept |= {"KAGGLE_KERNEL_RUN_TYPE": "Batch"} if name == "kaggle" else {}
    call = [sys.executable, "-S", str(script)]  # -S: no links to checkouts
    done = subprocess.run(call, cwd=here, env=kept, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "installing" not in done.stdout and "torch" in done.stdout
