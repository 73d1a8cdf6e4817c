"""The nearest image is found in any view; descriptions mean what they say."""

import numpy as np
import pytest
from PIL import Image
from test_metrics import pictures

from nbhelpers import neighbours
from nbhelpers.errors import MetricError
from nbhelpers.neighbours import Known, dihedral_views, nearest, thumbnails, typical_distance

TRAINING, FRESH = pictures(120, 1), pictures(60, 3)


@pytest.mark.parametrize("view", range(8))
def test_a_copy_is_found_in_every_view(view):
    copies = dihedral_views(TRAINING)[view][[7, 3, 99]]
    index, distance = nearest(TRAINING, copies)
    assert index.tolist() == [7, 3, 99]
    assert distance == pytest.approx(0, abs=1e-5)


def test_views_are_eight_different_ones_and_the_first_is_the_image():
    views = dihedral_views(TRAINING[:1])
    assert len({view.tobytes() for view in views}) == 8
    assert (views[0] == TRAINING[:1]).all()


def test_one_view_misses_a_turned_copy():
    turned = np.rot90(TRAINING[:5], axes=(1, 2))
    assert nearest(TRAINING, turned, views=1)[1].min() > 0.05
    assert nearest(TRAINING, turned)[1].max() < 1e-5


def test_turning_the_known_images_finds_what_turning_the_queries_finds():
    queries = np.concatenate([FRESH[:20], dihedral_views(TRAINING)[6][:5]])
    by_queries = Known(TRAINING).nearest(queries)
    by_known = Known(TRAINING, query_views=1, stored_views=8).nearest(queries)
    assert (by_queries.index == by_known.index).all()
    assert by_queries.distance == pytest.approx(by_known.distance, abs=1e-5)
    assert by_queries.relative == pytest.approx(by_known.relative, abs=1e-4)


def test_relative_distance_is_that_to_the_tenth_nearest():
    found = Known(TRAINING).nearest(FRESH[:3])
    for k in range(3):
        each = [nearest(TRAINING[i : i + 1], FRESH[k : k + 1])[1][0] for i in range(120)]
        assert found.relative[k] == pytest.approx(min(each) / sorted(each)[9], rel=1e-4)


def test_distance_ignores_brightness_and_sees_other_pictures():
    dimmer = (TRAINING[:5] * 0.7).astype(np.uint8)
    assert nearest(TRAINING, dimmer)[1].max() < 0.01
    assert nearest(TRAINING, FRESH)[1].min() > 0.1


def test_distance_may_be_taken_between_features():
    index, distance = nearest(TRAINING, TRAINING[4:6], describe=lambda x: x.mean((1, 2)) - 128.0)
    assert index.tolist() == [4, 5] and distance.max() < 1e-5


def test_the_hash_is_of_signs_and_shrugs_at_brightness_and_size():
    found = neighbours.perceptual_hash(FRESH)
    assert found.shape == (60, 63) and set(np.unique(found)) == {-1.0, 1.0}
    assert abs(found.mean()) < 0.05  # the median parts them
    dimmer = neighbours.perceptual_hash((FRESH * 0.7).astype(np.uint8))
    larger = neighbours.perceptual_hash(FRESH.repeat(2, 1).repeat(2, 2))
    assert (found == dimmer).mean() > 0.95 and (found == larger).all()
    other = neighbours.perceptual_hash(pictures(60, 9))
    assert 0.4 < (found == other).mean() < 0.6


def test_a_flat_picture_has_a_distance():
    flat = np.full((2, 64, 64, 3), 90, np.uint8)
    assert thumbnails(flat).shape == (2, 3072) and thumbnails(flat, 16).shape == (2, 768)
    assert nearest(TRAINING, flat)[1].tolist() == [1.0, 1.0]


def test_thumbnails_of_any_size_are_those_of_pillow():
    odd = FRESH[:3, :50, :50]
    assert thumbnails(odd).shape == (3, 3072)
    even = np.asarray(Image.fromarray(FRESH[0]).resize((32, 32), Image.Resampling.BOX))
    assert np.allclose(thumbnails(FRESH[:1])[0], (even - even.mean()).ravel(), atol=1)


def test_nothing_to_be_near_to_is_said():
    with pytest.raises(MetricError, match="0 training images"):
        nearest(TRAINING[:0], FRESH)
    with pytest.raises(MetricError, match="0 queries"):
        nearest(TRAINING, FRESH[:0])


def test_typical_distance_is_zero_for_one_picture_repeated():
    assert typical_distance(np.repeat(FRESH[:1], 5, 0)) == pytest.approx(0, abs=1e-5)
    flat = np.full((5, 64, 64, 3), 90, np.uint8)
    assert typical_distance(flat) == 0
    assert neighbours.spread(FRESH[:30], typical_distance(FRESH[30:])) == pytest.approx(1, abs=0.1)
