"""The one expected error of making an installation's files."""

from __future__ import annotations


class InstallError(Exception):
    """Nothing was changed; `str()` is one sentence with what was found and what is allowed, without secrets."""
