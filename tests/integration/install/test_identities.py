"""Signed identities on a real NATS with the files of `headrace init`: TLS, rotation, revocation, renewal."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import nats
import pytest

from headrace.common.bus.connect import Bus, Login, open_bus
from headrace.common.bus.credentials import credentials_file
from headrace.common.bus.identities import (
    AccountKeys,
    account_token,
    new_seed,
    public_key,
    user_token,
)
from headrace.common.bus.permissions import EDGE_ACCOUNT, BusUser, UserKind
from headrace.common.bus.streams import ensure_streams
from headrace.common.contracts.problems import BusUnavailable
from headrace.embedded.stack import EmbeddedServers
from headrace.install.certificates import new_authority
from headrace.install.folder import stored_state
from headrace.install.make import make, rotate
from headrace.install.plan import Choices
from headrace.install.state import State
from tests.support.ports import free_port
from tests.support.wait import eventually
from tests.support.worlds.installation import Ports, installed, nats_running, on_this_machine


@dataclass
class Installed:
    """Files of an installation, and its NATS."""

    folder: Path
    url: str
    data: Path
    running: ExitStack

    def restart(self) -> None:
        """Stop NATS, and start it again on its files."""
        self.running.close()
        self.running.enter_context(nats_running(self.folder, self.data))

    @property
    def state(self) -> State:
        state = stored_state(self.folder)
        assert state is not None
        return state

    def login(self, user: str, *, credentials: Path | None = None, url: str = "", ca: Path | None = None) -> Login:
        return Login(
            url or self.url,
            user,
            "",
            user,
            credentials=credentials or self.folder / f"bus/{user}.creds",
            ca_file=ca or self.folder / "tls/ca.crt",
        )


@pytest.fixture
def there(tmp_path: Path) -> Iterator[Installed]:
    ports = Ports()
    folder = installed(tmp_path / "etc", on_this_machine(ports, tmp_path / "data", "agent-1", "agent-2"))
    with ExitStack() as running:
        running.enter_context(nats_running(folder, tmp_path / "data"))
        yield Installed(folder, f"tls://127.0.0.1:{ports.nats}", tmp_path / "data", running)


async def must_be_refused(login: Login, saying: str) -> None:
    """Return once a login is refused with these words. AssertionError if it succeeds, or other words remain."""

    async def said() -> bool:
        bus = Bus()
        try:
            with pytest.raises(BusUnavailable) as refusal:
                await bus.open(login, timeout_s=3)
        finally:
            await bus.close()
        return saying in refusal.value.detail.lower()

    assert await eventually(said, within_s=60)


async def test_services_log_in_by_their_identities_and_the_manager_makes_the_streams(there: Installed) -> None:
    for user in ("manager", "autoscaler", "proxy-1", "agent-1"):
        bus = Bus()
        await bus.open(there.login(user), timeout_s=60)
        if user == "manager":
            await ensure_streams(bus, timeout_s=60)
        await bus.close()


async def test_an_identity_that_was_rotated_is_refused_and_the_new_one_is_not(there: Installed, tmp_path: Path) -> None:
    former = tmp_path / "former.creds"
    former.write_text((there.folder / "bus/agent-1.creds").read_text())
    held = await _opened(there.login("agent-1"))
    rotate(there.folder, "bus:agent-1", datetime.now(UTC))
    await asyncio.to_thread(there.restart)

    await must_be_refused(there.login("agent-1", credentials=former), "authorization violation")
    assert await eventually(lambda: held.connected), "it reads its file at each connect"
    await held.close()
    await (await _opened(there.login("agent-2"))).close()


async def test_a_removed_machine_is_refused_at_once_without_a_change_of_files(there: Installed) -> None:
    """What a manager does that removes an agent: newer claims of the account, sent to the servers by the system account."""
    state, agent = there.state, Bus()
    await agent.open(there.login("agent-1"), timeout_s=60)
    accounts = {name: public_key(seeds.identity) for name, seeds in state.accounts.items()}
    edge = state.accounts["EDGE"]
    now = int(datetime.now(UTC).timestamp())
    claims = account_token(
        state.operator,
        name="EDGE",
        keys=AccountKeys(accounts["EDGE"], public_key(edge.signing)),
        issued_at=now + 1,
        shares=EDGE_ACCOUNT,
        accounts=accounts,
        revoked={public_key(state.identities["agent-1"].seed): now + 1},
    )
    tls = ssl.create_default_context(cafile=there.folder / "tls/ca.crt")
    system = await nats.connect(there.url, user_credentials=there.folder / "bus/system.creds", tls=tls)
    answer = await system.request("$SYS.REQ.CLAIMS.UPDATE", claims.encode(), timeout=30)
    assert b'"code":200' in answer.data.replace(b" ", b""), answer.data
    await system.close()
    assert await eventually(lambda: not agent.connected, within_s=60)
    await agent.close()
    await must_be_refused(there.login("agent-1"), "authorization violation")
    await asyncio.to_thread(there.restart)  # with the older claims in its configuration
    await must_be_refused(there.login("agent-1"), "authorization violation")
    await (await _opened(there.login("agent-2"))).close()


async def _opened(login: Login) -> Bus:
    bus = Bus()
    await bus.open(login, timeout_s=60)
    return bus


async def test_the_signing_key_makes_identities_that_end_without_the_server(there: Installed, tmp_path: Path) -> None:
    """What a manager does when a machine joins: it needs the account's signing key only."""
    edge, seed = there.state.accounts["EDGE"], new_seed("user")
    now = datetime.now(UTC)

    def credentials(ends: datetime) -> Path:
        token = user_token(
            edge.signing,
            BusUser("gpu-9", UserKind.AGENT, "gpu-9"),
            account=public_key(edge.identity),
            public=public_key(seed),
            issued_at=int((now - timedelta(hours=1)).timestamp()),
            expires_at=int(ends.timestamp()),
        )
        file = tmp_path / f"{ends.timestamp()}.creds"
        file.write_text(credentials_file(token, seed))
        return file

    bus = await _opened(there.login("gpu-9", credentials=credentials(now + timedelta(hours=1))))
    await bus.close()
    ended = credentials(now - timedelta(seconds=10))
    await must_be_refused(there.login("gpu-9", credentials=ended), "authorization violation")


async def test_a_wrong_authority_and_wrong_files_are_said(there: Installed, tmp_path: Path) -> None:
    foreign = tmp_path / "foreign.crt"
    foreign.write_text(new_authority("elsewhere", datetime.now(UTC)).certificate)
    await must_be_refused(there.login("agent-1", ca=foreign), "certificate verify failed")
    nothing = tmp_path / "nothing.crt"
    nothing.write_text("x")
    await must_be_refused(there.login("agent-1", ca=nothing), "nothing.crt holds no certificate")
    await must_be_refused(there.login("agent-1", credentials=nothing), "nothing.crt: found none")
    missing = tmp_path / "missing.creds"
    await must_be_refused(there.login("agent-1", credentials=missing), "missing.creds: no such file")


async def test_no_password_is_sent_to_a_server_without_tls(servers: EmbeddedServers) -> None:
    """Somebody in between who says that there is no TLS learns nothing."""
    heard: list[bytes] = []
    plain = free_port()

    async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        to_server = await asyncio.open_connection("127.0.0.1", servers.server_ports["nats"])
        writer.write(await to_server[0].readline())
        heard.append(await reader.read(1000))
        for one in (writer, to_server[1]):
            one.close()

    user, password = servers.nats_user("manager")
    between = await asyncio.start_server(listen, "127.0.0.1", plain)
    async with between:
        await must_be_refused(Login(f"tls://127.0.0.1:{plain}", user, password, "manager"), "offers no tls")
    assert await eventually(lambda: heard)
    assert not [data for data in heard if password.encode() in data]
    async with open_bus(servers.nats_url, user=user, password=password, name="plain"):
        pass


def test_a_further_agent_is_added_to_an_installation_that_runs(there: Installed) -> None:
    before = (there.folder / "nats/nats.conf").read_text()
    made = make(there.folder, Choices(agents=["agent-3=127.0.0.1"]), datetime.now(UTC))
    own = {"bus/agent-3.creds", "settings/agent-3.toml"}
    assert {entry.path for entry in made.changed} == {*own, "bus/signing.json", "installation.json"}
    assert (there.folder / "nats/nats.conf").read_text() == before, "the server need not be told"
