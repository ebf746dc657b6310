"""`headrace webhook`: what is asked, and what is shown."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.fakes.manager_api import NOW, FakeManagerApi, uid
from tests.support.worlds.cli import Cli

HOOK: dict[str, Any] = {
    "id": uid(1),
    "name": "pager",
    "project_id": uid(2),
    "project": "red",
    "url": "https://hooks.example.com/in",
    "secret": "hook-key",
    "kinds": ["replica.*"],
    "enabled": False,
    "problem": "the receiver answered 410: it is gone for good",
    "state": "disabled",
    "queued": 0,
    "delivered": 7,
    "dropped": 1,
    "failing_since": NOW,
    "next_try_at": None,
    "answers": [
        {
            "at": NOW,
            "event_id": uid(3),
            "action": "replica.ended",
            "status": 410,
            "error": "answered 410",
            "took_ms": 12,
        },
        {"at": NOW, "event_id": uid(4), "action": "replica.ended", "status": 204, "error": None, "took_ms": 9},
    ],
    "created_by": "ada",
    "created_at": NOW,
    "updated_at": NOW,
}
ALL = "/v1/projects/red/webhooks"
ONE = f"{ALL}/pager"


def test_one_is_made_with_what_is_given_only(cli: Cli, there: FakeManagerApi) -> None:
    there.on("POST", ALL, HOOK, status=201)
    ran = cli(
        "webhook", "create", "pager", "-p", "red", "--url", HOOK["url"], "--secret", "hook-key", "-k", "replica.*"
    )
    assert ran.code == 0, ran.err
    assert there.bodies[-1] == {
        "name": "pager",
        "url": HOOK["url"],
        "secret": "hook-key",
        "kinds": ["replica.*"],
    }


def test_what_was_answered_is_shown_with_why_it_is_off(cli: Cli, there: FakeManagerApi) -> None:
    there.on("GET", ONE, HOOK)
    out = cli("webhook", "show", "pager", "-p", "red").out
    for words in ("disabled: the receiver answered 410", "answered 410", "204", "12 ms", "hook-key", "replica.*"):
        assert words in out
    there.on("GET", ALL, {"items": [HOOK], "next": None})
    assert "answered 410" in cli("webhook", "ls", "-p", "red").out
    assert cli("--json", "webhook", "ls", "-p", "red").json[0]["dropped"] == 1


@pytest.mark.parametrize(
    ("flags", "body"),
    [
        (("--enabled",), {"enabled": True}),
        (("--disabled", "--kind", "*"), {"enabled": False, "kinds": ["*"]}),
        (("--unset", "kinds", "--url", "https://b.example.com"), {"kinds": None, "url": "https://b.example.com"}),
    ],
)
def test_only_what_is_given_is_changed(
    cli: Cli, there: FakeManagerApi, flags: tuple[str, ...], body: dict[str, Any]
) -> None:
    there.on("PATCH", ONE, HOOK)
    assert cli("webhook", "update", "pager", "-p", "red", *flags).code == 0
    assert there.bodies[-1] == body


def test_a_trial_says_where_the_answer_is_and_a_deletion_asks(cli: Cli, there: FakeManagerApi) -> None:
    there.on("POST", f"{ONE}/test", HOOK, status=202)
    there.on("DELETE", ONE, {}, status=204)
    assert "headrace webhook show pager" in cli("webhook", "test", "pager", "-p", "red").out
    assert "say --yes" in cli("webhook", "rm", "pager", "-p", "red").err
    assert cli("webhook", "rm", "pager", "-p", "red", "--yes").code == 0
    assert cli("webhook", "update", "pager", "-p", "red").code == 2
