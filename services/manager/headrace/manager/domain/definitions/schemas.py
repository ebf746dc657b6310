"""JSON Schemas of definition files, for editors: made from the models that the files are read with."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Final

from pydantic import TypeAdapter

from headrace.common.contracts.vocabulary import DefinitionKind, RuntimeVariant
from headrace.manager.domain.definitions.model_definition import ModelDefinition
from headrace.manager.domain.definitions.service_definition import ServiceDefaults

_ADAPTERS: Final[Mapping[DefinitionKind, TypeAdapter[Any]]] = {
    "model-definition": TypeAdapter(ModelDefinition),
    "service-definition": TypeAdapter(dict[RuntimeVariant, ServiceDefaults]),
}
_DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"


@lru_cache
def schema_of(kind: DefinitionKind) -> dict[str, Any]:
    """Return the JSON Schema of the file. Some rules are beyond it: that names are unique, and sizes together."""
    return {"$schema": _DIALECT, **_ADAPTERS[kind].json_schema(), "title": kind}
