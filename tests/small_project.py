"""A small project with notebooks of a few lines, for the tests of the runner."""

import re
from pathlib import Path

import nbformat

from nbhelpers import pipeline
from nbhelpers.executed_copy import Outcome

PARAMETERS = """preset = "laptop"  # a comment
dataset = "phantom"
source = ""
image_size = 64
seed = 0
runs = "runs"
"""
INSIDE = "import os, pathlib; run = pathlib.Path('..') / runs / f'{preset}-{dataset}-{image_size}'"


class Project:
    """A project folder with notebooks of a few lines."""

    def __init__(self, folder: Path):
        self.root = folder / "projet été {1}"
        (self.root / "notebooks").mkdir(parents=True)
        (self.root / "nbhelpers").mkdir()
        (self.root / "nbhelpers" / "helper.py").write_text("one = 1\n")
        self.run_folder = self.root / "runs" / "smoke-phantom-64"

    def notebook(self, name, *code, parameters=PARAMETERS, tags=("parameters",)):
        cells = [nbformat.v4.new_code_cell(parameters, metadata={"tags": [tag]}) for tag in tags]
        cells += [nbformat.v4.new_code_cell(source) for source in (INSIDE, *code)]
        # no kernelspec at all: the runner brings its own
        nbformat.write(
            nbformat.v4.new_notebook(cells=cells), self.root / "notebooks" / f"{name}.ipynb"
        )

    def run(self, nodes, **settings):
        return pipeline.run(preset="smoke", root=self.root, nodes=nodes, **settings)

    def executed(self, name):
        return nbformat.read(self.run_folder / "notebooks" / f"{name}.ipynb", as_version=4)

    def text(self, name):
        outputs = [o for c in self.executed(name).cells if c.cell_type == "code" for o in c.outputs]
        return "".join(o.get("text", "") for o in outputs)


def without_kernel(monkeypatch) -> list[str]:
    """Replaces the kernel: notes what is run and writes the files that a notebook's code lists."""
    ran = []

    def execute(source, target, parameters, root, hidden, cell_seconds):
        ran.append(source.stem)
        code = "\n".join(c.source for c in nbformat.read(source, as_version=4).cells)
        for name in re.findall(r"# writes (\S+)", code):
            (target.parents[1] / name).write_text("made")
        return Outcome("failed", "broken") if "# fails" in code else Outcome("done")

    monkeypatch.setattr(pipeline, "execute", execute)
    return ran


def statuses(summary):
    return {r.notebook[:2]: r.status for r in summary.results}
