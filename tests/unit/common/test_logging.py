"""What must never be in a log, whatever its shape."""

from __future__ import annotations

import subprocess
import sys

import pytest

PROGRAM = """
import structlog
from headrace.common.obs.logging import configure_logging
configure_logging("test", log_format="{log_format}")
def connect(password):
    raise OSError("refused")
try:
    connect("hun" + "ter2")
except OSError:
    structlog.get_logger().exception("pass_failed", loop="plans")
"""


@pytest.mark.parametrize("log_format", ["json", "pretty"])
def test_tracebacks_hold_no_local_variables(log_format: str) -> None:
    """A traceback with locals is a way for passwords into logs."""
    program = PROGRAM.replace("{log_format}", log_format)
    done = subprocess.run([sys.executable, "-c", program], check=False, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert "pass_failed" in done.stderr
    assert "OSError: refused" in done.stderr
    assert "hunter2" not in done.stderr


UNREADABLE = """
import asyncio
from headrace.common.obs.logging import configure_logging
from headrace.common.web.app import WebServer, make_app
configure_logging("test", log_format="{log_format}")
async def main():
    server = WebServer(make_app(), host="127.0.0.1", port=0)
    running = asyncio.create_task(server.run())
    await server.started.wait()
    for head in (b"Authorization: Bearer\\r\\n hunter2", b"Authorization : hunter2", b"Content-Length: hunter2"):
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(b"GET / HTTP/1.1\\r\\nHost: x\\r\\n" + head + b"\\r\\n\\r\\n")
        assert b" 400 " in await reader.readline()
        writer.close()
    server.stop()
    await running
asyncio.run(main())
"""


@pytest.mark.parametrize("log_format", ["json", "pretty"])
def test_a_request_that_is_not_http_leaves_one_line_without_what_was_sent(log_format: str) -> None:
    program = UNREADABLE.replace("{log_format}", log_format)
    done = subprocess.run([sys.executable, "-c", program], check=False, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    first, *lines = done.stderr.splitlines()
    assert "server_started" in first
    assert ["request_unreadable" in line for line in lines] == [True, True, True]
    assert "hunter2" not in done.stderr


ENDED_BY_THE_SERVER = """
import asyncio, logging
from headrace.common.obs.logging import configure_logging
configure_logging("test", log_format="json")
logging.getLogger("asyncio").warning("returning true from eof_received() has no effect when using ssl")
logging.getLogger("asyncio").warning("socket.send() raised exception.")
"""


def test_the_end_of_a_tls_connection_to_nats_is_no_warning() -> None:
    """The client reconnects several times a second while it is refused: the reason would drown."""
    command = [sys.executable, "-c", ENDED_BY_THE_SERVER]
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60)
    assert "eof_received" not in done.stderr
    assert "socket.send() raised exception." in done.stderr
