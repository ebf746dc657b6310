"""Model index of the fleet's base URL (`/v1`): the service that a request's `model` names, and the list of models a caller may use.

Names are a project's: for its callers a model is a service's own name, or one of the names that its table declares
(RouteTable.models), and a name that several of its services have is the oldest one's (ids are ordered by creation), so that a new
service cannot take another's callers. Every service is also `<project>/<service>`, which nobody else can declare away: the one name
under which callers of other projects, and those without a token, find the public ones. What a caller asks for by a bare name never
goes to another project. A model that a caller may not use is told in the same words as one that does not exist.
"""

from __future__ import annotations

import json
from bisect import insort
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

from headrace.common.contracts.ids import ProjectId, ServiceId
from headrace.common.contracts.messages.routes import RouteTable

MAX_LISTED = 1000
"""Models in one list; those of the caller's project come first."""
_MAX_PAGES = 256
_MAX_SHOWN = 200
"""Characters of a model name in an error."""
ProjectName = tuple[ProjectId, str]


@dataclass(frozen=True, slots=True)
class ModelScope:
    """Services that a caller may use at the fleet's base URL: its project, the services that its token grants, and
    public ones.
    """

    project: ProjectId | None = None
    """Project of the caller; None: only `<project>/<service>` of public services is found."""
    services: frozenset[ServiceId] | None = None
    """Services of the project that it may use; None: all of them."""

    def may_call(self, service_id: ServiceId, project: ProjectId) -> bool:
        """Return True if the caller's token grants access to this service."""
        return project == self.project and (self.services is None or service_id in self.services)


PUBLIC_SCOPE = ModelScope()


class ServiceNames:
    """Model names of one service, from its table."""

    __slots__ = ("declared", "name", "project", "public", "qualified", "service_id")

    def __init__(self, table: RouteTable) -> None:
        self.service_id = table.service_id
        self.name: str = table.name
        self.project = table.project_id
        self.public = table.open_to_public
        self.declared = frozenset(table.models) - {table.name}
        self.qualified = f"{table.project or table.project_id}/{table.name}"

    def same(self, other: ServiceNames | None) -> bool:
        """Return True if the names are unchanged."""
        return other is not None and (
            self.name == other.name
            and self.project == other.project
            and self.public == other.public
            and self.declared == other.declared
            and self.qualified == other.qualified
        )


class ModelIndex:
    """Index of services by model name, updated with each table. A look-up is a few dict accesses."""

    def __init__(self) -> None:
        self._facts: dict[ServiceId, ServiceNames] = {}
        self._own: dict[ProjectName, list[ServiceId]] = {}
        self._declared: dict[ProjectName, list[ServiceId]] = {}
        self._qualified: dict[str, list[ServiceId]] = {}
        self._of_project: dict[ProjectId, dict[ServiceId, None]] = {}
        self._public: dict[ServiceId, None] = {}
        self._pages: dict[ModelScope, bytes] = {}

    def apply(self, table: RouteTable) -> None:
        """Apply the newest table of a service; `removed` removes it."""
        facts = None if table.removed else ServiceNames(table)
        if facts is not None and facts.same(self._facts.get(table.service_id)):
            return
        self.removed(table.service_id)
        if facts is None:
            return
        service_id, project = facts.service_id, facts.project
        self._facts[service_id] = facts
        insort(self._own.setdefault((project, facts.name), []), service_id)
        insort(self._qualified.setdefault(facts.qualified, []), service_id)
        for name in facts.declared:
            insort(self._declared.setdefault((project, name), []), service_id)
        self._of_project.setdefault(project, {})[service_id] = None
        if facts.public:
            self._public[service_id] = None

    def removed(self, service_id: ServiceId) -> None:
        """Remove a service; another service with the same name takes its place in the index."""
        facts = self._facts.pop(service_id, None)
        self._pages.clear()
        if facts is None:
            return
        _remove_name(self._own, (facts.project, facts.name), service_id)
        _remove_name(self._qualified, facts.qualified, service_id)
        for name in facts.declared:
            _remove_name(self._declared, (facts.project, name), service_id)
        mine = self._of_project[facts.project]
        del mine[service_id]
        if not mine:
            del self._of_project[facts.project]
        self._public.pop(service_id, None)

    @property
    def has_public(self) -> bool:
        """True if any service is public."""
        return bool(self._public)

    def any_in_project(self, project: ProjectId) -> ServiceId | None:
        """Return one service of the project, or None."""
        return next(iter(self._of_project.get(project, ())), None)

    def find(self, principal: ModelScope, model: str) -> ServiceId | None:
        """Return the service with this model name that the caller may use, or None.

        Service names are unique: of several services with one name only the newest counts, as in RouteTables; the
        others are deleted ones whose tombstone has not arrived yet.
        """
        found = self._in_project(principal.project, model) if principal.project is not None else None
        if found is None:
            named = self._qualified.get(model)
            found = named[-1] if named is not None else None
        if found is None:
            return None
        facts = self._facts[found]
        return found if facts.public or principal.may_call(found, facts.project) else None

    def _in_project(self, project: ProjectId, model: str) -> ServiceId | None:
        own, declared = self._own.get((project, model)), self._declared.get((project, model))
        if own is None:
            return declared[0] if declared is not None else None
        return own[-1] if declared is None else min(own[-1], declared[0])

    def names(self, principal: ModelScope) -> list[tuple[str, ServiceNames]]:
        """Return the model names that this caller may use: its project's, then public ones of others.

        At most MAX_LISTED names, then one entry that says that there are more.
        """
        mine: list[tuple[str, ServiceNames]] = []
        for service_id in self._of_project.get(principal.project, ()) if principal.project is not None else ():
            facts = self._facts[service_id]
            if facts.public or principal.may_call(service_id, facts.project):
                mine += [
                    (name, facts) for name in (facts.name, *facts.declared) if self.find(principal, name) == service_id
                ]
        mine.sort(key=_by_name)
        others: list[tuple[str, ServiceNames]] = []
        if len(mine) <= MAX_LISTED:
            public = [self._facts[service_id] for service_id in self._public]
            others = [
                (one.qualified, one)
                for one in public
                if one.project != principal.project and self.find(principal, one.qualified) == one.service_id
            ]
            others.sort(key=_by_name)
        return (mine + others)[: MAX_LISTED + 1]

    def page(self, principal: ModelScope) -> bytes:
        """Return the body of GET /v1/models; cached until a name changes."""
        page = self._pages.get(principal)
        if page is None:
            found = self.names(principal)
            data = [_view(name, facts) for name, facts in found[:MAX_LISTED]]
            if len(self._pages) >= _MAX_PAGES:
                self._pages.clear()
            more = len(found) > MAX_LISTED
            page = self._pages[principal] = json.dumps({"object": "list", "data": data, "has_more": more}).encode()
        return page

    def model(self, principal: ModelScope, model: str) -> dict[str, Any] | None:
        """Return the body of GET /v1/models/{model}, or None if this caller may use no such model.

        `model` is as in the path: OpenAI's client escapes the slashes in names.
        """
        name = unquote(model)
        service_id = self.find(principal, name)
        return _view(name, self._facts[service_id]) if service_id is not None else None


def _by_name(named: tuple[str, ServiceNames]) -> str:
    return named[0]


def _remove_name(names: dict[Any, list[ServiceId]], name: Any, service_id: ServiceId) -> None:
    names[name].remove(service_id)
    if not names[name]:
        del names[name]


def unknown_model(model: str) -> str:
    """Return the error text for a model name that names no service this caller may use."""
    return f"The model {_quoted(model)} does not exist or you do not have access to it."


def error(message: str, *, code: str, param: str | None = "model") -> dict[str, Any]:
    """Return a body in OpenAI's error shape (https://platform.openai.com/docs/guides/error-codes)."""
    return {"error": {"message": message, "type": "invalid_request_error", "param": param, "code": code}}


def _quoted(model: str) -> str:
    text = "".join(c if c.isprintable() else "?" for c in model[:_MAX_SHOWN])
    return f"`{text}…`" if len(model) > _MAX_SHOWN else f"`{text}`"


def _view(name: str, facts: ServiceNames) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": created_s(facts.service_id), "owned_by": facts.qualified}


def created_s(service_id: ServiceId) -> int:
    """Return a service's creation time in seconds since 1970, from its UUIDv7 (RFC 9562 section 5.7)."""
    return (service_id.int >> 80) // 1000
