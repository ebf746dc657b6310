"""Request bodies: what the caller chose is refused with a reason, however it is built."""

from __future__ import annotations

import asyncio

import pytest
from aiohttp import StreamReader, web
from aiohttp.base_protocol import BaseProtocol
from aiohttp.test_utils import make_mocked_request

from headrace.common.contracts.http.folders import CreateFolder
from headrace.common.contracts.problems import InvalidRequest
from headrace.manager.api.incoming import read_body


def request(body: bytes) -> web.Request:
    loop = asyncio.get_running_loop()
    payload = StreamReader(BaseProtocol(loop), 2**20, loop=loop)
    payload.feed_data(body)
    payload.feed_eof()
    return make_mocked_request("POST", "/v1/folders", {"Content-Type": "application/json"}, payload=payload)


@pytest.mark.parametrize("depth", [1, 300, 800, 100_000])
@pytest.mark.parametrize(("before", "after"), [(b"[", b"]"), (b'{"a":', b"}")])
async def test_a_body_nested_deeply_around_a_nul_is_refused(depth: int, before: bytes, after: bytes) -> None:
    with pytest.raises(InvalidRequest):
        await read_body(request(before * depth + b'"\\u0000"' + after * depth), CreateFolder)


@pytest.mark.parametrize("body", [b'{"name": "a\\u0000"}', b'{"\\u0000": 1}', b'["\\u0000"]'])
async def test_a_nul_is_named(body: bytes) -> None:
    with pytest.raises(InvalidRequest, match="NUL"):
        await read_body(request(body), CreateFolder)
