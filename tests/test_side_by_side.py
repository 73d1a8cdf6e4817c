"""Work next to work gives what work after work gives."""

import os

import pytest
import torch

from nbhelpers.side_by_side import MOST, each, workers_for


def tripled(base, item):
    if item == "bad":
        raise ValueError("bad item")
    return base + 3 * item, os.getpid(), torch.get_num_threads()


def test_several_workers_give_the_same_as_one():
    here = dict(each(tripled, (5,), range(4), 1))
    apart = dict(each(tripled, (5,), range(4), 2))
    assert {i: r[0] for i, r in here.items()} == {i: r[0] for i, r in apart.items()}
    assert {r[1] for r in here.values()} == {os.getpid()}
    assert os.getpid() not in {r[1] for r in apart.values()}
    assert {r[2] for r in apart.values()} == {1}


def test_a_lone_item_has_one_thread_as_beside_others():
    torch.set_num_threads(2)
    try:
        for workers, threads in ((2, 1), (1, 2)):
            ((_, result),) = each(tripled, (5,), [1], workers)
            assert result == (8, os.getpid(), threads)
            assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(1)


@pytest.mark.parametrize("workers", [1, 2])
def test_an_error_reaches_the_caller(workers):
    with pytest.raises(ValueError, match="bad item"):
        dict(each(tripled, (5,), ["bad", "bad"], workers))


def test_workers_are_threads_on_a_cpu_and_one_on_a_gpu():
    assert workers_for(torch.device("cuda")) == 1
    assert workers_for(torch.device("cpu")) == min(torch.get_num_threads(), MOST)
