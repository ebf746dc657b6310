"""The grammar of images' names."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.common.contracts.images import ImageName, parse_image

DIGEST = "sha256:" + "0a" * 32


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("busybox", ("docker.io", "busybox", None, None)),
        ("vllm/vllm-openai:v0.6.3.post1", ("docker.io", "vllm/vllm-openai", "v0.6.3.post1", None)),
        ("localhost/a_b/c__d:1", ("localhost", "a_b/c__d", "1", None)),
        ("nvcr.io/nim/meta/llama-3.1-8b:1", ("nvcr.io", "nim/meta/llama-3.1-8b", "1", None)),
        ("10.0.0.1:5000/a", ("10.0.0.1:5000", "a", None, None)),
        (f"ghcr.io/a/b@{DIGEST}", ("ghcr.io", "a/b", None, DIGEST)),
        (f"a:1@{DIGEST}", ("docker.io", "a", "1", DIGEST)),
        (DIGEST, ("docker.io", "sha256", "0a" * 32, None)),
    ],
)
def test_a_name_is_taken_apart(text: str, parts: tuple[str, ...]) -> None:
    assert parse_image(text) == ImageName(*parts)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a/../b",
        "..",
        "../info",
        "a/./b",
        "a//b",
        "/a",
        "a/",
        "a..b",
        "A",
        "a:",
        "a:-x",
        "a@",
        "a@sha256:12",
        "a b",
        "a?x",
        "a#x",
        "a%2e%2e/b",
        "-a",
        "a-",
        "host:70a/b",
        "ho..st/b",
        "-h.st/b",
        "a/b:c:d",
        "a" * 600,
        "a\n",
        "ü",
    ],
)
def test_what_is_no_name_is_refused_with_what_is(text: str) -> None:
    with pytest.raises(ValueError, match="allowed: "):
        parse_image(text)


@given(st.text(alphabet="aA0./:@-_%?#~ \\\n", max_size=30))
def test_no_name_leads_out_of_a_path(text: str) -> None:
    try:
        parse_image(text)
    except ValueError:
        return
    assert ".." not in text.split("/")
    assert not set(text) & set("%?#\\ \n~")
