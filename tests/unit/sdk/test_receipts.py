"""Waiting for what a rollout cost: until it is complete, or until nobody has more to say."""

from __future__ import annotations

from typing import Any

import pytest

from headrace.sdk import Client, WaitTimeoutError
from tests.support.fakes.manager_api import FakeManagerApi, problem, uid

PATH = "/v1/services/echo/revisions/2/receipt"


def rollout(**changes: Any) -> dict[str, Any]:
    return {
        "revision": 2,
        "replicas": 1,
        "draining": 0,
        "began_at": None,
        "ended_at": None,
        "waiting_for": [],
        "complete": True,
        **changes,
    }


def test_until_it_is_complete(there: FakeManagerApi, client: Client) -> None:
    draining = rollout(draining=1, complete=False)
    there.on("GET", PATH, draining, lambda: problem("unavailable", 503), rollout(complete=False), rollout(started=3))
    seen: list[int] = []
    found = client.services.wait_for_receipt(
        "echo", 2, every_s=0, progress=lambda receipt: seen.append(receipt.draining)
    )
    assert (found.started, found.complete) == (3, True)
    assert seen == [1, 0, 0]


def test_a_silent_app_proxy_is_not_waited_for_longer_than_the_rest(there: FakeManagerApi, client: Client) -> None:
    there.on("GET", PATH, rollout(draining=1, complete=False), rollout(complete=False, waiting_for=["proxy-2"]))
    found = client.services.wait_for_receipt("echo", 2, every_s=0, linger_s=0.01)
    assert (found.complete, found.waiting_for) == (False, ("proxy-2",))


def test_time_is_bounded(there: FakeManagerApi, client: Client) -> None:
    there.on("GET", PATH, rollout(draining=1, complete=False))
    assert client.services.wait_for_receipt("echo", 2, every_s=0, timeout_s=0.01).draining == 1
    there.on("GET", PATH, lambda: problem("unavailable", 503))
    with pytest.raises(WaitTimeoutError):
        client.services.wait_for_receipt("echo", 2, every_s=0, timeout_s=0.01)


def test_weights_and_receipts_are_asked_for_by_name_and_id(there: FakeManagerApi, client: Client) -> None:
    there.on("GET", "/v1/services/echo/receipts", {"items": [], "next": None})
    assert list(client.services.receipts("echo")) == list(client.services.receipts("echo", revision=2)) == []
    assert there.seen[-1][1].endswith("revision=2")
    with pytest.raises(ValueError, match="weight"):
        client.services.set_weight("echo", uid(7), 0.5)  # type: ignore[arg-type]  # what a caller may try
    assert there.bodies == []
