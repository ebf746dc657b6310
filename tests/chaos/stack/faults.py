"""Faults, and what each may cost callers. What is not listed here costs nobody anything.

| kinds | what happens | what it may cost |
|---|---|---|
| `kill-`, `stop-`, `term-` of `manager`, `agent`, `autoscaler`, `nats`, `postgres`, `valkey` | SIGKILL; SIGSTOP for some seconds; SIGTERM | nothing |
| `kill-stores`, `stop-stores`, `kill-services` | all stores, or all services, at once | nothing |
| `kill-up` | the supervisor of everything, started again afterwards | nobody listens meanwhile |
| `kill-appproxy`, `term-appproxy` | its parent process; sockets are kept, workers serve on or drain | nothing |
| `stop-appproxy` | its parent process stands still | nothing |
| `kill-worker`, `stop-worker` | a worker of the app-proxy | what it had open |
| `kill-replica`, `kill-shim` | a replica's program, or what stands between it and the agent | what ran there and may not run twice |
| `stop-replica` | a replica's program stands still | what ran there: no answer in time |
| `stop-shim` | the shim stands still | nothing |
| `cut-link`, `reset-link` | a link between a service and a store passes nothing, or is refused | nothing |
| `rollout`, `scale`, `churn`, `surge` | a new revision; more replicas and fewer; a service comes and goes; slow calls that a rule answers | nothing |
| `full-disk` | no byte is left for anybody | nothing |

A request that was on its way over a connection which had been used before, when the app-proxy that drains closed it, is lost as with any
HTTP/1.1 server (RFC 9112, 9.3.1); the kinds that restart the app-proxy may cost that (`lost-kept`), and then it did not run.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable
from functools import partial
from random import Random

from tests.chaos.stack.fleet import AGENTS, LINKS, MANAGERS, SERVICES, SOCKET, STREAM, UNARY, Fleet
from tests.chaos.stack.load import Load
from tests.chaos.stack.processes import Process, replicas_of, send, tree
from tests.support.wait import eventually

STORES = ("nats", "postgres", "valkey")
PARTS: dict[str, tuple[str, ...]] = {
    "manager": MANAGERS,
    "agent": AGENTS,
    "appproxy": ("appproxy",),
    "autoscaler": ("autoscaler",),
    **{one: (one,) for one in STORES},
}
_ON_A_REPLICA = frozenset({"cut", "502:connection-lost", "502:no-other-replica"})
_FROZEN = frozenset({"504:first-byte-timeout", "503:replica-stopped", "503:all-unhealthy", "429:replicas-full"})
_IN_A_WORKER = frozenset({"lost", "lost-kept", "cut"})
_RESTARTED = frozenset({"lost-kept"})


class Fault:
    """A fault or change, from `begin` until `end`."""

    costs: frozenset[str] = frozenset()
    sessions: frozenset[str] | None = None
    """Replicas whose requests alone it may cost; None: anybody's."""
    target = ""

    def __init__(self, kind: str, chance: Random) -> None:
        self.kind, self._chance = kind, chance

    async def begin(self, fleet: Fleet, load: Load) -> None:
        """Inject it."""

    async def end(self, fleet: Fleet, load: Load) -> None:
        """End it; killed processes are restarted by their supervisor."""


class SignalFault(Fault):
    """Sends SIGKILL, SIGTERM, or SIGSTOP until its end, to parts of the stack with their descendants.

    Workers of an app-proxy are left out.
    """

    _NUMBERS = {"kill": signal.SIGKILL, "stop": signal.SIGSTOP, "term": signal.SIGTERM}

    def __init__(self, kind: str, chance: Random) -> None:
        super().__init__(kind, chance)
        how, _, what = kind.partition("-")
        self._number = self._NUMBERS[how]
        groups: dict[str, tuple[str, ...]] = {
            "stores": STORES,
            "services": (*MANAGERS, *AGENTS, "appproxy", "autoscaler"),
        }
        self._names = groups.get(what) or (chance.choice(PARTS[what]),)
        self.target = ", ".join(self._names)
        self._pids: list[int] = []
        if "appproxy" in self._names:
            self.costs = _RESTARTED

    async def begin(self, fleet: Fleet, load: Load) -> None:
        for name in self._names:
            pid = await eventually(partial(fleet.pid, name), within_s=60)
            self._pids += tree(pid) if self._number == signal.SIGSTOP and name in STORES else [pid]
        # SIGTERM lets PostgreSQL wait for its clients, without end; whoever starts it anew sends SIGINT.
        ends = self._number == signal.SIGTERM and self._names == ("postgres",)
        send(self._pids, signal.SIGINT if ends else self._number)

    async def end(self, fleet: Fleet, load: Load) -> None:
        if self._number == signal.SIGSTOP:
            send(self._pids, signal.SIGCONT)


class KilledSupervisor(Fault):
    """Kills `headrace up`, and with it everything but the replicas; starts it again at the end."""

    target = "headrace up"
    costs = _IN_A_WORKER | {"no-connection", "503:shutting-down"}

    async def begin(self, fleet: Fleet, load: Load) -> None:
        await fleet.stack.killed()

    async def end(self, fleet: Fleet, load: Load) -> None:
        await fleet.start_again()


class WorkerFault(Fault):
    """Kills a worker of the app-proxy, or stops it until it is replaced."""

    costs = _IN_A_WORKER

    async def begin(self, fleet: Fleet, load: Load) -> None:
        workers = await eventually(lambda: sorted(fleet.workers()), within_s=60)
        self._pid = self._chance.choice(workers)
        self.target = f"process {self._pid}"
        send([self._pid], signal.SIGKILL if self.kind.startswith("kill") else signal.SIGSTOP)

    async def end(self, fleet: Fleet, load: Load) -> None:
        send([self._pid], signal.SIGCONT)


class ReplicaFault(Fault):
    """Kills the program of a replica, or its shim, or stops it until the end."""

    def __init__(self, kind: str, chance: Random) -> None:
        super().__init__(kind, chance)
        self._service = chance.choice((UNARY, STREAM, SOCKET))
        self._kills = kind.startswith("kill")
        self._shim = kind.endswith("shim")
        self._pid = 0
        if not self._shim or self._kills:
            self.costs = _ON_A_REPLICA if self._kills else _ON_A_REPLICA | _FROZEN

    async def begin(self, fleet: Fleet, load: Load) -> None:
        detail = await fleet.ask("GET", f"/v1/services/{self._service}")
        own = {row["id"] for row in detail["replica_list"] if row["status"] == "running"}

        def found() -> list[Process]:
            wanted: Callable[[Process], bool] = (lambda p: p.is_shim) if self._shim else (lambda p: p.is_program)
            return sorted(
                (one for one in replicas_of(fleet.data) if one.session in own and wanted(one)), key=lambda p: p.pid
            )

        victim = self._chance.choice(await eventually(found, within_s=30))
        assert victim.session is not None
        self._pid, self.sessions, self.target = (
            victim.pid,
            frozenset({victim.session}),
            f"{self._service} {victim.session}",
        )
        send([victim.pid], signal.SIGKILL if self._kills else signal.SIGSTOP)

    async def end(self, fleet: Fleet, load: Load) -> None:
        send([self._pid], signal.SIGCONT)


class LinkFault(Fault):
    """Blocks or refuses a link's traffic until the end."""

    def __init__(self, kind: str, chance: Random) -> None:
        super().__init__(kind, chance)
        self.target = chance.choice(LINKS)

    async def begin(self, fleet: Fleet, load: Load) -> None:
        relay = fleet.relays[self.target]
        if self.kind == "cut-link":
            relay.silence()
        else:
            await relay.close()

    async def end(self, fleet: Fleet, load: Load) -> None:
        await fleet.relays[self.target].open()


class Rollout(Fault):
    """Gives a service a new revision."""

    def __init__(self, kind: str, chance: Random) -> None:
        super().__init__(kind, chance)
        self.target = chance.choice((UNARY, STREAM, SOCKET))

    async def begin(self, fleet: Fleet, load: Load) -> None:
        fleet.turn += 1
        more = {key: value for key, value in SERVICES[self.target].items() if key != "replicas"}
        await fleet.ask("PATCH", f"/v1/services/{self.target}", {"spec": fleet.spec(**more), "message": "chaos"})


class Scale(Fault):
    """Scales a service up, and back at the end."""

    def __init__(self, kind: str, chance: Random) -> None:
        super().__init__(kind, chance)
        self.target = chance.choice((UNARY, STREAM, SOCKET))

    async def begin(self, fleet: Fleet, load: Load) -> None:
        more = SERVICES[self.target]["replicas"] + self._chance.randint(1, 2)
        await fleet.ask("PATCH", f"/v1/services/{self.target}", {"replicas": more})

    async def end(self, fleet: Fleet, load: Load) -> None:
        await fleet.ask("PATCH", f"/v1/services/{self.target}", {"replicas": SERVICES[self.target]["replicas"]})


class Churn(Fault):
    """Creates a service, and deletes it at the end, whatever its state."""

    target = "brief"

    async def begin(self, fleet: Fleet, load: Load) -> None:
        await fleet.ask("POST", "/v1/services", fleet.created(self.target, replicas=2), done=409)

    async def end(self, fleet: Fleet, load: Load) -> None:
        await fleet.ask("DELETE", f"/v1/services/{self.target}", done=404)


class Surge(Fault):
    """Makes calls of the autoscaled service slow, so that more are open than one replica should have."""

    target = "elastic"

    async def begin(self, fleet: Fleet, load: Load) -> None:
        load.slow_ms = 3000

    async def end(self, fleet: Fleet, load: Load) -> None:
        load.slow_ms = 30


class FullDisk(Fault):
    """Fills the stack's disk to the last byte, until the end."""

    target = "all data"

    async def begin(self, fleet: Fleet, load: Load) -> None:
        assert fleet.disk is not None, "full-disk needs a disk of its own"
        self._task = asyncio.create_task(self._keep_full(fleet))

    async def end(self, fleet: Fleet, load: Load) -> None:
        assert fleet.disk is not None
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        fleet.disk.empty()

    async def _keep_full(self, fleet: Fleet) -> None:
        assert fleet.disk is not None
        while True:
            await asyncio.to_thread(fleet.disk.fill)
            await asyncio.sleep(0.5)


KINDS: dict[str, tuple[type[Fault], tuple[float, float]]] = {
    **{f"kill-{part}": (SignalFault, (0.0, 0.0)) for part in (*PARTS, "stores", "services")},
    **{f"stop-{part}": (SignalFault, (2.0, 12.0)) for part in (*PARTS, "stores")},
    **{f"term-{part}": (SignalFault, (0.0, 0.0)) for part in PARTS},
    "kill-up": (KilledSupervisor, (0.0, 3.0)),
    "kill-worker": (WorkerFault, (0.0, 0.0)),
    "stop-worker": (WorkerFault, (4.0, 8.0)),
    "kill-replica": (ReplicaFault, (0.0, 0.0)),
    "stop-replica": (ReplicaFault, (3.0, 20.0)),
    "kill-shim": (ReplicaFault, (0.0, 0.0)),
    "stop-shim": (ReplicaFault, (2.0, 10.0)),
    "cut-link": (LinkFault, (2.0, 20.0)),
    "reset-link": (LinkFault, (1.0, 10.0)),
    "rollout": (Rollout, (0.0, 0.0)),
    "scale": (Scale, (0.5, 8.0)),
    "churn": (Churn, (0.0, 6.0)),
    "surge": (Surge, (5.0, 15.0)),
    "full-disk": (FullDisk, (4.0, 10.0)),
}
"""Every kind, with the least and the most seconds from its begin to its end."""


def made(kind: str, chance: Random) -> tuple[Fault, float]:
    """Return a fault of this kind and its duration, both drawn from `chance`."""
    cls, (least, most) = KINDS[kind]
    return cls(kind, chance), chance.uniform(least, most)
