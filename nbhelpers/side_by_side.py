"""Trainings next to one another: on two CPU cores two trainings of one thread each end in little
more than half the time that one after the other takes with two threads.
"""

import multiprocessing
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from typing import Any

import torch

from .errors import TrainingError
from .orphans import end_with

MOST = 8  # each holds the images and a network: 1.5 GB with HAM10000 at 64 px

_work: Callable[[Any], Any] | None = None  # in a worker: what it does


def workers_for(device: torch.device) -> int:
    """As many as torch has threads on a CPU, at most `MOST`; one on a GPU: it is full with one."""
    return min(torch.get_num_threads(), MOST) if device.type == "cpu" else 1


def each(
    work: Callable[..., Any], shared: tuple, items: Iterable[Any], workers: int
) -> Iterator[tuple[Any, Any]]:
    """(item, work(*shared, item)) of every item, as soon as it is known.

    With one worker here and in order; with several in processes of one thread each. A lone item
    has one thread as well (on two cores hardly slower): sums of two threads come out in another
    order, so a training would end elsewhere when an interrupt has left it alone. `work` is a
    function of a module, `shared` and the items can be pickled. The first error stops the rest;
    TrainingError, with the items, when the system kills a process.
    """
    items = list(items)
    if min(workers, len(items)) <= 1:
        for item in items:
            with _threads(1 if workers > 1 else torch.get_num_threads()):
                result = work(*shared, item)
            yield item, result
        return
    workers = min(workers, len(items))
    context = multiprocessing.get_context("spawn")  # a forked torch with threads hangs
    with ProcessPoolExecutor(workers, context, _begin, (os.getpid(), work, shared)) as pool:
        asked = {pool.submit(_do, item): item for item in items}
        try:
            for done in as_completed(asked):
                result = done.result()
                yield asked.pop(done), result
        except BrokenProcessPool as error:
            left = ", ".join(map(str, asked.values()))
            raise TrainingError(
                f"a process was killed, likely for want of memory, at one of {left}: close "
                "other programs, then start it again; what was finished is kept."
            ) from error
        finally:
            pool.shutdown(cancel_futures=True)


@contextmanager
def _threads(count: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _begin(parent: int, work: Callable[..., Any], shared: tuple) -> None:
    global _work
    end_with(parent)
    torch.set_num_threads(1)
    silent = open(os.devnull, "w")  # noqa: SIM115 (the parent tells how far it all is)
    sys.stdout = sys.stderr = silent

    def bound(item: Any) -> Any:
        return work(*shared, item)

    _work = bound


def _do(item: Any) -> Any:
    return _work(item)
