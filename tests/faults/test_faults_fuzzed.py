"""Strangers' files: whatever stands in them, a reader answers, or one of our errors says why not.

Each test damages a good file, or writes one of its own. `make test` tries a few of each, `make
soak` thousands. While one is read, every file that is opened for writing, every connection and
every process is noticed by the interpreter itself (PEP 578), wherever on the machine it is.
"""

import copy
import io
import json
import os
import pickle
import shutil
import signal
import socket
import subprocess
import sys
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from conftest import make_raw
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from small_masks import masked

from nbhelpers import config, datasets, export, gan_runs, pictures, prepare, sampling
from nbhelpers.errors import NbhelpersError
from nbhelpers.gan_jobs import Job
from nbhelpers.translate_files import translate_files

SECONDS = 5  # a reader that takes longer hangs
FORBIDDEN = ("socket.connect", "subprocess.Popen", "os.system", "os.exec", "os.posix_spawn",
             "os.fork", "pickle.find_class")  # fmt: skip
MOVES = ("os.rename", "os.remove", "os.rmdir", "os.mkdir", "os.link", "os.symlink", "os.truncate",
         "shutil.rmtree", "os.chmod")  # fmt: skip
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
PATHS = (str, bytes, os.PathLike)
noticed: list[tuple[str, str]] | None = None


def notice(event: str, arguments: tuple) -> None:
    if noticed is None:
        return
    if event in FORBIDDEN:
        noticed.append((event, str(arguments)[:200]))
    elif event in MOVES:
        noticed.extend((event, os.fsdecode(a)) for a in arguments if isinstance(a, PATHS))
    elif event == "open" and isinstance(arguments[0], PATHS):
        _, mode, flags = arguments
        if flags & WRITING or (mode and set(mode) & set("wax+")):
            noticed.append((event, os.fsdecode(arguments[0])))


sys.addaudithook(notice)


@contextmanager
def watched(target: Path | None = None) -> Iterator[None]:
    """Inside, nothing is written but below `target`, no code is loaded from a file, no connection
    is made, and it ends in time. One of our errors is an answer."""
    global noticed

    def too_long(*_: object) -> None:
        raise TimeoutError(f"still reading after {SECONDS} s")

    before = signal.signal(signal.SIGALRM, too_long)
    signal.setitimer(signal.ITIMER_REAL, SECONDS)
    noticed = []
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except NbhelpersError as error:
        told = str(error)
        assert told.strip() and "Traceback" not in told
    finally:
        seen, noticed = noticed, None
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    allowed = None if target is None else os.path.abspath(target)
    # what is written beside the target, under its name, takes its place at the end
    beside = None if target is None else os.path.join(os.path.dirname(allowed), f".{target.name}.")
    bad = [
        (event, path)
        for event, path in seen
        if event in FORBIDDEN
        or allowed is None
        or not (path == allowed or path.startswith((allowed + os.sep, beside)))
    ]
    assert not bad, bad


def test_the_watch_sees_what_it_forbids(tmp_path, monkeypatch):
    inside, outside = tmp_path / "to", tmp_path / "else"
    inside.mkdir()
    with watched(inside):
        (inside / "a").write_text("allowed")
    for forbidden in (
        lambda: outside.write_text("x"),
        lambda: outside.mkdir(),
        lambda: os.rename(inside / "a", outside),
        lambda: socket.create_connection(("127.0.0.1", 9), 1),
        lambda: subprocess.run(["true"]),
        lambda: pickle.loads(pickle.dumps(Path)),
    ):
        with pytest.raises(AssertionError), watched(inside), suppress(OSError):
            forbidden()
    with pytest.raises(AssertionError), watched():
        raise NbhelpersError("")
    monkeypatch.setattr(sys.modules[__name__], "SECONDS", 0.05)
    with pytest.raises(TimeoutError), watched():
        time.sleep(10)


def damaged(good: bytes) -> st.SearchStrategy[bytes]:
    """`good` with some of its bytes changed, cut out, doubled or put in."""
    places = st.floats(0, 1, exclude_max=True)
    edits = st.lists(
        st.tuples(
            st.sampled_from(["flip", "cut", "put", "double", "end"]), places, st.binary(max_size=12)
        ),
        min_size=1,
        max_size=6,
    )

    def apply(edits: list[tuple[str, float, bytes]]) -> bytes:
        content = bytearray(good)
        for kind, place, new in edits:
            at = int(place * len(content))
            if kind == "flip" and content:
                content[at] ^= 1 << (len(new) % 8)
            elif kind == "cut":
                del content[at : at + 1 + 7 * len(new)]
            elif kind == "put":
                content[at:at] = new
            elif kind == "double":
                content[at:at] = content[at : at + 40 * len(new)]
            elif kind == "end":
                del content[at:]
        return bytes(content)

    return edits.map(apply)


LEAVES = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=8),
    st.sampled_from(["../../evil", "/etc/evil", "nv", "", "0", "\0", "a/b", "images.npy", 2**70]),
)  # fmt: skip
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.dictionaries(st.text(max_size=5), inner, max_size=4),
    ),
    max_leaves=6,
)


def _places(value, way=()) -> list[tuple]:
    """The ways to all values within."""
    inside = value.items() if isinstance(value, dict) else ()
    inside = enumerate(value) if isinstance(value, list) else inside
    return [way, *(place for key, one in inside for place in _places(one, (*way, key)))]


def altered(good: dict) -> st.SearchStrategy[bytes]:
    """The JSON of `good`, some of its values replaced or removed; or its bytes, damaged."""
    places = _places(good)
    edit = st.tuples(st.sampled_from(places), st.one_of(st.just(...), VALUES))

    def apply(edits: list[tuple]) -> bytes:
        changed = copy.deepcopy(good)
        for way, value in edits:
            try:
                inside = changed
                for key in way[:-1]:
                    inside = inside[key]
                if not way:
                    changed = {} if value is ... else value
                elif value is ...:
                    del inside[way[-1]]
                else:
                    inside[way[-1]] = value
            except (KeyError, IndexError, TypeError):
                continue  # an edit before this one has taken its place away
        return json.dumps(changed).encode()

    some = st.lists(edit, min_size=1, max_size=3).map(apply)
    return st.one_of(some, some, damaged(json.dumps(good).encode()))


FIELDS = st.one_of(
    st.text(max_size=10),
    st.sampled_from([
        "IMG_0000", "IMG_0001.jpg", "../IMG_0002.jpg", "/etc/passwd", "nv", "mel", "../../evil", "",
        "L0001", "45", "-1", "1e999", "nan", "male", "unknown", '"', "\ufeff", "\0", "=1+1",
        "." * 300,
    ]),
)  # fmt: skip
NAMES = ("image", "image_id", "label", "dx", "lesion_id", "patient_id", "age", "age_approx", "sex",
         "localization", "dx_type", "isic_id", "diagnosis", "file")  # fmt: skip


@st.composite
def tables(draw) -> bytes:
    """A table of known columns and any values, now and then with rows of another length."""
    separator = draw(st.sampled_from([",", ";", "\t"]))
    names = draw(st.lists(st.sampled_from(NAMES), min_size=1, max_size=8))
    rows = draw(
        st.lists(st.lists(FIELDS, min_size=len(names), max_size=len(names) + 1), max_size=6)
    )
    text = "\n".join(separator.join(row) for row in [names, *rows])
    coding = draw(st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]))
    return text.encode(coding, "surrogatepass")


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("strange")


@pytest.fixture(scope="module")
def photographs(place) -> Path:
    """Twelve photographs, which the tables are about."""
    raw = make_raw(place / "photographs", lesions=3)
    return Path(raw.table["path"].iloc[0]).parent


ROWS = [(f"IMG_{i:04d}", f"L{i // 2}", i % 2, 40 + i) for i in range(12)]
GOOD_TABLES = {
    "folder": ["image,label,patient_id,age,sex"]
    + [f"{name}.jpg,{('mel', 'nv')[c]},{lesion},{age},male" for name, lesion, c, age in ROWS],
    "ham10000": ["lesion_id,image_id,dx,dx_type,age,sex,localization"]
    + [f"{lesion},{name},{('mel', 'nv')[c]},,{age},male,back" for name, lesion, c, age in ROWS],
    "isic": ["isic_id,diagnosis,lesion_id,age_approx,sex"]
    + [f"{name},{('melanoma', 'nevus')[c]},{lesion},{age},male" for name, lesion, c, age in ROWS],
}  # fmt: skip
TABLE_FILES = {"folder": "labels.csv", "ham10000": "HAM10000_metadata", "isic": "metadata.csv"}


@given(
    reader=st.sampled_from(sorted(GOOD_TABLES)),
    content=st.one_of(
        tables(), *(damaged("\n".join(rows).encode()) for rows in GOOD_TABLES.values())
    ),
)
def test_tables(photographs, count, reader, content):
    file = photographs / TABLE_FILES[reader]
    file.write_bytes(content)
    try:
        with watched():
            datasets.read(reader, photographs)
    finally:
        file.unlink()
    count("fuzzed inputs")


@pytest.fixture(scope="module")
def small(place) -> prepare.Prepared:
    return prepare.prepare(make_raw(place / "raw", lesions=6), place / "prepared", 64)


@given(data=st.data())
def test_manifests(small, place, count, data):
    folder = place / "other"
    if not folder.exists():
        shutil.copytree(small.folder, folder)
    (folder / "manifest.json").write_bytes(data.draw(altered(small.manifest)))
    with watched():
        found = prepare.load_prepared(folder)
        assert len(found.images) == len(found.table)
        assert found.table["label"].between(0, len(found.classes) - 1).all()
    count("fuzzed inputs")


@pytest.fixture(scope="module")
def gans(place) -> dict[str, Path]:
    """A GAN that is told the class, and one that translates masks."""
    pairs = masked(place / "pairs", of_a_class=12)
    told = {"cgan": {"width": 4, "z_dim": 4}, "pix2pix": {"width": 4}}
    for name, settings in told.items():
        job = Job(name, 16, 8, settings=settings)
        gan_runs.train_run(job, pairs, place / "run" / "gans" / name, config.pick_device("cpu"))
    return {name: place / "run" / "gans" / name for name in told}


@given(data=st.data(), which=st.sampled_from(["sample", "export", "translate"]))
def test_cards(gans, place, count, data, which):
    folder, to = gans["pix2pix" if which == "translate" else "cgan"], place / "to"
    card, before = folder / sampling.CARD, (folder / sampling.CARD).read_bytes()
    mask = next(place.glob("pairs/raw/*/*_mask.png"))
    card.write_bytes(data.draw(altered(json.loads(before))))
    try:
        with watched(to):
            if which == "sample":
                sampling.export(folder, 2, to, data.draw(st.sampled_from(["", "nv", "../../evil"])))
            elif which == "export":
                export.export(folder, to)
            else:
                translate_files(folder, mask, to, data.draw(st.sampled_from(["", "nv"])), 0)
    finally:
        card.write_bytes(before)
        shutil.rmtree(to, ignore_errors=True)
    count("fuzzed inputs")


def _picture(kind: str, mode: str = "RGB", **how) -> bytes:
    buffer = io.BytesIO()
    ramp = Image.linear_gradient("L").resize((90, 70))
    picture = Image.merge("RGB", [ramp, ramp.rotate(90), ramp.rotate(180)]).convert(mode)
    picture.save(buffer, kind, **how)
    return buffer.getvalue()


EXIF = Image.Exif()
EXIF[pictures.ORIENTATION] = 6
GOOD_PICTURES = [
    _picture("JPEG", exif=EXIF), _picture("JPEG", progressive=True), _picture("JPEG", "CMYK"),
    _picture("PNG"), _picture("PNG", "P"), _picture("PNG", "RGBA"), _picture("PNG", "I;16"),
    _picture("TIFF", compression="tiff_lzw"), _picture("TIFF"), _picture("BMP"), _picture("WEBP"),
    _picture("GIF"),
]  # fmt: skip


@given(
    content=st.one_of(st.binary(max_size=200), *map(damaged, GOOD_PICTURES)),
    name=st.sampled_from(["a.jpg", "a.png", "a.tif"]),
)
def test_pictures(place, count, content, name):
    file = place / name
    file.write_bytes(content)
    try:
        with watched():
            image, _ = pictures.read_image(file, 64)
            assert image.shape == (64, 64, 3) and image.dtype == "uint8"
        with watched():
            assert pictures.read_mask(file, 64).shape == (64, 64)
        with watched():
            pictures.read_class_map(file, {"skin": (0, 0, 0), "lesion": (255, 255, 255)})
    finally:
        file.unlink()
    count("fuzzed inputs")
