"""Webhooks: signatures, retries and their end."""

from __future__ import annotations

import json
from base64 import b64encode
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.common.contracts.http.webhooks import WebhookEvent
from headrace.common.contracts.ids import EventId, ProjectId
from headrace.manager.domain.records.webhooks import Delivery
from headrace.manager.domain.webhooks import (
    GIVES_UP_AFTER,
    KEPT_FOR,
    LONGEST_RETRY,
    MAX_BODY_BYTES,
    after,
    body_of,
    key_of,
    retry_in,
    signature,
)

NOW = datetime(2026, 11, 30, tzinfo=UTC)


def event(**details: Any) -> Delivery:
    return Delivery(
        1,
        NOW,
        EventId(UUID(int=1)),
        NOW,
        "replica.ended",
        "headrace",
        ProjectId(UUID(int=2)),
        "red",
        None,
        None,
        "",
        details,
        None,
        {"x": 1},
    )


def test_signatures_are_those_of_standard_webhooks() -> None:
    key = key_of("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    found = signature([key], "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}')
    assert found == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=", "their documentation's example"
    both = signature([key, b"k" * 24], "m", 1, b"")
    assert both.split(" ") == [signature([key], "m", 1, b""), signature([b"k" * 24], "m", 1, b"")]


def test_a_secret_is_text_or_base64_of_enough_bytes() -> None:
    assert key_of(f"whsec_{b64encode(b'x' * 24).decode()}\n") == b"x" * 24
    assert key_of("y" * 24) == b"y" * 24
    for wrong in ("short", "whsec_", "whsec_%%%%", f"whsec_{b64encode(b'x' * 23).decode()}"):
        with pytest.raises(ValueError, match="secret") as refused:
            key_of(wrong)
        assert wrong.removeprefix("whsec_") not in str(refused.value) or wrong == "whsec_"


def test_a_body_is_what_the_model_says_and_bounded() -> None:
    body = WebhookEvent.model_validate(json.loads(body_of(event(exit_code=1))))
    assert (body.type, body.data.details, body.data.truncated) == ("replica.ended", {"exit_code": 1}, False)
    large = body_of(event(text="x" * MAX_BODY_BYTES))
    assert len(large) < MAX_BODY_BYTES
    assert WebhookEvent.model_validate(json.loads(large)).data.truncated


@given(st.integers(1, 200))
def test_retries_are_further_apart_each_time_up_to_an_hour(failures: int) -> None:
    assert timedelta(seconds=5) <= retry_in(failures) <= retry_in(failures + 1) <= LONGEST_RETRY


@given(
    status=st.sampled_from([None, 302, 404, 410, 500]),
    waited=st.timedeltas(timedelta(), timedelta(days=5)),
    failing=st.none() | st.timedeltas(timedelta(), timedelta(days=5)),
    failures=st.integers(0, 100),
)
def test_an_event_is_tried_again_until_its_day_is_over_and_a_webhook_until_its_three_days_are(
    status: int | None, waited: timedelta, failing: timedelta | None, failures: int
) -> None:
    facts: dict[str, Any] = {
        "queued_at": NOW - waited,
        "failures": failures,
        "failing_since": None if failing is None else NOW - failing,
        "now": NOW,
    }
    good = after(status=200, error=None, **facts)
    assert (good.done, good.dropped, good.failures, good.failing_since, good.problem) == (True, False, 0, None, None)
    bad = after(status=status, error="answered", **facts)
    assert bad.done == bad.dropped == (waited >= KEPT_FOR)
    assert bad.failures == failures + 1
    assert bad.next_try_at > NOW
    assert (bad.problem is not None) == (status == 410 or (failing is not None and failing >= GIVES_UP_AFTER))
