"""The arms are data: each differs from its neighbour in what its name says, and in nothing else."""

from dataclasses import replace

import pytest

from nbhelpers import arms
from nbhelpers.arms import EARLIER, LADDER, PLACES, around, doses, fewer_lesions
from nbhelpers.classifier import BLENDS, LOSSES

BAR = LADDER[2]
EVERY = (*LADDER, *around(BAR), *doses(BAR), *fewer_lesions(BAR), *EARLIER)


def differ(one, other):
    a, b = one.settings, other.settings
    return {key for key in a if a[key] != b[key]} - {"name"}


def test_arms_name_themselves_and_say_why():
    names = [arm.name for arm in EVERY]
    assert len(set(names)) == len(names) == 7 + 6 + 5 + 3 + 3
    assert all(arm.code and arm.why for arm in EVERY)
    assert all(arm.place in PLACES and arm.loss in LOSSES and arm.blend in BLENDS for arm in EVERY)
    assert " at 0x" not in str([arm.settings for arm in EVERY])


def test_the_ladder_changes_one_thing_at_a_time():
    real, classic, balanced, half, weighted, adjusted, mixup = LADDER
    assert differ(real, classic) == {"augment"}
    assert differ(classic, balanced) == differ(classic, half) == {"sampling_power"}
    assert differ(classic, weighted) == differ(classic, adjusted) == {"loss"}
    assert differ(balanced, mixup) == {"blend"}


@pytest.mark.parametrize("bar", LADDER, ids=lambda arm: arm.name)
def test_arms_around_a_bar_are_fed_like_it(bar):
    found = {arm.name: arm for arm in around(bar)}
    for arm in found.values():
        assert differ(arm, bar) <= {"extra", "place"}
        assert arm.prior == bar.prior
    assert differ(found["synthetic"], found["placebo"]) == {"extra"}
    assert differ(found["synthetic"], found["filtered"]) == {"extra"}
    assert differ(found["synthetic"], found["synthetic_only"]) == {"place"}
    assert all(differ(arm, found["synthetic"]) == {"dose"} for arm in doses(bar))
    assert all(differ(arm, bar) == {"share"} for arm in fewer_lesions(bar))


def test_arms_with_another_prior_are_told_apart():
    assert len({arm.prior for arm in EARLIER}) == len(EARLIER)
    assert BAR.prior not in {arm.prior for arm in (*EARLIER, *fewer_lesions(BAR))}
    assert replace(BAR, name="another").prior == BAR.prior


def test_what_earlier_projects_did_is_named():
    assert [arm.dose for arm in EARLIER] == ["+500", "largest", "+10%"]
    assert {arm.place for arm in EARLIER} == {"add"}
    assert {arm.sampling_power for arm in EARLIER} == {0.0}
    assert arms.SHARES == (0.125, 0.25, 0.5)
