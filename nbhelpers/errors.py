"""Errors for readers: each names the file or parameter and the next step. The command line prints
them without a traceback."""

import os
import time
from collections.abc import Iterable
from difflib import get_close_matches


class NbhelpersError(Exception):
    """Base of every error this project raises on purpose. `exit_status` is what the command line
    returns."""

    exit_status = 1


class UsageError(NbhelpersError):
    """A parameter, name or flag that cannot be meant."""

    exit_status = 2


class DataError(NbhelpersError):
    """Input files that are missing, broken or not what they claim to be."""


class DownloadError(DataError):
    """A transfer or an archive that cannot be trusted."""


class LeakageError(NbhelpersError):
    """Training and evaluation would share a lesion."""


class CheckpointError(NbhelpersError):
    """A checkpoint that is damaged, or belongs to another model or run."""


class TrainingError(NbhelpersError):
    """A training that cannot start or must not go on."""


class TrainingDiverged(TrainingError):
    """A term of a loss, or a player's weights, that is no longer a number; says which, when, and
    from where to go on. The first letter of `term` is the player's, d or g."""

    def __init__(self, term: str, value: float, step: int, last_good: int | None = None):
        self.told = term, value, step
        past = "" if last_good is None else f" The last good checkpoint is at {last_good} images."
        super().__init__(
            f"{term} is {value} at step {step}: nothing of it was saved.{past} Lower "
            f"learning_rate_{term[0]} and train again."
        )

    def beside(self, last_good: int) -> "TrainingDiverged":
        """The same, telling at how many images the last checkpoint was written."""
        return TrainingDiverged(*self.told, last_good)


class MetricError(NbhelpersError):
    """Arrays a metric is not defined for."""


class NotebookError(NbhelpersError):
    """A notebook that did not run to its end."""


def one_of(what: str, value: str, options: Iterable[str]) -> str:
    """`value` when it is among `options`; otherwise a UsageError that offers the nearest one."""
    options = list(options)
    if value in options:
        return value
    near = get_close_matches(str(value), options, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]!r}? " if near else ""
    raise UsageError(f"{what} {value!r} is unknown: {hint}Choose one of {', '.join(options)}.")


def let_rank_0_speak() -> int:
    """Which of torchrun's ranks this is. All but the first wait, so that torchrun, which ends all
    when one has failed, ends them before they repeat what the first one says."""
    mine = int(os.environ.get("RANK", 0))
    if mine:
        time.sleep(10)
    return mine
