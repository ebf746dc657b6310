"""Alerts, recording rules and dashboards: promtool's own tests of them, and that they name what exists."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import pytest
import yaml

from tests.support.prometheus import (
    DASHBOARDS,
    DEPLOY,
    RULES,
    metrics_in,
    panels,
    promtool,
    recorded_in,
    rules,
    variables,
)

ROOT = Path(__file__).parents[3]
CASES = sorted((DEPLOY / "prometheus/tests").glob("*.yml"))
FOREIGN = re.compile(r"up|process_(resident_memory_bytes|cpu_seconds_total)")
ALERTS = [rule for rule in rules() if "alert" in rule]
EXPRESSIONS = [(rule.get("alert") or rule["record"], rule["expr"]) for rule in rules()] + panels() + variables()


def test_promtool_accepts_configuration_and_rules() -> None:
    config = DEPLOY / "prometheus/prometheus.yml"
    for words in (["check", "rules", *map(str, RULES)], ["check", "config", "--syntax-only", str(config)]):
        ran = subprocess.run([promtool(), *words], capture_output=True, text=True, timeout=60, check=False)
        assert ran.returncode == 0, ran.stdout + ran.stderr


def test_each_alert_fires_where_it_must_and_only_there() -> None:
    ran = subprocess.run(
        [promtool(), "test", "rules", *(file.name for file in CASES)],
        cwd=CASES[0].parent,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    names = {case["name"] for file in CASES for case in yaml.safe_load(file.read_text())["tests"]}
    assert names == {f"{rule['alert']} {which}" for rule in ALERTS for which in ("fires", "does not fire")}


@pytest.mark.parametrize(("where", "expression"), EXPRESSIONS, ids=[where for where, _ in EXPRESSIONS])
def test_an_expression_names_what_exists(where: str, expression: str) -> None:
    known = set(re.findall(r"^\| `(headrace_\w+)` \|", (ROOT / "docs/metrics.md").read_text(), re.MULTILINE))
    named = {name for name in metrics_in(expression) if not FOREIGN.fullmatch(name)}
    assert named <= known
    assert recorded_in(expression) <= {rule["record"] for rule in rules() if "record" in rule}
    assert named or recorded_in(expression) or "ALERTS" in expression or "up{" in expression or "process_" in expression


def test_each_alert_is_explained_where_it_points() -> None:
    page = (ROOT / "docs/operations.md").read_text()
    section = page[page.index("## What to watch") :]
    explained = re.findall(r"^#### (Headrace\w+)\n\n(.{80,})$", section, re.MULTILINE)
    assert [name for name, _ in explained] == [rule["alert"] for rule in ALERTS]
    for rule in ALERTS:
        assert rule["annotations"]["runbook"] == f"docs/operations.md#{rule['alert'].lower()}"
        assert rule["labels"]["severity"] in {"critical", "warning"}


def test_dashboards_are_what_grafana_reads() -> None:
    assert [file.stem for file in DASHBOARDS] == ["control-loops", "data-plane", "fleet", "service"]
    seen = [json.loads(file.read_text()) for file in DASHBOARDS]
    assert len({one["uid"] for one in seen}) == len(seen)
    for one in seen:
        names = {variable["name"] for variable in one["templating"]["list"]} | {"__rate_interval"}
        ids = [panel["id"] for panel in one["panels"]]
        assert len(set(ids)) == len(ids)
        for panel in one["panels"]:
            place = panel["gridPos"]
            assert place["x"] + place["w"] <= 24
            assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
            used = {name for target in panel["targets"] for name in re.findall(r"\$(\w+)", target["expr"])}
            assert used <= names
    for file in (DEPLOY / "grafana/provisioning").rglob("*.yaml"):
        assert yaml.safe_load(file.read_text())["apiVersion"] == 1
