"""Output of revocations: where a token or client is refused, and the wait for it.

A user who revokes a leaked secret must see whether it is refused everywhere.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

import typer

from headrace.cli.errors import CliError, ExitCode
from headrace.cli.session import Session
from headrace.common.contracts.http.revocations import RevocationView

WAIT_S = 5.0
NoWait = Annotated[bool, typer.Option("--no-wait", help="Do not wait (5 s at most) until all app-proxies refuse it.")]


def print_revocation(
    session: Session, done: str, seen: RevocationView, wait: Callable[[float], RevocationView], *, no_wait: bool
) -> None:
    """Print that a revocation was made, and where it is in force.

    `done`: what was done, in words; `seen`: its first state; `wait`: wait for so many seconds. Raises CliError (exit
    code 5) if it is not in force everywhere after the wait.
    """
    if seen.in_force is False and not no_wait:
        seen = wait(WAIT_S)
    if seen.in_force is False and not no_wait:
        if session.output.as_json:
            session.output.record(seen)
        raise CliError(f"{done}; not in force everywhere yet: {words(seen)}", ExitCode.WAITED)
    session.output.done(f"{done}; {words(seen)}", **seen.model_dump(mode="json"))


def words(seen: RevocationView) -> str:
    """Return where a revocation is in force, and why not elsewhere."""
    where = [f"{one.proxy_id}: {one.reason.text}" for one in seen.missing]
    return "; ".join([seen.reason.text, *where])
