"""The JSON Schemas of catalog files, for editors, and of the API's answers, for its readers.

``python -m`` this module writes them anew.
"""

import json
from pathlib import Path

from gpu_spawner.core.catalog.schema import render_json_schemas
from gpu_spawner.core.offers.api_schema import render_api_schemas

__all__ = ["render_schema", "schema_directory", "write_schemas"]


def schema_directory() -> Path:
    """Return where the package keeps its schemas."""
    return Path(__file__).parent.parent


def render_schema() -> dict[str, str]:
    """Return the text of each schema file by its name."""
    return {
        name: f"{json.dumps(schema, indent=2, sort_keys=True)}\n"
        for name, schema in (render_json_schemas() | render_api_schemas()).items()
    }


def write_schemas() -> None:
    """Write every schema file into the package."""
    for name, text in render_schema().items():
        (schema_directory() / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    write_schemas()
