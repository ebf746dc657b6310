"""Encrypted plans at the agent: what it does with one that it cannot decrypt, and its key on disk."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from headrace.agent import plan_key
from headrace.agent.plan_key import kept_key
from headrace.common.bus.plan_encryption import PlanKey
from headrace.common.contracts.ids import KernelId, new_uuid
from tests.support.factories.plans import encrypted_plan
from tests.support.wait import eventually
from tests.support.worlds.agent import AgentWorld
from tests.unit.agent.test_convergence import spec_of


@pytest.fixture
async def world(tmp_path: Path) -> AgentWorld:
    return AgentWorld(tmp_path)


def own_key(world: AgentWorld) -> PlanKey:
    return kept_key(world.folder / "agent")


async def test_a_plan_that_cannot_be_decrypted_starts_nothing_and_ends_what_left_it(world: AgentWorld) -> None:
    kept, left, new = (spec_of(KernelId(new_uuid())) for _ in range(3))
    world.checker.answers.set()
    async with world.running():
        plans, own = world.agent.plans, own_key(world)
        await plans.offer(encrypted_plan(1, own, kept, left))
        await eventually(lambda: {kept.kernel_id, left.kernel_id} == world.runtime.kernels.keys())
        await plans.offer(encrypted_plan(2, PlanKey.generate(), kept, new))
        await eventually(lambda: [kept.kernel_id] == list(world.runtime.kernels))
        assert plans.unreadable.keys() == plans.planned == {kept.kernel_id, new.kernel_id}
        assert "generation 2 is not encrypted to its key" in (plans.problem or "")
        calls = list(world.runtime.calls)
    async with world.running():
        assert world.agent.plans.problem == plans.problem, "it is on disk as it came"
        looks = world.runtime.looks
        world.agent.converger.poke()
        await eventually(lambda: world.runtime.looks > looks + 1)
        assert world.runtime.calls == calls
        await world.agent.plans.offer(encrypted_plan(3, own, kept, new))
        await eventually(lambda: {kept.kernel_id, new.kernel_id} == world.runtime.kernels.keys())
        assert (world.agent.plans.unreadable, world.agent.plans.problem) == ({}, None)
        assert world.runtime.calls[len(calls) :] == [("start", new.kernel_id)]


async def test_what_is_malformed_after_decryption_is_unreadable_and_its_content_is_not_told(world: AgentWorld) -> None:
    spec = spec_of(KernelId(new_uuid()))
    async with world.running():
        await world.agent.plans.offer(
            encrypted_plan(1, own_key(world), spec, inside=b'{"r": {"environ": "hf_secret"}}')
        )
        assert world.agent.plans.problem == "what is encrypted in its plan of generation 1 is malformed"
        assert world.agent.plans.unreadable.keys() == {spec.kernel_id}


def test_the_key_is_made_once_and_is_the_owner_s_alone(tmp_path: Path) -> None:
    made = kept_key(tmp_path)
    assert kept_key(tmp_path).public == made.public
    file = tmp_path / plan_key.NAME
    assert file.stat().st_mode & 0o777 == 0o600
    file.write_text("broken")
    new = kept_key(tmp_path)
    assert new.public != made.public
    assert kept_key(tmp_path).public == new.public


def test_without_room_on_the_disk_the_key_lasts_until_the_agent_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "no space left on device")

    monkeypatch.setattr(plan_key, "write_atomically", full)
    assert kept_key(tmp_path).public != kept_key(tmp_path).public
