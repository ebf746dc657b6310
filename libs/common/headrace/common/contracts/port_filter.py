"""Name of the packet filter of an agent's replica ports, which agents set and the removal of their units finds."""

from __future__ import annotations

import hashlib
from pathlib import Path


def port_filter_table(data_dir: Path) -> str:
    """Return the name of the nftables table (family `inet`) of the agent with this `data_dir`."""
    return f"headrace_{hashlib.sha256(str(data_dir).encode()).hexdigest()[:8]}"
