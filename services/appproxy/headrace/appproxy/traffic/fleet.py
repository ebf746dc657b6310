"""The fleet's base URL (`/v1`): the service is named by `model` in the body; and whatever else the body's head decides."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, unquote

from headrace.appproxy.callers import refusal
from headrace.appproxy.credentials import forwardable, read
from headrace.appproxy.domain.access import Denial
from headrace.appproxy.domain.fields import field
from headrace.appproxy.domain.fleet import ANYBODY, Principal, error, unknown_model
from headrace.appproxy.domain.form_head import FormHead, boundary
from headrace.appproxy.domain.json_head import JsonHead
from headrace.appproxy.domain.rates import estimate_tokens
from headrace.appproxy.traffic.answers import own_answer
from headrace.appproxy.traffic.naming import Naming
from headrace.common.contracts.problems import MethodNotAllowed, NotFound

if TYPE_CHECKING:
    from headrace.appproxy.traffic.exchange import Exchange

Head = JsonHead | FormHead
_MODELS = b"/v1/models"
_REALTIME = b"/v1/realtime"
_MOST_PARAMETERS = 100


def enter(exchange: Exchange, shown: bytes | None) -> None:
    """Serve a request for the fleet. `shown`: its Authorization. Raises Problem.

    Who calls is judged first: what is shown is no token that holds, or nothing while nothing is public, ends it at once.
    """
    exchange.fleet = True
    who = _who(exchange, shown)
    path = exchange.way.target.partition(b"?")[0]
    if path == _MODELS or path.startswith(_MODELS + b"/"):
        _models(exchange, path[len(_MODELS) + 1 :].decode("latin-1"), who)
        return
    if path == _REALTIME and exchange.way.upgrade:
        _realtime(exchange, who)
        return
    if exchange.body is None:
        words = "the fleet's base URL serves /v1/models, requests that name their model in the body, and WebSockets of /v1/realtime?model="
        raise NotFound(words, reason="not-found")
    Naming(exchange, exchange.body, lambda found: _named(exchange, found, who)).begin()


class Who:
    """The caller, and what is wrong with what it showed where that is none of ours."""

    __slots__ = ("denial", "principal", "shown")

    def __init__(self, principal: Principal, shown: bytes | None, denial: Denial | None) -> None:
        self.principal = principal
        self.shown = shown
        self.denial = denial


def _who(exchange: Exchange, shown: bytes | None) -> Who:
    parts = exchange.parts
    servings = parts.servings
    found = parts.gate.principal(servings.tables, servings.index, shown, parts.epoch())
    if isinstance(found, Principal):
        return Who(found, shown, None)
    # Clients of public services send what their libraries insist on; but a token of ours that does not hold is told so.
    if not servings.index.has_public or (found != "missing-token" and forwardable(shown, read(shown)) is None):
        raise refusal(found, basic=False)
    return Who(ANYBODY, shown, found)


def _models(exchange: Exchange, name: str, who: Who) -> None:
    index = exchange.parts.servings.index
    if exchange.head.method not in (b"GET", b"HEAD"):
        raise MethodNotAllowed("models are listed by GET")
    if not name:
        _answer(exchange, 200, index.page(who.principal))
        return
    found = index.model(who.principal, name)
    if found is not None:
        _own(exchange, 200, found)
    else:
        _unknown(exchange, unquote(name), who)


def _unknown(exchange: Exchange, model: str, who: Who) -> None:
    """What a caller may not use looks to it as if it were not there; who shows no token is asked for one."""
    if who.denial is not None:
        exchange.answer(refusal(who.denial, basic=False))
    else:
        _own(exchange, *unknown_model(model), "unknown-model")


def _own(exchange: Exchange, status: int, content: dict[str, Any], reason: str = "") -> None:
    """Answer in OpenAI's words."""
    _answer(exchange, status, json.dumps(content).encode(), reason)


def _answer(exchange: Exchange, status: int, content: bytes, reason: str = "") -> None:
    exchange.status, exchange.reason = status, reason
    exchange.own(
        own_answer(
            status, b"application/json", content, request_id=exchange.request_id, closes=exchange.closes,
            extra=exchange.cors, to_head=exchange.head.method == b"HEAD",
        )
    )  # fmt: skip


def _named(exchange: Exchange, found: Naming, who: Who) -> None:
    if found.model is None:
        status = 415 if found.problem == "compressed-body" else 400
        _own(exchange, status, error(found.words, code=found.problem.replace("-", "_")), found.problem)
        return
    _go(exchange, found.model, who, found)


def _realtime(exchange: Exchange, who: Who) -> None:
    """A WebSocket of OpenAI's realtime API: its model is in the query."""
    query = exchange.way.target.partition(b"?")[2].decode("latin-1")
    models = parse_qs(query).get("model", []) if query.count("&") < _MOST_PARAMETERS else []
    if len(models) == 1:
        _go(exchange, models[0], who)
        return
    why = "repeated-model" if models else "missing-model"
    words = "the address has to name one model: /v1/realtime?model=<model>"
    _own(exchange, 400, error(words, code=why.replace("-", "_")), why)


def _go(exchange: Exchange, model: str, who: Who, found: Naming | None = None) -> None:
    servings = exchange.parts.servings
    service_id = servings.index.find(who.principal, model)
    serving = servings.by_id(service_id) if service_id is not None else None
    if serving is None:
        _unknown(exchange, model, who)
    else:
        if found is not None and model not in serving.table.models:
            exchange.named = found.named()
        exchange.enter_service(serving, who.shown)


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
        head.feed(content)
        settle()

    def settle() -> None:
        if not head.done and line.whole:
            head.end()
        if head.done:
            exchange.peek = None
            then(head)

    exchange.peek = look
    for piece in body.pieces():  # a body that was held is large: it is not put together for this
        if head.feed(piece):
            break
    settle()
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
