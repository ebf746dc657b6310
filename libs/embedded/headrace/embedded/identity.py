"""Account of PostgreSQL's processes: PostgreSQL refuses uid 0, and a uid that is not in /etc/passwd."""

from __future__ import annotations

import os
import pwd
from pathlib import Path

import structlog

from headrace.embedded.errors import EmbeddedError
from headrace.embedded.process import SAME, Command, run_to_end

log = structlog.get_logger(__name__)


def _unprivileged() -> tuple[int, int]:
    """Return uid and gid of an unprivileged account: `nobody`, or in images without it any but root."""
    known = {account.pw_uid: account.pw_gid for account in pwd.getpwall() if account.pw_uid != 0}
    uid = 65534 if 65534 in known or not known else max(known)
    return uid, known.get(uid, 65534)


_UID, _GID = _unprivileged()
NAMESPACE = f"namespace:{_UID}:{_GID}"
ACCOUNT = f"account:{_UID}:{_GID}"


async def choose_identity(program: Path, log_file: Path) -> str:
    """Return an identity under which `program` can run and access the caller's private files.

    An ordinary user: itself. Root, and a uid without a name: an unprivileged account in a user namespace, whose files
    stay the caller's, so nothing has to become readable for others. Root where namespaces are forbidden (most
    containers): that account itself, with the one capability that passes private folders. Found by trying, because no
    flag says what a container allows. Raises EmbeddedError if none works.
    """
    for identity in _candidates(os.geteuid()):
        command = Command((str(program), "--version"), {"LC_ALL": "C"}, identity=identity)
        if identity == SAME or await run_to_end(command, log_file, timeout_s=10) == 0:
            return identity
        log.info("identity_not_usable", program=program.name, identity=identity)
    raise EmbeddedError(
        f"{program.name} refuses to run as root, and neither a user namespace nor account {_UID} can be used here; "
        "run as an ordinary user"
    )


def owner(identity: str) -> tuple[int, int]:
    """Return the uid and gid, as seen from outside, of files that a program under `identity` creates."""
    if identity.startswith("account:"):
        _, uid, gid = identity.split(":")
        return int(uid), int(gid)
    return os.geteuid(), os.getegid()


def give(folder: Path, identity: str) -> None:
    """Change the owner of `folder` and everything below it to owner(identity), if needed."""
    uid, gid = owner(identity)
    if folder.stat().st_uid == uid:
        return
    for parent, _, names in os.walk(folder, topdown=False):
        for name in names:
            os.chown(Path(parent) / name, uid, gid, follow_symlinks=False)
        # The folder itself last: an interrupted run counts as not done and is repeated.
        os.chown(parent, uid, gid, follow_symlinks=False)


def _candidates(uid: int) -> tuple[str, ...]:
    if uid == 0:
        return NAMESPACE, ACCOUNT
    try:
        pwd.getpwuid(uid)
    except KeyError:
        return NAMESPACE, SAME
    return (SAME,)
