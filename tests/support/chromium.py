"""Headless Chromium, driven over its DevTools protocol; installed from Debian where it is missing and that is allowed."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
from websockets.asyncio.client import ClientConnection, connect

from tests.support.nginx import installed
from tests.support.wait import eventually

_FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-proxy-server",
    "--remote-debugging-port=0",
    "--remote-allow-origins=*",
)


class Page:
    """Browser tab."""

    def __init__(self, socket: ClientConnection) -> None:
        self._socket = socket
        self._numbers = itertools.count(1)

    async def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Send a DevTools command and return its result. AssertionError if the browser refuses it."""
        number = next(self._numbers)
        await self._socket.send(json.dumps({"id": number, "method": method, "params": parameters}))
        while True:
            message = json.loads(await self._socket.recv())
            if message.get("id") == number:
                assert "error" not in message, message
                return dict(message["result"])

    async def open(self, url: str) -> None:
        """Open `url` and wait until it is loaded."""
        await self.call("Page.navigate", url=url)

        async def loaded() -> bool:
            return bool(await self.run("location.href != 'about:blank' && document.readyState == 'complete'"))

        await eventually(loaded, what=f"{url} is loaded")

    async def run(self, script: str) -> Any:
        """Return the value of an expression, awaited if it is a promise. AssertionError if it throws."""
        result = await self.call("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in result, result
        return result["result"].get("value")


@asynccontextmanager
async def chromium(folder: Path) -> AsyncIterator[Page]:
    """A browser with an empty profile in `folder`, and one empty tab."""
    program = await asyncio.to_thread(installed, "chromium", "chromium")
    with (folder / "chromium.log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            program, *_FLAGS, f"--user-data-dir={folder}/profile", "about:blank", stdout=log, stderr=log
        )
    port_file = folder / "profile" / "DevToolsActivePort"
    try:
        await eventually(lambda: port_file.exists() and len(port_file.read_text().splitlines()) == 2, within_s=60)
        port = port_file.read_text().splitlines()[0]
        async with httpx.AsyncClient(verify=False, timeout=60) as http:
            tabs = (await http.get(f"http://127.0.0.1:{port}/json/list")).json()
        tab = next(tab for tab in tabs if tab["type"] == "page")
        async with connect(tab["webSocketDebuggerUrl"], max_size=None) as socket:
            yield Page(socket)
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()
