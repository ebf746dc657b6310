"""As whom PostgreSQL runs: it refuses uid 0."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import structlog

from headrace.embedded.errors import EmbeddedError
from headrace.embedded.process import NAMESPACE, SAME, Command, run_to_end

log = structlog.get_logger(__name__)

NOBODY = 65534
ACCOUNT = f"account:{NOBODY}:{NOBODY}"


async def choose_identity(program: Path, log_file: Path) -> str:
    """Return an identity under which `program` can run and reach what is private to the caller.

    An ordinary user: itself. Root: uid 65534 in a user namespace, whose files stay root's, so nothing has to become
    readable for others; where namespaces are forbidden (most containers), the account 65534 with the one capability
    that lets it through private folders. Found by trying, because no flag says what a container allows.
    """
    if os.geteuid() != 0:
        return SAME
    for identity in (NAMESPACE, ACCOUNT):
        command = Command(
            (str(program), "--version"), {"LC_ALL": "C"}, on_parent_death=signal.SIGKILL, identity=identity
        )
        if await run_to_end(command, log_file, timeout_s=10) == 0:
            return identity
        log.info("identity_not_usable", program=program.name, identity=identity)
    raise EmbeddedError(
        f"{program.name} refuses to run as root, and neither a user namespace nor account {NOBODY} can be used here; "
        "run as an ordinary user"
    )


def owner(identity: str) -> tuple[int, int]:
    """Return the uid and gid, as seen from outside, that own what a program under `identity` creates."""
    if identity.startswith("account:"):
        _, uid, gid = identity.split(":")
        return int(uid), int(gid)
    return os.geteuid(), os.getegid()


def give(folder: Path, identity: str) -> None:
    """Make `folder` and all below it belong to owner(identity), if it does not already."""
    uid, gid = owner(identity)
    if folder.stat().st_uid == uid:
        return
    for parent, _, names in os.walk(folder, topdown=False):
        for name in names:
            os.chown(Path(parent) / name, uid, gid, follow_symlinks=False)
        # The folder itself last: an interrupted run is seen as not done and is done again.
        os.chown(parent, uid, gid, follow_symlinks=False)
