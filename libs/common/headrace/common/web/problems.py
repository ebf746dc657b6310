"""Conversion of errors to `application/problem+json` (RFC 9457), in one place."""

from __future__ import annotations

import errno
import json

import structlog
from aiohttp import web

from headrace.common.contracts.problems import (
    InsufficientStorage,
    InvalidRequest,
    MethodNotAllowed,
    NotFound,
    Problem,
    TooLarge,
    Unavailable,
)
from headrace.common.contracts.reasons.api import ApiReason

log = structlog.get_logger()
REQUEST_ID = "X-Request-Id"


def problem_response(problem: Problem, *, request_id: str = "") -> web.Response:
    """Return the response for `problem`."""
    document = problem.document() | ({"request_id": request_id} if request_id else {})
    return web.Response(
        status=problem.status,
        headers=problem.headers,
        content_type="application/problem+json",
        body=json.dumps(document, default=str).encode(),
    )


def as_problem(error: Exception, path: str = "") -> Problem:
    """Return the Problem to send for `error` on `path`. Unknown errors are logged and sent as internal-error without
    detail.
    """
    known = NotFound(f"there is nothing at {path[:200]}") if isinstance(error, web.HTTPNotFound) else _known(error)
    if known is not None:
        return known
    log.error("request_failed", exc_info=error)
    return Problem("an internal error happened; the request id finds it in the log")


def _known(error: Exception) -> Problem | None:
    if isinstance(error, Problem):
        return error
    if isinstance(error, web.HTTPMethodNotAllowed):
        problem = MethodNotAllowed(
            f"{error.method} is not allowed here; allowed: {', '.join(sorted(error.allowed_methods))}"
        )
        problem.headers = {"Allow": ", ".join(sorted(error.allowed_methods))}
        return problem
    if isinstance(error, web.HTTPRequestEntityTooLarge):
        return TooLarge("the body is too large")
    if isinstance(error, OSError) and error.errno in (errno.EMFILE, errno.ENFILE):
        return Unavailable("too many files and connections are open; try again", reason=ApiReason.TOO_MANY_FILES)
    if isinstance(error, web.HTTPBadRequest | UnicodeDecodeError):
        return InvalidRequest("the request cannot be read")
    return _known_of_database(error)


def _known_of_database(error: Exception) -> Problem | None:
    import asyncpg  # noqa: PLC0415 - services without a database save its 3 MB

    from headrace.common.db.pool import DATABASE_AWAY  # noqa: PLC0415

    if isinstance(error, TimeoutError | asyncpg.QueryCanceledError):
        return Unavailable("it took too long; look before you repeat a change", reason=ApiReason.TIMEOUT)
    if isinstance(error, DATABASE_AWAY):
        return Unavailable(
            "the database cannot be reached; look before you repeat a change", reason=ApiReason.DATABASE_UNREACHABLE
        )
    if isinstance(error, asyncpg.DiskFullError):
        return InsufficientStorage(
            "the database's disk has no room for it; nothing has changed, and it works again once there is room",
            reason=ApiReason.DATABASE_DISK_FULL,
        )
    if isinstance(error, asyncpg.TransactionRollbackError):
        return Unavailable(
            "others changed the same at that moment; nothing has changed", reason=ApiReason.DATABASE_BUSY
        )
    return None
