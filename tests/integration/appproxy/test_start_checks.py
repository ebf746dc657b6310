"""An app-proxy that cannot run as it is set up says why in one line and ends, before it starts any worker."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from headrace.appproxy.control.preflight import preflight_errors
from headrace.appproxy.settings import Settings
from tests.support.ports import free_port

PREFIX = "HEADRACE_APPPROXY_"
SPANS = "http://127.0.0.1:4318/v1/traces"
WITHOUT_THE_EXTRA = """
import sys
sys.modules["opentelemetry"] = None
from headrace.appproxy.running import SERVICE
from headrace.common.runtime.service import main
main(SERVICE)
"""


@pytest.fixture
def taken() -> Iterator[int]:
    """A port that somebody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as sock:
        yield sock.getsockname()[1]


def start(data: Path, *how: str, **named: Any) -> tuple[int, str]:
    """Start an app-proxy; return its exit status and all that it said."""
    known = {
        "NATS_URL": "nats://127.0.0.1:1",
        "LISTEN_HOST": "127.0.0.1",
        "LISTEN_PORT": 0,
        "ADMIN_PORT": 0,
        "DATA_DIR": data,
        "LOG_FORMAT": "json",
    }
    env = {**os.environ, **{PREFIX + name: str(value) for name, value in (known | named).items()}}
    command = [sys.executable, *(how or ("-m", "headrace.appproxy"))]
    done = subprocess.run(
        command, check=False, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=60
    )
    return done.returncode, done.stdout


@pytest.mark.parametrize("workers", [0, 2])
def test_what_is_wrong_is_said_in_one_line(tmp_path: Path, taken: int, workers: int) -> None:
    named = {
        "WORKERS": workers,
        "REDIS_URL": "redis://:se/cret@127.0.0.1:1/0",
        "LISTEN_PORT": taken,
        "OTEL_ENDPOINT": SPANS,
    }
    status, said = start(tmp_path, "-c", WITHOUT_THE_EXTRA, **named)
    assert status == 2
    assert said.count("\n") == 1
    assert said.startswith("cannot start: ")
    assert [
        one.partition(":")[0].removeprefix(PREFIX) for one in said.removeprefix("cannot start: ").split("; ")[:2]
    ] == [
        "LISTEN_PORT",
        "REDIS_URL",
    ]
    assert f"{PREFIX}LISTEN_PORT: {taken} on 127.0.0.1: Address already in use" in said
    assert f"{PREFIX}OTEL_ENDPOINT: tracing needs OpenTelemetry: pip install 'headrace[otel]'" in said
    assert "cret" not in said


def test_a_taken_admin_port(tmp_path: Path, taken: int) -> None:
    status, said = start(tmp_path, ADMIN_PORT=taken)
    assert (status, said) == (
        2,
        f"cannot start: {PREFIX}ADMIN_PORT: {taken} on 127.0.0.1: Address already in use\n",
    )


def test_a_data_folder_that_cannot_be(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    status, said = start(tmp_path / "file" / "data")
    assert (status, said.count("\n")) == (2, 1)
    assert f"{PREFIX}DATA_DIR: {tmp_path}/file/data" in said


def wrong(data: Path, **more: Any) -> list[str]:
    """What is wrong, without the setting's prefix."""
    known: dict[str, Any] = {"data_dir": data, "listen_host": "127.0.0.1", "listen_port": 0, "admin_port": 0}
    found = preflight_errors(Settings(**(known | more)))
    assert all(one.startswith(PREFIX) for one in found)
    return [one.removeprefix(PREFIX) for one in found]


@pytest.mark.parametrize(
    "url",
    [
        "localhost:6379",
        "http://127.0.0.1",
        "redis://:a/b@127.0.0.1:6379/0",
        "redis://127.0.0.1:99999",
        "redis://[::1",
        "redis://127.0.0.1/0?speed=2",
        "redis://127.0.0.1/0?timeout=soon",
        "rediss://127.0.0.1/0?ssl_cert_reqs=maybe",
    ],
)
def test_addresses_that_redis_client_does_not_take(tmp_path: Path, url: str) -> None:
    (said,) = wrong(tmp_path, workers=0, redis_url=SecretStr(url))
    assert said.startswith("REDIS_URL: not an address")
    assert url not in said


@pytest.mark.parametrize("option", ["ssl_ca_certs", "ssl_certfile"])
@pytest.mark.parametrize("content", [None, "no certificate"])
def test_tls_files_of_redis(tmp_path: Path, option: str, content: str | None) -> None:
    if content is not None:
        (tmp_path / "file.pem").write_text(content)
    (said,) = wrong(tmp_path, workers=0, redis_url=SecretStr(f"rediss://127.0.0.1/0?{option}={tmp_path}/file.pem"))
    assert said.startswith("REDIS_URL: its TLS files cannot be used: ")


@pytest.mark.parametrize("endpoint", ["127.0.0.1:4318", "grpc://127.0.0.1:4317", "http://", "http://a:b/v1/traces"])
def test_addresses_that_spans_cannot_go_to(tmp_path: Path, endpoint: str) -> None:
    assert wrong(tmp_path, workers=0, otel_endpoint=endpoint) == [
        "OTEL_ENDPOINT: not an address as http://host:4318/v1/traces"
    ]


@pytest.mark.parametrize(("listen", "admin"), [("127.0.0.1", "127.0.0.1"), ("0.0.0.0", "127.0.0.1")])
def test_one_port_for_two(tmp_path: Path, listen: str, admin: str) -> None:
    port = free_port()
    said = wrong(tmp_path, listen_host=listen, admin_host=admin, listen_port=port, admin_port=port)
    assert said == [f"ADMIN_PORT: {port} is LISTEN_PORT too"]
    assert wrong(tmp_path, listen_host="127.0.0.2", listen_port=port, admin_port=port) == []


def test_an_address_that_is_not_this_machines(tmp_path: Path) -> None:
    (said,) = wrong(tmp_path, listen_host="192.0.2.1")  # RFC 5737: nobody's
    assert said == "LISTEN_PORT: 0 on 192.0.2.1: Cannot assign requested address"


@pytest.mark.parametrize("workers", [0, 1, 2])
@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0", "::", "localhost"])
def test_nothing_is_wrong_while_everybody_else_is_away(tmp_path: Path, workers: int, host: str) -> None:
    away = {"redis_url": SecretStr("rediss://:se%2Fcret@127.0.0.1:1/0?ssl_cert_reqs=none"), "otel_endpoint": SPANS}
    assert wrong(tmp_path, workers=workers, listen_host=host, admin_host=host, nats_url="nats.test", **away) == []


def test_the_parent_of_workers_keeps_nothing_of_what_was_loaded_to_judge(tmp_path: Path) -> None:
    named = {
        "DATA_DIR": tmp_path,
        "WORKERS": 2,
        "REDIS_URL": "http://",
        "OTEL_ENDPOINT": SPANS,
        "LISTEN_PORT": 0,
        "ADMIN_PORT": 0,
    }
    code = (
        "import sys; from headrace.appproxy.control.preflight import *; found = preflight_errors(Settings());"
        "print(len(found), {'redis', 'opentelemetry'} & sys.modules.keys())"
    )
    env = {**os.environ, **{PREFIX + name: str(value) for name, value in named.items()}}
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "1 set()\n"
