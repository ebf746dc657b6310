"""`headrace service metrics` and `headrace service top`: what is asked, and what is shown."""

from __future__ import annotations

from urllib.parse import parse_qs, urlsplit

from tests.support.fakes.manager_api import FakeManagerApi
from tests.support.worlds.cli import Cli

REPLICA = "01890000-0000-7000-8000-000000000001"
HISTORY = {"since": "2026-11-30T12:00:00Z", "until": "2026-11-30T12:02:00Z", "step_s": 60, "by": "service"}
SERIES = [
    {"name": "requests_per_second", "unit": "1/s", "values": [0.05, None]},
    {"name": "refused_per_second", "unit": "1/s", "reason": "queue-full", "values": [2.0, None]},
    {"name": "latency_p95_s", "unit": "s", "values": [0.25, None]},
]
NOW = {
    "id": REPLICA,
    "name": "chat",
    "project": "default",
    "requests_per_second": 12.34,
    "client_errors_per_second": 0,
    "server_errors_per_second": 0.5,
    "refused_per_second": 0,
    "latency_p50_s": 0.05,
    "latency_p95_s": 1.5,
    "tokens_per_second": 100,
    "in_flight": 3,
    "queued": 0,
}


def test_history_is_a_line_for_each_step_of_which_something_is_known(cli: Cli, there: FakeManagerApi) -> None:
    there.on("GET", "/v1/services/chat/metrics", {**HISTORY, "series": SERIES})
    heading, line = cli("service", "metrics", "chat").out.splitlines()
    assert heading.split() == ["TIME", "REQ/S", "P95"]
    assert line.split() == ["2026-11-30", "12:00:00", "0.05", "250", "ms"]
    query = parse_qs(urlsplit(there.seen[-1][1]).query)
    assert (query["by"], query["step_s"]) == (["service"], ["300"]), "an hour on a screen"
    assert query["series"][0].startswith("requests_per_second,")


def test_as_csv_each_series_is_a_column_and_what_is_not_known_is_empty(cli: Cli, there: FakeManagerApi) -> None:
    there.on("GET", "/v1/services/chat/metrics", {**HISTORY, "series": SERIES})
    assert cli("service", "metrics", "chat", "--csv", "--step", "1m").out.splitlines() == [
        "time,requests_per_second,refused_per_second[queue-full],latency_p95_s",
        "2026-11-30T12:00:00Z,0.05,2.0,0.25",
        "2026-11-30T12:01:00Z,,,",
    ]
    query = parse_qs(urlsplit(there.seen[-1][1]).query)
    assert (query["step_s"], "series" in query) == (["60"], False)


def test_replicas_have_columns_of_their_own_and_what_is_left_out_is_said(cli: Cli, there: FakeManagerApi) -> None:
    one = {"name": "requests_per_second", "unit": "1/s", "id": REPLICA, "values": [3, 0]}
    there.on("GET", "/v1/services/chat/metrics", {**HISTORY, "by": "replica", "series": [one], "left_out": 4})
    ran = cli("service", "metrics", "chat", "--by", "replica", "--series", "requests_per_second")
    assert ran.out.splitlines()[0].split() == ["TIME", "REQ/S", "000000000001"]
    assert "4 more replicas" in ran.err


def test_top_shows_the_busiest_first_and_says_why_it_is_empty(cli: Cli, there: FakeManagerApi) -> None:
    answer = {"at": "2026-11-30T12:00:00Z", "window_s": 60, "heard": True}
    there.on("GET", "/v1/metrics/now", {**answer, "items": [NOW, {**NOW, "name": "busy", "requests_per_second": 99}]})
    lines = cli("service", "top", "--project", "default").out.splitlines()
    assert [line.split()[1] for line in lines] == ["SERVICE", "busy", "chat"]
    assert lines[2].split()[2:] == ["12.3", "0", "0.5", "0", "50", "ms", "1.50", "s", "100", "3", "0"]
    there.on("GET", "/v1/metrics/now", {**answer, "items": []})
    assert "no traffic" in cli("service", "top").err
    there.on("GET", "/v1/metrics/now", {**answer, "heard": False, "items": []})
    assert "no app-proxy was heard" in cli("service", "top").err
