"""JSON that was changed by hand is refused by what is wrong in it, and where."""

import pytest

from nbhelpers.errors import DataError
from nbhelpers.files import write_json
from nbhelpers.records import FOLDER_NAME, PALETTE, TEXT, WHOLE, having, read_record

SCHEMA = having({"name": FOLDER_NAME, "fold": WHOLE, "data": having({"licence": TEXT})}, ("name",))


def test_what_fits_is_read_with_all_that_it_holds(tmp_path):
    record = {"name": "nv", "data": {"licence": "MIT", "more": 1}, "else": None}
    assert read_record(write_json(tmp_path / "a.json", record), SCHEMA) == record


@pytest.mark.parametrize(
    ("record", "wrong"),
    [
        ([], "must be object"),
        ({}, r"must contain \['name'\]"),
        ({"name": 3}, "name must be string"),
        ({"name": "../x"}, "name '../x' is no name of a folder"),
        ({"name": ".."}, "name '..' is no name of a folder"),
        ({"name": "nv", "fold": True}, "fold must be integer"),
        ({"name": "nv", "data": {}}, r"data must contain \['licence'\]"),
    ],
)
def test_what_does_not_fit_is_named(tmp_path, record, wrong):
    path = write_json(tmp_path / "a.json", record)
    with pytest.raises(DataError, match=rf"a\.json: .*{wrong}.* Restore it, or run the step"):
        read_record(path, SCHEMA)


@pytest.mark.parametrize("colour", [[1, 2], [1, 2, 256], [1, 2, "3"], [-1, 2, 3], "red"])
def test_a_colour_is_three_bytes(tmp_path, colour):
    path = write_json(tmp_path / "a.json", {"skin": [0, 0, 0], "lesion": colour})
    with pytest.raises(DataError, match=r"a\.json: lesion"):
        read_record(path, PALETTE)


@pytest.mark.parametrize("text", ["[" * 100_000, "1" * 10_000, '"\ud800"', "{"])
def test_json_without_end_is_no_json(tmp_path, text):
    (tmp_path / "a.json").write_bytes(text.encode("utf-8", "surrogatepass"))
    with pytest.raises(DataError, match=r"a\.json"):
        read_record(tmp_path / "a.json", SCHEMA)
    with pytest.raises(DataError, match="cannot be read"):
        read_record(tmp_path, SCHEMA)
