"""Upload ids of unfinished uploads, so that the same command, run again, goes on where it stopped."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from threading import Lock
from typing import Final

from headrace.embedded.private import write_private

_KEPT: Final = 500


class Unfinished:
    """A file that maps what is uploaded where to the server's upload id. Losing it costs bytes, not correctness."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._lock = Lock()

    @staticmethod
    def key(url: str, folder_id: str, remote: str, local: Path) -> str:
        """Return what one upload is known by; a file that changed is another one."""
        there = local.stat()
        return json.dumps([url, folder_id, remote, str(local.absolute()), there.st_size, there.st_mtime_ns])

    def find(self, key: str) -> str | None:
        """Return the upload id of an earlier try."""
        with self._lock:
            return self._read().get(key)

    def remember(self, key: str, upload_id: str) -> None:
        """Keep the upload id until forget()."""
        self._change(lambda known: {**known, key: upload_id})

    def forget(self, key: str) -> None:
        """Drop it: the upload is complete."""
        self._change(lambda known: {other: upload_id for other, upload_id in known.items() if other != key})

    def _change(self, change: Callable[[dict[str, str]], dict[str, str]]) -> None:
        with self._lock, suppress(OSError):
            known = self._read()
            new = dict(list(change(known).items())[-_KEPT:])
            if new != known:
                self._file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                write_private(self._file, json.dumps(new) + "\n")

    def _read(self) -> dict[str, str]:
        try:
            found = json.loads(self._file.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return {str(k): str(v) for k, v in found.items()} if isinstance(found, dict) else {}
