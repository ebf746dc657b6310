"""Parser of model-definition.yaml: returns its models, or every error with its path in the file.

A service has one endpoint with one port, so it serves one model. Where the file has several, the request names one:
choosing one silently would serve the wrong one to whoever meant the other.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints, ValidationError

from headrace.common.contracts.model import HealthCheck, ModelMetadata, PreStartAction, empty_is_absent
from headrace.common.contracts.problems import InvalidRequest
from headrace.common.contracts.revision import ABSOLUTE
from headrace.common.contracts.wording import Refused
from headrace.common.text.plain import TextError
from headrace.common.text.yamltext import load_yaml_with_places
from headrace.manager.domain.definitions import filetext

DEFAULT_NAMES = ("model-definition.yaml", "model-definition.yml")
MAX_MODELS = 100
_MAX_METADATA_BYTES = 16 * 1024
"""Metadata of a model; each revision keeps it."""
_MAX_WORDS = 1000
_SHOWN_NAMES = 20
_MAX_COMMAND = 65_536


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


def _no_boolean(value: object) -> object:
    if isinstance(value, bool):
        raise Refused(value, "a number")
    return value


def _command(value: object) -> tuple[str, ...]:
    """Return the words of the command: a string is run by a shell, a list as it is. Numbers in a list become text."""
    if isinstance(value, str) and value.strip():
        if len(value) > _MAX_COMMAND:
            raise Refused(f"{len(value)} characters", f"at most {_MAX_COMMAND} characters")
        return ("/bin/sh", "-c", value)
    if isinstance(value, list) and 0 < len(value) <= _MAX_WORDS:
        words = [str(word) if isinstance(word, int | float) and not isinstance(word, bool) else word for word in value]
        if all(isinstance(word, str) for word in words) and words[0].strip():
            return tuple(words)
    raise Refused(value, "text, or a list of 1 to 1000 texts whose first names a program (quote what is not text)")


_COMMAND: Any = str | list[str | int | float]


class ModelService(_Section):
    """Start command, port and health check of the model."""

    pre_start_actions: Annotated[
        tuple[PreStartAction, ...],
        BeforeValidator(empty_is_absent, json_schema_input_type=tuple[PreStartAction, ...] | None),
        Field(max_length=100),
    ] = ()
    start_command: Annotated[tuple[str, ...], BeforeValidator(_command, json_schema_input_type=_COMMAND)]
    port: Annotated[int, BeforeValidator(_no_boolean), Field(ge=1, le=65535)]
    health_check: HealthCheck | None = None


class Model(_Section):
    """One entry of `models`."""

    name: Annotated[str, StringConstraints(min_length=1, max_length=200)]
    model_path: Annotated[str, StringConstraints(pattern=ABSOLUTE, max_length=4096)]
    service: ModelService
    metadata: ModelMetadata | None = None


class ModelDefinition(_Section):
    """model-definition.yaml."""

    models: Annotated[tuple[Model, ...], Field(min_length=1, max_length=MAX_MODELS)]


@dataclass(frozen=True)
class ChosenModel:
    """The entry of a definition file that a service serves."""

    model: Model
    file: str
    index: int = 0

    def path(self, *fields: str) -> str:
        """Return the path of a field in the file."""
        return ".".join((f"models[{self.index}]", *fields))


_ACTIONS = {
    "write_file": ("filename", "body", "mode", "append"),
    "write_tempfile": ("body", "mode"),
    "run_command": ("command",),
    "mkdir": ("path",),
    "log": ("message", "debug"),
}
_KNOWN = {
    "": tuple(ModelDefinition.model_fields),
    "models": tuple(Model.model_fields),
    "service": tuple(ModelService.model_fields),
    "health_check": tuple(HealthCheck.model_fields),
    "metadata": tuple(ModelMetadata.model_fields),
    **{f"pre_start_actions:{tag}": ("action", "args") for tag in _ACTIONS},
    **{f"args:{tag}": fields for tag, fields in _ACTIONS.items()},
}


def parse_definition(content: bytes, file: str) -> tuple[Model, ...]:
    """Parse the definition and return its models. Raises InvalidDefinition with path, found and allowed for each error."""
    text = filetext.decode(content, file)
    try:
        data, places = load_yaml_with_places(text)
    except TextError as error:
        raise filetext.refuse_text(file, error) from None
    if not isinstance(data, dict):
        found = "an empty file" if data is None else data
        raise filetext.refuse(file, [filetext.row("", found, "a mapping with the key models")])
    try:
        models = ModelDefinition.model_validate(data).models
    except ValidationError as error:
        raise filetext.refuse(file, filetext.rows_of(error, _KNOWN, frozenset(_ACTIONS)), places) from None
    if rows := _across(models):
        raise filetext.refuse(file, rows, places)
    return models


def choose(models: Sequence[Model], wanted: str | None, file: str) -> ChosenModel:
    """Return the model called `wanted`, without a name the only one. Raises InvalidRequest with the names that there are."""
    for index, model in enumerate(models):
        if model.name == wanted or (wanted is None and len(models) == 1):
            return ChosenModel(model, file, index)
    names = ", ".join(model.name for model in models[:_SHOWN_NAMES])
    more = f", … ({len(models)} in all)" if len(models) > _SHOWN_NAMES else ""
    raise InvalidRequest.of("model", "nothing" if wanted is None else wanted, f"a model of {file}: {names}{more}")


def _across(models: Sequence[Model]) -> list[dict[str, Any]]:
    """Return the errors that no single field shows: a name that stands twice, and metadata that is too large together."""
    rows = []
    names = set[str]()
    for index, model in enumerate(models):
        if model.name in names:
            rows.append(filetext.row(f"models[{index}].name", f"{model.name}, again", "a name of its own"))
        names.add(model.name)
        size = len(model.metadata.model_dump_json().encode()) if model.metadata else 0
        if size > _MAX_METADATA_BYTES:
            allowed = f"at most {_MAX_METADATA_BYTES} bytes; put long texts into a README of the folder"
            rows.append(filetext.row(f"models[{index}].metadata", f"{size} bytes", allowed))
    return rows
