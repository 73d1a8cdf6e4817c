"""Parameters that cannot be meant are refused before anything runs; others arrive as their type."""

import re

import pytest
from small_project import PARAMETERS, Project, without_kernel

from nbhelpers import pipeline
from nbhelpers.errors import NotebookError, UsageError
from nbhelpers.graph import Node


@pytest.fixture
def project(tmp_path):
    return Project(tmp_path)


@pytest.fixture
def fake(monkeypatch):
    return without_kernel(monkeypatch)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"overrides": {"ratee": "1"}}, "'ratee' is unknown: did you mean 'rate'"),
        ({"overrides": {"10:rate": "fast"}}, "rate is 'fast': expected float"),
        ({"overrides": {"11:rate": "1"}}, "notebook '11' is unknown"),
        ({"overrides": {"show": 1}}, "show is 1: expected bool"),
        ({"overrides": {"show": "1"}}, "show is '1': expected bool"),
        ({"overrides": {"steps": True}}, "steps is True: expected int"),
        ({"overrides": {"steps": "2.5"}}, "steps is '2.5': expected int"),
        ({"overrides": {"seed": "3"}}, "use --seed"),
        ({"image_size": 65}, "65 is not one of 64, 128"),
        ({"dataset": "ham1000"}, "did you mean 'ham10000'"),
        ({"seed": -1}, "seed is -1"),
        ({"seed": True}, "seed is True"),
        ({"only": ["99"]}, "notebook '99' is unknown"),
    ],
)
def test_what_cannot_be_meant_is_refused(project, fake, settings, message):
    project.notebook("10_gan", parameters=PARAMETERS + "rate = 1e-3\nshow = True\nsteps = 5")
    with pytest.raises(UsageError, match=re.escape(message)):
        project.run([Node("10_gan")], **settings)
    assert fake == [] and not project.run_folder.exists()


def test_preset_misspelt(project):
    with pytest.raises(UsageError, match="did you mean 'smoke'"):
        pipeline.run(preset="smok", root=project.root)


def test_values_are_read_as_the_default_is(project, fake, monkeypatch):
    seen = {}
    project.notebook(
        "10_gan",
        parameters=PARAMETERS + 'rate: float = 1e-3\nshow = True\nname = "a"\nwidths = [1]',
    )
    project.notebook("20_other", parameters=PARAMETERS + "rate = 2.0")
    real = pipeline.execute
    monkeypatch.setattr(
        pipeline,
        "execute",
        lambda s, t, p, *rest: (seen.update({s.stem: p}), real(s, t, p, *rest))[1],
    )
    overrides = {"rate": "1e-4", "20:rate": 3, "show": "false", "name": "5", "widths": "[8, 16]"}
    project.run([Node("10_gan"), Node("20_other")], overrides=overrides, seed=7)
    mine = seen["10_gan"]
    assert (mine["rate"], mine["show"], mine["name"], mine["widths"]) == (1e-4, False, "5", [8, 16])
    assert seen["20_other"]["rate"] == 3.0 and isinstance(seen["20_other"]["rate"], float)
    assert mine["seed"] == 7 and mine["preset"] == "smoke" and mine["runs"] == "runs"


@pytest.mark.parametrize(
    ("tags", "count"), [((), 0), (("parameters", "parameters"), 2), (("Parameters",), 0)]
)
def test_one_parameters_cell(project, fake, tags, count):
    project.notebook("10_gan", tags=tags)
    with pytest.raises(NotebookError, match=f"10_gan.ipynb has {count} cells tagged"):
        project.run([Node("10_gan")])


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        (PARAMETERS.replace("seed = 0", ""), "no parameter 'seed'"),
        (PARAMETERS + "rate = 1 / 3", r"line 7"),
        (PARAMETERS + "import os", "line 7"),
        (PARAMETERS + "rate =", "line 7"),
    ],
)
def test_parameters_are_plain_literals(project, fake, parameters, message):
    project.notebook("10_gan", parameters=parameters)
    with pytest.raises(NotebookError, match=message):
        project.run([Node("10_gan")])


def test_missing_and_broken_notebooks(project, fake):
    with pytest.raises(NotebookError, match=r"notebooks/10_gan.ipynb is missing"):
        project.run([Node("10_gan")])
    (project.root / "notebooks" / "10_gan.ipynb").write_text("{}{")
    with pytest.raises(NotebookError, match="not a valid notebook"):
        project.run([Node("10_gan")])
