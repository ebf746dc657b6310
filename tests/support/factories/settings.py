"""Settings of services, as tests need them: what wiring makes of them touches nothing outside of a test's folder."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

from headrace.agent.settings import Settings as AgentSettings
from headrace.autoscaler.settings import Settings as AutoscalerSettings
from headrace.manager.settings import Settings as ManagerSettings

NOWHERE = "nats://127.0.0.1:1"
"""Nobody listens there."""
PROXY_URL = "http://proxy.example:8000"
TAKEN_PORT = 10_222
"""Something else of the installation listens there."""


def manager_settings(folder: Path, **changes: Any) -> ManagerSettings:
    """A manager that stores in `folder`; the database and the bus are given to its wiring."""
    usual: dict[str, Any] = {
        "database_url": "postgresql://unused",
        "nats_url": NOWHERE,
        "nats_password": "unused",
        "folders_root": folder / "folders",
        "admin_key_file": folder / "admin.key",
        "secret_key": bytes(range(32)).hex(),
        "public_proxy_url": PROXY_URL,
        "reserved_ports": (TAKEN_PORT,),
        "listen_port": 0,
        "model_uri_schemes": (),  # nothing outside of the machine is asked
    }
    return ManagerSettings(**(usual | changes))


def autoscaler_settings(**changes: Any) -> AutoscalerSettings:
    """An autoscaler whose bus and Redis are given to its wiring."""
    usual = {"id": "autoscaler-1", "nats_url": NOWHERE, "nats_password": "unused", "redis_url": "redis://unused"}
    return AutoscalerSettings(**(usual | changes))


def agent_settings(folder: Path, **changes: Any) -> AgentSettings:
    """An agent that keeps what it knows in `folder`; it looks and reports only when something happens."""
    usual: dict[str, Any] = {
        "id": "agent-1",
        "nats_url": NOWHERE,
        "runtime": "process",
        "data_dir": folder / "agent",
        "folders_root": folder / "folders",
        "admin_port": 0,
        "disk_reserve_bytes": 0,
        "first_sync": timedelta(),
        "reconcile_every": timedelta(hours=1),
        "report_every": timedelta(hours=1),
    }
    return AgentSettings(**(usual | changes))
