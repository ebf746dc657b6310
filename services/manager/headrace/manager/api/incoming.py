"""Request validation: query parameters and JSON bodies against their models.

All of it happens before a use case, so that these take models and never text.
"""

from __future__ import annotations

import asyncio
import json
from typing import Any, Final

from aiohttp import web
from pydantic import BaseModel, ValidationError

from headrace.common.contracts import wording
from headrace.common.contracts.message_header import MESSAGE_HEADER, why_no_message
from headrace.common.contracts.problems import InvalidRequest, NotFound, TooLarge, UnsupportedMediaType, row
from headrace.manager.api.routing import Query
from headrace.manager.domain.jsontext import too_much

MAX_BODY_BYTES = 1024 * 1024
BODY: Final = web.RequestKey("body", bytes)
"""Key by which a request has its body, once it was read."""
_BODY_S = 30.0


def check_path(request: web.Request) -> None:
    """Raise NotFound for a path with characters that no name may have."""
    if any("\x00" in value or not _writable(value) for value in request.match_info.values()):
        raise NotFound("the path has characters that no name has; all paths: GET /v1/openapi.json")


def check_encoding(request: web.Request) -> None:
    """Raise UnsupportedMediaType for a compressed body: size limits hold for bytes as they are received."""
    found = request.headers.get("Content-Encoding", "identity").strip().lower()
    if found not in {"", "identity"}:
        allowed = "identity (no compression)"
        raise UnsupportedMediaType(
            f"Content-Encoding: found {found[:80]}; allowed: {allowed}",
            errors=[row("Content-Encoding", found[:80], allowed)],
        )


def read_query(request: web.Request, model: type[Query]) -> Query:
    """Parse the query parameters. Raises InvalidRequest with each field that is wrong."""
    values: dict[str, str] = {}
    for name, value in request.query.items():
        if name in values:
            raise InvalidRequest.of(name, "given twice", "once")
        if "\x00" in value or not _writable(value):
            raise InvalidRequest.of(name, "characters that are not text", "text")
        values[name] = value
    try:
        return model.model_validate(values)
    except ValidationError as error:
        raise _wrong(error, model) from None


def read_message(request: web.Request) -> str:
    """Return why the caller makes this change, as it says. Raises InvalidRequest."""
    values = request.headers.getall(MESSAGE_HEADER, ())
    if len(values) > 1:
        raise InvalidRequest.of(MESSAGE_HEADER, "given twice", "once")
    text = "".join(values).strip()
    if (passed := why_no_message(text)) is not None:
        raise InvalidRequest.of(MESSAGE_HEADER, *passed)
    return text


async def read_body(request: web.Request, model: type[BaseModel]) -> BaseModel:
    """Parse the JSON body. Raises UnsupportedMediaType, TooLarge, InvalidRequest with each field that is wrong."""
    kind = request.content_type
    if "Content-Type" in request.headers and kind != "application/json" and not kind.endswith("+json"):
        raise UnsupportedMediaType(f"the body is {kind}; allowed: application/json")
    try:
        async with asyncio.timeout(_BODY_S):
            raw = await request.read()
    except TimeoutError:
        raise InvalidRequest(f"the body did not arrive within {_BODY_S:g} s") from None
    except web.HTTPRequestEntityTooLarge:
        raise TooLarge(f"the body is too large; allowed: {MAX_BODY_BYTES} bytes", limit=MAX_BODY_BYTES) from None
    request[BODY] = raw
    if (passed := too_much(raw)) is not None:
        raise InvalidRequest.of("(body)", *passed)
    if b"\\u0000" in raw and _has_nul(_parsed(raw)):
        raise InvalidRequest.of("(body)", "a NUL character", "text without NUL")
    try:
        return model.model_validate_json(raw, strict=True)  # JSON has types: "yes" is no truth, "3" no number
    except ValidationError as error:
        raise _wrong(error, model) from None


def _parsed(raw: bytes) -> Any:
    try:
        return json.loads(raw)
    except (ValueError, RecursionError):
        return None  # the model says what is wrong with it


def _has_nul(body: Any) -> bool:
    waiting = [body]  # no recursion: the caller chose how deep it is
    while waiting:
        value = waiting.pop()
        if isinstance(value, str) and "\x00" in value:
            return True
        if isinstance(value, dict):
            waiting += value.keys()
            waiting += value.values()
        elif isinstance(value, list):
            waiting += value
    return False


def _writable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _wrong(error: ValidationError, model: type[BaseModel]) -> InvalidRequest:
    return wording.refusal(wording.rows(error, known=tuple(model.model_fields)))
