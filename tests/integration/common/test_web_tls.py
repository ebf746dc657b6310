"""A server by https: only by TLS, and with certificates that are replaced while it runs."""

from __future__ import annotations

import asyncio
import hashlib
import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest

from headrace.common.runtime.tls import ServerCertificate, TlsFileError
from headrace.common.web import app as web_app
from headrace.common.web.app import WebServer, make_app
from headrace.install.certificates import KeyPair, new_authority, new_certificate
from tests.support.wait import eventually

NOW = datetime.now(UTC)


@dataclass
class Https:
    """A running server, its files and its authority."""

    port: int
    folder: Path
    authority: KeyPair

    @property
    def client(self) -> ssl.SSLContext:
        return ssl.create_default_context(cadata=self.authority.certificate)

    async def shown(self) -> str:
        """Return the SHA-256 of the certificate that a new connection is shown."""
        _, writer = await asyncio.open_connection("127.0.0.1", self.port, ssl=self.client)
        certificate: bytes = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
        writer.close()
        await writer.wait_closed()
        return hashlib.sha256(certificate).hexdigest()

    def put(self, pair: KeyPair) -> str:
        """Replace the files, as `headrace init` does, and return the certificate's SHA-256."""
        for name, content in (("server.crt", pair.certificate), ("server.key", pair.key)):
            (self.folder / "new").write_text(content)
            (self.folder / "new").replace(self.folder / name)
        return pair.fingerprint.replace(":", "").lower()


@pytest.fixture
async def https(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Https]:
    monkeypatch.setattr(web_app, "REFRESH_S", 0.05)
    there = Https(0, tmp_path, new_authority("here", NOW))
    there.put(new_certificate(there.authority, ["127.0.0.1"], NOW))
    certificate = ServerCertificate(tmp_path / "server.crt", tmp_path / "server.key")
    server = WebServer(make_app(), host="127.0.0.1", port=0, certificate=certificate)
    running = asyncio.create_task(server.run())
    await server.started.wait()
    there.port = server.port
    yield there
    server.stop()
    await running


async def test_it_answers_by_https_to_who_trusts_its_authority(https: Https) -> None:
    async with httpx.AsyncClient(verify=https.client, timeout=60) as client:
        assert (await client.get(f"https://127.0.0.1:{https.port}/livez")).json() == {"status": "ok"}
        with pytest.raises(httpx.ConnectError, match="certificate"):
            await client.get(f"https://localhost:{https.port}/livez")  # another name
    async with httpx.AsyncClient(verify=ssl.create_default_context(), timeout=60) as stranger:
        with pytest.raises(httpx.ConnectError, match="certificate"):
            await stranger.get(f"https://127.0.0.1:{https.port}/livez")


async def test_without_tls_nothing_is_answered(https: Https) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", https.port)
    writer.write(b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n")
    async with asyncio.timeout(60):
        assert b"HTTP" not in await reader.read()
    writer.close()


async def test_a_replaced_certificate_is_shown_to_new_connections_and_a_wrong_one_is_not(
    https: Https, monkeypatch: pytest.MonkeyPatch
) -> None:
    refresh, refused = ServerCertificate.refresh, list[TlsFileError]()

    def watched(certificate: ServerCertificate) -> bool:
        try:
            return refresh(certificate)
        except TlsFileError as error:
            refused.append(error)
            raise

    monkeypatch.setattr(ServerCertificate, "refresh", watched)
    first = await https.shown()
    async with httpx.AsyncClient(verify=https.client, timeout=60) as open_since:
        await open_since.get(f"https://127.0.0.1:{https.port}/livez")
        second = https.put(new_certificate(https.authority, ["127.0.0.1"], NOW))
        assert second != first

        async def is_shown() -> bool:
            return await https.shown() == second

        assert await eventually(is_shown)
        (https.folder / "server.key").write_text("nothing")
        (https.folder / "server.crt").write_text("nothing")
        assert await eventually(lambda: any("does not fit" in str(error) for error in refused))
        assert await https.shown() == second
        assert (await open_since.get(f"https://127.0.0.1:{https.port}/livez")).status_code == 200
