"""JupyterLab as a student has it: the server that `make lab` starts, seen in a real browser.

Skipped where Chromium or its driver is missing (Debian: apt install chromium chromium-driver).
"""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest
from conftest import ROOT
from waiting import until

webdriver = pytest.importorskip("selenium.webdriver")
from jupyterlab_page import Lab  # noqa: E402

CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
pytestmark = pytest.mark.skipif(not (CHROMIUM and DRIVER), reason="no Chromium with its driver")

SHOWN = 3_000  # images that 10_dcgan shows to D: long enough to be interrupted
FLAGS = ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--window-size=1280,1000")


@pytest.fixture(scope="module")
def checkout(tmp_path_factory) -> Path:
    """The project with every notebook at preset smoke, in a folder with a space and an accent."""
    folder = tmp_path_factory.mktemp("lab") / "mes réseaux"
    (folder / "notebooks").mkdir(parents=True)
    (folder / "nbhelpers").symlink_to(ROOT / "nbhelpers")
    for path in (ROOT / "notebooks").glob("*.ipynb"):
        text = path.read_text(encoding="utf-8")
        text = text.replace('preset = \\"laptop\\"', 'preset = \\"smoke\\"')
        if path.stem == "10_dcgan":
            text = text.replace('"images = 0 ', f'"images = {SHOWN} ')
        (folder / "notebooks" / path.name).write_text(text, encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def page(checkout, tmp_path_factory) -> Iterator[Path]:
    """What the command of `make lab` has its user's browser open."""
    places = tmp_path_factory.mktemp("server")
    words = (ROOT / "Makefile").read_text().partition("bin/jupyter lab")[2].splitlines()[0].split()
    words += ["--no-browser", "--expose-app-in-browser", "--port=0"]
    words += ["--allow-root"] if os.geteuid() == 0 else []
    folders = ("JUPYTER_RUNTIME_DIR", "JUPYTER_CONFIG_DIR", "JUPYTERLAB_SETTINGS_DIR")
    folders = {name: str(places / name) for name in (*folders, "JUPYTERLAB_WORKSPACES_DIR")}
    hidden = ("NBHELPERS_HEADLESS", "NBHELPERS_DATA")
    environment = {name: value for name, value in os.environ.items() if name not in hidden}
    environment["OMP_NUM_THREADS"] = "1"  # other tests have the other core
    command = [sys.executable, "-m", "jupyterlab", *words]
    with (places / "log").open("w") as log:
        server = subprocess.Popen(
            command, cwd=checkout, env=environment | folders, stdout=log, stderr=log
        )
        made = Path(folders["JUPYTER_RUNTIME_DIR"])
        try:
            until(lambda: list(made.glob("jpserver-*-open.html")), f"a server, see {places}")
            yield next(made.glob("jpserver-*-open.html"))
        finally:
            server.terminate()
            server.wait(60)


@pytest.fixture(scope="module")
def lab(page, tmp_path_factory) -> Iterator[Lab]:
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for flag in (*FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('chromium')}"):
        options.add_argument(flag)
    browser = webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER))
    try:
        yield Lab(browser, page)
    finally:
        browser.quit()


def test_it_opens_on_the_first_notebook_which_runs(lab):
    until(lambda: lab.path() == "notebooks/00_start_here.ipynb", "notebook 00 in front")
    lab.wait_for_kernel()
    assert any("cores" in cell["text"] for cell in lab.run_all(seconds=120))


def test_a_training_shows_how_far_it_is_stops_when_asked_and_goes_on(lab, checkout):
    gan, line = checkout / "runs/smoke-phantom-64/gans/dcgan", "train_or_load(job"
    lab.open("notebooks/10_dcgan.ipynb")
    lab.start("notebook:run-all-cells")
    until(lambda: "dcgan:" in lab.cell(line)["text"], "a training under way", seconds=240)
    before = lab.cell(line)["text"]
    until(lambda: lab.cell(line)["text"] != before, "a bar that moves")

    lab.start("notebook:interrupt-kernel")
    until(lambda: lab.cell(line)["failed"], "the interrupt")
    assert "KeyboardInterrupt" in lab.cell(line)["text"]
    assert not (gan / "card.json").exists()
    known = pd.read_csv(gan / "history.csv")
    assert 0 < known["images"].iloc[-1] < SHOWN

    lab.run_all(seconds=600)
    whole = pd.read_csv(gan / "history.csv")
    assert whole["images"].iloc[-1] >= SHOWN
    pd.testing.assert_frame_equal(whole.head(len(known)), known)
    assert json.loads((gan / "card.json").read_text())["images_shown"] == whole["images"].iloc[-1]


def test_a_slider_that_is_moved_changes_the_picture(lab):
    lab.open("notebooks/20_inspect_samples.ipynb")
    lab.run_all(seconds=600)
    picture = lab.find("sample_explorer.explorer(", ".widget-image")[0]
    noise, first, *_ = lab.find("sample_explorer.explorer(", ".noUi-handle")
    for slider in (noise, first):
        before = lab.pixels(picture)
        lab.drag(slider, 60)
        until(lambda before=before: lab.pixels(picture) != before, "another picture")


def test_a_gland_that_is_deleted_changes_mask_and_image(lab):
    editor = "mask_edits.explorer("
    lab.open("notebooks/17_pix2pix.ipynb")
    lab.run_all(seconds=600)
    mask, image = lab.find(editor, ".widget-image")
    before = lab.pixels(mask), lab.pixels(image)
    lab.drag(lab.find(editor, ".noUi-handle")[1], 300)  # the second slider chooses a gland
    until(lambda: lab.pixels(mask) != before[0], "its outline")
    lab.click(lab.find(editor, "input[type=checkbox]")[0])
    until(lambda: lab.pixels(image) != before[1], "an image without it")
