"""Resume file: ids of incomplete uploads.

A repeated transfer resumes them.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from tempfile import NamedTemporaryFile
from threading import Lock
from typing import Final

_KEPT: Final = 500


class ResumeFile:
    """ResumeStore in a JSON file readable by its owner only. If it is lost, uploads start anew."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._lock = Lock()

    def find(self, key: str) -> str | None:
        """Return the upload id of an earlier attempt, or None."""
        with self._lock:
            return self._read().get(key)

    def remember(self, key: str, upload_id: str) -> None:
        """Store an upload id until forget(); only the newest 500 are kept."""
        self._change(lambda known: {**known, key: upload_id})

    def forget(self, key: str) -> None:
        """Remove an upload id: the upload is complete, or was refused."""
        self._change(lambda known: {other: upload_id for other, upload_id in known.items() if other != key})

    def _change(self, change: Callable[[dict[str, str]], dict[str, str]]) -> None:
        with self._lock, suppress(OSError):
            known = self._read()
            new = dict(list(change(known).items())[-_KEPT:])
            if new != known:
                self._file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                self._write(json.dumps(new) + "\n")

    def _write(self, text: str) -> None:
        """Replace the file atomically, mode 0600."""
        with NamedTemporaryFile("w", encoding="utf-8", dir=self._file.parent, prefix=".", delete=False) as new:
            try:
                new.write(text)
                new.flush()
                Path(new.name).replace(self._file)
            except BaseException:
                Path(new.name).unlink(missing_ok=True)
                raise

    def _read(self) -> dict[str, str]:
        try:
            found = json.loads(self._file.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return {str(k): str(v) for k, v in found.items()} if isinstance(found, dict) else {}
