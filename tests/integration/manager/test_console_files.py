"""The web console's files over HTTP, of a small built console: what a browser, and somebody with bad intentions, gets."""

from __future__ import annotations

import asyncio
import gzip
import re
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from headrace.common.db.pool import Pool
from tests.support.wait import eventually
from tests.support.worlds.manager_api import serving

SCRIPT = b"document.title = 'Headrace'\n"
PAGE = '<!doctype html><meta property="csp-nonce" nonce="__CSP_NONCE__"><script type="module" src="/console/assets/a-1.js">'


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "built"


@pytest.fixture
async def http(pool: Pool, tmp_path: Path, folder: Path) -> AsyncIterator[httpx.AsyncClient]:
    settings = {"console_dir": folder, "console_chat_origins": ["https://chat.example.com"]}
    async with (
        serving(pool, tmp_path, **settings) as api,
        httpx.AsyncClient(
            verify=False, base_url=api.url, timeout=60, headers={"Accept-Encoding": "identity"}
        ) as client,
    ):
        yield client


def build(folder: Path) -> None:
    (folder / "assets").mkdir(parents=True)
    (folder / "assets" / "a-1.js").write_bytes(SCRIPT)
    (folder / "assets" / "a-1.js.gz").write_bytes(gzip.compress(SCRIPT))
    (folder / "assets" / "a-1.js.br").write_bytes(b"brotli")
    (folder / "index.html").write_text(PAGE)


async def found(http: httpx.AsyncClient, path: str) -> httpx.Response:
    answer = await http.get(path)
    assert answer.status_code == 200
    return answer


async def raw(url: str, target: str) -> bytes:
    """Ask for a target that clients would tidy up first."""
    place = urlsplit(url)
    reader, writer = await asyncio.open_connection(place.hostname, place.port)
    writer.write(f"GET {target} HTTP/1.1\r\nHost: {place.netloc}\r\nConnection: close\r\n\r\n".encode())
    answer = await reader.read()
    writer.close()
    await writer.wait_closed()
    return answer


async def test_the_page_its_policy_and_its_assets(http: httpx.AsyncClient, folder: Path) -> None:
    waiting = await http.get("/console/login")
    assert (waiting.status_code, waiting.headers["Retry-After"]) == (503, "3")
    assert "make console" in waiting.text
    build(folder)

    for path in ("/", "/console"):
        led = await http.get(path)
        assert (led.status_code, led.headers["Location"]) == (302, "/console/")
    pages = []
    for path in ("/console/", "/console/services/chat?tab=logs"):
        page = await eventually(lambda path=path: found(http, path))  # it is looked for once a second
        assert page.headers["Content-Type"] == "text/html; charset=utf-8"
        assert page.headers["Cache-Control"] == "no-store"
        assert page.headers["X-Request-Id"]
        assert "Set-Cookie" not in page.headers
        assert not [name for name in page.headers if name.startswith("access-control-")]
        (nonce,) = re.findall(r'nonce="([^"]+)"', page.text)
        assert f"style-src 'self' 'nonce-{nonce}';" in page.headers["Content-Security-Policy"]
        assert "connect-src 'self' https://chat.example.com;" in page.headers["Content-Security-Policy"]
        pages.append(nonce)
    assert len(set(pages)) == 2
    assert min(len(nonce) for nonce in pages) >= 22, "128 bits"

    plain = await http.get("/console/assets/a-1.js")
    assert (plain.content, plain.headers["Content-Type"]) == (SCRIPT, "text/javascript; charset=utf-8")
    zipped = await http.get("/console/assets/a-1.js", headers={"Accept-Encoding": "gzip, deflate"})
    assert (zipped.content, zipped.headers["Content-Encoding"]) == (SCRIPT, "gzip")
    smallest = await http.head("/console/assets/a-1.js", headers={"Accept-Encoding": "gzip, deflate, br"})
    assert (smallest.headers["Content-Encoding"], smallest.headers["Content-Length"], smallest.content) == (
        "br",
        "6",
        b"",
    )
    known = await http.get("/console/assets/a-1.js", headers={"If-None-Match": plain.headers["ETag"]})
    assert (known.status_code, known.content) == (304, b"")

    gone = await http.get("/console/assets/a-0.js")
    assert (gone.status_code, gone.headers["Content-Type"]) == (404, "application/problem+json")
    assert gone.json()["type"].endswith("not-found")
    posted = await http.post("/console/", content=b"x")
    assert (posted.status_code, posted.headers["Allow"]) == (405, "GET, HEAD")
    assert (
        'path="/console/{path}"' in (await http.get("/metrics")).text
        or "/console/{path}" in (await http.get("/metrics")).text
    )


async def test_no_path_leads_out_of_the_table_of_files(http: httpx.AsyncClient, folder: Path, tmp_path: Path) -> None:
    build(folder)
    (tmp_path / "secret.txt").write_text("the secret")
    (folder / "assets" / "link.js").symlink_to(tmp_path / "secret.txt")
    for target in (
        "/console/../secret.txt",
        "/console/%2e%2e/secret.txt",
        "/console/..%2fsecret.txt",
        "/console/assets/../../secret.txt",
        "/console/assets/..%2f..%2fsecret.txt",
        "/console/assets/..%5c..%5csecret.txt",
        f"/console/{tmp_path}/secret.txt",
        f"/console/assets/%2f{tmp_path}/secret.txt",
        "/console/assets/link.js",
        "/console/assets/%00",
        "/console/assets/a-1.js%00.html",
        "/console/assets/a-1.js.br",
        "//console/secret.txt",
    ):
        answer = await raw(str(http.base_url), target)
        status = int(answer.split()[1])
        assert status in {200, 302, 404}, (target, answer[:200])
        assert b"the secret" not in answer, target
        assert status != 200 or b"csp-nonce" in answer, target
