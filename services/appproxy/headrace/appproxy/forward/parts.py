"""What every request needs, built once in wiring."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from headrace.appproxy.domain.ejection import Ejections
from headrace.appproxy.forward.upstream import Upstreams
from headrace.appproxy.load import Load
from headrace.appproxy.record import Seen
from headrace.appproxy.settings import Settings
from headrace.appproxy.table import Tables
from headrace.appproxy.tokens import TokenGate
from headrace.common.runtime.clock import Clock


@dataclass(frozen=True, slots=True)
class Parts:
    """Shared by all requests of the process."""

    settings: Settings
    tables: Tables
    load: Load
    ejections: Ejections
    gate: TokenGate
    seen: Seen
    upstreams: Upstreams
    chance: Callable[[], float]
    """Numbers in [0, 1)."""
    clock: Clock
    stopping: asyncio.Event
    """Set once no new requests are taken."""
