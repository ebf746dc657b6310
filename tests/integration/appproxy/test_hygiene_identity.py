"""What replicas are told of a caller comes from the proxy, or from proxies of one's own in front; never from the caller."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import AsyncIterator
from pathlib import Path
from unittest.mock import Mock

import httpx
import pytest
from structlog.testing import capture_logs

from headrace.appproxy.dataplane.request.context import Listener
from headrace.common.contracts.ids import ClientId, new_uuid
from headrace.common.contracts.messages.routes import NamedClient, RateLimits
from tests.support.factories.route_tables import Signer, route, table
from tests.support.wait import eventually
from tests.support.worlds.appproxy import AppProxyWorld, Backend, backend, running

SECRET = "hrc_" + "s" * 43
ROBOT = NamedClient(
    client_id=ClientId(new_uuid()), name="robot", secret_sha256=hashlib.sha256(SECRET.encode()).hexdigest()
)
BASIC = "Basic " + base64.b64encode(f"robot:{SECRET}".encode()).decode()
CLAIMED = {
    "X-Forwarded-For": "192.0.2.1, 192.0.2.2",
    "X-Forwarded-Proto": "https",
    "X-Forwarded-Host": "public.example",
    "X-Forwarded-User": "root",
    "X-Forwarded-Prefix": "/claimed",
    "X-Forwarded-Port": "443",
    "X-Forwarded-Email": "root@x",
    "Forwarded": "for=192.0.2.3",
    "X-Real-IP": "192.0.2.4",
    "Remote-User": "root",
    "X-Remote-User": "root",
    "X_Forwarded_User": "root",
    "X-Headrace-Caller": "root",
    "X-Auth-Request-User": "root",
    "CF-Connecting-IP": "192.0.2.5",
    "True-Client-IP": "192.0.2.6",
}
TOLD = {"x-forwarded-for", "x-forwarded-proto", "x-forwarded-host", "x-forwarded-prefix"}


def claims(seen: httpx.Headers) -> dict[str, list[str]]:
    """What a replica got of the fields that were claimed."""
    return {name.lower(): seen.get_list(name) for name in (*CLAIMED, "X-Forwarded-User") if name in seen}


def fields(replica: Backend, number: int = -1) -> httpx.Headers:
    return httpx.Headers([(name.decode(), value.decode()) for name, value in replica.seen[number].raw_headers])


@pytest.fixture
async def behind(tmp_path: Path) -> AsyncIterator[AppProxyWorld]:
    """An app-proxy behind one at 127.0.0.1."""
    async with running(tmp_path, trusted_peers=["127.0.0.1/32"], access_log_share=1) as world:
        yield world


async def test_a_strangers_claims_are_replaced(world: AppProxyWorld) -> None:
    async with backend() as replica:
        world.apply(table("chat", routes=(route(port=replica.port),)))
        await world.http.get(f"{world.url}/chat/x", headers=CLAIMED)
        assert claims(fields(replica)) == {
            "x-forwarded-for": ["127.0.0.1"],
            "x-forwarded-proto": ["http"],
            "x-forwarded-host": [f"127.0.0.1:{world.port}"],
            "x-forwarded-prefix": ["/chat"],
        }


async def test_a_named_client_is_told_once_and_truly(world: AppProxyWorld) -> None:
    async with backend() as replica:
        world.apply(table("chat", open_to_public=False, clients=(ROBOT,), routes=(route(port=replica.port),)))
        for spelling in ("X-Forwarded-User", "x-forwarded-user", "X_Forwarded_User"):
            given = {"Authorization": BASIC, spelling: "root"}
            assert (await world.http.get(f"{world.url}/chat/x", headers=given)).status_code == 200
            assert fields(replica).get_list("x-forwarded-user") == ["robot"]
            assert "authorization" not in fields(replica)
            assert "root" not in str(fields(replica))


@pytest.mark.parametrize("open_to_public", [False, True])
async def test_a_token_names_nobody(world: AppProxyWorld, *, open_to_public: bool) -> None:
    signer = Signer()
    async with backend() as replica:
        one = table(
            "chat", open_to_public=open_to_public, token_keys=(signer.public,), routes=(route(port=replica.port),)
        )
        world.apply(one)
        shown = {"Authorization": f"Bearer {signer.token(one.service_id)}", "X-Forwarded-User": "root"}
        assert (await world.http.get(f"{world.url}/chat/x", headers=shown)).status_code == 200
        assert "x-forwarded-user" not in fields(replica)
        assert "authorization" not in fields(replica)


async def test_a_proxy_in_front_is_believed_where_it_came_from_and_never_who_it_is(behind: AppProxyWorld) -> None:
    async with backend() as replica:
        behind.apply(table("chat", routes=(route(port=replica.port),)))
        await behind.http.get(f"{behind.url}/chat/x", headers=CLAIMED)
        assert claims(fields(replica)) == {
            "x-forwarded-for": ["192.0.2.1, 192.0.2.2, 127.0.0.1"],
            "x-forwarded-proto": ["https"],
            "x-forwarded-host": ["public.example"],
            "x-forwarded-prefix": ["/chat"],
        }
        await behind.http.get(f"{behind.url}/chat/x")
        assert fields(replica)["x-forwarded-for"] == "127.0.0.1"
        assert fields(replica)["x-forwarded-proto"] == "http"


async def test_callers_behind_it_are_told_apart_by_the_address_that_it_saw(behind: AppProxyWorld) -> None:
    async with backend() as replica:
        once = RateLimits(requests_per_second=0.01)
        behind.apply(table("chat", caller_limits=once, routes=(route(port=replica.port),)))

        async def comes_from(chain: str, path: str = "chat/x") -> int:
            answer = await behind.http.get(f"{behind.url}/{path}", headers={"X-Forwarded-For": chain})
            return answer.status_code

        with capture_logs() as said:
            assert [await comes_from(f"192.0.2.{n}") for n in (1, 2, 1, 1, 1)] == [200, 200, 429, 429, 429]
            assert await comes_from("192.0.2.9, 192.0.2.1") == 429, "what it says itself changes nothing"
            assert await comes_from("192.0.2.3, 127.0.0.1") == 200
            assert await comes_from("192.0.2.4", "nobody/x") == 404

            def logged() -> list[str]:
                return [line["caller"] for line in said if line["event"] == "request_ended"]

            await eventually(lambda: len(logged()) == 8)
        assert logged() == [f"192.0.2.{n}" for n in (1, 2, 1, 1, 1, 1, 3, 4)]


async def test_of_ipv6_callers_a_64_is_one(behind: AppProxyWorld) -> None:
    async with backend() as replica:
        once = RateLimits(requests_per_second=0.01)
        behind.apply(table("chat", caller_limits=once, routes=(route(port=replica.port),)))
        came = []
        for address in ("2001:db8::1", "2001:db8::2:3", "2001:db8:0:1::1"):
            answer = await behind.http.get(f"{behind.url}/chat/x", headers={"X-Forwarded-For": address})
            came.append(answer.status_code)
        assert came == [200, 429, 200]


async def test_another_peer_is_not_believed_whose_limits_count(behind: AppProxyWorld) -> None:
    async with backend() as replica:
        once = RateLimits(requests_per_second=0.01)
        behind.apply(table("chat", caller_limits=once, routes=(route(port=replica.port),)))
        async with httpx.AsyncClient(
            verify=False, timeout=60, transport=httpx.AsyncHTTPTransport(local_address="127.0.0.2")
        ) as http:
            came = [await http.get(f"{behind.url}/chat/x", headers={"X-Forwarded-For": f"192.0.2.{n}"}) for n in (1, 2)]
        assert [answer.status_code for answer in came] == [200, 429]


async def test_another_peer_is_not(behind: AppProxyWorld) -> None:
    async with backend() as replica:
        behind.apply(table("chat", routes=(route(port=replica.port),)))
        async with httpx.AsyncClient(
            verify=False, timeout=60, transport=httpx.AsyncHTTPTransport(local_address="127.0.0.2")
        ) as http:
            await http.get(f"{behind.url}/chat/x", headers=CLAIMED)
        assert fields(replica)["x-forwarded-for"] == "127.0.0.2"
        assert claims(fields(replica)).keys() == TOLD


async def test_requests_of_one_connection_do_not_inherit_from_each_other(behind: AppProxyWorld) -> None:
    async with backend() as replica:
        behind.apply(table("chat", open_to_public=True, clients=(ROBOT,), routes=(route(port=replica.port),)))
        for given in (CLAIMED | {"Authorization": BASIC}, {}, CLAIMED, {"Authorization": BASIC}):
            await behind.http.get(f"{behind.url}/chat/x", headers=given)
        assert behind.proxy.traffic.snapshot().connections == 1
        seen = [fields(replica, number) for number in range(4)]
        assert [one.get("x-forwarded-user") for one in seen] == ["robot", None, None, "robot"]
        assert [one["x-forwarded-proto"] for one in seen] == ["https", "http", "https", "http"]
        assert [one["x-forwarded-for"].count(",") for one in seen] == [2, 0, 2, 0]


async def test_an_ipv4_peer_on_a_socket_for_both_is_itself(behind: AppProxyWorld) -> None:
    line = behind.plane.downstreams.connect(Listener(None))
    transport = Mock()
    transport.get_extra_info.return_value = ("::ffff:127.0.0.1", 1, 0, 0)
    line.connection_made(transport)
    assert (line.address, line.trusted) == ("127.0.0.1", True)
    line.connection_lost(None)
