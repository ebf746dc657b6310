"""Inspection of a body's head before a replica is chosen, and the estimate of its tokens."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from headrace.appproxy.dataplane.headers.rewrite import field
from headrace.appproxy.dataplane.inspect.form_head import FormHead, boundary
from headrace.appproxy.dataplane.inspect.json_head import JsonHead
from headrace.appproxy.dataplane.ratelimit.policy import estimate_tokens
from headrace.appproxy.dataplane.request.exchange import Exchange
from headrace.appproxy.dataplane.request.states import Event
from headrace.common.contracts.reasons.proxy import ModelReason

BodyHead = JsonHead | FormHead
_NOT_JSON: Final = ModelReason.NOT_JSON
"""Looked up once: used by each request with token limits."""


def read_head(
    exchange: Exchange, wants: frozenset[str], prompt_bytes: int, then: Callable[[BodyHead | None], None]
) -> None:
    """Parse the body's head, then call `then` with the result (None without a body)."""
    body, downstream = exchange.body, exchange.downstream
    if body is None:
        then(None)
        return
    mark = boundary(field(exchange.head, b"content-type"))
    head: BodyHead = JsonHead(wants, prompt_bytes=prompt_bytes or 1) if mark is None else FormHead(mark)

    def look(content: bytes) -> None:
        head.feed(content)
        settle()

    def settle() -> None:
        if not head.done and downstream.request_complete:
            head.end()
        if head.done:
            exchange.inspect_body = None
            then(head)

    exchange.inspect_body = look
    for piece in body.pieces():  # a buffered body is large: it is not joined for this
        if head.feed(piece):
            break
    settle()
    if exchange.inspect_body is not None:
        exchange.advance(Event.BODY_WANTED)
        exchange.wait_for_body()


def tokens_of(exchange: Exchange, found: BodyHead | None) -> int:
    """Return the estimated tokens of a request, which are reserved of the caller's limits; 0 without a body.

    Only JSON bytes count: sound and images have far fewer tokens than text has in as many bytes.
    """
    body = exchange.body
    if body is None:
        return 0
    if not isinstance(found, JsonHead) or found.problem is _NOT_JSON:
        return estimate_tokens(None, None)
    return estimate_tokens(max(exchange.head.length, body.size), found.max_tokens)
