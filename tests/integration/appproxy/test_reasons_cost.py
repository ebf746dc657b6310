"""A request that succeeds pays nothing for the catalogue of reasons: no member of an enum is looked up on its way."""

from __future__ import annotations

import json
import sys
from typing import Any

import pytest

from headrace.common.contracts.messages.routes import RateLimits
from headrace.common.contracts.reasons import proxy
from tests.support.factories.route_tables import PROJECT, route, table
from tests.support.worlds.appproxy import AppProxyWorld, backend, raw_request


class Watched:
    """A catalogue that notes which of its members are looked up."""

    def __init__(self, catalogue: Any, seen: list[str]) -> None:
        self._catalogue = catalogue
        self._seen = seen

    def __getattr__(self, name: str) -> Any:
        self._seen.append(name)
        return getattr(self._catalogue, name)


@pytest.fixture
def looked_up(world: AppProxyWorld, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The members that the running data plane looks up."""
    assert world.port, "it runs: what is looked up when it starts does not count"
    seen: list[str] = []
    watched = {name: Watched(getattr(proxy, name), seen) for name in ("ProxyReason", "ModelReason")}
    for module in [m for name, m in sys.modules.items() if name.startswith("headrace.appproxy.dataplane.")]:
        for name in watched.keys() & vars(module).keys():
            monkeypatch.setattr(module, name, watched[name])
    return seen


def post(path: str, content: dict[str, Any]) -> bytes:
    body = json.dumps(content).encode()
    return b"POST %b HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%b" % (path.encode(), len(body), body)


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"GET /chat/v1/models HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /chat/v1/models HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer sk-none-of-ours\r\n\r\n",
        post("/chat/v1/chat/completions", {"messages": []}),
        post("/v1/chat/completions", {"model": f"{PROJECT}/chat", "messages": []}),
        post("/v1/chat/completions", {"messages": ["x" * 100_000], "model": f"{PROJECT}/chat"}),
    ],
    ids=[
        "its own address",
        "with a key of another's",
        "with a body",
        "the fleet's base URL",
        "a model behind a long prompt",
    ],
)
@pytest.mark.parametrize("limits", [RateLimits(), RateLimits(tokens_per_minute=1_000_000, in_flight=10)])
async def test_a_request_that_succeeds_looks_up_no_reason(
    world: AppProxyWorld, looked_up: list[str], request_bytes: bytes, limits: RateLimits
) -> None:
    async with backend() as replica:
        world.apply(table("chat", routes=(route(port=replica.port),), caller_limits=limits))
        answer = await raw_request(world.port, request_bytes, until=b"\r\n")
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert looked_up == []


async def test_a_refusal_does(world: AppProxyWorld, looked_up: list[str]) -> None:
    answer = await raw_request(world.port, b"GET /absent/ HTTP/1.1\r\nHost: x\r\n\r\n", until=b"\r\n")
    assert answer.startswith(b"HTTP/1.1 404 ")
    assert "UNKNOWN_SERVICE" in looked_up
