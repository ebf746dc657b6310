"""Addresses of Redis, as settings have them: of one server, or of Sentinels."""

from __future__ import annotations

import pytest
from pydantic import SecretStr, TypeAdapter, ValidationError

from headrace.common.runtime.redis_urls import MAX_SENTINELS, RedisUrl, SentinelAddress, sentinel_address

SETTING: TypeAdapter[SecretStr] = TypeAdapter(RedisUrl)


@pytest.mark.parametrize(
    ("url", "address"),
    [
        (
            "redis+sentinel://s1:26379,s2:26380,s3/main/2",
            SentinelAddress((("s1", 26379), ("s2", 26380), ("s3", 26379)), "main", 2, tls=False),
        ),
        (
            "rediss+sentinel://me:a%40b%2Fc@[::1]:1,[2001:db8::2]/main?sentinel_username=you&sentinel_password=d%3Fe",
            SentinelAddress(
                (("::1", 1), ("2001:db8::2", 26379)),
                "main",
                0,
                tls=True,
                username="me",
                password="a@b/c",
                sentinel_username="you",
                sentinel_password="d?e",
            ),
        ),
        ("redis+sentinel://:p@s/main", SentinelAddress((("s", 26379),), "main", 0, tls=False, password="p")),
        ("redis://:p@h:6379/0", None),
        ("rediss://h/0", None),
        ("unix:///run/redis.sock", None),
        ("", None),
    ],
)
def test_what_an_address_says(url: str, address: SentinelAddress | None) -> None:
    assert sentinel_address(url) == address
    assert SETTING.validate_python(url).get_secret_value() == url


@pytest.mark.parametrize(
    "url",
    [
        "redis+sentinel://",
        "redis+sentinel://:hidden@s1,s2",
        "redis+sentinel://:hidden@s1,,s2/main",
        "redis+sentinel://:hidden@s1, s2/main",
        "redis+sentinel://:hidden@s1:0/main",
        "redis+sentinel://:hidden@s1:99999/main",
        "redis+sentinel://:hidden@s1/main/first",
        "redis+sentinel://:hidden@s1/main/1/2",
        "redis+sentinel://:hidden@s1/main?speed=2",
        f"redis+sentinel://:hidden@{','.join(['s'] * (MAX_SENTINELS + 1))}/main",
        "sentinel://:hidden@s1/main",
        "hidden:6379",
    ],
)
def test_what_is_none_is_refused_without_a_word_of_it(url: str) -> None:
    with pytest.raises(ValidationError) as refused:
        SETTING.validate_python(url)
    said = str(refused.value.errors(include_input=False)[0]["ctx"]["error"])
    assert "allowed: " in said
    assert "hidden" not in said


def test_secrets_are_not_shown() -> None:
    assert "hidden" not in repr(sentinel_address("redis+sentinel://:hidden@s/main?sentinel_password=hidden"))
