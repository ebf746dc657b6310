"""The line of `join-token --docker` on a new machine: it joins by the agent's image, and runs that as a container.

The engine is a stand-in that keeps what it is told, and runs joins by this checkout; tests/e2e/test_join_docker.py has the real one.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import yaml

from headrace.common.db.pool import Pool
from headrace.install.compose.files import text
from tests.support.ports import free_port
from tests.support.worlds.joining import Joinable, joinable, program, run_line

IMAGE = "registry.example.com/headrace-agent:1.2.3"
ENGINE = """#!{python}
import json, os, subprocess, sys
file, words = os.environ["ENGINE"], sys.argv[1:]
engine = json.load(open(file))
engine["calls"].append(words)
containers = engine["containers"]
status, out = 0, ""
match words:
    case ["version"]:
        status = engine["away"]
    case ["image", "inspect", *_]:
        status, out = int(not engine["image"]), engine["image"]
    case ["pull", *_]:
        status, engine["image"] = int(not engine["published"]), engine["published"]
    case ["container", "inspect", "--format", template, name]:
        one = containers.get(name)
        if one is None:
            status = 1
        elif "Health.Status" in template:
            out = engine["health"]
        elif "Health.Log" in template:
            out = "one\\n\\nanswered 503: bus: not connected"
        else:
            out = next((given.partition("=")[2] for given in one["words"] if given.split("=")[0] in template), "")
    case ["run", *_] if "--rm" in words:
        joined = words[words.index("join"):] + ["--runtime", "process"]  # there may be no engine to check here
        json.dump(engine, open(file, "w"))
        sys.exit(subprocess.run([sys.executable, "-m", "headrace.agent", *joined]).returncode)
    case ["run", *_]:
        containers[words[words.index("--name") + 1]] = {{"words": words, "runs": True}}
    case ["start", name]:
        containers[name]["runs"] = True
    case ["stop", name]:
        containers[name]["runs"] = False
    case ["rm", name]:
        assert not containers.pop(name)["runs"]
    case _:
        sys.exit(f"unknown: {{words}}")
json.dump(engine, open(file, "w"))
print(out)
sys.exit(status)
"""


@dataclass
class Machine:
    """New machine, with an engine and no agent."""

    root: Path
    port: int

    def __post_init__(self) -> None:
        program(self.root / "bin/docker", ENGINE.format(python=sys.executable))
        program(self.root / "bin/sleep", "#!/bin/sh\n")
        program(self.root / "bin/nvidia-smi", "#!/bin/sh\nexit 9\n")
        self.engine(calls=[], containers={}, away=0, image="", published="sha256:1", health="healthy")

    def engine(self, **changes: Any) -> dict[str, Any]:
        """Change what the engine has, and return it."""
        file = self.root / "engine.json"
        found: dict[str, Any] = {**(json.loads(file.read_text()) if file.exists() else {}), **changes}
        file.write_text(json.dumps(found))
        return found

    @property
    def container(self) -> list[str]:
        """Words by which the agent's container was made."""
        found: list[str] = self.engine()["containers"]["headrace-agent"]["words"]
        return found

    @property
    def folders(self) -> str:
        return f" --dir {self.root / 'etc'} --data-dir {self.root / 'data'}"

    async def run(self, line: str, options: str | None = None) -> subprocess.CompletedProcess[str]:
        """Run the line with options, by default with all that a machine of a test needs."""
        given = f" --name gpu-7 --admin-port {self.port}{self.folders}" if options is None else options
        return await run_line(line + given, self.root / "bin", ENGINE=str(self.root / "engine.json"))


@pytest.fixture
async def there(pool: Pool, tmp_path: Path) -> AsyncIterator[Joinable]:
    async with joinable(pool, tmp_path, agent_image=IMAGE) as world:
        yield world


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path / "machine", free_port())


async def made(there: Joinable) -> dict[str, Any]:
    return dict(await there.admin.call("POST", "/v1/join-tokens", {"kind": "agent", "form": "docker"}))


def values(words: list[str], option: str) -> list[str]:
    """Return the values of an option that may be repeated."""
    return [value for name, value in pairwise(words) if name == option]


async def test_the_line_joins_and_runs_the_agent_and_its_token_is_in_no_program_s_arguments(
    there: Joinable, machine: Machine
) -> None:
    new = await made(there)
    assert "\n" not in new["command"]
    ran = await machine.run(new["command"])
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "gpu-7 has joined" in ran.stdout
    assert "start it" not in ran.stdout
    assert ran.stdout.endswith("gpu-7 runs as the container headrace-agent, and is ready\n")
    assert new["token"] not in json.dumps(machine.engine())
    words, folder, data = machine.container, machine.root / "etc", machine.root / "data"
    assert words[-1] == IMAGE
    assert values(words, "--env") == [f"HEADRACE_AGENT_CONFIG={folder}/settings/gpu-7.toml"]
    assert {f"{folder}:{folder}:ro", f"{data}:{data}"} <= set(values(words, "--volume"))
    assert values(words, "--health-cmd")[0].endswith(f"http://127.0.0.1:{machine.port}/readyz")
    assert f'data_dir = "{data}"' in (folder / "settings/gpu-7.toml").read_text()
    assert (folder / "tls/ca.crt").read_text() == (there.folder / "tls/ca.crt").read_text()
    assert (folder / "bus/gpu-7.creds").stat().st_mode & 0o777 == 0o600
    assert folder.stat().st_mode & 0o777 == 0o700


async def test_both_containers_may_do_what_an_agent_of_the_compose_project_may_and_no_more(
    there: Joinable, machine: Machine
) -> None:
    assert (await machine.run((await made(there))["command"])).returncode == 0
    agent = yaml.safe_load(text("compose.yaml"))["services"]["agent"]
    runs = [call for call in machine.engine()["calls"] if call[0] == "run"]
    assert len(runs) == 2
    for words in runs:
        assert "--read-only" in words
        assert "--init" in words
        assert values(words, "--cap-drop") == agent["cap_drop"] == ["ALL"]
        assert values(words, "--cap-add") == agent["cap_add"]
        assert values(words, "--security-opt") == agent["security_opt"]
        assert values(words, "--tmpfs") == agent["tmpfs"]
        assert values(words, "--network") == [agent["network_mode"]]
        assert values(words, "--pids-limit") == [str(agent["pids_limit"])]
        assert values(words, "--memory") == [agent["mem_limit"]]
        assert values(words, "--cpus") == [str(agent["cpus"])]
        assert values(words, "--stop-timeout") == [agent["stop_grace_period"].rstrip("s")]
        assert values(words, "--log-driver") == [agent["logging"]["driver"]]
        options = agent["logging"]["options"]
        assert values(words, "--log-opt") == [f"{name}={value}" for name, value in options.items()]
        assert "/var/run/docker.sock:/var/run/docker.sock" in values(words, "--volume")
        assert len(values(words, "--volume")) == 3
        assert not {"--privileged", "--pid", "--ipc"} & set(words)
    assert values(machine.container, "--restart") == [agent["restart"]]


async def test_the_line_again_changes_nothing_also_with_a_token_that_is_used_up(
    there: Joinable, machine: Machine
) -> None:
    new = await made(there)
    assert (await machine.run(new["command"])).returncode == 0
    words = machine.container
    # The options that it joined with hold; only its folder of settings must be found.
    for options in (None, f" --name gpu-7 --dir {machine.root / 'etc'}"):
        again = await machine.run(new["command"], options)
        assert again.returncode == 0, again.stderr
        assert "nothing to join" in again.stdout
        assert machine.container == words
    engine = machine.engine()
    assert [call[0] for call in engine["calls"]].count("run") == 4, "one container that stays, and three that joined"
    engine["containers"]["headrace-agent"]["runs"] = False
    machine.engine(**engine)
    assert (await machine.run(new["command"])).returncode == 0
    assert machine.engine()["containers"]["headrace-agent"]["runs"], "it was stopped, and is started again"


async def test_another_image_replaces_the_container_and_keeps_the_identity(there: Joinable, machine: Machine) -> None:
    new = await made(there)
    assert (await machine.run(new["command"])).returncode == 0
    words, identity = machine.container, (machine.root / "etc/bus/gpu-7.creds").read_text()
    machine.engine(image="sha256:2")
    again = await machine.run(new["command"])
    assert again.returncode == 0, again.stderr
    assert "replacing the container headrace-agent" in again.stdout
    assert machine.container != words
    assert (machine.root / "etc/bus/gpu-7.creds").read_text() == identity


async def test_gpus_are_shown_to_the_agent_where_the_driver_is(there: Joinable, machine: Machine) -> None:
    program(machine.root / "bin/nvidia-smi", "#!/bin/sh\n")
    assert (await machine.run((await made(there))["command"])).returncode == 0
    assert "--gpus=all,capabilities=utility" in machine.container


async def test_a_storage_that_is_mounted_is_at_the_same_path_in_the_container(
    there: Joinable, machine: Machine, tmp_path: Path
) -> None:
    storage = tmp_path / "storage"
    storage.mkdir()
    options = f" --name gpu-7 --admin-port={machine.port} --folders-root={storage}{machine.folders}"
    assert (await machine.run((await made(there))["command"], options)).returncode == 0
    assert f"--volume={storage}:{storage}" in machine.container


async def test_checks_alone_start_nothing(there: Joinable, machine: Machine) -> None:
    options = f" --check-only --name gpu-7 --admin-port {machine.port}{machine.folders}"
    ran = await machine.run((await made(there))["command"], options)
    assert ran.returncode == 0, ran.stderr
    assert "all checks passed" in ran.stdout
    assert machine.engine()["containers"] == {}


async def test_a_join_that_is_refused_starts_nothing(there: Joinable, machine: Machine) -> None:
    new = await made(there)
    await there.admin.call("DELETE", f"/v1/join-tokens/{new['id']}")
    ran = await machine.run(new["command"])
    assert ran.returncode == 1
    assert "this join token was revoked at" in ran.stderr
    assert "CHECK" in ran.stdout
    assert machine.engine()["containers"] == {}


async def test_an_agent_that_is_not_ready_says_why(there: Joinable, machine: Machine) -> None:
    machine.engine(health="starting")
    ran = await machine.run((await made(there))["command"])
    assert ran.returncode == 1
    assert "is not ready: answered 503: bus: not connected. It goes on trying: docker logs" in ran.stderr


async def test_an_option_that_the_container_cannot_have_is_refused(there: Joinable, machine: Machine) -> None:
    command = (await made(there))["command"]
    for options, said in {
        "--dir etc": "found etc; allowed: an absolute path of letters",
        "--data-dir=/a:b": "found /a:b; allowed: an absolute path of letters",
        "--folders-root /no/such/folder": "found no folder /no/such/folder",
        "--admin-port 0": "--admin-port: found 0; allowed: 1 to 65535",
        "--runtime process": "--runtime: found process; allowed: docker",
        "--docker-host tcp://1.2.3.4:1": "--docker-host: found tcp://1.2.3.4:1; allowed: unix:///var/run/docker.sock",
    }.items():
        ran = await machine.run(command, f" --name gpu-7 {options}")
        assert (ran.returncode, ran.stderr.count("\n")) == (1, 1), ran.stderr
        assert said in ran.stderr
    assert machine.engine()["calls"] == []


async def test_an_engine_that_cannot_run_the_agent_is_said_and_nothing_is_changed(
    there: Joinable, machine: Machine
) -> None:
    command, none = (await made(there))["command"], {"away": 0, "published": "sha256:1", "containers": {}}

    def container(*words: str) -> dict[str, Any]:
        return {"containers": {"headrace-agent": {"words": words, "runs": True}}}

    for engine, said in (
        ({"away": 1}, "no Docker engine answers at /var/run/docker.sock"),
        (
            {"published": ""},
            f"the image {IMAGE} is not on this machine, and cannot be pulled; allowed: one that docker load",
        ),
        (container(), "the container headrace-agent is not of this line"),
        (
            container("headrace.joined.name=gpu-8"),
            "--name: found gpu-7, and the container headrace-agent of this machine is agent gpu-8",
        ),
    ):
        machine.engine(**none | engine)
        ran = await machine.run(command)
        assert (ran.returncode, ran.stderr.count("\n")) == (1, 1), ran.stderr
        assert said in ran.stderr
        assert not (machine.root / "etc").exists()
        assert "run" not in [call[0] for call in machine.engine()["calls"]]


async def test_another_authority_is_said_and_nothing_is_run(there: Joinable, machine: Machine) -> None:
    new = await made(there)
    ran = await machine.run(new["command"].replace(new["ca_sha256"], "0" * 64))
    assert (ran.returncode, ran.stderr.count("\n")) == (1, 1)
    assert "has another certificate authority than this line was made for" in ran.stderr
    assert machine.engine()["calls"] == []
