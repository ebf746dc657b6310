"""Hashes of passwords: argon2id, in threads of their own, few at once.

Each takes 64 MiB and a tenth of a second of a core on purpose, so what one caller can cost the others is bounded.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from argon2.profiles import RFC_9106_LOW_MEMORY

from headrace.common.contracts.problems import Unavailable
from headrace.common.contracts.reasons.api import ApiReason
from headrace.manager.threads import in_thread

AT_ONCE: Final = 2
MAX_WAITING: Final = 32
TIMEOUT_S: Final = 20.0
OF_NOBODY: Final = "$argon2id$v=19$m=65536,t=3,p=4$XmzJWB5c+Xm78NBJ5TI8OA$Zzl2qGagEcyObNUYaG9uJDxjTS7TeXAQx9A3mR429fw"
"""Hash, by the same parameters, that no password has: what is compared where there is no user or no password, so that an answer
takes as long."""
T = TypeVar("T")


class PasswordHashes:
    """Hasher of passwords."""

    def __init__(self) -> None:
        self._hasher = PasswordHasher.from_parameters(RFC_9106_LOW_MEMORY)
        self._threads = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="passwords")
        self._there = 0

    async def make(self, password: str) -> str:
        """Return the hash of a password. Raises Unavailable when too many are in hand."""
        return await self._run(lambda: self._hasher.hash(_plain(password)))

    async def matches(self, password: str, stored: str | None) -> bool:
        """Return whether the password has this hash; without a hash False, after the same work. Raises Unavailable."""
        return await self._run(lambda: self._verify(password, stored or OF_NOBODY)) and stored is not None

    def outdated(self, stored: str) -> bool:
        """Return whether the hash was made by other parameters than today's."""
        return self._hasher.check_needs_rehash(stored)

    def _verify(self, password: str, stored: str) -> bool:
        try:
            return self._hasher.verify(stored, _plain(password))
        except (VerificationError, InvalidHashError):
            return False

    async def _run(self, function: Callable[[], T]) -> T:
        if self._there >= (most := AT_ONCE + MAX_WAITING):
            raise _busy(f"found {self._there} passwords that are being checked; allowed: {most}")
        self._there += 1
        try:
            return await in_thread(self._threads, function, timeout_s=TIMEOUT_S, ended=self._ended)
        except TimeoutError:
            raise _busy(f"the password was not checked within {TIMEOUT_S:g} s") from None

    def _ended(self) -> None:
        self._there -= 1


def _plain(password: str) -> str:
    """Return the text that is hashed: letters that look the same are the same (NFKC), whatever keyboard they come from."""
    return unicodedata.normalize("NFKC", password)


def _busy(why: str) -> Unavailable:
    problem = Unavailable(f"{why}; try again", reason=ApiReason.PASSWORDS_BUSY)
    problem.headers = {"Retry-After": "1"}
    return problem
