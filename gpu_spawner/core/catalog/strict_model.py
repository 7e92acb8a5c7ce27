"""What every part of the configuration's shape is made of: strict models, and lists of one."""

from typing import Any

from pydantic import BaseModel, ConfigDict, GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core.core_schema import CoreSchema, no_info_before_validator_function

__all__ = ["OneOrMany", "StrictModel"]


class StrictModel(BaseModel):
    """Refuses unknown keys, and converts nothing."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class OneOrMany:
    """Let a single thing stand where a list of one is meant, also in the JSON Schema."""

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        return no_info_before_validator_function(
            lambda value: value if isinstance(value, list) else [value], handler(source)
        )

    def __get_pydantic_json_schema__(
        self, core_schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        many = handler(core_schema)
        return {"anyOf": [many["items"], many]}
