from __future__ import annotations

from datetime import timedelta
from uuid import UUID

import pytest

from headrace.autoscaler.domain.firing import PendingRequest, RequestOutcome, awaiting_answer, settle_request
from headrace.common.contracts.ids import RuleId
from tests.support.factories.rules import NOW

PENDING = PendingRequest(rule_id=RuleId(UUID(int=1)), at=NOW, from_wanted=1, wanted=2, observed=90.0, text="…")
PATIENCE = timedelta(seconds=10)


@pytest.mark.parametrize(
    ("wanted", "after_s", "settled"),
    [
        (2, 0, RequestOutcome.DONE),
        (2, 100, RequestOutcome.DONE),
        (1, 0, RequestOutcome.OPEN),
        (1, 9.9, RequestOutcome.OPEN),
        (1, 10, RequestOutcome.NOT_DONE),
        (5, 0, RequestOutcome.NOT_DONE),
        (0, 100, RequestOutcome.NOT_DONE),
    ],
)
def test_a_lost_answer_is_settled_by_the_number_that_holds(
    wanted: int, after_s: float, settled: RequestOutcome
) -> None:
    assert settle_request(PENDING, wanted, NOW + timedelta(seconds=after_s), patience=PATIENCE) is settled


def test_waiting_says_for_what() -> None:
    assert awaiting_answer(PENDING, NOW + timedelta(seconds=3)).text.endswith("(1 → 2 replicas, asked 3 s ago)")
