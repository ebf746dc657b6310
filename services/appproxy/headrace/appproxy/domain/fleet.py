"""The fleet's base URL (`/v1`): the service that a request's `model` names, and the list of models that a caller may use.

A model is a service's own name, or one of the names that its table declares (RouteTable.models). There is no `service/model`
form: declared names have slashes of their own (`meta-llama/Llama-3-8B`), and what the engine reads as `model` passes unchanged,
so the names are the engine's. A name that several services have is the oldest one's (ids are ordered by creation), so that a new
service cannot take another's callers. One that a caller may not use is told in the same words as one that does not exist.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Iterable
from typing import Any
from urllib.parse import unquote

from headrace.common.contracts.ids import ServiceId
from headrace.common.contracts.messages.routes import RouteTable

_MOST_SHOWN = 200
Error = tuple[int, dict[str, Any]]
"""Status and body of an answer in OpenAI's error shape."""


class Index:
    """Which service each name leads to, kept in step with the tables. Looking up is one or two steps in a dict."""

    def __init__(self) -> None:
        self._own: dict[str, list[ServiceId]] = {}
        self._declared: dict[str, list[ServiceId]] = {}
        self._names: dict[ServiceId, tuple[str, frozenset[str]]] = {}

    def apply(self, table: RouteTable) -> None:
        """Take over the newest table of a service; `removed` forgets it."""
        self.removed(table.service_id)
        if table.removed:
            return
        declared = frozenset(table.models) - {table.name}
        self._names[table.service_id] = table.name, declared
        insort(self._own.setdefault(table.name, []), table.service_id)
        for name in declared:
            insort(self._declared.setdefault(name, []), table.service_id)

    def removed(self, service_id: ServiceId) -> None:
        """Forget a service; names that others have too are theirs now."""
        own, declared = self._names.pop(service_id, ("", frozenset()))
        if own:
            _take_out(self._own, own, service_id)
        for name in declared:
            _take_out(self._declared, name, service_id)

    def find(self, model: str) -> ServiceId | None:
        """Return the service that the name leads to, or None.

        Own names are unique: of services of one own name only the newest counts, as in Tables; the others are deleted ones whose
        end has not been heard of yet.
        """
        own, declared = self._own.get(model), self._declared.get(model)
        if own is None:
            return declared[0] if declared is not None else None
        return own[-1] if declared is None else min(own[-1], declared[0])

    def names(self, service_id: ServiceId) -> list[str]:
        """Return the names that lead to a service, its own one first."""
        own, declared = self._names.get(service_id, ("", frozenset()))
        return [name for name in (own, *sorted(declared)) if name and self.find(name) == service_id]


def _take_out(names: dict[str, list[ServiceId]], name: str, service_id: ServiceId) -> None:
    names[name].remove(service_id)
    if not names[name]:
        del names[name]


def unknown_model(model: str) -> Error:
    """Return the answer for a name that leads nowhere this caller may go."""
    message = f"The model {_shown(model)} does not exist or you do not have access to it."
    return 404, error(message, code="model_not_found")


def error(message: str, *, code: str, param: str | None = "model") -> dict[str, Any]:
    """Return a body in OpenAI's error shape (https://platform.openai.com/docs/guides/error-codes)."""
    return {"error": {"message": message, "type": "invalid_request_error", "param": param, "code": code}}


def _shown(model: str) -> str:
    text = "".join(c if c.isprintable() else "?" for c in model[:_MOST_SHOWN])
    return f"`{text}…`" if len(model) > _MOST_SHOWN else f"`{text}`"


def models_page(tables: Iterable[RouteTable], services: Index) -> dict[str, Any]:
    """Return the answer of GET /v1/models for a caller that may use the services of these tables."""
    found = [_view(name, table) for table in tables for name in services.names(table.service_id)]
    return {"object": "list", "data": sorted(found, key=lambda model: str(model["id"]))}


def model_page(model: str, tables: Iterable[RouteTable], services: Index) -> dict[str, Any] | Error:
    """Return the answer of GET /v1/models/{model}, or 404 where it leads to none of the services of these tables.

    `model` is as the path has it: OpenAI's client escapes the slashes in names.
    """
    model = unquote(model)
    service_id = services.find(model)
    table = next((table for table in tables if table.service_id == service_id), None)
    return _view(model, table) if table is not None else unknown_model(model)


def _view(name: str, table: RouteTable) -> dict[str, Any]:
    return {
        "id": name,
        "object": "model",
        "created": created_s(table.service_id),
        "owned_by": f"{table.project_id}/{table.name}",
    }


def created_s(service_id: ServiceId) -> int:
    """Return when a service was made, in seconds since 1970: the time in its UUIDv7 (RFC 9562 section 5.7)."""
    return (service_id.int >> 80) // 1000
