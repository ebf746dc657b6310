"""A service's status, phase and reason: never healthy while nobody answers, and always with words."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, get_args
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.common.contracts.ids import ProjectId, ProxyId, RevisionId, ServiceId, UserId
from headrace.common.contracts.reasons import MAX_TEXT
from headrace.common.contracts.revision import RevisionSpec
from headrace.common.contracts.vocabulary import SERVICE_PHASES, SERVICE_STATUSES, ServicePhase, ServiceStatus
from headrace.manager.domain.lifecycle.replica_failures import RAN_WELL
from headrace.manager.domain.lifecycle.replica_state import MAX_FAILED_STARTS
from headrace.manager.domain.lifecycle.status import Reachability, StatusOfService, service_status, status_of
from headrace.manager.domain.records.services import Service, ServiceFacts
from headrace.manager.domain.variants.inputs import Inputs
from headrace.manager.domain.variants.resolve import resolve

NOW = datetime(2026, 1, 1, tzinfo=UTC)
NEW, OLD = RevisionId(UUID(int=2)), RevisionId(UUID(int=1))


@dataclass(frozen=True)
class One:
    """A replica that serves, but for what a test says."""

    status: str = "running"
    health: str = "healthy"
    kernel_state: str | None = "running"
    revision_id: RevisionId = NEW
    revision: int = 2
    reason_code: str = "it-said"
    reason_text: str = "what the machine says"


LOADING = One(health="degraded", reason_text="loading the model")
ILL = One(health="unhealthy", reason_text="GET /health answered 500")
WAITS = One(
    status="pending", health="degraded", kernel_state=None, reason_code="no-machines", reason_text="no machine is alive"
)


def service(wanted: int = 1, **facts: object) -> Service:
    plain = Service(
        id=ServiceId(UUID(int=9)),
        project_id=ProjectId(UUID(int=8)),
        name="s",
        description="",
        wanted=wanted,
        goal="running",
        open_to_public=False,
        resource_group="default",
        revision_id=NEW,
        metadata={},
        tags=(),
        drain_grace_s=30,
        endpoint_port=None,
        balance={},
        limits={},
        caller_limits={},
        models=(),
        cors={},
        rollout={},
        served_revision_id=None,
        ends=0,
        next_restart_at=None,
        last_end_at=None,
        problem=None,
        failed_starts=0,
        next_start_at=None,
        rev=1,
        created_by=UserId(UUID(int=7)),
        created_at=NOW,
        updated_at=NOW,
    )
    return replace(plain, **facts)  # type: ignore[arg-type]  # test facts


def status(want: Service, *have: One, error: str = "", served: int | None = None) -> StatusOfService:
    return service_status(want, have, NOW, last_error=error, revision=2, served=served)  # type: ignore[arg-type]  # plain strings for literals


def short(found: StatusOfService) -> tuple[str, str, str]:
    return found.status, found.phase, found.reason.code


def test_every_status_and_phase_has_a_meaning_for_the_docs() -> None:
    assert tuple(SERVICE_STATUSES) == get_args(ServiceStatus)
    assert tuple(SERVICE_PHASES) == get_args(ServicePhase)


def test_healthy_when_as_many_as_wanted_serve() -> None:
    found = status(service(2), One(), One())
    assert (*short(found), found.healthy_replicas) == ("healthy", "deployed", "all-healthy", 2)


def test_degraded_when_some_serve() -> None:
    found = status(service(2), One(), ILL)
    assert short(found) == ("degraded", "deploying", "it-said")
    assert found.reason.text == "1 of 2 replicas healthy; GET /health answered 500"


@pytest.mark.parametrize(
    "replica",
    [
        LOADING,
        ILL,
        WAITS,
        One(kernel_state="exited"),
        One(kernel_state="failed"),
        One(kernel_state="preparing"),
        One(status="draining"),
        One(status="stopping"),
        One(status="placed"),
    ],
)
def test_unhealthy_when_no_replica_can_serve(replica: One) -> None:
    """Also with health from before the container ended, and with a degraded one (seen elsewhere: DEGRADED hid that no one serves)."""
    found = status(service(1), replica)
    assert (found.status, found.phase, found.healthy_replicas) == ("unhealthy", "deploying", 0)


def test_no_replicas_at_all_is_unhealthy_even_when_none_are_wanted() -> None:
    assert short(status(service(1))) == ("unhealthy", "deploying", "starting")
    assert short(status(service(0))) == ("unhealthy", "deployed", "scaled-to-zero")


def test_more_wanted_does_not_make_it_unhealthy() -> None:
    """Seen elsewhere: adding three replicas marked all as not ready."""
    assert short(status(service(4), One(), WAITS, LOADING)) == ("degraded", "deploying", "no-machines")


def test_while_it_waits_for_a_machine_the_reason_is_the_schedulers() -> None:
    assert status(service(1), WAITS).reason.text == "0 of 1 replicas healthy; no machine is alive"


def test_during_an_update_old_ones_that_serve_keep_it_healthy() -> None:
    found = status(service(2), One(revision_id=OLD), One(revision_id=OLD), LOADING)
    assert short(found) == ("healthy", "deploying", "it-said")
    assert found.reason.text.endswith("loading the model")


def test_failed_starts_say_when_the_next_is_and_what_went_wrong() -> None:
    trying = service(1, failed_starts=2, next_start_at=NOW + timedelta(seconds=2))
    found = status(trying, error="exit code 1")
    assert short(found) == ("unhealthy", "deploying", "start-failed-retrying")
    assert found.reason.text == "0 of 1 replicas healthy; start 2 of 5 failed, the next is in 2 s: exit code 1"


def test_while_the_next_start_is_under_way_the_failed_one_is_still_explained() -> None:
    trying = service(1, failed_starts=2)
    assert status(trying, LOADING, error="exit code 1").reason.text == (
        "0 of 1 replicas healthy; loading the model; start 2 of 5 failed: exit code 1"
    )
    assert status(trying, error="exit code 1").reason.text == (
        "0 of 1 replicas healthy; replicas are about to be started; start 2 of 5 failed: exit code 1"
    )


def test_after_five_it_failed_until_somebody_retries() -> None:
    found = status(service(1, failed_starts=MAX_FAILED_STARTS), error="exit code 1")
    assert short(found) == ("unhealthy", "failed", "start-failed")
    assert found.reason.text.endswith("so no more are tried until you retry: exit code 1")


def test_a_failed_update_does_not_hide_that_the_old_ones_serve() -> None:
    found = status(service(1, failed_starts=MAX_FAILED_STARTS), One(revision_id=OLD), served=1, error="exit code 1")
    assert short(found) == ("healthy", "failed", "rollout-failed")
    assert found.reason.text == (
        "1 of 1 replicas healthy; the rollout of revision 2 failed, revision 1 is the one that serves; 5 starts in a row"
        " failed, so no more are tried until you retry: exit code 1"
    )


def test_ends_in_operation_are_said_until_all_runs_well() -> None:
    ended = service(1, ends=3, last_end_at=NOW - timedelta(seconds=7))
    found = status(ended, One())
    assert short(found) == ("healthy", "deployed", "restarted-lately")
    assert (
        found.reason.text == "1 of 1 replicas healthy; replicas ended in operation 3 times in a row, the last 7 s ago"
    )
    waiting = status(replace(ended, next_restart_at=NOW + timedelta(seconds=4)))
    assert short(waiting) == ("unhealthy", "deploying", "ended-restarting")
    assert waiting.reason.text.endswith("7 s ago; the next start is in 4 s")
    assert short(status(replace(ended, last_end_at=NOW - RAN_WELL), One())) == ("healthy", "deployed", "all-healthy")


def test_a_rollout_without_room_says_whether_one_of_the_services_own_replicas_is_given_up() -> None:
    assert status(service(1), One(revision_id=OLD), WAITS).reason.text.endswith("that one is given up")
    forbidden = service(1, rollout={"max_unavailable": 0})
    assert "rollout.max_unavailable is 0" in status(forbidden, One(revision_id=OLD), WAITS).reason.text
    blue_green = service(1, rollout={"strategy": "blue-green"})
    assert "a blue-green rollout gives none up" in status(blue_green, One(revision_id=OLD), WAITS).reason.text
    assert "given up" not in status(service(2), One(), WAITS).reason.text


@pytest.mark.parametrize(
    ("goal", "have", "expected"),
    [
        ("stopped", (), ("unhealthy", "stopped", "stopped")),
        ("stopped", (One(status="draining"),), ("unhealthy", "stopping", "stopping")),
        ("deleting", (One(status="stopping"),), ("unhealthy", "stopping", "deleting")),
        ("deleting", (), ("unhealthy", "stopping", "deleting")),
    ],
)
def test_on_the_way_out(goal: str, have: tuple[One, ...], expected: tuple[str, str, str]) -> None:
    assert short(status(service(2, goal=goal), *have)) == expected


def test_long_words_are_cut() -> None:
    assert len(status(service(1), replace(LOADING, reason_text="x" * 9000)).reason.text) == MAX_TEXT


@given(
    have=st.lists(
        st.builds(
            One,
            status=st.sampled_from(["pending", "placed", "running", "draining", "stopping"]),
            health=st.sampled_from(["degraded", "healthy", "unhealthy"]),
            kernel_state=st.sampled_from([None, "preparing", "running", "exited", "failed"]),
            revision_id=st.sampled_from([OLD, NEW]),
        ),
        max_size=6,
    ),
    wanted=st.integers(0, 5),
    goal=st.sampled_from(["running", "stopped", "deleting"]),
    failed=st.integers(0, 6),
)
def test_it_is_healthy_only_while_somebody_answers_and_always_says_why(
    have: list[One], wanted: int, goal: str, failed: int
) -> None:
    found = status(service(wanted, goal=goal, failed_starts=failed), *have)
    answering = [r for r in have if (r.status, r.health, r.kernel_state) == ("running", "healthy", "running")]
    assert found.healthy_replicas == len(answering)
    assert (found.status == "unhealthy") == (not answering)
    if goal == "running":
        assert (found.status == "healthy") == (len(answering) >= max(1, wanted))
        current = sum(r.revision_id == NEW for r in answering)
        assert (found.phase == "deployed") == (current >= wanted)
    else:
        assert found.phase in ("stopping", "stopped")
    assert found.reason.code
    assert found.reason.text


def test_a_service_that_its_loop_cannot_handle_says_so_whatever_its_replicas_do() -> None:
    for have in ([], [One()], [ILL]):
        plain, found = status(service(), *have), status(service(problem="KeyError: 'x'"), *have)
        assert found.status == plain.status
        assert found.phase == plain.phase
        assert found.reason.code == "not-handled"
        assert found.reason.text == f"its replicas are not looked after: KeyError: 'x'; {plain.reason.text}"


PROXY = ProxyId("proxy-1")
REACHED = Reachability(presence="heard", generations={PROXY: 7}, unopened={})


def reached(reach: Reachability = REACHED, *have: One, want: Service | None = None, **facts: Any) -> tuple[str, str]:
    """Status and code of a service with such replicas (one that serves, but for `have`), whose newest route table is number 7."""
    resolved = resolve(RevisionSpec(runtime="cmd"), Inputs("chat")).spec
    joined = ServiceFacts(
        want or service(),
        project="p",
        creator="somebody",
        revision=2,
        resolved=resolved,
        published=7,
        published_at=NOW - timedelta(minutes=1),
    )
    replicas = have or (One(),)
    found = status_of(replace(joined, **facts), replicas, reach, NOW)  # type: ignore[arg-type]  # plain strings for literals
    return found.status, found.reason.code


def test_replicas_that_serve_make_a_service_healthy_only_as_far_as_callers_reach_them() -> None:
    assert reached() == ("healthy", "all-healthy")
    assert reached(replace(REACHED, presence="away")) == ("unhealthy", "app-proxy-away")
    assert reached(replace(REACHED, presence="bus-away")) == ("degraded", "bus-away")
    assert reached(replace(REACHED, generations={PROXY: 6})) == ("degraded", "app-proxy-behind")
    assert reached(routes_problem="no such model") == ("degraded", "route-table-not-built")
    assert reached(rules_problem="no such metric") == ("degraded", "rule-table-not-built")
    assert reached(REACHED, ILL, rules_problem="no such metric") == ("unhealthy", "rule-table-not-built")


def test_of_an_own_port_that_is_not_open_only_the_service_whose_it_is_speaks() -> None:
    closed = replace(REACHED, unopened={PROXY: "address in use"})
    assert reached(closed, want=service(endpoint_port=9000)) == ("degraded", "endpoint-port-failed")
    assert reached(closed) == ("healthy", "all-healthy")


def test_a_stopped_service_says_nothing_of_what_is_between_it_and_callers() -> None:
    away = replace(REACHED, presence="away", unopened={PROXY: "address in use"})
    gone = reached(away, want=service(goal="stopped", endpoint_port=9000), routes_problem="no such model")
    assert gone == ("healthy", "stopping")
