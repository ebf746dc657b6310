"""What is over is dropped after a while, in bounded steps, and nothing else waits for it."""

from __future__ import annotations

import json
import re
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from headrace.common.contracts.ids import SessionId, new_uuid
from headrace.common.contracts.reasons import Reason
from headrace.common.db.pool import Pool
from headrace.common.runtime.clock import utc_now
from headrace.manager.domain.lifecycle.replica_state import Failed
from headrace.manager.loops.housekeeping import HousekeepingLoop, Retention
from headrace.manager.store import failed_starts, retention
from tests.support import many_rows

STORES = Path(__file__).parents[3] / "services" / "manager" / "headrace" / "manager" / "store"
_FOREIGN_KEYS = """
select c.conrelid::regclass::text as child, a.attname as column, c.confrelid::regclass::text as parent, c.confdeltype = 'c' as cascades,
       exists (select 1 from pg_index i where i.indrelid = c.conrelid and i.indkey[0] = a.attnum and i.indisvalid
                 and (i.indpred is null or pg_get_expr(i.indpred, i.indrelid) = '(' || a.attname || ' IS NOT NULL)')) as indexed
from pg_constraint c join pg_attribute a on a.attrelid = c.conrelid and a.attnum = c.conkey[1]
where c.contype = 'f' and c.connamespace = 'public'::regnamespace
"""


async def test_every_reference_to_rows_that_are_ever_deleted_has_an_index(pool: Pool) -> None:
    deleted = set(re.findall(r"delete from (\w+)", "".join(path.read_text() for path in STORES.glob("*.sql"))))
    keys = await pool.fetch(_FOREIGN_KEYS)
    while more := {key["child"] for key in keys if key["cascades"] and key["parent"] in deleted} - deleted:
        deleted |= more
    assert {"sessions", "kernels", "services", "revisions"} <= deleted
    slow = [
        f"{k['child']}.{k['column']}" for k in keys if (k["parent"] in deleted or k["cascades"]) and not k["indexed"]
    ]
    assert not slow, f"deleting what these refer to reads the whole table for each row: {slow}"


async def test_ended_sessions_go_in_bounded_batches_until_none_is_due(pool: Pool) -> None:
    whose = await many_rows.owner(pool)
    await many_rows.services(pool, whose, 10)
    await many_rows.sessions(pool, whose, each=25, ended_days_ago=8)
    await many_rows.sessions(pool, whose, each=2, ended_days_ago=6)
    poked: list[str] = []
    keeping = HousekeepingLoop(pool, lambda *names: poked.extend(names), Retention(), batch=50, rounds=2)
    left = []
    for _ in range(3):
        await keeping.one_pass()
        left.append(await pool.fetchval("select count(*) from sessions"))
    assert left == [170, 70, 20]
    assert poked == ["housekeeping"] * 2
    assert await pool.fetchval("select count(*) from kernels") == 20


async def test_logins_codes_and_tries_that_are_over_are_deleted(pool: Pool) -> None:
    whose = await many_rows.owner(pool)
    login = (
        "insert into logins (id, user_id, secret_hash, form, method, ends_at)"
        " values (gen_random_uuid(), $1, decode(repeat('00', 32), 'hex'), 'token', 'password', now() + $2::interval)"
    )
    code = (
        "insert into login_codes (id, user_id, secret_hash, expires_at)"
        " values (gen_random_uuid(), $1, decode(repeat('00', 32), 'hex'), now() + $2::interval)"
    )
    for statement in (login, code):
        for ends_in in (timedelta(hours=-1), timedelta(hours=1)):
            await pool.execute(statement, whose.user, ends_in)
    await pool.execute(
        "insert into login_attempts (subject, attempts, began_at)"
        " select decode(repeat(n::text, 64), 'hex'), 1, now() - n * interval '1 h' from generate_series(0, 1) n"
    )
    await HousekeepingLoop(pool, lambda *_: None, Retention()).one_pass()
    for table in ("logins", "login_codes", "login_attempts"):
        assert await pool.fetchval(f"select count(*) from {table}") == 1, table


async def test_deleting_sessions_visits_rows_in_proportion_to_them(pool: Pool) -> None:
    whose = await many_rows.owner(pool)
    await many_rows.services(pool, whose, 100)
    await many_rows.sessions(pool, whose, each=20, ended_days_ago=1)
    await many_rows.sessions(pool, whose, each=5, ended_days_ago=8)
    statement = retention_statement("sessions").replace("$1::interval", "interval '7 days'")
    async with pool.acquire() as con:
        await con.execute("analyze")
        costs = [await _blocks(con, statement.replace("$2", str(most))) for most in (50, 100, 200)]
    assert costs[2] < 5 * costs[0], f"4 times the rows read {costs} blocks"


async def test_errors_of_a_service_are_kept_as_many_as_are_shown(pool: Pool) -> None:
    whose = await many_rows.owner(pool)
    await many_rows.services(pool, whose, 1)
    await many_rows.services(pool, whose, 1, prefix="other")
    await many_rows.sessions(pool, whose, each=failed_starts.KEPT + 30, ended_days_ago=1)
    newest = await pool.fetchval(
        "select id from sessions where service_id = (select id from services where name = 's-1') limit 1"
    )
    await pool.execute(
        "insert into start_errors (session_id, service_id, reason_code, reason_text, at) "
        "select id, service_id, 'x', 'x', now() - interval '1 day' from sessions where id <> $1",
        newest,
    )
    async with pool.acquire() as con:
        failed = Failed(
            SessionId(newest), Reason(code="exited", text="it ended"), failed_starts=1, next_start_at=utc_now()
        )
        service = await con.fetchrow("select id, project_id from services where name = 's-1'")
        await failed_starts.keep(con, service["id"], service["project_id"], failed)
    kept = dict(
        await pool.fetch(
            "select s.name, count(*) from start_errors e join services s on s.id = e.service_id group by s.name"
        )
    )
    assert kept == {"s-1": failed_starts.KEPT, "other-1": failed_starts.KEPT + 30}
    assert await pool.fetchval("select reason_code from start_errors where session_id = $1", newest) == "exited"


async def test_a_pass_in_which_nothing_is_due_reads_what_is_due_and_not_all_that_is_kept(pool: Pool) -> None:
    whose = await many_rows.owner(pool)
    costs: list[dict[str, int]] = []
    for prefix in ("first", "second", "third"):
        await many_rows.services(pool, whose, 100, prefix=prefix)
        await many_rows.sessions(pool, whose, each=5, ended_days_ago=1)
        await pool.execute(
            "insert into start_errors (session_id, service_id, reason_code, reason_text) select id, service_id, 'x', 'x' from sessions "
            "on conflict do nothing"
        )
        await many_rows.events(pool, whose, 2_000)
        async with pool.acquire() as con:
            await con.execute("analyze")
            statements = {
                name: statement.replace("$1::interval", "interval '7 days'").replace("$2", "500")
                for name, statement in retention.SQL.items()
            }
            costs.append({name: await _blocks(con, statement) for name, statement in statements.items()})
    assert {name for name in costs[2] if costs[2][name] > 1.5 * costs[0][name] + 20} == set(), costs


async def test_history_and_what_expired_goes_when_it_is_due(pool: Pool) -> None:
    whose = await many_rows.owner(pool)
    await many_rows.services(pool, whose, 1)
    await many_rows.events(pool, whose, 5, days_ago=400)
    await many_rows.events(pool, whose, 7, days_ago=300)
    service = await pool.fetchval("select id from services")
    for days in (40, 20, -20):
        await pool.execute(
            "insert into tokens (id, service_id, created_by, expires_at) values ($1, $2, $3, now() - $4 * interval '1 day')",
            new_uuid(),
            service,
            whose.user,
            days,
        )
        await pool.execute(
            "insert into api_keys (id, user_id, name, secret_hash, expires_at) values ($1, $2, 'k', $3, now() - $4 * interval '1 day')",
            new_uuid(),
            whose.user,
            b"x" * 32,
            days,
        )
    await HousekeepingLoop(pool, lambda *_: None, Retention()).one_pass()
    assert await pool.fetchval("select count(*) from events") == 7
    assert await pool.fetchval("select count(*) from tokens") == 2
    assert await pool.fetchval("select count(*) from api_keys") == 2


async def test_a_deleted_service_goes_with_all_that_was_its(pool: Pool) -> None:
    whose = await many_rows.owner(pool)
    await many_rows.services(pool, whose, 3, prefix="gone", deleted_days_ago=31)
    await many_rows.services(pool, whose, 2, prefix="fresh", deleted_days_ago=3)
    await many_rows.services(pool, whose, 1, prefix="living")
    for service in await pool.fetch("select id from services"):
        await pool.execute(
            "insert into tokens (id, service_id, created_by, expires_at) values ($1, $2, $3, now() + interval '1 year')",
            new_uuid(),
            service["id"],
            whose.user,
        )
        await pool.execute(
            "insert into scale_decisions (id, service_id, source, from_replicas, to_replicas, reason_code, reason_text) "
            "values ($1, $2, 'user', 1, 2, 'x', 'x')",
            new_uuid(),
            service["id"],
        )
        await pool.execute(
            "insert into revisions (id, service_id, number, spec, resolved, created_by) values ($1, $2, 2, '{}', '{}', $3)",
            new_uuid(),
            service["id"],
            whose.user,
        )
        await pool.execute(
            "insert into publications (subject, generation, digest, published_at) values ($1, 3, '', now())",
            f"route.{service['id']}",
        )
    await pool.execute("insert into rollouts (revision_id, service_id) select id, service_id from revisions")
    await HousekeepingLoop(pool, lambda *_: None, Retention()).one_pass()
    assert [row["name"] for row in await pool.fetch("select name from services order by name")] == [
        "fresh-1",
        "fresh-2",
        "living-1",
    ]
    for table in ("tokens", "scale_decisions", "publications"):
        assert await pool.fetchval(f"select count(*) from {table}") == 3, table
    for table in ("revisions", "rollouts"):
        assert await pool.fetchval(f"select count(*) from {table}") == 6, table


async def test_a_deleted_service_stays_until_the_app_proxies_were_told(pool: Pool) -> None:
    whose = await many_rows.owner(pool)
    await many_rows.services(pool, whose, 1, deleted_days_ago=31)
    await pool.execute(
        "insert into publications (subject, generation, digest, published_at) "
        "select 'route.' || id, 1, '', deleted_at - interval '1 day' from services"
    )
    await HousekeepingLoop(pool, lambda *_: None, Retention()).one_pass()
    assert await pool.fetchval("select count(*) from services") == 1


async def test_a_machine_that_is_away_for_long_is_forgotten_with_what_was_held_there(pool: Pool) -> None:
    whose = await many_rows.owner(pool)
    await many_rows.services(pool, whose, 2)
    await many_rows.machines(pool, 2)
    await many_rows.sessions(pool, whose, machines=2)
    await pool.execute("update agents set lost_at = now() - interval '31 days' where id = 'm-1'")
    await pool.execute(
        "update sessions set status = 'ended', ended_at = now() - interval '31 days' "
        "where id in (select session_id from kernels where agent_id = 'm-1')"
    )
    await pool.execute("update kernels set ended_at = now() - interval '31 days' where agent_id = 'm-1'")
    await HousekeepingLoop(pool, lambda *_: None, Retention()).one_pass()
    assert [row["id"] for row in await pool.fetch("select id from agents")] == ["m-2"]
    assert await pool.fetchval("select count(*) from allocations") == 1


async def test_one_kind_that_cannot_be_dropped_holds_up_no_other(pool: Pool) -> None:
    whose = await many_rows.owner(pool)
    await many_rows.services(pool, whose, 1)
    await many_rows.sessions(pool, whose, each=3, ended_days_ago=8)
    await many_rows.events(pool, whose, 3, days_ago=400)
    await pool.execute(
        "create function refuse() returns trigger language plpgsql as $$ begin raise exception 'no'; end $$"
    )
    await pool.execute("create trigger refuse before delete on sessions for each row execute function refuse()")
    with pytest.raises(Exception, match="no"):
        await HousekeepingLoop(pool, lambda *_: None, Retention()).one_pass()
    assert await pool.fetchval("select count(*) from sessions") == 3
    assert await pool.fetchval("select count(*) from events") == 0


def test_everything_is_kept_for_less_than_for_ever() -> None:
    kept = Retention()
    assert all(timedelta(0) < getattr(kept, name) <= timedelta(days=366) for name in Retention.__dataclass_fields__)


def retention_statement(name: str) -> str:
    """Return a statement of the store, as the loop sends it."""
    statement: str = getattr(retention.SQL, name)
    return statement


async def _blocks(con: Any, statement: str) -> int:
    """Return how many blocks the statement touches, its cascades included; it is undone."""
    transaction = con.transaction()
    await transaction.start()
    plan = await con.fetchval(f"explain (analyze, buffers, format json) {statement}")
    await transaction.rollback()
    top = (json.loads(plan) if isinstance(plan, str) else plan)[0]["Plan"]
    return int(top["Shared Hit Blocks"] + top["Shared Read Blocks"])
