"""Live events: who is told what, going on after a break, bounds, and what they cost."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from contextlib import AsyncExitStack
from itertools import count

import pytest

from headrace.manager import metrics
from headrace.manager.api import events
from headrace.manager.domain import live_changes as ring
from headrace.manager.domain.records.live_changes import LiveChange
from headrace.manager.loops import live_changes
from headrace.manager.usecases import followers
from tests.support.live_events import LiveStream, following
from tests.support.wait import eventually
from tests.support.worlds.manager import ManagerWorld
from tests.support.worlds.manager_api import ManagerApi

SERVICE = {"runtime": "cmd", "image": "img", "replicas": 0}


@pytest.fixture(autouse=True)
def reads_at_each_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live_changes, "QUIET_S", 0)


async def project(api: ManagerApi, name: str) -> str:
    return str((await api.admin.call("POST", "/v1/projects", {"name": name}))["id"])


async def service(api: ManagerApi, name: str, project: str) -> str:
    return str((await api.admin.call("POST", "/v1/services", {"name": name, "project": project, **SERVICE}))["id"])


async def told(api: ManagerApi, stream: LiveStream, *, last: tuple[str, str]) -> list[tuple[str, str]]:
    """Let the loop pass; return what a stream is told up to `last`."""
    await api.live.one_pass()
    found = [(await stream.next()).what]
    while found[-1] != last:
        found.append((await stream.next()).what)
    return found


async def test_a_change_is_told_to_those_who_may_see_it(api: ManagerApi) -> None:
    red, blue = await project(api, "red"), await project(api, "blue")
    member = await api.user("someone", red="viewer")
    await api.live.one_pass()
    async with (
        following(member) as mine,
        following(api.admin) as all_of_it,
        following(api.admin, "?project=blue") as named,
    ):
        for stream in (mine, all_of_it, named):
            assert (ready := await stream.next()).name == "ready", "what was there before is no change"
            assert ready.data["version"]
        blue_one, red_one = await service(api, "one", "blue"), await service(api, "two", "red")
        await api.live.one_pass()
        seen = await mine.next()
        assert (seen.name, seen.data) == ("change", {"kind": "service", "id": red_one, "project": red})
        assert (await named.next()).data == {"kind": "service", "id": blue_one, "project": blue}
        assert {(await all_of_it.next()).what for _ in range(2)} == {("service", blue_one), ("service", red_one)}


async def test_what_happens_to_a_thing_between_two_looks_is_told_once(api: ManagerApi) -> None:
    await project(api, "red")
    async with following(api.admin) as stream:
        await stream.until("ready")
        made = await service(api, "one", "red")
        for replicas in (1, 2, 3):
            await api.admin.call("PATCH", "/v1/services/one", {"replicas": replicas})
        session, _ = await api.runs("one")
        await api.ends(session)
        end = ("project", await project(api, "end"))
        assert (await told(api, stream, last=end)).count(("service", made)) == 1


async def test_everything_that_can_be_changed_is_told(api: ManagerApi) -> None:
    red = await project(api, "red")
    admin = api.admin
    async with following(admin) as stream:
        await stream.until("ready")
        one = await service(api, "one", "red")
        token = await admin.token("one")
        whole = await admin.call("POST", "/v1/projects/red/tokens", {})
        client = await admin.call("POST", "/v1/services/one/clients", {"name": "app"})
        rule = await admin.call("POST", "/v1/services/one/rules", RULE)
        secret = await admin.call("PUT", "/v1/projects/red/secrets/hub", {"value": "x"})
        folder = await admin.folder("chat", {"a": b"x"}, project="red")
        size = await admin.call("POST", "/v1/resource-presets", {"name": "small", "slots": {"cpu": "1"}})
        await admin.call("POST", "/v1/resource-groups", {"name": "big"})
        await api.machine("gpu-1")
        run = await admin.call("POST", "/v1/validations", {"project": "red", "runtime": "cmd", "image": "img"})
        user = await admin.call("POST", "/v1/users", {"name": "someone"})
        end = ("project", await project(api, "end"))
        found = await told(api, stream, last=end)
        assert {*found} >= {
            ("service", one),
            ("token", token["id"]),
            ("token", whole["id"]),
            ("client", client["id"]),
            ("rule", rule["id"]),
            ("secret", secret["id"]),
            ("folder", folder),
            ("resource-preset", size["id"]),
            ("resource-group", "big"),
            ("agent", "gpu-1"),
            ("validation", run["id"]),
            ("user", user["id"]),
        }
        await admin.call("PUT", "/v1/projects/red/members/someone", {"role": "viewer"})
        await admin.call("DELETE", f"/v1/services/one/rules/{rule['id']}")
        await admin.call("DELETE", "/v1/projects/red/secrets/hub")
        await admin.call("DELETE", f"/v1/services/one/tokens/{token['id']}")
        await admin.call("DELETE", f"/v1/services/one/clients/{client['id']}")
        await admin.call("DELETE", "/v1/resource-presets/small")
        await admin.call("DELETE", "/v1/resource-groups/big")
        await admin.call("PUT", "/v1/agents/gpu-1/cordon", {})
        join = await admin.call("POST", "/v1/join-tokens", {"kind": "agent"}, expect=(201, 409, 503))
        assert join
        end = ("project", await project(api, "end-2"))
        assert {*await told(api, stream, last=end)} >= {
            ("project", red),
            ("user", user["id"]),
            ("rule", rule["id"]),
            ("secret", secret["id"]),
            ("token", token["id"]),
            ("client", client["id"]),
            ("resource-preset", size["id"]),
            ("resource-group", "big"),
            ("agent", "gpu-1"),
        }


RULE = {
    "source": "kernel",
    "metric": "cpu_util",
    "comparator": "GREATER_THAN",
    "threshold": 80,
    "step": 1,
    "min_replicas": 0,
    "max_replicas": 3,
    "cooldown_s": 60,
}


async def test_a_report_that_says_nothing_new_and_the_use_of_a_key_are_no_changes(api: ManagerApi) -> None:
    await api.machine("gpu-1")
    await api.pool.execute("update api_keys set last_used_at = null")
    await api.pool.execute("delete from live_changes")
    await api.pool.execute("update agents set sequence = sequence + 1, received_at = now(), last_seen_at = now()")
    await api.admin.call("GET", "/v1/whoami")
    assert await api.pool.fetchval("select count(last_used_at) from api_keys") == 1
    assert not await api.pool.fetch("select kind, thing_id from live_changes")


async def test_a_reader_goes_on_after_the_last_event_that_it_knows(api: ManagerApi) -> None:
    await project(api, "red")
    await api.live.one_pass()
    async with following(api.admin) as stream:
        begin = (await stream.until("ready"))[-1].id
        await service(api, "one", "red")
        await api.live.one_pass()
        known = (await stream.next()).id
    two = await service(api, "two", "red")
    await api.live.one_pass()
    async with following(api.admin, f"?since={begin}", Last_Event_ID=known) as stream:
        missed = await stream.until("ready")
        assert [seen.what for seen in missed[:-1]] == [("service", two)], "the header wins"
    async with following(api.admin, f"?since={begin}&follow=false") as stream:
        assert len(await stream.until("ready")) == 3
        assert await stream.ended()


@pytest.mark.parametrize("unknown", ["x", "0-0", "-1", "{}-99", "{}-x", "{}-1-"])
async def test_after_an_event_that_the_manager_does_not_know_everything_is_to_be_read(
    api: ManagerApi, unknown: str
) -> None:
    async with following(api.admin) as stream:
        start = (await stream.next()).id.rpartition("-")[0]
    async with following(api.admin, f"?since={unknown.format(start)}") as stream:
        assert [seen.name for seen in await stream.until("ready")] == ["reset", "ready"]


async def test_who_may_not_see_a_project_any_more_is_told_nothing_more_of_it(api: ManagerApi) -> None:
    await project(api, "red")
    await project(api, "blue")
    member = await api.user("someone", red="viewer", blue="viewer")
    user = (await member.call("GET", "/v1/whoami"))["user"]["id"]
    await api.live.one_pass()
    async with following(member, "?project=red") as named, following(member) as all_of_it:
        await named.until("ready")
        await all_of_it.until("ready")
        await api.admin.call("DELETE", "/v1/projects/red/members/someone")
        await service(api, "hidden", "red")
        shown = await service(api, "shown", "blue")
        await api.live.one_pass()
        assert ((end := await named.next()).name, end.data["reason"]) == ("end", "no-access")
        assert await named.ended()
        assert {(await all_of_it.next()).what for _ in range(2)} == {("user", user), ("service", shown)}
    refused = await member.call("GET", "/v1/events?project=red", expect=404)
    assert refused["detail"] == "there is no project red"


async def test_a_stream_ends_with_the_key_by_which_it_was_opened(api: ManagerApi) -> None:
    key = await api.admin.call("POST", "/v1/users/admin/keys", {"name": "short"})
    caller = type(api.admin)(api.url, key["key"])
    api.users.append(caller)
    async with following(caller) as stream, following(api.admin) as other:
        await stream.until("ready")
        await other.until("ready")
        await api.admin.call("DELETE", f"/v1/users/admin/keys/{key['id']}")
        await api.live.one_pass()
        assert (await stream.next()).data["reason"] == "no-access"
        assert (await other.next()).data["kind"] == "user", "the user's other keys are as they were"


async def test_a_stream_ends_with_the_user_that_is_disabled(api: ManagerApi) -> None:
    someone = await api.user("someone")
    async with following(someone) as stream:
        await stream.until("ready")
        await api.admin.call("PATCH", "/v1/users/someone", {"disabled": True})
        await api.live.one_pass()
        while (seen := await stream.next()).name != "end":
            pass
        assert seen.data["reason"] == "no-access"


async def test_a_stream_that_has_nothing_to_tell_says_that_it_lives(
    api: ManagerApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "ALIVE_S", 0.02)
    await project(api, "red")
    member = await api.user("someone")
    await api.live.one_pass()
    async with following(member) as stream:
        ready = (await stream.until("ready"))[-1]
        assert (await stream.next()).name == "alive", "an event, since browsers show comments to no script"
        await service(api, "one", "red")
        await api.live.one_pass()
        seen = await stream.next()
        while seen.id <= ready.id:
            seen = await stream.next()
        assert seen.name == "alive", "the id goes on, so that it stays known"


async def test_the_number_of_streams_is_bounded(api: ManagerApi, monkeypatch: pytest.MonkeyPatch) -> None:
    member = await api.user("someone")
    monkeypatch.setattr(followers, "MAX_OF_USER", 1)
    async with following(member) as stream:
        await stream.until("ready")
        refused = await member.http.get("/v1/events")
        assert (refused.status_code, refused.headers["Retry-After"]) == (429, "5")
        assert refused.json()["detail"] == "found 1 streams of yours at this manager; allowed: 1"
        monkeypatch.setattr(followers, "MAX_FOLLOWERS", 1)
        full = await api.admin.http.get("/v1/events")
        assert (full.status_code, full.json()["reason"]) == (503, "followers-full")
    await eventually(lambda: len(api.followers) == 0)


@pytest.fixture
def stalled(api: ManagerApi) -> Iterator[socket.socket]:
    """A reader that takes nothing, with little room in its socket."""
    with socket.socket() as reader:
        reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1024)
        host, port = api.url.removeprefix("http://").split(":")
        reader.connect((host, int(port)))
        reader.sendall(f"GET /v1/events HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {api.admin.key}\r\n\r\n".encode())
        yield reader


async def test_a_reader_that_takes_nothing_is_left(
    api: ManagerApi, stalled: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "TAKES_S", 0.2)
    monkeypatch.setattr(events, "LAST_WORD_S", 0.2)
    await eventually(lambda: len(api.followers) == 1)
    ended = metrics.FOLLOWERS_ENDED.labels("too-slow")._value
    before, names = ended.get(), count()

    async def gone() -> bool:
        api.followers.publish([LiveChange("agent", f"machine-{next(names)}", None) for _ in range(ring.RING // 4)])
        return len(api.followers) == 0

    await eventually(gone)
    assert ended.get() == before + 1


async def test_too_much_at_once_is_a_reset(api: ManagerApi, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live_changes, "MOST", 3)
    async with following(api.admin) as stream:
        begin = (await stream.until("ready"))[-1].id
        for number in range(4):
            await api.machine(f"gpu-{number}")
        await api.live.one_pass()
        assert (await stream.next()).name == "reset"
        await api.machine("one-more")
        assert await told(api, stream, last=("agent", "one-more")) == [("agent", "one-more")]
    async with following(api.admin, f"?since={begin}") as stream:
        assert (await stream.next()).name == "reset", "ids from before are not known"


async def test_a_transaction_that_commits_late_is_not_missed(api: ManagerApi) -> None:
    async with following(api.admin) as stream, api.pool.acquire() as con:
        await stream.until("ready")
        async with con.transaction():
            await api.machine("late", con)
            await api.machine("early")
            assert await told(api, stream, last=("agent", "early")) == [("agent", "early")]
        assert await told(api, stream, last=("agent", "late")) == [("agent", "late")]


async def test_a_manager_tells_what_another_one_changed_and_says_when_it_stops(world: ManagerWorld) -> None:
    async with world.whole_manager("manager-1") as first, AsyncExitStack() as stack:
        second = await stack.enter_async_context(world.whole_manager("manager-2"))
        async with following(second) as stream:
            await stream.until("ready")
            made = ("project", (await first.call("POST", "/v1/projects", {"name": "red"}))["id"])
            while (await stream.next()).what != made:
                pass
            stopped = asyncio.create_task(stack.aclose())
            while (seen := await stream.next()).name != "end":
                pass
            assert seen.data["reason"] == "stopping"
            assert await stream.ended()
            await stopped
