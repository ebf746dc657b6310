"""Secrets of services on their way to a machine: the replica gets them, and the bus stores none."""

from __future__ import annotations

import signal
from pathlib import Path

from headrace.common.contracts.reasons.kernel import KernelReason
from headrace.embedded.stack import EmbeddedServers
from tests.integration.fleet.conftest import SPEC, Fleet, Machine
from tests.support.wait import eventually

SECRET = "hf_only-the-replica-may-read-this"
WITH_SECRETS = {
    **SPEC,
    "environ": {"HF_TOKEN": SECRET},
    "pre_start_actions": [{"action": "write_file", "args": {"filename": "token", "body": SECRET}}],
}


def at_rest(servers: EmbeddedServers) -> bytes:
    """Return all that NATS has on its disk."""
    return b"".join(path.read_bytes() for path in (servers.data / "nats").rglob("*") if path.is_file())


def environments() -> list[str]:
    """Return the environments of the replicas' programs."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if b"http.server" in (process / "cmdline").read_bytes():
                found.append((process / "environ").read_text())
        except OSError:  # it has ended
            continue
    return found


async def test_a_replica_has_its_secrets_and_the_bus_stores_none(fleet: Fleet, servers: EmbeddedServers) -> None:
    service = await fleet.world.service("chat", replicas=2, spec=WITH_SECRETS)
    await fleet.serves(service, 2)
    told = [one.split("\0") for one in environments()]
    ids = {
        word
        for words in told
        if f"HF_TOKEN={SECRET}" in words
        for word in words
        if word.startswith("HEADRACE_KERNEL_ID=")
    }
    assert len(ids) == 2
    stored = at_rest(servers)
    assert b"encrypted_specs" in stored
    assert SECRET.encode() not in stored
    keys = await fleet.pool.fetch("select plan_key from agents")
    assert len({row["plan_key"] for row in keys}) == 2


def _of(machine: Machine, code: KernelReason) -> bool:
    return bool(machine.reports) and any(kernel.reason.code == code for kernel in machine.reports[-1].kernels)


async def test_a_machine_that_lost_its_key_says_so_keeps_what_runs_and_gets_its_plan_anew(fleet: Fleet) -> None:
    service = await fleet.world.service("chat", replicas=2, spec=WITH_SECRETS)
    await fleet.serves(service, 2)
    machine = fleet.machines["agent-1"]
    runs = {kernel.kernel_id for kernel in machine.reports[-1].kernels}
    before = await fleet.pool.fetchrow("select plan_key from agents where id = 'agent-1'")
    data = Path(machine.env["HEADRACE_AGENT_DATA_DIR"])
    assert machine.process is not None
    machine.signal(signal.SIGKILL)
    machine.process.wait(60)
    (data / "plan.key").unlink()
    (data / "plan.json").unlink()  # as the stream has it, it is for the former key
    machine.start()

    async def renewed() -> bool:
        row = await fleet.pool.fetchrow("select plan_key from agents where id = 'agent-1'")
        assert row["plan_key"] != before["plan_key"]
        return not _of(machine, KernelReason.PLAN_UNREADABLE)

    await eventually(lambda: machine.told("plan_unreadable"), within_s=60)
    await eventually(renewed, within_s=60)
    await fleet.serves(service, 2)
    assert {kernel.kernel_id for kernel in machine.reports[-1].kernels} == runs, "nothing was started anew"
