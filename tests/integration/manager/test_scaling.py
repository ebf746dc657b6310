"""A scaling request changes the wanted replicas only from what it was decided on, within quota, and leaves a record."""

from __future__ import annotations

import asyncio
from typing import Any

from headrace.common.contracts.ids import RuleId, ServiceId, new_uuid
from headrace.common.contracts.messages.scaling import ScaleReply, ScaleRequest
from headrace.common.contracts.reasons import Reason
from headrace.common.db.pool import Pool
from headrace.common.runtime.clock import utc_now
from headrace.manager.usecases.scaling import Scaling


class Poked:
    """Keeps that loops were poked."""

    def __init__(self, seen: list[Any]) -> None:
        self.seen = seen

    def poke(self, *loops: str) -> None:
        self.seen.append(loops)


async def _service(
    pool: Pool, *, quota: dict[str, str] | None = None, goal: str = "running"
) -> tuple[ServiceId, RuleId]:
    user, project, service, revision, rule = (new_uuid() for _ in range(5))
    async with pool.acquire() as con, con.transaction():
        await con.execute("insert into users (id, name) values ($1, 'someone')", user)
        await con.execute("insert into projects (id, name, quota) values ($1, 'p', $2)", project, quota)
        await con.execute(
            "insert into services (id, project_id, name, wanted, goal, resource_group, revision_id, drain_grace_s, created_by) "
            "values ($1, $2, 's', 1, $5, 'default', $3, 1, $4)",
            service,
            project,
            revision,
            user,
            goal,
        )
        await con.execute(
            "insert into revisions (id, service_id, number, spec, resolved, created_by) values ($1, $2, 1, '{}', $3, $4)",
            revision,
            service,
            {"slots": {"cpu": "2"}},
            user,
        )
        await con.execute(
            "insert into rules (id, service_id, spec, created_by) values ($1, $2, '{}', $3)", rule, service, user
        )
    return ServiceId(service), RuleId(rule)


async def _ask(pool: Pool, service: ServiceId, rule: RuleId, start: int, wanted: int) -> tuple[ScaleReply, list[Any]]:
    poked: list[Any] = []
    request = ScaleRequest(
        service_id=service,
        rule_id=rule,
        from_wanted=start,
        wanted=wanted,
        observed=0.9,
        decided_at=utc_now(),
        reason=Reason(code="fired", text="0.9 > 0.8"),
    )
    return await Scaling(pool, Poked(poked)).answer(request), poked


async def test_applied_and_recorded(pool: Pool) -> None:
    service, rule = await _service(pool)
    reply, poked = await _ask(pool, service, rule, 1, 3)
    assert (reply.applied, reply.wanted, len(poked)) == (True, 3, 1)
    assert poked == [("services", "rules")]
    assert await pool.fetchval("select wanted from services") == 3
    decision = await pool.fetchrow("select * from scale_decisions")
    assert (decision["from_replicas"], decision["to_replicas"], decision["rule_id"], decision["observed"]) == (
        1,
        3,
        rule,
        0.9,
    )
    assert await pool.fetchval("select actor || ' ' || action from events") == "autoscaler service.scaled"


async def test_of_two_decisions_from_the_same_state_one_is_applied(pool: Pool) -> None:
    service, rule = await _service(pool)
    replies = await asyncio.gather(*(_ask(pool, service, rule, 1, 2) for _ in range(5)))
    assert sorted(reply.applied for reply, _ in replies) == [False] * 4 + [True]
    assert {reply.reason.code for reply, _ in replies if not reply.applied} == {"wanted-changed"}
    assert await pool.fetchval("select count(*) from scale_decisions") == 1


async def test_of_two_services_that_scale_at_once_only_what_fits_the_quota_is_applied(pool: Pool) -> None:
    """Each alone fits; the second counts what the first was given, although nothing of it ran yet."""
    first, rule = await _service(pool, quota={"cpu": "8"})
    other, other_rule = ServiceId(new_uuid()), RuleId(new_uuid())
    await pool.execute(
        "insert into services (id, project_id, name, wanted, goal, resource_group, revision_id, drain_grace_s, created_by) "
        "select $2, project_id, 'other', 1, 'running', 'default', revision_id, 1, created_by from services where id = $1",
        first,
        other,
    )
    await pool.execute(
        "insert into rules (id, service_id, spec, created_by) select $2, $3, '{}', created_by from rules where id = $1",
        rule,
        other_rule,
        other,
    )
    replies = await asyncio.gather(_ask(pool, first, rule, 1, 3), _ask(pool, other, other_rule, 1, 3))
    assert sorted(reply.applied for reply, _ in replies) == [False, True]
    assert await pool.fetchval("select sum(wanted) from services") == 4


async def test_refused_with_the_reason(pool: Pool) -> None:
    service, rule = await _service(pool, quota={"cpu": "5"})
    reply, poked = await _ask(pool, service, rule, 1, 3)
    assert (reply.applied, reply.reason.code, poked) == (False, "quota-exceeded", [])
    assert "would hold 6 of cpu" in reply.reason.text
    assert (await _ask(pool, service, rule, 1, 2))[0].applied
    assert (await _ask(pool, service, RuleId(new_uuid()), 2, 1))[0].reason.code == "rule-gone"
    assert (await _ask(pool, ServiceId(new_uuid()), rule, 2, 1))[0].reason.code == "service-gone"
    await pool.execute("update services set goal = 'stopped'")
    assert (await _ask(pool, service, rule, 2, 1))[0].reason.code == "service-not-running"
    assert await pool.fetchval("select wanted from services") == 2


async def test_a_rule_does_not_fire_in_its_cooldown_whatever_the_autoscaler_remembers(pool: Pool) -> None:
    """Its memory is Redis, which may lose the last firings; the decisions are kept here."""
    service, rule = await _service(pool)
    await pool.execute("update rules set spec = jsonb_build_object('cooldown_s', 600)")
    assert (await _ask(pool, service, rule, 1, 2))[0].applied
    again, poked = await _ask(pool, service, rule, 2, 3)
    assert (again.applied, again.wanted, again.reason.code, poked) == (False, 2, "cooling-down", [])
    assert again.cooling is not None
    assert (again.cooling.rule_id, 590 < again.cooling.left_s <= 600) == (rule, True)
    inward = RuleId(new_uuid())
    await pool.execute(
        "insert into rules (id, service_id, spec, created_by) select $2, service_id, '{\"cooldown_s\": 5}', created_by from rules where id = $1",
        rule,
        inward,
    )
    held = (await _ask(pool, service, inward, 2, 1))[0]
    assert (held.applied, held.cooling and held.cooling.rule_id) == (False, rule), "a scale-out holds scale-ins"
    assert (await _ask(pool, service, inward, 2, 3))[0].applied, "another rule that scales out does not wait for it"
    await pool.execute("update scale_decisions set at = at - interval '599 seconds' where rule_id = $1", rule)
    assert (await _ask(pool, service, rule, 3, 4))[0].applied, "the end of a cooldown is the autoscaler's to judge"
    await pool.execute("update rules set spec = jsonb_build_object('cooldown_s', 0)")
    assert (await _ask(pool, service, rule, 4, 5))[0].applied, "a changed cooldown holds at once"
