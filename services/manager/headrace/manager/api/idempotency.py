"""The Idempotency-Key header: a creation that is repeated with the same one gets the first answer again."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final
from urllib.parse import quote

from aiohttp import web

from headrace.common.contracts.problems import AnswerNotKept, InvalidRequest, Problem
from headrace.common.contracts.wording import cut
from headrace.manager.api.routing import Call, Endpoint, Header
from headrace.manager.domain.idempotency import MAX_KEY_CHARS, IdempotencyKey, KeptAnswer

KEY: Final = Header(
    "Idempotency-Key",
    "The request is carried out once, however often it is repeated with the same key within 24 hours: then its answer is given "
    "again. The answer has no secret: 409 `answer-not-kept` instead",
    schema={"type": "string", "minLength": 1, "maxLength": MAX_KEY_CHARS, "pattern": "^[!-~]+$"},
)
LOCATION: Final = Header("Location", "Path of what was created")
REPLAYED: Final = Header("Idempotency-Replayed", "`true`, if an earlier request with this key was answered so")
_KEY = re.compile(rf"[\x21-\x7e]{{1,{MAX_KEY_CHARS}}}")
_FIELD = re.compile(r"\{([a-z_]+)\}")


async def created(endpoint: Endpoint, call: Call) -> web.StreamResponse:
    """Answer a creation: carry it out, unless a request with its key was; `Location` says where the thing is."""
    key = await _key(call)
    if key is None:
        return _located(endpoint, call, await endpoint.handler(call))
    call = replace(call, actor=replace(call.actor, idempotency=key))
    if (kept := await call.use.idempotency.answered(call.actor)) is not None:
        return _again(endpoint, call, kept)
    try:
        return _located(endpoint, call, await endpoint.handler(call))
    except Problem:  # perhaps because of what another request with this key did meanwhile
        if (kept := await call.use.idempotency.answered(call.actor)) is None:
            raise
    return _again(endpoint, call, kept)


async def _key(call: Call) -> IdempotencyKey | None:
    request = call.request
    given = request.headers.getall(KEY.name, [])
    if not given:
        return None
    if len(given) > 1:
        raise InvalidRequest.of(KEY.name, "given twice", "once")
    if not _KEY.fullmatch(given[0]):
        allowed = f"1 to {MAX_KEY_CHARS} printable ASCII characters without spaces, for example a UUID"
        raise InvalidRequest.of(KEY.name, cut(given[0], MAX_KEY_CHARS) or "nothing", allowed)
    body = (await request.read()).decode()  # JSON, as was checked
    return call.use.idempotency.key(given[0], f"{request.method} {request.path_qs}\n{body}")


def _again(endpoint: Endpoint, call: Call, kept: KeptAnswer) -> web.Response:
    answer = json.loads(kept.answer)
    location = _location(endpoint, call, answer)
    if not kept.whole:
        raise AnswerNotKept(
            f"the request with this Idempotency-Key was carried out, and made {location}; its answer is not kept, because it "
            "has a secret that is shown once, or is large",
            location=location,
        )
    headers = {"Location": location, REPLAYED.name: "true"}
    if tag := answer.get("etag"):
        headers["ETag"] = f'"{tag}"'
    return web.Response(status=201, text=kept.answer, content_type="application/json", headers=headers)


def _located(endpoint: Endpoint, call: Call, response: web.StreamResponse) -> web.StreamResponse:
    if response.status == 201 and isinstance(response, web.Response) and response.text is not None:
        response.headers["Location"] = _location(endpoint, call, json.loads(response.text))
    return response


def _location(endpoint: Endpoint, call: Call, answer: Mapping[str, Any]) -> str:
    """Return the path of the created thing: variables are the request's own, or fields of the answer."""
    own = call.request.match_info
    return _FIELD.sub(lambda found: quote(own.get(found[1]) or str(answer[found[1]]), safe=""), endpoint.creates or "")
