"""Container specification of a kernel: the create request and its labels. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from headrace.agent.domain.rewriting import CommandRewriter
from headrace.agent.runtime.environment import HOME, identity, permitted
from headrace.agent.runtime.interface import Prepared, StartRefused
from headrace.common.contracts.messages.plans import KernelSpec
from headrace.common.contracts.reasons.kernel import KernelReason
from headrace.common.contracts.slots import CPU, MEM

LABEL = "headrace."
_BUILT_IN = ("bridge", "host", "none", "default")
"""Built-in networks of the engine, which resolve no container names."""
GO = "/run/headrace/go"
_GATE = f'while [ ! -e {GO} ]; do sleep 0.05 2>/dev/null || sleep 1; done; exec "$@"'
"""Entrypoint of a gated container: waits while pre-start commands run beside it, then execs the program."""


@dataclass(frozen=True, slots=True)
class ContainerDefaults:
    """Settings common to all containers of an agent."""

    owner: str
    """Owner label of the containers: the agent's data folder. Two installations may share an engine and even agent ids."""
    bind_address: str
    """Address on which container ports are published."""
    pids: int
    shm_bytes: int


@dataclass(frozen=True, slots=True)
class Image:
    """Configuration of an image: entrypoint, command, user, environment, working directory."""

    entrypoint: tuple[str, ...]
    command: tuple[str, ...]
    user: str
    working_dir: str
    architecture: str = ""
    """As the engine writes it; empty where the image does not say."""

    @classmethod
    def of(cls, inspected: Mapping[str, Any]) -> Image:
        """Parse the engine's inspect answer."""
        config = inspected.get("Config") or {}
        return cls(
            tuple(config.get("Entrypoint") or ()),
            tuple(config.get("Cmd") or ()),
            config.get("User") or "",
            config.get("WorkingDir") or "",
            inspected.get("Architecture") or "",
        )


def container_name(agent_id: str, kernel_id: object) -> str:
    """Return the unique container name of a kernel: the engine refuses a second one."""
    return f"headrace-{agent_id}-{kernel_id}"


def labels(agent_id: str, owner: str, spec: KernelSpec, prepared: Prepared, *, gated: bool) -> dict[str, str]:
    """Return the container's labels, by which a restarted agent recognises it."""
    digest = hashlib.sha256(spec.model_dump_json().encode()).hexdigest()
    return {
        LABEL + "agent": agent_id,
        LABEL + "data": owner,
        LABEL + "kernel": str(spec.kernel_id),
        LABEL + "session": str(spec.session_id),
        LABEL + "service": str(spec.service_id or ""),
        LABEL + "revision": str(spec.revision_id or ""),
        LABEL + "project": str(spec.project_id),
        LABEL + "name": spec.name,
        LABEL + "digest": digest,
        LABEL + "port": str(prepared.host_port),
        LABEL + "gated": "true" if gated else "",
    }


def create_request(
    agent_id: str,
    spec: KernelSpec,
    prepared: Prepared,
    image: Image,
    common: ContainerDefaults,
    network: str,
    *,
    gated: bool,
) -> dict[str, Any]:
    """Return the body of the engine's create call. Raises StartRefused when there is no command to run."""
    program = _program(spec, image)
    entrypoint, command = program[:1], program[1:]
    if gated:
        entrypoint, command = ("/bin/sh", "-c", _GATE, "headrace"), program
    environ = {
        "HOME": HOME,
        **identity(spec, port=spec.port, model_path=spec.model_path),
        **permitted(spec.environ),
        **_gpu_environ(spec, prepared),
    }
    port = f"{spec.port}/tcp"
    return {
        "Image": spec.image,
        "Entrypoint": list(entrypoint),
        "Cmd": list(command),
        "Env": [f"{name}={value}" for name, value in environ.items()],
        "WorkingDir": working_dir(image),
        "Hostname": str(spec.kernel_id)[-12:],
        "Labels": labels(agent_id, common.owner, spec, prepared, gated=gated),
        "ExposedPorts": {port: {}},
        "HostConfig": _host_config(spec, prepared, common, port) | {"NetworkMode": network},
        "NetworkingConfig": {"EndpointsConfig": {network: _endpoint(spec)}} if network not in _BUILT_IN else {},
    }


def _endpoint(spec: KernelSpec) -> dict[str, Any]:
    """Return the network aliases by which the kernels of a session resolve each other."""
    return {"Aliases": [f"rank-{spec.rank}", *(["main"] if spec.role == "main" else [])]}


def working_dir(image: Image) -> str:
    """Return the image's working directory if it sets one, else the home folder."""
    return image.working_dir if image.working_dir not in {"", "/"} else HOME


def _program(spec: KernelSpec, image: Image) -> tuple[str, ...]:
    """Return the command: the start command replaces the image's entrypoint and command; without one the image's own run."""
    if spec.command:
        return CommandRewriter(spec.port, spec.model_path).command(spec.command)
    program = (*image.entrypoint, *image.command)
    if not program:
        raise StartRefused(
            KernelReason.NO_COMMAND, f"there is no start command, and image {spec.image} names none either"
        )
    return program


def _host_config(spec: KernelSpec, prepared: Prepared, common: ContainerDefaults, port: str) -> dict[str, Any]:
    config: dict[str, Any] = {
        "Init": True,
        "AutoRemove": False,
        "RestartPolicy": {"Name": "no"},
        "CapDrop": ["ALL"],
        "SecurityOpt": ["no-new-privileges"],
        "PidsLimit": common.pids,
        "ShmSize": spec.shm_size or common.shm_bytes,
        "LogConfig": {"Type": "json-file", "Config": {"max-size": "10m", "max-file": "2"}},
        "PortBindings": {port: [{"HostIp": common.bind_address, "HostPort": str(prepared.host_port)}]},
        "Mounts": [
            {"Type": "bind", "Source": str(mount.source), "Target": mount.target, "ReadOnly": mount.read_only}
            for mount in prepared.mounts
        ],
    }
    if spec.slots.get(CPU):
        config["NanoCpus"] = int(spec.slots[CPU] * 10**9)
    if spec.slots.get(MEM):
        config["Memory"] = config["MemorySwap"] = int(spec.slots[MEM])
    if spec.gpus and not prepared.simulated_gpus:
        ids = [grant.gpu_id for grant in spec.gpus]
        config["DeviceRequests"] = [{"Driver": "", "Count": 0, "DeviceIDs": ids, "Capabilities": [["gpu"]]}]
    return config


def _gpu_environ(spec: KernelSpec, prepared: Prepared) -> dict[str, str]:
    """Return the variables by which NVIDIA's container hook exposes GPUs (`void`: none.

    Many images say `all`), and a GPU's share.

    A share is the program's scheduler share through CUDA MPS. It is enforced where an MPS server runs on the machine;
    elsewhere it is kept by placement only (a program may use more of the GPU than it was given).
    """
    shown = [] if prepared.simulated_gpus else [grant.gpu_id for grant in spec.gpus]
    visible = {"NVIDIA_VISIBLE_DEVICES": ",".join(shown) or "void"}
    shares = [grant.share for grant in spec.gpus if grant.share < 1]
    if not shares:
        return visible
    return visible | {"CUDA_MPS_ACTIVE_THREAD_PERCENTAGE": str(max(1, int(min(shares) * 100)))}
