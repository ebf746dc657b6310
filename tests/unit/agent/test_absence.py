"""When an agent reads its plan before it reports, and what it says of what the plan lacks."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from headrace.agent.domain.absence import Absence
from headrace.agent.domain.kernels import unplanned
from headrace.common.contracts.ids import KernelId, SessionId, new_uuid
from headrace.common.contracts.messages.reports import KernelReport
from headrace.common.contracts.reasons import Reason
from headrace.common.contracts.vocabulary import KernelState


def test_it_has_missed_plans_at_the_start_until_it_caught_up() -> None:
    absence = Absence(4)
    assert absence.returned(100, 0)
    assert absence.returned(101, 1)
    absence.caught_up()
    assert not absence.returned(102, 2)


def test_a_lost_connection_is_an_absence() -> None:
    absence = Absence(4)
    absence.caught_up()
    absence.away()
    assert absence.returned(100, 0)


@pytest.mark.parametrize(
    ("calendar", "clock", "suspended"), [(4, 4, False), (4.5, 1, True), (-3600, 4.5, True), (-60, 1, False)]
)
def test_a_gap_by_either_clock_is_an_absence(calendar: float, clock: float, *, suspended: bool) -> None:
    absence = Absence(4)
    absence.returned(100, 0)
    absence.caught_up()
    assert absence.returned(100 + calendar, clock) == suspended
    absence.caught_up()
    assert not absence.returned(101 + calendar, clock + 1)


@pytest.mark.parametrize("state", ["running", "exited", "preparing"])
def test_what_the_plan_lacks_is_never_said_to_serve(state: KernelState) -> None:
    report = KernelReport(
        kernel_id=KernelId(new_uuid()),
        session_id=SessionId(new_uuid()),
        service_id=None,
        state=state,
        health="healthy",
        reason=Reason(code="healthy", text="it answers"),
        host="10.0.0.1",
        port=20_000,
        created_at=datetime(2026, 1, 1, tzinfo=UTC),
    )
    told = unplanned(report)
    if state == "running":
        assert (told.health, told.host, told.port, told.reason.code) == ("unhealthy", None, None, "stopping")
    else:
        assert told == report
