"""Parser of service-definition.toml: defaults per runtime variant, which a request may override."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from headrace.common.contracts import wording
from headrace.common.contracts.images import ALLOWED as IMAGE_NAMES
from headrace.common.contracts.revision import EnvironName, EnvironValue, Image, values_as_text
from headrace.common.contracts.secret import SecretReference
from headrace.common.contracts.slots import RequestedSlots, ShmSize
from headrace.common.contracts.vocabulary import RuntimeVariant
from headrace.common.text.plain import TextError
from headrace.common.text.tomltext import load_toml, toml_places
from headrace.manager.domain.definitions import filetext
from headrace.manager.domain.value_checks import ANOTHER_NAME, SET_TWICE, is_headraces, is_image

FILE = "service-definition.toml"
VARIANTS: tuple[str, ...] = get_args(RuntimeVariant)


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Environment(_Section):
    """The `[<variant>.environment]` section."""

    image: Image
    architecture: Literal["x86_64", "aarch64"]


class ServiceDefaults(_Section):
    """Defaults of one variant; absent sections set none."""

    environment: Environment | None = None
    resource_slots: RequestedSlots = {}
    shm_size: ShmSize | None = None
    """Shared memory of the container."""
    environ: Annotated[
        dict[EnvironName, EnvironValue],
        BeforeValidator(values_as_text, json_schema_input_type=dict[str, str | float | bool]),
        Field(max_length=500),
    ] = {}
    secret_environ: Annotated[dict[EnvironName, SecretReference], Field(max_length=100)] = {}
    """Variables whose values are secrets of the project that runs the model."""


_KNOWN = {
    "": VARIANTS,
    "environment": tuple(Environment.model_fields),
    **dict.fromkeys(VARIANTS, tuple(ServiceDefaults.model_fields)),
}


def parse_service_definition(content: bytes, file: str = FILE) -> dict[str, ServiceDefaults]:
    """Parse the file and return the defaults by variant.

    Raises InvalidDefinition with path, found and allowed for each error.
    """
    text = filetext.decode(content, file)
    try:
        data = load_toml(text)
    except TextError as error:
        raise filetext.refuse_text(file, error) from None
    rows: list[dict[str, str]] = []
    result: dict[str, ServiceDefaults] = {}
    for variant, section in data.items():
        if variant not in VARIANTS:
            rows.append(
                filetext.row(wording.joined([variant]), "a section of this name", f"one of {', '.join(VARIANTS)}")
            )
            continue
        try:
            result[variant] = defaults = ServiceDefaults.model_validate(section)
            rows.extend(_unusable(variant, defaults))
        except ValidationError as error:
            rows.extend(_below(variant, error))
    if rows:
        raise filetext.refuse(file, rows, toml_places(text))
    return result


def _unusable(variant: str, defaults: ServiceDefaults) -> Iterator[dict[str, Any]]:
    """Return the errors of values that have the right form: images that no engine can name, variables of Headrace."""
    if defaults.environment is not None and not is_image(defaults.environment.image):
        yield filetext.row(f"{variant}.environment.image", defaults.environment.image, IMAGE_NAMES)
    for field, names in (("environ", defaults.environ), ("secret_environ", defaults.secret_environ)):
        for name in filter(is_headraces, names):
            yield filetext.row(f"{variant}.{field}.{name}", name, ANOTHER_NAME)
    for name in defaults.secret_environ:
        if name in defaults.environ:
            yield filetext.row(f"{variant}.secret_environ.{name}", *SET_TWICE)


def _below(variant: str, error: ValidationError) -> list[dict[str, str]]:
    known: dict[str, Any] = _KNOWN | {"": tuple(ServiceDefaults.model_fields)}
    rows = filetext.rows_of(error, known, frozenset())
    return [item | {"path": f"{variant}.{item['path']}" if item["path"] else variant} for item in rows]
