"""The Docker runtime's pure parts: the create request, the engine's streams and counters, the environment."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path

import pytest

from headrace.agent.domain.usage import Usage
from headrace.agent.runtime.docker.container import ContainerDefaults, Image, create_request
from headrace.agent.runtime.docker.counters import usage_of
from headrace.agent.runtime.docker.streams import json_lines, line_batches
from headrace.agent.runtime.environment import overridden
from headrace.agent.runtime.interface import Prepared, PreparedMount, StartRefused
from headrace.agent.runtime.process.layout import KernelLayout, kernel_environment
from headrace.common.contracts.ids import KernelId, new_uuid
from headrace.common.contracts.messages.plans import GpuGrant
from tests.unit.agent.test_convergence import spec_of

IMAGE = Image(("entry",), ("cmd",), "", "/app")
COMMON = ContainerDefaults("/data/agent", "127.0.0.1", pids=100, shm_bytes=2**20)
SPEC = spec_of(KernelId(new_uuid())).model_copy(
    update={
        "image": "thing:1",
        "port": 8000,
        "slots": {"cpu": Decimal("1.5"), "mem": Decimal(2**20)},
        "environ": {"PORT": "9", "MINE": "a=b"},
    }
)


def prepared(*, simulated: bool = False) -> Prepared:
    mounts = (PreparedMount(Path("/data/f"), "/models", True),)
    return Prepared(20001, mounts, simulated, progress=lambda _: None)


def test_limits_and_privileges() -> None:
    request = create_request("a", SPEC, prepared(), IMAGE, COMMON, "net", gated=False)
    host = request["HostConfig"]
    assert (host["NanoCpus"], host["Memory"], host["MemorySwap"], host["PidsLimit"]) == (15 * 10**8, 2**20, 2**20, 100)
    assert (host["CapDrop"], host["SecurityOpt"], host["Init"]) == (["ALL"], ["no-new-privileges"], True)
    assert host["PortBindings"] == {"8000/tcp": [{"HostIp": "127.0.0.1", "HostPort": "20001"}]}
    assert host["Mounts"] == [{"Type": "bind", "Source": "/data/f", "Target": "/models", "ReadOnly": True}]
    assert "DeviceRequests" not in host
    assert request["WorkingDir"] == "/app"
    labels = request["Labels"]
    assert (labels["headrace.agent"], labels["headrace.data"]) == ("a", "/data/agent")
    assert not any(value in json.dumps(labels) for value in ("MINE", "a=b"))


def test_shared_memory_is_what_the_service_asks_for_or_what_the_agent_gives() -> None:
    for asked, given in ((None, COMMON.shm_bytes), (2**25, 2**25)):
        spec = SPEC.model_copy(update={"shm_size": asked})
        request = create_request("a", spec, prepared(), IMAGE, COMMON, "net", gated=False)
        assert request["HostConfig"]["ShmSize"] == given


def test_the_users_own_variables_win() -> None:
    environ = dict(
        row.split("=", 1) for row in create_request("a", SPEC, prepared(), IMAGE, COMMON, "net", gated=False)["Env"]
    )
    assert (environ["PORT"], environ["HEADRACE_PORT"], environ["MINE"]) == ("9", "8000", "a=b")
    assert environ["HOME"] == "/home/work"


def test_which_gpus_a_container_sees_is_not_the_tenants_choice() -> None:
    wanted = {
        "NVIDIA_VISIBLE_DEVICES": "all",
        "CUDA_MPS_PIPE_DIRECTORY": "/x",
        "CUDA_MPS_ACTIVE_THREAD_PERCENTAGE": "100",
        "HEADRACE_KERNEL_ID": "another",
        "MINE": "yes",
    }
    granted = {
        "void": (),
        "GPU-1": (GpuGrant(gpu_id="GPU-1", share=Decimal("0.25")),),
        "GPU-1,GPU-2": (GpuGrant(gpu_id="GPU-1"), GpuGrant(gpu_id="GPU-2")),
    }
    for shown, gpus in granted.items():
        spec = SPEC.model_copy(update={"environ": wanted, "gpus": gpus})
        rows = create_request("a", spec, prepared(), IMAGE, COMMON, "net", gated=False)["Env"]
        assert f"NVIDIA_VISIBLE_DEVICES={shown}" in rows
        assert f"HEADRACE_KERNEL_ID={spec.kernel_id}" in rows
        assert "MINE=yes" in rows
        mps = [row for row in rows if "MPS" in row]
        assert mps == (["CUDA_MPS_ACTIVE_THREAD_PERCENTAGE=25"] if shown == "GPU-1" else [])
    assert overridden(wanted) == (
        "CUDA_MPS_ACTIVE_THREAD_PERCENTAGE",
        "CUDA_MPS_PIPE_DIRECTORY",
        "HEADRACE_KERNEL_ID",
        "NVIDIA_VISIBLE_DEVICES",
    )


def test_on_the_process_runtime_too_the_granted_gpus_win(tmp_path: Path) -> None:
    spec = SPEC.model_copy(update={"environ": {"CUDA_VISIBLE_DEVICES": "0,1,2", "NVIDIA_VISIBLE_DEVICES": "all"}})
    layout = KernelLayout(tmp_path, spec.kernel_id)
    environ = kernel_environment(spec, prepared(), layout, layout.rewriting(spec, prepared()), {})
    assert environ["CUDA_VISIBLE_DEVICES"] == "-1"
    assert "NVIDIA_VISIBLE_DEVICES" not in environ


def test_the_command_replaces_the_images_own_or_the_image_runs_as_it_is() -> None:
    def words(image: Image, command: tuple[str, ...], *, gated: bool = False) -> tuple[list[str], list[str]]:
        spec = SPEC.model_copy(update={"command": command})
        request = create_request("a", spec, prepared(), image, COMMON, "net", gated=gated)
        return request["Entrypoint"], request["Cmd"]

    assert words(IMAGE, ("run", "--port", "{port}")) == (["run"], ["--port", "8000"])
    assert words(IMAGE, ()) == (["entry"], ["cmd"])
    entrypoint, command = words(IMAGE, (), gated=True)
    assert entrypoint[:2] == ["/bin/sh", "-c"]
    assert command == ["entry", "cmd"]
    with pytest.raises(StartRefused, match="names none either"):
        words(Image((), (), "", ""), ())


def test_gpus_whole_shared_and_simulated() -> None:
    whole = SPEC.model_copy(update={"gpus": (GpuGrant(gpu_id="GPU-1"), GpuGrant(gpu_id="GPU-2"))})
    request = create_request("a", whole, prepared(), IMAGE, COMMON, "net", gated=False)
    assert request["HostConfig"]["DeviceRequests"][0]["DeviceIDs"] == ["GPU-1", "GPU-2"]
    assert not any("MPS" in row for row in request["Env"])
    part = SPEC.model_copy(update={"gpus": (GpuGrant(gpu_id="GPU-1", share=Decimal("0.3")),)})
    assert (
        "CUDA_MPS_ACTIVE_THREAD_PERCENTAGE=30"
        in create_request("a", part, prepared(), IMAGE, COMMON, "net", gated=False)["Env"]
    )
    pretended = create_request("a", whole, prepared(simulated=True), IMAGE, COMMON, "net", gated=False)
    assert "DeviceRequests" not in pretended["HostConfig"]


async def chunked(data: bytes, size: int) -> AsyncIterator[bytes]:
    for start in range(0, len(data), size):
        yield data[start : start + size]


def frame(kind: int, content: bytes) -> bytes:
    return bytes([kind, 0, 0, 0]) + len(content).to_bytes(4, "big") + content


@pytest.mark.parametrize("size", [1, 3, 8, 1000])
async def test_multiplexed_output_becomes_lines_however_it_is_cut(size: int) -> None:
    data = frame(1, b"one\ntw") + frame(2, b"error\n") + frame(1, b"o\nthree")
    batches = [batch async for batch in line_batches(chunked(data, size))]
    assert [line for batch in batches for line in batch] == ["one", "error", "two", "three"]


async def test_lines_of_json() -> None:
    data = b'{"a": 1}\r\nnonsense\n{"b": 2}\n'
    assert [value async for value in json_lines(chunked(data, 5))] == [{"a": 1}, {"b": 2}]


def test_counters_of_both_control_group_versions() -> None:
    v1 = {
        "cpu_stats": {"cpu_usage": {"total_usage": 2_000_000_000}},
        "memory_stats": {"usage": 100, "stats": {"total_inactive_file": 30, "inactive_file": 1}},
        "networks": {"eth0": {"rx_bytes": 5, "tx_bytes": 6}, "eth1": {"rx_bytes": 1, "tx_bytes": 1}},
    }
    assert usage_of(v1, 1.0) == Usage(1.0, 2.0, 70, 6, 7)
    v2 = {**v1, "memory_stats": {"usage": 100, "stats": {"inactive_file": 40}}, "networks": None}
    assert usage_of(v2, 1.0) == Usage(1.0, 2.0, 60, None, None)
    assert usage_of({"cpu_stats": {}, "memory_stats": {}}, 1.0) is None


def test_the_agents_own_environment_does_not_reach_a_kernel(tmp_path: Path) -> None:
    layout = KernelLayout(tmp_path, SPEC.kernel_id)
    outer = {
        "PATH": "/bin",
        "LANG": "C.UTF-8",
        "HEADRACE_AGENT_NATS_PASSWORD": "secret",
        "AWS_SECRET": "secret",
        "HOME": "/root",
    }
    environ = kernel_environment(SPEC, prepared(), layout, layout.rewriting(SPEC, prepared()), outer)
    assert "secret" not in environ.values()
    assert (environ["LANG"], environ["MINE"], environ["PORT"]) == ("C.UTF-8", "a=b", "9")
    assert (environ["HEADRACE_PORT"], environ["CUDA_VISIBLE_DEVICES"]) == ("20001", "-1")
    assert environ["HOME"].startswith(str(tmp_path))
