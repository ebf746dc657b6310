"""Real nginx as a reverse proxy, installed from Debian where it is missing and that is allowed."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.support.ports import free_port
from tests.support.wait import until

_CONFIG = """
daemon off; master_process off; worker_processes 1; pid {folder}/nginx.pid; error_log {folder}/error.log;
events {{ worker_connections 256; }}
http {{
  access_log off; server_tokens off; lingering_close off;
  client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
  client_header_timeout 1s; client_body_timeout 1s; keepalive_timeout 1s;
  upstream backend {{ server 127.0.0.1:{backend}; keepalive 4; }}
  server {{
    listen 127.0.0.1:{port}; server_name h;
    location / {{
      proxy_pass http://backend; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_set_header Host $host;
      proxy_request_buffering off; proxy_buffering off; proxy_next_upstream off; proxy_read_timeout 3s;
    }}
  }}
}}
"""


def installed(program: str, package: str) -> str:
    """Return the path of `program`, installing Debian's `package` if there is none. AssertionError where that is not allowed."""
    found = shutil.which(program, path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    if found is None:
        assert os.geteuid() == 0, f"{program} is missing and only root may install it: apt-get install {package}"
        environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        for words in (["update"], ["install", "-y", "--no-install-recommends", package]):
            subprocess.run(["apt-get", "-qq", *words], check=True, env=environment, stdout=subprocess.DEVNULL)
        found = shutil.which(program, path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    assert found is not None, f"{program} is missing after installing {package}"
    return found


@dataclass
class Nginx:
    """nginx on `port`, in front of the backend given to `serve`."""

    program: str
    folder: Path
    port: int
    process: subprocess.Popen[bytes] | None = None

    def serve(self, backend: int) -> None:
        """Start in front of the backend on this port; returns once it listens."""
        config = self.folder / "nginx.conf"
        config.write_text(_CONFIG.format(folder=self.folder, port=self.port, backend=backend))
        self.process = subprocess.Popen(
            [self.program, "-p", str(self.folder), "-c", str(config)], stderr=subprocess.DEVNULL
        )
        until(self._listens, "nginx listens")

    def _listens(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, (self.folder / "error.log").read_text()
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def stop(self) -> None:
        """Stop it."""
        if self.process is not None:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(20)


@contextmanager
def nginx(folder: Path) -> Iterator[Nginx]:
    """Yield an nginx on a free port, not started yet; stopped at the end."""
    one = Nginx(installed("nginx", "nginx-light"), folder, free_port())
    try:
        yield one
    finally:
        one.stop()
