"""What is left of a caller's tokens of day and minute."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from headrace.common.contracts.messages.routes import RateLimits
from headrace.manager.domain.token_budget import TokenBudget, token_budget

NOW = datetime(2026, 11, 30, 23, 59, tzinfo=UTC)
MIDNIGHT = datetime(2026, 12, 1, tzinfo=UTC)
OWN, OF_SERVICE, NONE = RateLimits(tokens_per_day=100), RateLimits(tokens_per_day=1000), RateLimits()
A_MINUTE = RateLimits(tokens_per_minute=600)


@pytest.mark.parametrize(
    ("own", "of_service", "used", "expected"),
    [
        (OWN, OF_SERVICE, 30, TokenBudget(OWN, 70, MIDNIGHT)),
        (OWN, NONE, 130, TokenBudget(OWN, 0, MIDNIGHT)),
        (NONE, OF_SERVICE, 30, TokenBudget(OF_SERVICE, 970, MIDNIGHT)),
        (RateLimits(in_flight=1), OF_SERVICE, 30, TokenBudget(RateLimits(in_flight=1))),
        (NONE, NONE, 30, TokenBudget(NONE)),
    ],
)
def test_own_limits_replace_those_of_the_service(
    own: RateLimits, of_service: RateLimits, used: int, expected: TokenBudget
) -> None:
    assert token_budget(own, of_service, used_today=used, minute_tokens=9, minute_at=NOW, now=NOW) == expected


@pytest.mark.parametrize(
    ("used", "seconds_ago", "left", "whole_in_s"),
    [
        (0, 0, 600, None),
        (450, 0, 150, 45),
        (450, 15, 300, 30),
        (450, 45, 600, None),
        (450, 3600, 600, None),
        (1500, 0, 0, 150),  # in debt
        (1500, 90, 0, 60),
        (1500, 100, 100, 50),
        (0.5, 0, 599, 0.05),
    ],
)
def test_tokens_of_the_minute_refill_evenly(
    used: float, seconds_ago: float, left: int, whole_in_s: float | None
) -> None:
    at = NOW - timedelta(seconds=seconds_ago)
    found = token_budget(A_MINUTE, NONE, used_today=0, minute_tokens=used, minute_at=at, now=NOW)
    whole_at = None if whole_in_s is None else NOW + timedelta(seconds=whole_in_s)
    assert found == TokenBudget(A_MINUTE, None, None, left, whole_at)


def test_a_caller_that_never_called_has_all_of_its_minute() -> None:
    found = token_budget(A_MINUTE, NONE, used_today=0, minute_tokens=0, minute_at=None, now=NOW)
    assert found == TokenBudget(A_MINUTE, None, None, 600, None)
