"""When a trial run has its verdict."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.common.contracts.reasons import MAX_TEXT_OF_ONE, Reason
from headrace.manager.domain.lifecycle.replicas import ObservedReplica, Retire
from headrace.manager.domain.lifecycle.trial import PREPARATION, WAITING, decide
from tests.unit.manager.replica_simulation import START, ill, loading, pending, seen

NOW = START
CHECK: dict[str, object] = {"health_check": {"path": "/health", "interval": 10, "max_retries": 2, "initial_delay": 100}}


def verdict(
    run: ObservedReplica, *, after: timedelta = timedelta(0), resolved: dict[str, object] | None = None
) -> tuple[str, str] | None:
    leave = decide(run, resolved or {}, NOW + after)
    return (leave.status, leave.reason.code) if leave else None


@pytest.mark.parametrize(
    "run", [pending(), loading(status="placed", kernel_state=None), loading(kernel_state="preparing"), loading()]
)
def test_while_it_waits_and_loads_there_is_no_verdict(run: ObservedReplica) -> None:
    assert verdict(run) is None


@pytest.mark.parametrize(
    "run", [seen(), ill(), seen(kernel_state="exited"), seen(health="degraded")], ids=["now", "ill", "exited", "waking"]
)
def test_it_passed_if_it_was_healthy_once_whatever_came_after(run: ObservedReplica) -> None:
    assert verdict(run) == ("stopping", "validation-passed")


def test_a_lost_machine_does_not_take_back_that_it_passed() -> None:
    assert verdict(seen(lost=True)) == ("ended", "validation-passed")
    assert verdict(seen(lost=True, status="stopping")) == ("ended", "validation-passed")


@pytest.mark.parametrize("how", [{"kernel_state": "exited"}, {"kernel_state": "failed"}, {"health": "unhealthy"}])
def test_it_failed_with_the_words_of_what_went_wrong(how: dict[str, Any]) -> None:
    leave = decide(loading(reason=Reason(code="exited", text="exit code 3: no such model"), **how), {}, NOW)
    assert leave == Retire(
        loading().id, "stopping", Reason(code="validation-failed", text="exit code 3: no such model")
    )


def test_on_a_lost_machine_there_is_nothing_to_wait_for() -> None:
    assert verdict(loading(lost=True)) == ("ended", "agent-lost")
    assert verdict(loading(lost=True, status="stopping")) == ("ended", "it-said")


def test_what_stops_is_waited_for() -> None:
    assert verdict(loading(status="stopping"), after=timedelta(days=1)) is None


def test_it_has_as_long_as_preparation_and_its_health_check_allow() -> None:
    allowed = PREPARATION + timedelta(seconds=100 + 10 * 3)
    run = loading(age_s=0)
    assert verdict(run, after=allowed, resolved=CHECK) is None
    assert verdict(run, after=allowed + timedelta(seconds=1), resolved=CHECK) == ("stopping", "validation-timed-out")
    assert verdict(pending(age_s=0), after=WAITING) is None
    assert verdict(pending(age_s=0), after=WAITING + timedelta(seconds=1)) == ("ended", "validation-timed-out")


def test_long_words_are_cut() -> None:
    run = loading(reason=Reason(code="loading", text="x" * 4000))
    leave = decide(run, {}, NOW + timedelta(days=1))
    assert leave is not None
    assert len(leave.reason.text) == MAX_TEXT_OF_ONE
    assert leave.reason.text.startswith("no verdict after 1800 s: xxx")


@given(
    status=st.sampled_from(["pending", "placed", "running", "stopping"]),
    was_healthy=st.booleans(),
    lost=st.booleans(),
    health=st.sampled_from(["degraded", "healthy", "unhealthy"]),
    state=st.sampled_from([None, "preparing", "running", "exited", "failed"]),
)
def test_every_run_has_a_verdict_in_the_end(
    *, status: str, was_healthy: bool, lost: bool, health: str, state: str | None
) -> None:
    run = seen(status=status, was_healthy=was_healthy, lost=lost, health=health, kernel_state=state)
    leave = decide(run, CHECK, NOW + timedelta(days=1))
    assert (leave is None) == (status == "stopping" and not lost)
    assert leave is None or (leave.reason.code == "validation-passed") == was_healthy
