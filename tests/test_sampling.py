import json
import shutil

import numpy as np
import pytest
import torch
from PIL import Image
from small_gans import build

from nbhelpers import checkpoints, datasets, gan_jobs, gan_runs, sampling
from nbhelpers.errors import CheckpointError, DataError, NbhelpersError, UsageError
from nbhelpers.files import write_json
from nbhelpers.gans import DCGAN


@pytest.fixture(scope="module")
def gan():
    torch.manual_seed(0)
    return DCGAN(64, z_dim=8, width=4).eval()


@pytest.fixture(scope="module")
def folder(prepared, tmp_path_factory):
    folder = tmp_path_factory.mktemp("gans") / "dcgan"
    job = gan_jobs.Job("dcgan", 64, 16, settings={"width": 4, "z_dim": 8})
    gan_runs.train_run(job, prepared, folder, torch.device("cpu"))
    small = gan_jobs.Job("dcgan", 32, 8, class_name="mel", settings={"width": 4, "z_dim": 8})
    gan_runs.train_run(
        small, prepared, folder / "by_class" / "mel", torch.device("cpu"), start_from=folder
    )
    return folder


def test_fixed_noise_is_a_function_of_the_seed_and_a_prefix_of_more():
    assert torch.equal(sampling.fixed_noise(8, 3, 5), sampling.fixed_noise(8, 200, 5)[:3])
    assert not torch.equal(sampling.fixed_noise(8, 3, 5), sampling.fixed_noise(8, 3, 6))
    assert sampling.fixed_noise(8, 20_000, 0).std().item() == pytest.approx(1, abs=0.01)


def test_samples_are_stored_images_and_repeat(gan):
    one, other = sampling.generate(gan, 70, 1), sampling.generate(gan, 70, 2)
    assert one.shape == (70, 64, 64, 3) and one.dtype == np.uint8
    assert np.array_equal(one[:5], sampling.generate(gan, 5, 1))
    assert not np.array_equal(one, other)


def test_a_walk_starts_and_ends_at_its_noises(gan):
    ends = sampling.decode(gan, sampling.fixed_noise(8, 2, 3))
    steps = sampling.walk(gan, 9, 3)
    assert steps.shape == (9, 64, 64, 3)
    assert np.abs(steps[[0, -1]].astype(int) - ends).max() <= 1


def test_no_images_is_refused(gan):
    with pytest.raises(UsageError, match="count is 0"):
        sampling.generate(gan, 0, 1)


def test_a_loaded_gan_gives_the_samples_that_training_left(folder):
    again = sampling.generate(sampling.load(folder), 20, 2)  # seed 0's noise for samples.npz
    assert np.array_equal(again, np.load(folder / "samples.npz")["images"])


def test_best_is_another_file_than_last(folder, tmp_path):
    state = checkpoints.load(folder)
    checkpoints.save(tmp_path, state)
    with pytest.raises(CheckpointError, match=r"best\.pt is missing: take the last checkpoint"):
        sampling.load(tmp_path, which="best")
    last = sampling.load(tmp_path, which="last")
    for name in ("G.to_image.bias", "G_average.to_image.bias"):
        state["training"]["gan"][name] += 1.0
    checkpoints.write(tmp_path / checkpoints.BEST, state)
    best = sampling.load(tmp_path, which="best")
    assert np.array_equal(
        sampling.generate(sampling.load(tmp_path), 2, 0), sampling.generate(last, 2, 0)
    )
    assert sampling.generate(best, 2, 0).mean() > sampling.generate(last, 2, 0).mean() + 20
    content = (tmp_path / checkpoints.BEST).read_bytes()
    (tmp_path / checkpoints.BEST).write_bytes(content[:-1] + b"!")
    with pytest.raises(CheckpointError, match=r"best\.pt is damaged"):
        sampling.load(tmp_path, which="best")
    with pytest.raises(UsageError, match="'bst' is unknown: did you mean 'best'"):
        sampling.load(tmp_path, which="bst")


def test_samples_obey_the_label_they_are_asked_for():
    gan = build("cgan", width=4)
    one, other = (sampling.generate(gan, 4, 0, torch.full((4,), c)) for c in (0, 1))
    assert not np.array_equal(one, other)
    mixed = sampling.generate(gan, 4, 0, torch.tensor([0, 1, 1, 0]))
    assert np.array_equal(mixed[[0, 3]], one[[0, 3]])
    assert np.array_equal(mixed[[1, 2]], other[[1, 2]])
    in_turn = sampling.generate(gan, 4, 0)  # what is not asked for comes class by class
    assert np.array_equal(in_turn[[0, 3]], one[[0, 3]]) and np.array_equal(in_turn[1], other[1])
    steps = [sampling.walk(gan, 4, 0, label=c) for c in (0, 1)]
    assert np.array_equal(steps[0], sampling.walk(gan, 4, 0)) and not np.array_equal(*steps)


def test_weights_that_do_not_fit_are_refused(folder, tmp_path):
    state = checkpoints.load(folder)
    state["config"]["settings"]["width"] = 8
    checkpoints.save(tmp_path, state)
    with pytest.raises(CheckpointError, match="weights do not fit dcgan"):
        sampling.load(tmp_path)


def test_the_synthetic_set_holds_no_objects(tmp_path, gan):
    images = sampling.generate(gan, 4, 0)
    path = sampling.write_synthetic(
        tmp_path / "s.npz", images, np.array([0, 0, 1, 1]), ("mel", "nv"), {"L2", "L1"}
    )
    stored = np.load(path, allow_pickle=False)
    assert np.array_equal(stored["images"], images)
    assert stored["training_groups"].tolist() == ["L1", "L2"]
    assert stored["classes"].tolist() == ["mel", "nv"]


def test_export_is_what_the_folder_reader_reads(folder, tmp_path):
    to = sampling.export(folder, 12, tmp_path / "out", "mel", seed=4)
    assert len(list((to / "mel").glob("*.png"))) == 12
    assert (to / "images.csv").read_text().splitlines()[1] == "mel/mel_4_00000.png,mel"
    card = json.loads((to / "card.json").read_text())
    assert card["synthetic"] is True and card["class"] == "mel"
    sampling.export(folder, 3, tmp_path / "out2", "mel", seed=4)
    same = [
        np.asarray(Image.open(tmp_path / o / "mel" / "mel_4_00001.png")) for o in ("out", "out2")
    ]
    assert np.array_equal(*same)
    with pytest.raises(
        Exception, match="one class"
    ):  # the reader's own rule: one class is nothing to tell apart
        datasets.read("folder", to)


@pytest.mark.parametrize("name", ["../../evil", "/etc/evil", ".."])
def test_a_class_that_would_leave_the_folder_is_refused(folder, tmp_path, name):
    """Typed, or written into a card by a stranger."""
    (tmp_path / "evil").mkdir()
    with pytest.raises(NbhelpersError):
        sampling.export(folder, 2, tmp_path / "out", name)
    card = json.loads((folder / "card.json").read_text())
    other = tmp_path / "other"
    shutil.copytree(folder, other)
    write_json(other / "card.json", card | {"class": name})
    with pytest.raises(DataError, match=r"card\.json: class .* is no name of a folder"):
        sampling.export(other, 2, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def exported(to) -> np.ndarray:
    return np.stack([np.asarray(Image.open(path)) for path in sorted(to.glob("*/*.png"))])


def test_a_conditional_gan_is_asked_for_the_class(prepared, tmp_path, monkeypatch):
    job = gan_jobs.Job("cgan", 32, 8, settings={"width": 4, "z_dim": 8})
    gan = gan_runs.train_run(job, prepared, tmp_path / "cgan", torch.device("cpu"))
    last, decode, asked = prepared.classes[-1], sampling.decode, []

    def recorded(gan, z, label, seed):
        asked.append(label.tolist())
        return decode(gan, z, label, seed)

    monkeypatch.setattr(sampling, "decode", recorded)
    made = exported(sampling.export(tmp_path / "cgan", 3, tmp_path / "out", last, seed=4))
    index = len(prepared.classes) - 1
    assert asked == [[index] * 3] and index > 0
    assert np.array_equal(made, sampling.generate(gan, 3, 4, torch.full((3,), index)))
    for wrong in ("", "mle"):
        with pytest.raises(UsageError, match=f"class '{wrong or 'all'}' is unknown"):
            sampling.export(tmp_path / "cgan", 3, tmp_path / "no", wrong)
    assert not (tmp_path / "no").exists()


def test_a_conditional_gan_of_one_class_knows_no_other(prepared, tmp_path):
    job = gan_jobs.Job("cgan", 32, 8, class_name="mel", settings={"width": 4, "z_dim": 8})
    gan = gan_runs.train_run(job, prepared, tmp_path / "cgan", torch.device("cpu"))
    with pytest.raises(UsageError, match="class 'nv' is unknown: Choose one of mel"):
        sampling.export(tmp_path / "cgan", 3, tmp_path / "no", "nv")
    made = exported(sampling.export(tmp_path / "cgan", 3, tmp_path / "mel", seed=4))
    mel = torch.full((3,), prepared.classes.index("mel"))
    assert np.array_equal(made, sampling.generate(gan, 3, 4, mel))


def test_an_untrained_class_is_refused_by_name(folder, tmp_path):
    with pytest.raises(CheckpointError, match="nv holds no checkpoint"):
        sampling.export(folder, 3, tmp_path / "out", "nv")


def test_the_gif_has_every_frame(tmp_path):
    frames = [np.full((8, 8, 3), v, np.uint8) for v in (0, 120, 255)]
    with Image.open(sampling.progress_gif(frames, tmp_path / "p.gif")) as gif:
        assert gif.n_frames == 3
        assert gif.info["loop"] == 0
