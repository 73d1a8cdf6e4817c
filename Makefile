# make lab    JupyterLab, open on notebook 00
# make demo   the whole course, executed: phantom data, preset laptop, runs/laptop-phantom-64/report.html
# make test   the tests
# make soak   kills, strange files and long runs: what is promised in docs/promises.md
# make test-browser   of the tests those that drive JupyterLab in Chromium (Debian: chromium, chromium-driver)
# make exercises      the notebooks without answers, for a class: exercises/
# make bench  how fast the parts are, against the usual way: benchmarks/results.csv and .png
# All build their own environment in .venv first; that is quick once it stands.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
.PHONY: lab demo test test-browser exercises soak bench lint

PYTHON ?= python3
VENV := .venv
RUN := $(VENV)/bin/python
READY := $(VENV)/.ready

lab: $(READY)
	@$(VENV)/bin/jupyter lab --LabApp.default_url=/lab/tree/notebooks/00_start_here.ipynb

demo: $(READY)
	@echo "== the whole pipeline on phantom data, preset laptop (20 to 30 minutes on two CPU cores; a few seconds when up to date)"
	@$(RUN) -m nbhelpers run --preset laptop --dataset phantom

test: $(READY)
	@echo "== tests (about 13 minutes on two CPU cores)"
	@OMP_NUM_THREADS=1 $(RUN) -m pytest -n 2 --dist loadfile

test-browser: $(READY)
	@$(RUN) -m pytest tests/browser

exercises: $(READY)
	@rm -rf exercises
	@$(VENV)/bin/jupyter nbconvert --log-level=ERROR --to=notebook --output-dir=exercises \
		--TagRemovePreprocessor.enabled=True --TagRemovePreprocessor.remove_cell_tags=solution notebooks/*.ipynb
	@echo "exercises/ holds the notebooks without their answers"

soak: $(READY)
	@echo "== kills, strange files, long runs (about 25 minutes on two CPU cores)"
	@OMP_NUM_THREADS=1 $(RUN) -m pytest -n 2 --dist worksteal --hypothesis-profile=soak \
		tests/soak/soak_*.py tests/faults/test_faults_fuzzed.py

bench: $(READY)
	@$(RUN) benchmarks/speed.py

lint: $(READY)
	@$(RUN) -m ruff check .
	@$(RUN) -m ruff format --check .

$(READY): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("Python 3.11 or newer is needed, this is " + sys.version.split()[0] + ": make PYTHON=python3.12 ...")'
	@echo "== environment: $(VENV) (about 6 GB with torch, 3 to 5 minutes, once)"
	@test -x $(RUN) || $(PYTHON) -m venv $(VENV)
	@$(RUN) -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@
