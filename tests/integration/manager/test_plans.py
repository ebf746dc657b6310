"""Plans of machines: their bytes, and what becomes of them when a machine is forgotten and comes back."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from nats.js import JetStreamContext

from headrace.agent.plan_key import resolved
from headrace.common.bus.connect import Bus
from headrace.common.bus.plan_encryption import PlanKey, PlanUnreadableError
from headrace.common.bus.stored import stored_generations
from headrace.common.contracts.ids import SecretId, new_uuid
from headrace.common.contracts.messages.plans import NodePlan, RegistryLogin
from headrace.common.contracts.secret import PinnedSecret
from headrace.common.db.pool import Pool
from headrace.embedded.stack import EmbeddedServers
from headrace.manager.loops.publishing import PublishingLoop
from headrace.manager.secret_keys import SecretKeys
from headrace.manager.store import secrets
from headrace.manager.store.tables import Plans
from tests.support import many_rows
from tests.support.wait import eventually

KEYS = SecretKeys(bytes(32), ())


async def _stored(bus: Bus, machine: str) -> NodePlan:
    message = await JetStreamContext(bus.client).get_last_msg("PLANS", f"plan.agent.{machine}", direct=True)
    assert message.data is not None
    return NodePlan.decode(message.data)


def _publishing(pool: Pool, bus: Bus) -> PublishingLoop[NodePlan]:
    return PublishingLoop(pool, bus, NodePlan, Plans(KEYS), verify=timedelta(hours=1))


async def _return(pool: Pool, machine: str, applied: int) -> None:
    """Let a machine report for the first time, with a plan that it has on its disk."""
    await pool.execute(
        "insert into agents (id, incarnation, sequence, machine, architecture, slots, applied_generation) "
        "values ($1, '9', 1, '{}', 'x86_64', '{\"cpu\": \"64\"}', $2)",
        machine,
        applied,
    )


async def test_the_plan_of_a_forgotten_machine_ends_and_one_that_comes_back_goes_on_above_what_it_has(
    pool: Pool, bus: Bus
) -> None:
    await many_rows.machines(pool, 3)
    publishing = _publishing(pool, bus)
    await publishing.one_pass()
    await pool.execute("update publications set published_at = now() - interval '31 days'")
    await pool.execute("delete from agents where id in ('m-1', 'm-2')")
    publishing.verify_soon()
    await publishing.one_pass()
    assert await stored_generations(bus, NodePlan) == {"plan.agent.m-3": 1}
    assert [row["subject"] for row in await pool.fetch("select subject from publications")] == ["plan.agent.m-3"]

    await _return(pool, "m-1", applied=57)
    await _return(pool, "m-2", applied=2**63 - 1)
    for manager in (publishing, _publishing(pool, bus)):
        await manager.one_pass()
        assert (await _stored(bus, "m-1")).generation == 58
        assert (await _stored(bus, "m-2")).generation == 2**62 + 1, "whatever a machine says, it costs nobody else"


@pytest.mark.parametrize("runs", [True, False])
async def test_a_machine_that_comes_back_while_its_plan_is_being_forgotten_has_one(
    pool: Pool, bus: Bus, *, runs: bool
) -> None:
    whose = await many_rows.owner(pool)
    await many_rows.machines(pool, 1)
    publishing, other = _publishing(pool, bus), _publishing(pool, bus)
    await publishing.one_pass()
    await pool.execute("update publications set published_at = now() - interval '31 days'")
    await pool.execute("delete from agents")
    remove = publishing._stream.remove

    async def comes_back(subject: str) -> None:
        await _return(pool, "m-1", applied=1)
        if runs:
            await many_rows.services(pool, whose, 1)
            await many_rows.sessions(pool, whose, machines=1)
        await other.one_pass()
        await remove(subject)

    publishing._stream.remove = comes_back  # type: ignore[method-assign]
    publishing.verify_soon()
    await publishing.one_pass()
    publishing._stream.remove = remove  # type: ignore[method-assign]
    if not runs:  # what it has on its disk is what it is to do, so nobody published it: the slow look does

        async def found() -> bool:
            await publishing.one_pass()
            return bool(await stored_generations(bus, NodePlan))

        await eventually(found)
    plan = await _stored(bus, "m-1")
    assert (plan.generation, len(plan.kernels)) == (2, int(runs))
    assert await pool.fetchval("select generation from publications") == 2


async def test_a_plan_of_which_the_specs_were_encoded_before_has_the_bytes_of_one_encoded_whole(pool: Pool) -> None:
    whose = await many_rows.owner(pool)
    await many_rows.services(pool, whose, 6)
    await many_rows.machines(pool, 2)
    await many_rows.sessions(pool, whose, each=2, machines=2)
    await pool.execute(
        "update sessions set kind = 'validation', resolved = (select resolved from revisions r where r.id = revision_id), "
        "service_id = null, revision_id = null where id in (select id from sessions limit 3)"
    )
    source = Plans(KEYS)
    for _ in range(2):  # the second time every spec is known
        async with pool.acquire() as con:
            drafts: list[Any] = await source.read(con, ["m-1", "m-2"])
        plans = [(draft, draft.build()) for draft in drafts]
        assert sum(len(plan.kernels) for _, plan in plans) == 12
        assert sum(kernel.kind == "validation" for _, plan in plans for kernel in plan.kernels) == 3
        for draft, plan in plans:
            assert draft.encode(plan) == plan.encode()


SECRET = "hf_only-the-agent-may-read-this"


async def _with_secrets(pool: Pool, machines: int) -> None:
    """Make a replica on each machine whose environment has a secret."""
    whose = await many_rows.owner(pool)
    await many_rows.services(pool, whose, 1)
    await many_rows.machines(pool, machines)
    environ = "jsonb_build_object('HF_TOKEN', $1::text)"
    await pool.execute(f"update revisions set resolved = jsonb_set(resolved, '{{environ}}', {environ})", SECRET)
    await many_rows.sessions(pool, whose, each=machines, machines=machines)


async def _report_key(pool: Pool, machine: str, key: str | None) -> None:
    await pool.execute("update agents set plan_key = $2 where id = $1", machine, key)


def _at_rest(servers: EmbeddedServers) -> bytes:
    """Return all that NATS has on its disk."""
    return b"".join(path.read_bytes() for path in (servers.data / "nats").rglob("*") if path.is_file())


async def test_what_a_plan_says_of_replicas_is_stored_encrypted_to_its_machine(
    pool: Pool, bus: Bus, servers: EmbeddedServers
) -> None:
    await _with_secrets(pool, 2)
    keys = {f"m-{n}": PlanKey.generate() for n in (1, 2)}
    for machine, key in keys.items():
        await _report_key(pool, machine, key.public)
    publishing = _publishing(pool, bus)
    await publishing.one_pass()
    assert SECRET.encode() not in _at_rest(servers)
    for machine, key in keys.items():
        plan = await _stored(bus, machine)
        assert (plan.specs, len(plan.kernels)) == ({}, 1)
        (kernel,) = resolved(plan, key).values()
        assert kernel.environ == {"HF_TOKEN": SECRET}
        with pytest.raises(PlanUnreadableError):
            resolved(plan, PlanKey.generate())
    assert keys["m-1"].public not in (await _stored(bus, "m-1")).model_dump_json()


async def test_an_encrypted_plan_is_published_once_until_it_changes_and_anew_for_a_new_key(
    pool: Pool, bus: Bus, servers: EmbeddedServers
) -> None:
    await _with_secrets(pool, 1)
    old, new = PlanKey.generate(), PlanKey.generate()
    await _report_key(pool, "m-1", old.public)
    publishing = _publishing(pool, bus)
    await publishing.one_pass()
    first = await _stored(bus, "m-1")
    for manager in (publishing, _publishing(pool, bus)):  # which compares all there is when it starts
        await pool.execute("insert into table_changes (kind, key) values ('plan', '')")
        manager.verify_soon()
        await manager.one_pass()
        assert await _stored(bus, "m-1") == first, "the same bytes, so that no machine reads it again"
    await _report_key(pool, "m-1", new.public)
    await publishing.one_pass()
    second = await _stored(bus, "m-1")
    assert second.generation == first.generation + 1
    assert list(resolved(second, new)) == list(resolved(first, old))
    with pytest.raises(PlanUnreadableError):
        resolved(second, old)
    await JetStreamContext(bus.client).purge_stream("PLANS")
    publishing.verify_soon()
    await publishing.one_pass()
    again = await _stored(bus, "m-1")
    assert (again.generation, list(resolved(again, new))) == (second.generation, list(resolved(second, new)))
    assert SECRET.encode() not in _at_rest(servers)


async def test_a_machine_whose_agent_reports_no_key_any_more_gets_a_plan_that_it_can_read(pool: Pool, bus: Bus) -> None:
    await _with_secrets(pool, 1)
    await _report_key(pool, "m-1", PlanKey.generate().public)
    publishing = _publishing(pool, bus)
    await publishing.one_pass()
    with pytest.raises(KeyError):
        (await _stored(bus, "m-1")).resolved()
    await _report_key(pool, "m-1", None)  # its agent was replaced by an older one
    await publishing.one_pass()
    plan = await _stored(bus, "m-1")
    assert (plan.generation, plan.encrypted_specs) == (2, None)
    assert [kernel.environ for kernel in plan.resolved().values()] == [{"HF_TOKEN": SECRET}]


async def test_a_key_to_which_nothing_can_be_encrypted_costs_its_machine_alone(pool: Pool, bus: Bus) -> None:
    await _with_secrets(pool, 2)
    await _report_key(pool, "m-1", "A" * 43)
    await _report_key(pool, "m-2", PlanKey.generate().public)
    await _publishing(pool, bus).one_pass()
    assert await stored_generations(bus, NodePlan) == {"plan.agent.m-2": 1}
    problem = await pool.fetchval("select problem from publications where subject = 'plan.agent.m-1'")
    assert "nothing can be encrypted to the plan key" in problem


async def _store_secret(pool: Pool, value: str) -> None:
    """Make a secret, and have the revision use it as a variable and as the login of a registry."""
    project, user = await pool.fetchrow("select p.id as project, u.id as user from projects p, users u")
    secret_id = SecretId(new_uuid())
    async with pool.acquire() as con, con.transaction():
        await secrets.insert(con, secret_id, project, "token", user)
        await secrets.insert_version(con, secret_id, 1, KEYS.seal(value, secret_id, 1), len(value) + 2, user)
    pins = [
        PinnedSecret(use="variable", variable="TOKEN", secret_id=secret_id, name="token", version=1),
        PinnedSecret(use="registry", secret_id=secret_id, name="token", version=1),
    ]
    stored = [pin.model_dump(mode="json") for pin in pins]
    await pool.execute("update revisions set resolved = resolved || jsonb_build_object('secrets', $1::jsonb)", stored)


async def test_the_secrets_of_a_service_are_in_what_its_agent_decrypts_and_nowhere_else(
    pool: Pool, bus: Bus, servers: EmbeddedServers, caplog: pytest.LogCaptureFixture
) -> None:
    value = "robot:only-replicas-see-this"
    await _with_secrets(pool, 1)
    await _store_secret(pool, value)
    key = PlanKey.generate()
    await _report_key(pool, "m-1", key.public)
    await _publishing(pool, bus).one_pass()
    plan = await _stored(bus, "m-1")
    (kernel,) = resolved(plan, key).values()
    assert kernel.environ == {"HF_TOKEN": SECRET, "TOKEN": value}
    assert kernel.registry_login == RegistryLogin(user="robot", password="only-replicas-see-this")
    assert "only-replicas" not in repr(kernel.registry_login)
    assert value.encode() not in _at_rest(servers)
    assert value.partition(":")[2] not in caplog.text
    size = await pool.fetchval("select bytes from publications where subject = 'plan.agent.m-1'")
    assert size > len(plan.model_copy(update={"encrypted_specs": None}).encode()) + 2 * len(value)


async def test_a_machine_to_which_no_secret_can_be_encrypted_keeps_the_plan_that_it_has(pool: Pool, bus: Bus) -> None:
    await _with_secrets(pool, 2)
    await _store_secret(pool, "robot:pass")
    await _report_key(pool, "m-2", PlanKey.generate().public)
    await _publishing(pool, bus).one_pass()
    assert await stored_generations(bus, NodePlan) == {"plan.agent.m-2": 1}
    problem = await pool.fetchval("select problem from publications where subject = 'plan.agent.m-1'")
    assert "reports no key to which they can be encrypted" in problem


async def test_a_secret_that_no_key_of_the_manager_decrypts_costs_the_machines_that_need_it(
    pool: Pool, bus: Bus
) -> None:
    await _with_secrets(pool, 1)
    await _store_secret(pool, "robot:pass")
    await _report_key(pool, "m-1", PlanKey.generate().public)
    await pool.execute("update secret_versions set key_id = 'fedcba9876543210'")
    publishing = _publishing(pool, bus)
    await publishing.one_pass()
    problem = await pool.fetchval("select problem from publications where subject = 'plan.agent.m-1'")
    assert "the key fedcba9876543210" in problem
    assert await stored_generations(bus, NodePlan) == {}
    await pool.execute("update secret_versions set key_id = 'secret-key'")
    await pool.execute("insert into table_changes (kind, key) values ('plan', 'm-1')")
    await publishing.one_pass()
    assert await stored_generations(bus, NodePlan) == {"plan.agent.m-1": 1}
