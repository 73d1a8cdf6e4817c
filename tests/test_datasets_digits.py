"""Digits as photographs: written once, whole or not at all; scikit-learn's never in silence."""

import gzip
import hashlib
import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import loopback
import numpy as np
import pytest
from PIL import Image
from small_digits import IMAGES, LABELS, TEST, TRAIN, write
from small_project import Project, without_kernel

from nbhelpers import __main__ as command_line
from nbhelpers import notebook, pipeline, prepare, splits
from nbhelpers.datasets import COLUMNS, MADE, digits, idx
from nbhelpers.datasets import read as read_any
from nbhelpers.datasets.digits import FILES, LICENCES, MNIST, SCIKIT_LEARN, make, read
from nbhelpers.errors import DataError, DownloadError
from nbhelpers.graph import Node


@pytest.fixture
def source(tmp_path):
    return write(tmp_path / "chiffres été")


def pictures(raw):
    return {i: np.asarray(Image.open(p)) for i, p in raw.table[["image_id", "path"]].to_numpy()}


def refused(source, words):
    with pytest.raises(DataError, match=words) as caught:
        read(source)
    assert len(str(caught.value).splitlines()) <= 2
    assert not list(source.glob(f"{MADE}/*")), "something half written is there"
    return str(caught.value)


def test_the_table_is_what_every_reader_promises(source, capsys):
    raw = read(source)
    assert capsys.readouterr().out == "digits: MNIST, 60 images of 28 x 28 pixels\n"
    assert (raw.name, raw.classes, raw.upright) == (MNIST, tuple("0123456789"), True)
    assert raw.source == source
    assert "CC BY-SA 3.0" in raw.licence and list(raw.findings) == ["no groups"]
    assert tuple(raw.table.columns) == COLUMNS and raw.table["image_id"].is_monotonic_increasing
    assert (raw.table["group_id"] == raw.table["image_id"]).all()
    assert (raw.table["mask_path"] == "").all()
    assert read_any("digits", source).table.equals(raw.table)


def test_every_picture_keeps_its_pixels_and_its_digit(source):
    raw = read(source)
    seen = pictures(raw)
    assert len(seen) == 60
    for row in range(60):
        assert np.array_equal(seen[f"{LABELS[row]}/train_{row:05d}.png"], IMAGES[row])
    assert (raw.table["dx"] == raw.table["image_id"].str[0]).all()


def test_the_first_of_each_digit_are_used_and_the_training_file_goes_first(source, monkeypatch):
    monkeypatch.setattr(digits, "PER_CLASS", 7)
    write(source, TEST, 255 - IMAGES)
    raw = read(source)
    assert raw.table["dx"].value_counts().to_dict() == dict.fromkeys("0123456789", 7)
    ids = raw.table["image_id"]
    assert ids.str.contains("train").sum() == 60 and set(ids) >= {"9/t10k_00009.png"}
    assert np.array_equal(pictures(raw)["9/t10k_00009.png"], 255 - IMAGES[9])
    assert raw.findings["left out"] == ["50 beyond the first 7 of a digit"]


def test_what_is_complete_is_left_alone_and_what_is_not_is_made_again(source):
    before = {name: (source / name).read_bytes() for name in TRAIN}
    made = make(source)
    marker, one = made / "digits.json", made / "3" / "train_00003.png"
    born = one.stat().st_mtime_ns
    assert make(source) == made and one.stat().st_mtime_ns == born
    for victim in (one, marker):
        victim.unlink()
        make(source)
        assert one.exists() and marker.exists() and one.stat().st_mtime_ns != born
    write(source, images=255 - IMAGES)
    assert np.array_equal(pictures(read(source))["3/train_00003.png"], 255 - IMAGES[3])
    write(source)
    assert {name: (source / name).read_bytes() for name in TRAIN} == before
    assert sorted(path.name for path in source.iterdir()) == sorted([*TRAIN, MADE])
    assert [path.name for path in made.parent.iterdir()] == ["mnist"]


def test_the_same_files_give_the_same_bytes(source, tmp_path):
    a, b = make(source), make(write(tmp_path / "b"))
    files = [p.relative_to(a) for p in a.rglob("*") if p.is_file()]
    assert len(files) == 61 and all((a / f).read_bytes() == (b / f).read_bytes() for f in files)


def test_an_interruption_leaves_the_old_pictures(source, monkeypatch):
    make(source)
    write(source, images=255 - IMAGES)

    def interrupted(*arguments):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(digits, "write_json", interrupted)
        with pytest.raises(KeyboardInterrupt):
            make(source)
    assert [path.name for path in (source / MADE).iterdir()] == ["mnist"]
    old = Image.open(source / MADE / "mnist" / "3" / "train_00003.png")
    assert np.array_equal(np.asarray(old), IMAGES[3])
    assert np.array_equal(pictures(read(source))["3/train_00003.png"], 255 - IMAGES[3])


def test_several_at_once_make_one_whole_folder(source):
    with ThreadPoolExecutor(4) as pool:
        assert len(set(pool.map(make, [source] * 4))) == 1
    assert len(read(source).table) == 60


def test_a_folder_that_cannot_be_written_says_so(source):
    (source / MADE).write_text("in the way")
    with pytest.raises(DataError, match=r"cannot be written.*data/raw/digits"):
        make(source)


def test_scikit_learns_digits_stand_in_aloud_and_only_where_nothing_else_is(tmp_path, capsys):
    from sklearn.datasets import load_digits

    refused(tmp_path / "none", "none holds no MNIST: run `nbhelpers download digits`")
    made = make(tmp_path / "raw" / "digits")
    raw = read(tmp_path / "raw" / "digits")
    assert "no MNIST here, so scikit-learn's 1,797 digits" in capsys.readouterr().out
    assert raw.name == SCIKIT_LEARN and raw.upright and raw.licence == LICENCES[SCIKIT_LEARN]
    assert len(raw.table) == 1797 and made.parent.name == MADE
    known, seen = load_digits(), pictures(raw)
    for row in (0, 900, 1796):
        picture = seen[f"{known.target[row]}/sklearn_{row:04d}.png"]
        assert picture.shape == (8, 8)
        assert np.abs(picture * (16 / 255) - known.images[row]).max() < 0.05


def test_mnist_takes_over_when_it_comes(tmp_path, capsys):
    make(tmp_path)
    assert read(tmp_path).name == SCIKIT_LEARN
    write(tmp_path)
    assert read(tmp_path).name == MNIST
    assert capsys.readouterr().out.splitlines()[-1].startswith("digits: MNIST, 60")


@pytest.mark.parametrize("name", ["mnist.npz", "train-images-idx3-ubyte.gz.part"])
def test_other_files_are_not_hidden_by_a_stand_in(tmp_path, name):
    (tmp_path / ".DS_Store").touch()
    assert make(tmp_path).exists()
    shutil.rmtree(tmp_path / MADE)
    (tmp_path / name).touch()
    with pytest.raises(DataError, match=f"holds {name} and none of MNIST's files"):
        make(tmp_path)
    with pytest.raises(DataError, match="is a file: name the folder"):
        make(tmp_path / name)


def test_prepared_digits_are_upright_and_only_equal_pictures_are_joined(source, tmp_path, prepared):
    images = IMAGES.copy()
    images[30] = images[10]
    made = prepare.prepare(read(write(source, images=images)), tmp_path / "p", 64)
    assert made.manifest["upright"] is True and prepared.manifest["upright"] is False
    assert made.manifest["source"] == MNIST and made.images.shape == (60, 64, 64, 3)
    assert made.manifest["groups"] == 59 and made.classes == tuple("0123456789")
    assert (made.table["label"] == made.table["dx"].astype(int)).all()


def test_the_registry_is_torchvisions():
    from torchvision.datasets import MNIST as theirs

    assert [(one.name, one.md5) for one in FILES.values()] == theirs.resources
    assert {one.url.removesuffix(one.name) for one in FILES.values()} == {theirs.mirrors[0]}
    assert all(idx.NAME.fullmatch(one.name) for one in FILES.values())


@pytest.fixture
def mirror(source, monkeypatch):
    """A server on this machine with a small MNIST; yields it."""
    monkeypatch.setenv("no_proxy", "*")
    write(source, TEST)
    files = {f"/{one.name}": gzip.compress((source / one.name[:-3]).read_bytes(), mtime=0)
             for one in FILES.values()}  # fmt: skip
    with loopback.Server(lambda handler: handler.reply(200, files[handler.path])) as server:
        for part, one in FILES.items():
            url = server.url.replace("file.zip", one.name)
            md5 = hashlib.md5(files[f"/{one.name}"]).hexdigest()
            monkeypatch.setitem(FILES, part, replace(one, url=url, md5=md5))
        yield server


def test_download_lays_out_what_read_reads_and_a_second_one_transfers_nothing(
    mirror, tmp_path, capsys
):
    to = tmp_path / "to"
    assert command_line.main(["download", "digits", "--to", str(to)]) == 0
    assert "CC BY-SA 3.0" in capsys.readouterr().out
    assert len(read(to).table) == 120 and len(mirror.requests) == 4
    digits.download(to)
    assert len(mirror.requests) == 4


def test_another_file_than_the_published_one_is_not_kept(mirror, tmp_path, monkeypatch):
    first = FILES["train-images"]
    monkeypatch.setitem(FILES, "train-images", replace(first, md5="0" * 32))
    with pytest.raises(DownloadError, match=r"not the published file.*MNIST"):
        digits.download(tmp_path / "to")
    assert not list((tmp_path / "to").glob("*.gz"))


def test_from_nothing_to_prepared_digits_that_can_be_told_apart(tmp_path, monkeypatch, capsys):
    """The command line without a source; the labels belong to the pictures."""
    from sklearn.svm import SVC

    monkeypatch.setenv("NBHELPERS_DATA", str(tmp_path))
    assert command_line.main(["prepare", "digits", "--size", "64"]) == 0
    said = capsys.readouterr().out
    assert "no MNIST here" in said and "1797 images of 1797 lesions" in said
    nowhere = str(tmp_path / "nowhere")
    assert command_line.main(["prepare", "digits", "--source", nowhere, "--size", "64"]) == 1
    assert "nowhere holds no MNIST" in capsys.readouterr().err and not os.path.exists(nowhere)
    prepared = prepare.load_prepared(tmp_path / "prepared" / "digits-64")
    assert prepared.manifest["source"] == SCIKIT_LEARN
    assert prepared.manifest["groups"] == 1797  # alike as they are, no two of them are one picture
    part, labels = splits.parts(prepared.table, 0), prepared.table["label"].to_numpy()
    x = prepared.images[..., 0].reshape(-1, 16, 4, 16, 4).mean((2, 4)).reshape(len(labels), -1)
    svm = SVC(C=10).fit(x[part["train"]] / 255, labels[part["train"]])
    assert svm.score(x[part["test"]] / 255, labels[part["test"]]) >= 0.95


def test_a_notebook_makes_digits_unless_a_source_is_named(tmp_path, monkeypatch, source):
    monkeypatch.setenv("NBHELPERS_DATA", str(tmp_path / "data"))

    def start(source):
        return notebook.start(
            "02_preprocess", "smoke", "digits", str(source), 64, 0, str(tmp_path / "runs"), "cpu"
        )

    with pytest.raises(DataError, match="typo holds no MNIST"):
        start(tmp_path / "typo").raw()
    assert not (tmp_path / "typo").exists()
    assert start("").raw().name == SCIKIT_LEARN and start(source).raw().name == MNIST


def test_the_runner_needs_no_source_and_pictures_made_here_are_no_news(tmp_path, monkeypatch):
    monkeypatch.setenv("NBHELPERS_DATA", str(tmp_path / "data"))
    ran, project = without_kernel(monkeypatch), Project(tmp_path)
    project.notebook("02_pre")

    def run(**settings):
        ran.clear()
        pipeline.run("smoke", "digits", root=project.root, nodes=[Node("02_pre")], **settings)
        return list(ran)

    assert run() == ["02_pre"]
    make(tmp_path / "data" / "raw" / "digits")
    assert run() == []
    write(tmp_path / "data" / "raw" / "digits")
    assert run() == ["02_pre"]
    make(tmp_path / "data" / "raw" / "digits")
    assert run() == []
    with pytest.raises(DataError, match="typo is missing or empty"):
        run(source=str(tmp_path / "typo"))
