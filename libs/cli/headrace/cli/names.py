"""Cache of the names that a server told for shell completion, for when it does not answer in time.

One file of the newest login, which only its owner can read: names of another server, or of another key, replace it.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Final

from pydantic import BaseModel, ConfigDict, ValidationError

from headrace.common.runtime.files import write_atomically

if TYPE_CHECKING:
    from headrace.cli.config import Target

_MAX_KINDS: Final = 50
"""Kinds of names that are kept, where those of each service's clients are one: the newest."""
_MAX_BYTES: Final = 4 * 1024 * 1024


class _Kept(BaseModel):
    model_config = ConfigDict(extra="ignore")
    of: str
    """Fingerprint of the server's URL and the key."""
    names: dict[str, list[str]]
    """By kind, the one that was kept last at the end."""


class NameCache:
    """Names by kind, of one server and key. A file that cannot be read or written is as none."""

    def __init__(self, file: Path, target: Target) -> None:
        self._file = file
        self._of = hashlib.sha256(f"{target.url} {target.key}".encode()).hexdigest()

    def names(self, kind: str) -> list[str]:
        """Return the names of this kind that the server told the last time."""
        return self._kept().names.get(kind, [])

    def keep(self, kind: str, names: list[str]) -> None:
        """Keep the names of this kind."""
        kept = self._kept()
        if kept.names.get(kind) == names:
            return
        others = [(other, theirs) for other, theirs in kept.names.items() if other != kind][-_MAX_KINDS + 1 :]
        text = _Kept(of=self._of, names=dict([*others, (kind, names)])).model_dump_json()
        try:
            self._file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            write_atomically(self._file, text, durable=False)
        except OSError:
            pass  # completion works without it

    def _kept(self) -> _Kept:
        nothing = _Kept(of=self._of, names={})
        try:
            if self._file.stat().st_size > _MAX_BYTES:
                return nothing
            found = _Kept.model_validate_json(self._file.read_bytes())
        except (OSError, ValidationError):
            return nothing
        return found if found.of == self._of else nothing
