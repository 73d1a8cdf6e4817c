"""MNIST's files in every layout people have them in, and in every state of damage."""

import gzip
import subprocess
import sys

import numpy as np
import pytest
from conftest import SHARED
from small_digits import IMAGES, LABELS, TEST, TRAIN, packed, write

from nbhelpers import prepare
from nbhelpers.datasets import MADE, digits, idx
from nbhelpers.errors import DataError


@pytest.fixture
def source(tmp_path):
    return write(tmp_path / "chiffres été")


def refused(source, words):
    with pytest.raises(DataError, match=words) as caught:
        digits.read(source)
    assert len(str(caught.value).splitlines()) <= 2
    assert not list(source.glob(f"{MADE}/*")), "something half written is there"
    return str(caught.value)


@pytest.mark.parametrize(
    ("folder", "names"),
    [
        ("MNIST/raw", TRAIN),
        ("raw", TRAIN),
        (".", [f"{name}.gz" for name in TRAIN]),
        (".", [name.replace("-idx", ".idx") for name in TRAIN]),
        (".", [name.upper() for name in TRAIN]),
    ],
    ids=["torchvision", "inside MNIST", "gzipped", "Kaggle", "capitals"],
)
def test_every_layout_gives_the_same(tmp_path, folder, names):
    other = write(tmp_path / folder, names)
    images, labels, ids = idx.load(idx.find(tmp_path))
    assert np.array_equal(images, IMAGES) and np.array_equal(labels, LABELS)
    assert ids[0] == "train_00000" and len(set(ids)) == 60
    digits.make(tmp_path)
    assert {path.name for path in other.iterdir()} - {MADE} == set(names), "raw files stay"


def test_a_gzipped_file_is_known_by_its_bytes_and_a_plain_one_goes_first(source):
    content = (source / TRAIN[0]).read_bytes()
    (source / f"{TRAIN[0]}.gz").write_bytes(b"not looked at")
    assert np.array_equal(idx.load(idx.find(source))[0], IMAGES)
    (source / f"{TRAIN[0]}.gz").unlink()
    (source / TRAIN[0]).write_bytes(gzip.compress(content))
    assert np.array_equal(idx.load(idx.find(source))[0], IMAGES)


def test_fashion_in_the_neighbouring_folder_is_never_taken(tmp_path):
    write(tmp_path / "FashionMNIST" / "raw")
    refused(tmp_path, "holds no MNIST")
    write(tmp_path / "MNIST" / "raw", images=255 - IMAGES)
    assert np.array_equal(idx.load(idx.find(tmp_path))[0], 255 - IMAGES)


def test_the_test_file_alone_will_do_and_with_both_the_training_file_goes_first(source, tmp_path):
    ids = idx.load(idx.find(write(tmp_path / "b", TEST)))[2]
    assert ids == [f"t10k_{i:05d}" for i in range(60)]
    write(source, TEST)
    assert idx.load(idx.find(source))[2] == [f"train_{i:05d}" for i in range(60)] + ids


def damage(name, change):
    def apply(source):
        path = source / name
        path.write_bytes(change(path.read_bytes()))

    return apply


def replaced(**arrays):
    return lambda source: write(source, **arrays)


def gone(name):
    return lambda source: (source / name).unlink()


WRONG_LABEL = np.where(np.arange(60) == 7, 26, LABELS).astype(np.uint8)
NO_SEVEN = np.where(LABELS == 7, 1, LABELS).astype(np.uint8)


@pytest.mark.parametrize(
    ("harm", "message"),
    [
        (damage(TRAIN[0], lambda b: b[:1000]), r"images-idx3.* cut short.* 1,000 .* 47,056 "),
        (damage(TRAIN[0], lambda b: b[:9]), "images-idx3.* cut short"),
        (damage(TRAIN[1], lambda b: b[:-1]), "labels-idx1.* cut short"),
        (damage(TRAIN[1], lambda b: b + b"\0"), "labels-idx1.* cut short or changed"),
        (damage(TRAIN[0], lambda b: gzip.compress(b)[:-900]), "images-idx3.* cannot be unpacked"),
        (damage(TRAIN[0], lambda b: b""), "images-idx3.* begins with nothing"),
        (damage(TRAIN[0], lambda b: b"<html>no</html>"), "images-idx3.* begins with 3c68746d"),
        (damage(TRAIN[0], lambda b: packed(LABELS)), "begins with 00000801 where MNIST's images"),
        (damage(TRAIN[1], lambda b: packed(IMAGES)), "begins with 00000803 where MNIST's labels"),
        (replaced(images=IMAGES[:59]), "holds 59 images and train-labels.* 60 labels"),
        (replaced(labels=WRONG_LABEL), r"labels-idx1-ubyte, label 7: 26 is no digit 0 to 9"),
        (replaced(labels=NO_SEVEN), "hold no 7"),
        (replaced(images=np.zeros((60, 32, 32), np.uint8)), "32 x 32 pixels"),
        (gone(TRAIN[1]), r"train-images.* is there and train-labels-idx1-ubyte is not"),
        (gone(TRAIN[0]), r"train-labels.* is there and train-images-idx3-ubyte is not"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_broken_files_are_named_with_what_to_do(source, harm, message):
    assert len(idx.load(idx.find(source))[2]) == 60  # whole, they are read
    harm(source)
    text = refused(source, message)
    assert any(word in text for word in ("nbhelpers download digits", "again", "folder"))


def test_half_a_test_set_is_refused_too(source):
    write(source, TEST)
    (source / TEST[1]).unlink()
    refused(source, "t10k-images.* is there and t10k-labels")


@pytest.mark.skipif(not SHARED.is_dir(), reason="the measuring data are not here")
def test_real_mnist_gives_the_published_digits(tmp_path, monkeypatch):
    monkeypatch.setattr(digits, "PER_CLASS", 150)
    subprocess.run(
        [sys.executable, SHARED / "unpack.py", tmp_path, "mnist"], check=True, capture_output=True
    )
    files = idx.find(tmp_path / "mnist")
    images, labels, ids = idx.load(files)
    assert images.shape == (20_000, 28, 28) and labels[:5].tolist() == [5, 0, 4, 1, 9]
    assert labels[ids.index("t10k_00000")] == 7
    assert images.mean() / 255 == pytest.approx(0.131, abs=3e-3)  # 0.1307 of all 60,000
    assert np.bincount(labels[10_000:]).tolist() == [
        980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009,
    ]  # fmt: skip
    made = prepare.prepare(digits.read(tmp_path / "mnist"), tmp_path / "p", 64)
    assert made.manifest["groups"] == made.manifest["images"] == 1500
    assert made.manifest["bad_images"] == 0 and made.images[:, :4].mean() < 5, "black around"
