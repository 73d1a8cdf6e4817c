import numpy as np
import pytest
import torch

from nbhelpers.errors import MetricError
from nbhelpers.images import to_network, to_uint8, to_unit

EVERY_LEVEL = np.arange(256, dtype=np.uint8).repeat(3).reshape(1, 16, 16, 3)


def test_every_level_survives_the_round_trip():
    assert np.array_equal(to_uint8(to_network(EVERY_LEVEL)), EVERY_LEVEL)


def test_ranges_and_shape():
    network, unit = to_network(EVERY_LEVEL), to_unit(EVERY_LEVEL)
    assert network.shape == unit.shape == (1, 3, 16, 16)
    assert (network.min(), network.max(), unit.min(), unit.max()) == (-1, 1, 0, 1)


def test_values_outside_the_range_are_clipped():
    assert to_uint8(torch.full((1, 3, 2, 2), 1.5)).max() == 255
    assert to_uint8(torch.full((1, 3, 2, 2), -7.0)).min() == 0


@pytest.mark.parametrize(
    "wrong", [EVERY_LEVEL / 255.0, EVERY_LEVEL[0], EVERY_LEVEL.transpose(0, 3, 1, 2)]
)
def test_other_ranges_and_shapes_are_refused(wrong):
    with pytest.raises(MetricError, match=r"expected uint8 \(N, S, S, 3\)"):
        to_network(wrong)


def test_a_memory_mapped_array_stays_read_only(tmp_path):
    np.save(tmp_path / "a.npy", EVERY_LEVEL)
    mapped = np.load(tmp_path / "a.npy", mmap_mode="r")
    to_network(mapped).mul_(0)
    assert np.array_equal(np.load(tmp_path / "a.npy"), EVERY_LEVEL)
