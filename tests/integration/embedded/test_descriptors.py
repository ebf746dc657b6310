"""What a program gets of listening sockets that are kept for it."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import sys
from pathlib import Path

from headrace.embedded.process import Child, Command

SCRIPT = """
import json, os
open_now = {int(fd): os.path.realpath(f"/proc/self/fd/{fd}") for fd in os.listdir("/proc/self/fd")}
print(json.dumps({
    "sockets": {fd: where for fd, where in open_now.items() if "socket:" in where},
    "listen": {name: os.environ.get(name) for name in ("LISTEN_FDS", "LISTEN_FDNAMES")},
    "for_me": os.environ.get("LISTEN_PID") == str(os.getpid()),
}))
"""


async def test_a_program_gets_each_kept_socket_once_at_its_place_and_no_copy_of_it(tmp_path: Path) -> None:
    """A copy would listen on after the program closed its own: callers would be taken and never answered."""
    kept = [socket.create_server(("127.0.0.1", 0)) for _ in range(3)]
    inodes = [f"socket:[{os.fstat(one.fileno()).st_ino}]" for one in kept]
    log = tmp_path / "log"
    child = Child.start(
        Command((sys.executable, "-c", SCRIPT), {}),
        log,
        descriptors=[(f"s.{n}", s.fileno()) for n, s in enumerate(kept)],
    )
    assert await asyncio.wait_for(child.wait(), 60) == 0
    for one in kept:
        one.close()
    told = json.loads(log.read_text())
    assert told["listen"] == {"LISTEN_FDS": "3", "LISTEN_FDNAMES": "s.0:s.1:s.2"}
    assert told["for_me"]
    assert [told["sockets"][str(3 + at)].rpartition("/")[2] for at in range(3)] == inodes
    assert len(told["sockets"]) == 3, told
