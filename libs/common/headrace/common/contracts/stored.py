"""Reading what was stored under older rules: what today's rules refuse is shown as it is, not an error of whoever asks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, TypeVar

from pydantic import BaseModel, TypeAdapter, ValidationError, WrapValidator

M = TypeVar("M", bound=BaseModel)


def read(model: type[M], value: object, **instead: object) -> M:
    """Parse a stored document; never raises.

    A field that cannot be read gets its value from `instead`, else stays as stored; unknown fields are left out.
    """
    try:
        return model.model_validate(value)
    except ValidationError:
        known = value if isinstance(value, Mapping) else {}
    fields = {}
    for name, field in model.model_fields.items():
        try:
            if name in known:
                fields[name] = _of_field(model, name).validate_python(known[name])
            elif field.is_required():
                fields[name] = instead.get(name)
        except ValidationError:
            fields[name] = instead.get(name, known[name])
    return model.model_construct(**fields)


@lru_cache(maxsize=256)
def _of_field(model: type[BaseModel], name: str) -> TypeAdapter[Any]:
    kind: Any = model.model_fields[name].annotation
    return TypeAdapter(kind)


def as_stored(model: type[BaseModel]) -> WrapValidator:
    """Annotate a response field with stored content: newer validation rules do not apply to it."""

    def lenient(value: object, handler: Callable[[object], Any]) -> Any:
        if isinstance(value, model):
            return value  # read already
        try:
            return handler(value)
        except ValidationError:
            return read(model, value)

    return WrapValidator(lenient)
