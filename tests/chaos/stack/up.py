"""`headrace up` with a second manager, agents that leave their kernels alone, and links that go through relays.

Run as a child by `tests.chaos.stack.fleet`; the relays and the second manager's port come in CHAOS_UP.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import os
import re
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import structlog

from headrace.embedded.ports import HOST
from headrace.embedded.services import Installation, Service, UpOptions, default_services
from headrace.embedded.supervisor import run

_URLS = {"nats": "NATS_URL", "postgres": "DATABASE_URL", "valkey": "REDIS_URL"}
_PREFIXES = {"manager": "MANAGER", "agent": "AGENT", "appproxy": "APPPROXY", "autoscaler": "AUTOSCALER"}


def services(there: Installation, base: Mapping[str, str]) -> tuple[Service, ...]:
    """Return the services as in production: several of a kind, and agents that leave their kernels running."""
    told = json.loads(os.environ["CHAOS_UP"])
    made = []
    for service in default_services(there, base):
        made.append(service)
        if service.name == "manager":
            port = int(told["second_manager"])
            env = {**service.env, "HEADRACE_MANAGER_LISTEN_PORT": str(port)}
            url = f"http://{HOST}:{port}/readyz"
            made.append(replace(service, name="manager-2", env=env, port=port, ready_url=url, start_tier=1))
    return tuple(replace(one, env=_changed(one, told["relays"])) for one in made)


def _changed(service: Service, relays: Mapping[str, int]) -> dict[str, str]:
    prefix = f"HEADRACE_{_PREFIXES[service.name.split('-')[0]]}_"
    env = dict(service.env)
    for store, key in _URLS.items():
        port = relays.get(f"{service.name}:{store}")
        if port is not None:
            env[prefix + key] = re.sub(r"127\.0\.0\.1:\d+", f"127.0.0.1:{port}", env[prefix + key])
    if prefix == "HEADRACE_AGENT_":
        env[prefix + "STOP_KERNELS_ON_EXIT"] = "false"
    if prefix == "HEADRACE_APPPROXY_":
        env[prefix + "WORKERS"] = "2"
    return env


def main() -> int:
    """Run until SIGINT or SIGTERM."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=Path, required=True)
    for name in ("--port", "--proxy-port", "--agents", "--simulate-gpus"):
        parser.add_argument(name, type=int, required=True)
    parser.add_argument("--runtime", choices=("process", "docker"), required=True)
    given = parser.parse_args()
    logging.basicConfig(stream=sys.stdout, level=logging.INFO)
    structlog.configure(logger_factory=structlog.PrintLoggerFactory())
    options = UpOptions(
        data=given.data,
        runtime=given.runtime,
        simulate_gpus=given.simulate_gpus,
        agents=given.agents,
        api_port=given.port,
        proxy_port=given.proxy_port,
    )
    asyncio.run(run(options, lambda stage, detail: print(stage, detail, flush=True), services=services))
    return 0


if __name__ == "__main__":
    sys.exit(main())
