"""The OpenAPI 3.1 document, made from the route declarations and the pydantic models."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any, TypeAlias

from pydantic import BaseModel, ConfigDict, Field
from pydantic.json_schema import JsonSchemaMode, models_json_schema

from headrace.common.contracts.http.page import Changeable
from headrace.common.contracts.message_header import MAX_MESSAGE, MESSAGE_HEADER
from headrace.common.contracts.problems import Problem
from headrace.common.contracts.reasons.api import ApiReason
from headrace.common.contracts.reasons.catalogue import CATALOGUES
from headrace.manager.api.conditions import ETAG, IF_MATCH, IF_NONE_MATCH
from headrace.manager.api.examples import ANSWERS, PROBLEM, REQUESTS
from headrace.manager.api.idempotency import KEY, LOCATION, REPLAYED
from headrace.manager.api.routing import Endpoint, Header

_MESSAGE = "Message"
_WHY = Header(
    MESSAGE_HEADER,
    "Why this is changed, for the audit log: a line of text, as UTF-8. Where the body says why, that counts.",
    schema={"type": "string", "maxLength": MAX_MESSAGE},
)
_REF = "#/components/schemas/{model}"
References: TypeAlias = Mapping[tuple[Any, JsonSchemaMode], Any]
_IDS = frozenset({"key_id", "login_id", "token_id", "rule_id", "upload", "validation", "replica", "audit_entry"})
_MAX_CHARS = {"path": 4096, "wheel": 255}
"""Longest variables of paths; 64 for the others, which are names and ids."""
_PLACES = {
    "project": "Name or id of the project",
    "folder": "Name or id of the folder",
    "service": "Name or id of the service",
    "client": "Name or id of the client",
    "user": "Name or id of the user",
    "agent": "Id of the agent",
    "revision": "Number of the revision",
    "path": "Path in the folder",
}


class ProblemError(BaseModel):
    """What is wrong with one field of a request, or one place in a file."""

    model_config = ConfigDict(extra="allow")
    field: str | None = None
    """Name of the field, or of the parameter or header."""
    pointer: str | None = None
    """JSON pointer to it in the request's body, as a URI fragment: `#/slots/cpu`."""
    file: str | None = None
    """Definition file, where several are wrong."""
    path: str | None = None
    """Place in a definition file."""
    line: int | None = None
    column: int | None = None
    found: Any = None
    allowed: Any = None
    type: str | None = None
    """Type of this problem, where it is another than the refusal's."""
    detail: str | None = None
    """Its words then."""


class ProblemDocument(BaseModel):
    """A refusal (RFC 9457). `type` is stable; further members depend on it."""

    model_config = ConfigDict(extra="allow")
    type: str
    title: str
    status: int
    detail: str
    request_id: str | None = None
    reason: Annotated[
        str | None, Field(json_schema_extra={"x-known-values": {c.value: c.meaning for c in ApiReason}})
    ] = None
    errors: list[ProblemError] | None = None


_DESCRIPTION = """\
Serve machine-learning models on a fleet of GPU machines. Errors are problem documents (RFC 9457). In parentheses stands who may \
call, where that is not every user in the project: its members and owners, its owners, or operators of the installation."""


def make_document(endpoints: Sequence[Endpoint], *, version: str) -> dict[str, Any]:
    """Return the document of these endpoints."""
    schemas, references = _schemas(endpoints)
    paths: dict[str, dict[str, Any]] = defaultdict(dict)
    for endpoint in endpoints:
        paths[endpoint.shown_path][endpoint.method.lower()] = _operation(endpoint, references)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Headrace",
            "version": version,
            "description": _DESCRIPTION,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "security": [{"api_key": []}],
        "tags": [{"name": tag} for tag in sorted({endpoint.tag for endpoint in endpoints})],
        "paths": dict(paths),
        "components": {
            "schemas": schemas,
            "parameters": {_MESSAGE: _header(_WHY)},
            "securitySchemes": {
                "api_key": {"type": "http", "scheme": "bearer", "description": "An API key: `hr_<id>_<secret>`"}
            },
        },
    }


def _schemas(endpoints: Iterable[Endpoint]) -> tuple[dict[str, Any], References]:
    wanted: dict[tuple[type[BaseModel], JsonSchemaMode], None] = {(ProblemDocument, "serialization"): None}
    for endpoint in endpoints:
        if endpoint.body is not None:
            wanted[endpoint.body, "validation"] = None
        for reply in endpoint.replies.values():
            if reply.model is not None:
                wanted[reply.model, "serialization"] = None
    references, definitions = models_json_schema(list(wanted), ref_template=_REF)
    schemas = definitions.get("$defs", {})
    _name_codes(schemas)
    return schemas, references


def _name_codes(schemas: Mapping[str, Any]) -> None:
    """Add the known codes of reasons to the schemas, and keep the type open: today's clients accept later codes."""
    fields = [field for schema in schemas.values() for field in schema.get("properties", {}).values()]
    said = {name for field in fields for name in field.get("x-reasons", ())}
    if said:
        schemas["Reason"]["properties"]["code"]["x-known-values"] = {
            name: {code.value: code.meaning for code in CATALOGUES[name]} for name in sorted(said)
        }


def _operation(endpoint: Endpoint, references: References) -> dict[str, Any]:
    summary, _, rest = endpoint.documentation.partition("\n\n")
    operation: dict[str, Any] = {
        "operationId": endpoint.handler.__name__,
        "summary": summary,
        "tags": [endpoint.tag],
        "parameters": _parameters(endpoint),
        "responses": {
            **{str(status): _reply(endpoint, status, references) for status in endpoint.replies},
            **({"304": {"description": "It is what `If-None-Match` says."}} if endpoint.tagged else {}),
            **_problems(endpoint, references),
        },
    }
    if rest:
        operation["description"] = rest
    if endpoint.public:
        operation["security"] = []
    if endpoint.body is not None:
        schema = references[endpoint.body, "validation"]
        content = {"schema": schema, "example": dict(REQUESTS.get(endpoint.body, {}))}
        operation["requestBody"] = {"required": True, "content": {"application/json": content}}
    if endpoint.raw_body is not None:
        operation["requestBody"] = {"required": True, "content": {endpoint.raw_body: {"schema": {}}}}
    return operation


def _parameters(endpoint: Endpoint) -> list[dict[str, Any]]:
    found = [_place(name) for name in endpoint.places]
    schema = endpoint.query.model_json_schema(mode="validation")
    for name, described in schema.get("properties", {}).items():
        described.pop("title", None)
        required = name in schema.get("required", ())
        found.append({"name": name, "in": "query", "required": required, "schema": described})
    found += [_header(header) for header in (*endpoint.headers, *_common_headers(endpoint))]
    return [*found, {"$ref": f"#/components/parameters/{_MESSAGE}"}] if endpoint.changes else found


def _common_headers(endpoint: Endpoint) -> list[Header]:
    """Return the request headers that follow from the rest of the declaration."""
    has = ((KEY, endpoint.creates is not None), (IF_MATCH, endpoint.conditional), (IF_NONE_MATCH, endpoint.tagged))
    return [header for header, there in has if there]


def _place(name: str) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "string", "minLength": 1, "maxLength": _MAX_CHARS.get(name, 64)}
    if name in _IDS:
        schema = {"type": "string", "format": "uuid"}
    elif name == "revision":
        schema = {"type": "integer", "minimum": 1}
    return {
        "name": name,
        "in": "path",
        "required": True,
        "description": _PLACES.get(name, f"Id of the {name.removesuffix('_id')}"),
        "schema": schema,
    }


def _header(header: Header) -> dict[str, Any]:
    return {
        "name": header.name,
        "in": "header",
        "required": header.required,
        "description": header.description,
        "schema": dict(header.schema),
    }


def _reply(endpoint: Endpoint, status: int, references: References) -> dict[str, Any]:
    reply = endpoint.replies[status]
    changeable = reply.model is not None and issubclass(reply.model, Changeable)
    has_tag = endpoint.tagged or (changeable and status in {200, 201})
    headers = (*reply.headers, *([LOCATION, REPLAYED] if endpoint.creates else []), *([ETAG] if has_tag else []))
    answer: dict[str, Any] = {"description": reply.description}
    content: dict[str, Any] = {}
    if reply.model is not None:
        content["application/json"] = {"schema": references[reply.model, "serialization"]}
        if reply.model in ANSWERS:
            content["application/json"]["example"] = dict(ANSWERS[reply.model])
    if reply.media_type is not None:
        content[reply.media_type] = {"schema": {}}
    if content:
        answer["content"] = content
    if headers:
        answer["headers"] = {
            header.name: {"description": header.description, "schema": dict(header.schema)} for header in headers
        }
    return answer


def _problems(endpoint: Endpoint, references: References) -> dict[str, dict[str, Any]]:
    by_status: dict[int, list[type[Problem]]] = defaultdict(list)
    for kind in endpoint.all_problems():
        by_status[kind.status].append(kind)
    return {
        str(status): {
            "description": "\n\n".join(f"`{kind.type}`: {_first(kind)}" for kind in kinds),
            "content": {
                "application/problem+json": {
                    "schema": references[ProblemDocument, "serialization"],
                    **({"example": PROBLEM} if status == PROBLEM["status"] else {}),
                }
            },
        }
        for status, kinds in sorted(by_status.items())
    }


def _first(kind: type[Problem]) -> str:
    return re.sub(r"\s+", " ", (kind.__doc__ or kind.title).strip().partition("\n\n")[0])
