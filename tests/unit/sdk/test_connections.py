"""Connections of the SDK: kept for the next request, not used once the server closed them, and never half an answer."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from headrace.sdk import Client
from headrace.sdk.connections import BrokenError, ConnectFailedError, Pool, SilentError
from headrace.sdk.errors import AnswerLostError, ApiError
from tests.support.wait import until

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
Served = Callable[[socket.socket], None]


@contextmanager
def server(*connections: Served) -> Iterator[tuple[str, list[int]]]:
    """Serve one connection after another, each by its function; yield the URL and what was accepted."""
    accepted: list[int] = []
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            for number, served in enumerate(connections):
                with suppress(OSError):
                    connection, _ = listening.accept()
                    accepted.append(number)
                    with connection:
                        served(connection)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}", accepted
        with suppress(OSError):
            listening.shutdown(socket.SHUT_RDWR)
        thread.join(20)


@contextmanager
def pool(url: str) -> Iterator[Pool]:
    made = Pool(url, connect_timeout_s=20, verify=True)
    try:
        yield made
    finally:
        made.close()


def head(connection: socket.socket) -> bytes:
    """Read one request's head."""
    read = b""
    while b"\r\n\r\n" not in read:
        block = connection.recv(65_536)
        if not block:
            raise ConnectionError
        read += block
    return read


def answers(*texts: bytes) -> Served:
    """Answer one request after another; then the connection is closed."""

    def served(connection: socket.socket) -> None:
        for text in texts:
            head(connection)
            connection.sendall(text)

    return served


def got(pool: Pool, *, method: str = "GET", timeout_s: float = 20.0) -> bytes:
    answer = pool.send(method, "/x", headers={}, timeout_s=timeout_s)
    try:
        return answer.content
    finally:
        answer.close()


def test_a_connection_is_kept_for_the_next_request() -> None:
    with server(answers(OK, OK, OK)) as (url, accepted), pool(url) as connections:
        assert [got(connections) for _ in range(3)] == [b"ok"] * 3
    assert accepted == [0]


@pytest.mark.parametrize(
    "text",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\n\r\nok",
        b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok",
    ],
)
def test_a_connection_that_the_server_closes_is_not_used_again(text: bytes) -> None:
    with server(answers(text), answers(OK)) as (url, accepted), pool(url) as connections:
        assert [got(connections) for _ in range(2)] == [b"ok"] * 2
    assert accepted == [0, 1]


def test_an_idle_connection_that_was_closed_meanwhile_costs_no_request() -> None:
    with server(answers(OK), answers(OK)) as (url, accepted), pool(url) as connections:
        assert got(connections) == b"ok"
        until(lambda: not connections.idle[0].fresh)
        assert got(connections, method="POST") == b"ok"
    assert accepted == [0, 1]


@pytest.mark.parametrize(
    "text",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nno length\r\nhalf\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Le",
        b"no HTTP\r\n\r\n",
        b"",
    ],
)
def test_half_an_answer_is_none(text: bytes) -> None:
    with server(answers(text)) as (url, _), pool(url) as connections, pytest.raises(BrokenError):
        got(connections)


def test_blocks_are_passed_on_as_they_come() -> None:
    asked = threading.Event()

    def served(connection: socket.socket) -> None:
        head(connection)
        connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n")
        assert asked.wait(20)
        connection.sendall(b"1\r\nb\r\n0\r\n\r\n")

    with server(served) as (url, _), pool(url) as connections:
        answer = connections.send("GET", "/x", headers={}, timeout_s=20)
        blocks = answer.iter_bytes()
        assert next(blocks) == b"a"
        asked.set()
        assert list(blocks) == [b"b"]
        answer.close()


def test_a_refusal_that_comes_before_all_was_sent_is_read() -> None:
    refusal = b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"

    def blocks() -> Iterator[bytes]:
        while True:  # until the server has closed: far less than it says
            yield b"x" * 65_536

    with server(answers(refusal)) as (url, _), pool(url) as connections:
        try:
            answer = connections.send(
                "PATCH", "/x", content=blocks(), headers={"Content-Length": str(1 << 40)}, timeout_s=20
            )
        except BrokenError:
            return  # the reset overtook the refusal
        assert answer.status_code == 413
        answer.close()


def test_what_the_content_raises_is_no_failure_of_the_connection() -> None:
    def blocks() -> Iterator[bytes]:
        yield b"x"
        raise OSError("the disk is broken")

    with server(answers(OK)) as (url, _), pool(url) as connections, pytest.raises(OSError, match="disk is broken"):
        connections.send("PATCH", "/x", content=blocks(), headers={"Content-Length": "2"}, timeout_s=20)


def test_a_server_that_is_silent_is_left_after_the_timeout() -> None:
    left = threading.Event()

    def served(connection: socket.socket) -> None:
        head(connection)
        left.wait(20)

    with server(served) as (url, _), pool(url) as connections:
        with pytest.raises(SilentError):
            got(connections, timeout_s=0.05)
        left.set()


def test_closing_ends_a_read_that_waits_in_another_thread() -> None:
    waiting, ended = threading.Event(), list[BaseException]()

    def served(connection: socket.socket) -> None:
        head(connection)
        connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n")
        connection.recv(1)

    with server(served) as (url, _):
        connections = Pool(url, connect_timeout_s=20, verify=True)

        def read() -> None:
            answer = connections.send("GET", "/x", headers={}, timeout_s=None)
            try:
                for _ in answer.iter_bytes():
                    waiting.set()
            except BrokenError as error:
                ended.append(error)

        reading = threading.Thread(target=read)
        reading.start()
        assert waiting.wait(20)
        connections.close()
        reading.join(20)
        assert len(ended) == 1
        with pytest.raises(ConnectFailedError, match="closed"):
            got(connections)


def test_a_request_beyond_the_bound_of_connections_waits_no_longer_than_for_an_answer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("headrace.sdk.connections.MAX_CONNECTIONS", 1)
    with server(answers(OK)) as (url, _), pool(url) as connections:
        answer = connections.send("GET", "/x", headers={}, timeout_s=20)
        with pytest.raises(ConnectFailedError, match="all 1 connections"):
            got(connections, timeout_s=0.01)
        answer.close()


@pytest.mark.parametrize("host", ["[::1]", "127.0.0.1"])
def test_a_path_before_the_api_s_and_either_kind_of_address_are_kept(host: str) -> None:
    asked: list[bytes] = []
    family = socket.AF_INET6 if "[" in host else socket.AF_INET
    with socket.create_server((host.strip("[]"), 0), family=family) as listening:

        def serve() -> None:
            connection, _ = listening.accept()
            with connection:
                asked.append(head(connection))
                connection.sendall(OK)

        thread = threading.Thread(target=serve)
        thread.start()
        with pool(f"http://{host}:{listening.getsockname()[1]}/behind/") as connections:
            assert got(connections) == b"ok"
        thread.join(20)
    assert asked[0].startswith(b"GET /behind/x HTTP/1.1\r\n")
    assert f"Host: {host}:".encode() in asked[0]


def certificate(folder: Path) -> tuple[Path, Path]:
    """Write a self-signed certificate for localhost, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    chain, private = folder / "server.pem", folder / "server.key"
    chain.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    private.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return chain, private


def over_tls(chain: Path, private: Path) -> Served:
    """Return a server of one request over TLS."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(chain, private)

    def serve(connection: socket.socket) -> None:
        with context.wrap_socket(connection, server_side=True) as encrypted:
            head(encrypted)
            encrypted.sendall(OK)

    return serve


@pytest.mark.parametrize(
    ("host", "verify", "accepted"),
    [
        ("localhost", "its CA", True),
        ("localhost", "the system's CAs", False),
        ("127.0.0.1", "its CA", False),  # a name that the certificate does not have
        ("127.0.0.1", "nothing", True),
    ],
)
def test_a_certificate_is_accepted_from_a_trusted_authority_for_the_host_s_name_alone(
    tmp_path: Path, host: str, verify: str, *, accepted: bool
) -> None:
    chain, private = certificate(tmp_path)
    choices: dict[str, bool | str] = {"its CA": str(chain), "the system's CAs": True, "nothing": False}
    with server(over_tls(chain, private)) as (url, _):
        secure = url.replace("http://127.0.0.1", f"https://{host}")
        client = Pool(secure, connect_timeout_s=20, verify=choices[verify])
        try:
            if accepted:
                answer = client.send("GET", "/", headers={}, timeout_s=20)
                assert answer.content == b"ok"
                answer.close()
            else:
                with pytest.raises(ConnectFailedError, match="certificate verify failed") as refused:
                    client.send("GET", "/", headers={}, timeout_s=20)
                assert refused.value.untrusted
        finally:
            client.close()


@pytest.mark.parametrize(
    ("content", "why"), [(None, "cannot be read: No such file"), ("no PEM", "holds no certificate")]
)
def test_a_ca_file_that_cannot_be_used_is_named(tmp_path: Path, content: str | None, why: str) -> None:
    file = tmp_path / "ca.pem"
    if content is not None:
        file.write_text(content)
    with pytest.raises(ValueError, match=why) as refused:
        Client("https://127.0.0.1:1", "key", verify=str(file))
    assert str(file) in str(refused.value)


def test_a_key_that_cannot_be_one_is_refused_without_showing_it() -> None:
    with pytest.raises(ValueError, match="the API key has characters that no key has") as refused:
        Client("http://127.0.0.1:1", "hr_secret\r\nX-Other: 1")
    assert "secret" not in str(refused.value)


def test_the_line_end_of_a_key_from_a_file_is_left_out() -> None:
    heads: list[bytes] = []

    def serve(connection: socket.socket) -> None:
        heads.append(head(connection))
        connection.sendall(b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n")

    with server(serve) as (url, _), Client(url, "hr_key\n") as client, pytest.raises(ApiError):
        client.whoami()
    assert b"Authorization: Bearer hr_key\r\n" in heads[0]


def test_a_request_that_the_client_s_end_cuts_off_says_so() -> None:
    asked = threading.Event()

    def silent(connection: socket.socket) -> None:
        head(connection)
        asked.set()
        connection.recv(1)  # until the client closes

    failed: list[Exception] = []
    with server(silent) as (url, _):
        client = Client(url, "hr_key")

        def call() -> None:
            try:
                client.whoami()
            except AnswerLostError as error:
                failed.append(error)

        thread = threading.Thread(target=call)
        thread.start()
        assert asked.wait(20)
        client.close()
        thread.join(20)
    assert [str(error) for error in failed] == ["the answer did not come: the client was closed"]
