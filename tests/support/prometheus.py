"""Real Prometheus and promtool, installed from Debian where they are missing and that is allowed."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import yaml

from tests.support.nginx import installed
from tests.support.ports import free_port
from tests.support.wait import until

DEPLOY = Path(__file__).parents[2] / "deploy"
RULES = sorted((DEPLOY / "prometheus/rules").glob("*.yml"))
DASHBOARDS = sorted((DEPLOY / "grafana/dashboards").glob("*.json"))
_METRIC = re.compile(r"\b(?:headrace_[a-z0-9_]+|up|process_[a-z_]+)\b")
_RECORDED = re.compile(r"\bheadrace:[a-z0-9_:]+")
_SUFFIX = re.compile(r"_(bucket|count|sum)$")


def promtool() -> str:
    """Return the path of promtool."""
    return installed("promtool", "prometheus")


def rules() -> list[dict[str, Any]]:
    """Return all recording and alerting rules."""
    return [rule for file in RULES for group in yaml.safe_load(file.read_text())["groups"] for rule in group["rules"]]


def panels() -> list[tuple[str, str]]:
    """Return (where, expression) of each query of the dashboards."""
    return [
        (f"{file.stem}: {panel['title']}", target["expr"])
        for file in DASHBOARDS
        for panel in json.loads(file.read_text())["panels"]
        for target in panel["targets"]
    ]


def variables() -> list[tuple[str, str]]:
    """Return (where, query) of each variable of the dashboards that asks Prometheus."""
    return [
        (f"{file.stem}: {one['name']}", one["query"]["query"])
        for file in DASHBOARDS
        for one in json.loads(file.read_text())["templating"]["list"]
        if one["type"] == "query"
    ]


def metrics_in(expression: str) -> set[str]:
    """Return the metrics of ours, and of the client library, that an expression names; of histograms their family."""
    bare = re.sub(r'"[^"]*"', '""', expression)
    return {_SUFFIX.sub("", name) for name in _METRIC.findall(bare)}


def recorded_in(expression: str) -> set[str]:
    """Return the recorded series that an expression names."""
    return set(_RECORDED.findall(re.sub(r'"[^"]*"', '""', expression)))


@dataclass
class Prometheus:
    """A running Prometheus."""

    http: httpx.Client

    def ask(self, path: str, **parameters: str) -> Any:
        """Return the data of an answer. AssertionError with Prometheus' own words."""
        answer = self.http.get(f"/api/v1/{path}", params=parameters).json()
        assert answer["status"] == "success", f"{parameters}: {answer['error']}"
        return answer["data"]

    def query(self, expression: str) -> list[tuple[Mapping[str, str], float]]:
        """Return (labels, value) of each series."""
        return [(one["metric"], float(one["value"][1])) for one in self.ask("query", query=expression)["result"]]

    def value(self, expression: str) -> float | None:
        """Return the value of the one series; None while there is none."""
        found = self.query(expression)
        assert len(found) <= 1, found
        return found[0][1] if found else None


@contextmanager
def prometheus_running(config: Mapping[str, Any], folder: Path) -> Iterator[Prometheus]:
    """Run Prometheus with this configuration until left."""
    port, program = free_port(), installed("prometheus", "prometheus")
    file = folder / "prometheus.yml"
    file.write_text(yaml.safe_dump(dict(config)))
    arguments = [
        f"--config.file={file}",
        f"--storage.tsdb.path={folder}/data",
        f"--web.listen-address=127.0.0.1:{port}",
    ]
    with (
        (folder / "prometheus.log").open("wb") as log,
        subprocess.Popen([program, *arguments], stdout=log, stderr=subprocess.STDOUT) as process,
        httpx.Client(verify=False, base_url=f"http://127.0.0.1:{port}", timeout=30) as http,
    ):

        def ready() -> bool:
            assert process.poll() is None, (folder / "prometheus.log").read_text()
            try:
                return http.get("/-/ready").status_code == 200
            except httpx.TransportError:
                return False

        try:
            until(ready)
            yield Prometheus(http)
        finally:
            process.terminate()
            process.wait(30)
