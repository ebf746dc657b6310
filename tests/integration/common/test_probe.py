"""The health check of the images: its exit status, and the one line that `docker inspect` shows."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from aiohttp import web

from headrace.common.contracts.readiness import ReadinessCheck
from headrace.common.web.app import WebServer, make_app
from headrace.common.web.probe import main
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
