"""Photograph or generated? Pictures of both kinds, mixed, and what an honest score of the answers
says (Zhou et al. 2019, HYPE, arXiv:1904.01121)."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from . import gan_folders, sampling
from .config import mix
from .errors import UsageError
from .gans import GAN
from .mask_edits import SHOWN, png, widgets
from .predictions import wilson
from .prepare import Prepared

if TYPE_CHECKING:
    from ipywidgets import Widget

KINDS = {"r": "a photograph", "f": "generated"}  # real, fake


@dataclass(frozen=True)
class Score:
    """How many were recognised."""

    photographs: tuple[int, int]  # recognised, shown
    fakes: tuple[int, int]

    @property
    def right(self) -> int:
        return self.photographs[0] + self.fakes[0]

    @property
    def count(self) -> int:
        return self.photographs[1] + self.fakes[1]

    @property
    def interval(self) -> tuple[float, float]:
        """Wilson's 95 % interval of the share of right answers."""
        return wilson(self.right, self.count)

    @property
    def verdict(self) -> str:
        """Whether somebody who guesses, right half of the time, could have done it."""
        low, high = self.interval
        if low > 0.5:
            return "better than guessing"
        return "worse than guessing" if high < 0.5 else "guessing (50 %) is not excluded"

    def __str__(self) -> str:
        share, low, high = (100 * each for each in (self.right / self.count, *self.interval))
        told = f"{self.right} of {self.count} right, {share:.0f} % (95 % interval {low:.0f} to"
        told += f" {high:.0f} %): {self.verdict}. Recognised were"
        (p, photographs), (f, fakes) = self.photographs, self.fakes
        return f"{told} {p} of {photographs} photographs and {f} of {fakes} generated images."


@dataclass(frozen=True)
class Quiz:
    """Pictures, numbered from 1, and what each is."""

    images: np.ndarray  # uint8 (N, S, S, 3)
    key: str = field(repr=False)  # a letter of `KINDS` for each

    def score(self, answers: str) -> Score:
        """The score of one letter a picture, r for a photograph and f for a fake, from the first
        on; spaces and capitals do not matter. UsageError for none, for too many and for other
        letters."""
        given = "".join(answers.lower().split())
        if not 1 <= len(given) <= len(self.key) or set(given) - set(KINDS):
            raise UsageError(
                f"answers are {answers!r}: write r (photograph) or f (generated) for each of the "
                f"{len(self.key)} pictures, or for the first ones."
            )
        pairs = list(zip(self.key, given, strict=False))
        counts = {kind: (pairs.count((kind, kind)), self.key[: len(given)].count(kind))
                  for kind in KINDS}  # fmt: skip
        return Score(photographs=counts["r"], fakes=counts["f"])


def mixed(photographs: np.ndarray, fakes: np.ndarray, seed: int) -> Quiz:
    """A quiz of photographs and generated images uint8 (N, S, S, 3), in an order that the seed
    decides."""
    order = np.random.default_rng(mix(seed, 14)).permutation(len(photographs) + len(fakes))
    key = np.array(["r"] * len(photographs) + ["f"] * len(fakes))[order]
    return Quiz(np.concatenate([photographs, fakes])[order], "".join(key))


def held_out_quiz(folder: Path, gan: GAN, prepared: Prepared, count: int, seed: int) -> Quiz:
    """A quiz of `count` photographs and `count` images of the GAN in `folder`, a function of the
    seed.

    Photographs are of lesions held out from the GAN's training, one photograph a lesion. A GAN that
    is told the class draws the classes of the photographs. UsageError when fewer lesions are held
    out, LeakageError when the GAN has seen one of them.
    """
    rows = gan_folders.held_out_rows(folder, prepared)
    rows = np.random.default_rng(mix(seed, 15)).permutation(rows)
    rows = rows[~prepared.table["group_id"].iloc[rows].duplicated().to_numpy()]
    if not 1 <= count <= len(rows):
        raise UsageError(f"count is {count}: choose from 1 to {len(rows)}, the lesions held out.")
    chosen = rows[:count]
    label = torch.from_numpy(prepared.table["label"].to_numpy()[chosen])
    fakes = sampling.generate(gan, count, mix(seed, 16), label)
    return mixed(prepared.images[chosen], fakes, seed)


def play(quiz: Quiz) -> "Widget | None":
    """The quiz one picture at a time, with two buttons and the score; None where nobody could press
    a button. What a picture is stands nowhere before it was answered."""
    module = widgets()
    return module and _Game(module, quiz).box


class _Game:
    """The state behind `play`: the answers so far."""

    def __init__(self, widgets, quiz: Quiz):
        self.quiz, self.answers = quiz, ""
        self.picture = widgets.Image(format="png", width=SHOWN, height=SHOWN)
        self.said = widgets.HTML()
        self.buttons = {kind: widgets.Button(description=name) for kind, name in KINDS.items()}
        for kind, button in self.buttons.items():
            button.on_click(lambda _, kind=kind: self._answer(kind))
        buttons = widgets.HBox(list(self.buttons.values()))
        self.box = widgets.VBox([self.picture, buttons, self.said])
        self._ask("")

    def _answer(self, kind: str) -> None:
        if len(self.answers) == len(self.quiz.key):  # a double click on the last picture
            return
        truth = self.quiz.key[len(self.answers)]
        self.answers += kind
        score = self.quiz.score(self.answers)
        told = f"{'right' if kind == truth else 'wrong'}, it was {KINDS[truth]}"
        if len(self.answers) < len(self.quiz.key):
            self._ask(f"{told}: {score.right} of {score.count} · ")
            return
        for button in self.buttons.values():
            button.disabled = True
        self.said.value = f"{told}. {score}"

    def _ask(self, before: str) -> None:
        number = len(self.answers)
        self.picture.value = png(self.quiz.images[number])
        self.said.value = f"{before}picture {number + 1} of {len(self.quiz.key)}"
