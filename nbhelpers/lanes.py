"""Notebooks side by side, where there is room: each in a process of its own, with a GPU or a share
of the cores to itself."""

import multiprocessing
import os
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from typing import Any

import torch

from .config import cores
from .errors import NbhelpersError, UsageError
from .execution import Ticker, stop_like_ctrl_c
from .orphans import end_with

CORES_OF_ONE = 8  # more threads hardly speed up one training at these image sizes


def room() -> int:
    """How many notebooks this machine runs at once: one a GPU, or one for every eight cores. So
    never two trainings on two cores, or on one GPU."""
    gpus = torch.cuda.device_count()
    return gpus or max(1, cores() // CORES_OF_ONE)


@contextmanager
def executor(jobs: int) -> Iterator[Executor]:
    """What runs functions: one at a time and here, or `jobs` at once in processes that end with
    this one. UsageError for more jobs than GPUs or cores.
    """
    most = torch.cuda.device_count() or cores()
    if not 1 <= jobs <= most:
        raise UsageError(f"jobs is {jobs}: this machine has room for 1 to {most}.")
    if jobs == 1:
        yield _Here()
        return
    context = multiprocessing.get_context("spawn")  # a forked torch with threads hangs
    lanes = context.Queue()
    for lane in range(jobs):
        lanes.put(lane)
    with _Pool(jobs, context, _begin, (lanes, jobs, os.getpid())) as pool:
        try:
            yield pool
        except BrokenProcessPool as error:
            raise NbhelpersError(
                "a process that ran a notebook was killed, likely for want of memory: lower --jobs."
            ) from error
        except BaseException:
            for process in multiprocessing.active_children():
                process.terminate()  # like Ctrl-C: its kernel goes with it
            pool.shutdown(cancel_futures=True)
            raise


class _Here(Executor):
    """Runs what it is given at once."""

    def submit(self, function: Callable, /, *args: Any, **named: Any) -> Future:
        done: Future = Future()
        done.set_result(function(*args, **named))
        return done


class _Pool(ProcessPoolExecutor):
    """Processes that end what they run like Ctrl-C when they are told to end."""

    def submit(self, function: Callable, /, *args: Any, **named: Any) -> Future:
        return super().submit(_until_told, function, *args, **named)


def _until_told(function: Callable, *args: Any, **named: Any) -> Any:
    with stop_like_ctrl_c():
        return function(*args, **named)


def _begin(lanes: multiprocessing.Queue, jobs: int, parent: int) -> None:
    """In a new process: takes a lane, and lives as long as its parent."""
    lane = lanes.get()
    if gpus := torch.cuda.device_count():
        visible = os.environ.get("CUDA_VISIBLE_DEVICES") or ",".join(map(str, range(gpus)))
        os.environ["CUDA_VISIBLE_DEVICES"] = visible.split(",")[lane]
    os.environ["OMP_NUM_THREADS"] = str(max(1, cores() // jobs))
    Ticker.in_place = False  # several lines cannot be rewritten in one place
    end_with(parent)
