"""What is kept on the way: the health of every moment, the weights of the best one, and neither
more nor less after an interruption."""

import numpy as np
import pandas as pd
import pytest
import torch
from small_gans import CPU, LABELS, PHOTOGRAPHS

from nbhelpers import checkpoints, gan_folders, gan_observer, sampling
from nbhelpers.gan_observer import EVERY, HEALTH, MOMENTS, Observer
from nbhelpers.gans import DCGAN
from nbhelpers.training import Training
from nbhelpers.training_images import Budget, TrainingImages

STEPS = 120  # a log point every two steps, a moment every ten


@pytest.fixture(autouse=True)
def small_pictures(monkeypatch):
    monkeypatch.setattr(gan_observer, "COLUMNS", 2)
    monkeypatch.setattr(gan_observer, "SHORT", 0)


def stood_at(step: int = 0) -> Training:
    """A training that is moved by hand, not played: its weights tell the step."""
    torch.manual_seed(0)
    gan = DCGAN(64, z_dim=8, width=4)
    data = TrainingImages(PHOTOGRAPHS, LABELS, CPU)
    return moved(Training(gan, data, Budget(8 * STEPS, 8), CPU), step)


def moved(training: Training, step: int, stopping: bool = False) -> Training:
    training.step, training.stopping = step, stopping
    for network in (training.gan.G, training.gan.G_average):
        network.to_image.bias.data.fill_(step / STEPS)
    return training


def config() -> dict:
    return {"gan": "dcgan", "settings": stood_at().gan.settings, "classes": ["mel", "nv"]}


class Taken:
    """Stands for `Health`: numbers that are a function of the weights, with the lowest KID at one
    step."""

    def __init__(self, lowest: int = 60):
        self.lowest = lowest

    def __call__(self, gan, seed) -> dict:
        step = round(gan.G.to_image.bias[0].item() * STEPS)
        chance = np.random.default_rng(step).random(3)
        return {
            "kid": abs(step - self.lowest) + chance[0],
            "spread": chance[1],
            "told_apart": chance[2],
        }


def observed(folder, steps, taken=None, training=None) -> Observer:
    """An observer that was called at these steps, at the last one to stop."""
    training = training or stood_at()
    observer = Observer(training, config(), folder, taken or Taken())
    for step in steps:
        observer(moved(training, step, stopping=step == steps[-1]))
    return observer


def log_points(first: int, last: int) -> range:
    """The steps that the loop calls at, after `first`, up to `last`."""
    return range(first + 2, last + 1, 2)


def resumed(folder, taken=None) -> Observer:
    step = checkpoints.load(folder)["training"]["step"]
    return observed(folder, log_points(step, STEPS), taken, stood_at(step))


def kept(folder) -> tuple[bytes, list[int], int]:
    """What health.csv says, the moments that were pictured, and the moment in best.pt."""
    best = checkpoints.read(folder / checkpoints.BEST)
    return (folder / HEALTH).read_bytes(), gan_folders.sample_sheets(folder)[0], best["images"]


@pytest.fixture
def whole(tmp_path):
    folder = tmp_path / "whole"
    observed(folder, log_points(0, STEPS))
    return kept(folder)


def test_pictures_and_health_are_spread_over_the_budget(whole, tmp_path):
    _, pictured, best = whole
    assert pictured == [8 * 10 * moment for moment in range(MOMENTS + 1)]
    table = pd.read_csv(tmp_path / "whole" / HEALTH)
    assert table["images"].tolist() == pictured[EVERY::EVERY]
    assert list(table) == ["images", "kid", "spread", "told_apart", "drift"]
    assert (table["drift"] > 0).all() and best == 8 * 60


def test_a_short_training_stops_for_fewer_pictures(tmp_path, monkeypatch):
    monkeypatch.setattr(gan_observer, "SHORT", 8 * STEPS + 1)
    observed(tmp_path, log_points(0, STEPS))
    assert kept(tmp_path)[1] == [0, 8 * 30, 8 * 60, 8 * 90, 8 * 120]


@pytest.mark.parametrize("stopped", [58, 60])
def test_a_resumed_run_leaves_what_an_uninterrupted_one_does(whole, tmp_path, stopped):
    observed(tmp_path / "two", log_points(0, stopped))
    resumed(tmp_path / "two")
    assert kept(tmp_path / "two") == whole


@pytest.mark.parametrize("stopped", [11, 61])
def test_an_interrupt_between_two_log_points_adds_no_moment(whole, tmp_path, stopped):
    """Ctrl-C stops at any step; its picture and its numbers would be of no step of the plan."""
    folder, steps = tmp_path / "two", [*log_points(0, stopped), stopped]
    observed(folder, steps)
    observed(folder, log_points(stopped - 1, STEPS), None, stood_at(stopped))
    assert kept(folder) == whole


@pytest.mark.parametrize("file", ["history.csv", HEALTH, checkpoints.NAME])
def test_killed_while_it_saves_nothing_is_lost(whole, tmp_path, monkeypatch, file):
    folder, write = tmp_path / "two", gan_observer.write_atomic
    observed(folder, log_points(0, 30))

    def killed(path, content):
        if path.name == file:
            raise SystemExit
        return write(path, content)

    with monkeypatch.context() as patched, pytest.raises(SystemExit):
        for module in (gan_observer, checkpoints):
            patched.setattr(module, "write_atomic", killed)
        observed(folder, log_points(30, 70), None, stood_at(30))
    resumed(folder)
    assert kept(folder) == whole


@pytest.mark.parametrize(("lowest", "earlier"), [(60, True), (STEPS, False)])
def test_the_best_weights_are_those_of_the_lowest_kid(tmp_path, lowest, earlier):
    observed(tmp_path, log_points(0, STEPS), Taken(lowest))
    shades = {
        w: sampling.load(tmp_path, which=w).G.to_image.bias[0].item() for w in ("best", "last")
    }
    assert shades == pytest.approx({"best": lowest / STEPS, "last": 1.0})
    assert (shades["best"] != shades["last"]) == earlier
    images = [sampling.generate(sampling.load(tmp_path, which=w), 2, 0) for w in shades]
    assert np.array_equal(*images) != earlier


def test_without_a_kid_no_moment_is_the_best(tmp_path):
    observed(tmp_path, log_points(0, 20), lambda gan, seed: Taken()(gan, seed) | {"kid": np.nan})
    assert not (tmp_path / checkpoints.BEST).exists()
    assert len(pd.read_csv(tmp_path / HEALTH)) == 1


def test_without_photographs_to_compare_with_there_are_pictures_all_the_same(tmp_path):
    training = stood_at()
    Observer(training, config(), tmp_path, None)(moved(training, 20, stopping=True))
    assert gan_folders.sample_sheets(tmp_path)[0] == [0, 160]
    assert (tmp_path / HEALTH).read_text().splitlines() == ["images,kid,spread,told_apart,drift"]
