"""Bootstrap of an empty installation: the user admin, the project default, the signing key, a first API key.

It is idempotent, and many managers may run it at once.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

from headrace.common.contracts.ids import KeyId, new_uuid
from headrace.common.contracts.keyform import API_KEY
from headrace.common.db.pool import Connection, Pool, transaction
from headrace.common.runtime.files import write_atomically
from headrace.manager.domain.access import Actor
from headrace.manager.domain.audit_states import KeyState, ProjectState
from headrace.manager.domain.records.events import INSTALLATION, Scope
from headrace.manager.domain.records.users import User
from headrace.manager.signing import Vault
from headrace.manager.store import installation, projects, users
from headrace.manager.usecases.context import record_of
from headrace.manager.usecases.tokens import SigningKeys

ADMIN = "admin"
DEFAULT_PROJECT = "default"
_KEY_NAME = "first-key"


async def bootstrap(pool: Pool, vault: Vault, keys: SigningKeys, admin_key_file: Path | None) -> None:
    """Create what is missing. Idempotent; many managers may run it at once.

    At the first start the key in the file becomes the first admin's. Later a file that is missing, or whose key is unknown
    here (another database; or it was deleted, and must not come back), is written anew with mode 0600; the key that this
    replaces is deleted. Raises OSError when the file cannot be written; nothing has changed then.
    """
    present = await asyncio.to_thread(_read, admin_key_file) if admin_key_file else None
    async with transaction(pool) as con:
        await installation.lock_bootstrap(con)
        admin = await users.find(con, ADMIN) or await users.insert(con, ADMIN, operator=True)
        actor = Actor(admin.id, "headrace", operator=True)
        await keys.current(con)
        first = await installation.first_start(con)
        if first:
            project = await projects.insert(con, DEFAULT_PROJECT, "The first project", None)
            await projects.put_member(con, project.id, admin.id, "owner")
            after = ProjectState.of(project)
            await record_of(con, actor, "installation.created", Scope(project.id), before=None, after=after)
        if admin_key_file and not await _is_known(con, vault, present):
            if not (first and await _adopted(con, vault, admin, present)):
                key = await _new_key(con, vault, admin)
                await asyncio.to_thread(_write, admin_key_file, key)
            made = KeyState(name=_KEY_NAME)
            await record_of(con, actor, "key.created", INSTALLATION, before=None, after=made, user=ADMIN)


async def _is_known(con: Connection, vault: Vault, text: str | None) -> bool:
    parsed = API_KEY.parse(text.strip()) if text else None
    if parsed is None:
        return False
    stored = await users.by_key(con, parsed[0])
    return stored is not None and vault.matches(parsed[1], stored.secret_hash)


async def _adopted(con: Connection, vault: Vault, admin: User, text: str | None) -> bool:
    """Make the key in the file the first admin's; return False if there is none."""
    parsed = API_KEY.parse(text.strip()) if text else None
    if parsed is None:
        return False
    await users.insert_key(con, KeyId(parsed[0]), admin.id, _KEY_NAME, vault.hash(parsed[1]))
    return True


async def _new_key(con: Connection, vault: Vault, admin: User) -> str:
    await installation.delete_keys_named(con, admin.id, _KEY_NAME)
    key_id = KeyId(new_uuid())
    key, secret = API_KEY.new(key_id)
    await users.insert_key(con, key_id, admin.id, _KEY_NAME, vault.hash(secret))
    return key


def _read(path: Path) -> str | None:
    try:
        return path.read_text(encoding="ascii")[:200]
    except (FileNotFoundError, UnicodeDecodeError):
        return None


def _write(path: Path, key: str) -> None:
    """Write the key to a file that nobody else can read at any moment."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    write_atomically(path, f"{key}\n")
