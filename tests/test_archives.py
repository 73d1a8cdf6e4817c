"""Archives as they should be, and as an attacker would make them."""

import io
import os
import shutil
import stat
import struct
import tarfile
import zipfile

import pytest

from nbhelpers import archives
from nbhelpers.archives import extract
from nbhelpers.errors import DownloadError

FILES = {"a.txt": b"one", "folder/b ü.txt": b"two", "folder/deep/c.bin": bytes(1000)}


def make_zip(path, files, method=zipfile.ZIP_DEFLATED):
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return path


def make_tar(path, files, mode="w:gz"):
    with tarfile.open(path, mode) as archive:
        for name, data in files.items():
            add(archive, name, data)
    return path


def add(archive, name, data=b"", kind=tarfile.REGTYPE, link=""):
    info = tarfile.TarInfo(name)
    info.size, info.type, info.linkname = len(data), kind, link
    archive.addfile(info, io.BytesIO(data))


def refused(archive, folder, words):
    before = sorted(folder.rglob("*"))
    with pytest.raises(DownloadError, match=words) as caught:
        extract(archive, folder / "out")
    assert sorted(folder.rglob("*")) == before, "nothing written, inside or outside"
    assert len(str(caught.value).splitlines()) <= 2
    return str(caught.value)


@pytest.mark.parametrize("kind", ["zip", "tar", "tar.gz", "tar.xz", "tar.bz2"])
def test_everything_arrives(tmp_path, kind):
    path = tmp_path / f"data.{kind}"
    if kind == "zip":
        make_zip(path, FILES)
    else:
        make_tar(path, FILES, "w:" + kind[4:])
    out = extract(path, tmp_path / "a b" / "out")
    assert out == tmp_path / "a b" / "out"
    found = {p.relative_to(out).as_posix(): p.read_bytes() for p in out.rglob("*") if p.is_file()}
    assert found == FILES
    assert os.listdir(tmp_path / "a b") == ["out"], "no working folder stays behind"
    assert stat.S_IMODE(out.stat().st_mode) & 0o500 == 0o500


def test_folders_and_an_empty_target_are_fine(tmp_path):
    (tmp_path / "out").mkdir()
    extract(make_zip(tmp_path / "a.zip", {"empty/": b"", "x": b"1"}), tmp_path / "out")
    assert (tmp_path / "out/empty").is_dir() and (tmp_path / "out/x").read_bytes() == b"1"


def test_a_used_target_is_left_alone(tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out/mine").write_text("kept")
    refused(make_zip(tmp_path / "a.zip", FILES), tmp_path, "is there already")


NAMES = ["../x", "a/../../x", "/etc/x", "C:\\x", "c:x", "..\\x", "\\\\host\\x", "a/..", "\\x"]


@pytest.mark.parametrize("name", NAMES)
def test_names_that_leave_the_folder_are_refused(tmp_path, name):
    refused(make_zip(tmp_path / "a.zip", {"ok": b"1", name: b"2"}), tmp_path, "leaves its folder")
    refused(make_tar(tmp_path / "a.tar", {"ok": b"1", name: b"2"}), tmp_path, "leaves its folder")


@pytest.mark.parametrize(
    "kind, word",
    [
        (tarfile.SYMTYPE, "link"),
        (tarfile.LNKTYPE, "link"),
        (tarfile.CHRTYPE, "device"),
        (tarfile.BLKTYPE, "device"),
        (tarfile.FIFOTYPE, "device"),
    ],
)
def test_links_and_devices_in_a_tar_are_refused(tmp_path, kind, word):
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        add(archive, "innocent", kind=kind, link="/etc/passwd")
    refused(tmp_path / "a.tar", tmp_path, f"'innocent', a {word}")


def test_links_in_a_zip_are_refused(tmp_path):
    info = zipfile.ZipInfo("innocent")
    info.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr(info, "/etc/passwd")
    refused(tmp_path / "a.zip", tmp_path, "'innocent', a link")


@pytest.mark.parametrize("make, name", [(make_zip, "a.zip"), (make_tar, "a.tar.gz")])
def test_bombs_are_refused_by_ratio_size_and_count(tmp_path, make, name, monkeypatch):
    bomb = make(tmp_path / name, {"zeros": bytes(300_000)})
    assert extract(bomb, tmp_path / "harmless").exists(), "small ones do no harm"
    shutil.rmtree(tmp_path / "harmless")
    with monkeypatch.context() as limits:
        limits.setattr(archives, "SMALL", 1000)
        refused(bomb, tmp_path, "a bomb: not unpacked")
    with monkeypatch.context() as limits:
        limits.setattr(archives, "MAX_BYTES", 299_999)
        refused(bomb, tmp_path, "a bomb: not unpacked")
    monkeypatch.setattr(archives, "MAX_FILES", 2)
    refused(make(bomb, FILES), tmp_path, "more than 2 files")


def test_a_zip_that_understates_its_size_delivers_nothing(tmp_path):
    path = make_zip(tmp_path / "a.zip", {"zeros": bytes(100_000)})
    data = path.read_bytes().replace(struct.pack("<I", 100_000), struct.pack("<I", 10))
    path.write_bytes(data)
    refused(path, tmp_path, "damaged")


@pytest.mark.parametrize("head", [b"<!DOCTYPE html><p>no", b"", b"PK\x03\x04 cut short"])
def test_what_is_no_archive_shows_its_first_bytes(tmp_path, head):
    (tmp_path / "a.zip").write_bytes(head)
    text = refused(tmp_path / "a.zip", tmp_path, "no readable zip or tar")
    assert repr(head[:16]) in text and "download it again" in text


def test_a_flipped_byte_is_found_and_leaves_nothing(tmp_path):
    path = make_zip(tmp_path / "a.zip", {"a": b"A" * 50, "b": b"B" * 50}, zipfile.ZIP_STORED)
    path.write_bytes(path.read_bytes().replace(b"B" * 50, b"B" * 49 + b"C"))
    refused(path, tmp_path, "damaged.*download it again")


def test_a_cut_tar_is_found_and_leaves_nothing(tmp_path):
    path = make_tar(tmp_path / "a.tar.gz", {"a": os.urandom(50_000)})
    path.write_bytes(path.read_bytes()[:30_000])
    refused(path, tmp_path, "damaged|no readable")


def test_a_name_twice_is_refused(tmp_path):
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        add(archive, "a", b"1")
        add(archive, "a", b"2")
    refused(tmp_path / "a.tar", tmp_path, "exists")


def test_a_full_disk_is_seen_first(tmp_path, monkeypatch):
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=1005))
    text = refused(make_zip(tmp_path / "a.zip", FILES), tmp_path, "1,006 bytes are needed")
    assert "1,005 free" in text


def test_a_missing_archive_is_named(tmp_path):
    refused(tmp_path / "none.zip", tmp_path, "none.zip")
