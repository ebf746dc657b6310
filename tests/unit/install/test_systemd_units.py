"""Units for systemd: what systemd itself says of them, and that they hand each service what its settings name."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from datetime import UTC, datetime
from pathlib import Path

import pytest

from headrace.install.errors import InstallError
from headrace.install.make import make
from headrace.install.plan import Choices, Layout
from headrace.install.systemd.units import Chosen, ServiceName, needed, rendered

NOW = datetime(2026, 11, 30, 12, tzinfo=UTC)
DEPLOY = Path(__file__).parents[3] / "deploy/systemd"
MOST_EXPOSED = 4.0
NAMES = {"manager": "manager", "appproxy": "proxy-1", "autoscaler": "autoscaler", "agent": "gpu-1"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    choices = Choices(url="https://ml.example.com", layout=Layout.HOST, agents=["gpu-1=10.0.0.5"])
    return make(tmp_path / "etc", choices, NOW).folder


def chosen(folder: Path, **changed: object) -> list[Chosen]:
    """Return all four services with their settings of the folder."""
    return [
        Chosen(service, name, {**tomllib.loads((folder / f"settings/{name}.toml").read_text()), **changed})
        for service, name in ((ServiceName(kind), name) for kind, name in NAMES.items())
    ]


def written(files: dict[str, str], below: Path) -> Path:
    """Write the files below a folder, as on a machine of its own; return that of the units."""
    for path, text in files.items():
        (below / path).parent.mkdir(parents=True, exist_ok=True)
        (below / path).write_text(text)
    return below / "etc/systemd/system"


def judged(*command: str) -> str:
    """Run systemd-analyze, which must succeed; return all that it says."""
    done = subprocess.run(["systemd-analyze", *command], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.mark.parametrize("runtime", ["docker", "process"])
def test_systemd_finds_nothing_to_say(tmp_path: Path, folder: Path, runtime: str) -> None:
    """It succeeds on unknown keys, too: any output counts."""
    units = written(rendered(chosen(folder, runtime=runtime), folder, Path(sys.executable)), tmp_path / "root")
    assert judged("verify", *(str(path) for path in units.glob("headrace-*.*") if path.is_file())) == ""


@pytest.mark.parametrize("runtime", ["docker", "process"])
def test_every_service_is_little_exposed(tmp_path: Path, folder: Path, runtime: str) -> None:
    units = written(rendered(chosen(folder, runtime=runtime), folder, Path(sys.executable)), tmp_path / "root")
    for service in ServiceName:
        said = judged("security", "--offline=true", str(units / service.unit))
        level = re.search(r"Overall exposure level for \S+: ([\d.]+)", said)
        assert level is not None, said
        assert float(level[1]) <= MOST_EXPOSED, said


def test_the_units_of_the_repository_are_those_that_are_installed() -> None:
    shipped = {path.name: path.read_text() for path in DEPLOY.glob("headrace-*.*") if path.is_file()}
    assert len(shipped) == 5
    plain = [Chosen(service, "", {}) for service in ServiceName]
    files = rendered(plain, Path("/etc/headrace"), Path("/opt/headrace/bin/python"))
    assert {Path(path).name: text for path, text in files.items() if "/headrace-" in path} == shipped


@pytest.mark.parametrize("service", list(ServiceName))
def test_a_service_gets_every_file_that_its_settings_name_and_no_other(folder: Path, service: ServiceName) -> None:
    """A path below the folder that no credential replaces would be one that the service may not read."""
    one = next(one for one in chosen(folder) if one.service is service)
    text = rendered([one], folder, Path(sys.executable))[f"etc/systemd/system/{service.unit}"]
    named = {key: value for key, value in one.settings.items() if str(value).startswith(f"{folder}/")}
    prefix = f"HEADRACE_{service.upper()}_"
    given = dict(re.findall(rf"^Environment={prefix}(\w+)=%d/(\S+)$", text, re.MULTILINE))
    credentials = dict(re.findall(r"^LoadCredential=(\S+):(\S+)$", text, re.MULTILINE))
    assert {key.lower(): credentials[file] for key, file in given.items()} == {
        "config": f"{folder}/settings/{one.name}.toml",
        **named,
    }
    assert sorted(credentials.values()) == sorted(f"{folder}/{path}" for path in needed(service, one.name))


def test_a_folder_of_data_elsewhere_is_made_and_may_be_written_to(folder: Path) -> None:
    at = {
        service: Chosen(service, "gpu-1", {"data_dir": "/data/x", "folders_root": "/data/x", "runtime": runtime})
        for service, runtime in ((ServiceName.MANAGER, ""), (ServiceName.AGENT, "process"))
    }
    for service, line in (
        (ServiceName.MANAGER, "d /data/x 0750 headrace-manager headrace -\n"),
        (ServiceName.AGENT, "d /data/x 0700 headrace-agent headrace -\n"),
    ):
        files = rendered([at[service]], folder, Path("/opt/x/bin/python"))
        assert files[f"etc/tmpfiles.d/headrace-{service}.conf"] == line
        unit = files[f"etc/systemd/system/{service.unit}"]
        assert "\nReadWritePaths=/data/x\n" in unit
        assert "StateDirectory" not in unit


def test_a_folder_of_data_below_var_lib_is_systemds(folder: Path) -> None:
    one = Chosen(ServiceName.AGENT, "gpu-1", {"data_dir": "/var/lib/ml/gpu-1"})
    files = rendered([one], folder, Path("/opt/x/bin/python"))
    assert "\nStateDirectory=ml/gpu-1\nStateDirectoryMode=0700\n" in files["etc/systemd/system/headrace-agent.service"]
    assert not any("tmpfiles" in path for path in files)


def test_the_socket_is_where_the_app_proxy_listens(folder: Path) -> None:
    for host, port, said in (("127.0.0.1", 80, "127.0.0.1:80"), ("::", 8000, "[::]:8000")):
        one = Chosen(ServiceName.APPPROXY, "proxy-1", {"listen_host": host, "listen_port": port})
        socket = rendered([one], folder, Path("/x/python"))["etc/systemd/system/headrace-appproxy.socket"]
        assert f"\nListenStream={said}\n" in socket


@pytest.mark.parametrize("path", ["/etc/head race", "/etc/100%", "/etc/a:b", "/etc/a\nb", "relative"])
def test_a_path_that_means_something_else_in_a_unit_is_refused(path: str) -> None:
    with pytest.raises(InstallError, match="allowed in a unit: an absolute path"):
        rendered([], Path(path), Path("/opt/headrace/bin/python"))
