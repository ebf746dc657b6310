"""The own process as its reports describe it: version, host, start, readiness."""

from __future__ import annotations

import socket
from datetime import datetime
from importlib.metadata import version
from itertools import islice
from typing import Final

from headrace.common.contracts.messages.instances import MAX_CHECK_TEXT, MAX_CHECKS, ServiceInstance
from headrace.common.runtime.service_manager import Probed

VERSION: Final = version("headrace")


def this_instance(probed: Probed, started_at: datetime, *, stopping: bool = False) -> ServiceInstance:
    """Return what this process reports of itself. `probed`: the server of its `/readyz`."""
    failing = probed.failing()
    checks = {**failing, **probed.warnings()}
    return ServiceInstance(
        version=VERSION[:64],
        host=socket.gethostname()[:253],
        started_at=started_at,
        ready=not failing,
        checks={str(name): why[:MAX_CHECK_TEXT] for name, why in islice(checks.items(), MAX_CHECKS)},
        stopping=stopping,
    )
