"""App-proxies and autoscalers join by their own commands, and connect to the bus with what these wrote."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import tomllib
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from headrace.autoscaler.settings import Settings as AutoscalerSettings
from headrace.autoscaler.settings import identity_file
from headrace.common.db.pool import Pool
from tests.support.ports import free_port
from tests.support.wait import eventually
from tests.support.worlds.installation import running
from tests.support.worlds.joining import Joinable, joinable


@pytest.fixture
async def there(pool: Pool, tmp_path: Path) -> AsyncIterator[Joinable]:
    async with joinable(pool, tmp_path) as world:
        yield world


async def join(there: Joinable, module: str, kind: str, folder: Path, *more: str) -> subprocess.CompletedProcess[str]:
    own = ["--ca-file", str(there.folder / "tls/ca.crt"), "--dir", str(folder / "etc"), "--no-service"]
    words = ["--url", there.url, *own, *more]
    return await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-m", f"headrace.{module}", "join", *words, "--data-dir", str(folder / "data")],
        env={**os.environ, "HEADRACE_JOIN_TOKEN": await there.token(kind)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


async def test_an_app_proxy_joins_and_is_ready(there: Joinable, tmp_path: Path) -> None:
    folder, port, admin = tmp_path / "edge", free_port(), free_port()
    ports = ("--listen-port", str(port), "--admin-port", str(admin), "--listen-host", "127.0.0.1")
    joined = await join(there, "appproxy", "proxy", folder, "--name", "edge-2", *ports)
    assert joined.returncode == 0, joined.stdout + joined.stderr
    assert "none: it limits callers for itself, not with others" in joined.stdout
    environ = {"HEADRACE_APPPROXY_CONFIG": str(folder / "etc/settings/edge-2.toml")}
    (folder / "data").mkdir(exist_ok=True)
    log = folder / "proxy.log"
    with running(sys.executable, "-m", "headrace.appproxy", log=log, environ=environ):

        async def connected() -> bool:
            async with httpx.AsyncClient(verify=False) as http:
                try:
                    answer = await http.get(f"http://127.0.0.1:{admin}/readyz")
                except httpx.HTTPError:
                    return False
                return answer.status_code == 200 and "not connected" not in answer.text

        assert await eventually(connected, within_s=60), log.read_text()
        assert (folder / "data/identity.creds").stat().st_mode & 0o777 == 0o600
        taken = await join(there, "appproxy", "proxy", tmp_path / "other", "--name", "edge-3", *ports)
        assert taken.returncode == 1
        assert f"{port}, {admin} in use" in taken.stdout


async def test_an_autoscaler_joins_with_redis_of_a_file_or_lacks_that_alone(
    there: Joinable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, words = tmp_path / "scaler", ("--admin-port", "0")
    joined = await join(there, "autoscaler", "autoscaler", folder, "--name", "scaler-2", *words)
    assert joined.returncode == 0, joined.stdout + joined.stderr
    assert "none: its start takes HEADRACE_AUTOSCALER_REDIS_URL" in joined.stdout
    assert "redis_url" not in tomllib.loads((folder / "etc/settings/scaler-2.toml").read_text())
    (tmp_path / "redis").write_text("redis://:hidden@127.0.0.1:1\n")
    redis = ("--redis-url-file", str(tmp_path / "redis"))
    whole = await join(there, "autoscaler", "autoscaler", folder, "--name", "scaler-3", *words, *redis)
    assert whole.returncode == 0, whole.stdout + whole.stderr
    assert "hidden" not in whole.stdout + whole.stderr
    file = folder / "etc/settings/scaler-3.toml"
    assert file.stat().st_mode & 0o777 == 0o600
    monkeypatch.setenv("HEADRACE_AUTOSCALER_CONFIG", str(file))
    settings = AutoscalerSettings()
    assert settings.redis_url.get_secret_value() == "redis://:hidden@127.0.0.1:1"
    assert (settings.id, settings.nats_user) == ("scaler-3", "scaler-3")
    assert identity_file(settings) == folder / "data/identity.creds"
