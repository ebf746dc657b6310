"""Where an address leads is remembered by its first segment, and is what it would be without the memory."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.appproxy.dataplane.http1.heads import FramingError, HeadLimits, RequestHead
from headrace.appproxy.dataplane.http1.requests import RequestReader
from headrace.appproxy.dataplane.request.context import WorkerContext
from headrace.appproxy.dataplane.request.resolve import resolve_destination
from headrace.appproxy.dataplane.route_table import RouteTables
from headrace.appproxy.dataplane.wiring import build_data_plane
from headrace.appproxy.settings import Settings
from headrace.common.contracts.problems import Problem
from tests.support.factories.route_tables import table

SEGMENTS = st.sampled_from(
    [
        b"/",
        b"/chat",
        b"/other",
        b"/v1",
        b"?",
        b"/a?b=/c",
        b"/..",
        b"/%2f",
        b"//",
        b"/-",
        b"x",
        b"http://h",
        b"#",
        b"?/chat/",
    ]
)
TARGETS = st.lists(SEGMENTS, min_size=1, max_size=4).map(b"".join)
HOSTS = st.sampled_from([b"h", b"chat.models.test", b"other.models.test:80", b"none.models.test", b"h_$", b"h\x22"])


def parts_with(tmp_path: Path) -> WorkerContext:
    tables = RouteTables()
    for name in ("chat", "other"):
        tables.apply(table(name))
    settings = Settings(data_dir=tmp_path, id="test", nats_url="nats://localhost:1", domain="models.test")
    return build_data_plane(settings, tables, notify=lambda: None).context


def head_of(target: bytes, host: bytes) -> RequestHead | None:
    try:
        return RequestReader(HeadLimits()).head(b"GET %b HTTP/1.1\r\nHost: %b\r\n\r\n" % (target, host))
    except FramingError:
        return None


def told(parts: WorkerContext, head: RequestHead) -> tuple[object, ...]:
    try:
        found, target = resolve_destination(parts, head, None)
    except Problem as problem:
        return (problem.status, problem.detail)
    return (found.backend and found.backend.name, target, found.prefix, found.host, found.forwarded)


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> WorkerContext:
    return parts_with(tmp_path_factory.mktemp("destination"))


@given(st.lists(st.tuples(TARGETS, HOSTS), min_size=1, max_size=8))
def test_memory_changes_nothing(parts: WorkerContext, addresses: list[tuple[bytes, bytes]]) -> None:
    heads = [head for address in addresses if (head := head_of(*address)) is not None]
    together = [told(parts, head) for head in heads]
    for head, known in zip(heads, together, strict=True):
        parts.backends.destinations.clear()
        assert told(parts, head) == known, (head.target, head.host)


def test_paths_of_one_service_are_one_place_in_memory(parts: WorkerContext) -> None:
    parts.backends.destinations.clear()
    found = set()
    for n in range(5_000):
        head = head_of(b"/chat/v1/x?call=%d" % n, b"h")
        assert head is not None
        destination, target = resolve_destination(parts, head, None)
        assert target == b"/v1/x?call=%d" % n
        found.add(id(destination))
    assert len(found) == 1
