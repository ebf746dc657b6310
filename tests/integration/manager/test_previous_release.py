"""Rows of the previous release (tests/golden), migrated to this one's schema: everything in them is shown as it was, and in use."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final
from uuid import UUID, uuid4

import asyncpg
import pytest

from headrace.common.bus.connect import Bus
from headrace.common.bus.stored import stored_generations
from headrace.common.bus.subjects import STREAMS
from headrace.common.contracts.ids import ServiceId
from headrace.common.db.migrate import migrate
from headrace.common.db.pool import Pool, open_pool
from headrace.embedded.stack import EmbeddedServers
from tests.golden.answers import lasting, lost
from tests.golden.tables import Rows, restore
from tests.support.api import Api
from tests.support.backends import with_database
from tests.support.fakes.clock import StoppableClock
from tests.support.wait import eventually
from tests.support.worlds.manager import manager_world
from tests.support.worlds.manager_api import ManagerApi, serving

GOLDEN: Final = Path(__file__).parents[2] / "golden"
_EMPTY: Final = {"reservations": "held during a write", "table_changes": "taken away once they are published"}
"""Tables that have no rows while nothing happens, and why."""
_NEW_DEFAULTS: Final = (".rollout.on_failure: 'keep' is 'roll-back'",)
"""What services that set nothing have otherwise since (CHANGELOG, Changed)."""


@cache
def tables() -> Rows:
    return dict(json.loads((GOLDEN / "tables.json").read_text()))


@cache
def said() -> dict[str, Any]:
    """Return the answers of its API by path, when it was asked, and with which settings it ran."""
    return dict(json.loads((GOLDEN / "answers.json").read_text()))


@dataclass(frozen=True)
class Upgraded:
    """Database of the previous release after this one's migrations."""

    pool: Pool
    later: list[int]
    """Migrations that it lacked."""
    applied: list[int]
    """Those that were applied now."""


@pytest.fixture
async def upgraded(servers: EmbeddedServers) -> AsyncIterator[Upgraded]:
    name = f"upgraded_{uuid4().hex[:12]}"
    admin = await asyncpg.connect(servers.database_url)
    await admin.execute(f"create database {name}")
    try:
        url = with_database(servers.database_url, name)
        con = await asyncpg.connect(url)
        try:
            later = await restore(con, tables())
        finally:
            await con.close()
        applied = await migrate(url)
        async with open_pool(url, size=5) as pool:
            yield Upgraded(pool, [migration.number for migration in later], applied)
    finally:
        await admin.execute(f"drop database {name} with (force)")
        await admin.close()


@pytest.fixture
async def api(upgraded: Upgraded, tmp_path: Path) -> AsyncIterator[ManagerApi]:
    """This release's API on it, at the time and with the settings and the API key that were there."""
    (tmp_path / "admin.key").write_text(said()["admin_key"])
    clock = StoppableClock()
    clock.stop(at=said()["at"])
    async with serving(upgraded.pool, tmp_path, clock.clocks, **said()["settings"]) as running:
        services = (ServiceId(UUID(row["id"])) for row in tables()["services"])
        running.behind.proxies.has = {service: {"proxy-1": 2**40} for service in services}
        yield running


def test_there_are_rows_of_every_table() -> None:
    assert {name for name, rows in tables().items() if not rows} <= _EMPTY.keys()


async def test_what_was_shown_is_shown_as_it_was(api: ManagerApi, upgraded: Upgraded) -> None:
    assert upgraded.applied == upgraded.later
    wrong = {}
    for path, answer in said()["answers"].items():
        now = lasting(await api.admin.call("GET", path))
        if found := [line for line in lost(answer, now) if not line.endswith(_NEW_DEFAULTS)]:
            wrong[path] = found
    assert wrong == {}, json.dumps(wrong, indent=1)


async def test_it_is_changed_and_called_as_before(api: ManagerApi) -> None:
    """Secrets and signing keys that the previous release encrypted are read, and its rows are written."""
    made = await api.admin.call("POST", "/v1/services/chat/tokens", {"name": "after"})
    assert made["token"].count(".") == 2
    bob = Api(api.url, (await api.admin.call("POST", "/v1/users/bob/keys", {"name": "after"}))["key"])
    assert [one["name"] for one in (await bob.call("GET", "/v1/projects"))["items"]] == ["research"]
    await bob.close()
    await api.admin.call("PATCH", "/v1/agents/agent-1", {"addresses": None})
    await api.admin.call("PATCH", "/v1/services/chat", {"replicas": 1, "tags": ["after"]})
    changed = await api.admin.service("chat")
    assert (changed["replicas"], changed["tags"]) == (1, ["after"])


async def test_managers_look_after_it(upgraded: Upgraded, servers: EmbeddedServers, bus: Bus) -> None:
    """Every loop has a pass over it, and what machines and app-proxies are told is published on this empty bus, no older than it was."""
    before = {row["subject"]: row["generation"] for row in tables()["publications"] if row["generation"] > 0}
    async with manager_world(upgraded.pool, servers) as world:
        loops = await world.manager(lost_after_s=3600, secret_key=said()["settings"]["secret_key"])
        await eventually(
            lambda: not [name for name, loop in loops.by_name.items() if loop.last_success is None],
            what="every loop had a pass without an error",
        )

        async def published() -> bool:
            stored: dict[str, int] = {}
            for kind in STREAMS.values():
                stored |= await stored_generations(bus, kind)
            return all(stored.get(subject, 0) >= generation for subject, generation in before.items())

        await eventually(published, what="all is published again")
