"""A service's URLs are all told, with what is missing until every app-proxy serves them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from headrace.common.contracts.ids import ProxyId
from headrace.manager.domain.endpoint_urls import MAX_DOMAINS, endpoint_urls
from headrace.manager.domain.lifecycle.status import Reachability

ONE, TWO = ProxyId("proxy-1"), ProxyId("proxy-2")
SERVED = Reachability(
    presence="heard",
    generations={ONE: 3, TWO: 2},
    unopened={},
    opened={ONE, TWO},
    domains={ONE: "models.example.com", TWO: "models.example.com"},
)


def urls(reach: Reachability = SERVED, base: str = "http://proxy:8000", port: int | None = 12_000) -> dict[str, str]:
    """Code by URL."""
    found = endpoint_urls(base, "chat", port, reach)
    assert all(one.ready == (one.reason.code == "served") for one in found)
    return {one.url: one.reason.code for one in found}


def test_all_urls_are_told_by_path_host_name_and_own_port() -> None:
    assert urls() == {
        "http://proxy:8000/chat": "served",
        "http://chat.models.example.com:8000": "served",
        "http://proxy:12000": "served",
    }
    assert urls(replace(SERVED, domains={}), port=None) == {"http://proxy:8000/chat": "served"}


@pytest.mark.parametrize(
    ("base", "by_path", "by_host", "by_port"),
    [
        (
            "https://api.example.com",
            "https://api.example.com/chat",
            "https://chat.models.example.com",
            "https://api.example.com:12000",
        ),
        (
            "https://api.example.com/models",
            "https://api.example.com/models/chat",
            "https://chat.models.example.com",
            "https://api.example.com:12000",
        ),
        ("http://[::1]:80", "http://[::1]:80/chat", "http://chat.models.example.com:80", "http://[::1]:12000"),
    ],
)
def test_scheme_host_and_port_are_those_that_callers_use(base: str, by_path: str, by_host: str, by_port: str) -> None:
    assert list(urls(base=base)) == [by_path, by_host, by_port]


def test_an_own_port_is_ready_once_every_present_app_proxy_has_opened_it() -> None:
    port = "http://proxy:12000"
    assert urls(replace(SERVED, opened={ONE}))[port] == "endpoint-port-opening"
    assert urls(replace(SERVED, generations={ONE: 3, TWO: 0}))[port] == "app-proxy-behind"
    taken = endpoint_urls("http://proxy", "chat", 12_000, replace(SERVED, unopened={TWO: "Address already in use"}))
    assert taken[-1].reason.text == "port 12000 is not open at proxy-2 (Address already in use)"
    assert [one.ready for one in taken] == [True, True, False]


def test_a_host_name_is_ready_where_every_app_proxy_has_the_domain() -> None:
    two = replace(SERVED, domains={ONE: "models.example.com", TWO: "old.example.com"})
    assert urls(two, port=None) == {
        "http://proxy:8000/chat": "served",
        "http://chat.models.example.com:8000": "domain-missing",
        "http://chat.old.example.com:8000": "domain-missing",
    }
    many = replace(SERVED, domains={ProxyId(f"p-{n}"): f"d{n}.example.com" for n in range(MAX_DOMAINS + 5)})
    assert len(urls(many, port=None)) == 1 + MAX_DOMAINS


@pytest.mark.parametrize(
    ("presence", "code"),
    [("unknown", "app-proxies-unknown"), ("away", "app-proxy-away"), ("bus-away", "bus-away")],
)
def test_without_reports_no_url_is_called_ready_and_all_stay(presence: str, code: str) -> None:
    away = replace(SERVED, presence=presence, generations={}, opened=())  # type: ignore[arg-type]  # a plain string
    assert list(urls(away)) == list(urls())
    assert urls(away)["http://proxy:8000/chat"] == code
    assert urls(away)["http://proxy:12000"] == code
