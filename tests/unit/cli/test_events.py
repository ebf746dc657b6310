"""`headrace events`: what is asked, and what is shown."""

from __future__ import annotations

import json

from aiohttp import web

from tests.support.fakes.manager_api import FakeManagerApi
from tests.support.worlds.cli import Cli

ID = "00000000-0000-7000-8000-000000000001"
EVENTS = (
    'id: s-1\nevent: reset\ndata: {}\n\nid: s-2\nevent: change\ndata: {"kind": "service", "id": "x", "project": "'
    + ID
    + '"}\n\nid: s-2\nevent: ready\ndata: {"version": "1"}\n\n'
)


def events(_: web.Request | None = None) -> web.Response:
    return web.Response(text=EVENTS, content_type="text/event-stream")


def test_changes_are_printed_with_their_events_ids(cli: Cli, there: FakeManagerApi) -> None:
    there.on("GET", "/v1/events", events)
    ran = cli("events", "--project", "red", "--since", "s-0")
    assert ran.code == 0
    assert ran.out.splitlines() == [f"service  x  {ID}  s-2", "last event: s-2"]
    assert "read everything again" in ran.err
    assert there.seen[-1][1] == "/v1/events?project=red&follow=false&since=s-0"


def test_for_programs_each_event_is_a_line(cli: Cli, there: FakeManagerApi) -> None:
    there.on("GET", "/v1/events", events)
    lines = [json.loads(line) for line in cli("--json", "events").out.splitlines()]
    assert [line["event"] for line in lines] == ["reset", "change", "ready"]
    assert lines[1] == {"event": "change", "event_id": "s-2", "kind": "service", "id": "x", "project": ID}
