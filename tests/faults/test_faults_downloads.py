"""Faults 1 to 13, downloads and archives: what needs a disk of its own. The others, with a server
that misbehaves and real archives, are in test_download.py and test_archives.py."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from disks import disk
from loopback import Server

from nbhelpers import download
from nbhelpers.archives import extract
from nbhelpers.download import Remote
from nbhelpers.errors import DataError, DownloadError
from nbhelpers.files import new_array, whole_folder

BODY = os.urandom(300_000)
NO_DIGEST = {"licence": "CC BY 0", "manual": "open the page in a browser", "md5": "0" * 32}


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch):
    monkeypatch.setenv("no_proxy", "*")


@pytest.mark.parametrize("length", [None, "none"])
def test_12_a_disk_that_is_too_small_for_a_download(tmp_path, length):
    """Known before, or, where the server tells no length, found on the way."""
    with disk(tmp_path / "disk", "128k") as folder:
        with Server(lambda handler: handler.reply(200, BODY, length)) as server:
            remote = Remote(name="file.zip", url=server.url, **NO_DIGEST)
            with pytest.raises(DownloadError) as caught:
                download.fetch(remote, folder, sleep=lambda seconds: None)
        left = sorted(path.name for path in folder.iterdir())
    told = str(caught.value)
    assert str(folder) in told and len(told.splitlines()) <= 2
    if length is None:
        assert "300,000 bytes are needed" in told and "free some space" in told and left == []
    else:
        assert "No space left" in told and "file.zip" not in left


def test_12_a_disk_that_is_too_small_for_an_archive(tmp_path):
    archive = tmp_path / "a.zip"
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("one.bin", BODY)
    with disk(tmp_path / "disk", "128k") as folder:
        with pytest.raises(DownloadError, match=r"a\.zip: 300,000 bytes are needed, .* free some"):
            extract(archive, folder / "to")
        assert list(folder.iterdir()) == []


PREPARES = """
import sys
sys.path[:0] = sys.argv[1:3]
from pathlib import Path
from conftest import make_raw
from nbhelpers import prepare
from nbhelpers.errors import DataError
try:
    prepare.prepare(make_raw(Path(sys.argv[3])), Path(sys.argv[4]) / "p", 64)
except DataError as error:
    print(error)
"""


def test_12_a_disk_that_is_too_small_for_prepared_data(tmp_path):
    """In a process of its own: a memory map on a full disk would kill it."""
    tests = Path(__file__).parents[1]
    with disk(tmp_path / "disk", "512k") as folder:
        arguments = map(str, (tests.parent, tests, tmp_path / "raw", folder))
        done = subprocess.run(
            [sys.executable, "-c", PREPARES, *arguments], capture_output=True, text=True
        )
        assert list(folder.iterdir()) == []
    assert done.returncode == 0, f"{done.returncode}: {done.stderr[-500:]}"
    assert "1,179,648 bytes are needed" in done.stdout and "free some space" in done.stdout


def test_12_a_disk_that_fills_up_meanwhile(tmp_path):
    """Room that was there when it was looked for is taken at once, or missed with a message."""
    with disk(tmp_path / "disk", "512k") as folder:
        with pytest.raises(DataError, match="No space left"), whole_folder(folder / "p") as place:
            new_array(place / "images.npy", (1000, 64, 64, 3))
        assert list(folder.iterdir()) == []
