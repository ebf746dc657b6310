"""Redis by Sentinel on the files of `headrace init`: what they say makes a primary, two replicas, and Sentinels that promote one."""

from __future__ import annotations

import signal
import tomllib
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import RedisError

from headrace.common.runtime.redis_client import redis_client
from headrace.embedded.binaries import valkey_server
from headrace.install.plan import REDIS_PORT
from tests.support.wait import eventually
from tests.support.worlds.installation import Ports, installed, on_this_machine, running
from tests.support.worlds.installed_nats import loopback_addresses


def copied(source: Path, to: Path, port: int) -> str:
    """Copy a configuration to a machine of its own, but for TLS, which the wheel's server lacks; return the copy."""
    (to / source.stem).mkdir(parents=True)
    lines = [line for line in source.read_text().splitlines() if not line.startswith(("tls-", "dir "))]
    assert "port 0" in lines
    file = to / source.name
    file.write_text("\n".join(lines).replace("port 0", f"port {port}") + f'\ndir "{to / source.stem}"\n')
    return str(file)


async def test_servers_of_these_files_fail_over_and_the_settings_find_the_new_primary(tmp_path: Path) -> None:
    hosts = [address.host for address in loopback_addresses(3)]
    address = f"redis+sentinel://{','.join(hosts)}/headrace"
    folder = installed(tmp_path / "etc", replace(on_this_machine(Ports(), tmp_path / "data"), redis=address))
    settings = tomllib.loads((folder / "settings/autoscaler.toml").read_text())
    url = settings["redis_url"].replace("rediss+", "redis+")
    password = url.partition("://:")[2].partition("@")[0]
    with ExitStack() as stack:
        servers = []
        for host in hosts:
            own = tmp_path / host
            file = copied(folder / "redis/redis.conf", own, REDIS_PORT)
            of = () if host == hosts[0] else ("--replicaof", hosts[0], str(REDIS_PORT))
            command = (str(valkey_server()), file, "--bind", host, "--replica-announce-ip", host, *of)
            servers.append(stack.enter_context(running(*command, log=own / "redis.log")))
        for host in hosts:
            own = tmp_path / host
            file = copied(folder / "redis/sentinel.conf", own, 26379)
            command = (str(valkey_server()), file, "--sentinel", "--bind", host, "--sentinel", "announce-ip", host)
            stack.enter_context(running(*command, log=own / "sentinel.log"))
        sentinel = Redis(host=hosts[1], port=26379, password=password, decode_responses=True, protocol=2)

        async def known() -> bool:
            try:
                told: Any = await sentinel.sentinel_master("headrace")
            except RedisError:
                return False
            return (told["num-slaves"], told["num-other-sentinels"]) == (2, 2)

        client = redis_client(url, None, timeout_s=3, retries=1, connections=2)

        async def counts() -> int:
            try:
                return int(await client.incr("count"))
            except RedisError as error:
                raise AssertionError(error) from error

        try:
            await eventually(known, within_s=60, every_s=0.1)
            assert await eventually(counts) == 1
            assert await client.execute_command("WAIT", 2, 20_000) == 2  # type: ignore[no-untyped-call]
            servers[0].send_signal(signal.SIGKILL)
            assert await eventually(counts, within_s=60, every_s=0.2) == 2, "what was there before is there"
        finally:
            await sentinel.aclose()
            await client.aclose()
