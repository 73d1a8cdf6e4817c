"""A quiz that does not tell, answers counted by hand, and the buttons pressed without a browser."""

import io
import sys

import numpy as np
import pytest
import torch
from PIL import Image
from small_gans import CPU

from nbhelpers import gan_folders, gan_jobs, gan_runs, mask_edits, quiz, sampling
from nbhelpers.errors import LeakageError, UsageError
from nbhelpers.quiz import Quiz

PICTURES = np.arange(8, dtype=np.uint8)[:, None, None, None] * np.ones((1, 64, 64, 3), np.uint8)
GAME = Quiz(PICTURES[:6], "rffrfr")


@pytest.fixture(scope="module")
def folder(prepared, tmp_path_factory):
    folder = tmp_path_factory.mktemp("gans") / "cgan"
    job = gan_jobs.Job("cgan", 32, 16, settings={"width": 4, "z_dim": 8})
    gan_runs.train_run(job, prepared, folder, CPU)
    return folder


def test_photographs_and_fakes_are_mixed_by_the_seed():
    one, again, other = (quiz.mixed(PICTURES[:4], PICTURES[4:], seed) for seed in (0, 0, 1))
    assert one.key == again.key != other.key and np.array_equal(one.images, again.images)
    assert sorted(one.images[:, 0, 0, 0]) == list(range(8))
    for image, kind in zip(other.images, other.key, strict=True):
        assert kind == ("r" if image.max() < 4 else "f")


def test_the_key_is_not_shown_by_accident():
    assert GAME.key not in repr(GAME) and "key" not in repr(GAME)


@pytest.mark.parametrize(
    "answers, photographs, fakes",
    [
        ("rffrfr", (3, 3), (3, 3)),
        ("frrfrf", (0, 3), (0, 3)),
        ("RFF rrr", (3, 3), (2, 3)),
        ("rrrr", (2, 2), (0, 2)),
        ("f", (0, 1), (0, 0)),
    ],
)
def test_answers_are_counted_kind_by_kind(answers, photographs, fakes):
    score = GAME.score(answers)
    assert (score.photographs, score.fakes) == (photographs, fakes)
    assert score.right == photographs[0] + fakes[0]
    assert score.count == photographs[1] + fakes[1]


@pytest.mark.parametrize("answers", ["", "  ", "rffrfrr", "rxf"])
def test_answers_that_cannot_be_meant_are_refused(answers):
    with pytest.raises(UsageError, match=r"write r \(photograph\) or f \(generated\).* 6 pictures"):
        GAME.score(answers)


@pytest.mark.parametrize(
    "right, verdict",
    [
        (15, "better than guessing"),
        (14, r"guessing (50 %) is not excluded"),
        (6, r"guessing (50 %) is not excluded"),
        (5, "worse than guessing"),
    ],
)
def test_the_score_says_whether_guessing_is_excluded(right, verdict):
    game = Quiz(np.zeros((20, 4, 4, 3), np.uint8), "rf" * 10)
    score = game.score(game.key[:right] + game.key[right:].translate(str.maketrans("rf", "fr")))
    assert score.right == right and score.verdict == verdict
    # Wilson (1927), eq. for 95 %, written out
    z, share = 1.959964, right / 20
    middle = (share + z * z / 40) / (1 + z * z / 20)
    half = z / (1 + z * z / 20) * (share * (1 - share) / 20 + z * z / 1600) ** 0.5
    assert score.interval == pytest.approx((middle - half, middle + half), abs=1e-6)


def test_the_score_is_a_sentence():
    game = Quiz(np.zeros((20, 4, 4, 3), np.uint8), "r" * 10 + "f" * 10)
    assert str(game.score("r" * 8 + "ff" + "f" * 6 + "rrrr")) == (
        "14 of 20 right, 70 % (95 % interval 48 to 85 %): guessing (50 %) is not excluded. "
        "Recognised were 8 of 10 photographs and 6 of 10 generated images."
    )


def test_photographs_are_held_out_one_of_a_lesion_and_classes_match(folder, prepared):
    gan = sampling.load(folder)
    game = quiz.held_out_quiz(folder, gan, prepared, 6, seed=1)
    assert len(game.images) == 12 and game.key.count("r") == 6
    held_out = gan_folders.held_out_rows(folder, prepared)
    real = game.images[[kind == "r" for kind in game.key]]
    rows = [r for image in real for r in held_out if np.array_equal(image, prepared.images[r])]
    table = prepared.table.iloc[rows]
    assert len(rows) == 6 and table["group_id"].is_unique
    fakes = {image.tobytes() for image, kind in zip(game.images, game.key, strict=True)
             if kind == "f"}  # fmt: skip
    assert not fakes & {image.tobytes() for image in prepared.images}
    again = quiz.held_out_quiz(folder, gan, prepared, 6, seed=1)
    assert game.key == again.key and np.array_equal(game.images, again.images)
    assert not np.array_equal(
        game.images, quiz.held_out_quiz(folder, gan, prepared, 6, seed=2).images
    )


def test_a_conditional_gan_draws_the_classes_of_the_photographs(folder, prepared, monkeypatch):
    asked = []
    drawn = sampling.generate

    def generate(gan, count, seed, label):
        asked.append(label)
        return drawn(gan, count, seed, label)

    monkeypatch.setattr(sampling, "generate", generate)
    game = quiz.held_out_quiz(folder, sampling.load(folder), prepared, 8, seed=0)
    real = game.images[[kind == "r" for kind in game.key]]
    labels = [
        label
        for image in real
        for label, photograph in zip(prepared.table["label"], prepared.images, strict=True)
        if np.array_equal(image, photograph)
    ]
    assert torch.equal(asked[0].sort().values, torch.tensor(sorted(labels)))


def test_more_pictures_than_lesions_are_refused(folder, prepared):
    gan = sampling.load(folder)
    lesions = prepared.table["group_id"].iloc[gan_folders.held_out_rows(folder, prepared)].nunique()
    assert len(quiz.held_out_quiz(folder, gan, prepared, lesions, 0).key) == 2 * lesions
    for count in (0, lesions + 1):
        with pytest.raises(UsageError, match=f"count is {count}: choose from 1 to {lesions}"):
            quiz.held_out_quiz(folder, gan, prepared, count, 0)


def test_a_gan_that_has_seen_the_photographs_gives_no_quiz(folder, prepared, tmp_path):
    (tmp_path / "card.json").write_bytes((folder / "card.json").read_bytes())
    groups = "\n".join(prepared.table["group_id"])
    (tmp_path / sampling.GROUPS).write_text(groups)
    with pytest.raises(LeakageError):
        quiz.held_out_quiz(tmp_path, sampling.load(folder), prepared, 2, 0)


@pytest.fixture
def board(monkeypatch):
    """The game's picture, its two buttons and what it says."""
    monkeypatch.setattr(mask_edits, "headless", lambda: False)
    picture, buttons, said = quiz.play(GAME).children
    return picture, {b.description: b for b in buttons.children}, said


def level(picture) -> int:
    """The brightness of the flat picture that is shown."""
    return int(np.asarray(Image.open(io.BytesIO(picture.value))).max())


def test_the_game_asks_one_picture_after_the_other(board):
    picture, buttons, said = board
    assert level(picture) == 0 and said.value == "picture 1 of 6"
    buttons["a photograph"].click()
    assert said.value == "right, it was a photograph: 1 of 1 · picture 2 of 6"
    assert level(picture) == 1
    buttons["a photograph"].click()
    assert said.value == "wrong, it was generated: 1 of 2 · picture 3 of 6"
    assert level(picture) == 2


def test_nothing_tells_what_a_picture_is_before_it_was_answered(monkeypatch):
    monkeypatch.setattr(mask_edits, "headless", lambda: False)
    boxes = [quiz.play(Quiz(GAME.images, key)) for key in ("rffrfr", "rrffrf")]
    for box in boxes:
        box.children[1].children[0].click()  # both begin with a photograph
    picture, buttons, said = zip(*(box.children for box in boxes), strict=True)
    assert picture[0].value == picture[1].value and said[0].value == said[1].value
    states = [[b.get_state(["description", "disabled", "tooltip", "style"]) for b in box.children]
              for box in buttons]  # fmt: skip
    for one, other in zip(*states, strict=True):
        assert {k: v for k, v in one.items() if k != "style"} == {
            k: v for k, v in other.items() if k != "style"
        }


def test_the_game_ends_with_the_score_and_takes_no_more(board):
    picture, buttons, said = board
    for kind in "rffrrr":
        buttons[quiz.KINDS[kind]].click()
    buttons["generated"].click()  # sent before the browser heard that it is over
    assert said.value == f"right, it was a photograph. {GAME.score('rffrrr')}"
    assert level(picture) == 5 and all(button.disabled for button in buttons.values())


def test_there_is_no_game_where_nobody_presses_buttons(monkeypatch):
    monkeypatch.setattr(mask_edits, "headless", lambda: True)
    assert quiz.play(GAME) is None
    monkeypatch.setattr(mask_edits, "headless", lambda: False)
    monkeypatch.setitem(sys.modules, "ipywidgets", None)
    assert quiz.play(GAME) is None
