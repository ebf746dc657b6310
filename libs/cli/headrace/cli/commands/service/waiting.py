"""Wait for a service's state, with progress.

On failure the failed replica's log is printed, without another command.
"""

from __future__ import annotations

from collections import deque
from itertools import islice

from headrace.cli.commands.service.view import progress_lines
from headrace.cli.errors import CliError, ExitCode
from headrace.cli.session import Session
from headrace.common.contracts.http.receipts import RolloutReceipt
from headrace.common.contracts.http.services import ServiceDetail
from headrace.common.contracts.reasons.client import WaitReason
from headrace.common.contracts.reasons.rollout import RolloutReason
from headrace.common.text.counting import count
from headrace.sdk import Client, HeadraceError, Until, WaitFailedError, WaitTimeoutError

_TAIL_LINES = 20
_NO_LOG = "headrace: log cannot be read"
"""Placeholder of the server for a log without lines; its reason is in the service already."""


def wait_for(
    session: Session, service: str, until: Until, timeout_s: float, *, revision: int | None = None
) -> ServiceDetail | None:
    """Return the service once it is healthy, stopped or (None) gone. `revision`: of which the rollout must not fail.

    Raises CliError (exit code 5) with the reason and the end of the failed replica's log.
    """
    client = session.client
    failure: WaitFailedError | WaitTimeoutError
    try:
        with session.output.live() as show:
            return client.services.wait(
                service, until, revision=revision, timeout_s=timeout_s, progress=lambda seen: show(progress_lines(seen))
            )
    except WaitFailedError as error:
        if error.reason.code == WaitReason.NOT_FOUND:
            raise CliError(str(error), ExitCode.WAITED) from error
        failure = error
    except WaitTimeoutError as error:
        failure = error
    if failure.reason is not None and failure.reason.code in set(RolloutReason):  # what serves has no part in it
        failed = failed_log(client, service) if _has_errors(client, service) else ""
        raise CliError(str(failure), ExitCode.WAITED, hint=f"headrace rollout show {service}", log=failed) from failure
    stopped = _phase(client, service) == "stopped"
    hint = f"headrace service {'start' if stopped else 'errors' if isinstance(failure, WaitFailedError) else 'show'} {service}"
    raise CliError(
        str(failure), ExitCode.WAITED, hint=hint, log="" if stopped else failed_log(client, service)
    ) from failure


def wait_for_receipt(session: Session, service: ServiceDetail, timeout_s: float) -> RolloutReceipt:
    """Return the receipt of the service's rollout once it is complete, or `timeout_s` is over."""
    with session.output.live() as show:

        def progress(receipt: RolloutReceipt) -> None:
            if receipt.draining:
                show([f"{service.name}: {count(receipt.draining, 'replaced replica')} still draining"])

        return session.client.services.wait_for_receipt(
            service.name, service.revision, timeout_s=timeout_s, progress=progress
        )


def _has_errors(client: Client, service: str) -> bool:
    try:
        return bool(client.services.failed_replicas(service))
    except HeadraceError:
        return False


def _phase(client: Client, service: str) -> str | None:
    try:
        return client.services.get(service).phase
    except HeadraceError:
        return None


def failed_log(client: Client, service: str) -> str:
    """Return the last lines of the newest failed replica's log, or of a running one; empty if they cannot be fetched."""
    try:
        failed = client.services.failed_replicas(service)
        with client.services.logs(service, replica=failed[0] if failed else None, tail=_TAIL_LINES) as lines:
            found = (line for line in islice(lines, 10_000) if _NO_LOG not in line)
            return "\n".join(deque(found, maxlen=_TAIL_LINES))
    except HeadraceError:
        return ""
