"""The installation's Redis at a join: no manager tells its password, so an operator hands it over in a file. Blocking."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Final

from pydantic import SecretStr

from headrace.common.joining.checks import Check
from headrace.common.joining.errors import JoinError
from headrace.common.runtime.redis_urls import ALLOWED, checked_redis_url

MAX_URL_BYTES: Final = 4096
_NEEDED: Final = "the URL of the installation's Redis"
_MEND: Final = "--redis-url-file FILE with redis_url of the installation's settings"


def add_redis_option(parser: argparse.ArgumentParser) -> None:
    """Add the option that names the file."""
    parser.add_argument(
        "--redis-url-file",
        type=Path,
        metavar="FILE",
        help="File with the URL of the installation's Redis, which is copied into the settings.",
    )


def redis_url(given: argparse.Namespace) -> str:
    """Return the URL, "" where no file is named. Raises JoinError, which quotes nothing of it: there is a password in it."""
    file: Path | None = given.redis_url_file
    if file is None:
        return ""
    try:
        with file.open(encoding="utf-8") as opened:
            text = opened.read(MAX_URL_BYTES).strip()
        url = checked_redis_url(SecretStr(text or "nothing")).get_secret_value()
    except OSError as error:
        raise JoinError(f"--redis-url-file {file} cannot be read: {error.strerror or error}") from None
    except UnicodeDecodeError:
        raise JoinError(f"--redis-url-file {file}: found no text; allowed: {ALLOWED}") from None
    except ValueError as error:
        raise JoinError(f"--redis-url-file {file}: {error}") from None
    return url


def redis_check(given: argparse.Namespace, *, required: bool, without: str) -> Check:
    """Say whether Redis is known; `without` says what that means. Raises JoinError."""
    if redis_url(given):
        return Check("Redis", f"a URL in {given.redis_url_file}", _NEEDED)
    return Check(
        "Redis", f"none: {without}", _NEEDED if required else f"none, or {_NEEDED}", _MEND if required else None
    )
