"""Real Prometheus scrapes a real stack with traffic: every rule and every query of the dashboards returns what it should."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio
import yaml

from tests.support.load import Load
from tests.support.prometheus import DEPLOY, RULES, Prometheus, panels, prometheus_running, rules, variables
from tests.support.wait import eventually
from tests.support.worlds.stack import Stack

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(240)]
SUBSTITUTES = {"$__rate_interval": "30s", "$service": ".*", "$agent": ".*", "$proxy": ".*", "$job": ".*"}


def configuration(stack: Stack, key_file: Path) -> dict[str, Any]:
    """Return the shipped configuration, with this stack's addresses in place of the names of containers."""
    state = stack.state
    assert state is not None
    ports = {process.name: (process.admin_url or "").removeprefix("http://") for process in state.processes}
    config: dict[str, Any] = yaml.safe_load((DEPLOY / "prometheus/prometheus.yml").read_text())
    config["global"] = {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"}
    config["rule_files"] = [str(file) for file in RULES]
    for scrape in config["scrape_configs"]:
        scrape.pop("scrape_interval", None)
        if scrape.pop("static_configs", None) and "http_sd_configs" not in scrape:
            scrape.pop("scheme", None), scrape.pop("tls_config", None)
            scrape["static_configs"] = [{"targets": [ports[scrape["job_name"].removeprefix("headrace-")]]}]
        for found in scrape.get("http_sd_configs", ()):
            found["url"] = re.sub(r"https://manager-\d:8443", state.api_url, found["url"])
            found["refresh_interval"] = "1s"
            found["authorization"]["credentials_file"] = str(key_file)
            del found["tls_config"]
    return config


@pytest_asyncio.fixture(loop_scope="session")
async def prometheus(stack: Stack, tmp_path: Path) -> AsyncIterator[Prometheus]:
    key = tmp_path / "key"
    key.write_text(stack.api.key + "\n")
    with prometheus_running(configuration(stack, key), tmp_path) as running:
        yield running


async def use(stack: Stack, name: str, token: str) -> None:
    """Send two requests that are answered, of which one is a stream, and two that are refused."""
    body = {"model": "chat", "messages": [{"role": "user", "content": "hello"}], "max_tokens": 4}
    async with httpx.AsyncClient(verify=False, timeout=60) as http:
        for stream in (True, False):
            answer = await http.post(
                f"{stack.proxy}/{name}/v1/chat/completions",
                headers={"Authorization": f"Bearer {token}"},
                json={**body, "stream": stream},
            )
            assert answer.status_code == 200, answer.text
        assert (await http.get(f"{stack.proxy}/{name}/v1/models")).status_code == 401
        assert (await http.get(f"{stack.proxy}/no-such-service/x")).status_code == 404


async def test_every_query_returns_what_it_should(stack: Stack, prometheus: Prometheus) -> None:
    name = "watched"
    # one request at a time on each, so that some wait in the queue
    await stack.engine_service(name, replicas=2, limits={"max_in_flight_per_replica": 1})
    await stack.api.until_healthy(name, replicas=2)
    token = (await stack.api.token(name))["token"]
    rule = {"metric": "cpu_util", "source": "kernel", "comparator": "GREATER_THAN", "threshold": 1e6, "step": 1}
    await stack.api.call("POST", f"/v1/services/{name}/rules", {**rule, "min_replicas": 1, "max_replicas": 3})

    def up() -> bool:
        return {one["job"] for one, value in prometheus.query("up") if value == 1} >= {
            f"headrace-{job}" for job in ("manager", "autoscaler", "agent", "appproxy", "replica")
        }

    await eventually(up)
    async with Load(f"{stack.proxy}/{name}/v1/models", token, workers=6) as load:
        uses, lacking = 0, [(where, query) for where, query in panels() if "__" not in where]

        async def answered() -> bool:
            nonlocal uses
            await use(stack, name, token)
            uses += 1
            lacking[:] = [(where, query) for where, query in lacking if not prometheus.query(substituted(query))]
            return not lacking

        try:
            await eventually(answered, every_s=1, within_s=90)
        except AssertionError:
            raise AssertionError(f"no result: {lacking}") from None
        for where, query in variables():
            metric, label = query.removeprefix("label_values(").removesuffix(")").split(", ")
            assert [labels for labels, _ in prometheus.query(metric) if labels.get(label)], where
    assert load.failures == []

    # what was counted is what was sent
    def counted() -> float:
        query = f'sum(headrace_proxy_requests_total{{service="{name}", code="200"}})'
        return prometheus.value(query) or 0.0

    sent = len(load.answers) + 2 * uses
    assert await eventually(lambda: counted() == sent, what=f"{sent} requests are counted")
    replicas = [labels for labels, _ in prometheus.query(f'up{{job="headrace-replica", service="{name}"}} == 1')]
    assert {labels["instance"] for labels in replicas} == set(stack.replica_identities(name))
    serving = f'headrace:service_replicas:max{{service="{name}", state="serving"}}'
    await eventually(lambda: prometheus.value(serving) == 2, what="both replicas are counted as serving")
    assert not prometheus.query('{__name__=~"headrace[_:].*", job="headrace-replica"}')  # engines cannot pass for us

    loaded = [rule for group in prometheus.ask("rules")["groups"] for rule in group["rules"]]
    assert len(loaded) == len(rules())
    assert [(rule["name"], rule.get("lastError")) for rule in loaded if rule["health"] != "ok"] == []
    for rule in rules():
        if "record" in rule:
            assert prometheus.query(str(rule["record"])), rule["record"]
        else:
            prometheus.query(str(rule["expr"]))
    firing = {labels["alertname"] for labels, _ in prometheus.query('ALERTS{alertstate="firing"}')}
    assert firing <= {"HeadraceDiskLow"}  # as this machine has it


def substituted(query: str) -> str:
    for variable, value in SUBSTITUTES.items():
        query = query.replace(variable, value)
    return query
