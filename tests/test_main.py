"""The command line: answers at once, one line of error, and an exit status one can rely on."""

import hashlib
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from loopback import Server
from PIL import Image
from small_masks import write_pairs
from small_project import Project

from nbhelpers import __main__ as command_line
from nbhelpers import doctor
from nbhelpers.errors import DataError
from nbhelpers.files import write_json
from nbhelpers.graph import NODES
from nbhelpers.run_places import run_label

HERE = Path(__file__).resolve().parents[1]


def call(*arguments, cwd=HERE, **settings):
    """The finished process `nbhelpers …`."""
    environment = os.environ | {"PYTHONPATH": str(HERE)}
    command = [sys.executable, "-m", "nbhelpers", *map(str, arguments)]
    return subprocess.run(
        command, cwd=cwd, env=environment, capture_output=True, text=True, **settings
    )


def test_help_loads_nothing_heavy_and_lists_every_command():
    done = call("--help")
    assert done.returncode == 0
    assert all(name in done.stdout for name in command_line.COMMANDS)
    heavy = "import sys, nbhelpers.__main__ as m; m.parser(); print('torch' in sys.modules)"
    assert "False" in subprocess.check_output([sys.executable, "-c", heavy], cwd=HERE, text=True)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["rnu"], "did you mean 'run'"),
        ([], "COMMAND"),
        (["run", "--prest", "smoke"], "did you mean --preset"),
        (["run", "--preset", "smok"], "did you mean 'smoke'"),
        (["run", "--dataset", "phantm"], "did you mean 'phantom'"),
        (["run", "--size", "65"], "65 is not one of 64, 128"),
        (["run", "--size", "256"], "256 is not one of 64, 128 (pixels)"),
        (["run", "--size", "big"], "'big' is not a whole number"),
        (["run", "--seed", "-1"], "seed"),
        (["run", "--set", "rate"], "'rate' is not NAME=VALUE"),
        (["run", "--only", "10", "--from", "10"], "--only and --from"),
        (["run", "--only", "dcgna"], "notebook 'dcgna' is unknown"),
        (["prepare", "ham1000", "--size", "64"], "did you mean 'ham10000'"),
        (["prepare", "phantom"], "--size"),
        (["download", "phantom"], "download 'phantom' is unknown"),
        (["train", "dcgn", "--data", "a", "--run", "b"], "did you mean 'dcgan'"),
        (["train", "dcgan", "--data", "a", "--run", "b", "--images", "0"], "whole number, 1"),
        (["sample", "a", "--count", "1.5", "--to", "b"], "'1.5' is not a whole number"),
        (["train", "pix2pix", "--data", "a", "--run", "b", "--crop", "0"], "whole number, 1"),
        (["translate", "a", "--to", "b"], "--masks"),
    ],
)
def test_wrong_usage_is_two_and_names_it(arguments, message, capsys):
    assert _status(arguments) == 2
    out, errors = capsys.readouterr()
    assert message in errors and len(errors.strip().splitlines()) <= 2 and out == ""


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["prepare", "ham10000", "--source", "nowhere", "--size", "64"], "nowhere"),
        (["train", "dcgan", "--data", "nowhere", "--run", "b"], "nowhere is missing"),
        (["sample", "nowhere", "--count", "1", "--to", "b"], "nowhere"),
        (["measure", "nowhere"], "nowhere is no run folder"),
        (["translate", "a", "--masks", "nowhere", "--to", "b"], "nowhere holds no mask"),
    ],
)
def test_what_fails_is_one_and_says_why(arguments, message, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert _status(arguments) == 1
    errors = capsys.readouterr().err
    assert message in errors and "Traceback" not in errors and len(errors.splitlines()) <= 2


def _status(arguments):
    try:
        return command_line.main(arguments)
    except SystemExit as ending:
        return ending.code


@pytest.mark.parametrize(("error", "status"), [(KeyboardInterrupt, 130), (RuntimeError, None)])
def test_ctrl_c_is_clean_and_a_bug_keeps_its_traceback(monkeypatch, capsys, error, status):
    def fails(**_):
        raise error

    monkeypatch.setattr(doctor, "examine", fails)
    if status is None:
        with pytest.raises(error):
            command_line.main(["doctor"])
    else:
        assert command_line.main(["doctor"]) == status
        assert "goes on where it stopped" in capsys.readouterr().err


def test_a_closed_pipe_ends_without_a_traceback():
    code = "from nbhelpers import __main__ as m, doctor; import sys;"
    code += "doctor.examine = lambda **_: ['x' * 1000] * 1000; sys.exit(m.main(['doctor']))"
    command = f"{sys.executable} -c {code!r} | head -c 10"
    done = subprocess.run(command, shell=True, cwd=HERE, capture_output=True, text=True)
    assert done.stdout == "x" * 10 and done.stderr == ""


def test_a_run_is_known_by_its_summary_its_name_or_not_at_all(tmp_path):
    (tmp_path / "a" / "state").mkdir(parents=True)
    write_json(tmp_path / "a" / "state" / "summary.json", {"seed": 7})
    assert run_label(tmp_path / "a", needed=False) == {"seed": 7}
    assert run_label(tmp_path / "smoke-phantom-64")["dataset"] == "phantom"
    assert run_label(tmp_path / "mine", needed=False) == {"seed": 0}
    with pytest.raises(DataError, match="mine is no run folder: give one below runs/"):
        run_label(tmp_path / "mine")


def test_a_run_from_another_folder(tmp_path, monkeypatch, capsys):
    project = Project(tmp_path)
    for node in NODES:
        project.notebook(node.name, "print(seed, runs)")
    monkeypatch.chdir(project.root / "notebooks")
    monkeypatch.setenv("NBHELPERS_DATA", "../elsewhere")
    arguments = ["run", "--preset", "smoke", "--seed", "3", "--only"]
    assert command_line.main([*arguments, "00,20"]) == 1
    assert "run 10 first" in capsys.readouterr().err and not project.run_folder.exists()
    assert command_line.main([*arguments, "00"]) == 0
    printed = capsys.readouterr().out
    assert "00_start_here" in printed and "report.html" in printed
    assert "3 runs" in project.text("00_start_here")
    assert (project.run_folder / "report.html").exists()
    project.notebook("00_start_here", "raise ValueError('no')")
    assert command_line.main([*arguments, "00"]) == 1
    assert "ValueError: no" in capsys.readouterr().out


def test_from_photographs_to_generated_images(tmp_path, capsys):
    """prepare, train, resume, sample: the commands of the README, one after the other."""
    raw, data, run, to = (str(tmp_path / name) for name in ("raw", "data", "run", "out"))
    small = ["--preset", "smoke", "--images", "160", "--device", "cpu"]
    train = ["train", "dcgan", "--data", data, "--run", run, *small]
    prepare = [
        "prepare",
        "phantom",
        "--source",
        raw,
        "--count",
        "120",
        "--size",
        "64",
        "--to",
        data,
    ]
    assert command_line.main([*prepare, "--to", data]) == 0
    assert "120 images" in capsys.readouterr().out
    assert command_line.main(train) == 0
    assert command_line.main(train) == 1
    assert "pass --resume" in capsys.readouterr().err
    assert command_line.main([*train, "--resume"]) == 0
    assert "nothing to do" in capsys.readouterr().out
    assert command_line.main([*train, "--seed", "1", "--resume"]) == 1
    assert "seed was 0, is 1" in capsys.readouterr().err
    assert command_line.main(["sample", run, "--count", "5", "--to", to]) == 0
    assert len(list((tmp_path / "out").rglob("*.png"))) == 5
    assert command_line.main(["sample", run, "--count", "5", "--to", to]) == 1
    assert "is not empty: choose a new folder" in capsys.readouterr().err
    of_class = ["sample", run, "--count", "5", "--class", "mel", "--to", f"{to}2"]
    assert command_line.main(of_class) == 1
    assert "holds no checkpoint" in capsys.readouterr().err
    assert command_line.main([*train[:-2], "--device", "cuda:99"]) == 2
    assert "use device=cpu" in capsys.readouterr().err
    assert command_line.main(["train", "dcgn", *train[2:]]) == 2
    assert "did you mean 'dcgan'" in capsys.readouterr().err
    other = str(tmp_path / "other")
    for wrong in (["--order", "balance"], ["--set", "norm=spectre"], ["--set", "width=0"]):
        assert command_line.main([*train[:5], other, *small, *wrong]) == 2
    assert not (tmp_path / "other").exists()  # nothing was trained first, no encoder either


def test_from_masks_to_images(tmp_path, capsys):
    """prepare --classes, train --crop --start-from, translate: of photographs larger than a GAN."""
    raw, data, run, on, masks, to = (
        str(tmp_path / name) for name in ("raw", "data", "run", "on", "masks", "out")
    )
    write_pairs(tmp_path / "raw", of_a_class=8, size=(330, 310))
    prepare = ["prepare", "folder", "--source", raw, "--size", "300", "--to", data]
    assert command_line.main([*prepare, "--classes", "nv,mell"]) == 2
    assert "class 'mell' is unknown: did you mean 'mel'" in capsys.readouterr().err
    for classes, count in (("nv", 8), ("nv,mel", 16)):
        assert command_line.main([*prepare, "--classes", classes]) == 0
        assert f"{count} images" in capsys.readouterr().out
    small = ["--preset", "smoke", "--images", "8", "--batch", "4", "--device", "cpu"]
    train = ["train", "pix2pix", "--data", data, *small, "--set", "conditional=true"]
    assert command_line.main([*train, "--run", run]) == 2
    assert "images of 300 px: train on windows of them, --crop 256" in capsys.readouterr().err
    assert command_line.main([*train, "--run", run, "--crop", "64"]) == 0
    told = [*train, "--run", on, "--crop", "64", "--start-from", run]
    assert command_line.main([*told, "--set", "width=4"]) == 1
    assert "does not fit: image size 64 there and 64 here" in capsys.readouterr().err
    assert command_line.main([*told, "--resume"]) == 0
    (tmp_path / "masks").mkdir()
    for i, size in enumerate([(91, 40), (64, 130)]):
        Image.new("L", size, 255 * i).save(tmp_path / "masks" / f"{i}.png")
    translate = ["translate", on, "--masks", masks, "--to", to]
    assert command_line.main([*translate, "--class", "naevus"]) == 2
    assert "class 'naevus' is unknown" in capsys.readouterr().err
    assert command_line.main([*translate, "--class", "nv"]) == 0
    assert f"images in {to}: 2" in capsys.readouterr().out
    drawn = [Image.open(tmp_path / "out" / f"{i}.png") for i in (0, 1)]
    assert [image.size for image in drawn] == [(91, 40), (64, 130)]
    assert command_line.main([*translate, "--class", "nv"]) == 1
    assert "is not empty: choose a new folder" in capsys.readouterr().err


WEIGHTS = b"weights of a network" * 500


@pytest.fixture
def inception(tmp_path, monkeypatch):
    """The weights' place on a loopback server and in torch's cache, stand-ins both."""

    from nbhelpers import features

    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "hub"))

    def served(server, content=WEIGHTS):
        digest = hashlib.sha256(content).hexdigest()
        known = replace(features.INCEPTION, url=server.url, sha256=digest)
        monkeypatch.setattr(features, "INCEPTION", known)
        return known.name

    return served


def test_the_weights_of_fid_go_where_they_are_looked_for(tmp_path, inception, capsys):
    from nbhelpers import features

    with Server(lambda handler: handler.reply(200, WEIGHTS)) as server:
        name = inception(server)
        assert command_line.main(["download", "inception"]) == 0
        told = capsys.readouterr().out
        assert features.inception_path().read_bytes() == WEIGHTS
        assert "Licence: Apache 2.0" in told and f"is in {features.inception_path()}" in told
        assert command_line.main(["download", "inception"]) == 0  # kept
        assert len(server.requests) == 1
        other = tmp_path / "other"
        assert command_line.main(["download", "inception", "--to", str(other)]) == 0
    assert [path.name for path in other.iterdir()] == [name]
    assert (other / name).read_bytes() == WEIGHTS


def test_other_weights_than_fids_are_refused(tmp_path, inception, capsys):
    with Server(lambda handler: handler.reply(200, b"other" + WEIGHTS)) as server:
        inception(server)
        assert command_line.main(["download", "inception", "--to", str(tmp_path / "to")]) == 1
    assert "is not the published file: expected sha256" in capsys.readouterr().err
    assert list((tmp_path / "to").iterdir()) == []


def test_the_help_of_download_names_what_there_is(capsys):
    assert _status(["download", "--help"]) == 0
    told = capsys.readouterr().out
    assert all(name in told for name in ("ham10000", "digits", "inception"))
