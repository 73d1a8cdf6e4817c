"""`nbhelpers doctor`: what is missing for the run that is planned is found before it starts."""

import importlib.metadata
import shutil
from pathlib import Path

import pytest
import torch
from conftest import make_raw
from disks import disk

from nbhelpers import __main__ as command_line
from nbhelpers import backbones, doctor, features


@pytest.fixture
def here(tmp_path, monkeypatch) -> Path:
    """A machine without data and weights, whose kernel is not started each time."""
    monkeypatch.setenv("NBHELPERS_DATA", str(tmp_path / "data"))
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "hub"))
    monkeypatch.setattr(doctor, "_kernel", lambda root: [])
    return tmp_path


def told(capsys, *arguments: object) -> tuple[int, list[str]]:
    """The exit status of `nbhelpers doctor`, and its lines that are no "ok"."""
    status = command_line.main(["doctor", *map(str, arguments)])
    lines = capsys.readouterr().out.splitlines()
    return status, [line for line in lines if not line.startswith("ok")]


def failed(lines: list[str]) -> list[str]:
    return [line for line in lines if line.startswith("FAILED")]


def test_it_reports_what_it_tried_and_fails_for_what_is_required(monkeypatch, capsys):
    assert command_line.main(["doctor"]) == 0
    text = capsys.readouterr().out
    for what in (
        "python",
        "torch + torchvision",
        "device",
        "kernel",
        "disk free (runs)",
        "Inception",
    ):
        assert what in text
    monkeypatch.setattr(doctor, "_operators", _does_not_match)
    assert command_line.main(["doctor"]) == 1
    assert "FAILED  torchvision" in capsys.readouterr().out
    assert doctor.Finding("a", "b", "c", required=False).ok and not doctor.Finding("a", "b", "c").ok


def test_what_is_damaged(prepared, here, capsys):
    place = here / "data" / "prepared" / "tiny-64"
    shutil.copytree(prepared.folder, place)
    assert command_line.main(["doctor"]) == 0
    assert "ok      prepared: tiny-64    96 images" in capsys.readouterr().out
    weights = backbones.imagenet_file("resnet18")
    weights.parent.mkdir(parents=True)
    for file in (weights, place / "images.npy"):
        file.write_bytes(b"other bytes")
    assert command_line.main(["doctor"]) == 1
    told = capsys.readouterr().out
    assert "FAILED  prepared: tiny-64    cannot be used" in told and "run 02 again" in told
    assert "FAILED  ImageNet resnet18    damaged" in told and f"delete {weights}" in told


def _does_not_match():
    raise RuntimeError("operator torchvision::nms does not exist")
    yield


def test_a_disk_or_a_memory_that_is_too_small(here, capsys, monkeypatch):
    assert told(capsys, "--preset", "smoke")[0] == 0
    with disk(here / "small", "2m") as runs:
        status, lines = told(capsys, "--preset", "smoke", "--runs", runs)
    assert status == 1 and len(failed(lines)) == 1
    assert "disk free (runs)     0.0 GB, 1.0 needed" in failed(lines)[0]
    assert "choose another --runs" in failed(lines)[0]
    with disk(here / "data", "2m"):
        status, lines = told(capsys, "--preset", "laptop")
    assert status == 1 and "disk free (data)" in failed(lines)[0]
    assert "point NBHELPERS_DATA to another disk" in failed(lines)[0]
    monkeypatch.setitem(doctor.NEEDS, "smoke", (1e6, 1e15))
    status, lines = told(capsys, "--preset", "smoke")
    assert status == 1 and "memory free" in failed(lines)[0] and "close other" in failed(lines)[0]


def test_a_place_that_cannot_be_written(here, capsys):
    with disk(here / "data", "2m", read_only=True):
        status, lines = told(capsys, "--preset", "smoke")
    assert status == 1 and any(f"make {here / 'data'} writable" in line for line in failed(lines))


def test_the_data_that_are_planned(here, capsys):
    """Those of a data set that nobody asked for are a note, those that are needed are not."""
    status, lines = told(capsys, "--dataset", "ham10000")
    assert status == 1 and "nbhelpers download ham10000, or --source DIR" in failed(lines)[0]
    raw = make_raw(here / "mine", lesions=4)
    for path in raw.table["path"]:
        mine = here / "mine" / raw.table.set_index("path")["dx"][path] / Path(path).name
        mine.parent.mkdir(exist_ok=True)
        Path(path).rename(mine)
    planned = ["--dataset", "folder", "--source", here / "mine", "--preset", "smoke"]
    assert told(capsys, *planned)[0] == 0
    broken = here / "mine" / "mel" / "IMG_0000.jpg"
    broken.write_bytes(broken.read_bytes()[:200])
    status, lines = told(capsys, *planned)
    assert status == 1 and f"1 cannot be read, such as {broken}" in failed(lines)[0]
    status, lines = told(capsys, "--dataset", "folder", "--source", here / "nothing")
    assert status == 1 and failed(lines)


def test_weights_of_other_bytes(here, capsys):
    features.inception_path().parent.mkdir(parents=True)
    features.inception_path().write_bytes(b"<html>")
    status, lines = told(capsys)
    assert status == 1 and f"delete {features.inception_path()}" in failed(lines)[0]


def test_without_a_package_nothing_else_is_tried(here, capsys, monkeypatch):
    known = importlib.metadata.version

    def version(name: str) -> str:
        if name == "torch":
            raise importlib.metadata.PackageNotFoundError(name)
        return known(name)

    monkeypatch.setattr(importlib.metadata, "version", version)
    status, lines = told(capsys)
    assert status == 1 and len(lines) == 1 and 'pip install "torch>=' in lines[0]


def test_a_plan_that_cannot_be_meant(here, capsys):
    assert command_line.main(["doctor", "--preset", "ful"]) == 2
    assert "did you mean 'full'" in capsys.readouterr().err
