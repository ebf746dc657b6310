"""Check of the text of a definition file: what is in it, or every error with its place."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from headrace.common.contracts.problems import InvalidDefinition, InvalidRequest
from headrace.common.contracts.vocabulary import DefinitionKind
from headrace.manager.domain.definitions.model_definition import parse_definition
from headrace.manager.domain.definitions.service_definition import FILE, parse_service_definition


@dataclass(frozen=True)
class Checked:
    """Result of a check."""

    kind: DefinitionKind
    names: tuple[str, ...] = ()
    """Its models, or its runtime variants."""
    errors: Sequence[Mapping[str, Any]] = ()


def kind_of(path: str) -> DefinitionKind:
    """Return which definition file a path is. Raises InvalidRequest for one that is none."""
    name = path.rpartition("/")[2]
    if name == FILE:
        return "service-definition"
    if name.endswith((".yaml", ".yml")):
        return "model-definition"
    raise InvalidRequest.of("path", path, f"{FILE}, or a model definition: a path that ends with .yaml or .yml")


def check(content: bytes, path: str) -> Checked:
    """Parse the file at `path`. Raises InvalidRequest for a path of no definition file."""
    kind = kind_of(path)
    try:
        if kind == "model-definition":
            return Checked(kind, tuple(model.name for model in parse_definition(content, path)))
        return Checked(kind, tuple(parse_service_definition(content, path)))
    except InvalidDefinition as problem:
        return Checked(kind, errors=problem.extra["errors"])
