"""Rollouts through REST, and what the services loop makes of them. Over real PostgreSQL and NATS."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from headrace.cli.app import build
from headrace.cli.config import Config
from headrace.cli.session import Session
from headrace.common.contracts.ids import ServiceId
from headrace.sdk import Client, WaitFailedError
from headrace.sdk.reasons import RolloutReason
from tests.integration.manager.test_loops_operation import column, running
from tests.support.wait import eventually
from tests.support.worlds.manager import ManagerWorld
from tests.support.worlds.manager_api import ManagerApi

CHAT = "/v1/services/chat"
ROLLOUT = f"{CHAT}/rollout"


async def rolls_out(api: ManagerApi, **rollout: Any) -> None:
    """Create a service whose revision 2 takes the place of revision 1, with one serving replica of each."""
    await api.admin.call(
        "POST",
        "/v1/services",
        {"name": "chat", "runtime": "cmd", "image": "img", "replicas": 2, "rollout": rollout},
    )
    await api.runs("chat")
    await api.admin.call("PATCH", CHAT, {"spec": {"runtime": "cmd", "image": "other"}})
    await api.runs("chat")


async def actions(api: ManagerApi) -> list[str]:
    return [entry["action"] for entry in (await api.admin.call("GET", f"{CHAT}/history"))["items"]]


async def test_a_rollout_is_shown_paused_and_resumed(api: ManagerApi) -> None:
    await rolls_out(api)
    seen = await api.admin.call("GET", ROLLOUT)
    assert (seen["revision"], seen["from_revision"], seen["phase"]) == (2, 1, "progressing")
    assert (seen["new"], seen["old"]) == (
        {"replicas": 1, "ready": 1, "wanted": 2},
        {"replicas": 1, "ready": 1, "wanted": 0},
    )
    paused = await api.admin.call("POST", f"{ROLLOUT}/pause", {"message": "look first"})
    assert (paused["phase"], paused["paused_by"], paused["new"]["wanted"], paused["old"]["wanted"]) == (
        "paused",
        "admin",
        1,
        1,
    )
    service = await api.admin.call("GET", CHAT)
    assert (service["phase"], service["reason"]["code"]) == ("deploying", "rollout-paused")
    assert await api.admin.call("POST", f"{ROLLOUT}/pause", {}) == paused, "asked twice it is once"
    assert (await api.admin.call("POST", f"{ROLLOUT}/resume"))["phase"] == "progressing"
    assert (await api.admin.call("POST", f"{ROLLOUT}/resume"))["phase"] == "progressing"
    assert (await actions(api))[:2] == ["rollout.resumed", "rollout.paused"]


async def test_an_aborted_rollout_goes_back_to_the_revision_that_served_and_says_so(api: ManagerApi) -> None:
    await rolls_out(api)
    seen = await api.admin.call("POST", f"{ROLLOUT}/abort", {"message": "wrong answers"})
    assert (seen["revision"], seen["phase"]) == (1, "complete")
    assert seen["last_failed"]["revision"] == 2
    assert seen["last_failed"]["reason"]["text"] == "admin aborted it: wrong answers"
    assert (await api.admin.call("GET", CHAT))["last_failed_rollout"] == seen["last_failed"]
    refused = await api.admin.call("POST", f"{ROLLOUT}/abort", {}, expect=409)
    assert (
        refused["detail"]
        == "no rollout of service chat is under way, so there is none to abort: revision 1 is the only one"
    )
    await api.admin.call("PATCH", CHAT, {"spec": {"runtime": "cmd", "image": "third"}})
    assert (await api.admin.call("GET", ROLLOUT))["last_failed"] is None
    assert (await actions(api))[1] == "rollout.aborted"


async def test_a_canary_is_promoted_step_by_step_or_to_the_end(api: ManagerApi) -> None:
    await rolls_out(api, strategy="canary", steps=[{"replicas": 1}, {"replicas": "75%"}])
    seen = await api.admin.call("GET", ROLLOUT)
    assert (seen["phase"], seen["step"], seen["steps"]) == ("waiting", 0, 2)
    assert seen["reason"]["code"] == "rollout-awaiting-promotion"
    assert (await api.admin.call("GET", CHAT))["reason"]["code"] == "rollout-awaiting-promotion"
    assert (await api.admin.call("POST", f"{ROLLOUT}/promote", {}))["step"] == 1
    assert (await api.admin.call("POST", f"{ROLLOUT}/promote", {"full": True}))["step"] == 2
    refused = await api.admin.call("POST", f"{ROLLOUT}/promote", {}, expect=409)
    assert refused["detail"] == "no step holds the rollout of revision 2"


async def test_a_blue_green_rollout_is_not_switched_to_replicas_that_are_not_there(api: ManagerApi) -> None:
    await rolls_out(api, strategy="blue-green", auto_promote=False)
    refused = await api.admin.call("POST", f"{ROLLOUT}/promote", {}, expect=409)
    assert refused["detail"].startswith("1 of 2 new replicas are ready, and all requests would go to them")
    await api.runs("chat")
    assert (await api.admin.call("POST", f"{ROLLOUT}/promote", {}))["step"] == 1


async def test_strategy_settings_change_without_a_rollout_and_are_checked_with_those_that_are_there(
    api: ManagerApi,
) -> None:
    await rolls_out(api, max_surge=0)
    changed = await api.admin.call("PATCH", CHAT, {"rollout": {"min_ready_s": 9}})
    assert (changed["revision"], changed["rollout"]["max_surge"], changed["rollout"]["min_ready_s"]) == (2, 0, 9)
    refused = await api.admin.call("PATCH", CHAT, {"rollout": {"max_unavailable": 0}}, expect=400)
    assert refused["detail"].startswith("rollout.max_unavailable: found 0; allowed: above 0 where max_surge is 0")
    reset = await api.admin.call("PATCH", CHAT, {"rollout": None})
    assert (reset["rollout"]["max_surge"], reset["rollout"]["on_failure"]) == ("25%", "roll-back")


async def test_a_replica_is_replaced_once_however_often_it_is_asked_for(api: ManagerApi) -> None:
    await rolls_out(api)
    session, _ = await api.runs("chat")
    path = f"{CHAT}/replicas/{session}/replace"
    seen = await api.admin.call("POST", path, {"message": "noisy neighbour"})
    assert seen["replace_asked_at"] is not None
    assert await api.admin.call("POST", path, {}) == seen
    assert (await actions(api)).count("replica.replace-asked") == 1
    await api.pool.execute("update sessions set status = 'draining' where id = $1", session)
    refused = await api.admin.call("POST", path, {}, expect=409)
    assert refused["detail"] == f"replica {session} is draining: it leaves already"
    await api.ends(session)
    await api.admin.call("POST", path, {}, expect=404)


# The services loop


async def served(world: ManagerWorld, service: ServiceId) -> Any:
    await eventually(lambda: column(world, service, "served_revision_id"))
    return await column(world, service, "revision_id")


async def test_a_replica_that_is_to_be_replaced_leaves_once_another_serves(world: ManagerWorld) -> None:
    await world.manager()
    proxy = await world.proxy()
    async with (await world.agent()).alive():
        service = await world.service("s", grace_s=0)
        await eventually(lambda: proxy.serving(service) == 1)
        old = await world.pool.fetchval(
            "update sessions set replace_asked_at = now(), rev = rev + 1 where service_id = $1 returning id", service
        )

        async def replaced() -> bool:
            ended = await world.pool.fetchval("select status = 'ended' from sessions where id = $1", old)
            return bool(ended) and await world.statuses(service) == ["running"]

        await eventually(replaced)
        why = await world.pool.fetchval("select reason_code from drain_receipts where session_id = $1", old)
        assert why == "replaced-by-user"


async def test_a_blue_green_rollout_sends_no_request_to_the_new_ones_before_it_switches(world: ManagerWorld) -> None:
    await world.manager()
    proxy = await world.proxy()
    async with (await world.agent()).alive():
        service = await world.service("s", replicas=2, grace_s=0)
        await eventually(lambda: proxy.serving(service) == 2)
        first = await served(world, service)
        await world.set(service, rollout={"strategy": "blue-green", "auto_promote": False})
        second = await world.update(service, 2)

        async def ready() -> bool:
            return await running(world, service, second) == 2 and await running(world, service, first) == 2

        await eventually(ready)
        weights = await world.pool.fetch(
            "select weight from sessions where service_id = $1 and revision_id = $2", service, second
        )
        assert [row["weight"] for row in weights] == [0, 0]
        await world.pool.execute(
            "insert into rollouts (revision_id, service_id, step) values ($1, $2, 1)", second, service
        )
        await world.set(service, wanted=2)

        async def switched() -> bool:
            return await running(world, service, first) == 0 and await running(world, service, second) == 2

        await eventually(switched)
        weights = await world.pool.fetch(
            "select weight from sessions where service_id = $1 and revision_id = $2", service, second
        )
        assert [row["weight"] for row in weights] == [100, 100]


@pytest.mark.parametrize("on_failure", ["roll-back", "keep"])
async def test_a_rollout_that_finds_no_machine_in_time_fails(world: ManagerWorld, on_failure: str) -> None:
    await world.manager()
    proxy = await world.proxy()
    async with (await world.agent()).alive():
        service = await world.service("s")
        await eventually(lambda: proxy.serving(service) == 1)
        first = await served(world, service)
        await world.set(service, rollout={"on_failure": on_failure, "max_unavailable": 0})
        second = await world.update(service, 2, slots={"cpu": "9999", "mem": "1024"})

        async def waits() -> bool:
            return await world.statuses(service) == ["pending", "running"]

        await eventually(waits)
        await world.pool.execute(
            "update sessions set created_at = $2 where service_id = $1 and status = 'pending'",
            service,
            datetime.now(UTC) - timedelta(hours=1),
        )

        async def failed() -> bool:
            return await world.statuses(service) == ["running"] and bool(
                await world.pool.fetchval("select failed_code from rollouts where revision_id = $1", second)
            )

        await eventually(failed)
        assert await column(world, service, "revision_id") == (first if on_failure == "roll-back" else second)
        action = "service.rolled-back" if on_failure == "roll-back" else "rollout.failed"
        (message,) = await world.pool.fetch("select message from events where action = $1", action)
        assert "no further replica of it became ready within 1800 s" in message["message"]


async def test_a_service_that_fills_its_machine_is_updated_within_its_own_resources(world: ManagerWorld) -> None:
    await world.manager()
    proxy = await world.proxy()
    async with (await world.agent(gpus=2)).alive():
        slots = {"cpu": "1", "mem": "1024", "cuda.device": "1"}
        service = await world.service("s", replicas=2, slots=slots, grace_s=0)
        await eventually(lambda: proxy.serving(service) == 2)
        first = await served(world, service)
        await world.set(service, rollout={"max_surge": 0})
        second = await world.update(service, 2, slots=slots)

        async def rolled_out() -> bool:
            return await running(world, service, second) == 2 and await running(world, service, first) == 0

        await eventually(rolled_out)
        pending = "select count(*) from sessions where service_id = $1 and revision_id = $2"
        assert await world.pool.fetchval(pending, service, second) == 2


async def test_replicas_move_to_another_resource_group_when_it_has_room(world: ManagerWorld) -> None:
    await world.manager()
    proxy = await world.proxy()
    await world.pool.execute("insert into resource_groups (name) values ('lab')")
    async with (await world.agent()).alive():
        service = await world.service("s", grace_s=0)
        await eventually(lambda: proxy.serving(service) == 1)
        first = await served(world, service)
        second = await world.update(service, 2, spec={"resource_group": "lab"})
        reason = "select reason_text from sessions where revision_id = $1 and reason_code = 'other-group'"

        async def waits() -> bool:
            return "lab" in (await world.pool.fetchval(reason, second) or "")

        await eventually(waits)
        assert (proxy.serving(service), await running(world, service, first)) == (1, 1)
        async with (await world.agent("agent-2")).alive():
            to_lab = "update agents set resource_group = 'lab' where id = 'agent-2' returning id"

            async def moved() -> bool:
                return await running(world, service, second) == 1 and await running(world, service, first) == 0

            await eventually(lambda: world.pool.fetchval(to_lab))
            await eventually(moved)
            await eventually(lambda: proxy.serving(service) == 1)
    groups = "select revision_id, resource_group from sessions where service_id = $1"
    assert {tuple(row) for row in await world.pool.fetch(groups, service)} == {(first, "default"), (second, "lab")}


# The command line and the SDK


@pytest.fixture
def typed(api: ManagerApi, tmp_path: Path) -> Any:
    """Runner of commands against the API; returns what was printed, or the error."""

    async def run(*words: str) -> str:
        environ = {"HOME": str(tmp_path), "HEADRACE_URL": api.url, "HEADRACE_API_KEY": api.admin.key}
        session = Session(Config(environ))
        ran = await asyncio.to_thread(CliRunner().invoke, build(), list(words), obj=session)
        session.close()
        return ran.output if ran.exit_code == 0 else str(ran.exception)

    return run


async def test_a_rollout_on_the_command_line(api: ManagerApi, typed: Any) -> None:
    await rolls_out(api, strategy="canary", steps=[{"replicas": 1}])
    shown = await typed("rollout", "show", "chat")
    assert "2 (from 1)" in shown
    assert "1 ready of 1, 1 wanted" in shown
    assert "step 1 of 1 is reached: promote or abort it (rollout-awaiting-promotion)" in " ".join(shown.split())
    assert "paused by admin" in await typed("rollout", "pause", "chat", "-m", "look")
    assert "1 of 1 over" in await typed("rollout", "promote", "chat")
    assert "no step holds the rollout of revision 2" in await typed("rollout", "promote", "chat")
    assert "admin aborted it: no good" in await typed("rollout", "abort", "chat", "-m", "no good")
    refused = await typed("service", "update", "chat", "--canary-step", "25%:soon")
    assert refused == "--canary-step 25%:soon: found soon; allowed: seconds, as in 25%:300"
    refused = await typed("service", "update", "chat", "--max-surge", "many")
    assert "found many; allowed: a whole number" in refused


async def test_one_replica_is_replaced_on_the_command_line(api: ManagerApi, typed: Any) -> None:
    await rolls_out(api)
    session, _ = await api.runs("chat")
    shown = await typed("service", "replace", "chat", str(session), "-m", "noisy neighbour")
    assert shown.startswith(f"{session} leaves once another replica serves in its place")


async def test_a_wait_for_an_update_ends_when_its_revision_is_rolled_back(api: ManagerApi) -> None:
    await rolls_out(api)
    await api.admin.call("POST", f"{ROLLOUT}/abort", {"message": "wrong answers"})
    with (
        Client(api.url, api.admin.key) as client,
        pytest.raises(
            WaitFailedError, match="the rollout of revision 2 failed: admin aborted it: wrong answers"
        ) as why,
    ):
        await asyncio.to_thread(client.services.wait, "chat", revision=2, timeout_s=60)
    assert why.value.reason.code == RolloutReason.ROLLOUT_ABORTED
