"""The fleet's base URL (`/v1`): the service is named by `model` in the body; and whatever else the body's head decides."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from headrace.appproxy.domain.fields import field
from headrace.appproxy.domain.fleet import error, model_page, models_page, unknown_model
from headrace.appproxy.domain.form_head import FormHead, boundary
from headrace.appproxy.domain.json_head import JsonHead
from headrace.appproxy.domain.rates import estimate_tokens
from headrace.appproxy.traffic.answers import own_answer
from headrace.appproxy.traffic.naming import Naming
from headrace.common.contracts.problems import MethodNotAllowed, NotFound, Unauthenticated

if TYPE_CHECKING:
    from headrace.appproxy.traffic.exchange import Exchange

Head = JsonHead | FormHead
_MODELS = b"/v1/models"


def enter(exchange: Exchange, shown: bytes | None) -> None:
    """Serve a request for the fleet. `shown`: its Authorization. Raises Problem."""
    exchange.fleet = True
    path = exchange.way.target.partition(b"?")[0]
    if path == _MODELS or path.startswith(_MODELS + b"/"):
        _models(exchange, path[len(_MODELS) + 1 :].decode("latin-1"), shown)
        return
    if exchange.body is None:
        raise NotFound(
            "the fleet's base URL serves /v1/models, and requests that name their model in the body", reason="not-found"
        )
    Naming(exchange, exchange.body, lambda found: _named(exchange, found, shown)).begin()


def _models(exchange: Exchange, name: str, shown: bytes | None) -> None:
    parts = exchange.parts
    if exchange.head.method not in (b"GET", b"HEAD"):
        raise MethodNotAllowed("models are listed by GET")
    entries = [serving.entry for serving in parts.servings]
    usable = parts.gate.usable(entries, shown, parts.epoch())
    if not usable and entries and shown is None:
        raise Unauthenticated("no service here is public: Authorization: Bearer <token>", reason="missing-token")
    tables = [entry.table for entry in usable]
    found = model_page(name, tables, parts.servings.index) if name else models_page(tables, parts.servings.index)
    status, content = found if isinstance(found, tuple) else (200, found)
    _own(exchange, status, content)


def _own(exchange: Exchange, status: int, content: dict[str, Any], reason: str = "") -> None:
    """Answer in OpenAI's words."""
    exchange.status, exchange.reason = status, reason
    exchange.own(
        own_answer(
            status, b"application/json", json.dumps(content).encode(), request_id=exchange.request_id,
            closes=exchange.closes, to_head=exchange.head.method == b"HEAD",
        )
    )  # fmt: skip


def _named(exchange: Exchange, found: Naming, shown: bytes | None) -> None:
    parts = exchange.parts
    if found.model is None:
        status = 415 if found.problem == "compressed-body" else 400
        _own(exchange, status, error(found.words, code=found.problem.replace("-", "_")), found.problem)
        return
    service_id = parts.servings.index.find(found.model)
    serving = parts.servings.by_id(service_id) if service_id is not None else None
    if serving is None or (shown is not None and not parts.gate.usable([serving.entry], shown, parts.epoch())):
        # What a caller may not use looks to it as if it were not there; who shows nothing is asked for a token.
        _own(exchange, *unknown_model(found.model), "unknown-model")
        return
    exchange.enter_service(serving, shown)


def read_head(
    exchange: Exchange, wants: frozenset[str], prompt_bytes: int, then: Callable[[Head | None], None]
) -> None:
    """Call `then` with what the body's head says (None without a body), once so much of it is here that it can be told."""
    body, line = exchange.body, exchange.line
    if body is None:
        then(None)
        return
    mark = boundary(field(exchange.head, b"content-type"))
    head: Head = JsonHead(wants, prompt_bytes=prompt_bytes or 1) if mark is None else FormHead(mark)

    def look(content: bytes) -> None:
        if not (head.done or head.feed(content)) and line.whole:
            head.end()
        if head.done:
            exchange.peek = None
            then(head)

    exchange.peek = look
    look(b"".join(body.pieces()))
    if exchange.peek is not None:
        exchange.wait_for_body()


def tokens_of(exchange: Exchange, found: Head | None) -> int:
    """Return how many tokens a request may cost: what is reserved of the caller's limits. Without a body it costs none.

    Only JSON's bytes count: sound and images have far fewer tokens than text has in as many bytes.
    """
    body = exchange.body
    if body is None:
        return 0
    if not isinstance(found, JsonHead) or found.problem == "not-json":
        return estimate_tokens(None, None)
    return estimate_tokens(max(exchange.head.length, body.size), found.max_tokens)
