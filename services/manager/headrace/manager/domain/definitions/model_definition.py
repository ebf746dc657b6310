"""Parser of model-definition.yaml: returns the definition, or every error with its path in the file.

`models` is a list in the format. A service has one endpoint with one port, so it serves exactly one model: a file with
more is refused, because choosing one silently would serve the wrong one to whoever meant the other.
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints, ValidationError

from headrace.common.contracts.model import HealthCheck, PreStartAction
from headrace.common.contracts.revision import ABSOLUTE
from headrace.common.contracts.slots import QuotaSlots
from headrace.common.contracts.wording import Refused
from headrace.common.text.plain import TextError
from headrace.common.text.yamltext import load_yaml
from headrace.manager.domain.definitions import filetext

DEFAULT_NAMES = ("model-definition.yaml", "model-definition.yml")
_MAX_WORDS = 1000
_MAX_COMMAND = 65_536


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


def _no_boolean(value: object) -> object:
    if isinstance(value, bool):
        raise Refused(value, "a number")
    return value


def _empty_is_absent(value: object) -> object:
    """Return () for a key without a value."""
    return () if value is None else value


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


def _text(value: object) -> object:
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else value


Text = Annotated[str, BeforeValidator(_text), StringConstraints(max_length=10_000)]
Texts = Annotated[tuple[Text, ...], BeforeValidator(_empty_is_absent), Field(max_length=1000)]


class ModelMetadata(_Section):
    """Metadata for people and the model store; no decision depends on it."""

    author: Text | None = None
    title: Text | None = None
    version: Text | None = None
    created: Text | None = None
    last_modified: Text | None = None
    description: Text | None = None
    task: Text | None = None
    category: Text | None = None
    architecture: Text | None = None
    framework: Texts = ()
    label: Texts = ()
    license: Text | None = None
    min_resource: Annotated[QuotaSlots, BeforeValidator(lambda value: {} if value is None else value)] = {}


class ModelService(_Section):
    """Start command, port and health check of the model."""

    pre_start_actions: Annotated[
        tuple[PreStartAction, ...], BeforeValidator(_empty_is_absent), Field(max_length=100)
    ] = ()
    start_command: Annotated[tuple[str, ...], BeforeValidator(_command)]
    port: Annotated[int, BeforeValidator(_no_boolean), Field(ge=1, le=65535)]
    health_check: HealthCheck | None = None


class Model(_Section):
    """One entry of `models`."""

    name: Annotated[str, StringConstraints(min_length=1, max_length=200)]
    model_path: Annotated[str, StringConstraints(pattern=ABSOLUTE, max_length=4096)]
    service: ModelService
    metadata: ModelMetadata | None = None


class _File(_Section):
    models: tuple[Model, ...]


_ACTIONS = {
    "write_file": ("filename", "body", "mode", "append"),
    "write_tempfile": ("body", "mode"),
    "run_command": ("command",),
    "mkdir": ("path",),
    "log": ("message", "debug"),
}
_KNOWN = {
    "": tuple(_File.model_fields),
    "models": tuple(Model.model_fields),
    "service": tuple(ModelService.model_fields),
    "health_check": tuple(HealthCheck.model_fields),
    "metadata": tuple(ModelMetadata.model_fields),
    **{f"pre_start_actions:{tag}": ("action", "args") for tag in _ACTIONS},
    **{f"args:{tag}": fields for tag, fields in _ACTIONS.items()},
}


def parse_definition(content: bytes, file: str) -> Model:
    """Parse the definition and return its model. Raises InvalidDefinition with path, found and allowed for each error."""
    text = filetext.decode(content, file)
    try:
        data = load_yaml(text)
    except TextError as error:
        raise filetext.refuse(file, [filetext.row(error.path, error.found, error.allowed)]) from None
    if not isinstance(data, dict):
        found = "an empty file" if data is None else data
        raise filetext.refuse(file, [filetext.row("", found, "a mapping with the key models")])
    return _one_model(data, file)


def _one_model(data: dict[str, Any], file: str) -> Model:
    models = data.get("models")
    if "models" in data and not isinstance(models, list):
        raise filetext.refuse(file, [filetext.row("models", models, "a list with one model")])
    if isinstance(models, list) and len(models) != 1:
        allowed = "a list with one model: a service serves one; give others a file of their own and name it in definition_path"
        raise filetext.refuse(file, [filetext.row("models", models, allowed)])
    try:
        return _File.model_validate(data).models[0]
    except ValidationError as error:
        raise filetext.refuse(file, filetext.rows_of(error, _KNOWN, frozenset(_ACTIONS))) from None
