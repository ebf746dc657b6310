"""Shell completion of names, fetched from the server.

The shell waits for them while a user types: on any error nothing is suggested and nothing is printed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from headrace.sdk import Client

_TIMEOUT_S = 2.0


def complete_service(incomplete: str) -> list[str]:
    """Return the service names that begin with `incomplete`."""
    return _names(lambda client: (s.name for s in client.services.list(q=incomplete or None)), incomplete)


def complete_folder(incomplete: str) -> list[str]:
    """Return the folder names that begin with `incomplete`."""
    return _names(lambda client: (f.name for f in client.folders.list()), incomplete)


def complete_model(incomplete: str) -> list[str]:
    """Return the names in the model store that begin with `incomplete`."""
    return _names(lambda client: (m.name for m in client.models.list(q=incomplete or None)), incomplete)


def _names(read: Callable[[Client], Iterable[str]], incomplete: str) -> list[str]:
    from headrace.cli.config import Config  # noqa: PLC0415 - every command has completion, few runs complete
    from headrace.cli.errors import CliError  # noqa: PLC0415
    from headrace.sdk import Client, HeadraceError  # noqa: PLC0415

    try:
        target = Config().target()
        with Client(
            target.url,
            target.key,
            timeout_s=_TIMEOUT_S,
            connect_timeout_s=_TIMEOUT_S,
            retries=0,
            verify=str(target.ca_file) if target.ca_file else True,
        ) as client:
            return [name for name in read(client) if name.startswith(incomplete)]
    except (CliError, HeadraceError, OSError, ValueError):
        return []
