"""Local replies, as bytes: `application/problem+json` with a `reason`, or OpenAI's error shape on the fleet's base URL."""

from __future__ import annotations

import json
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final

import structlog

from headrace.appproxy.dataplane.auth.access import is_denial
from headrace.appproxy.dataplane.auth.authenticator import denial_problem
from headrace.appproxy.dataplane.balancing.admission import Refusal
from headrace.appproxy.dataplane.http1.heads import FramingError
from headrace.appproxy.dataplane.upstream.failures import Failure
from headrace.common.contracts.problems import (
    Forbidden,
    InvalidRequest,
    MalformedRequest,
    MethodNotAllowed,
    NotFound,
    Problem,
    RequestTimeout,
    TooLarge,
    TooManyRequests,
    Unavailable,
    UpstreamFailed,
    UpstreamTimeout,
)
from headrace.common.contracts.reasons.proxy import ProxyReason

log = structlog.get_logger(__name__)


_PROBLEMS: Final[Mapping[int, type[Problem]]] = {
    kind.status: kind
    for kind in (
        Forbidden,
        NotFound,
        MethodNotAllowed,
        RequestTimeout,
        TooLarge,
        UpstreamFailed,
        Unavailable,
        UpstreamTimeout,
    )
}
_INTERRUPTED: Final[Mapping[ProxyReason, str]] = {
    ProxyReason.IDLE_TIMEOUT: "the replica sent nothing for too long",
    ProxyReason.REPLICA_UNREACHABLE: "the replica's machine acknowledges nothing any more",
    ProxyReason.CALLER_STALLED: "the caller did not take the answer",
    ProxyReason.SHUTTING_DOWN: "this app-proxy is stopping",
    ProxyReason.REPLICA_STOPPED: "the replica was stopped before the answer was whole",
}


def problem_of(reason: ProxyReason, text: str, *, retry_after_s: int | None = None, **extra: Any) -> Problem:
    """Return the problem for `reason`, with the type of its status."""
    if reason.status == TooManyRequests.status:
        return TooManyRequests(text, retry_after_s=retry_after_s or 1, reason=reason, **extra)
    problem = _PROBLEMS[reason.status](text, reason=reason, **extra)
    if retry_after_s is not None:
        problem.headers = {"Retry-After": str(retry_after_s)}
    return problem


def refusal_problem(refusal: Refusal) -> Problem:
    """Return the problem for a request that no replica takes now."""
    after_s = None if refusal.code is ProxyReason.NO_OTHER_REPLICA else refusal.retry_after_s
    return problem_of(refusal.code, refusal.text, retry_after_s=after_s)


def failure_problem(failure: Failure) -> Problem:
    """Return the problem for a request without a response from its replica: 504 for a time-out, else 502."""
    return problem_of(failure.kind, failure.text)


def interruption_problem(why: ProxyReason) -> Problem:
    """Return the problem for a response that was interrupted for the reason `why`."""
    if is_denial(why):  # of a caller that was authorised before
        return denial_problem(why, basic=False)
    if why is ProxyReason.INTERNAL_ERROR:
        return internal_error()
    return problem_of(why, _INTERRUPTED.get(why, "the replica's answer broke off"))


def as_problem(error: Exception) -> Problem:
    """Return the Problem to send for `error`. Unknown errors are logged and sent without detail."""
    if isinstance(error, Problem):
        return error
    log.error("request_failed", exc_info=error)
    return internal_error()


def internal_error() -> Problem:
    """Return the Problem for a bug of the proxy, whose details are in the log only."""
    return Problem("an internal error happened; the request id finds it in the log", reason=ProxyReason.INTERNAL_ERROR)


def problem_reply(
    problem: Problem, *, request_id: bytes, closes: bool, extra: bytes = b"", fleet: bool = False, to_head: bool = False
) -> bytes:
    """Return the complete response for `problem`. `extra`: further fields with their CRLF; `fleet`: in OpenAI's error
    shape.
    """
    document: dict[str, Any] = problem.document() | {"request_id": request_id.decode()}
    kind = b"application/problem+json"
    if fleet:
        reason = problem.extra.get("reason", problem.type)
        error = {"message": problem.detail, "type": problem.type, "param": problem.extra.get("param"), "code": reason}
        document, kind = {"error": error, "request_id": request_id.decode()}, b"application/json"
    fields = "".join(f"{name}: {value}\r\n" for name, value in problem.headers.items()).encode("latin-1")
    return local_reply(
        problem.status,
        kind,
        json.dumps(document, default=str).encode(),
        request_id=request_id,
        closes=closes,
        extra=fields + extra,
        to_head=to_head,
    )


def local_reply(
    status: int,
    kind: bytes,
    content: bytes,
    *,
    request_id: bytes,
    closes: bool,
    extra: bytes = b"",
    to_head: bool = False,
) -> bytes:
    """Return a complete response of the proxy itself."""
    return b"".join(
        (
            b"HTTP/1.1 %d %b\r\n" % (status, _phrase(status)),
            b"Content-Type: %b\r\nContent-Length: %d\r\n" % (kind, len(content)),
            b"Cache-Control: no-store\r\nServer: headrace\r\n",
            extra,
            b"Connection: close\r\n" if closes else b"",
            b"X-Request-Id: " + request_id + b"\r\n\r\n" if request_id else b"\r\n",
            b"" if to_head else content,
        )
    )


def no_content(fields: bytes, *, request_id: bytes, closes: bool) -> bytes:
    """Return a response of the proxy itself with `fields` and no content (204, which has no length: RFC 9110 section
    8.6).
    """
    return b"".join(
        (
            b"HTTP/1.1 204 No Content\r\nServer: headrace\r\n",
            fields,
            b"Connection: close\r\n" if closes else b"",
            b"X-Request-Id: ",
            request_id,
            b"\r\n\r\n",
        )
    )


def framing_problem(error: FramingError) -> Problem:
    """Return the problem for a body with a framing error."""
    return InvalidRequest(error.detail, reason=error.code)


def framing_reply(error: FramingError) -> bytes:
    """Return the response to a malformed request. The connection must be closed after it."""
    problem = MalformedRequest(error.detail, status=error.status, reason=error.code)
    content = json.dumps(problem.document()).encode()
    return local_reply(problem.status, b"application/problem+json", content, request_id=b"", closes=True)


def error_event(why: ProxyReason, request_id: bytes) -> bytes:
    """Return the event that ends an interrupted event stream: OpenAI clients raise on its `error` member."""
    problem = interruption_problem(why)
    error = {
        "message": problem.detail,
        "type": problem.type,
        "param": None,
        "code": why,
        "request_id": request_id.decode(),
    }
    # The leading blank line ends an event that the replica left unfinished; else it has no effect.
    return b"\n\nevent: error\ndata: " + json.dumps({"error": error}).encode() + b"\n\n"


def _phrase(status: int) -> bytes:
    try:
        return HTTPStatus(status).phrase.encode()
    except ValueError:
        return b""
