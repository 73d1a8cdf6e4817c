"""A synthetic set on its way to other tools: what they read, what its card says, what fails."""

import hashlib
import json
import os
import shutil

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from torchvision.datasets import ImageFolder

from nbhelpers import __main__ as command_line
from nbhelpers import __version__, gan_jobs, gan_runs, sampling, splits
from nbhelpers.datasets import ham10000
from nbhelpers.errors import CheckpointError, DataError, LeakageError, NbhelpersError, UsageError
from nbhelpers.export import export, read_passed
from nbhelpers.files import read_json, sha256_file, write_atomic, write_json

CLASSES = ("df", "mel", "nv")
LABELS = np.repeat([1, 0, 2], (12, 5, 8))  # mel, df, nv: a set need not be in order
IMAGES = np.random.default_rng(0).integers(0, 256, (25, 16, 16, 3), dtype=np.uint8)
LESIONS = {f"HAM_{i:04d}" for i in range(40)}
PASSED = np.arange(25) % 2 == 0  # of mel 6, of df 3, of nv 4


def write_gan(run, name="modern", classes=CLASSES, labels=LABELS, licence=ham10000.LICENCE):
    """A GAN's folder as a training leaves it, of 25 small images."""
    folder = run / "gans" / name
    sampling.write_synthetic(folder / "synthetic.npz", IMAGES, labels, classes, LESIONS)
    write_atomic(folder / sampling.GROUPS, "\n".join(sorted(LESIONS)).encode())
    data = {"source": "ham10000", "image_size": 16, "training_images": 55, "licence": licence}
    data |= {"training_lesions": 40, "training_groups_sha256": splits.groups_hash(LESIONS)}
    card = {"gan": name.partition("-")[0], "settings": {"width": 8, "augment": "colour"}}
    card |= {"steps": 70, "images_shown": 560, "batch_size": 8, "seed": 3, "fold": 2}
    write_json(folder / sampling.CARD, card | {"class": "all", "data": data})
    return folder


@pytest.fixture
def folder(tmp_path):
    return write_gan(tmp_path / "run")


def pixels(path):
    with Image.open(path) as image:
        return np.asarray(image)


def contents(to):
    """Every file's bytes, by name."""
    return {
        path.relative_to(to).as_posix(): path.read_bytes()
        for path in sorted(to.rglob("*"))
        if path.is_file()
    }


def names(to):
    return sorted(path.stem for path in to.glob("*/*.png"))


def test_torchvision_reads_an_imagefolder(folder, tmp_path):
    to = export(folder, tmp_path / "deep" / "out")
    read = ImageFolder(to)
    assert to == tmp_path / "deep" / "out" and tuple(read.classes) == CLASSES
    assert read.targets == sorted(LABELS)
    for label, name in enumerate(CLASSES):
        own = IMAGES[label == LABELS]
        for i, image in enumerate(own, start=1):
            assert np.array_equal(pixels(to / name / f"modern_{name}_{i:06d}.png"), image)
        assert len(list((to / name).iterdir())) == len(own)
    cards = {"DATA_CARD.md", "card.json", "training_lesions.txt"}
    assert {path.name for path in to.iterdir()} == {*CLASSES, *cards}


def test_the_reader_of_ham10000_reads_its_layout(folder, tmp_path):
    to = export(folder, tmp_path / "out", "ham10000")
    raw = ham10000.read(to)
    found = raw.table
    assert len(found) == found["group_id"].nunique() == found["image_id"].nunique() == 25
    assert found["group_id"].str.startswith("SYN_").all()
    assert not found["image_id"].str.upper().str.startswith("ISIC").any()
    assert found["dx"].value_counts().to_dict() == {"mel": 12, "nv": 8, "df": 5}
    assert (found[["sex", "localization"]] == "unknown").all(axis=None)
    assert found["age"].isna().all() and set(found["dx_type"]) == {"synthetic"}
    assert set(raw.findings) == {"missing age", "missing sex", "missing localization"}
    by_class = np.concatenate([IMAGES[label == LABELS] for label in range(3)])
    assert np.array_equal(np.stack([pixels(path) for path in found["path"]]), by_class)
    assert all((to / "HAM10000_images" / f"{name}.png").exists() for name in found["image_id"])
    table = pd.read_csv(to / "HAM10000_metadata.csv")
    assert tuple(table.columns) == (*ham10000.METADATA_COLUMNS, "synthetic")
    assert (table["synthetic"] == 1).all()


def test_the_card_says_where_the_images_come_from(folder, tmp_path):
    to = export(folder, tmp_path / "out", count=4, seed=9, passed=PASSED, filter_name="f.npz",
                classes=("nv", "mel"))  # fmt: skip
    card = read_json(to / "card.json")
    assert card.items() >= {"gan": "modern", "fold": 2, "synthetic": True, "steps": 70}.items()
    assert card["data"] == read_json(folder / "card.json")["data"]
    assert card["export"] == {
        "layout": "imagefolder",
        "images": 8,
        "image_size": 16,
        "classes": {
            "mel": {"made": 12, "passed": 6, "exported": 4},
            "nv": {"made": 8, "passed": 4, "exported": 4},
        },
        "filter": "f.npz",
        "seed": 9,
        "set_sha256": sha256_file(folder / "synthetic.npz"),
        "date": card["export"]["date"],
        "nbhelpers": __version__,
    }
    assert "Not for diagnosis" in card["use"]
    guard = card["leak_guard"]
    assert "40 lesions in training_lesions.txt" in guard and "with fold 2 alone" in guard
    words = (to / "DATA_CARD.md").read_text()
    for text in (card["use"], guard, card["licence"], card["export"]["date"], __version__,
                 "| mel | 12 | 6 | 4 |", "| nv | 8 | 4 | 4 |", "| source data | ham10000 |",
                 "fold 2: 55 images of 40 lesions", card["data"]["training_groups_sha256"],
                 "modern, 70 steps, 560 images shown", "width 8, augment colour",
                 "16 x 16 pixels", "| filter | f.npz |",
                 "| seed of the selection | 9 |"):  # fmt: skip
        assert text in words, text
    plain = read_json(export(folder, tmp_path / "plain") / "card.json")["export"]
    assert plain["filter"] == "none" and plain["images"] == 25


def test_the_lesions_can_be_checked(folder, tmp_path):
    to = export(folder, tmp_path / "out")
    listed = (to / "training_lesions.txt").read_bytes()
    assert set(listed.decode().split("\n")) == LESIONS
    known = read_json(to / "card.json")["data"]["training_groups_sha256"]
    assert hashlib.sha256(listed).hexdigest() == known


@pytest.mark.parametrize(
    ("licence", "terms"),
    [
        (ham10000.LICENCE, "What is derived from CC BY-NC data stays non-commercial"),
        ("MIT", "What is derived from these data keeps their terms"),
    ],
)
def test_the_licence_is_handed_on(tmp_path, licence, terms):
    to = export(write_gan(tmp_path, licence=licence), tmp_path / "out")
    assert read_json(to / "card.json")["licence"].startswith(f"{licence}. {terms}")
    assert terms in (to / "DATA_CARD.md").read_text()


def test_the_same_seed_gives_the_same_files_and_more_includes_fewer(folder, tmp_path):
    two, again, other = (
        export(folder, tmp_path / name, count=2, seed=seed)
        for name, seed in (("two", 5), ("again", 5), ("other", 6))
    )
    four = export(folder, tmp_path / "four", count=4, seed=5)
    one_class = export(folder, tmp_path / "one", classes=("mel",), count=2, seed=5)
    assert contents(two) == contents(again) and len(names(two)) == 6
    assert set(names(two)) < set(names(four)) and names(two) != names(other)
    assert names(one_class) == [name for name in names(two) if "mel" in name]
    assert [path.name for path in one_class.iterdir() if path.is_dir()] == ["mel"]


def test_a_filter_takes_some_and_renames_none(folder, tmp_path):
    everything = contents(export(folder, tmp_path / "all"))
    to = export(folder, tmp_path / "some", passed=PASSED)
    some = contents(to)
    kept = [name for name in some if name.endswith(".png")]
    assert len(kept) == PASSED.sum() and all(some[name] == everything[name] for name in kept)
    assert read_json(to / "card.json")["export"]["filter"] == "unnamed"
    none_of_df = PASSED & (LABELS != 0)
    counts = read_json(export(folder, to, passed=none_of_df) / "card.json")["export"]["classes"]
    assert counts["df"] == {"made": 5, "passed": 0, "exported": 0} and not (to / "df").exists()


@pytest.mark.parametrize(
    ("told", "kind", "message"),
    [
        ({"layout": "imagefoldr"}, UsageError, "layout 'imagefoldr' is unknown: did you mean"),
        ({"classes": ("mell",)}, UsageError, "class 'mell' is unknown: did you mean 'mel'"),
        ({"count": 6}, UsageError, r"class 'df' has 5 images .*nbhelpers sample .*--class df"),
        ({"count": 4, "passed": PASSED}, UsageError, "count is 4 and class 'df' has 3 images"),
        ({"count": 0}, UsageError, "count is 0 .*at least 1"),
        ({"passed": PASSED[:9]}, DataError, "for the 25 images of .*filter this set again"),
        ({"passed": PASSED * 1.0, "filter_name": "f"}, DataError, "filter f: .*float64"),
        ({"passed": np.zeros(25, bool)}, DataError, "no image of .* passed: filter less"),
    ],
)
def test_what_cannot_be_meant_is_refused(folder, tmp_path, told, kind, message):
    with pytest.raises(kind, match=message):
        export(folder, tmp_path / "out", **told)
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


@pytest.mark.parametrize(
    ("name", "notebook"),
    [("modern", "notebook 18_modern"), ("wgan_gp-1", "notebook 13_wgan_gp"),
     ("mine", "the notebook of this GAN")],
)  # fmt: skip
def test_a_missing_set_names_the_notebook(tmp_path, name, notebook):
    with pytest.raises(DataError, match=f"holds no synthetic set: run {notebook} first"):
        export(tmp_path / "gans" / name, tmp_path / "out")


def test_sets_that_are_none_are_refused(folder, tmp_path):
    path = folder / "synthetic.npz"
    content = dict(np.load(path))

    def refused(message, **change):
        np.savez(path, **{k: v for k, v in (content | change).items() if v is not None})
        with pytest.raises(DataError, match=message):
            export(folder, tmp_path / "out")

    refused("has no labels: take the set of a GAN that is told the class", labels=None)
    refused("has no training_groups", training_groups=None)
    refused("24 labels", labels=LABELS[1:])
    refused("are no labelled set", labels=LABELS + 1)
    refused("float64", images=IMAGES / 255)
    path.write_bytes(b"PK no archive")
    with pytest.raises(DataError, match=r"synthetic\.npz cannot be read"):
        export(folder, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_classes_without_a_place_are_refused(tmp_path):
    odd = write_gan(tmp_path, classes=("7", "..", "a/b"))
    with pytest.raises(UsageError, match=r"class '\.\.' is none of HAM10000's .*imagefolder"):
        export(odd, tmp_path / "out", "ham10000")
    for name in ("..", "a/b"):
        with pytest.raises(DataError, match="cannot name a folder"):
            export(odd, tmp_path / "out", classes=(name,))
    assert names(export(odd, tmp_path / "out", classes=("7",)))[0] == "modern_7_000001"


def test_lesions_in_doubt_are_refused(folder, tmp_path):
    groups = folder / sampling.GROUPS
    groups.write_text("HAM_0000\nHAM_9999")
    with pytest.raises(LeakageError, match="the card and the lists of training lesions"):
        export(folder, tmp_path / "out")
    groups.unlink()
    with pytest.raises(CheckpointError, match="unknown training lesions"):
        export(folder, tmp_path / "out")
    groups.write_text("\n".join(LESIONS))
    write_json(folder / sampling.CARD, {"gan": "modern", "fold": 0})  # filled by hand
    with pytest.raises(LeakageError, match="train it again"):
        export(folder, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def broken_after(monkeypatch, error, count=7):
    write, done = sampling.write_picture, []

    def breaks(path, picture):
        done.append(path)
        if len(done) > count:
            raise error
        return write(path, picture)

    monkeypatch.setattr(sampling, "write_picture", breaks)


@pytest.mark.parametrize(
    ("error", "kind"),
    [(OSError(28, "No space left on device"), DataError), (KeyboardInterrupt(), KeyboardInterrupt)],
)
def test_a_failure_midway_leaves_what_was_there(folder, tmp_path, monkeypatch, error, kind):
    to = tmp_path / "out"
    for layout in ("imagefolder", "ham10000"):
        before = contents(tmp_path)
        with monkeypatch.context() as patch, pytest.raises(kind):
            broken_after(patch, error)
            export(folder, to, layout)
        assert contents(tmp_path) == before and len(list(tmp_path.iterdir())) < 3
        export(folder, to)
    assert sorted(os.listdir(tmp_path)) == ["out", "run"]


def test_an_earlier_export_is_replaced_and_nothing_else(folder, tmp_path):
    to = tmp_path / "out"
    to.mkdir()
    first = contents(export(folder, to, "ham10000"))
    assert first != contents(export(folder, to)) and not (to / "HAM10000_images").exists()
    assert contents(export(folder, to, "ham10000")) == first
    (to / "HAM10000_images" / "mine.png").touch()
    with pytest.raises(DataError, match=r"out holds HAM10000_images/mine\.png, no earlier export"):
        export(folder, to)
    (to / "HAM10000_images" / "mine.png").unlink()
    (to / "card.json").unlink()
    with pytest.raises(DataError, match=r"choose an empty folder, or move it away"):
        export(folder, to)
    with pytest.raises(DataError, match=r"holds card\.json"):
        export(folder, folder)
    with pytest.raises(DataError, match="is a file: name a folder"):
        export(folder, folder / "card.json")


def test_the_command(folder, tmp_path, capsys):
    run, to, only = (str(tmp_path / name) for name in ("run", "out", "passed.npz"))
    told = ["export", run, "--gan", "modern", "--to", to]
    assert command_line.main(told) == 0
    assert capsys.readouterr().out == f"images in {to}: 25\n"
    np.savez(only, passed=PASSED)
    some = [*told, "--layout", "ham10000", "--class", "mel", "nv", "--count", "4", "--only", only]
    assert command_line.main([*some, "--seed", "1"]) == 0
    assert capsys.readouterr().out.endswith(": 8\n")
    assert read_json(tmp_path / "out" / "card.json")["export"]["filter"] == "passed.npz"
    assert set(ham10000.read(tmp_path / "out").table["dx"]) == {"mel", "nv"}
    shutil.copytree(folder, folder.with_name("modern-1"))
    assert command_line.main([*told, "--gan", "modern-1"]) == 0
    capsys.readouterr()
    for wrong, status, message in (
        (["--gan", "modrn"], 2, "GAN 'modrn' is unknown: did you mean 'modern'"),
        (["--gan", "cgan"], 1, "run notebook 11_cgan first"),
        (["--class", "nevus"], 2, "class 'nevus' is unknown"),
        (["--layout", "coco"], 2, "layout 'coco' is unknown: Choose one of imagefolder, ham10000"),
        (["--count", "9"], 2, "has 5 images to export"),
        (["--only", str(folder / "card.json")], 1, "card.json cannot be read"),
        (["--only", str(folder / "synthetic.npz")], 1, "has no passed: write it with numpy.savez"),
    ):
        assert command_line.main([*told, *wrong]) == status
        assert message in capsys.readouterr().err


def test_a_lone_array_is_no_filter(tmp_path):
    np.save(tmp_path / "passed.npy", PASSED)
    with pytest.raises(DataError, match=r"passed\.npy cannot be read"):
        read_passed(tmp_path / "passed.npy", tmp_path / "synthetic.npz")


def test_what_a_training_leaves_can_be_exported(prepared, tmp_path):
    folder = tmp_path / "gans" / "cgan"
    job = gan_jobs.Job("cgan", 32, 8, fold=1, settings={"width": 4, "z_dim": 8})
    gan_runs.train_run(job, prepared, folder, torch.device("cpu"))
    to = export(folder, tmp_path / "out", count=10)
    card = json.loads((to / "card.json").read_text())
    test_lesions = prepared.table["group_id"].iloc[splits.parts(prepared.table, 1)["test"]]
    assert not set(test_lesions) & set((to / "training_lesions.txt").read_text().split("\n"))
    assert card["fold"] == 1 and card["data"]["licence"] == "MIT" and card["steps"] == 4
    assert len(names(to)) == 20


def test_every_error_is_told_in_one_line(folder, tmp_path):
    for told in ({"count": 99}, {"classes": ("x",)}, {"passed": PASSED[:2]}):
        with pytest.raises(NbhelpersError) as caught:
            export(folder, tmp_path / "out", **told)
        assert "\n" not in str(caught.value)
