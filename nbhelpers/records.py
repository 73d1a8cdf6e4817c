"""JSON that stands beside data and GANs, read with a schema: it may have been changed by hand, or
come from a stranger."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from .errors import DataError
from .files import read_json

TEXT, WHOLE, TRUTH = ({"type": kind} for kind in ("string", "integer", "boolean"))
FOLDER_NAME = {"type": "string", "pattern": r"^(?!\.{1,2}$)[^/\\\x00]+$"}
COLOUR = {"type": "array", "items": {"type": "integer", "minimum": 0, "maximum": 255}}
PALETTE = {"type": "object", "additionalProperties": COLOUR | {"minItems": 3, "maxItems": 3}}


def having(fields: Mapping[str, Any], needed: Iterable[str] | None = None) -> dict[str, Any]:
    """The schema of an object: what its `fields` must be where they are there, and those that are
    `needed` (all, unless told)."""
    return {
        "type": "object",
        "properties": dict(fields),
        "required": sorted(fields if needed is None else needed),
    }


def read_record(path: Path, schema: Mapping[str, Any]) -> dict[str, Any]:
    """The JSON in `path`, which must fit `schema` (JSON Schema, draft 7). DataError, with the place
    and what is wrong there, when it does not."""
    import fastjsonschema

    record = read_json(path)
    try:
        return fastjsonschema.compile(dict(schema))(record)
    except fastjsonschema.JsonSchemaValueException as error:
        wrong = error.message.removeprefix("data.")
        if error.rule == "pattern":
            wrong = f"{error.name.removeprefix('data.')} {error.value!r} is no name of a folder"
        raise DataError(
            f"{path}: {wrong[:200]}. Restore it, or run the step that writes it again."
        ) from None
