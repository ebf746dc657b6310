"""A fake of a service: an HTTP listener for /readyz, and on request a kernel in a session of its own.

`service.py PORT NAME [ready-after SECONDS | crash | kernel | bind-or-end FILE]`. `bind-or-end` listens on the endpoints'
port too, or ends; at the first start it writes that port to FILE, and goes on once FILE says `taken`. Says in its output
what it was told to do. Standard library only.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from types import FrameType

port, name, *mode = sys.argv[1:]
ready_at = time.monotonic() + (float(mode[1]) if mode[:1] == ["ready-after"] else 0)
if mode == ["crash"]:
    print(f"{name}: the configuration is wrong", flush=True)
    sys.exit(3)


if mode[:1] == ["bind-or-end"]:
    stolen = Path(mode[1])
    wanted = int(os.environ["HEADRACE_APPPROXY_LISTEN_PORT"])
    if not stolen.exists():
        stolen.write_text(str(wanted))
        while stolen.read_text() != "taken":
            time.sleep(0.01)
    try:
        shared = socket.create_server(("127.0.0.1", wanted))
    except OSError:
        sys.exit(f"{name}: port {wanted} is taken")


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200 if self.path == "/readyz" and time.monotonic() >= ready_at else 503)
        self.end_headers()

    def log_message(self, *args: object) -> None:
        pass


server = HTTPServer(("127.0.0.1", int(port)), Handler)
kernel = subprocess.Popen(["sleep", f"{3000 + os.getpid()}"], start_new_session=True) if mode == ["kernel"] else None
print(f"{name}: started", *([f"kernel {kernel.pid}"] if kernel else []), flush=True)


def on_signal(number: int, _frame: FrameType | None) -> None:
    print(f"{name}: {signal.Signals(number).name} at {time.monotonic_ns()}", flush=True)
    if kernel is not None and os.environ.get("STOP_KERNELS") == "true":
        kernel.kill()
        kernel.wait()
    threading.Thread(target=server.shutdown).start()


signal.signal(signal.SIGTERM, on_signal)
signal.signal(signal.SIGINT, on_signal)
server.serve_forever(poll_interval=0.02)
print(f"{name}: ended at {time.monotonic_ns()}", flush=True)
