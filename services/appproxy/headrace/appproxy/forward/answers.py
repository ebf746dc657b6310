"""Answers that are ours: refusals and failures as `application/problem+json` with a `reason`."""

from __future__ import annotations

from aiohttp import web

from headrace.appproxy.domain.admission import Refusal
from headrace.appproxy.domain.retry import Failure
from headrace.appproxy.record import Record
from headrace.common.contracts.problems import Problem, TooManyRequests, Unavailable, UpstreamFailed, UpstreamTimeout
from headrace.common.web.problems import REQUEST_ID, as_problem, problem_response


def refused(refusal: Refusal) -> Problem:
    """Return the problem for a request that no replica takes now."""
    if refusal.status == 429:
        return TooManyRequests(refusal.text, retry_after_s=refusal.retry_after_s, reason=refusal.code)
    problem = Unavailable(refusal.text, reason=refusal.code)
    problem.headers = {"Retry-After": str(refusal.retry_after_s)}
    return problem


def failed(failure: Failure) -> Problem:
    """Return the problem for a request that a replica did not answer: 504 where it was too slow, else 502."""
    if failure.kind in ("connect-timeout", "first-byte-timeout"):
        return UpstreamTimeout(failure.text, reason=failure.kind)
    return UpstreamFailed(failure.text, reason=failure.kind)


def as_answer(error: Exception, record: Record, *, close: bool) -> web.Response:
    """Return the answer for `error` and note it in `record`. `close`: end the connection afterwards."""
    problem = as_problem(error)
    record.status = problem.status
    record.reason = str(problem.extra.get("reason", problem.type))
    answer = problem_response(problem, request_id=record.request_id)
    answer.headers[REQUEST_ID] = record.request_id
    answer.headers["Cache-Control"] = "no-store"
    answer.headers["Server"] = "headrace"
    if close:
        answer.force_close()
    return answer
