"""`GET /v1/targets`: what Prometheus is told to scrape, and who may ask."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from headrace.common.contracts.ids import new_uuid
from headrace.common.db.pool import Pool
from tests.support.worlds.manager_api import ManagerApi, serving

KEY = "hrs_" + "5" * 64
DEFINITION = "models: [{name: chat, model_path: /models, service: {start_command: [serve], port: 8000}}]"


async def asked(api: ManagerApi, key: str, **query: str) -> tuple[int, Any]:
    async with httpx.AsyncClient(verify=False) as http:
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        answer = await http.get(f"{api.url}/v1/targets", params=query, headers=headers)
        assert answer.headers["Content-Type"].startswith("application/")
        return answer.status_code, answer.json()


async def test_prometheus_gets_machines_app_proxies_and_engines(pool: Pool, tmp_path: Any) -> None:
    async with serving(pool, tmp_path, scrape_key=KEY) as api:
        await api.admin.folder("chat", {"model-definition.yaml": DEFINITION})
        body = {"name": "chat", "project": "default", "folder": "chat", "image": "x:1", "replicas": 1}
        await api.admin.call("POST", "/v1/services", {**body, "slots": {"cpu": "1", "mem": "1g"}})
        session, _ = await api.runs("chat")
        await pool.execute("update agents set machine = machine || '{\"admin_port\": 8091}' where id = 'agent-1'")
        await api.machine("agent-2")  # of an older version: it says no port
        await api.machine("agent-3")  # at an address that is not allowed for it
        await pool.execute(
            "update agents set machine = machine || '{\"admin_port\": 22}', address_problem = 'x' where id = 'agent-3'"
        )
        api.behind.proxies.has[new_uuid()] = {"proxy-1": 1}  # of an older version, likewise
        status, found = await asked(api, KEY)
        assert status == 200
        assert {(one["targets"][0], one["labels"]["job"], one["labels"]["instance"]) for one in found} == {
            ("10.0.0.1:8091", "headrace-agent", "agent-1"),
            ("10.0.0.1:20000", "headrace-replica", str(session)),
        }
        replica = next(one["labels"] for one in found if one["labels"]["job"] == "headrace-replica")
        assert replica == {
            "job": "headrace-replica",
            "instance": str(session),
            "project": "default",
            "service": "chat",
            "revision": "1",
            "agent": "agent-1",
        }
        assert [one["labels"]["instance"] for one in (await asked(api, KEY, kind="agent"))[1]] == ["agent-1"]
        assert (await asked(api, KEY, kind="appproxy"))[1] == []
        assert (await asked(api, KEY, kind="nothing"))[0] == 400


async def test_only_operators_and_the_scrape_key_may_ask(pool: Pool, tmp_path: Any) -> None:
    async with serving(pool, tmp_path, scrape_key=KEY) as api:
        ann = await api.user("ann", default="owner")
        assert (await asked(api, api.admin.key))[0] == 200
        assert (await asked(api, ann.key))[0] == 403
        for wrong in ("", KEY[:-1], KEY + "5", "hrs_" + "6" * 64):
            assert (await asked(api, wrong))[0] == 401, wrong
        # it opens nothing else
        async with httpx.AsyncClient(verify=False, headers={"Authorization": f"Bearer {KEY}"}) as http:
            for path in ("/v1/services", "/v1/agents", "/v1/whoami"):
                assert (await http.get(f"{api.url}{path}")).status_code == 401


@pytest.mark.parametrize("given", ["Bearer x", "Basic x"])
async def test_without_a_scrape_key_there_is_none(pool: Pool, tmp_path: Any, given: str) -> None:
    async with serving(pool, tmp_path) as api, httpx.AsyncClient(verify=False) as http:
        assert (await http.get(f"{api.url}/v1/targets", headers={"Authorization": given})).status_code == 401
