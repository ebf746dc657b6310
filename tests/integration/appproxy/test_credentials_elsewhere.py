"""Credentials where clients of others put them: Anthropic's and Azure's keys, and browsers' WebSockets."""

from __future__ import annotations

import base64
from collections.abc import Sequence

import pytest
from websockets.asyncio.client import connect
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import InvalidStatus
from websockets.typing import Subprotocol

from tests.support.factories.route_tables import PROJECT, Signer, route, table
from tests.support.worlds.appproxy import AppProxyWorld, backend

SECRET = "hrc_" + "s" * 43


@pytest.mark.parametrize("name", ["x-api-key", "api-key"])
async def test_a_key_of_anthropics_and_azures_clients_is_a_token(world: AppProxyWorld, name: str) -> None:
    signer = Signer()
    async with backend() as replica:
        one = table("chat", open_to_public=False, token_keys=(signer.public,), routes=(route(port=replica.port),))
        world.apply(one)
        url = f"{world.url}/chat/v1/messages"
        answer = await world.http.post(url, json={}, headers={name: signer.token(one.service_id)})
        assert answer.status_code == 200
        assert name not in replica.seen[0].headers
        assert "authorization" not in replica.seen[0].headers
        fleet = await world.http.post(
            f"{world.url}/v1/messages", json={"model": "chat"}, headers={name: signer.token(PROJECT)}
        )
        assert fleet.status_code == 200
        assert (await world.http.post(url, json={}, headers={name: Signer().token(PROJECT)})).json()[
            "reason"
        ] == "bad-signature"
        assert (await world.http.post(url, json={}, headers={name: "sk-1"})).json()["reason"] == "missing-token"


async def test_credentials_of_ours_in_odd_places_do_not_reach_a_public_replica(world: AppProxyWorld) -> None:
    token = Signer().token(PROJECT)
    async with backend() as replica:
        world.apply(table("chat", routes=(route(port=replica.port),)))
        given = {
            "X-Api-Key": SECRET,
            "Api-Key": token,
            "Cookie": f"theme=dark; auth={token}",
            "X-Odd": f"Token {SECRET}",
            "Authorization": "Basic " + base64.b64encode(f"{SECRET}:".encode()).decode(),
        }
        assert (await world.http.get(f"{world.url}/chat/x", headers=given)).status_code == 200
        seen = replica.seen[0].headers
        assert {name for name in given if name in seen} == {"Cookie"}
        assert seen["Cookie"] == "theme=dark"
        foreign = {"X-Api-Key": "sk-1", "Authorization": "Bearer sk-2", "Cookie": "a=1; b=2"}
        await world.http.get(f"{world.url}/chat/x", headers=foreign)
        assert foreign.items() <= dict(replica.seen[1].headers).items(), "the engine's own pass"


async def answering(socket: ServerConnection) -> None:
    """Say what was asked for, with which subprotocols."""
    assert socket.request is not None
    await socket.send(f"{socket.request.path} {socket.request.headers.get('Sec-WebSocket-Protocol', '-')}")


def choose(_: ServerConnection, offered: Sequence[Subprotocol]) -> Subprotocol | None:
    """Choose `realtime`, or none."""
    return Subprotocol("realtime") if "realtime" in offered else None


@pytest.mark.parametrize(
    ("offered", "reaches", "chosen"),
    [
        (["headrace", "headrace.token.{}"], "-", "headrace"),
        (["realtime", "headrace.token.{}"], "realtime", "realtime"),
        (
            ["realtime", "openai-insecure-api-key.{}", "openai-beta.realtime-v1"],
            "realtime, openai-beta.realtime-v1",
            "realtime",
        ),
    ],
)
async def test_a_browsers_websocket_brings_its_token_as_a_subprotocol(
    world: AppProxyWorld, offered: list[str], reaches: str, chosen: str
) -> None:
    signer = Signer()
    async with serve(answering, "127.0.0.1", 0, select_subprotocol=choose) as server:
        port = server.sockets[0].getsockname()[1]
        world.apply(table("chat", open_to_public=False, token_keys=(signer.public,), routes=(route(port=port),)))
        subprotocols = [Subprotocol(one.format(signer.token(PROJECT))) for one in offered]
        for path in ("/chat/v1/realtime?model=chat", "/v1/realtime?model=chat"):
            async with connect(f"ws://127.0.0.1:{world.port}{path}", subprotocols=subprotocols) as socket:
                assert await socket.recv() == f"/v1/realtime?model=chat {reaches}"
                assert socket.subprotocol == chosen


@pytest.mark.parametrize(
    ("query", "token", "status"),
    [
        ("?model=nobody", "project", 404),
        ("", "project", 400),
        ("?model=chat&model=chat", "project", 400),
        ("?model=chat", "none", 401),
    ],
)
async def test_the_fleets_realtime_address_says_what_is_wrong(
    world: AppProxyWorld, query: str, token: str, status: int
) -> None:
    signer = Signer()
    world.apply(table("chat", open_to_public=False, token_keys=(signer.public,), routes=(route(),)))
    headers = {"Authorization": f"Bearer {signer.token(PROJECT)}"} if token == "project" else {}
    with pytest.raises(InvalidStatus) as caught:
        async with connect(f"ws://127.0.0.1:{world.port}/v1/realtime{query}", additional_headers=headers):
            pass
    assert caught.value.response.status_code == status
