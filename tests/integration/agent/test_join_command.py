"""`python -m headrace.agent join`, and the agent on what it wrote: joins, reports, renews its identity, learns of its removal."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import subprocess
import sys
import tomllib
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from headrace.common.bus.credentials import claims_of, credentials_file, seed_of, token_of
from headrace.common.bus.identities import public_key, user_token
from headrace.common.bus.permissions import BusUser, UserKind
from headrace.common.bus.signing import read_signing
from headrace.common.db.pool import Pool
from headrace.install.certificates import new_authority
from tests.support.ports import free_port
from tests.support.wait import eventually
from tests.support.worlds.installation import running
from tests.support.worlds.joining import Joinable, joinable


@pytest.fixture
async def there(pool: Pool, tmp_path: Path) -> AsyncIterator[Joinable]:
    async with joinable(pool, tmp_path, replica_networks=("127.0.0.0/8",)) as world:
        yield world


class Machine:
    """Machine that joins: its folders, and the command on it."""

    def __init__(self, root: Path, world: Joinable, name: str = "gpu-7") -> None:
        self.folder, self.data, self.world, self.name = root / "machine", root / "machine-data", world, name
        self.port = free_port()

    @property
    def settings(self) -> Path:
        return self.folder / f"settings/{self.name}.toml"

    async def join(self, *more: str, token: str = "") -> tuple[int, str, str]:
        """Run the command; return its status and what it prints."""
        content = (self.world.folder / "tls/ca.crt").read_bytes()
        words = {
            "--url": self.world.url,
            "--ca-sha256": hashlib.sha256(content).hexdigest(),
            "--name": self.name,
            "--dir": str(self.folder),
            "--data-dir": str(self.data),
            "--runtime": "process",
            "--admin-port": str(self.port),
            "--simulated-gpus": "2",
        }
        command = [sys.executable, "-m", "headrace.agent", "join", "--no-service"]
        process = await asyncio.to_thread(
            subprocess.run,
            [*command, *(word for pair in words.items() for word in pair), *more],
            env={**os.environ, "HEADRACE_JOIN_TOKEN": token},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        return process.returncode, process.stdout, process.stderr

    @contextmanager
    def agent(self) -> Iterator[subprocess.Popen[bytes]]:
        """Run the agent as the command says."""
        self.data.mkdir(parents=True, exist_ok=True)
        environ = {"HEADRACE_AGENT_CONFIG": str(self.settings), "HEADRACE_AGENT_STOP_KERNELS_ON_EXIT": "true"}
        with running(sys.executable, "-m", "headrace.agent", log=self.data / "agent.log", environ=environ) as process:
            yield process

    def log(self) -> str:
        return (self.data / "agent.log").read_text()


@pytest.fixture
def machine(tmp_path: Path, there: Joinable) -> Machine:
    return Machine(tmp_path, there)


def files(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


async def listed(there: Joinable) -> dict[str, str]:
    return {one["id"]: one["status"] for one in (await there.admin.call("GET", "/v1/agents"))["items"]}


async def test_a_machine_joins_by_one_command_and_is_listed_once_its_agent_runs(
    there: Joinable, machine: Machine
) -> None:
    code, out, err = await machine.join(token=await there.token())
    assert code == 0, out + err
    for check in ("kernel", "control groups", "runtime", "clock", "ports", "GPU driver", "disk"):
        assert [line for line in out.splitlines() if line.startswith(check) and line.endswith("ok")], out
    assert files(machine.folder) == ["bus/gpu-7.creds", "settings/gpu-7.toml", "tls/ca.crt"]
    assert {path.stat().st_mode & 0o777 for path in machine.folder.rglob("*") if path.is_file()} == {0o600}
    with machine.agent():

        async def alive() -> bool:
            return await listed(there) == {"gpu-7": "alive"}

        assert await eventually(alive), machine.log()
    code, out, _ = await machine.join()
    assert (code, "nothing to join" in out, "changes nothing here" in out) == (0, True, False)
    code, out, _ = await machine.join("--simulated-gpus", "3")
    assert code == 0
    assert f"--simulated-gpus changes nothing here: simulated_gpus is 2, not 3, in {machine.settings}; change" in out


async def test_check_only_and_failed_checks_change_nothing(there: Joinable, machine: Machine) -> None:
    code, out, _ = await machine.join("--check-only")
    assert code == 0
    assert "nothing was changed" in out
    code, out, err = await machine.join(
        "--docker-host", "unix:///nowhere.sock", "--runtime", "docker", token=await there.token()
    )
    assert code == 1
    assert "Docker: No such file or directory" in out
    assert err == (
        "headrace-agent join: runtime: see above; nothing was changed. Mend it and run the same line again\n"
    )
    assert not machine.folder.exists()
    assert (await there.admin.call("GET", "/v1/join-tokens"))["items"][0]["used"] == 0


async def test_each_mistake_is_one_line_and_changes_nothing(there: Joinable, machine: Machine, tmp_path: Path) -> None:
    token, other = await there.token(), "hrj_" + "0" * 32 + "_" + "a" * 43
    foreign = tmp_path / "foreign.crt"
    foreign.write_text(new_authority("elsewhere", _now()).certificate)
    cases: list[tuple[tuple[str, ...], str, str]] = [
        ((), "", "HEADRACE_JOIN_TOKEN: found nothing; allowed: a join token"),
        ((), "secret", "HEADRACE_JOIN_TOKEN: found something else"),
        ((), await there.token("proxy"), "this join token is for app-proxies"),
        (("--ca-sha256", "0" * 64), token, "another certificate authority: found"),
        (("--ca-file", str(foreign)), token, "its certificate is not by the authority that is known"),
        (("--url", "https://127.0.0.1:1"), token, "cannot be reached"),
        (("--url", "ftp://x"), token, "--url: found ftp://x"),
        (("--token-file", str(tmp_path / "none")), "", "none cannot be read"),
        (("--name", "GPU_7"), token, "--name: found GPU_7"),
        (("--simulated-gpus", "-1"), token, "--simulated-gpus: found -1; allowed: 0 or more"),
        (("--admin-port", "70000"), token, "--admin-port: found 70000; allowed: at most 65535"),
        ((), other, "this join token is not known"),
    ]
    for more, given, said in cases:
        code, _, err = await machine.join(*more, token=given)
        assert (code, err.count("\n")) == (1, 1), (more, err)
        assert said in err, (said, err)
        assert given == "" or given not in err
        assert files(machine.folder) == []
    assert (await machine.join(token=token))[0] == 0, "after all of these"


async def test_who_joined_and_never_reported_makes_way_by_what_the_refusal_names(
    there: Joinable, machine: Machine, tmp_path: Path
) -> None:
    """A machine that was installed anew, say: there is no agent yet that could be removed."""
    assert (await machine.join(token=await there.token()))[0] == 0
    anew = Machine(tmp_path / "anew", there)
    code, _, err = await anew.join(token=await there.token())
    assert (code, err.strip().endswith("take that one out first: headrace identity revoke gpu-7")) == (1, True), err
    await there.admin.call("DELETE", "/v1/identities/gpu-7")
    code, out, err = await anew.join(token=await there.token())
    assert code == 0, out + err


async def test_a_join_that_lost_its_answer_is_repeated_with_the_same_key(there: Joinable, machine: Machine) -> None:
    token = await there.token()
    assert (await machine.join(token=token))[0] == 0
    key = seed_of(machine.folder / "bus/gpu-7.creds")
    assert key is not None
    (machine.folder / "bus/gpu-7.key").write_text(f"{key}\n")
    (machine.folder / "bus/gpu-7.creds").unlink()
    code, out, err = await machine.join(token=token)
    assert code == 0, out + err
    assert seed_of(machine.folder / "bus/gpu-7.creds") == key
    assert (await there.admin.call("GET", "/v1/join-tokens"))["items"][0]["used"] == 1


async def test_an_identity_is_renewed_while_the_agent_runs(pool: Pool, tmp_path: Path) -> None:
    async with joinable(pool, tmp_path, identity_lifetime=timedelta(minutes=1)) as there:
        machine = Machine(tmp_path, there)
        assert (await machine.join(token=await there.token()))[0] == 0
        first = claims_of(token_of(machine.folder / "bus/gpu-7.creds") or "")
        with machine.agent():

            def renewed() -> bool:
                kept = machine.data / "identity.creds"
                return kept.exists() and claims_of(token_of(kept) or "")["exp"] > first["exp"]

            assert await eventually(renewed, within_s=120), machine.log()
            await eventually(lambda: "identity_renewed" in machine.log())


async def test_an_agent_whose_identity_has_ended_comes_back_by_itself(there: Joinable, machine: Machine) -> None:
    assert (await machine.join(token=await there.token()))[0] == 0
    ended = await _signed_in_the_past(there, machine)
    (machine.folder / "bus/gpu-7.creds").write_text(ended)
    with machine.agent():

        async def alive() -> bool:
            return await listed(there) == {"gpu-7": "alive"}

        assert await eventually(alive, within_s=120), machine.log()


async def test_a_machine_whose_identity_was_revoked_stops_what_it_runs_and_can_join_again(
    there: Joinable, machine: Machine
) -> None:
    assert (await machine.join(token=await there.token()))[0] == 0
    with machine.agent():

        async def alive() -> bool:
            return await listed(there) == {"gpu-7": "alive"}

        assert await eventually(alive), machine.log()
        await there.admin.call("DELETE", "/v1/identities/gpu-7?reason=sold")

        def told() -> bool:
            return "machine_removed" in machine.log()

        assert await eventually(told, within_s=60), machine.log()
        plan = json.loads((machine.data / "plan.json").read_text())
        assert plan["kernels"] == []
        assert plan["removed"].startswith("admin revoked the identity of gpu-7 at ")
        assert plan["removed"].endswith(": sold")
    key = machine.data / "plan.key"
    before = key.read_text()
    assert (await machine.join("--again", token="hrj_0_unknown"))[0] == 1
    assert key.read_text() == before, "a join that fails changes nothing"
    code, out, err = await machine.join("--again", token=await there.token())
    assert code == 0, out + err

    def another() -> bool:
        return key.exists() and key.read_text() != before

    with machine.agent():
        assert await eventually(alive, within_s=60), machine.log()
        assert await eventually(another), "what was stolen with the key decrypts nothing any more"
    assert tomllib.loads(machine.settings.read_text())["manager_urls"] == [there.url]


def _now() -> datetime:
    return datetime.now(UTC)


async def _signed_in_the_past(there: Joinable, machine: Machine) -> str:
    """Return the machine's identity as a manager signed it ten days ago."""
    keys = read_signing(there.folder / "bus/signing.json")
    seed = seed_of(machine.folder / "bus/gpu-7.creds")
    assert seed is not None
    now = int(_now().timestamp())
    token = user_token(
        keys.account_signing,
        BusUser("gpu-7", UserKind.AGENT, "gpu-7"),
        account=keys.account,
        public=public_key(seed),
        issued_at=now - 10 * 24 * 3600,
        expires_at=now - 3 * 24 * 3600,
    )
    return credentials_file(token, seed)
