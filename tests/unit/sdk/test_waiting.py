from __future__ import annotations

from typing import Any

import pytest

from headrace.sdk import ApiError, Client, WaitFailedError, WaitTimeoutError
from tests.support.fakes.manager_api import NOW, FakeManagerApi, problem, service_view, uid

PATH = "/v1/services/echo"
HEALTHY = service_view(status="healthy", phase="deployed")
FAILED = service_view(phase="failed", reason={"code": "start-failed", "text": "exited with 1"})
REPLICA = {
    "id": uid(7),
    "kernel_id": uid(8),
    "revision": 1,
    "status": "draining",
    "kernel_state": "running",
    "health": "healthy",
    "reason": {"code": "scaled-in", "text": "0 replicas are wanted"},
    "agent_id": "agent-1",
    "address": None,
    "created_at": NOW,
}


def test_until_healthy_with_progress(there: FakeManagerApi, client: Client) -> None:
    there.on(
        "GET",
        PATH,
        service_view(),
        service_view(status="healthy"),
        service_view(phase="deployed", status="degraded"),
        HEALTHY,
    )
    seen: list[tuple[str, str]] = []
    found = client.services.wait("echo", every_s=0, progress=lambda s: seen.append((s.phase, s.status)))
    assert found is not None
    assert found.status == "healthy"
    assert seen == [
        ("deploying", "unhealthy"),
        ("deploying", "healthy"),
        ("deployed", "degraded"),
        ("deployed", "healthy"),
    ]


def test_watching_yields_each_look(there: FakeManagerApi, client: Client) -> None:
    there.on("GET", PATH, service_view(), HEALTHY)
    assert [s.phase for s in client.services.watch("echo", every_s=0)] == ["deploying", "deployed"]


def test_it_ends_on_failure_with_the_reason(there: FakeManagerApi, client: Client) -> None:
    there.on("GET", PATH, service_view(), FAILED)
    with pytest.raises(WaitFailedError, match="echo is failed: exited with 1") as failed:
        client.services.wait("echo", every_s=0)
    assert failed.value.reason.code == "start-failed"


@pytest.mark.parametrize("last", [service_view(phase="stopped"), FAILED])
def test_what_stopped_does_not_become_healthy(there: FakeManagerApi, client: Client, last: object) -> None:
    there.on("GET", PATH, service_view(phase="stopping"), last)
    with pytest.raises(WaitFailedError):
        client.services.wait("echo", every_s=0)


def test_until_stopped(there: FakeManagerApi, client: Client) -> None:
    there.on("GET", PATH, FAILED, service_view(phase="stopping"), service_view(phase="stopped"))
    found = client.services.wait("echo", "stopped", every_s=0)
    assert found is not None
    assert found.phase == "stopped"


def test_until_gone(there: FakeManagerApi, client: Client) -> None:
    there.on("GET", PATH, service_view(phase="stopping"), lambda: problem("not-found", 404))
    seen: list[str] = []
    assert client.services.wait("echo", "gone", every_s=0, progress=lambda s: seen.append(s.phase)) is None
    assert seen == ["stopping"]


def test_what_does_not_exist_does_not_become_healthy(there: FakeManagerApi, client: Client) -> None:
    with pytest.raises(WaitFailedError, match="does not exist"):
        client.services.wait("echo", every_s=0)


def test_a_server_that_restarts_is_waited_for(there: FakeManagerApi, client: Client) -> None:
    there.on("GET", PATH, lambda: problem("unavailable", 503), lambda: problem("internal-error", 500), HEALTHY)
    assert client.services.wait("echo", every_s=0) is not None


def test_a_refusal_is_not_waited_for(there: FakeManagerApi, client: Client) -> None:
    there.on("GET", PATH, lambda: problem("forbidden", 403))
    with pytest.raises(ApiError):
        client.services.wait("echo", every_s=0)


def test_it_ends_in_time_and_says_how_things_stood(there: FakeManagerApi, client: Client) -> None:
    there.on("GET", PATH, service_view())
    with pytest.raises(WaitTimeoutError, match="echo healthy: not within 0 s; last: it is deploying") as late:
        client.services.wait("echo", timeout_s=0)
    assert late.value.reason is not None
    assert late.value.reason.code == "starting"


def test_a_scale_in_is_waited_for_until_no_more_than_wanted_are_left(there: FakeManagerApi, client: Client) -> None:
    scaled: dict[str, Any] = {"status": "healthy", "phase": "deployed", "replicas": 0}
    none_left = service_view(**{**scaled, "status": "unhealthy", "healthy_replicas": 0})
    there.on(
        "GET",
        PATH,
        service_view(**scaled, replica_list=[REPLICA, REPLICA]),
        service_view(**scaled, replica_list=[REPLICA]),
        none_left,
    )
    seen: list[int] = []
    client.services.wait("echo", every_s=0, progress=lambda s: seen.append(len(s.replica_list)))
    assert seen == [2, 1, 0]
