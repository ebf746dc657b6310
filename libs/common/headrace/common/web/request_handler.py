"""RequestHandler of aiohttp that answers bytes that it cannot read with a problem, not with a text of its own."""

from __future__ import annotations

from typing import Final

from aiohttp import web
from aiohttp.http_exceptions import LineTooLong

from headrace.common.contracts.problems import InvalidRequest, Problem
from headrace.common.web.problems import problem_response

MAX_LINE_BYTES: Final = 128 * 1024
"""Longest request line: paths of 4096 bytes are allowed, and percent-encoding triples each."""
MAX_FIELD_BYTES: Final = 8190
"""Longest header field, its name included."""


class RequestHandler(web.RequestHandler):
    """RequestHandler whose refusals are problems. What was sent is not in them: it may be a credential."""

    __slots__ = ()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Return the refusal, after which the connection ends."""
        super().handle_error(request, status, exc, message)  # which logs it, and raises where an answer has begun
        response = problem_response(_problem(status, exc))
        response.force_close()
        return response


def _problem(status: int, error: BaseException | None) -> Problem:
    if isinstance(error, LineTooLong):
        allowed = f"header fields of at most {MAX_FIELD_BYTES} bytes, a request line of at most {MAX_LINE_BYTES}"
        return InvalidRequest.of("(head)", "a longer line", allowed)
    if status < web.HTTPInternalServerError.status_code:
        return InvalidRequest.of("(head)", "bytes that are no HTTP/1.1 request", "one as in RFC 9112")
    return Problem("an internal error happened; the log of the server has it")
