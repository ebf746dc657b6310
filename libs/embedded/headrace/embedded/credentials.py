"""Passwords and keys that the stack generates at its first start and stores."""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from headrace.common.runtime.files import write_atomically

MANAGER_SECRETS_KEYS: Final = "manager.secrets-keys"
"""Name of the managers' list of keys of projects' secrets."""


class Credentials:
    """Generated secrets by name, in one file with mode 0600. One that was generated changes only by a restore."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._known: dict[str, str] = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}

    def __repr__(self) -> str:
        return f"Credentials({len(self._known)} secrets)"

    def password(self, name: str) -> str:
        """Return the password of `name`: letters and digits, 160 random bits.

        It begins with a letter, because NATS parses a value from the environment like its configuration: digits alone
        would be a number.
        """
        return self._get(name, lambda: "p" + secrets.token_hex(20))

    def key_hex(self, name: str) -> str:
        """Return the key of `name`: 32 random bytes, in hexadecimal."""
        return self._get(name, lambda: secrets.token_hex(32))

    def keys(self, name: str) -> tuple[str, ...]:
        """Return the list of keys of `name`, of a backup; empty where none was stored."""
        return tuple(json.loads(self._known.get(name, "[]")))

    def put_keys(self, name: str, keys: Sequence[str]) -> None:
        """Store a list of keys, of a backup."""
        if tuple(keys) != self.keys(name):
            self.put(name, json.dumps(list(keys)))

    def put(self, name: str, value: str) -> None:
        """Store the secret of `name`, of a backup."""
        self._known[name] = value
        self._write()

    def _get(self, name: str, make: Callable[[], str]) -> str:
        if name not in self._known:
            self._known[name] = make()
            self._write()
        return self._known[name]

    def _write(self) -> None:
        write_atomically(self._file, json.dumps(self._known, indent=1, sort_keys=True) + "\n")
