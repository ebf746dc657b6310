"""Secrets of a project: a value is sent, and never returned."""

from __future__ import annotations

from typing import Annotated

from pydantic import AwareDatetime, BeforeValidator, Field, PositiveInt, model_validator

from headrace.common.contracts.http.page import Body, Changeable, View
from headrace.common.contracts.ids import SecretId
from headrace.common.contracts.secret import MAX_VALUE_BYTES, checked_value
from headrace.common.contracts.wording import Refused


class PutSecret(Body):
    """The value of a secret: of a new one, or of a new version."""

    value: Annotated[
        str,
        BeforeValidator(checked_value, json_schema_input_type=str),
        Field(repr=False, json_schema_extra={"minLength": 1, "maxLength": MAX_VALUE_BYTES, "writeOnly": True}),
    ]
    """Text, as it is: a line break at its end is part of it."""

    @model_validator(mode="before")
    @classmethod
    def _nothing_else(cls, body: object) -> object:
        """Refuse other fields by name: the error of an unknown field would have its content."""
        if isinstance(body, dict) and (others := [str(name) for name in body if name != "value"]):
            raise Refused(f"a field {others[0]}", "value, and no other field")
        return body


class SecretVersionView(View):
    """A version of a secret, and which services use it."""

    version: PositiveInt
    created_by: str
    created_at: AwareDatetime
    services: tuple[str, ...] = ()
    """Living services with replicas, or a current revision, that have this version; at most 100 of them."""
    pinned: tuple[str, ...] = ()
    """Of these services, those that name the version (`hub@1`): `refresh_secrets` keeps it."""
    trial_runs: int = 0
    """Trial runs that have not ended and use this version."""


class SecretView(Changeable):
    """A secret without its value."""

    id: SecretId
    name: str
    version: PositiveInt
    """The newest one, which a new revision gets."""
    created_by: str
    created_at: AwareDatetime
    updated_by: str
    """Who stored the newest version."""
    updated_at: AwareDatetime


class SecretDetail(SecretView):
    """A secret without its value, with its versions."""

    versions: tuple[SecretVersionView, ...]
    """Newest first. Of those that no living service uses, the newest 20 are kept."""
