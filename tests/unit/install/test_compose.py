"""The compose project of an installation: what each container is given, and how little it may do."""

from __future__ import annotations

import os
import re
import tomllib
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

from headrace.install.compose.distribute import MAX_FILE_BYTES, Part, distribute, main, parsed
from headrace.install.errors import InstallError
from headrace.install.files import IN_CONTAINERS
from headrace.install.make import Made, make, rotate
from headrace.install.plan import Choices

NOW = datetime(2026, 11, 30, 12, tzinfo=UTC)
ROOT = Path(__file__).parents[3]
SETTINGS = {"manager": "manager", "autoscaler": "autoscaler", "appproxy": "proxy-1", "agent": "agent-1"}
CONFIGURATION = {"postgres": "postgres/headrace.conf", "nats": "nats/nats.conf", "valkey": "redis/redis.conf"}


@pytest.fixture
def made(tmp_path: Path) -> Made:
    return make(tmp_path / "etc", Choices(url="https://ml.example.com"), NOW)


@pytest.fixture
def project(made: Made) -> dict[str, Any]:
    return dict(yaml.safe_load((made.folder / "compose.yaml").read_text()))


def parts(project: dict[str, Any]) -> dict[str, Part]:
    return {part.name: part for part in map(parsed, project["services"]["files"]["command"])}


@pytest.fixture
def me() -> str:
    return f"{os.getuid()}:{os.getgid()}"


def test_each_part_is_given_every_file_that_its_configuration_names_and_all_of_them_exist(
    made: Made, project: dict[str, Any]
) -> None:
    given = {name: {str(source) for source, _ in part.files} for name, part in parts(project).items()}
    for name, file in {**{part: f"settings/{name}.toml" for part, name in SETTINGS.items()}, **CONFIGURATION}.items():
        named = set(re.findall(rf"{IN_CONTAINERS}/([^\s'\"]+)", (made.folder / file).read_text()))
        assert named | {file} <= given[name] | {"postgres/headrace.conf"}, name
    for files in given.values():
        assert not [file for file in files if not (made.folder / file).is_file()]
        assert "installation.json" not in files
        assert "bus/system.creds" not in files


def test_a_part_is_given_no_key_or_identity_of_another(project: dict[str, Any]) -> None:
    secrets = [
        str(source)
        for part in parts(project).values()
        for source, _ in part.files
        if source.suffix in {".key", ".creds"}
    ]
    assert len(secrets) == len(set(secrets))


def test_containers_have_a_read_only_root_no_privileges_and_limits(project: dict[str, Any]) -> None:
    with_capabilities = set()
    for name, service in project["services"].items():
        assert service["read_only"] is True, name
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert service["mem_limit"], name
        assert service["pids_limit"], name
        assert service["logging"]["options"]["max-size"], name
        assert "privileged" not in service, name
        if "cap_add" in service:
            with_capabilities.add(name)
        if service.get("user", "").startswith("0:"):
            assert name == "files"
    assert with_capabilities == {"files", "agent"}
    holders = [name for name, one in project["services"].items() if "docker.sock" in str(one.get("volumes"))]
    assert holders == ["agent"]


def test_stores_are_on_a_network_without_a_way_in_and_only_the_api_is_published(project: dict[str, Any]) -> None:
    assert project["networks"]["stores"]["internal"] is True
    for store in ("postgres", "nats", "valkey"):
        assert list(project["services"][store]["networks"]) == ["stores"]
    published = {name for name, service in project["services"].items() if "ports" in service}
    assert published - {"grafana"} == {"api"}


def test_the_file_of_deploy_is_the_one_that_init_writes(made: Made) -> None:
    assert (ROOT / "deploy/compose.yaml").read_text() == (made.folder / "compose.yaml").read_text()


def test_images_are_those_of_the_version_that_made_the_files(made: Made) -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert f"HEADRACE_VERSION={version}\n" in (made.folder / ".env").read_text()


@pytest.mark.parametrize(
    "steps",
    [
        ("database-password",),
        ("redis-password",),
        ("scrape-key",),
        ("certificates",),
        ("ca", "ca-issue", "ca-finish"),
        ("secrets-key", "secrets-key-use", "secrets-key-finish"),
        ("bus-signing",),
        ("bus:agent-1",),
    ],
)
def test_a_rotation_brings_containers_their_files_before_anything_is_restarted(
    made: Made, steps: tuple[str, ...]
) -> None:
    """They have copies: one that was restarted without would know the former secret only, at each step."""
    for step in steps:
        first, *others = rotate(made.folder, step, NOW).steps
        assert first.startswith("Run docker compose up -d: it brings the new files to each part")
        assert "compose up" not in " ".join(others), "once is enough"


def test_other_options_bring_containers_their_files_first(made: Made) -> None:
    first, *others = make(made.folder, Choices(url="https://other.example.com:444"), NOW).steps
    assert first.startswith("Run docker compose up -d: it brings the new files to each part, and starts anew")
    said = " ".join(others)
    assert "docker compose restart manager-1; when it is healthy, manager-2" in said
    assert "compose up" not in said


def test_the_step_of_a_new_database_password_names_the_file_that_the_container_has(
    made: Made, project: dict[str, Any]
) -> None:
    said = " ".join(rotate(made.folder, "database-password", NOW).steps)
    given = {f"{IN_CONTAINERS}/{target}" for _, target in parts(project)["postgres"].files}
    (named,) = re.findall(r"psql -U postgres -f (\S+) headrace", said)
    assert named in given


def test_machines_that_join_by_docker_run_the_image_of_the_project_s_agent(project: dict[str, Any]) -> None:
    for name in ("manager-1", "manager-2"):
        environment = project["services"][name]["environment"]
        assert environment["HEADRACE_MANAGER_ID"] == name
        assert environment["HEADRACE_MANAGER_AGENT_IMAGE"] == project["services"]["agent"]["image"]


@pytest.mark.parametrize(
    ("url", "port"),
    [
        ("http://ml.example.com:9000", 9000),
        ("http://ml.example.com", 8000),
        ("https://ml.example.com:8443", 8000),
    ],
)
def test_endpoints_listen_at_their_port_unless_that_is_privileged_or_tls_ends_before_them(
    tmp_path: Path, url: str, port: int
) -> None:
    folder = make(tmp_path / "etc", Choices(url="https://ml.example.com", proxy_url=url), NOW).folder
    assert tomllib.loads((folder / "settings/proxy-1.toml").read_text())["listen_port"] == port
    assert f"HEADRACE_PROXY_PORT={port}\n" in (folder / ".env").read_text()


def test_distributing_again_replaces_only_what_differs(tmp_path: Path, me: str) -> None:
    source, target = tmp_path / "etc", tmp_path / "parts/nats"
    (source / "tls").mkdir(parents=True)
    target.mkdir(parents=True)
    (source / "tls/nats.key").write_text("one")
    (source / "nats.conf").write_text("two")
    part = parsed(f"nats {me} tls/nats.key nats.conf=conf/nats.conf")
    assert distribute(source, target, part) == ["tls/nats.key", "nats.conf"]
    assert (target / "tls/nats.key").read_text() == "one"
    assert (target / "conf/nats.conf").stat().st_mode & 0o777 == 0o600
    assert target.stat().st_mode & 0o777 == 0o700
    assert distribute(source, target, part) == []
    (target / "tls/nats.key").chmod(0o644)
    (source / "nats.conf").write_text("three")
    (target / "conf/.nats.conf.new").write_text("left by a run that was killed")
    assert distribute(source, target, part) == ["nats.conf"]
    assert (target / "conf/nats.conf").read_text() == "three"
    assert (target / "tls/nats.key").stat().st_mode & 0o777 == 0o600
    assert [path.name for path in (target / "conf").iterdir()] == ["nats.conf"]


@pytest.mark.parametrize(
    "text", ["nats", "nats 1:1 ../secret", "nats 1:1 /etc/passwd", "nats 1:1 a=../b", "../nats 1:1 a", "nats root:0 a"]
)
def test_parts_that_lead_elsewhere_are_refused(text: str) -> None:
    with pytest.raises(InstallError, match="allowed: 'NAME UID:GID"):
        parsed(text)


def test_what_cannot_be_distributed_is_one_line_that_names_it(
    tmp_path: Path, me: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "parts/nats").mkdir(parents=True)
    assert main([str(tmp_path), str(tmp_path / "parts"), f"nats {me} nats.conf"]) == 1
    assert capsys.readouterr().err == f"nats: {tmp_path}/nats.conf cannot be used: No such file or directory\n"
    (tmp_path / "nats.conf").write_bytes(b"x" * (MAX_FILE_BYTES + 1))
    assert main([str(tmp_path), str(tmp_path / "parts"), f"nats {me} nats.conf"]) == 1
    assert "with more than 1048576 bytes" in capsys.readouterr().err
    assert main([]) == 2
