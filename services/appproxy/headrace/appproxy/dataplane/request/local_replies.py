"""Local replies, as bytes: `application/problem+json` with a `reason`, or OpenAI's error shape on the fleet's base URL."""

from __future__ import annotations

import json
from http import HTTPStatus
from typing import Any, cast

import structlog

from headrace.appproxy.dataplane.auth.access import DENIALS, Denial
from headrace.appproxy.dataplane.auth.authenticator import denial_problem
from headrace.appproxy.dataplane.balancing.admission import Refusal
from headrace.appproxy.dataplane.http1.heads import FramingError
from headrace.appproxy.dataplane.upstream.failures import Failure
from headrace.common.contracts.problems import (
    InvalidRequest,
    Problem,
    TooManyRequests,
    Unavailable,
    UpstreamFailed,
    UpstreamTimeout,
)

log = structlog.get_logger(__name__)


def refusal_problem(denial_problem: Refusal) -> Problem:
    """Return the problem for a request that no replica takes now."""
    if denial_problem.status == 429:
        return TooManyRequests(
            denial_problem.text, retry_after_s=denial_problem.retry_after_s, reason=denial_problem.code
        )
    if denial_problem.status == 502:
        return UpstreamFailed(denial_problem.text, reason=denial_problem.code)
    problem = Unavailable(denial_problem.text, reason=denial_problem.code)
    problem.headers = {"Retry-After": str(denial_problem.retry_after_s)}
    return problem


def failure_problem(failure: Failure) -> Problem:
    """Return the problem for a request that a replica did not answer: 504 where it was too slow, else 502."""
    if failure.kind in ("connect-timeout", "first-byte-timeout"):
        return UpstreamTimeout(failure.text, reason=failure.kind)
    return UpstreamFailed(failure.text, reason=failure.kind)


def interruption_problem(why: str) -> Problem:
    """Return what the caller is told of an answer that ended for the reason `why`."""
    if why in DENIALS:  # of a caller who was let in before
        return denial_problem(cast("Denial", why), basic=False)
    match why:
        case "idle-timeout":
            return UpstreamTimeout("the replica sent nothing for too long", reason=why)
        case "caller-stalled":
            return UpstreamFailed("the caller did not take the answer", reason=why)
        case "shutting-down":
            return Unavailable("this app-proxy is stopping", reason=why)
        case "replica-stopped":
            return Unavailable("the replica was stopped before the answer was whole", reason=why)
        case "internal-error":
            return internal_error()
        case _:
            return UpstreamFailed("the replica's answer broke off", reason=why)


def as_problem(error: Exception) -> Problem:
    """Return the Problem that a caller is shown for `error`. Unknown errors are logged and shown without detail."""
    if isinstance(error, Problem):
        return error
    log.error("request_failed", exc_info=error)
    return internal_error()


def internal_error() -> Problem:
    """Return the Problem for a mistake of the proxy's own, which stands in the log."""
    return Problem("an internal error happened; the request id finds it in the log")


def problem_reply(
    problem: Problem, *, request_id: bytes, closes: bool, extra: bytes = b"", fleet: bool = False, to_head: bool = False
) -> bytes:
    """Return the whole answer for `problem`. `extra`: further fields with their CRLF; `fleet`: in OpenAI's shape."""
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
    """Return an answer of the proxy itself."""
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
    """Return an answer of the proxy itself that has `fields` and no content (204, which has no length: RFC 9110 section 8.6)."""
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
    """Return the problem for a body that is not framed as its head says."""
    problem = InvalidRequest(error.detail)
    problem.extra["reason"] = error.code
    return problem


def framing_reply(error: FramingError) -> bytes:
    """Return the answer to bytes that are no request. The connection must end after it."""
    document = {
        "type": "urn:headrace:problem:malformed-request",
        "title": "Malformed request",
        "status": error.status,
        "detail": error.detail,
        "reason": error.code,
    }
    content = json.dumps(document).encode()
    return local_reply(error.status, b"application/problem+json", content, request_id=b"", closes=True)


def error_event(why: str, request_id: bytes) -> bytes:
    """Return what is put into an event stream that cannot be finished: OpenAI clients raise an `error` member."""
    problem = interruption_problem(why)
    error = {
        "message": problem.detail,
        "type": problem.type,
        "param": None,
        "code": why,
        "request_id": request_id.decode(),
    }
    # The blank line first ends whatever the replica left unfinished; where it had finished, it means nothing.
    return b"\n\nevent: error\ndata: " + json.dumps({"error": error}).encode() + b"\n\n"


def _phrase(status: int) -> bytes:
    try:
        return HTTPStatus(status).phrase.encode()
    except ValueError:
        return b""
