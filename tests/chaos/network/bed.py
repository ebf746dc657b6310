"""Hosts of a run, with an installation on them and a service whose replicas keep a journal."""

from __future__ import annotations

import asyncio
import ssl
import tomllib
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import asyncpg
import httpx

from tests.chaos.stack.account import Kind
from tests.chaos.stack.load import Callers
from tests.chaos.stack.processes import processes
from tests.chaos.stack.settled import contradictions_in, of_service
from tests.support.api import Api
from tests.support.wait import eventually
from tests.support.worlds.hosts import Hosts, hosts_running

SERVICE: Final = "net"
GPUS: Final = {"gpu-1": 2, "gpu-2": 2}
REPLICAS: Final = 3
"""One host has two of them, and there is room for one more: a rollout and a lost machine need that."""
_MIX: Final[tuple[tuple[Kind, str, float], ...]] = (
    ("get", SERVICE, 0.3),
    ("post", SERVICE, 0.3),
    ("fleet", SERVICE, 0.1),
    ("stream", SERVICE, 0.2),
    ("socket", SERVICE, 0.1),
)
USER_TIMEOUT_S: Final = 8.0
"""After so long a machine that acknowledges nothing counts as gone: less than some faults last."""
_LIMITS: Final = {"queue_timeout_s": 60.0, "first_byte_timeout_s": 30.0, "idle_timeout_s": 30.0}
_DEFINITION: Final = """
models:
  - name: net
    model_path: /models
    service:
      start_command: [python, /models/replica.py, --host, 0.0.0.0, --port, "8000"]
      port: 8000
      health_check: {path: /health, initial_delay: 0.2, interval: 1, max_wait_time: 2, max_retries: 3}
"""
_REPLICA: Final = Path(__file__).parents[1] / "stack/replica.py"


@dataclass
class Bed:
    """Running installation and its service."""

    world: Hosts
    api: Api
    journal: Path
    callers: Callers
    sessions: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    """Replicas that have been on each agent's host."""
    replicas: int = REPLICAS
    """Wanted number."""
    turn: int = 0
    """Number of the newest revision."""

    async def ask(self, method: str, path: str, body: object = None, *, within_s: float = 90) -> Any:
        """Call a manager until it succeeds: its host may be away. Only for idempotent calls."""

        async def tried() -> tuple[Any] | None:
            with suppress(httpx.TransportError):
                answer = await self.api.http.request(method, path, json=body, timeout=5)
                assert answer.is_success, f"{answer.status_code} {answer.text[:300]}"
                return (answer.json() if answer.content else None,)
            return None

        found = await eventually(tried, within_s=within_s, every_s=0.3, what=f"{method} {path}")
        return found[0]

    async def scale(self, replicas: int) -> None:
        """Want another number of replicas."""
        self.replicas = replicas
        await self.ask("PATCH", f"/v1/services/{SERVICE}", {"replicas": replicas})

    async def update(self) -> None:
        """Make a new revision."""
        self.turn += 1
        await self.ask("PATCH", f"/v1/services/{SERVICE}", {"spec": self.spec(), "message": "chaos"})

    def spec(self) -> dict[str, Any]:
        """Return the body of a revision."""
        environ = {"CHAOS_JOURNAL": str(self.journal), "CHAOS_TURN": str(self.turn)}
        return {
            "folder": SERVICE,
            "slots": {"cpu": "0.1", "mem": "256m", "cuda.device": "1"},
            "environ": environ,
        }

    async def unsettled(self) -> list[str]:
        """Return where plan, processes, routes and allocations are not as wanted, or not the same."""
        try:
            detail = (await self.api.http.get(f"/v1/services/{SERVICE}", timeout=5)).json()
            self.note(detail)
            agents = {name: (await self.api.http.get(f"/v1/agents/{name}", timeout=5)).json() for name in GPUS}
            table = await self._table()
        except (httpx.HTTPError, KeyError, ValueError) as error:
            return [f"nobody can say: {type(error).__name__} {error}"]
        if "replica_list" not in detail:
            return [f"nobody can say: {detail}"]
        programs = {host: self.programs(host) for host in GPUS}
        wrong = list(of_service(detail, table, sum(programs.values(), Counter())))
        live = {row["id"]: row["agent_id"] for row in detail["replica_list"] if row["status"] != "ended"}
        for host, agent in agents.items():
            wrong += [f"{host}: {what}" for what in _of_host(agent, programs[host], live, table)]
        return wrong

    async def until_settled(self, *, within_s: float) -> list[str]:
        """Wait until nothing is unsettled; return what is left of it after `within_s`."""
        last: list[str] = []

        async def settled() -> bool:
            last[:] = await self.unsettled()
            return not last

        with suppress(AssertionError):
            await eventually(settled, within_s=within_s, every_s=0.5)
        return last

    def note(self, detail: Mapping[str, Any]) -> None:
        """Remember which replicas are on which host."""
        for row in detail.get("replica_list", ()):
            if row["agent_id"] is not None:
                self.sessions[row["agent_id"]].add(row["id"])

    def programs(self, host: str) -> Counter[str]:
        """Return the replicas whose programs run on the host, and how many each has."""
        here = set(self.world.processes(host))
        return Counter(one.session for one in processes() if one.pid in here and one.is_program and one.session)

    async def contradictions(self) -> list[str]:
        """Return what the database says against itself."""
        return await asyncio.to_thread(lambda: asyncio.run(self._contradictions()))

    async def _contradictions(self) -> list[str]:
        """Do so in a thread that is moved to the host of the database, which listens on no other."""
        etc = self.world.root / "control/etc"
        url = tomllib.loads((etc / "settings/manager.toml").read_text())["database_url"].partition("?")[0]
        authorities = ssl.create_default_context(cafile=etc / "tls/ca.crt")
        with self.world.hosts["control"].entered():
            con = await asyncpg.connect(url, ssl=authorities, timeout=20)
            try:
                return await contradictions_in(con)
            finally:
                await con.close(timeout=10)

    async def _table(self) -> dict[str, Any] | None:
        async with httpx.AsyncClient(verify=False, timeout=5) as http:
            page = (await http.get(f"http://{self.world.hosts['proxy'].address}:8093/routes")).json()
        return next((table for table in page["services"] if table["name"] == SERVICE), None)


def _of_host(
    agent: Mapping[str, Any], programs: Counter[str], live: Mapping[str, str], table: Mapping[str, Any] | None
) -> list[str]:
    own = {session for session, host in live.items() if host == agent.get("id")}
    if agent.get("status") != "alive":
        return [f"is {agent.get('status')}"]
    wrong = []
    if agent["plan_generation"] != agent["applied_generation"]:
        wrong.append(f"has applied plan {agent['applied_generation']} of {agent['plan_generation']}")
    if float(agent["allocated"].get("cuda.device", 0)) != len(own):
        wrong.append(f"{agent['allocated']} are allocated for {len(own)} replicas")
    if {kernel["session_id"] for kernel in agent["kernels"]} != own:
        wrong.append(f"reports {[(kernel['session_id'], kernel['state']) for kernel in agent['kernels']]}, not {own}")
    if programs.keys() != own:
        wrong.append(f"programs run for {sorted(programs)}, the replicas are {sorted(own)}")
    routed = {route["session_id"] for route in (table or {"routes": ()})["routes"]}
    if not own <= routed:
        wrong.append(f"routes lead to {sorted(routed)}, not to all of {sorted(own)}")
    return wrong


@asynccontextmanager
async def bed_running(folder: Path) -> AsyncIterator[Bed]:
    """Run an installation in `folder` whose service is healthy."""
    async with hosts_running(folder, gpus=GPUS, appproxy={"REPLICA_TCP_USER_TIMEOUT_S": str(USER_TIMEOUT_S)}) as world:
        api = Api(world.url, (folder / "control/etc/admin.key").read_text().strip())
        callers = Callers(world.hosts["proxy"].address, 8000, {}, "", _MIX)
        bed = Bed(world, api, folder / "journal", callers)
        try:
            await api.folder(SERVICE, {"model-definition.yaml": _DEFINITION, "replica.py": _REPLICA.read_bytes()})
            made: dict[str, Any] = {
                "name": SERVICE,
                "project": "default",
                "drain_grace_s": 20,
                "models": [f"model-{SERVICE}"],
            }
            made |= {"limits": _LIMITS, "replicas": REPLICAS}
            await api.call("POST", "/v1/services", {**made, **bed.spec()})
            bed.callers.tokens[SERVICE] = (await api.token(SERVICE))["token"]
            bed.callers.project_token = (await api.call("POST", "/v1/projects/default/tokens", {}))["token"]
            left = await bed.until_settled(within_s=120)
            assert not left, left
            yield bed
        finally:
            await api.close()
