"""Two managers as processes, killed at moments that the database tells: inside of a transaction, or just after one."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg
import httpx

from tests.support.forked import ForkedService
from tests.support.ports import free_port
from tests.support.wait import eventually

GATES = 4711
"""First half of the advisory locks at which transactions wait."""
WATCH = f"""
create table moves (seq bigserial primary key, xid xid8 not null default pg_current_xact_id(), session_id uuid not null,
                    service_id uuid not null, revision_id uuid not null, before text, status text not null, health text not null);
create function note_move() returns trigger language plpgsql as $$ begin
    if tg_op = 'UPDATE' and old.status = new.status and old.health = new.health then
        return null;
    end if;
    if tg_op = 'INSERT' or old.status <> new.status then
        perform pg_advisory_xact_lock_shared({GATES}, hashtext(new.status));
        perform pg_notify('moves', new.status);
    end if;
    insert into moves (session_id, service_id, revision_id, before, status, health)
    values (new.id, new.service_id, new.revision_id, case when tg_op = 'UPDATE' then old.status end, new.status, new.health);
    return null;
end $$;
create trigger sessions_note_moves after insert or update on sessions for each row execute function note_move();
"""
"""Writes down each change of a replica, in the transaction that makes it; one to a status whose gate is shut waits there."""
_WAITING = f"""
    select a.client_port from pg_locks l join pg_stat_activity a using (pid)
    where l.locktype = 'advisory' and not l.granted and l.classid = {GATES}
    and l.database = (select oid from pg_database where datname = current_database())"""


@dataclass
class Manager:
    """A manager's process."""

    url: str
    environ: Mapping[str, str]
    log: Path
    process: ForkedService | None = None

    def start(self) -> None:
        """Start it, anew if it was killed."""
        self.process = ForkedService("manager", {**os.environ, **self.environ}, self.log)

    def kill(self) -> None:
        """End it without a chance to say so."""
        assert self.process is not None
        assert self.process.poll() is None, self.log.read_text()[-5000:]
        self.process.kill()
        self.process.wait(60)

    async def ready(self) -> None:
        """Return once it says that it is ready."""
        async with httpx.AsyncClient(verify=False, timeout=10) as http:

            async def answers() -> bool:
                assert self.process is not None
                try:
                    return (await http.get(f"{self.url}/readyz")).status_code == 200
                except httpx.TransportError:
                    return False

            await eventually(answers, within_s=90, every_s=0.05)

    def owns(self, port: int) -> bool:
        """Whether this local port is one of its connections'."""
        assert self.process is not None
        sockets = set()
        for entry in Path(f"/proc/{self.process.pid}/fd").iterdir():
            try:
                sockets.add(str(entry.readlink()))
            except OSError:
                continue
        rows = (line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:])
        return any(row[1].endswith(f":{port:04X}") and f"socket:[{row[9]}]" in sockets for row in rows)


class Killer:
    """Kills managers at moments of the database's transactions."""

    def __init__(self, managers: tuple[Manager, Manager], con: asyncpg.Connection[asyncpg.Record]) -> None:
        self._managers = managers
        self._con = con
        self._turn = 0

    async def inside(self, status: str) -> Manager:
        """Kill the next manager that is about to bring a replica into this status, in the middle of its transaction."""
        gate = (GATES, await self._con.fetchval("select hashtext($1)", status))
        await self._con.execute("select pg_advisory_lock($1, $2)", *gate)
        try:
            port = await eventually(lambda: self._con.fetchval(_WAITING), every_s=0.005, what=f"a replica {status}")
            victim = next(one for one in self._managers if one.owns(port))
            victim.kill()
        finally:
            await self._con.execute("select pg_advisory_unlock($1, $2)", *gate)
        self._turn = 1 - self._managers.index(victim)
        return victim

    async def after(self, status: str) -> Manager:
        """Kill the manager whose turn it is at the next commit by which a replica came into this status."""
        victim = self._managers[self._turn]
        moved = asyncio.Event()

        def noted(_: Any, __: int, ___: str, payload: str) -> None:
            if payload == status and not moved.is_set():
                moved.set()
                victim.kill()

        await self._con.add_listener("moves", noted)
        try:
            await asyncio.wait_for(moved.wait(), 60)
        finally:
            await self._con.remove_listener("moves", noted)
        self._turn = 1 - self._turn
        return victim


@asynccontextmanager
async def two_managers(folder: Path, **settings: object) -> AsyncIterator[tuple[Manager, Manager]]:
    """Two managers with these settings beside those that they share; killed at the end."""
    made = []
    for number in (1, 2):
        port = free_port()
        values = {"listen_port": port, "admin_key_file": folder / "admin.key", **settings}
        environ = {f"HEADRACE_MANAGER_{name.upper()}": str(value) for name, value in values.items()}
        made.append(Manager(f"http://127.0.0.1:{port}", environ, folder / f"manager-{number}.log"))
    try:
        for one in made:  # the first one makes the first key
            one.start()
            await one.ready()
        yield made[0], made[1]
    finally:
        for one in made:
            if one.process is not None:
                one.process.kill()
                one.process.wait(60)
