"""The committed notebooks: their form, and that they run at preset smoke from first to last."""

import ast
import hashlib
import json
import shutil
import statistics
import subprocess
import sys
from pathlib import Path

import nbformat
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from nbhelpers import config

ROOT = Path(__file__).parents[1]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
COMMON = ["preset", "dataset", "source", "image_size", "seed", "runs"]
GANS = [path for path in NOTEBOOKS if path.stem[0] == "1"]


def cells(path: Path, kind: str) -> list[str]:
    return [cell.source for cell in nbformat.read(path, 4).cells if cell.cell_type == kind]


def tagged(path: Path) -> list[str]:
    book = nbformat.read(path, 4)
    return [c.source for c in book.cells if "parameters" in c.metadata.get("tags", [])]


@pytest.fixture(params=NOTEBOOKS, ids=lambda path: path.stem)
def path(request) -> Path:
    return request.param


def test_they_are_valid_and_committed_without_outputs(path):
    book = nbformat.read(path, 4)
    nbformat.validate(book)
    assert book.metadata.kernelspec.name == "python3"
    for cell in book.cells:
        if cell.cell_type == "code":
            assert not cell.outputs and cell.execution_count is None


def test_no_path_of_a_machine_stands_in_them(path):
    text = path.read_text(encoding="utf-8")
    for trace in ("/home/", "/root/", "/Users/", "/tmp/", "C:\\\\"):
        assert trace not in text


def test_parameters_are_plain_commented_literals(path):
    (cell,) = tagged(path)
    lines = cell.splitlines()
    assert [line.split(" = ")[0] for line in lines][:6] == COMMON
    assert len(lines) <= 9
    for line in lines:
        assert "#" in line, f"{line} has no comment"
        (statement,) = ast.parse(line).body
        assert isinstance(statement.value, ast.Constant)
    assert lines[:6] == tagged(NOTEBOOKS[0])[0].splitlines()[:6]


def test_the_bootstrap_is_the_same_everywhere(path):
    def bootstrap(of: Path) -> str:
        (cell,) = [c for c in cells(of, "code") if "notebook.start(" in c]
        assert f'notebook.start("{of.stem}"' in cell
        return cell.replace(of.stem, "")

    assert bootstrap(path) == bootstrap(NOTEBOOKS[0])
    assert len([line for line in bootstrap(path).splitlines() if line.strip()]) <= 12


def test_they_stay_short(path):
    shown = for_students(path)
    code = [cell.source.splitlines() for cell in shown if cell.cell_type == "code"]
    lengths = [sum(bool(line.strip()) for line in lines) for lines in code]
    assert sum(lengths) <= 120
    assert statistics.median(lengths) <= (6 if path in GANS else 7)
    assert max(lengths) <= 30
    assert len(shown) <= 35


def for_students(path: Path) -> list[nbformat.NotebookNode]:
    """The cells that `make exercises` leaves."""
    return [c for c in nbformat.read(path, 4).cells if "solution" not in c.metadata.get("tags", [])]


def test_answers_are_folded_and_can_be_taken_away(path):
    for cell in nbformat.read(path, 4).cells:
        if cell.cell_type == "markdown":
            folded = cell.source.startswith("<details><summary>")
            assert folded == ("solution" in cell.metadata.get("tags", []))
            assert folded == ("<details>" in cell.source)


def test_students_need_nothing_that_is_taken_away(path):
    shown = [cell.source for cell in for_students(path) if cell.cell_type == "code"]
    taken = [source for source in cells(path, "code") if source not in shown]
    made = {name for source in taken for name in names(source, ast.Store)}
    assert not made & {name for source in shown for name in names(source, ast.Load)}


def names(source: str, use: type) -> set[str]:
    nodes = ast.walk(ast.parse(source))
    return {node.id for node in nodes if isinstance(node, ast.Name) and isinstance(node.ctx, use)}


def test_make_exercises_leaves_no_answer(tmp_path):
    """The command of the Makefile, on every notebook."""
    recipe = (ROOT / "Makefile").read_text().partition("bin/jupyter nbconvert")[2]
    words = recipe.partition("notebooks/*.ipynb")[0].replace("\\\n", " ").split()
    words[words.index("--output-dir=exercises")] = f"--output-dir={tmp_path}"
    command = [sys.executable, "-m", "nbconvert", *words, *map(str, NOTEBOOKS)]
    subprocess.run(command, check=True, capture_output=True)
    for path in NOTEBOOKS:
        made = nbformat.read(tmp_path / path.name, 4)
        assert [cell.source for cell in made.cells] == [c.source for c in for_students(path)]
        assert '"solution"' not in (tmp_path / path.name).read_text(encoding="utf-8")


@pytest.mark.parametrize("path", GANS, ids=lambda path: path.stem)
def test_a_gan_notebook_keeps_the_order(path):
    text = "\n".join(cells(path, "markdown"))
    order = ["The question", "## The idea", "## The players", "## The game", "## Predict",
             "## Train or load", "## What to look for", "## One experiment", "## Compare",
             "## Questions", "## Exercises", "## Summary"]  # fmt: skip
    places = [text.index(heading) for heading in order]
    assert places == sorted(places)
    assert text.count("<details>") == text.count("</details>") >= 2


@pytest.fixture(scope="module")
def smoke(tmp_path_factory) -> Path:
    """The whole course at preset smoke, once, started from a folder with spaces and accents."""
    folder = tmp_path_factory.mktemp("déjà vu")
    course(folder)
    return folder / "smoke-phantom-64"


def course(runs: Path, *more: str) -> str:
    """What the course at preset smoke prints."""
    command = [sys.executable, "-m", "nbhelpers", "run", "--preset", "smoke", "--runs", runs, *more]
    done = subprocess.run(command, cwd=runs, capture_output=True, text=True, env=environment())
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def environment() -> dict[str, str]:
    import os

    return os.environ | {"PYTHONPATH": str(ROOT)}


def test_the_course_runs_and_leaves_what_the_design_says(smoke):
    assert {p.stem for p in (smoke / "notebooks").glob("*.ipynb")} == {p.stem for p in NOTEBOOKS}
    for name in ("metrics.csv", "classifier.csv", "predictions.npz", "report.html", "gans.csv"):
        assert (smoke / name).stat().st_size > 100
    assert {p.name for p in (smoke / "gans" / "dcgan").iterdir()} >= {
        "checkpoint.pt", "history.csv", "card.json", "samples", "progress.gif", "synthetic.npz",
        "samples.npz"}  # fmt: skip
    metrics = pd.read_csv(smoke / "metrics.csv")
    wanted = ["gan", "class", "metric", "value", "low", "high", "n", "floor", "better"]
    assert list(metrics.columns)[:9] == wanted
    columns = {name.split()[1] for name in metrics["metric"] if name.startswith("psnr ")}
    assert columns == {"real-real", "real-generated", "generated-generated"}


def test_every_executed_cell_was_executed(smoke):
    for path in (smoke / "notebooks").glob("*.ipynb"):
        for cell in nbformat.read(path, 4).cells:
            if cell.cell_type == "code" and cell.source.strip():
                assert cell.execution_count is not None
                assert not [o for o in cell.outputs if o.output_type == "error"]
        assert str(ROOT) not in path.read_text(encoding="utf-8")


def test_smoke_and_phantom_are_labelled_in_the_report(smoke):
    text = (smoke / "report.html").read_text(encoding="utf-8")
    assert "procedural images, not patients" in text
    assert "smoke" in text
    assert 'src="http' not in text and text.count("<script") == 2
    assert text.count('<select name="gan"><option>dcgan</option>') == 1  # the slider of notebook 20
    assert text.count("data:image/webp;base64") >= 15
    assert len(text) < 8_000_000


def test_the_figures_of_a_readme_can_be_made_from_it(smoke, tmp_path):
    data = config.paths(config.preset("smoke"), "phantom", 64).prepared
    command = [sys.executable, "benchmarks/figures.py", smoke, "--data", data, "--to", tmp_path]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env=environment())
    assert done.returncode == 0, done.stdout + done.stderr
    for name in ("grid", "learning", "players", "distances", "verdict"):
        (made,) = tmp_path.glob(f"{name}_phantom-64.*")
        with Image.open(made) as picture:
            assert min(picture.size) >= 200
            assert (getattr(picture, "n_frames", 1) > 1) == (name == "learning")


def test_a_second_run_does_nothing(smoke):
    before = {
        p: hashlib.sha256(p.read_bytes()).hexdigest() for p in (smoke / "notebooks").iterdir()
    }
    assert course(smoke.parent).count("up to date") >= len(NOTEBOOKS)
    after = {p: hashlib.sha256(p.read_bytes()).hexdigest() for p in (smoke / "notebooks").iterdir()}
    assert before == after
    states = [json.loads(p.read_text()) for p in (smoke / "state").glob("[0-9]*.json")]
    assert {state["status"] for state in states} == {"done"}


def test_another_question_can_be_asked_of_the_same_gans(smoke, tmp_path):
    """Exercise 22.1: fewer diagnoses, beside what the run has trained for all of them."""
    shutil.copytree(smoke, tmp_path / smoke.name)
    course(tmp_path, "--only", "22", "--set", "task=three")
    with np.load(tmp_path / smoke.name / "predictions.npz") as found:
        assert found["classes"].tolist() == ["nv", "mel", "bkl"]
    with Image.open(tmp_path / smoke.name / "figures" / "22_forest.png") as figure:
        assert " · phantom · three · " in figure.text["Description"]
