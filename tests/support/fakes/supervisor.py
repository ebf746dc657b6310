"""The supervisor as a program, with fakes of the services: `supervisor.py DATA API_PORT PROXY_PORT [MODE…]`; port 0: as
nobody asked for one.

MODE is `<service>=<word>[,<word>]`, handed to that fake. Prints one line per progress event.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import structlog

from headrace.embedded.errors import EmbeddedError, StartFailedError
from headrace.embedded.services import Installation, Service, default_services
from headrace.embedded.supervisor import UpOptions, run

FAKE_SERVICE = Path(__file__).with_name("service.py")


def main(data: str, api_port: str, proxy_port: str, *modes: str) -> int:
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    words = {name: mode.split(",") for name, mode in (pair.split("=") for pair in modes)}

    def services(there: Installation, base: Mapping[str, str]) -> Sequence[Service]:
        """Return the real list, with the programs replaced by fakes."""
        return [
            Service(
                name=s.name,
                argv=(
                    sys.executable,
                    str(FAKE_SERVICE),
                    s.ready_url.split(":")[2].split("/")[0],
                    s.name,
                    *words.get(s.name, []),
                ),
                env={**s.env, "STOP_KERNELS": s.env.get("HEADRACE_AGENT_STOP_KERNELS_ON_EXIT", "")},
                ready_url=s.ready_url,
                port=s.port,
                start_tier=s.start_tier,
                stop_tier=s.stop_tier,
                stop_grace_s=s.stop_grace_s,
            )
            for s in default_services(there, base)
        ]

    options = UpOptions(data=Path(data), api_port=int(api_port) or None, proxy_port=int(proxy_port) or None, agents=2)
    try:
        asyncio.run(run(options, lambda stage, detail: print(f"{stage}: {detail}", flush=True), services=services))
    except StartFailedError as error:
        print(f"failed: {error} | {error.tail}", flush=True)
        return 1
    except EmbeddedError as error:
        print(f"failed: {error}", flush=True)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
