"""What is left of a caller's tokens of the day."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from headrace.common.contracts.messages.routes import RateLimits
from headrace.manager.domain.token_budget import TokenBudget, token_budget

NOW = datetime(2026, 11, 30, 23, 59, tzinfo=UTC)
MIDNIGHT = datetime(2026, 12, 1, tzinfo=UTC)
OWN, OF_SERVICE, NONE = RateLimits(tokens_per_day=100), RateLimits(tokens_per_day=1000), RateLimits()


@pytest.mark.parametrize(
    ("own", "of_service", "used", "expected"),
    [
        (OWN, OF_SERVICE, 30, TokenBudget(OWN, 70, MIDNIGHT)),
        (OWN, NONE, 130, TokenBudget(OWN, 0, MIDNIGHT)),
        (NONE, OF_SERVICE, 30, TokenBudget(OF_SERVICE, 970, MIDNIGHT)),
        (RateLimits(in_flight=1), OF_SERVICE, 30, TokenBudget(RateLimits(in_flight=1), None, None)),
        (NONE, NONE, 30, TokenBudget(NONE, None, None)),
    ],
)
def test_own_limits_replace_those_of_the_service(
    own: RateLimits, of_service: RateLimits, used: int, expected: TokenBudget
) -> None:
    assert token_budget(own, of_service, used, NOW) == expected
