"""Addresses: names found without decoding anything, the rest passed verbatim."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.appproxy.dataplane.inspect.routing import Address, by_host, by_path, locate, origin_form


@pytest.mark.parametrize(
    ("target", "name", "rest"),
    [
        ("/chat", "chat", "/"),
        ("/chat/", "chat", "/"),
        ("/chat?x=1", "chat", "/?x=1"),
        ("/chat/v1/models?x=/y", "chat", "/v1/models?x=/y"),
        ("/chat/../admin", "chat", "/../admin"),
        ("/chat/%2e%2e%2fadmin", "chat", "/%2e%2e%2fadmin"),
        ("/chat//double//", "chat", "//double//"),
        ("/a-1/x", "a-1", "/x"),
    ],
)
def test_the_first_segment_names_the_service(target: str, name: str, rest: str) -> None:
    assert by_path(target) == Address(name, rest, f"/{name}")


@pytest.mark.parametrize(
    "target",
    [
        "/",
        "//chat",
        "/?chat",
        "/-/ready",
        "/_x/y",
        "/Chat/x",
        "/ch%61t/x",
        "/a.b",
        "/chat\n/x",
        "*",
        "chat/x",
        "",
        "/a-/x",
    ],
)
def test_what_names_no_service(target: str) -> None:
    assert by_path(target) is None


@given(rest=st.text(alphabet=st.characters(min_codepoint=33, max_codepoint=126), max_size=60))
def test_whatever_follows_the_name_is_passed_verbatim(rest: str) -> None:
    found = by_path("/svc/" + rest)
    assert found == Address("svc", "/" + rest, "/svc")


@pytest.mark.parametrize(
    ("host", "name"),
    [
        ("chat.models.example.com", "chat"),
        ("CHAT.Models.Example.com:8000", "chat"),
        ("chat.models.example.com.", "chat"),
        ("models.example.com", None),
        ("a.chat.models.example.com", None),
        ("chat.other.com", None),
        ("[::1]:8000", None),
        ("", None),
    ],
)
def test_host_names(host: str, name: str | None) -> None:
    found = by_host("/v1/x?y", host, "models.example.com")
    assert (found.name if found else None) == name
    assert found is None or found.target == "/v1/x?y"


def test_the_host_wins_over_the_path_and_without_a_domain_only_the_path_counts() -> None:
    assert locate("/b/x", "a.example.com", "example.com") == Address("a", "/b/x", "")
    assert locate("/b/x", "a.example.com", None) == Address("b", "/x", "/b")


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ("/x", ("/x", "h")),
        ("http://other/x?y", ("/x?y", "other")),
        ("http://u:p@other:80", ("http://u:p@other:80", "h")),
        ("http://other?q", ("/?q", "other")),
    ],
)
def test_absolute_targets(target: str, expected: tuple[str, str]) -> None:
    assert origin_form(target, "h") == expected
