"""`headrace init` with Redis by Sentinel: settings of those who use it, and the configuration of servers and Sentinels."""

from __future__ import annotations

import re
import tomllib
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography import x509

from headrace.appproxy.settings import Settings as AppProxy
from headrace.autoscaler.settings import Settings as Autoscaler
from headrace.common.runtime.redis_urls import sentinel_address
from headrace.install.errors import InstallError
from headrace.install.make import Made, make, rotate
from headrace.install.plan import Choices, Layout

NOW = datetime(2026, 11, 30, 12, tzinfo=UTC)
ONE = Choices(url="https://ml.example.com", layout=Layout.HOST, redis="r1.example.com")
URL = "redis+sentinel://r1.example.com,r2.example.com:26400,[2001:db8::3]/main"
THREE = replace(ONE, redis=URL)


@pytest.fixture
def made(tmp_path: Path) -> Made:
    return make(tmp_path / "etc", THREE, NOW)


def redis_urls(folder: Path) -> set[str]:
    """Return the addresses of Redis in the settings of those who use it."""
    proxy = AppProxy(**tomllib.loads((folder / "settings/proxy-1.toml").read_text()))
    autoscaler = Autoscaler(**tomllib.loads((folder / "settings/autoscaler.toml").read_text()))
    return {proxy.redis_url.get_secret_value(), autoscaler.redis_url.get_secret_value()}


def test_settings_name_the_sentinels_and_log_in_there_and_at_the_primary_by_tls(made: Made) -> None:
    (url,) = redis_urls(made.folder)
    address = sentinel_address(url)
    assert address is not None
    password = re.findall(r"requirepass (\S+)", (made.folder / "redis/redis.conf").read_text())
    assert [address.password, address.sentinel_password] == password * 2
    assert (address.tls, address.service, address.db) == (True, "main", 0)
    assert address.sentinels == (("r1.example.com", 26379), ("r2.example.com", 26400), ("2001:db8::3", 26379))


def test_servers_and_sentinels_are_configured_for_each_other_by_tls(made: Made) -> None:
    server, sentinel = ((made.folder / f"redis/{name}.conf").read_text() for name in ("redis", "sentinel"))
    password = re.findall(r"requirepass (\S+)", server)[0]
    for text in (server, sentinel):
        assert {"port 0", "tls-replication yes", f"requirepass {password}"} <= set(text.splitlines())
    assert f"masterauth {password}" in server.splitlines()
    assert {
        "sentinel monitor main r1.example.com 6379 2",
        f"sentinel auth-pass main {password}",
        "sentinel resolve-hostnames yes",
    } <= set(sentinel.splitlines())
    names = x509.load_pem_x509_certificate((made.folder / "tls/redis.crt").read_bytes()).extensions
    hosts = names.get_extension_for_class(x509.SubjectAlternativeName).value
    assert {"r1.example.com", "r2.example.com"} <= set(hosts.get_values_for_type(x509.DNSName))
    assert (made.folder / "redis/sentinel.conf").stat().st_mode & 0o777 == 0o600


def test_again_it_changes_nothing_and_another_choice_changes_all(made: Made) -> None:
    assert (make(made.folder, Choices(), NOW).changed, make(made.folder, THREE, NOW).changed) == ((), ())
    (before,) = redis_urls(made.folder)
    steps = " ".join(rotate(made.folder, "redis-password", NOW).steps)
    assert "Sentinels first" in steps
    assert redis_urls(made.folder) != {before}
    back = make(made.folder, Choices(redis="r1.example.com"), NOW)
    (url,) = redis_urls(made.folder)
    assert url.startswith("rediss://:")
    assert "masterauth" not in (made.folder / "redis/redis.conf").read_text()
    assert "Restart Redis" in " ".join(back.steps)


@pytest.mark.parametrize(
    "redis",
    [
        "redis+sentinel://a,b/main",
        "redis+sentinel://a,b,a/main",
        "redis+sentinel://a,b,c",
        "redis+sentinel://a,b,c/main/0",
        "redis://a/0",
    ],
)
def test_what_is_no_address_of_sentinels_is_said_and_makes_nothing(tmp_path: Path, redis: str) -> None:
    with pytest.raises(InstallError, match=r"--redis: found .*; allowed: HOST or HOST:PORT"):
        make(tmp_path / "etc", replace(ONE, redis=redis), NOW)
    assert not (tmp_path / "etc").exists()


def test_a_login_in_the_address_is_refused_and_not_repeated(tmp_path: Path) -> None:
    with pytest.raises(InstallError) as refused:
        make(tmp_path / "etc", replace(ONE, redis="redis+sentinel://:hidden@a,b,c/main"), NOW)
    assert str(refused.value).startswith("--redis: found a login in the address; allowed: none")
    assert "hidden" not in str(refused.value)
