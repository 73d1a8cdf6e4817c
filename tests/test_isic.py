"""The ISIC archive: its tables and descriptions of each age, and what people make of them."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from conftest import write_photograph
from PIL import Image

from nbhelpers import __main__ as command_line
from nbhelpers.datasets import COLUMNS, READERS
from nbhelpers.datasets import read as read_any
from nbhelpers.datasets.folder import NO_GROUPS
from nbhelpers.datasets.isic import CLASSES, read, reduced
from nbhelpers.errors import DataError, UsageError
from nbhelpers.prepare import prepare

HEADER = (
    "isic_id,attribution,copyright_license,age_approx,anatom_site_general,benign_malignant,"
    "diagnosis_1,diagnosis_3,diagnosis_confirm_type,concomitant_biopsy,sex,patient_id,lesion_id"
)
ROWS = [
    'ISIC_3,"Vienna, ViDIR",CC-BY-NC,55,posterior torso,,Malignant,BCC,,True,male,IP_1,IL_2',
    "ISIC_1,Anonymous,CC-0,50.0,head/neck,benign,Benign,Nevus,histopathology,False,female,IP_1,IL_1",
    "ISIC_2,Anonymous,CC-0,,,Malignant,,,,False,,,IL_3",
    "ISIC_4,Anonymous,CC-0,85,palms/soles,,BENIGN,,,,unknown,,",
]
IDS = ("ISIC_1", "ISIC_2", "ISIC_3", "ISIC_4")
SHORT = "isic_id,benign_malignant"
FEW = ("ISIC_1,benign", "ISIC_2,malignant", "ISIC_3,benign", "ISIC_4,malignant")


def photographs(folder, ids=IDS, ending=".jpg"):
    for number, image_id in enumerate(ids):
        write_photograph(folder / f"{image_id}{ending}", (200, 150, 120), number, (24, 18))
    return folder


def metadata(folder, rows=ROWS, header=HEADER, name="metadata.csv"):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")
    return folder


def described(folder, image_id, clinical, ending=".json", old=False):
    """One description, of the new API or of the old one."""
    both = {"acquisition": {"image_type": "dermoscopic", "pixels_x": 24}, "clinical": clinical}
    record = {"isic_id": image_id, "copyright_license": "CC-BY", "metadata": both, "files": {}}
    if old:
        record = {"_id": "5436e3abbae478396759f0cf", "_modelType": "image", "name": image_id,
                  "dataset": {"name": "UDA-1", "license": "CC-0"}, "meta": both,
                  "creator": {"name": "User 1"}, "notes": {"tags": ["a"]}}  # fmt: skip
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{image_id}{ending}").write_text(json.dumps(record, indent=2), encoding="utf-8")


@pytest.fixture
def source(tmp_path):
    """What `isic image download` leaves."""
    folder = photographs(metadata(tmp_path / "hautbilder é 1"))
    (folder / "attribution.txt").write_text("Anonymous", encoding="utf-8")
    (folder / "licenses").mkdir()
    (folder / "licenses/CC-0.txt").touch()
    return folder


def refused(source, words):
    with pytest.raises(DataError, match=words) as caught:
        read(source)
    assert len(str(caught.value).splitlines()) <= 2
    return str(caught.value)


def test_what_isic_cli_writes(source):
    raw = read(source)
    rows = raw.table.set_index("image_id")
    assert (raw.name, raw.classes, raw.source) == ("isic", ("benign", "malignant"), source)
    assert tuple(raw.table.columns) == COLUMNS and tuple(rows.index) == IDS
    assert raw.table.index.tolist() == [0, 1, 2, 3]
    assert rows["dx"].tolist() == ["benign", "malignant", "malignant", "benign"]
    assert rows["group_id"].tolist() == ["IP_1", "IL_3", "IP_1", "ISIC_4"]
    assert all(Path(path).is_absolute() and Path(path).exists() for path in rows["path"])
    assert [Path(path).stem for path in rows["path"]] == list(IDS)
    np.testing.assert_array_equal(rows["age"], [50, np.nan, 55, 85])
    assert rows["sex"].tolist() == ["female", "unknown", "male", "unknown"]
    sites = ["head/neck", "unknown", "posterior torso", "palms/soles"]
    assert rows["localization"].tolist() == sites
    how = ["histopathology", "unknown", "concomitant biopsy", "unknown"]
    assert rows["dx_type"].tolist() == how
    assert set(rows["mask_path"]) == {""} and raw.licence.endswith(": CC-0, CC-BY-NC")
    assert raw.findings == {
        "grouped by lesion only": ["ISIC_2"],
        "rows without group": ["ISIC_4"],
        "missing age": ["ISIC_2"],
        "missing sex": ["ISIC_2", "ISIC_4"],
        "missing localization": ["ISIC_2"],
        "missing dx_type": ["ISIC_2", "ISIC_4"],
    }


def test_it_is_one_of_the_readers_and_a_table_is_a_source(source):
    assert "isic" in READERS
    assert read_any("isic", source).table.equals(read(source / "metadata.csv").table)


def test_an_older_table_without_much(tmp_path):
    rows = ["ISIC_2,malignant,melanoma", "ISIC_1,benign,nevus"]
    metadata(photographs(tmp_path, IDS[:2], ".JPEG"), rows, "name,benign_malignant,diagnosis")
    raw = read(tmp_path)
    assert raw.table["dx"].tolist() == ["benign", "malignant"]
    assert raw.table["group_id"].tolist() == ["ISIC_1", "ISIC_2"]
    assert raw.table["age"].isna().all() and set(raw.table["dx_type"]) == {"unknown"}
    assert raw.findings == {"no groups": [NO_GROUPS]}
    assert "not in the metadata" in raw.licence


def test_the_challenges_names(tmp_path):
    header = "image_name;patient_id;sex;age_approx;anatom_site_general_challenge;benign_malignant"
    rows = ["ISIC_1;IP_7;male;45.0;torso;benign", "ISIC_2;IP_8;female;50.0;head/neck;malignant"]
    raw = read(metadata(photographs(tmp_path, IDS[:2]), rows, header, "train.csv"))
    assert raw.table["localization"].tolist() == ["torso", "head/neck"]
    assert raw.table["group_id"].tolist() == ["IP_7", "IP_8"] and raw.findings == {}


CLINICAL = {
    "ISIC_1": {"age_approx": 55, "anatom_site_general": "anterior torso", "sex": "female",
               "benign_malignant": "benign", "diagnosis_confirm_type": None, "melanocytic": True},
    "ISIC_2": {"benign_malignant": "malignant", "diagnosis": "melanoma", "age_approx": 30,
               "anatom_site_general": None, "sex": "male",
               "diagnosis_confirm_type": "histopathology"},
}  # fmt: skip


@pytest.mark.parametrize("ending", ["", ".json"])
def test_descriptions_of_the_old_api(tmp_path, ending):
    photographs(tmp_path / "Data/Images", IDS[:2])
    for image_id, clinical in CLINICAL.items():
        described(tmp_path / "Data/Descriptions", image_id, clinical, ending, old=True)
    raw = read(tmp_path)
    rows = raw.table.set_index("image_id")
    assert tuple(raw.table.columns) == COLUMNS and rows["dx"].tolist() == ["benign", "malignant"]
    assert rows["age"].tolist() == [55, 30] and rows["sex"].tolist() == ["female", "male"]
    assert rows["localization"].tolist() == ["anterior torso", "unknown"]
    assert rows["dx_type"].tolist() == ["unknown", "histopathology"]
    assert raw.licence.endswith(": CC-0")
    assert raw.findings == {
        "no groups": [NO_GROUPS],
        "missing localization": ["ISIC_2"],
        "missing dx_type": ["ISIC_1"],
    }


def test_descriptions_of_the_new_api_beside_their_images(tmp_path):
    photographs(tmp_path, IDS[:3])
    person = {"sex": "male", "age_approx": 40, "anatom_site_1": "Trunk"}
    described(tmp_path, "ISIC_1", {**person, "diagnosis_1": "Benign", "patient_id": "IP_1"})
    described(tmp_path, "ISIC_2", {**person, "diagnosis_1": "Malignant", "lesion_id": "IL_1"})
    described(tmp_path, "ISIC_3", {})
    raw = read(tmp_path)
    assert raw.table["dx"].tolist() == ["benign", "malignant"]
    assert raw.table["group_id"].tolist() == ["IP_1", "IL_1"]
    assert set(raw.table["localization"]) == {"Trunk"} and raw.licence.endswith(": CC-BY")
    assert raw.findings == {
        "left out as unlabelled": ["ISIC_3"],
        "grouped by lesion only": ["ISIC_2"],
    }


def test_both_apis_in_one_folder(tmp_path):
    photographs(tmp_path, IDS[:2])
    described(tmp_path, "ISIC_1", CLINICAL["ISIC_1"], old=True)
    described(tmp_path, "ISIC_2", {"diagnosis_1": "Malignant"})
    assert read(tmp_path).table["image_id"].tolist() == ["ISIC_1", "ISIC_2"]
    assert read(tmp_path).licence.endswith(": CC-0, CC-BY")


def test_what_is_neither_is_left_out_and_counted_by_value(tmp_path):
    said = {
        "ISIC_5": "indeterminate,", "ISIC_6": "Indeterminate,", "ISIC_7": ",Indeterminate",
        "ISIC_8": "indeterminate/benign,", "ISIC_9": ",", "ISIC_10": "unknown,n/a",
        "ISIC_11": "unknown,Malignant", "ISIC_12": "benign,Malignant",
    }  # fmt: skip
    rows = [f"{image_id},{values}" for image_id, values in said.items()]
    metadata(tmp_path, [*(f"{row}," for row in FEW), *rows], f"{SHORT},diagnosis_1")
    raw = read(photographs(tmp_path, [*IDS, *said]))
    assert raw.findings == {
        "left out as indeterminate": ["ISIC_5", "ISIC_6", "ISIC_7"],
        "left out as indeterminate/benign": ["ISIC_8"],
        "left out as unlabelled": ["ISIC_10", "ISIC_9"],
        "benign_malignant and diagnosis_1 differ": ["ISIC_12"],
        "no groups": [NO_GROUPS],
    }
    dx = raw.table.set_index("image_id")["dx"]
    assert len(dx) == 6 and dx["ISIC_11"] == "malignant" and dx["ISIC_12"] == "benign"


def test_what_has_no_counterpart_is_told(source):
    (source / "ISIC_1.jpg").unlink()
    photographs(source, ["ISIC_8"])
    photographs(source / "copies", ["isic_4"], ".png")
    metadata(source, [*ROWS, ROWS[0], "ISIC_9" + "," * 12])
    raw = read(source)
    assert raw.table["image_id"].tolist() == ["ISIC_2", "ISIC_3", "ISIC_4"]
    assert raw.findings["rows without image"] == ["ISIC_1", "ISIC_9"]
    assert raw.findings["images without row"] == ["ISIC_8.jpg"]
    assert raw.findings["duplicate rows"] == ["ISIC_3"]
    assert raw.findings["duplicate ids"] == ["ISIC_4"]
    assert "left out as unlabelled" not in raw.findings, "it is counted once, as without image"
    assert raw.table["path"].iloc[2] == str(source / "ISIC_4.jpg"), "the least nested copy"


def test_masks_are_found_by_name(source):
    (source / "masks").mkdir()
    Image.new("L", (24, 18)).save(source / "masks/ISIC_2_segmentation.png")
    raw = read(source)
    assert [Path(path).name for path in raw.table["mask_path"]] == [
        "", "ISIC_2_segmentation.png", "", "",
    ]  # fmt: skip
    assert raw.findings["rows without mask"] == ["ISIC_1", "ISIC_3", "ISIC_4"]


def test_a_lesions_patient_is_that_of_all_its_photographs(tmp_path):
    rows = ["ISIC_1,benign,IP_1,IL_1", "ISIC_2,benign,,IL_1", "ISIC_3,malignant,IP_1,IL_2",
            "ISIC_4,malignant,,IL_3"]  # fmt: skip
    header = f"{SHORT},patient_id,lesion_id"
    raw = read(metadata(photographs(tmp_path), rows, header))
    assert raw.table["group_id"].tolist() == ["IP_1", "IP_1", "IP_1", "IL_3"]
    assert raw.findings == {"grouped by lesion only": ["ISIC_4"]}
    rows[3] = "ISIC_4,malignant,IP_2,IL_2"
    refused(metadata(tmp_path, rows, header), "metadata.csv, line 5: lesion 'IL_2' has another")


@pytest.mark.parametrize(
    "header, rows, words",
    [
        ("id,benign_malignant", FEW, "no column isic_id or image_name .* Its columns: id, ben"),
        ("isic_id,diagnosis", FEW, "no column benign_malignant or diagnosis_1"),
        (SHORT, (*FEW, ",benign"), "metadata.csv, line 6, column isic_id: empty"),
        (SHORT, (*FEW, "ISIC_1,malignant"), "metadata.csv, lines 2 and 6: 'ISIC_1' twice"),
        (f"{SHORT},age_approx", ("ISIC_1,benign,40", "ISIC_2,malignant,400"), "line 3, .*'400'"),
        (f"{SHORT},age_approx", ("ISIC_1,benign,old", "ISIC_2,malignant,4"), "line 2, .*'old'"),
        (SHORT, (*FEW, "ISIC_5"), "line 6: 1 fields"),
        (SHORT, FEW[::2], "that are 2 benign: bring benign and malignant"),
        (SHORT, ("ISIC_1,indeterminate", "ISIC_2,"), "that are 1 indeterminate, 1 unlabelled:"),
        (SHORT, ("IMG_1,benign",), r"looked for IMG_1.jpg .*4 images such as ISIC_1.jpg"),
        (SHORT, (), "no rows"),
    ],
)
def test_a_table_that_cannot_be_meant(tmp_path, header, rows, words):
    refused(metadata(photographs(tmp_path), rows, header), words)


@pytest.mark.parametrize(
    "text, words",
    [
        ('{"name": "ISIC_2", "meta"', "Descriptions/ISIC_2 is not valid JSON"),
        ("<html>503</html>", "Descriptions/ISIC_2 is not valid JSON"),
        ('[{"name": "ISIC_2"}]', "Descriptions/ISIC_2 describes no image .*expected isic_id"),
        ('{"name": "ISIC_2"}', "Descriptions/ISIC_2 describes no image"),
        ('{"meta": {}, "title": "nevi"}', "Descriptions/ISIC_2 describes no image"),
        ('{"name": null, "meta": {}}', "Descriptions/ISIC_2, column name: empty"),
        (
            '{"name": "ISIC_1", "meta": {"clinical": {"benign_malignant": "malignant"}}}',
            "Descriptions/ISIC_1 and Descriptions/ISIC_2: 'ISIC_1' twice",
        ),
        (
            '{"name": "ISIC_2", "meta": {"clinical": {"benign_malignant": "malignant", '
            '"age_approx": -1}}}',
            "Descriptions/ISIC_2, column age: '-1' is not 0 to 120 years",
        ),
        ('{"name": "ISIC_2", "meta": {"clinical": null}}', "1 benign, 1 unlabelled: bring"),
    ],
)
def test_a_description_that_cannot_be_meant(tmp_path, text, words):
    photographs(tmp_path, IDS[:2])
    described(tmp_path / "Descriptions", "ISIC_1", CLINICAL["ISIC_1"], "", old=True)
    (tmp_path / "Descriptions/ISIC_2").write_text(text, encoding="utf-8")
    refused(tmp_path, words)


def test_descriptions_that_name_no_class_at_all(tmp_path):
    described(photographs(tmp_path), "ISIC_1", {"sex": "male"})
    refused(tmp_path, "no column benign_malignant or diagnosis_1")


def test_two_tables_need_a_choice_and_the_nearer_is_read(source):
    metadata(source / "older", FEW, SHORT, "a.csv")
    metadata(source / ".ipynb_checkpoints", FEW, SHORT)
    described(source / "json", "ISIC_1", {})
    before = read(source)
    others = ["json/ISIC_1.json", "older/a.csv"]
    assert sorted(before.findings["other metadata files"]) == others
    metadata(source, FEW, SHORT, "more.tsv")
    refused(source, r"holds several tables \(metadata.csv, more.tsv\): name the one")
    assert read(source / "metadata.csv").table.equals(before.table)


def test_no_metadata_and_no_image_say_the_next_step(tmp_path):
    refused(tmp_path / "none", "none does not exist.*\nNext, run `isic image download")
    photographs(tmp_path / "a", ["ISIC_1"])
    refused(tmp_path / "a", "no metadata, CSV or JSON, but ISIC_1.jpg.\nNext, run `isic image")
    refused(metadata(tmp_path / "b"), "found no image.\nNext, run `isic image download")


def many(folder, patients=60):
    """Patients with one to four photographs; every third has lesions of both classes."""
    rows = []
    for patient in range(patients):
        for number in range(1 + patient % 4):
            dx = CLASSES[patient % 5 == 0 or (patient % 3 == 0 and number == 0)]
            rows.append(f"ISIC_{patient:03d}_{number},{dx},IP_{patient}")
    metadata(folder, rows, f"{SHORT},patient_id")
    return photographs(folder, [row.split(",")[0] for row in rows])


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    return read(many(tmp_path_factory.mktemp("isic")))


@pytest.mark.parametrize("count", [40, 77, 149])
def test_a_reduction_keeps_shares_and_patients(archive, count):
    before, after = archive.table, reduced(archive, count, seed=3)
    assert len(before) == 150 and len(after.table) == count
    shares = [table["dx"].value_counts(normalize=True) for table in (before, after.table)]
    assert (shares[0] - shares[1]).abs().max() < 0.01
    assert after.table["image_id"].is_monotonic_increasing and after.classes == archive.classes
    rows = before[before["image_id"].isin(after.table["image_id"])].reset_index(drop=True)
    assert rows.equals(after.table), "rows as they were, group_id included"
    whole = before["group_id"].value_counts()
    there = after.table["group_id"].value_counts()
    assert (there < whole[there.index]).sum() <= 4, "patients come whole but for the last ones"
    left = after.findings["left out by the reduction"]
    assert sorted([*left, *after.table["image_id"]]) == before["image_id"].tolist()


def test_a_reduction_is_drawn_by_its_seed(archive):
    first, again, other = (reduced(archive, 60, seed).table for seed in (1, 1, 2))
    assert first.equals(again) and not first.equals(other)
    assert reduced(archive) is archive and reduced(archive, 150) is archive
    told = replace(archive, findings={"missing age": ["ISIC_000_0"]})
    assert list(reduced(told, 60).findings) == ["missing age", "left out by the reduction"]
    assert len(told.findings) == 1, "the whole is not touched"


@pytest.mark.parametrize("count", [-1, 0, 8])
def test_too_small_a_reduction_names_the_least(archive, count):
    with pytest.raises(UsageError, match=f"count {count} leaves class 'malignant' fewer") as caught:
        reduced(archive, count)
    least = int(str(caught.value).split("ask for ")[1].split()[0])
    assert reduced(archive, least).table["dx"].value_counts().min() == 5
    with pytest.raises(UsageError):
        reduced(archive, least - 1)


@pytest.mark.parametrize("count", [150, 90])
def test_prepared_folds_share_no_patient(archive, tmp_path, count):
    prepared = prepare(reduced(archive, count), tmp_path / "p", 64)
    assert prepared.images.shape == (count, 64, 64, 3) and prepared.classes == CLASSES
    patients = prepared.table["image_id"].str.extract(r"ISIC_(\d+)_")[0]
    assert prepared.table.groupby(patients)["fold"].nunique().max() == 1
    assert prepared.table["fold"].nunique() == 5
    assert prepared.manifest["findings"].get("left out by the reduction", 0) == 150 - count


def test_the_command_prepares_it(tmp_path, capsys):
    folder = many(tmp_path / "bring é")
    arguments = ["prepare", "isic", "--source", str(folder), "--size", "64"]
    assert command_line.main([*arguments, "--to", str(tmp_path / "to")]) == 0
    told = capsys.readouterr().out
    assert "150 images of 60 lesions or patients, 0 bad ones left out" in told
    assert (tmp_path / "to/images.npy").exists()
