"""Installation with something of each kind, for pages that show it."""

from __future__ import annotations

from tests.support.worlds.manager_api import ManagerApi

DEFINITION = """
models:
  - name: rivers
    model_path: /models
    service:
      start_command: [python, -m, headrace.engine, --port, "8000"]
      port: 8000
      health_check: {path: /health}
"""
LONG = "the-name-of-a-service-that-somebody-made-as-long-as-names-may-be"[:63].rstrip("-")


async def something_of_each(api: ManagerApi) -> None:
    """Make services in all states, a folder, users, tokens, a client, a machine, as `tests.support.console_pages` names them."""
    admin = api.admin
    await api.user("ann", default="viewer")
    await admin.folder(
        "rivers", {"model-definition.yaml": DEFINITION, "README.md": "# Rivers\n", "weights/a.bin": "0" * 2000}
    )
    await admin.call("POST", "/v1/services", {"name": "rivers", "folder": "rivers", "replicas": 2, "image": "engine"})
    _, kernel = await api.runs("rivers")
    await api.runs("rivers", healthy=False)
    await admin.call("POST", "/v1/services/rivers/tokens", {"name": "me"})
    await admin.call("POST", "/v1/services/rivers/clients", {"name": "web"})
    await admin.call(
        "PATCH", "/v1/services/rivers", {"description": "Rivers of the world", "message": "said what it is"}
    )
    for name, more in (("idle", {"replicas": 0}), (LONG, {"replicas": 40}), ("stopped", {"replicas": 1})):
        await admin.call("POST", "/v1/services", {"name": name, "runtime": "cmd", "image": "img", **more})
    await admin.call("POST", "/v1/services/stopped/stop")
    api.behind.logs[kernel] = [f"2026-11-30T10:00:{second:02}.000000000Z line {second}" for second in range(60)]
