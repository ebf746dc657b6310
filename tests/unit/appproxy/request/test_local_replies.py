"""Every reason of the app-proxy is told as the problem, and with the status, that its catalogue says."""

from __future__ import annotations

import json
from typing import get_args

import pytest

from headrace.appproxy.dataplane.auth.access import Denial
from headrace.appproxy.dataplane.auth.authenticator import denial_problem
from headrace.appproxy.dataplane.balancing.admission import Refusal
from headrace.appproxy.dataplane.http1.heads import FramingError
from headrace.appproxy.dataplane.request.local_replies import (
    error_event,
    failure_problem,
    framing_reply,
    interruption_problem,
    problem_of,
    refusal_problem,
)
from headrace.appproxy.dataplane.upstream.failures import Failure, FailureKind
from headrace.common.contracts.reasons.proxy import ProxyReason


@pytest.mark.parametrize("why", get_args(FailureKind))
def test_a_failed_attempt_has_the_status_of_its_reason(why: FailureKind) -> None:
    problem = failure_problem(Failure(why, "words"))
    assert (problem.status, problem.extra["reason"]) == (why.status, why.value)


@pytest.mark.parametrize("why", get_args(Denial))
def test_a_denial_has_the_status_of_its_reason(why: Denial) -> None:
    problem = denial_problem(why, basic=False)
    assert (problem.status, problem.extra["reason"]) == (why.status, why.value)


@pytest.mark.parametrize("why", [reason for reason in ProxyReason if reason.broken])
def test_an_answer_that_broke_off_is_told_with_the_status_of_its_reason(why: ProxyReason) -> None:
    assert interruption_problem(why).status == why.status
    event = error_event(why, b"id").decode()
    assert json.loads(event.rpartition("data: ")[2])["error"]["code"] == why.value


@pytest.mark.parametrize("why", [reason for reason in ProxyReason if reason.status in (429, 503) and reason.meaning])
def test_what_no_replica_takes_says_when_to_come_back(why: ProxyReason) -> None:
    problem = refusal_problem(Refusal(why, "words", 7))
    assert (problem.status, problem.headers) == (why.status, {"Retry-After": "7"})


def test_bytes_that_are_no_request_are_a_problem_of_the_tree() -> None:
    head, _, content = framing_reply(FramingError(ProxyReason.LINE_TOO_LONG, "words")).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 414 ")
    assert json.loads(content) == {
        "type": "urn:headrace:problem:malformed-request",
        "title": "Malformed request",
        "status": 414,
        "detail": "words",
        "reason": "line-too-long",
    }


def test_a_reason_with_two_statuses_takes_the_one_that_is_meant() -> None:
    assert FramingError(ProxyReason.UNKNOWN_METHOD, "words").status == 501
    assert FramingError(ProxyReason.UNKNOWN_METHOD, "words", other_status=True).status == 405


def test_further_members_stand_beside_the_reason() -> None:
    document = problem_of(ProxyReason.BODY_TOO_LARGE, "words", limit=5).document()
    assert (document["reason"], document["limit"], document["status"]) == ("body-too-large", 5, 413)
