"""Waiting for a service with its state in sight, and with the failed replica's log when it does not get there."""

from __future__ import annotations

from collections import deque
from itertools import islice

from headrace.cli.commands.service_view import progress_lines
from headrace.cli.errors import CliError, ExitCode
from headrace.cli.session import Session
from headrace.common.contracts.http.services import ServiceDetail
from headrace.sdk import Client, HeadraceError, Until, WaitFailedError, WaitTimeoutError

_TAIL_LINES = 20


def wait_for(session: Session, service: str, until: Until, timeout_s: float) -> ServiceDetail | None:
    """Return the service once it is healthy, stopped or (None) gone.

    Raises CliError (exit code 5) with the reason and the end of the failed replica's log.
    """
    client = session.client
    try:
        with session.output.live() as show:
            return client.services.wait(
                service, until, timeout_s=timeout_s, progress=lambda seen: show(progress_lines(seen))
            )
    except WaitFailedError as error:
        text, hint = (
            str(error),
            f"headrace service errors {service}; after the cause is gone: headrace service retry {service}",
        )
    except WaitTimeoutError as error:
        text, hint = str(error), f"headrace service show {service}; headrace service logs {service}"
    raise CliError(text, ExitCode.WAITED, hint=hint, log=failed_log(client, service))


def failed_log(client: Client, service: str) -> str:
    """Return the last lines of the newest failed replica, or of what runs; empty when they cannot be had."""
    try:
        failed = client.services.failed_replicas(service)
        with client.services.logs(service, replica=failed[0] if failed else None, tail=_TAIL_LINES) as lines:
            return "\n".join(deque(islice(lines, 10_000), maxlen=_TAIL_LINES))
    except HeadraceError:
        return ""
