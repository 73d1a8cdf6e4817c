import pytest

from nbhelpers.errors import NbhelpersError, UsageError, one_of


def test_the_nearest_name_is_offered():
    with pytest.raises(UsageError, match=r"preset 'laptob' is unknown: did you mean 'laptop'\?"):
        one_of("preset", "laptob", ["smoke", "laptop"])


def test_a_name_like_no_other_lists_them_all():
    with pytest.raises(UsageError, match=r"unknown: Choose one of smoke, laptop"):
        one_of("preset", "zzz", ["smoke", "laptop"])


def test_usage_errors_exit_2_and_others_1():
    assert (UsageError.exit_status, NbhelpersError.exit_status) == (2, 1)
