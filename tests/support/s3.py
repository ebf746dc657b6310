"""An S3 server, moto's, as a child process."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import httpx

from tests.support.wait import until

_SIGNED = {
    "Authorization": "AWS4-HMAC-SHA256 Credential=AK/20260101/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=0"
}
"""The server wants to see a credential, and takes any."""


@dataclass
class S3Server:
    """Running server. It takes any credential."""

    url: str
    http: httpx.Client

    def bucket(self, name: str, files: dict[str, bytes]) -> None:
        """Make a bucket with these objects, which need a credential, but for those of a bucket called public."""
        acl = {"x-amz-acl": "public-read"} if name == "public" else {}
        self.http.put(f"{self.url}/{name}", headers=acl).raise_for_status()
        for key, content in files.items():
            self.http.put(f"{self.url}/{name}/{quote(key)}", content=content, headers=_SIGNED | acl).raise_for_status()

    def delete(self, bucket: str, key: str) -> None:
        self.http.delete(f"{self.url}/{bucket}/{quote(key)}", headers=_SIGNED).raise_for_status()


@contextmanager
def s3_server(port: int, log: Path) -> Iterator[S3Server]:
    """Serve until left."""
    with log.open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)], stdout=out, stderr=out
        )
    with httpx.Client(verify=False, timeout=30) as http:
        server = S3Server(f"http://127.0.0.1:{port}", http)

        def answers() -> bool:
            assert process.poll() is None, log.read_text()
            try:
                return http.get(server.url).status_code < 500
            except httpx.TransportError:
                return False

        try:
            until(answers)
            yield server
        finally:
            process.kill()
            process.wait()
