"""The health check of the images: its exit status, and the one line that `docker inspect` shows."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest
from aiohttp import web

from headrace.common.contracts.readiness import ReadinessCheck
from headrace.common.runtime.tls import server_context
from headrace.common.web.app import WebServer, make_app
from headrace.common.web.probe import main
from headrace.install.certificates import new_authority, new_certificate
from tests.support.ports import free_port
from tests.support.wait import eventually


class Failing(ReadinessCheck):
    """One check of a test."""

    DATABASE = "database", "It is away.", "Bring it back."


@pytest.mark.parametrize(
    ("why", "status", "said"), [(None, 0, ""), ("connection refused", 1, "answered 503: database: connection refused")]
)
async def test_a_service_that_is_not_ready_says_why(
    capsys: pytest.CaptureFixture[str], why: str | None, status: int, said: str
) -> None:
    port = free_port()
    server = WebServer(make_app(checks={Failing.DATABASE: lambda: why}), host="127.0.0.1", port=port)
    running = asyncio.create_task(server.run())
    try:

        async def lives() -> bool:
            return await asyncio.to_thread(main, [f"http://127.0.0.1:{port}/livez"]) == 0

        assert await eventually(lives, within_s=20)
        capsys.readouterr()
        assert await asyncio.to_thread(main, [f"http://127.0.0.1:{port}/readyz"]) == status
        assert said in capsys.readouterr().err
    finally:
        server.stop()
        await running


async def test_nobody_there_a_foreign_answer_and_wrong_usage_are_one_line(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert await asyncio.to_thread(main, [f"http://127.0.0.1:{free_port()}/readyz"]) == 1
    assert "does not answer" in capsys.readouterr().err
    assert await asyncio.to_thread(main, ["https://127.0.0.1:1/readyz", str(tmp_path / "none")]) == 1
    assert "cannot be read" in capsys.readouterr().err
    assert main(["ftp://there"]) == 2

    async def busy(_: web.Request) -> web.Response:
        return web.Response(status=500, text="<html>")

    app = web.Application()
    app.router.add_get("/readyz", busy)
    runner = web.AppRunner(app)
    await runner.setup()
    port = free_port()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    try:
        assert await asyncio.to_thread(main, [f"http://127.0.0.1:{port}/readyz"]) == 1
        assert capsys.readouterr().err.endswith("answered 500: Internal Server Error\n")
    finally:
        await runner.cleanup()


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (b"", "does not answer: the connection ended without an answer"),
        (b"SSH-2.0-x\r\n", "does not answer: found 'SSH-2.0-x'; allowed: HTTP"),
        (b"HTTP/1.1 503\r\n\r\n{}", "answered 503: "),
        (b'HTTP/1.1 503 Away\r\n\r\n{"failing": []}', "answered 503: Away"),
        (b"HTTP/1.0 204 No Content\r\n\r\n", ""),
    ],
)
async def test_whatever_answers_is_told_from_a_service(
    capsys: pytest.CaptureFixture[str], answer: bytes, said: str
) -> None:
    async def answers(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        writer.close()

    async with await asyncio.start_server(answers, "127.0.0.1", 0) as server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/readyz"
        assert await asyncio.to_thread(main, [url]) == (1 if said else 0)
    assert capsys.readouterr().err == (f"{url} {said}\n" if said else "")


async def test_tls_is_verified_by_the_given_authority(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    now, files = datetime.now(UTC), {}
    authority = new_authority("the test", now)
    server = new_certificate(authority, ["127.0.0.1"], now)
    texts = {"crt": server.certificate, "key": server.key, "ca": authority.certificate}
    for name, text in (texts | {"other": new_authority("another", now).certificate}).items():
        files[name] = tmp_path / name
        files[name].write_text(text)

    async def answers(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.0 200 OK\r\n\r\n")
        writer.close()

    context = server_context(files["crt"], files["key"])
    async with await asyncio.start_server(answers, "127.0.0.1", 0, ssl=context) as running:
        url = f"https://127.0.0.1:{running.sockets[0].getsockname()[1]}/readyz"
        assert await asyncio.to_thread(main, [url, str(files["ca"])]) == 0
        assert capsys.readouterr().err == ""
        assert await asyncio.to_thread(main, [url, str(files["other"])]) == 1
    assert "certificate verify failed" in capsys.readouterr().err


def test_it_loads_little() -> None:
    """It runs in every container, every few seconds."""
    code = "import sys; from headrace.common.web.probe import main; main(['http://127.0.0.1:1/']); print(*sys.modules)"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert "socket" in ran.stdout.split()
    assert not {"ssl", "json", "email", "http.client", "urllib.request", "asyncio"} & set(ran.stdout.split())
