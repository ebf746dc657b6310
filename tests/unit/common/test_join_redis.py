"""The installation's Redis at a join: from a file, and never quoted."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path

import pytest

from headrace.common.joining.errors import JoinError
from headrace.common.joining.redis import add_redis_option, redis_check, redis_url


def given(*words: str) -> Namespace:
    parser = ArgumentParser()
    add_redis_option(parser)
    return parser.parse_args(words)


def test_a_url_in_a_file_is_taken_and_not_shown(tmp_path: Path) -> None:
    file = tmp_path / "redis"
    file.write_text("rediss://:secret@redis.example.com:6379/0\n")
    named = given("--redis-url-file", str(file))
    assert redis_url(named) == "rediss://:secret@redis.example.com:6379/0"
    check = redis_check(named, required=True, without="nothing works")
    assert (check.mend, check.found) == (None, f"a URL in {file}")


def test_without_one_it_says_what_that_means_and_asks_for_it_where_it_must() -> None:
    assert redis_url(given()) == ""
    assert redis_check(given(), required=False, without="it is alone").mend is None
    check = redis_check(given(), required=True, without="it does not start")
    assert check.found == "none: it does not start"
    assert check.mend is not None
    assert check.mend.startswith("--redis-url-file FILE")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "not an address; allowed: redis://"),
        (b"http://:secret@x", "not an address; allowed: redis://"),
        (b"\xff", "found no text; allowed: redis://"),
        (None, "cannot be read: No such file"),
    ],
)
def test_what_is_no_url_is_refused_without_being_quoted(tmp_path: Path, content: bytes | None, said: str) -> None:
    file = tmp_path / "redis"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(JoinError) as refused:
        redis_url(given("--redis-url-file", str(file)))
    assert said in str(refused.value)
    assert "secret" not in str(refused.value)
