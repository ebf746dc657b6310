"""Base models of REST requests, responses and pages."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime
from typing import Annotated, Generic, Self, TypeVar

from pydantic import AwareDatetime, BaseModel, BeforeValidator, ConfigDict, StringConstraints, model_validator

from headrace.common.contracts.wording import Refused

T = TypeVar("T")
_LONGEST_TIME = 64


def _written_out(value: object) -> datetime:
    if isinstance(value, datetime):
        return value
    if isinstance(value, str) and len(value) <= _LONGEST_TIME and value[4:5] == "-":
        with suppress(ValueError, OverflowError):  # the calendar's first and last hours are not everywhere in it
            found = datetime.fromisoformat(value)
            return found.astimezone(UTC) if found.tzinfo is not None else found
    raise Refused(value, "a time with its zone, for example 2030-12-31T00:00:00Z")


GivenTime = Annotated[AwareDatetime, BeforeValidator(_written_out)]
"""A time in a request: as RFC 3339 writes it, not a number of seconds."""


Reference = Annotated[str, StringConstraints(min_length=1, max_length=64)]
"""Name or id."""


class Body(BaseModel):
    """Base of request bodies: unknown fields are refused, so that a mistyped one is not ignored."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)


class Change(Body):
    """Base of PATCH bodies: present fields change; null resets a field to its value for a new resource."""

    @model_validator(mode="after")
    def _something(self) -> Self:
        if not self.model_fields_set - {"message"}:
            names = ", ".join(name for name in type(self).model_fields if name != "message")
            raise Refused("nothing to change", f"one of {names}")
        return self


class View(BaseModel):
    """Base of response bodies."""

    model_config = ConfigDict(frozen=True, extra="ignore", defer_build=True)


class Changeable(View):
    """Base of response bodies of what can be changed."""

    etag: str = ""
    """Tag of what can be changed of it. Sent as `If-Match: "<etag>"` with a change, that is refused if it is another by then.
    Empty: the manager's version has none."""


class Page(View, Generic[T]):
    """One page of a list: `items` in creation order; `next` is the cursor of the next page, null at the end.

    A page may have few items, or none, and still have a next one.
    """

    items: tuple[T, ...]
    next: str | None = None
