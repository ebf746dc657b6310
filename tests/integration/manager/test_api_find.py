"""Finding services and other things: filters, order, pages, totals, counts, search."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

import pytest

from headrace.manager.usecases import service_lists
from tests.support.api import Api
from tests.support.worlds.manager_api import ManagerApi


async def listed(client: Api, **query: Any) -> list[str]:
    """Return the names on all pages."""
    names, cursor = list[str](), dict[str, str]()
    while True:
        page = await client.call("GET", f"/v1/services?{urlencode(query | cursor)}")
        names += [item["name"] for item in page["items"]]
        if page["next"] is None:
            return names
        cursor = {"cursor": page["next"]}


@pytest.fixture
async def four(api: ManagerApi) -> Api:
    """Services `b` (mounts `weights`, runs on agent-7), `d`, `a` and `c` (stopped), made in this order; `c` and `d` are ann's."""
    await api.admin.call("POST", "/v1/projects", {"name": "lab", "description": "Measurements"})
    ann = await api.user("ann", lab="member")
    await api.admin.folder("weights", {"w.bin": "1"}, project="lab")
    common = {"project": "lab", "runtime": "cmd", "image": "img"}
    for client, name, more in (
        (api.admin, "b", {"folder": "weights", "replicas": 1, "tags": ["gpu"]}),
        (ann, "d", {"replicas": 3, "runtime": "nim"}),
        (api.admin, "a", {"replicas": 3, "description": "Measures b"}),
        (ann, "c", {"replicas": 2}),
    ):
        await client.call("POST", "/v1/services", {**common, "name": name, **more})
    await api.runs("b", agent="agent-7")
    await ann.call("POST", "/v1/services/c/stop")
    return ann


async def test_services_are_chosen_by_each_filter(api: ManagerApi, four: Api) -> None:
    user = (await api.admin.call("GET", "/v1/whoami"))["user"]["id"]
    for query, names in (
        ({"tag": "gpu"}, ["b"]),
        ({"tag": "gp"}, []),
        ({"runtime": "nim"}, ["d"]),
        ({"folder": "weights"}, ["b"]),
        ({"folder": "weights", "project": "lab", "status": "healthy"}, ["b"]),
        ({"agent": "agent-7"}, ["b"]),
        ({"agent": "agent-8"}, []),
        ({"owner": "ann"}, ["d", "c"]),
        ({"owner": user}, ["b", "a"]),
        ({"mine": "true"}, ["d", "c"]),
        ({"phase": "stopped", "mine": "true"}, ["c"]),
        ({"q": "MEASURES", "runtime": "cmd"}, ["a"]),
    ):
        assert await listed(four, **query) == names, query
        counts = await four.call("GET", f"/v1/services/counts?{urlencode(query)}")
        assert counts["counted"] == len(names), query
    assert (await four.call("GET", "/v1/services?folder=nowhere", expect=404))["detail"] == "there is no folder nowhere"


async def test_a_service_leaves_the_filter_of_a_machine_with_its_last_replica_there(api: ManagerApi, four: Api) -> None:
    session, _ = await api.runs("a", agent="agent-8")
    assert await listed(four, agent="agent-8") == ["a"]
    await api.ends(session)
    assert await listed(four, agent="agent-8") == []


@pytest.mark.parametrize("limit", [1, 3, 100])
async def test_pages_in_every_order_lose_and_repeat_nothing(four: Api, limit: int) -> None:
    orders = {"created": "bdac", "name": "abcd", "updated": "bdac", "replicas": "bcda", "status": "dacb"}
    for sort, names in orders.items():
        for filters in ({}, {"phase": "stopped"}, {"status": "unhealthy"}):
            rising = await listed(four, sort=sort, limit=limit, **filters)
            assert rising[::-1] == await listed(four, sort=sort, order="desc", limit=limit, **filters)
            if not filters:
                assert rising == list(names), sort
    first = await four.call("GET", f"/v1/services?sort=name&limit={limit}")
    assert first["total"] == 4
    assert (await four.call("GET", "/v1/services?status=healthy"))["total"] is None


async def test_a_list_by_status_ends_its_pages_after_a_bounded_number_of_services(
    four: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service_lists, "EXAMINED", 2)
    monkeypatch.setattr(service_lists, "BATCH", 1)
    assert await listed(four, sort="status") == list("dacb")
    assert await listed(four, sort="status", order="desc") == list("bcad")
    assert await listed(four, sort="status", status="healthy") == ["b"]
    page = await four.call("GET", "/v1/services?sort=status&status=degraded")
    assert (page["items"], page["next"] is None) == ([], False), "nothing was found among the first two"


async def test_a_page_goes_on_where_the_one_before_ended_although_services_come_and_go(
    api: ManagerApi, four: Api
) -> None:
    first = await four.call("GET", "/v1/services?sort=name&limit=2")
    assert [item["name"] for item in first["items"]] == ["a", "b"]
    for name in ("a", "b"):
        await api.pool.execute("update services set deleted_at = now(), goal = 'deleting' where name = $1", name)
    await four.call("POST", "/v1/services", {"name": "aa", "runtime": "cmd", "project": "lab"})
    cursor = first["next"]
    assert await listed(four, sort="name", limit=2, cursor=cursor) == ["c", "d"]
    assert await listed(four, sort="name", order="desc", cursor=cursor) == ["aa"]
    refused = await four.call("GET", f"/v1/services?sort=updated&cursor={cursor}", expect=400)
    assert refused["errors"][0]["field"] == "cursor"


async def test_services_are_counted_by_status_and_phase(api: ManagerApi, four: Api) -> None:
    counts = await four.call("GET", "/v1/services/counts?project=lab")
    assert (counts["counted"], counts["complete"]) == (4, True)
    assert counts["by_status"] == {"healthy": 1, "degraded": 0, "unhealthy": 3}
    assert counts["by_phase"] == {"deploying": 2, "deployed": 1, "stopping": 0, "stopped": 1, "failed": 0}
    counts = await four.call("GET", "/v1/services/counts?status=unhealthy")
    assert (counts["by_status"]["healthy"], counts["by_phase"]["stopped"], counts["counted"]) == (0, 1, 3)
    bob = await api.user("bob")
    assert (await bob.call("GET", "/v1/services/counts"))["counted"] == 0
    assert (await bob.call("GET", "/v1/services"))["total"] == 0
    await bob.call("GET", "/v1/services?folder=weights", expect=404)
    await bob.call("GET", "/v1/services/counts?project=lab", expect=404)


async def test_a_name_that_is_a_path_of_the_list_is_reserved(four: Api) -> None:
    assert (await four.call("GET", "/v1/services/available?name=counts"))["available"] is False


async def found(client: Api, text: str, **query: Any) -> list[tuple[str, str]]:
    """Return kind and name of what a search finds."""
    results = await client.call("GET", f"/v1/search?{urlencode({'q': text, **query})}")
    return [(item["kind"], item["name"]) for item in results["items"]]


async def test_a_search_finds_what_the_caller_may_see_and_nothing_else(api: ManagerApi, four: Api) -> None:
    await api.machine("measuring-1")
    assert await found(four, "Measur") == [("service", "a"), ("project", "lab")]
    assert await found(api.admin, "measur") == [("service", "a"), ("project", "lab"), ("machine", "measuring-1")]
    assert await found(four, "weights") == [("folder", "weights")]
    assert await found(four, "gpu") == [("service", "b")]
    assert await found(four, "%") == []
    bob = await api.user("bob")
    for text in ("measur", "weights", "gpu", "ann", "admin"):
        assert await found(bob, text) == [], text
    assert await found(bob, "bob") == [("user", "bob")]
    assert await found(four, "bob") == []
    await api.admin.call("PUT", "/v1/projects/lab/members/bob", {"role": "viewer"})
    assert await found(four, "bob") == [("user", "bob")]
    assert await found(bob, "ann") == [("user", "ann")]
    assert await found(api.admin, "ann") == [("user", "ann")]


async def test_a_key_that_is_limited_to_projects_finds_only_there(api: ManagerApi, four: Api) -> None:
    await api.admin.call("POST", "/v1/projects", {"name": "other"})
    made = await api.admin.call("POST", "/v1/users/admin/keys", {"projects": ["other"]})
    limited = Api(api.url, made["key"])
    for text in ("measur", "weights", "gpu", "lab", "agent", "ann"):
        assert await found(limited, text) == [], text
    assert await found(limited, "other") == [("project", "other")]
    assert await listed(limited, sort="name") == []
    assert (await limited.call("GET", "/v1/services/counts"))["counted"] == 0
    await limited.close()


async def test_a_search_shows_a_bounded_number_of_each_kind_the_closest_names_first(api: ManagerApi, four: Api) -> None:
    assert (await found(four, "b", kind="service"))[0] == ("service", "b")
    for name in ("chat", "a-chat", "chat-2"):
        await four.call("POST", "/v1/services", {"name": name, "runtime": "cmd", "project": "lab"})
    assert await found(four, "chat") == [("service", "chat"), ("service", "chat-2"), ("service", "a-chat")]
    results = await four.call("GET", "/v1/search?q=chat&limit=2")
    assert (len(results["items"]), results["more"]) == (2, ["service"])
    assert (await four.call("GET", "/v1/search?limit=51&q=a", expect=400))["errors"][0]["field"] == "limit"
