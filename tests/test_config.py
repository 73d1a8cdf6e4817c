import os
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch

from nbhelpers import config
from nbhelpers.errors import UsageError


def test_presets_grow():
    smoke, laptop, full = (config.preset(name) for name in ("smoke", "laptop", "full"))
    assert smoke.gan_images < laptop.gan_images < full.gan_images
    assert smoke.classifier_steps < laptop.classifier_steps < full.classifier_steps
    config.check_types(laptop)


def test_a_misspelt_preset_is_refused_with_the_nearest():
    with pytest.raises(UsageError, match="did you mean 'laptop'"):
        config.preset("lapotp")


@pytest.mark.parametrize("size", [32, "64", True, 64.5, 0])
def test_sizes_other_than_64_and_128_are_refused(size):
    with pytest.raises(UsageError, match="image size"):
        config.check_size(size)


def test_paths_do_not_depend_on_the_callers_folder(monkeypatch):
    root = Path(__file__).parents[1]
    monkeypatch.chdir(root)
    here = config.paths(config.preset("smoke"), "phantom", 64)
    monkeypatch.chdir(root / "notebooks")
    assert config.paths(config.preset("smoke"), "phantom", 64) == here
    assert here.run == root / "runs" / "smoke-phantom-64"


def test_two_sources_get_two_prepared_folders(tmp_path):
    laptop = config.preset("laptop")
    one = config.paths(laptop, "folder", 64, str(tmp_path / "a"))
    other = config.paths(laptop, "folder", 64, str(tmp_path / "b"))
    assert one.raw == tmp_path / "a"
    assert one.prepared != other.prepared


def test_a_gpu_that_is_not_there_is_refused():
    missing = f"cuda:{torch.cuda.device_count()}"
    with pytest.raises(UsageError, match="use device=cpu"):
        config.pick_device(missing)
    with pytest.raises(UsageError, match="choose auto, cpu"):
        config.pick_device("gpu")
    assert config.pick_device("cpu").type == "cpu"


def test_wrong_types_name_the_field():
    @dataclass(frozen=True)
    class Settings:
        steps: int
        rate: float

    config.check_types(Settings(3, 1))
    for wrong in (Settings("3", 1.0), Settings(True, 1.0), Settings(3, "1e-4")):
        with pytest.raises(UsageError, match=r"steps is|rate is"):
            config.check_types(wrong)


def test_mixed_seeds_differ_and_repeat():
    seeds = {config.mix(a, b) for a in range(50) for b in range(50)}
    assert len(seeds) == 2500
    assert config.mix(1, 2) == config.mix(1, 2)
    assert all(0 <= seed < 2**63 for seed in seeds)


@pytest.mark.parametrize(
    ("quota", "most"), [("max 100000", 10_000), ("150000 100000", 2), ("5 10", 1)]
)
def test_a_container_s_quota_counts(tmp_path, monkeypatch, quota, most):
    monkeypatch.setattr(os, "cpu_count", lambda: 64)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: range(64), raising=False)
    (tmp_path / "cpu.max").write_text(quota + "\n")
    assert config.cores(tmp_path / "cpu.max") == min(64, most)
    assert config.cores(tmp_path / "none") == 64
