"""Routes of definition files: checks, and JSON Schemas for editors."""

from __future__ import annotations

import json

from aiohttp import web

from headrace.common.contracts.http.definitions import CheckDefinition, DefinitionCheck
from headrace.common.contracts.problems import NotFound
from headrace.common.contracts.vocabulary import DefinitionKind
from headrace.manager.api.folders import FolderQuery
from headrace.manager.api.routing import Call, Reply, Routes, json_reply
from headrace.manager.domain.definitions.schemas import schema_of

routes = Routes("folders")
_KINDS: dict[str, DefinitionKind] = {
    "model-definition": "model-definition",
    "service-definition": "service-definition",
}


@routes.on(
    "POST",
    "/v1/folders/{folder}/check",
    query=FolderQuery,
    body=CheckDefinition,
    any_key=True,
    replies={200: Reply("What is wrong with it.", DefinitionCheck)},
)
async def check_definition(call: Call) -> web.Response:
    """Check a definition file as it is in the folder, or a text that is not saved: each error with line and column."""
    project = call.query(FolderQuery).project
    found = await call.use.definitions.check(call.actor, call["folder"], project, call.body(CheckDefinition))
    return json_reply(found)


@routes.on(
    "GET",
    "/v1/schemas/{name}",
    public=True,
    replies={200: Reply("JSON Schema, draft 2020-12.", media_type="application/schema+json")},
)
async def definition_schema(call: Call) -> web.Response:
    """Get the JSON Schema of a definition file, for completion in editors: `model-definition` or `service-definition`."""
    kind = _KINDS.get(call["name"])
    if kind is None:
        raise NotFound(f"there is no schema {call['name']}; allowed: {', '.join(_KINDS)}")
    return web.Response(body=json.dumps(schema_of(kind)).encode(), content_type="application/schema+json")
