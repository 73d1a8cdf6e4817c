"""A pix2pix from masks on disk to files again: trained, resumed, gone on from, exported, asked."""

import dataclasses
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from small_gans import CPU, equal
from small_masks import masked

from nbhelpers import checkpoints, gan_folders, gan_runs, sampling, splits, tiles
from nbhelpers.datasets import read
from nbhelpers.errors import CheckpointError, DataError, LeakageError, UsageError
from nbhelpers.gan_jobs import Job
from nbhelpers.pictures import read_mask
from nbhelpers.prepare import Prepared
from nbhelpers.translate_files import translate_files

WIDTH = {"width": 4}
SHADES = {"skin": [0, 0, 0], "rim": [128, 128, 128], "lesion": [255, 255, 255]}


@pytest.fixture(scope="module")
def pairs(tmp_path_factory) -> Prepared:
    return masked(tmp_path_factory.mktemp("pairs"))


def job(images: int = 16, batch: int = 8, seed: int = 0, fold: int = 0, **settings) -> Job:
    return Job("pix2pix", images, batch, seed, fold, settings=WIDTH | settings)


@pytest.fixture(scope="module")
def base(pairs, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("gans") / "base"
    gan_runs.train_run(job(), pairs, folder, CPU)
    return folder


@pytest.fixture(scope="module")
def told(pairs, tmp_path_factory) -> Path:
    """The run of a GAN that is told the class."""
    folder = tmp_path_factory.mktemp("gans") / "told"
    gan_runs.train_run(job(conditional=True), pairs, folder, CPU)
    return folder


def state(folder: Path) -> dict:
    return checkpoints.load(folder)["training"]


def test_a_run_leaves_its_masks_and_palette(pairs, base):
    masks = np.load(base / "masks.npz", allow_pickle=False)
    train = splits.parts(pairs.table, 0)["train"]
    assert np.array_equal(masks["maps"], pairs.masks[train])  # fewer than 500 of a class
    assert np.array_equal(masks["labels"], pairs.table["label"].to_numpy()[train])
    card = gan_folders.read_card(base)
    assert card["data"]["palette"] == {"skin": [0, 0, 0], "lesion": [255, 255, 255]}
    assert card["settings"]["mask_classes"] == 2 and card["settings"]["z_dim"] == 0


def test_a_loaded_gan_draws_the_samples_that_training_left(base, told):
    left = np.load(base / "samples.npz")["images"]
    assert np.array_equal(sampling.generate(sampling.load(base), len(left), 2), left)
    assert np.load(told / "samples.npz")["images"].shape == (20, 64, 64, 3)
    assert np.load(told / "synthetic.npz")["labels"].tolist() == [0] * 20 + [1] * 20


def test_no_more_masks_are_kept_of_a_class_than_needed(pairs, tmp_path, monkeypatch):
    monkeypatch.setattr(gan_runs, "MASKS_OF_A_CLASS", 3)
    gan = gan_runs.train_run(job(8), pairs, tmp_path / "few", CPU)
    assert gan.masks.labels.tolist().count(0) == gan.masks.labels.tolist().count(1) == 3


def test_resumed_equals_never_stopped(pairs, tmp_path):
    for images in (16, 32):
        gan_runs.train_run(job(images), pairs, tmp_path / "grown", CPU, resume=True)
    gan_runs.train_run(job(32), pairs, tmp_path / "whole", CPU)
    assert equal(state(tmp_path / "grown"), state(tmp_path / "whole"))
    for name in ("history.csv", "samples.npz"):
        one, other = ((tmp_path / folder / name).read_bytes() for folder in ("grown", "whole"))
        assert one == other


def other_masks(pairs: Prepared) -> Prepared:
    digests = pairs.manifest["sha256"] | {"masks.npy": "another"}
    return dataclasses.replace(pairs, manifest=pairs.manifest | {"sha256": digests})


def test_masks_that_changed_are_another_training(pairs, base):
    with pytest.raises(CheckpointError, match=r"holds another training: masks was '.*is 'another'"):
        gan_runs.train_run(job(), other_masks(pairs), base, CPU, resume=True)


def with_palette(pairs: Prepared) -> Prepared:
    return dataclasses.replace(pairs, manifest=pairs.manifest | {"palette": SHADES})


@pytest.mark.parametrize("norm", ["batch", "spectral", "none"])
def test_other_masks_start_the_layers_anew_that_face_them(norm, pairs, tmp_path, capsys):
    gan_runs.train_run(job(8, norm=norm), pairs, tmp_path / "base", CPU)
    changed, first = with_palette(pairs), job(8, norm=norm).build(with_palette(pairs)).state_dict()
    capsys.readouterr()
    gan = job(8, norm=norm).build(changed)
    gan_runs.take_weights(gan, tmp_path / "base", changed.classes)
    assert capsys.readouterr().out == (
        "D.stages.0, G.down.0.0, G_average.down.0.0 start anew: 2 mask classes in base, "
        "3 mask classes here\n"
    )
    faces = ("D.stages.0.", "G.down.0.0.", "G_average.down.0.0.")
    known = state(tmp_path / "base")["gan"]
    for name, weight in gan.state_dict().items():
        assert torch.equal(weight, (first if name.startswith(faces) else known)[name]), name
    gan_runs.train_run(
        job(8, norm=norm), changed, tmp_path / "on", CPU, start_from=tmp_path / "base"
    )
    assert gan_folders.read_card(tmp_path / "on")["settings"]["mask_classes"] == 3


def test_the_same_masks_start_nothing_anew(pairs, base, capsys):
    gan = job(l1_weight=10.0).build(pairs)  # another weight of a term fits, too
    gan_runs.take_weights(gan, base, pairs.classes)
    assert "anew" not in capsys.readouterr().out
    assert equal(dict(gan.state_dict()), dict(state(base)["gan"]))


def test_other_classes_start_anew_even_where_their_shapes_fit(pairs, told, base, capsys):
    """Two classes and two others, or a mask more and a class fewer, are as many planes."""
    gan = job(conditional=True).build(pairs)
    gan_runs.take_weights(gan, told, ("akiec", "bcc"))
    there = "2 mask classes and the classes mel, nv in told"
    told_so = f"start anew: {there}, 2 mask classes and the classes akiec, bcc here"
    assert told_so in capsys.readouterr().out
    weight = "G.down.0.0.weight"
    assert not torch.equal(gan.state_dict()[weight], state(told)["gan"][weight])
    four = {name: [0, 0, 0] for name in "abcd"}
    plain = job().build(dataclasses.replace(pairs, manifest=pairs.manifest | {"palette": four}))
    gan_runs.take_weights(plain, told, pairs.classes)
    assert f"{there}, 4 mask classes here" in capsys.readouterr().out
    assert not torch.equal(plain.state_dict()[weight], state(told)["gan"][weight])


@pytest.mark.parametrize(
    ("settings", "named"),
    [({"width": 8}, r"D\.stages\.2"), ({"norm": "none"}, r"D\.stages\.3"),
     ({"upsampling": "bilinear"}, r"G\.to_image\.1")],
)  # fmt: skip
def test_another_pix2pix_does_not_fit(settings, named, pairs, base, tmp_path):
    told = f"base does not fit: image size 64 there and 64 here, other shapes in .*{named}"
    with pytest.raises(CheckpointError, match=told):
        gan_runs.train_run(job(**settings), pairs, tmp_path / "x", CPU, start_from=base)
    with pytest.raises(CheckpointError, match=r"is another GAN \(.*settings\.width was 4, is 64"):
        gan_runs.train_run(Job("dcgan", 8, 8), pairs, tmp_path / "y", CPU, start_from=base)


def test_another_image_size_does_not_fit(pairs, base, tmp_path):
    larger = np.broadcast_to(np.uint8(0), (96, 128, 128, 3))
    wide = dataclasses.replace(pairs, images=larger)
    with pytest.raises(CheckpointError, match="image size 64 there and 128 here, other shapes in"):
        gan_runs.take_weights(job().build(wide), base, pairs.classes)


def test_a_start_from_lesions_that_are_held_out_is_refused(pairs, base, tmp_path):
    """Also where the masks are others."""
    for data in (pairs, with_palette(pairs)):
        with pytest.raises(LeakageError, match=r"the GAN in .*base was trained on \d+ lesions"):
            gan_runs.train_run(job(fold=1), data, tmp_path / "x", CPU, start_from=base)


def test_windows_are_trained_on(tmp_path):
    large = masked(tmp_path, size=300, of_a_class=10)
    crop = dataclasses.replace(job(8), crop=64)
    gan = gan_runs.train_run(crop, large, tmp_path / "run", CPU)
    assert gan.settings["image_size"] == 64 and gan.masks.maps.shape[1:] == (64, 64)
    middle = crop.windows(large.images, np.arange(3))
    assert np.array_equal(middle, large.images[:3, 118:182, 118:182])
    assert gan_folders.read_card(tmp_path / "run")["data"]["image_size"] == 64
    with pytest.raises(CheckpointError, match="crop was 64, is 128"):
        wider = dataclasses.replace(crop, crop=128)
        gan_runs.train_run(wider, large, tmp_path / "run", CPU, resume=True)


def exported_masks(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*_mask.png"))


def test_an_export_is_pairs_that_the_folder_reader_reads(told, tmp_path):
    for name in ("mel", "nv"):
        sampling.export(told, 6, tmp_path / "raw" / name, name, seed=3)
    files = sorted(path.name for path in (tmp_path / "raw" / "mel" / "mel").iterdir())
    assert files[:2] == ["mel_3_00000.png", "mel_3_00000_mask.png"] and len(files) == 12
    table = (tmp_path / "raw" / "mel" / "images.csv").read_text().splitlines()
    assert table[1] == "mel/mel_3_00000.png,mel" and len(table) == 7  # images, and no masks
    raw = read("folder", tmp_path / "raw")
    assert raw.classes == ("mel", "nv") and (raw.table["mask_path"] != "").all()
    gan, label = sampling.load(told), torch.full((6,), 1)
    asked = sampling.asked(gan, 6, 3, label)
    rows = raw.table[raw.table["dx"] == "nv"]
    for path, mask_path, mask in zip(rows["path"], rows["mask_path"], asked.numpy(), strict=True):
        assert np.array_equal(read_mask(mask_path, 64, "crop", raw.palette, path), mask)
    drawn = sampling.decode(gan, asked, label, 3)
    assert np.array_equal(np.stack([picture(path) for path in rows["path"]]), drawn)


def test_an_export_of_all_classes_is_unlabelled(base, tmp_path):
    to = sampling.export(base, 4, tmp_path / "out", seed=1)
    assert len(exported_masks(to / "unlabelled")) == 4
    gan = sampling.load(base)
    asked = sampling.asked(gan, 4, 1)
    for path, mask in zip(exported_masks(to), asked.numpy(), strict=True):
        assert np.array_equal(read_mask(path, 64), mask)
    card = json.loads((to / "card.json").read_text())
    assert card["synthetic"] is True and list(card["data"]["palette"]) == ["skin", "lesion"]


def discs(folder: Path, *sizes: tuple[int, int]) -> Path:
    folder.mkdir()
    for i, (height, width) in enumerate(sizes):
        y, x = np.mgrid[:height, :width]
        disc = np.hypot(y - height / 2, x - width / 3) < height / 4
        Image.fromarray(disc).save(folder / f"m{i}.png")
    return folder


def picture(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image)


def test_mask_files_of_any_size_become_images(base, tmp_path):
    masks = discs(tmp_path / "masks", (90, 131), (33, 64))
    (masks / "notes.txt").write_text("no mask")
    to = translate_files(base, masks, tmp_path / "out", "", seed=4)
    assert sorted(path.name for path in to.iterdir()) == ["m0.png", "m1.png"]
    for name, shape in (("m0", (90, 131, 3)), ("m1", (33, 64, 3))):
        given = (picture(masks / f"{name}.png") > 0).astype(np.uint8)
        drawn = picture(to / f"{name}.png")
        assert drawn.shape == shape
        assert np.array_equal(drawn, tiles.large(sampling.load(base), given, 0, 4))
    one = translate_files(base, masks / "m1.png", tmp_path / "one", "", seed=4)
    assert [path.name for path in one.iterdir()] == ["m1.png"]


def test_a_class_is_asked_for_by_name(told, tmp_path, monkeypatch):
    masks, labels = discs(tmp_path / "masks", (64, 64)), []
    known = tiles.large
    monkeypatch.setattr(
        "nbhelpers.translate_files.large",
        lambda gan, mask, label, seed: (labels.append(label), known(gan, mask, label, seed))[1],
    )
    for name in ("nv", "mel"):
        translate_files(told, masks, tmp_path / name, name, 0)
    assert labels == [1, 0]


def test_what_cannot_be_translated_is_refused(pairs, base, told, tmp_path):
    masks, to = discs(tmp_path / "masks", (64, 64)), tmp_path / "out"
    for empty in (tmp_path / "nothing", tmp_path):
        with pytest.raises(DataError, match=f"{empty} holds no mask: name an image file"):
            translate_files(base, empty, to, "", 0)
    with pytest.raises(UsageError, match="class 'mle' is unknown: did you mean 'mel'"):
        translate_files(told, masks, to, "mle", 0)
    with pytest.raises(UsageError, match="class '' is unknown: Choose one of mel, nv"):
        translate_files(told, masks, to, "", 0)
    with pytest.raises(UsageError, match="base is told no class: leave --class out"):
        translate_files(base, masks, to, "mel", 0)
    gan_runs.train_run(Job("dcgan", 8, 8, settings=WIDTH), pairs, tmp_path / "dcgan", CPU)
    with pytest.raises(UsageError, match="dcgan draws from noise: `nbhelpers sample` asks it"):
        translate_files(tmp_path / "dcgan", masks, to, "", 0)
    assert not to.exists()
    to.mkdir()
    (to / "thesis.txt").write_text("years of work")
    with pytest.raises(DataError, match="out is not empty: choose a new folder"):
        translate_files(base, masks, to, "", 0)


def test_a_bad_mask_is_told_before_the_first_is_drawn(base, tmp_path):
    masks = discs(tmp_path / "masks", (64, 64), (64, 70))
    Image.new("RGB", (70, 64), (0, 255, 0)).save(masks / "z.png")
    with pytest.raises(DataError, match=r"z\.png is no usable mask: 1 colours \(4480 pixels\)"):
        translate_files(base, masks, tmp_path / "out", "", 0)
    assert not (tmp_path / "out").exists()


def test_two_masks_of_one_name_are_refused(base, tmp_path):
    masks = discs(tmp_path / "masks", (64, 64))
    shutil.copy(masks / "m0.png", masks / "m0.bmp")
    with pytest.raises(DataError, match=r"m0\.bmp and .*m0\.png would both become m0\.png"):
        translate_files(base, masks, tmp_path / "out", "", 0)
    assert not (tmp_path / "out").exists()


def test_a_gan_of_one_class_knows_no_other(pairs, tmp_path):
    of_one = dataclasses.replace(job(8, conditional=True), class_name="nv")
    gan_runs.train_run(of_one, pairs, tmp_path / "nv", CPU)
    masks = discs(tmp_path / "masks", (64, 64))
    with pytest.raises(UsageError, match="class 'mel' is unknown: Choose one of nv"):
        translate_files(tmp_path / "nv", masks, tmp_path / "out", "mel", 0)
    translate_files(tmp_path / "nv", masks, tmp_path / "out", "nv", 0)
    assert (tmp_path / "out" / "m0.png").exists()
