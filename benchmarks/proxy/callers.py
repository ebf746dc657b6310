"""Realistic requests: SDKs, services with traces, programs, browsers; no two have the same head.

Names, order and spelling of the fields are those of the named clients. What differs in production differs here: the
token, the trace, the request's id, the idempotency key, versions, cookies, the query string, the length of the body.
Drawn from seeds: each run, and each proxy in it, gets the same requests except for their tokens.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from random import Random

HOW_MANY = 12_000
"""Different requests that are sent in turn: more than any bounded memory of their heads, fields or lines holds."""
TOKENS = 512
"""Different callers among them."""
_WORDS = (
    "water",
    "runs",
    "downhill",
    "because",
    "stones",
    "are",
    "patient",
    "and",
    "rivers",
    "remember",
    "where",
    "they",
    "fell",
)
_Draw = Callable[[Random], list[str]]


def request(number: int, *, prefix: str, tokens: Sequence[str]) -> bytes:
    """Return the complete HTTP/1.1 request number `number`. With empty `tokens` it has none."""
    chance = Random(number)
    client = chance.choices(_CLIENTS, weights=_SHARES)[0]
    question = " ".join(chance.choices(_WORDS, k=chance.randrange(4, 60)))
    asked: dict[str, object] = {"model": "m", "messages": [{"role": "user", "content": f"{number}: {question}"}]}
    if chance.random() < 0.5:
        asked["temperature"] = round(chance.random(), 2)
    body = json.dumps(asked, separators=(",", ":")).encode()
    token = [f"Authorization: Bearer {tokens[chance.randrange(len(tokens))]}"] if tokens else []
    first, *fields = client(chance)
    lines = [
        f"POST {prefix}{first} HTTP/1.1",
        "Host: models.example.com",
        *fields,
        *token,
        f"Content-Length: {len(body)}",
    ]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def _hex(chance: Random, digits: int) -> str:
    return f"{chance.getrandbits(4 * digits):0{digits}x}"


def _uuid(chance: Random) -> str:
    whole = _hex(chance, 32)
    return f"{whole[:8]}-{whole[8:12]}-4{whole[13:16]}-a{whole[17:20]}-{whole[20:]}"


def _trace(chance: Random) -> str:
    return f"traceparent: 00-{_hex(chance, 32)}-{_hex(chance, 16)}-01"


def _openai_python(chance: Random) -> list[str]:
    version = f"1.{chance.randrange(60, 110)}.{chance.randrange(3)}"
    return [
        "/v1/chat/completions",
        "Accept-Encoding: gzip, deflate",
        "Connection: keep-alive",
        "Accept: application/json",
        "Content-Type: application/json",
        f"User-Agent: AsyncOpenAI/Python {version}",
        "X-Stainless-Lang: python",
        f"X-Stainless-Package-Version: {version}",
        "X-Stainless-OS: Linux",
        "X-Stainless-Arch: x64",
        "X-Stainless-Runtime: CPython",
        f"X-Stainless-Runtime-Version: 3.{chance.randrange(9, 14)}.{chance.randrange(9)}",
        "X-Stainless-Async: async:asyncio",
        "x-stainless-retry-count: 0",
        "x-stainless-read-timeout: 600",
        f"X-Request-Id: {_uuid(chance)}",
    ]


def _traced_python(chance: Random) -> list[str]:
    return [*_openai_python(chance), _trace(chance), f"baggage: session={_hex(chance, 12)}"]


def _openai_node(chance: Random) -> list[str]:
    version = f"5.{chance.randrange(30)}.{chance.randrange(3)}"
    return [
        "/v1/chat/completions",
        "connection: keep-alive",
        "accept: application/json",
        "content-type: application/json",
        f"user-agent: OpenAI/JS {version}",
        "x-stainless-retry-count: 0",
        "x-stainless-timeout: 600",
        "x-stainless-lang: js",
        f"x-stainless-package-version: {version}",
        "x-stainless-os: Linux",
        "x-stainless-arch: x64",
        "x-stainless-runtime: node",
        f"x-stainless-runtime-version: v22.{chance.randrange(20)}.0",
        f"idempotency-key: stainless-node-retry-{_uuid(chance)}",
        "accept-language: *",
        "sec-fetch-mode: cors",
        "accept-encoding: gzip, deflate",
    ]


def _go_service(chance: Random) -> list[str]:
    return [
        f"/v1/chat/completions?tenant=t{chance.randrange(200)}&call={_hex(chance, 10)}",
        "User-Agent: Go-http-client/1.1",
        "Content-Type: application/json",
        _trace(chance),
        f"X-Request-Id: {_uuid(chance)}",
        f"X-Tenant: t{chance.randrange(200)}",
        "Accept-Encoding: gzip",
    ]


def _curl(chance: Random) -> list[str]:
    return [
        f"/v1/chat/completions?user={_hex(chance, 8)}",
        f"User-Agent: curl/8.{chance.randrange(17)}.{chance.randrange(2)}",
        "Accept: */*",
        "Content-Type: application/json",
    ]


def _browser(chance: Random) -> list[str]:
    version = chance.randrange(120, 143)
    return [
        f"/v1/chat/completions?conversation={_uuid(chance)}",
        "Connection: keep-alive",
        'sec-ch-ua-platform: "Linux"',
        f"User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/{version}.0.0.0 Safari/537.36",
        f'sec-ch-ua: "Chromium";v="{version}", "Not?A_Brand";v="24"',
        "Content-Type: application/json",
        "sec-ch-ua-mobile: ?0",
        "Accept: */*",
        "Origin: https://app.example.com",
        "Sec-Fetch-Site: same-site",
        "Sec-Fetch-Mode: cors",
        "Sec-Fetch-Dest: empty",
        "Referer: https://app.example.com/",
        "Accept-Encoding: gzip, deflate, br, zstd",
        "Accept-Language: en-GB,en;q=0.9",
        f"Cookie: session={_hex(chance, 40)}; theme=dark; _seen={_hex(chance, 12)}",
    ]


_CLIENTS: tuple[_Draw, ...] = (_openai_python, _traced_python, _openai_node, _go_service, _curl, _browser)
_SHARES = (30, 25, 15, 15, 5, 10)
