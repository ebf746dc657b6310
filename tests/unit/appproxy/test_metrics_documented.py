"""docs/data-plane.md names every metric with its labels, and every field of the access log."""

from __future__ import annotations

from pathlib import Path
from uuid import uuid4

import structlog
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from headrace.appproxy.control import exposition
from headrace.appproxy.dataplane.route_table import RouteTables
from headrace.appproxy.dataplane.telemetry.access_log import AccessLog
from headrace.appproxy.dataplane.telemetry.stats import StatsRegistry
from headrace.appproxy.ipc.snapshot import QueueDepth, TrafficSnapshot
from headrace.common.contracts.ids import RevisionId, ServiceId, SessionId
from tests.unit.appproxy.accounts import ended

PAGE = (Path(__file__).parents[3] / "docs/data-plane.md").read_text()


def rows(heading: str) -> list[list[str]]:
    """The cells of the table under this heading of the page, without code marks."""
    section = PAGE.split(f"\n### {heading}\n", 1)[1].split("\n#", 1)[0]
    _, _, *lines = [line for line in section.splitlines() if line.startswith("|")]
    return [[cell.strip().strip("`") for cell in line.removeprefix("|").removesuffix("|").split("|")] for line in lines]


def shown() -> set[tuple[str, str, tuple[str, ...]]]:
    """Every family that the proxy shows: name as it is asked for, kind, labels."""
    book, service = StatsRegistry(), ServiceId(uuid4())
    stats = book.replica(service, "chat", RevisionId(uuid4()), SessionId(uuid4()))
    stats.ended(200, 0.1, 0.1)
    stats.broke("connection-lost")
    counted = book.service(service, "chat")
    counted.refused_for("queue-full")
    counted.retried("connect-failed")
    counted.preflights += 1
    book.count_malformed("bad-request")
    book.count_illegal_transition("DONE", "ANSWERED")
    registry = CollectorRegistry()
    for own in (exposition.TABLES, exposition.BUS_CONNECTED, exposition.STORE_FAILURES, exposition.CONNECTION_LIMIT):
        registry.register(own)
    view = TrafficSnapshot(queues={service: QueueDepth(requests=1, oldest_s=0.0, held=False)})
    registry.register(exposition.TrafficCollector(book, lambda: view, RouteTables(), lambda: 1))
    found = set()
    for family in text_string_to_metric_families(generate_latest(registry).decode()):
        if not family.name.endswith("_created"):
            name = f"{family.name}_total" if family.type == "counter" else family.name
            found.add((name, family.type, tuple(sorted(family.samples[0].labels.keys() - {"le"}))))
    return found


def test_every_metric_is_documented_with_its_labels() -> None:
    documented = [(name, kind, labels.split(", ") if labels else []) for name, kind, labels, _ in rows("Metrics")]
    assert {(name, kind, tuple(sorted(labels))) for name, kind, labels in documented} == shown()


def test_every_field_of_the_access_log_is_documented() -> None:
    log = AccessLog(share=1.0, most_per_s=1, chance=lambda: 0.0, now=lambda: 0.0)
    with structlog.testing.capture_logs() as lines:
        log.ended(ended(), 1.0)
    (line,) = lines
    documented = [name.strip("` ") for names, _ in rows("Access log") for name in names.split(",")]
    assert sorted(documented) == sorted(line.keys() - {"event", "log_level"})
