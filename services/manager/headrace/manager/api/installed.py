"""The installed version of Headrace."""

from __future__ import annotations

from functools import cache
from importlib.metadata import PackageNotFoundError, version


@cache
def installed_version() -> str:
    """Return it."""
    try:
        return version("headrace")
    except PackageNotFoundError:
        return "0"
