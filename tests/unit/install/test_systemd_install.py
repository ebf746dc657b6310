"""Installing units and removing them: on a folder in place of the machine, whose commands are noted."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from headrace.common.contracts.port_filter import port_filter_table
from headrace.install.errors import InstallError
from headrace.install.make import make
from headrace.install.plan import Choices, Layout
from headrace.install.systemd.install import Steps, install_steps, perform, uninstall_steps
from headrace.install.systemd.units import ServiceName

NOW = datetime(2026, 11, 30, 12, tzinfo=UTC)
PYTHON = Path("/bin/sh")
UNITS = ("headrace-manager.service", "headrace-appproxy.service", "headrace-autoscaler.service")
AGENT = "headrace-agent.service"


class FolderAsHost:
    """A machine that is a folder: `systemctl enable` and `disable` do their work on it, other commands are noted only."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.ran: list[str] = []
        self.fails = ""
        self.why = "no"
        self.tables: set[str] = set()

    def check(self) -> None:
        """It can be installed on."""

    def has_table(self, name: str) -> bool:
        return name in self.tables

    def run(self, command: Sequence[str], timeout_s: float) -> None:
        self.ran.append(" ".join(command))
        if self.fails and self.fails in self.ran[-1]:
            raise InstallError(f"{self.ran[-1]}: {self.why}")
        wants = self.root / "etc/systemd/system/multi-user.target.wants"
        if command[1] in {"enable", "disable"}:
            wants.mkdir(parents=True, exist_ok=True)
            for unit in command[2:]:
                (wants / unit).unlink(missing_ok=True)
                if command[1] == "enable":
                    (wants / unit).symlink_to(f"../{unit}")

    def files(self) -> list[str]:
        return sorted(str(path.relative_to(self.root)) for path in self.root.rglob("*") if path.is_file())


@pytest.fixture
def host(tmp_path: Path) -> FolderAsHost:
    return FolderAsHost(tmp_path / "root")


def made(tmp_path: Path, *agents: str, data: Path | None = None) -> Path:
    choices = Choices(url="https://ml.example.com", layout=Layout.HOST, agents=agents, data=data)
    return make(tmp_path / "etc", choices, NOW).folder


def install(
    folder: Path, host: FolderAsHost, *services: ServiceName, now: bool = False, **names: str
) -> tuple[Steps, list[str]]:
    """Install, and return the steps and the commands that ran."""
    host.ran = []
    given = {ServiceName(service): name for service, name in names.items() if name}
    steps = install_steps(folder, host, python=PYTHON, services=services, names=given, now=now)
    perform(steps.steps, host)
    return steps, host.ran


def test_all_that_the_folder_has_is_installed_once(tmp_path: Path, host: FolderAsHost) -> None:
    folder = made(tmp_path)
    steps, ran = install(folder, host, now=True)
    assert steps.units == (*UNITS, AGENT)
    assert ran == [
        "systemd-sysusers /etc/sysusers.d/headrace.conf",
        "systemctl daemon-reload",
        f"systemctl enable {' '.join(steps.units)}",
        f"systemctl restart {' '.join(steps.units)}",
    ]
    unit = host.root / "etc/systemd/system/headrace-agent.service"
    assert f"LoadCredential=agent-1.toml:{folder}/settings/agent-1.toml\n" in unit.read_text()
    assert unit.stat().st_mode & 0o777 == 0o644
    assert install(folder, host)[0].steps == ()
    assert install(folder, host, now=True)[1] == [f"systemctl start {' '.join(steps.units)}"]


def test_only_what_changed_is_restarted(tmp_path: Path, host: FolderAsHost) -> None:
    folder = made(tmp_path)
    install(folder, host)
    settings = folder / "settings/agent-1.toml"
    settings.write_text(settings.read_text() + 'runtime = "process"\n')
    _, ran = install(folder, host, now=True)
    assert ran == [
        "systemctl daemon-reload",
        f"systemctl restart {AGENT}",
        f"systemctl start {' '.join(UNITS)}",
    ]
    conf = host.root / "etc/systemd/system/headrace-agent.service.d/process-runtime.conf"
    assert "User=headrace-agent" in conf.read_text()
    settings.write_text(settings.read_text().replace("process", "docker"))
    install(folder, host, now=True)
    assert not conf.exists()  # else the agent would lack what Docker wants of it


def test_another_port_of_the_app_proxy_takes_its_socket_anew(tmp_path: Path, host: FolderAsHost) -> None:
    folder = made(tmp_path)
    install(folder, host)
    settings = folder / "settings/proxy-1.toml"
    settings.write_text(settings.read_text().replace("listen_port = 8000", "listen_port = 8100"))
    _, ran = install(folder, host, ServiceName.APPPROXY, now=True)
    assert ran == [
        "systemctl daemon-reload",
        "systemctl stop headrace-appproxy.service headrace-appproxy.socket",
        "systemctl start headrace-appproxy.service",
    ]


def test_a_step_that_failed_is_taken_by_the_next_run(tmp_path: Path, host: FolderAsHost) -> None:
    folder = made(tmp_path)
    host.fails = "enable"
    with pytest.raises(InstallError, match="enable"):
        install(folder, host)
    host.fails = ""
    assert install(folder, host)[1] == [f"systemctl enable {' '.join((*UNITS, AGENT))}"]


@pytest.mark.parametrize(
    ("agents", "given", "installed", "note"),
    [
        (["gpu-1=127.0.0.1"], "", "gpu-1", ""),
        (["gpu-1=10.0.0.5", "gpu-2=10.0.0.6"], "gpu-2", "gpu-2", ""),
        (["gpu-1=10.0.0.5"], "", "", "no agent is installed here; --agent NAME for one of gpu-1"),
    ],
)
def test_which_agent_is_this_machines(
    tmp_path: Path, host: FolderAsHost, agents: list[str], given: str, installed: str, note: str
) -> None:
    steps, _ = install(made(tmp_path, *agents), host, agent=given)
    assert (AGENT in steps.units) == bool(installed)
    assert steps.notes == ((note,) if note else ())
    if installed:
        text = (host.root / f"etc/systemd/system/{AGENT}").read_text()
        assert f"/bus/{installed}.creds" in text


JOINED = {
    "appproxy": 'id = "edge-2"\nlisten_port = 8000\ndata_dir = "/var/lib/headrace/appproxy"\n',
    "autoscaler": 'id = "edge-2"\nadmin_port = 8094\ndata_dir = "/var/lib/headrace/autoscaler"\n',
    "agent": 'id = "edge-2"\nadvertise_host = "10.0.0.7"\nfolder_access = "fetch"\n',
}


def joined(folder: Path, service: str, name: str = "edge-2") -> Path:
    """Write the files of a machine that joined."""
    for path, text in {f"settings/{name}.toml": JOINED[service], f"bus/{name}.creds": "x", "tls/ca.crt": "x"}.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text)
    return folder


@pytest.mark.parametrize("service", list(JOINED))
def test_a_service_that_joined_under_a_name_gets_the_unit_of_its_kind(
    tmp_path: Path, host: FolderAsHost, service: str
) -> None:
    folder = joined(tmp_path / "etc", service)
    assert install(folder, host)[0].units == (f"headrace-{service}.service",)
    unit = (host.root / f"etc/systemd/system/headrace-{service}.service").read_text()
    assert f"\nLoadCredential=edge-2.toml:{folder}/settings/edge-2.toml\n" in unit
    assert f"\nEnvironment=HEADRACE_{service.upper()}_CONFIG=%d/edge-2.toml\n" in unit
    assert f"\nEnvironment=HEADRACE_{service.upper()}_NATS_CREDENTIALS=%d/edge-2.creds\n" in unit
    assert f"-m headrace.{service}\n" in unit
    assert (host.root / "etc/systemd/system/headrace-appproxy.socket").exists() is (service == "appproxy")
    name: dict[str, Any] = {service: "edge-2"}
    assert install(folder, host, ServiceName(service), **name)[0].steps == ()


def test_of_several_the_one_that_is_named_is_installed(tmp_path: Path, host: FolderAsHost) -> None:
    folder = joined(joined(tmp_path / "etc", "appproxy"), "appproxy", "edge-3")
    with pytest.raises(InstallError, match="found edge-2, edge-3 for the appproxy; allowed: --appproxy NAME"):
        install(folder, host)
    with pytest.raises(InstallError, match="--appproxy: found edge-9; allowed: edge-2, edge-3"):
        install(folder, host, appproxy="edge-9")
    joined(folder, "agent", "gpu-7")
    with pytest.raises(InstallError, match="--appproxy: found gpu-7; allowed: edge-2, edge-3"):
        install(folder, host, ServiceName.APPPROXY, appproxy="gpu-7")  # which is an agent
    assert install(folder, host, ServiceName.APPPROXY, appproxy="edge-3")[0].units == ("headrace-appproxy.service",)


def test_one_that_joined_beside_those_of_init_is_installed_by_its_name_alone(
    tmp_path: Path, host: FolderAsHost
) -> None:
    folder = joined(made(tmp_path), "autoscaler")
    install(folder, host)
    unit = host.root / "etc/systemd/system/headrace-autoscaler.service"
    assert "/settings/autoscaler.toml\n" in unit.read_text()
    install(folder, host, ServiceName.AUTOSCALER, autoscaler="edge-2")
    assert "/settings/edge-2.toml\n" in unit.read_text()


def test_replica_ports_that_the_process_runtime_cannot_close_are_refused(tmp_path: Path, host: FolderAsHost) -> None:
    folder = joined(tmp_path / "etc", "agent")
    settings = folder / "settings/edge-2.toml"
    settings.write_text(settings.read_text() + 'replica_ports_from = ["10.0.1.4"]\n')
    install(folder, host)
    settings.write_text(settings.read_text() + 'runtime = "process"\n')
    with pytest.raises(InstallError, match=r"edge-2\.toml: found replica_ports_from; allowed with runtime"):
        install(folder, host)


def test_a_machine_with_the_files_of_one_agent_needs_no_name(tmp_path: Path, host: FolderAsHost) -> None:
    whole = made(tmp_path, "gpu-1=10.0.0.5")
    copied = tmp_path / "copied"
    for path in ("settings/gpu-1.toml", "bus/gpu-1.creds", "tls/ca.crt"):
        (copied / path).parent.mkdir(parents=True, exist_ok=True)
        (copied / path).write_bytes((whole / path).read_bytes())
    assert install(copied, host)[0].units == (AGENT,)
    (copied / "bus/gpu-1.creds").unlink()
    with pytest.raises(InstallError, match=re.escape(f"{copied} lacks bus/gpu-1.creds, which the agent needs")):
        install(copied, host)


@pytest.mark.parametrize(
    ("services", "agent", "why"),
    [
        ((), "gpu-9", "--agent: found gpu-9; allowed: gpu-1, gpu-2"),
        ((ServiceName.AGENT,), "", "found the agents gpu-1, gpu-2; allowed: --agent NAME"),
    ],
)
def test_an_agent_that_is_not_clear_is_refused(
    tmp_path: Path, host: FolderAsHost, services: tuple[ServiceName, ...], agent: str, why: str
) -> None:
    folder = made(tmp_path, "gpu-1=10.0.0.5", "gpu-2=10.0.0.6")
    with pytest.raises(InstallError, match=why):
        install(folder, host, *services, agent=agent)
    assert host.files() == []


def test_a_folder_without_settings_is_refused(tmp_path: Path, host: FolderAsHost) -> None:
    with pytest.raises(InstallError, match="found no settings of a service"):
        install(tmp_path, host)


def test_an_interpreter_that_services_cannot_reach_is_refused(tmp_path: Path, host: FolderAsHost) -> None:
    for path, why in (
        (Path("/root/venv/bin/python"), "below /root, which units hide"),
        (Path("/tmp/venv/bin/python"), "below /tmp, which"),
    ):
        with pytest.raises(InstallError, match=why):
            install_steps(made(tmp_path), host, python=path)


def test_a_machine_that_joined_an_installation_of_a_public_authority_verifies_by_the_systems(
    tmp_path: Path, host: FolderAsHost
) -> None:
    for path in ("settings/gpu-1.toml", "bus/gpu-1.creds"):
        (tmp_path / "etc" / path).parent.mkdir(parents=True)
        (tmp_path / "etc" / path).write_text('runtime = "docker"\n')
    assert install(tmp_path / "etc", host)[0].units == (AGENT,)
    unit = (host.root / f"etc/systemd/system/{AGENT}").read_text()
    assert "Environment=HEADRACE_AGENT_NATS_CREDENTIALS=%d/gpu-1.creds\n" in unit
    assert "ca.crt" not in unit
    assert "CA_FILE" not in unit
    (tmp_path / "etc/settings/gpu-1.toml").write_text(f'runtime = "docker"\nca_file = "{tmp_path}/etc/tls/ca.crt"\n')
    with pytest.raises(InstallError, match=r"lacks tls/ca\.crt, which the agent needs"):
        install(tmp_path / "etc", host)


def test_uninstalling_leaves_the_data_and_says_where(tmp_path: Path, host: FolderAsHost) -> None:
    data = host.root / "var/lib/headrace"
    install(made(tmp_path), host)
    for name in ("folders", "appproxy", "agents/agent-1"):
        (data / name).mkdir(parents=True)
    host.ran = []
    steps = uninstall_steps(host)
    perform(steps.steps, host)
    assert host.files() == []
    assert "systemctl disable --now headrace-appproxy.socket headrace-appproxy.service" in host.ran
    assert host.ran[-1] == "systemctl daemon-reload"
    assert f"{data}/folders is left: the data of the manager" in steps.notes
    assert "nft" not in " ".join(steps.notes)
    assert (data / "agents/agent-1").is_dir()
    assert uninstall_steps(host) == Steps((), ())
    (note,) = uninstall_steps(host, delete_data=True).notes
    assert "remove it by hand" in note


def test_uninstalling_says_which_replica_ports_stay_closed(tmp_path: Path, host: FolderAsHost) -> None:
    install(made(tmp_path), host)
    host.tables = {port_filter_table(Path("/var/lib/headrace/agents/agent-1"))}
    (note,) = [note for note in uninstall_steps(host).notes if "nft" in note]
    assert note.endswith(f"nft delete table inet {next(iter(host.tables))}")


def test_uninstalling_with_the_data_ends_replicas_first(tmp_path: Path, host: FolderAsHost) -> None:
    elsewhere = Path("/data")  # below the host's root
    install(made(tmp_path, data=elsewhere), host)
    agent, folders = host.root / "data/agents/agent-1", host.root / "data/folders"
    for path in (agent, folders):
        path.mkdir(parents=True)
    host.ran = []
    perform(uninstall_steps(host, services=[ServiceName.AGENT], delete_data=True).steps, host)
    assert host.ran[:2] == [
        f"systemctl disable --now {AGENT}",
        f"systemctl kill --kill-who=all --signal=SIGKILL {AGENT}",
    ]
    assert not agent.exists()
    assert folders.exists()
    assert sorted(path.split("/")[-1] for path in host.files() if "sysusers" in path) == ["headrace.conf"]


def test_uninstalling_with_the_data_of_an_agent_without_replicas_goes_on(tmp_path: Path, host: FolderAsHost) -> None:
    """As systemd answers, which forgets a stopped unit that has no process; any other error of it ends the run."""
    install(made(tmp_path, data=Path("/data")), host)
    agent = host.root / "data/agents/agent-1"
    agent.mkdir(parents=True)
    host.fails, host.why = "systemctl kill", "Failed to kill unit: Connection timed out"
    with pytest.raises(InstallError, match="timed out"):
        perform(uninstall_steps(host, services=[ServiceName.AGENT], delete_data=True).steps, host)
    host.why = f"Failed to kill unit {AGENT}: Unit {AGENT} not loaded."
    perform(uninstall_steps(host, services=[ServiceName.AGENT], delete_data=True).steps, host)
    assert not agent.exists()
    assert not any(AGENT in path for path in host.files())
