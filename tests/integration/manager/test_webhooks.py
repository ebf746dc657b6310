"""Webhooks: what a receiver gets, what comes of its answers, who may keep them, and where they may lead."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from headrace.common.db.pool import Pool
from headrace.manager.domain.webhooks import key_of, signature
from headrace.manager.loops import webhooks as loop
from headrace.manager.loops.webhooks import WebhooksLoop
from headrace.manager.settings import webhook_policy
from headrace.manager.sources.web import web_context
from headrace.manager.sources.webhook_sender import open_webhook_sender
from headrace.manager.store import webhooks as store
from headrace.manager.wiring_sources import secret_keys
from tests.support.api import Api
from tests.support.factories.settings import manager_settings
from tests.support.fakes.clock import StoppableClock
from tests.support.worlds.manager_api import ManagerApi, serving

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
ALLOWED: dict[str, Any] = {"webhook_networks": ["127.0.0.0/8"], "webhook_schemes": ["http", "https"]}
HOOKS = "/v1/projects/red/webhooks"


@dataclass
class Receiver:
    """A server that takes deliveries."""

    url: str = ""
    status: int = 204
    got: list[tuple[dict[str, str], bytes]] = field(default_factory=list)
    meanwhile: Callable[[], Any] | None = None

    async def take(self, request: web.Request) -> web.Response:
        self.got.append((dict(request.headers), await request.read()))
        if self.meanwhile is not None:
            await self.meanwhile()
        headers = {"Location": self.url} if 300 <= self.status < 400 else {}
        return web.Response(status=self.status, headers=headers)

    @property
    def types(self) -> list[str]:
        return [json.loads(body)["type"] for _, body in self.got]


@dataclass
class There:
    """An API, a receiver, and the loops of managers that the test lets pass."""

    api: ManagerApi
    receiver: Receiver
    clock: StoppableClock
    loops: list[WebhooksLoop]

    async def hook(self, **more: Any) -> dict[str, Any]:
        body = {"name": "hook", "url": self.receiver.url, "secret": "key", **more}
        return dict(await self.api.admin.call("POST", HOOKS, body))

    async def seen(self) -> dict[str, Any]:
        return dict(await self.api.admin.call("GET", f"{HOOKS}/hook"))

    async def happens(self, description: str = "x") -> None:
        await self.api.admin.call("PATCH", "/v1/projects/red", {"description": description})

    async def due(self) -> None:
        """Let the wait for the next try be over."""
        await self.api.pool.execute("update webhooks set next_try_at = now()")


@asynccontextmanager
async def running(pool: Pool, folder: Path, **settings: Any) -> AsyncIterator[There]:
    receiver, clock = Receiver(), StoppableClock()
    app = web.Application()
    app.router.add_post("/{tail:.*}", receiver.take)
    runner = web.AppRunner(app, shutdown_timeout=0.5)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    receiver.url = f"http://127.0.0.1:{runner.addresses[0][1]}/in"
    try:
        async with serving(pool, folder, **settings) as api:
            known = manager_settings(folder, **settings)
            sender = partial(open_webhook_sender, webhook_policy(known), partial(web_context, None))
            loops = [
                WebhooksLoop(
                    pool, secret_keys(known), sender, api.behind.poke, clock.clocks.utc, clock.clocks.monotonic
                )
                for _ in range(2)
            ]
            await api.admin.call("POST", "/v1/projects", {"name": "red"})
            await api.admin.call("PUT", "/v1/projects/red/secrets/key", {"value": SECRET})
            yield There(api, receiver, clock, loops)
    finally:
        await runner.cleanup()


@pytest.fixture
async def there(pool: Pool, tmp_path: Path) -> AsyncIterator[There]:
    async with running(pool, tmp_path, **ALLOWED) as found:
        yield found


async def test_an_event_is_delivered_once_signed_by_the_secret(there: There) -> None:
    made = await there.hook()
    assert (made["state"], made["kinds"], made["secret"]) == ("idle", ["*"], "key")
    await there.happens("new")
    assert (await there.seen())["state"] == "delivering"
    await asyncio.gather(*(one.one_pass() for one in there.loops))
    await asyncio.gather(*(one.one_pass() for one in there.loops))
    assert there.receiver.types == ["webhook.created", "project.updated"], "in order, by one of two managers"
    headers, body = there.receiver.got[-1]
    expected = signature([key_of(SECRET)], headers["webhook-id"], int(headers["webhook-timestamp"]), body)
    assert headers["webhook-signature"] == expected
    data = json.loads(body)["data"]
    assert (data["event_id"], data["project"], data["actor"]) == (headers["webhook-id"], "red", "admin")
    found = await there.seen()
    assert (found["queued"], found["delivered"], found["dropped"], found["state"]) == (0, 2, 0, "idle")
    assert [(one["action"], one["status"], one["error"]) for one in found["answers"]] == [
        ("project.updated", 204, None),
        ("webhook.created", 204, None),
    ]
    history = json.dumps(await there.api.admin.call("GET", "/v1/audit"))
    assert there.receiver.url not in history
    assert SECRET not in history + json.dumps(found)


async def test_only_what_was_asked_for_is_sent_and_a_trial_always(there: There) -> None:
    await there.hook(kinds=["secret.*", "service.created"])
    await there.happens()
    await there.api.admin.call("PUT", "/v1/projects/red/secrets/other", {"value": "x"})
    await there.api.admin.call(
        "POST", "/v1/services", {"name": "one", "project": "red", "runtime": "cmd", "image": "img", "replicas": 0}
    )
    await there.api.admin.call("POST", f"{HOOKS}/hook/test", expect=202)
    await there.loops[0].one_pass()
    assert there.receiver.types == ["secret.created", "service.created", "webhook.tested"]


async def test_what_fails_is_tried_again_later_and_nothing_overtakes_it(there: There) -> None:
    await there.hook(kinds=["project.*"])
    there.receiver.status = 503
    for description in ("1", "2"):
        await there.happens(description)
    await there.loops[0].one_pass()
    await there.loops[0].one_pass()
    found = await there.seen()
    assert (len(there.receiver.got), found["queued"], found["state"]) == (1, 2, "failing")
    assert found["answers"][0]["error"] == "answered 503"
    assert found["next_try_at"] > found["failing_since"]
    there.receiver.status = 200
    await there.due()
    await there.loops[1].one_pass()
    ids = [headers["webhook-id"] for headers, _ in there.receiver.got]
    assert ids[0] == ids[1] != ids[2], "a repeated one is known by its id"
    assert (await there.seen())["state"] == "idle"


async def test_redirects_are_not_followed_and_gone_is_the_end(there: There) -> None:
    await there.hook(kinds=["project.*"])
    there.receiver.status = 307
    await there.happens()
    await there.loops[0].one_pass()
    assert len(there.receiver.got) == 1
    assert (await there.seen())["answers"][0]["error"] == "answered 307; redirects are not followed"
    there.receiver.status = 410
    await there.due()
    await there.loops[0].one_pass()
    found = await there.seen()
    assert (found["enabled"], found["state"], found["queued"]) == (False, "disabled", 0)
    assert found["problem"] == "the receiver answered 410: it is gone for good"
    actions = [entry["action"] for entry in (await there.api.admin.call("GET", "/v1/audit?project=red"))["items"]]
    assert actions[0] == "webhook.disabled"
    await there.happens()
    assert (await there.seen())["queued"] == 0, "nothing is queued for one that is disabled"
    changed = await there.api.admin.call("PATCH", f"{HOOKS}/hook", {"enabled": None})
    assert (changed["enabled"], changed["problem"], changed["state"]) == (True, None, "idle")


async def test_what_waits_too_long_or_is_too_much_is_dropped_and_counted(
    there: There, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "MAX_QUEUED", 2)
    await there.hook(kinds=["project.*"])
    for description in "12345":
        await there.happens(description)
    there.receiver.status = 500
    await there.loops[0].one_pass()
    found = await there.seen()
    assert (found["queued"], found["dropped"]) == (2, 3)
    assert json.loads(there.receiver.got[0][1])["data"]["after"]["description"] == "4"
    await there.api.pool.execute("update webhook_deliveries set at = now() - interval '2 days'")
    await there.due()
    await there.loops[0].one_pass()
    assert (await there.seen())["dropped"] == 4, "it was given up"


async def test_a_webhook_to_which_nothing_can_be_delivered_for_days_is_switched_off(there: There) -> None:
    await there.hook(kinds=["project.*"])
    there.receiver.status = 500
    await there.happens()
    await there.loops[0].one_pass()
    await there.api.pool.execute("update webhooks set failing_since = now() - interval '4 days', next_try_at = now()")
    await there.loops[0].one_pass()
    assert (await there.seen())["problem"].startswith("nothing could be delivered since")


async def test_a_new_version_of_the_secret_signs_beside_the_one_before_for_a_day(there: There) -> None:
    await there.hook(kinds=["project.*"])
    other = "another secret of enough bytes"
    await there.api.admin.call("PUT", "/v1/projects/red/secrets/key", {"value": other})
    await there.happens()
    await there.loops[0].one_pass()
    headers, body = there.receiver.got[0]
    keys = [key_of(other), key_of(SECRET)]
    expected = partial(signature, message_id=headers["webhook-id"], timestamp_s=int(headers["webhook-timestamp"]))
    assert headers["webhook-signature"] == expected(keys, body=body)
    refused = await there.api.admin.call("DELETE", "/v1/projects/red/secrets/key", expect=409)
    assert refused["detail"] == "secret key is used by webhook hook; change or delete them first"


async def test_a_manager_that_ended_is_followed_by_another_one(there: There) -> None:
    await there.hook(kinds=["project.*"])
    await there.happens()
    async with there.api.pool.acquire() as con:
        assert await store.claim(con, there.loops[0]._own, most=1, lease=loop.LEASE)
    await there.loops[1].one_pass()
    assert there.receiver.got == []
    await there.api.pool.execute("update webhooks set leased_until = now() - interval '1 s'")
    await there.loops[1].one_pass()
    assert len(there.receiver.got) == 1


async def test_a_webhook_that_is_deleted_while_it_is_sent_to_is_gone(there: There) -> None:
    await there.hook(kinds=["project.*"])
    for description in "12":
        await there.happens(description)
    there.receiver.meanwhile = lambda: there.api.admin.call("DELETE", f"{HOOKS}/hook")
    await there.loops[0].one_pass()
    assert len(there.receiver.got) == 1
    assert await there.api.pool.fetchval("select count(*) from webhook_deliveries") == 0


@pytest.mark.parametrize(
    ("url", "found"),
    [
        ("http://hooks.example.com/x", "http is not allowed"),
        ("ftp://hooks.example.com/x", "ftp is not allowed"),
        ("https:///x", "it names no host"),
        ("https://127.0.0.1/x", "host 127.0.0.1 is at 127.0.0.1, which is no public address"),
        ("https://169.254.169.254/latest/meta-data", "no public address"),
        ("https://[::1]/x", "no public address"),
        ("https://[::ffff:10.0.0.1]/x", "no public address"),
        ("https://user:pw@hooks.example.com/x", "a URL with a user or password"),
        ("https://hooks.example.com/a b", "a URL with white space"),
        ("https://[", "it is no URL"),
        ("https://127.1/x", "127.1 is no name of a host"),
        ("https://2130706433/x", "2130706433 is no name of a host"),
        ("https://１２７.0.0.1/x", "is no name of a host"),
    ],
)
async def test_a_url_that_leads_inside_is_refused(api: ManagerApi, url: str, found: str) -> None:
    await api.admin.call("PUT", "/v1/projects/default/secrets/key", {"value": SECRET})
    body = {"name": "hook", "url": url, "secret": "key"}
    refused = await api.admin.call("POST", "/v1/projects/default/webhooks", body, expect=400)
    (error,) = refused["errors"]
    assert error["field"] == "url"
    assert found in error["found"]


async def test_a_name_that_leads_inside_is_not_connected_to(pool: Pool, tmp_path: Path) -> None:
    async with running(pool, tmp_path, webhook_schemes=["http", "https"]) as there:
        port = there.receiver.url.rpartition(":")[2]
        await there.hook(url=f"http://localhost:{port}", kinds=["project.*"])
        await there.happens()
        await there.loops[0].one_pass()
        assert there.receiver.got == []
        (answer,) = (await there.seen())["answers"]
        assert answer["status"] is None
        assert (
            "which is no public address; allowed: public ones, and those of the setting webhook_networks"
            in answer["error"]
        )


async def test_an_event_that_is_forgotten_is_not_waited_for(there: There) -> None:
    await there.hook(kinds=["project.*"])
    await there.happens()
    await there.api.pool.execute("delete from events")
    await there.loops[0].one_pass()
    assert (there.receiver.got, (await there.seen())["queued"]) == ([], 0)


async def test_a_webhook_that_is_disabled_while_it_is_sent_to_gets_nothing_more(there: There) -> None:
    await there.hook(kinds=["project.*"])
    for description in "12":
        await there.happens(description)
    there.receiver.meanwhile = lambda: there.api.admin.call("PATCH", f"{HOOKS}/hook", {"enabled": False})
    await there.loops[0].one_pass()
    assert len(there.receiver.got) == 1


async def test_owners_keep_webhooks_and_nobody_else_sees_their_urls(there: There) -> None:
    await there.hook()
    member = await there.api.user("member", red="member")
    stranger = await there.api.user("stranger")
    for caller, status in ((member, 403), (stranger, 404)):
        for method, path, body in (
            ("GET", HOOKS, None),
            ("GET", f"{HOOKS}/hook", None),
            ("POST", HOOKS, {"name": "x", "url": there.receiver.url, "secret": "key"}),
            ("PATCH", f"{HOOKS}/hook", {"enabled": False}),
            ("POST", f"{HOOKS}/hook/test", None),
            ("DELETE", f"{HOOKS}/hook", None),
        ):
            await caller.call(method, path, body, expect=status)
    await there.api.admin.call("DELETE", f"{HOOKS}/hook")
    await there.api.admin.call("GET", f"{HOOKS}/hook", expect=404)


@pytest.mark.parametrize(
    ("change", "field_"),
    [
        ({"secret": "absent"}, "secret"),
        ({"secret": "short"}, "secret"),
        ({"kinds": []}, "kinds"),
        ({"kinds": ["Service"]}, "kinds[0]"),
        ({"url": ""}, "url"),
        ({"name": "No Name"}, "name"),
    ],
)
async def test_what_is_wrong_is_named(there: There, change: dict[str, Any], field_: str) -> None:
    admin: Api = there.api.admin
    await admin.call("PUT", "/v1/projects/red/secrets/short", {"value": "short"})
    body = {"name": "hook", "url": there.receiver.url, "secret": "key", **change}
    refused = await admin.call("POST", HOOKS, body, expect=400)
    assert [error["field"] for error in refused["errors"]] == [field_]
    assert "short" not in refused["errors"][0]["found"]


async def test_a_webhook_is_refused_with_all_that_is_wrong(there: There) -> None:
    body = {"name": "hook", "url": "https://user:hunter2@example.com/", "secret": "absent"}
    refused = await there.api.admin.call("POST", HOOKS, body, expect=400)
    assert [(error["field"], error["pointer"]) for error in refused["errors"]] == [
        ("url", "#/url"),
        ("secret", "#/secret"),
    ]
    assert "hunter2" not in str(refused)
