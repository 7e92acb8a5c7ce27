"""Hold answers of the HTTP API to the JSON Schemas that the package has of them."""

import json
from importlib.resources import files
from typing import Any

import jsonschema

__all__ = ["misfits"]


def misfits(answer: Any, name: str) -> list[str]:
    """Return where an answer is not what its schema (``offers`` or ``inventory``) says."""
    schema = json.loads(files("gpu_spawner").joinpath(f"{name}.schema.json").read_text("utf-8"))
    jsonschema.Draft202012Validator.check_schema(schema)
    errors = jsonschema.Draft202012Validator(schema).iter_errors(answer)
    return [f"{error.json_path}: {error.message}"[:300] for error in errors]
