"""Docker runtime: each kernel is a container, without privileges and with its limits enforced."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from contextlib import aclosing, suppress
from pathlib import Path
from typing import Any

import structlog

from headrace.agent.domain.kernels import SeenKernel
from headrace.agent.domain.usage import Usage
from headrace.agent.machine import ENGINE_NAMES, architecture
from headrace.agent.runtime.docker.container import LABEL, ContainerDefaults, Image, container_name, create_request
from headrace.agent.runtime.docker.counters import usage_of
from headrace.agent.runtime.docker.engine import Engine, EngineError, filters
from headrace.agent.runtime.docker.images import Images
from headrace.agent.runtime.docker.networks import SessionNetworks
from headrace.agent.runtime.docker.registries import RegistryAllowList
from headrace.agent.runtime.docker.shared_files import clear_setuid
from headrace.agent.runtime.docker.shell import ContainerShell
from headrace.agent.runtime.docker.sockets import listeners_in
from headrace.agent.runtime.docker.states import ContainerStates
from headrace.agent.runtime.docker.streams import json_lines, line_batches
from headrace.agent.runtime.environment import HOME
from headrace.agent.runtime.interface import (
    ActionFailed,
    Before,
    Capacity,
    PortProblem,
    PortTaken,
    Prepared,
    RuntimeUnavailable,
    StartRefused,
)
from headrace.agent.runtime.listening import in_words
from headrace.common.contracts.ids import KernelId
from headrace.common.contracts.messages.plans import KernelSpec
from headrace.common.contracts.messages.reports import Isolation
from headrace.common.contracts.reasons.kernel import KernelReason

log = structlog.get_logger()
_EVENTS = ["start", "die", "oom", "destroy"]
KILL_S = 30.0
_QUIET_S = 10.0


class DockerRuntime:
    """Runs kernels as containers of one engine. Labels mark them: no other container is touched."""

    def __init__(
        self,
        engine: Engine,
        networks: SessionNetworks,
        registries: RegistryAllowList,
        *,
        agent_id: str,
        host: str,
        common: ContainerDefaults,
        pull_timeout_s: float,
    ) -> None:
        self._engine = engine
        self._networks = networks
        self._agent_id = agent_id
        self._own = [f"{LABEL}agent={agent_id}", f"{LABEL}data={common.owner}"]
        self._common = common
        self._images = Images(engine, registries, pull_timeout_s=pull_timeout_s)
        self._states = ContainerStates(engine, host)

    async def capacity(self) -> Capacity:
        """Return the capacity of the engine's machine, which need not be the agent's own."""
        info = await self._call("GET", "/info")
        root = str(info.get("DockerRootDir", ""))
        return Capacity(
            info["Name"],
            architecture(info["Architecture"]),
            float(info["NCPU"]),
            int(info["MemTotal"]),
            data_root=Path(root) if root and self._engine.local else None,
        )

    async def list(self) -> Mapping[KernelId, SeenKernel]:
        """Return the kernels of this agent's containers."""
        as_of = self._networks.requested
        query = {"all": "true", "filters": filters(label=self._own)}
        listed = await self._call("GET", "/containers/json", query=query)
        seen = await self._states.observe(listed)
        await self._networks.sweep({kernel.session_id for kernel in seen}, as_of)
        return {kernel.kernel_id: kernel for kernel in seen}

    async def start(self, spec: KernelSpec, prepared: Prepared, before: Before | None) -> None:
        """Create the container, run the pre-start actions, start it.

        With commands to run inside, it waits behind a gate meanwhile.
        """
        if spec.image is None:
            raise StartRefused(KernelReason.NO_IMAGE, "the docker runtime needs an image, and none is given")
        gated = any(action.action == "run_command" for action in spec.pre_start_actions)
        image = await self._images.ensure(spec.image, prepared.progress, spec.registry_login)
        await self._check_architecture(spec.image, image)
        name = self._name(spec.kernel_id)
        done = False
        try:
            await self._remove(name)
            prepared.progress("creating the container")
            async with self._networks.of(spec.session_id) as network:
                await self._create(name, spec, prepared, image, network, gated=gated)
                await self._begin(name, image, prepared, before, gated=gated)
            done = True
        except ActionFailed as error:
            raise StartRefused(KernelReason.START_FAILED, str(error)) from error
        finally:
            if not done:
                with suppress(RuntimeUnavailable):
                    await asyncio.shield(self._remove(name))
                self._networks.sweep_soon()

    async def stop(self, kernel_id: KernelId, grace_s: float) -> None:
        """Send SIGTERM to the program (its init forwards it), and SIGKILL to the whole container after the grace."""
        name = self._name(kernel_id)
        for number, wait_s in (("SIGTERM", grace_s), ("SIGKILL", KILL_S)):
            try:
                await self._call("POST", f"/containers/{name}/kill", query={"signal": number})
            except EngineError as error:
                if error.status in {404, 409}:  # gone, or not running
                    return
                raise RuntimeUnavailable(f"the container cannot be stopped: {error}") from error
            if await self._ends(name, wait_s):
                return
        raise RuntimeUnavailable(f"the container did not end within {KILL_S:g} s of SIGKILL")

    async def remove(self, kernel_id: KernelId) -> None:
        """Remove the container and its anonymous volumes, and with a session's last container its network."""
        await self._remove(self._name(kernel_id))
        self._networks.sweep_soon()
        await self.list()  # with it goes the network that nobody uses any more

    async def port_problem(self, kernel_id: KernelId, port: int) -> PortProblem | None:  # noqa: ARG002 - the interface's
        """Return None: the engine holds a running container's port, and refuses to start one whose port is taken."""
        return None

    async def ports_elsewhere(self) -> str | None:
        """Return why the engine publishes ports in another network namespace than the agent's; None when it does not."""
        return await self._networks.elsewhere()

    async def listens(self, spec: KernelSpec, port: int) -> str | None:  # noqa: ARG002 - the interface's
        """Return where the container listens, from its network namespace, where the agent can see its processes."""
        try:
            about = await self._call("GET", f"/containers/{self._name(spec.kernel_id)}/json")
        except EngineError:
            return None
        found = await asyncio.to_thread(listeners_in, about["Id"], int(about["State"]["Pid"]))
        if not found:
            return None
        return f"in its container programs listen on {in_words(found)}, and it must be port {spec.port} at all addresses (0.0.0.0)"

    async def isolation(self) -> Isolation:
        """Return the isolation in force: networks, and the packet filter where the agent may install it."""
        return await self._networks.isolation()

    async def logs(self, kernel_id: KernelId, *, tail: int | None, follow: bool) -> AsyncGenerator[Sequence[str], None]:
        """Read the engine's log, with the engine's timestamps."""
        query = {"stdout": "true", "stderr": "true", "timestamps": "true", "tail": "all" if tail is None else str(tail)}
        try:
            async with (
                self._engine.stream(
                    "GET", f"/containers/{self._name(kernel_id)}/logs", query=query | {"follow": str(follow).lower()}
                ) as chunks,
                aclosing(_with_pauses(line_batches(chunks))) as batches,
            ):
                async for batch in batches:
                    yield batch
        except EngineError as error:
            if error.status != 404:
                raise RuntimeUnavailable(f"the log cannot be read: {error}") from error

    async def usage(self) -> Mapping[KernelId, Usage]:
        """Return the counters of each running container."""
        running = [kernel_id for kernel_id, seen in (await self.list()).items() if seen.phase == "running"]
        async with asyncio.TaskGroup() as group:
            asked = {kernel_id: group.create_task(self._usage(kernel_id)) for kernel_id in running}
        return {kernel_id: found for kernel_id, task in asked.items() if (found := task.result()) is not None}

    async def watch(self, poke: Callable[[], None]) -> None:
        """Poke at each event of this agent's containers; after a lost connection, poke and subscribe again."""
        query = {
            "filters": filters(type=["container"], event=_EVENTS, label=self._own),
        }
        while True:
            try:
                async with self._engine.stream("GET", "/events", query=query) as chunks:
                    poke()
                    async for event in json_lines(chunks):
                        self._states.on_event(event.get("Action"), str(event["Actor"]["ID"]))
                        poke()
            except (RuntimeUnavailable, EngineError) as error:
                log.warning("docker_events_lost", error=str(error))
            await asyncio.sleep(1.0)  # an engine that restarts must not be hammered

    async def _check_architecture(self, name: str, image: Image) -> None:
        machine = (await self.capacity()).architecture
        if image.architecture and image.architecture not in ENGINE_NAMES[machine]:
            raise StartRefused(
                KernelReason.IMAGE_ARCHITECTURE,
                f"image {name} is made for {image.architecture}, and this machine is {machine}; name an image for {machine}, "
                "or set the service's architecture so that it is placed where the image runs",
            )

    def _name(self, kernel_id: KernelId) -> str:
        return container_name(self._agent_id, kernel_id)

    async def _call(self, method: str, path: str, **more: Any) -> Any:
        return await self._engine.call(method, path, **more)

    async def _create(
        self, name: str, spec: KernelSpec, prepared: Prepared, image: Image, network: str, *, gated: bool
    ) -> None:
        request = create_request(self._agent_id, spec, prepared, image, self._common, network, gated=gated)
        try:
            await self._call("POST", "/containers/create", query={"name": name}, body=request)
        except EngineError as error:
            raise StartRefused(KernelReason.START_FAILED, f"the container cannot be created: {error}") from error

    async def _begin(self, name: str, image: Image, prepared: Prepared, before: Before | None, *, gated: bool) -> None:
        inside = ContainerShell(self._engine, name, image)
        if all(mount.target != HOME for mount in prepared.mounts):
            await inside.make_home()
        if gated:
            prepared.release_port()
            await self._run(name)
        if before is not None:
            await before(inside)
        prepared.progress("starting the program")
        prepared.release_port()
        try:
            await (inside.open_gate() if gated else self._run(name))
        except EngineError as error:
            raise StartRefused(KernelReason.START_FAILED, f"the program could not be started: {error}") from error

    async def _run(self, name: str) -> None:
        try:
            await self._call("POST", f"/containers/{name}/start")
        except EngineError as error:
            kind = (
                PortTaken
                if "port is already allocated" in str(error) or "address already in use" in str(error)
                else StartRefused
            )
            raise kind(KernelReason.START_FAILED, f"the container cannot be started: {error}") from error

    async def _remove(self, name: str) -> None:
        """Remove the container, also one of an interrupted start, and clear setuid bits of files it left behind."""
        writable = await self._writable(name)
        try:
            await self._call("DELETE", f"/containers/{name}", query={"force": "true", "v": "true"}, timeout_s=KILL_S)
        except EngineError as error:
            if error.status == 409:  # somebody else's removal is under way
                raise RuntimeUnavailable(f"the container cannot be removed yet: {error}") from error
            if error.status != 404:
                raise RuntimeUnavailable(f"the container cannot be removed: {error}") from error
        for folder in writable:
            try:
                count = await asyncio.to_thread(clear_setuid, folder)
            except OSError as error:  # the engine's machine need not be this one, and nothing else can be done about it
                log.warning("setuid_programs_not_checked", container=name, folder=folder.name, error=error.strerror)
                continue
            if count:
                log.warning("setuid_programs_cleared", container=name, folder=folder.name, count=count)

    async def _writable(self, name: str) -> Sequence[Path]:
        """Return the folders on this machine that are mounted writable into the container."""
        try:
            mounts = (await self._call("GET", f"/containers/{name}/json"))["Mounts"]
        except EngineError as error:
            if error.status == 404:
                return []
            raise RuntimeUnavailable(f"the container cannot be looked at: {error}") from error
        return [Path(mount["Source"]) for mount in mounts if mount["Type"] == "bind" and mount["RW"]]

    async def _ends(self, name: str, wait_s: float) -> bool:
        try:
            async with asyncio.timeout(wait_s):
                await self._call("POST", f"/containers/{name}/wait", timeout_s=wait_s + 60)
        except TimeoutError:
            return False
        except EngineError as error:
            return error.status == 404
        return True

    async def _usage(self, kernel_id: KernelId) -> Usage | None:
        query = {"stream": "false", "one-shot": "true"}
        try:
            stats = await self._call("GET", f"/containers/{self._name(kernel_id)}/stats", query=query)
        except EngineError:
            return None
        return usage_of(stats, time.monotonic())


async def _with_pauses(batches: AsyncIterator[Sequence[str]]) -> AsyncGenerator[Sequence[str], None]:
    """Yield the batches, and an empty one after each QUIET_S without any."""
    following = asyncio.ensure_future(anext(batches, None))
    try:
        while True:
            done, _ = await asyncio.wait([following], timeout=_QUIET_S)
            if not done:
                yield ()
                continue
            batch = following.result()
            if batch is None:
                return
            following = asyncio.ensure_future(anext(batches, None))
            yield batch
    finally:
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)
