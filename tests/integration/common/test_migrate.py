from __future__ import annotations

import asyncio
from pathlib import Path

import asyncpg
import pytest

from headrace.common.contracts.ids import new_uuid
from headrace.common.db.migrate import Migration, MigrationFailed, apply, load_migrations, migrate
from headrace.common.db.pool import Pool
from headrace.embedded.stack import EmbeddedServers
from tests.support.backends import with_database
from tests.support.wait import eventually


async def _empty(servers: EmbeddedServers) -> str:
    name = f"empty_{new_uuid().hex[-12:]}"
    admin = await asyncpg.connect(servers.database_url)
    await admin.execute(f"create database {name}")
    await admin.close()
    return with_database(servers.database_url, name)


async def test_many_managers_at_once_apply_each_migration_once(servers: EmbeddedServers) -> None:
    url = await _empty(servers)
    results = await asyncio.gather(*(migrate(url) for _ in range(5)))
    assert max(results, key=len) == [m.number for m in load_migrations()]
    assert sum(map(len, results)) == len(load_migrations())
    assert await migrate(url) == []


async def test_a_changed_or_unknown_migration_is_refused(servers: EmbeddedServers) -> None:
    url = await _empty(servers)
    await migrate(url)
    connection = await asyncpg.connect(url)
    await connection.execute("update schema_migrations set checksum = 'x' where number = 1")
    with pytest.raises(MigrationFailed, match="was changed"):
        await migrate(url)
    await connection.execute("insert into schema_migrations (number, name, checksum) values (9999, 'later', 'x')")
    with pytest.raises(MigrationFailed, match="upgrade Headrace"):
        await migrate(url)
    await connection.close()


async def test_expansions_of_a_later_version_are_left_alone_and_contractions_refused(servers: EmbeddedServers) -> None:
    """So managers of the previous version start in the middle of an upgrade, and after it, on the newer schema."""
    url = await _empty(servers)
    await migrate(url)
    connection = await asyncpg.connect(url)
    known = {m.number for m in load_migrations() if not m.required}
    await connection.execute("insert into schema_expansions (number, name, checksum) values (9998, 'later', 'x')")
    assert await migrate(url) == []
    assert {row["number"] for row in await connection.fetch("select number from schema_expansions")} == {*known, 9998}
    await connection.execute("insert into schema_migrations (number, name, checksum) values (9999, 'contracted', 'x')")
    with pytest.raises(MigrationFailed, match=r"\[9999\] that this version does not know"):
        await migrate(url)
    await connection.close()


async def test_expansions_that_stand_among_the_required_migrations_are_known_there(servers: EmbeddedServers) -> None:
    """As a version between left them that had one table only."""
    url = await _empty(servers)
    await migrate(url)
    connection = await asyncpg.connect(url)
    await connection.execute("insert into schema_migrations select * from schema_expansions")
    await connection.execute("drop table schema_expansions")
    assert await migrate(url) == []
    await connection.execute("update schema_migrations set checksum = 'x' where number = 21")
    with pytest.raises(MigrationFailed, match="migration 21 was changed"):
        await migrate(url)
    await connection.close()


def test_a_name_says_that_a_migration_contracts(tmp_path: Path) -> None:
    for name in ("0001_first", "0002_contract_names"):
        (tmp_path / f"{name}.sql").write_text("select 1")
    assert [(m.number, m.name, m.contracts) for m in load_migrations(tmp_path)] == [
        (1, "first", False),
        (2, "names", True),
    ]
    (tmp_path / "third.sql").write_text("select 1")
    with pytest.raises(MigrationFailed, match=r"third\.sql is not named NNNN_name\.sql or NNNN_contract_name\.sql"):
        load_migrations(tmp_path)


async def _machine(pool: Pool) -> None:
    await pool.execute(
        "insert into agents (id, incarnation, sequence, machine, architecture, slots) values ('a', 'i', 1, '{}', 'x86_64', $1)",
        {"cpu": "4", "mem": "100"},
    )


async def _kernel(pool: Pool) -> object:
    project, session, kernel = new_uuid(), new_uuid(), new_uuid()
    await pool.execute("insert into projects (id, name) values ($1, $2)", project, f"p-{project.hex[-8:]}")
    await pool.execute(
        "insert into sessions (id, kind, project_id, resource_group) values ($1, 'validation', $2, 'default')",
        session,
        project,
    )
    await pool.execute("insert into kernels (id, session_id) values ($1, $2)", kernel, session)
    return kernel


async def _hold(pool: Pool, slot: str, amount: str, device: str = "") -> None:
    kernel = await _kernel(pool)
    await pool.execute(
        "insert into allocations (kernel_id, agent_id, slot, device, amount) values ($1, 'a', $2, $3, $4)",
        kernel,
        slot,
        device,
        amount,
    )


async def test_a_migration_that_deadlocks_with_who_works_there_is_tried_again(database_url: str) -> None:
    """The other one holds what the migration needs next, and waits for what it has. PostgreSQL ends who waited for a second first."""
    migration = Migration(9999, "both", "lock table users in exclusive mode; lock table projects in exclusive mode;")
    waiting = "select count(*) from pg_locks where not granted and relation = 'projects'::regclass"
    other, mine = await asyncpg.connect(database_url), await asyncpg.connect(database_url)
    try:
        async with other.transaction():
            await other.execute("lock table projects in exclusive mode")
            applying = asyncio.create_task(apply(mine, migration))

            async def waits() -> bool:
                return bool(await other.fetchval(waiting))

            await eventually(waits, what="the migration waits")
            await other.execute("lock table users in exclusive mode")
            assert not applying.done()
        await asyncio.wait_for(applying, 60)
        assert await other.fetchval("select name from schema_expansions where number = 9999") == "both"
    finally:
        await other.execute("delete from schema_expansions where number = 9999")
        await other.close()
        await mine.close()


async def test_a_machine_is_never_held_more_than_it_has(pool: Pool) -> None:
    await _machine(pool)
    await _hold(pool, "cpu", "3")
    with pytest.raises(asyncpg.CheckViolationError, match="would hold 5"):
        await _hold(pool, "cpu", "2")
    await _hold(pool, "cpu", "1")
    with pytest.raises(asyncpg.CheckViolationError):
        await _hold(pool, "rocm.device", "1")


async def test_a_gpu_is_held_whole_once_or_in_shares_up_to_one(pool: Pool) -> None:
    await _machine(pool)
    await _hold(pool, "cuda.shares", "0.5", "gpu-0")
    await _hold(pool, "cuda.shares", "0.5", "gpu-0")
    with pytest.raises(asyncpg.CheckViolationError, match=r"held 1\.1 times"):
        await _hold(pool, "cuda.shares", "0.1", "gpu-0")
    with pytest.raises(asyncpg.CheckViolationError, match="whole and in fractions"):
        await _hold(pool, "cuda.device", "1", "gpu-0")
    await _hold(pool, "cuda.device", "1", "gpu-1")
    with pytest.raises(asyncpg.IntegrityConstraintViolationError):
        await _hold(pool, "cuda.device", "1", "gpu-1")


async def test_concurrent_writers_cannot_oversubscribe(pool: Pool) -> None:
    await _machine(pool)
    results = await asyncio.gather(*(_hold(pool, "cpu", "1") for _ in range(12)), return_exceptions=True)
    assert sum(result is None for result in results) == 4
    assert await pool.fetchval("select sum(amount) from allocations") == 4


async def test_a_session_has_one_live_kernel_per_rank(pool: Pool) -> None:
    await _machine(pool)
    kernel = await _kernel(pool)
    session = await pool.fetchval("select session_id from kernels where id = $1", kernel)
    with pytest.raises(asyncpg.UniqueViolationError):
        await pool.execute("insert into kernels (id, session_id) values ($1, $2)", new_uuid(), session)


def test_migration_files_have_no_transaction_statements() -> None:
    for path in Path(load_migrations.__code__.co_filename).parent.joinpath("migrations").glob("*.sql"):
        assert "commit;" not in path.read_text().lower()
