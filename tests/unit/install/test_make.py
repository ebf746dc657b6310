"""`headrace init`: what it makes, that it may be run again, what it mends and what it refuses."""

from __future__ import annotations

import json
import os
import re
import tomllib
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from ipaddress import ip_network
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.exceptions import InvalidSignature

from headrace.agent.settings import Settings as Agent
from headrace.appproxy.settings import Settings as AppProxy
from headrace.autoscaler.settings import Settings as Autoscaler
from headrace.common.runtime.files import write_atomically
from headrace.common.runtime.settings import ServiceSettings
from headrace.install import folder as folders
from headrace.install.errors import InstallError
from headrace.install.files import rendered
from headrace.install.folder import Found
from headrace.install.make import Made, make, rotate, show
from headrace.install.plan import Choices, Layout, planned
from headrace.install.rotation import authority_step, secrets_key_step
from headrace.install.state import bus_users, completed
from headrace.manager.domain.addresses import AddressPolicy
from headrace.manager.settings import Settings as Manager

NOW = datetime(2026, 11, 30, 12, tzinfo=UTC)
CHOICES = Choices(url="https://ml.example.com")
SERVERS = ("api", "nats", "database", "redis", "grafana")


def tree(folder: Path) -> dict[str, tuple[bytes, int]]:
    """Return path → content and mode of all files."""
    return {
        str(path.relative_to(folder)): (path.read_bytes(), path.stat().st_mode & 0o777)
        for path in folder.rglob("*")
        if path.is_file()
    }


@pytest.fixture
def made(tmp_path: Path) -> Made:
    return make(tmp_path / "etc", CHOICES, NOW)


def test_secret_files_are_their_owner_s_only_and_the_folder_too(made: Made) -> None:
    assert made.folder.stat().st_mode & 0o777 == 0o700
    for entry in made.entries:
        assert (made.folder / entry.path).stat().st_mode & 0o777 == (0o600 if entry.secret else 0o644), entry.path
    assert {entry.path for entry in made.entries} == set(tree(made.folder))


def test_no_file_that_others_may_read_holds_a_secret(made: Made) -> None:
    state = json.loads((made.folder / "installation.json").read_text())
    secrets = [
        *state["passwords"].values(),
        state["secret_key"],
        state["admin_key"],
        state["operator"],
        *(seed[part] for seed in state["accounts"].values() for part in ("identity", "signing")),
        *(identity["seed"] for identity in state["identities"].values()),
    ]
    for path, (content, mode) in tree(made.folder).items():
        if mode != 0o600:
            assert b"PRIVATE KEY" not in content, path
            assert not [secret for secret in secrets if secret.encode() in content], path
    assert not [secret for secret in secrets if secret in repr(made)]


def test_only_managers_have_what_signs_machines_and_nobody_has_another_s_identity(made: Made) -> None:
    state = json.loads((made.folder / "installation.json").read_text())
    signing = [state["operator"], *(seed[p] for seed in state["accounts"].values() for p in ("identity", "signing"))]
    signing.append(state["authorities"][0]["key"])
    theirs = {state["accounts"]["EDGE"]["signing"]}
    seeds = {name: identity["seed"] for name, identity in state["identities"].items()}
    for path, (content, _) in tree(made.folder).items():
        if path != "installation.json":
            managers = path == "bus/signing.json"
            found = {secret for secret in signing if secret.encode() in content}
            assert found == (theirs if managers else set()), path
            assert (state["operator_signing"].encode() in content) == managers, path
            own = {"manager-system"} if managers else {Path(path).stem}
            assert {name for name, seed in seeds.items() if seed.encode() in content} <= own, path


def test_an_installation_of_a_version_before_joining_gets_its_keys_and_says_what_to_restart(made: Made) -> None:
    file = made.folder / "installation.json"
    state = json.loads(file.read_text())
    del state["operator_signing"], state["identities"]["manager-system"]
    file.write_text(json.dumps(state))
    again = make(made.folder, Choices(), NOW)
    assert {entry.path for entry in again.changed} >= {"nats/nats.conf", "bus/signing.json"}
    assert [step for step in again.steps if "Restart NATS" in step]
    assert json.loads(file.read_text())["operator"] == state["operator"]


def test_a_second_run_changes_nothing(made: Made) -> None:
    before = tree(made.folder)
    again = make(made.folder, Choices(), NOW + timedelta(days=3))
    assert again.changed == ()
    assert make(made.folder, CHOICES, NOW + timedelta(days=3)).changed == ()
    assert tree(made.folder) == before
    assert show(made.folder, NOW).changed == ()


@pytest.mark.parametrize("lost", ["tls/ca.crt", "bus/manager.creds", "settings/manager.toml", ".env"])
def test_a_file_that_is_lost_comes_back_as_it_was(made: Made, lost: str) -> None:
    before = tree(made.folder)
    (made.folder / lost).unlink()
    again = make(made.folder, Choices(), NOW)
    assert [entry.path for entry in again.changed] == [lost]
    assert tree(made.folder) == before


def test_a_run_that_is_killed_after_any_file_is_completed_by_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    count = 0
    whole = len(tree(make(tmp_path / "whole", CHOICES, NOW).folder))

    def killed(path: Path, content: str) -> None:
        nonlocal count
        count -= 1
        if count < 0:
            path.with_name(f".{path.name}.1.new").write_text("half")
            raise KeyboardInterrupt
        write_atomically(path, content)

    monkeypatch.setattr(folders, "write_atomically", killed)
    for files in range(whole + 1):
        folder = tmp_path / str(files)
        count = files
        with pytest.raises(KeyboardInterrupt):
            make(folder, CHOICES, NOW)
        count = 1000
        made = make(folder, CHOICES, NOW)
        assert make(folder, CHOICES, NOW).changed == ()
        assert not [entry for entry in made.entries if entry.found is Found.EDITED]
        assert len(tree(folder)) == whole


def test_a_file_that_somebody_changed_is_left_and_said(made: Made) -> None:
    file = made.folder / "settings/proxy-1.toml"
    file.write_text(file.read_text() + "workers = 4\n")
    again = make(made.folder, Choices(names=["other.example.com"]), NOW)
    assert "workers = 4" in file.read_text()
    assert [entry.path for entry in again.entries if entry.found is Found.EDITED] == ["settings/proxy-1.toml"]


def test_a_secret_that_others_could_read_is_closed_again(made: Made) -> None:
    (made.folder / "admin.key").chmod(0o644)
    again = make(made.folder, Choices(), NOW)
    assert [(entry.path, entry.found) for entry in again.changed] == [("admin.key", Found.MODE)]
    assert (made.folder / "admin.key").stat().st_mode & 0o777 == 0o600


def test_a_further_name_makes_new_certificates_of_the_api_the_bus_and_grafana_only(made: Made) -> None:
    again = make(made.folder, Choices(names=["10.1.2.3"]), NOW)
    written = {entry.path for entry in again.changed}
    names = ("api", "nats", "grafana")
    assert written == {"installation.json", *(f"tls/{name}.{kind}" for name in names for kind in ("crt", "key"))}
    certificate = x509.load_pem_x509_certificate((made.folder / "tls/api.crt").read_bytes())
    hosts = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert "10.1.2.3" in map(str, hosts.get_values_for_type(x509.IPAddress))
    assert "ml.example.com" in hosts.get_values_for_type(x509.DNSName)


SERVICES: dict[str, type[ServiceSettings]] = {
    "manager": Manager,
    "proxy-1": AppProxy,
    "autoscaler": Autoscaler,
    "agent-1": Agent,
}


@pytest.mark.parametrize("layout", list(Layout))
@pytest.mark.parametrize("service", list(SERVICES))
def test_each_service_reads_its_settings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, service: str, layout: Layout
) -> None:
    folder = make(tmp_path / "etc", Choices(url="https://ml.example.com", layout=layout), NOW).folder
    kind = SERVICES[service]
    monkeypatch.setenv(f"{kind.model_config['env_prefix']}CONFIG", str(folder / f"settings/{service}.toml"))
    settings = kind()
    assert str(settings.ca_file).endswith("/tls/ca.crt")
    at = "/etc/headrace" if layout is Layout.COMPOSE else str(folder)
    values = tomllib.loads((folder / f"settings/{service}.toml").read_text())
    for path in [value for value in values.values() if isinstance(value, str) and value.startswith(at)]:
        assert (folder / path.removeprefix(f"{at}/")).exists(), path


def test_files_hold_addresses_as_they_were_given(tmp_path: Path) -> None:
    given = Choices(
        url="https://[2001:db8::1]:8443",
        layout=Layout.HOST,
        database="db.example.com:5433",
        redis="cache.example.com",
        nats="10.0.0.9",
        data=tmp_path / "data",
        agents=["gpu-1=10.0.0.5"],
    )
    folder = make(tmp_path / "etc", given, NOW).folder
    manager = tomllib.loads((folder / "settings/manager.toml").read_text())
    assert re.match(
        r"postgresql://headrace:p[0-9a-f]{40}@db\.example\.com:5433/headrace\?sslmode=verify-full$",
        manager["database_url"],
    )
    assert manager["nats_url"] == "tls://10.0.0.9:4222"
    assert manager["listen_port"] == 8443
    assert manager["public_proxy_url"] == "http://[2001:db8::1]:8000"
    proxy = tomllib.loads((folder / "settings/proxy-1.toml").read_text())
    assert proxy["redis_url"].endswith("@cache.example.com:6379/0")
    assert tomllib.loads((folder / "settings/gpu-1.toml").read_text())["advertise_host"] == "10.0.0.5"
    agent = tomllib.loads((folder / "settings/gpu-1.toml").read_text())
    assert (agent["folder_access"], agent.get("folders_root")) == ("fetch", None)
    assert agent["manager_urls"] == [tomllib.loads((folder / "settings/manager.toml").read_text())["public_url"]]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (Choices(), "a new installation needs --url; allowed: https://HOST"),
        (Choices(url="http://ml.example.com"), "--url: found http://ml.example.com; allowed: https://HOST"),
        (Choices(url="https://"), "--url: found https://; allowed"),
        (Choices(url="https://ml.example.com/api"), "--url: found"),
        (Choices(url="https://me:secret@ml.example.com"), "--url: found"),
        (Choices(url="https://a_b"), "--url: found"),
        (Choices(url="https://ml.example.com:0"), "--url: found"),
        (Choices(url="https://ml.example.com:99999"), "--url: found"),
        (Choices(url="https://x", proxy_url="ftp://x"), "--proxy-url: found ftp://x; allowed: http://"),
        (
            Choices(url="https://x", database="postgresql://x"),
            "--database: found postgresql://x; allowed: HOST or HOST:PORT",
        ),
        (Choices(url="https://x", nats="x:y"), "--nats: found x:y; allowed"),
        (Choices(url="https://x", names=["*"]), "--name: found *; allowed: a host name"),
        (Choices(url="https://x", agents=["GPU"]), "--agent: found GPU; allowed: NAME or NAME=ADDRESS"),
        (
            Choices(url="https://x", agents=["manager"]),
            "--agent: found manager, which is reserved; allowed: a name other",
        ),
        (Choices(url="https://x", agents=["proxy-1"]), "--agent: found proxy-1, which is reserved"),
        (Choices(url="https://x", agents=["system"]), "--agent: found system, which is reserved"),
        (Choices(url="https://x", agents=["gpu\n1"]), r"--agent: found gpu\n1; allowed: NAME"),
        (
            Choices(url="https://x", agents=["gpu-1=999.1.1.1"]),
            "--agent: found gpu-1=999.1.1.1; allowed: an IP address",
        ),
        (Choices(url="https://x", agents=["gpu-1=gpu.example.com"]), "allowed: an IP address, at which app-proxies"),
        (
            Choices(url="https://x", agents=["gpu-1=fe80::1"]),
            "allowed: an address that managers accept: none of link-local",
        ),
        (Choices(url="https://x", agents=["gpu-1=fe80::1%eth0"]), "allowed: an IP address"),
        (Choices(url="https://x", agents=["gpu-1=0.0.0.0"]), "allowed: an address that managers accept"),
        (Choices(url="https://999.1.1.1"), "--url: found https://999.1.1.1; allowed"),
        (
            Choices(url="https://x", data=Path("/tmp/a\nb")),
            r"--data-dir: found /tmp/a\nb; allowed: a path without control",
        ),
        (Choices(url="https://x", data=Path('/tmp/a"b')), "allowed: a path without control characters, quotes"),
        (Choices(url="https://x", data=Path("data")), "--data-dir: found data; allowed: an absolute path"),
    ],
)
def test_wrong_options_are_refused_and_leave_no_folder(tmp_path: Path, given: Choices, said: str) -> None:
    with pytest.raises(InstallError, match=re.escape(said)):
        make(tmp_path / "etc", given, NOW)
    assert not (tmp_path / "etc").exists()


def test_on_a_host_data_is_where_it_was_asked_for_also_with_the_files_where_containers_have_them() -> None:
    state = completed(planned(Choices(url="https://ml.example.com", layout=Layout.HOST), None), None, NOW)
    files = rendered(state, Path("/etc/headrace"))
    assert ".env" not in files
    assert 'dir "/var/lib/headrace/redis"' in files["redis/redis.conf"].content
    assert 'store_dir: "/var/lib/headrace/nats"' in files["nats/nats.conf"].content


def test_the_layout_stays() -> None:
    stored = planned(CHOICES, None)
    with pytest.raises(InstallError, match="--layout: found host; allowed: compose"):
        planned(Choices(layout=Layout.HOST), stored)


def test_a_folder_with_other_files_is_not_taken(tmp_path: Path) -> None:
    (tmp_path / "notes").write_text("mine")
    before = tree(tmp_path)
    acts: list[Callable[[], Made]] = [lambda: make(tmp_path, CHOICES, NOW), lambda: rotate(tmp_path, "ca", NOW)]
    for act in acts:
        with pytest.raises(InstallError, match=r"holds other files \(notes\); allowed: a new or empty folder"):
            act()
    assert tree(tmp_path) == before


def test_a_file_in_place_of_the_folder_is_said(tmp_path: Path) -> None:
    (tmp_path / "etc").write_text("")
    with pytest.raises(InstallError, match="cannot be used: Not a directory"):
        make(tmp_path / "etc", CHOICES, NOW)


def test_a_folder_of_another_account_is_not_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "etc").mkdir()
    monkeypatch.setattr(os, "geteuid", lambda: 4242)
    with pytest.raises(InstallError, match=r"belongs to uid \d+ and this is uid 4242"):
        make(tmp_path / "etc", CHOICES, NOW)
    assert tree(tmp_path) == {}


def test_two_runs_at_once_are_refused(made: Made) -> None:
    with (
        folders.opened(made.folder, create=True),
        pytest.raises(InstallError, match="another `headrace init` works on"),
    ):
        make(made.folder, Choices(), NOW)


def test_nothing_is_shown_or_rotated_where_nothing_was_made(tmp_path: Path) -> None:
    acts: list[Callable[[], Made]] = [lambda: show(tmp_path, NOW), lambda: rotate(tmp_path / "new", "ca", NOW)]
    for act in acts:
        with pytest.raises(InstallError, match="holds no installation"):
            act()
    assert tree(tmp_path) == {}
    assert not (tmp_path / "new").exists()


def test_a_broken_state_is_said_without_its_content(made: Made) -> None:
    file = made.folder / "installation.json"
    before = json.loads(file.read_text())
    file.write_text(json.dumps({**before, "secret_key": 5}))
    with pytest.raises(InstallError, match=r"installation\.json cannot be read \(secret_key\)") as error:
        make(made.folder, Choices(), NOW)
    assert before["operator"] not in str(error.value)


def test_a_clock_outside_the_authority_s_time_is_said_and_nothing_changes(made: Made) -> None:
    before = tree(made.folder)
    acts: list[Callable[[datetime], Made]] = [
        lambda at: make(made.folder, Choices(names=["x"]), at),
        lambda at: rotate(made.folder, "certificates", at),
    ]
    for moment in (NOW - timedelta(days=400), NOW + timedelta(days=4000)):
        for act in acts:
            with pytest.raises(InstallError, match=f"the clock of this machine says {moment:%Y-%m-%d}.*set the clock"):
                act(moment)
    assert tree(made.folder) == before


def test_certificates_that_end_soon_are_pointed_out(made: Made) -> None:
    assert make(made.folder, Choices(), NOW).notes == ()
    *notes, _ = make(made.folder, Choices(), NOW + timedelta(days=800)).notes
    assert [note.split()[0] for note in notes] == [f"tls/{name}.crt" for name in SERVERS]
    assert all("headrace init --rotate certificates" in note for note in notes)


def test_identities_that_are_older_than_a_year_are_pointed_out_until_they_are_rotated(made: Made) -> None:
    assert make(made.folder, Choices(), NOW + timedelta(days=365)).notes == ()
    later = NOW + timedelta(days=366)
    names = [user.name for user in bus_users(made.state.plan)]
    (note,) = make(made.folder, Choices(), later).notes
    assert note.startswith(", ".join(f"bus/{name}.creds" for name in sorted(names)[:5]))
    assert "headrace init --rotate bus:NAME" in note
    for name in names:
        rotate(made.folder, f"bus:{name}", later)
    assert make(made.folder, Choices(), later).notes == ()
    many = [f"gpu-{number}=10.0.0.{number}" for number in range(1, 9)]
    make(made.folder, Choices(agents=many), later)
    (note,) = make(made.folder, Choices(), later + timedelta(days=366)).notes
    assert note.count(".creds") == 5
    assert f"and {len(names) + 8 - 5} more" in note


ROTATED = {
    "database-password": {"settings/manager.toml", "postgres/roles.sql"},
    "redis-password": {"settings/proxy-1.toml", "settings/autoscaler.toml", "redis/redis.conf"},
    "certificates": {f"tls/{name}.{kind}" for name in SERVERS for kind in ("crt", "key")},
    "ca": {"tls/ca.crt"},
    "secrets-key": {"settings/manager.toml"},
    "bus:agent-1": {"bus/agent-1.creds", "bus/signing.json", "nats/nats.conf"},
    "bus-signing": {
        *(f"bus/{user}.creds" for user in ("agent-1", "proxy-1", "autoscaler")),
        "bus/signing.json",
        "nats/nats.conf",
    },
}


@pytest.mark.parametrize("what", list(ROTATED))
def test_a_rotation_replaces_one_secret_and_says_the_steps(made: Made, what: str) -> None:
    later = NOW + timedelta(days=1)
    rotation = rotate(made.folder, what, later)
    assert {entry.path for entry in rotation.changed} == ROTATED[what] | {"installation.json"}
    assert rotation.steps
    assert make(made.folder, Choices(), later).changed == ()
    mentioned = re.findall(r"\b(?:tls|bus|nats|redis|postgres|settings)/[\w.-]+", " ".join(rotation.steps))
    assert [path for path in mentioned if not (made.folder / path.rstrip(".")).exists()] == []


def trusts(authorities: Path, certificate: Path) -> bool:
    """Return True if one of the authorities signed the certificate."""
    signed = x509.load_pem_x509_certificate(certificate.read_bytes())
    for authority in x509.load_pem_x509_certificates(authorities.read_bytes()):
        with suppress(InvalidSignature):
            signed.verify_directly_issued_by(authority)
            return True
    return False


def test_an_authority_is_rotated_in_three_steps_and_no_client_refuses_a_server_in_any(
    made: Made, tmp_path: Path
) -> None:
    """Clients have the authorities of the step before until the operator has spread those of this one."""
    certificates = [made.folder / f"tls/{name}.crt" for name in SERVERS]
    spread, told = tmp_path / "spread.crt", []
    first = (made.folder / "tls/ca.crt").read_text()
    for step in ("ca", "ca-issue", "ca-finish"):
        spread.write_bytes((made.folder / "tls/ca.crt").read_bytes())
        before = [one.read_bytes() for one in certificates]
        rotation = rotate(made.folder, step, NOW)
        assert all(trusts(spread, one) for one in certificates), f"{step}: before its ca.crt is spread"
        assert all(trusts(made.folder / "tls/ca.crt", one) for one in certificates), f"{step}: after it"
        assert ([one.read_bytes() for one in certificates] != before) is (step == "ca-issue")
        told.append(" ".join(rotation.steps))
        assert make(made.folder, Choices(), NOW).changed == ()
    assert "--rotate ca-issue" in told[0]
    assert "--rotate ca-finish" in told[1]
    assert first not in (made.folder / "tls/ca.crt").read_text()


def test_a_step_of_the_authority_s_rotation_may_be_repeated_and_none_is_left_out(made: Made) -> None:
    for wrong, steps in ((("ca-issue", "ca-finish"), "ca"), (("ca-finish",), "ca-issue"), (("ca",), "ca-finish")):
        before = tree(made.folder)
        for one in wrong:
            with pytest.raises(InstallError, match=f"--rotate {one}: found .*; allowed: --rotate {steps}"):
                rotate(made.folder, one, NOW)
        assert tree(made.folder) == before
        done = rotate(made.folder, steps, NOW)
        assert done.changed
        if steps != "ca-finish":
            again = rotate(made.folder, steps, NOW)
            assert again.changed == ()
            assert again.steps == done.steps
            assert "next: --rotate" in (authority_step(show(made.folder, NOW).state) or "")
    assert authority_step(show(made.folder, NOW).state) is None


def test_a_certificate_for_a_further_name_is_signed_by_the_trusted_authority_while_the_next_one_waits(
    made: Made,
) -> None:
    first = made.folder.parent / "first.crt"
    first.write_bytes((made.folder / "tls/ca.crt").read_bytes())
    rotate(made.folder, "ca", NOW)
    make(made.folder, Choices(names=["10.1.2.3"]), NOW)
    assert trusts(first, made.folder / "tls/api.crt")


@pytest.mark.parametrize(
    ("what", "file"),
    [
        ("bus:agent-1", "nats/nats.conf"),
        ("bus:agent-1", "bus/agent-1.creds"),
        ("redis-password", "redis/redis.conf"),
        ("database-password", "settings/manager.toml"),
        ("certificates", "tls/api.crt"),
        ("ca", "tls/ca.crt"),
    ],
)
def test_a_rotation_that_cannot_replace_a_changed_file_is_refused_and_changes_nothing(
    made: Made, what: str, file: str
) -> None:
    path = made.folder / file
    path.write_text(path.read_text() + "# mine\n")
    before = tree(made.folder)
    with pytest.raises(InstallError, match=f"--rotate {what}: found {file} changed by somebody.*move it away"):
        rotate(made.folder, what, NOW)
    assert tree(made.folder) == before
    path.unlink()
    rotation = rotate(made.folder, what, NOW)
    assert {file, "installation.json"} <= {entry.path for entry in rotation.changed}


def test_a_rotation_does_not_mind_a_changed_file_that_it_need_not_replace(made: Made) -> None:
    (made.folder / "settings/manager.toml").write_text("# mine\n")
    assert rotate(made.folder, "redis-password", NOW).changed


def test_the_database_s_key_may_be_readable_by_its_group_and_no_other_secret_may(made: Made) -> None:
    for path in ("tls/database.key", "tls/nats.key"):
        (made.folder / path).chmod(0o640)
    assert [entry.path for entry in make(made.folder, Choices(), NOW).changed] == ["tls/nats.key"]
    assert (made.folder / "tls/database.key").stat().st_mode & 0o777 == 0o640
    (made.folder / "tls/database.key").chmod(0o644)
    assert [entry.path for entry in make(made.folder, Choices(), NOW).changed] == ["tls/database.key"]
    assert (made.folder / "tls/database.key").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    ("url", "listens"),
    [
        ("https://[::1]:8443", "::1"),
        ("https://[2001:db8::1]:8443", "::"),
        ("https://127.0.0.1:8443", "127.0.0.1"),
        ("https://ml.example.com:8443", "0.0.0.0"),
    ],
)
def test_services_and_servers_listen_in_the_family_of_their_address(tmp_path: Path, url: str, listens: str) -> None:
    host = url.removeprefix("https://").removesuffix(":8443")
    given = Choices(url=url, layout=Layout.HOST, nats=host, redis=host)
    folder = make(tmp_path / "etc", given, NOW).folder
    for service in ("manager", "proxy-1"):
        assert tomllib.loads((folder / f"settings/{service}.toml").read_text())["listen_host"] == listens
    written = f"[{listens}]" if ":" in listens else listens
    assert f'listen: "{written}:4222"' in (folder / "nats/nats.conf").read_text()
    assert f"bind {listens}\n" in (folder / "redis/redis.conf").read_text()


def test_managers_accept_agents_on_both_loopbacks_in_private_networks_and_where_they_are_named(tmp_path: Path) -> None:
    agents = ["a=::1", "b=127.0.0.1", "c=10.0.0.5", "d=192.0.2.7"]
    folder = make(tmp_path / "etc", Choices(url="https://[::1]", layout=Layout.HOST, agents=agents), NOW).folder
    networks = tomllib.loads((folder / "settings/manager.toml").read_text())["replica_networks"]
    assert networks == [
        *("127.0.0.0/8", "::1/128", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7", "192.0.2.7/32"),
    ]
    policy = AddressPolicy([ip_network(one) for one in networks])
    assert policy.refuses("10.20.30.40") is None, "a machine that joins"
    assert "allowed (replica_networks)" in (policy.refuses("169.254.169.254") or "")


def test_managers_accept_machines_everywhere_where_none_is_on_loopback(tmp_path: Path) -> None:
    given = Choices(url="https://ml.example.com", layout=Layout.HOST, agents=["c=10.0.0.5"])
    folder = make(tmp_path / "etc", given, NOW).folder
    assert tomllib.loads((folder / "settings/manager.toml").read_text())["replica_networks"] == []


def test_a_folder_whose_name_no_configuration_can_hold_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InstallError, match=r"DIR: found .*a\\nb; allowed: a path without control characters"):
        make(tmp_path / "a\nb", CHOICES, NOW)
    assert not list(tmp_path.iterdir())


def test_another_url_keeps_the_former_host_in_the_certificates_and_says_the_steps(made: Made) -> None:
    other = make(made.folder, Choices(url="https://other.example.com:444"), NOW)
    certificate = x509.load_pem_x509_certificate((made.folder / "tls/api.crt").read_bytes())
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert {"ml.example.com", "other.example.com"} <= set(names.get_values_for_type(x509.DNSName))
    said = " ".join(other.steps)
    assert "NATS (SIGHUP)" in said
    assert "docker compose up -d" in said
    assert "headrace login --url https://other.example.com:444" in said
    again = make(made.folder, Choices(url="https://other.example.com:444"), NOW)
    assert (again.changed, again.steps) == ((), ())


@pytest.mark.parametrize(
    ("given", "said", "unsaid"),
    [
        (Choices(url="https://ml.example.com"), "docker compose up -d --wait", "loopback"),
        (Choices(url="https://ml.example.com", layout=Layout.HOST), "NATS listens on loopback only", "docker"),
        (Choices(url="https://ml.example.com", layout=Layout.HOST, nats="10.0.0.1"), "systemd install", "loopback"),
        (
            Choices(url="https://ml.example.com", agents=["c=10.0.0.5"]),
            "on the machines of c, and run there",
            "agent-1",
        ),
    ],
)
def test_a_first_run_says_what_comes_next(tmp_path: Path, given: Choices, said: str, unsaid: str) -> None:
    made = make(tmp_path / "etc", given, NOW)
    steps = " ".join(made.steps)
    assert said in steps
    assert unsaid not in steps
    assert f"--key - <{made.folder}/admin.key" in steps
    assert make(tmp_path / "etc", Choices(), NOW).steps == ()


def test_a_machine_that_is_added_is_told_which_files_it_needs(made: Made) -> None:
    (step,) = [one for one in make(made.folder, Choices(agents=["gpu-1=10.0.0.5"]), NOW).steps if "gpu-1" in one]
    assert "bus/NAME.creds and tls/ca.crt" in step


def test_one_machine_with_two_addresses_is_refused(made: Made) -> None:
    with pytest.raises(
        InstallError, match=r"--agent: found gpu-1=10.0.0.5 and gpu-1=10.0.0.6; allowed: each name once"
    ):
        make(made.folder, Choices(agents=["gpu-1=10.0.0.5", "gpu-1=10.0.0.6"]), NOW)


@pytest.mark.parametrize("url", ["https://ada:hunter2@ml.example.com", "https://ada:hunter2@ml.example.com:99999"])
def test_a_password_in_a_url_is_not_shown(tmp_path: Path, url: str) -> None:
    with pytest.raises(InstallError, match="--url: found one with a user or password") as refused:
        make(tmp_path / "etc", Choices(url=url), NOW)
    assert "hunter2" not in str(refused.value)


@pytest.mark.parametrize("step", ["certificates", "ca-issue", "bus:agent-1"])
def test_on_hosts_a_rotation_says_what_managers_of_systemd_need(tmp_path: Path, step: str) -> None:
    """systemd hands a service copies of its files as it starts: what is replaced later it does not see."""
    folder = make(tmp_path / "etc", Choices(url="https://ml.example.com", layout=Layout.HOST), NOW).folder
    rotate(folder, "ca", NOW)
    assert "systemctl restart headrace-manager" in " ".join(rotate(folder, step, NOW).steps)


@pytest.mark.parametrize("name", ["autoscaler", "proxy-1", "agent-1", "manager"])
def test_on_hosts_a_new_key_on_the_bus_names_the_unit_that_reads_it(tmp_path: Path, name: str) -> None:
    folder = make(tmp_path / "etc", Choices(url="https://ml.example.com", layout=Layout.HOST), NOW).folder
    unit = {"proxy-1": "appproxy", "agent-1": "agent"}.get(name, name)
    assert f"systemctl restart headrace-{unit}" in rotate(folder, f"bus:{name}", NOW).steps[0]


@pytest.mark.parametrize("layout", list(Layout))
def test_identities_whose_permissions_another_version_changes_are_named_with_what_to_do(
    tmp_path: Path, layout: Layout
) -> None:
    folder = make(tmp_path / "etc", Choices(url="https://ml.example.com", layout=layout), NOW).folder
    former = b"as the version before wrote it"
    (folder / "bus/autoscaler.creds").write_bytes(former)
    state = json.loads((folder / "installation.json").read_text())
    state["written"]["bus/autoscaler.creds"] = sha256(former).hexdigest()
    (folder / "installation.json").write_text(json.dumps(state))
    *brought, step = make(folder, Choices(), NOW).steps
    assert step.startswith("bus/autoscaler.creds: what these services may do on the bus has changed. ")
    assert ["docker compose up -d" in one for one in brought] == ([True] if layout is Layout.COMPOSE else [])
    assert step.endswith("estart the services.")


def test_other_options_name_the_services_that_read_their_settings_anew(tmp_path: Path) -> None:
    folder = make(tmp_path / "etc", Choices(url="https://ml.example.com", layout=Layout.HOST), NOW).folder
    said = " ".join(make(folder, Choices(nats="10.0.0.9"), NOW).steps)
    for words in ("Restart NATS", "Restart the managers", "Restart app-proxy proxy-1", "machines of agent-1"):
        assert words in said
    (folder / "settings/manager.toml").unlink()
    assert make(folder, Choices(), NOW).steps == (), "a file that was lost is mended, and nothing else changes"


def test_the_key_of_secrets_is_rotated_in_three_steps_and_no_manager_meets_one_that_it_lacks(made: Made) -> None:
    """Managers have the keys of the step before until the last of them was restarted."""

    def keys() -> list[str]:
        text = (made.folder / "settings/manager.toml").read_text(encoding="utf-8")
        return list(tomllib.loads(text).get("secrets_keys", []))

    spread, told = [keys()], []
    for what in ("secrets-key", "secrets-key-use", "secrets-key-finish"):
        first = rotate(made.folder, what, NOW)
        told.append(secrets_key_step(first.state))
        spread.append(keys())
        if what != "secrets-key-finish":
            assert rotate(made.folder, what, NOW).changed == (), "it may be run again"
    new = spread[-1][0]
    assert spread == [[], ["secret-key", new], [new, "secret-key"], [new]]
    assert [step and step[:11] for step in told] == ["step 1 of 3", "step 2 of 3", None]
    again = rotate(made.folder, "secrets-key", NOW)
    assert again.state.secrets_keys[0] == new
    shown = show(made.folder, NOW)
    assert new.partition(":")[2] not in repr(shown) + repr(again)


def test_steps_of_the_key_of_secrets_out_of_order_are_refused(made: Made) -> None:
    for what in ("secrets-key-use", "secrets-key-finish"):
        with pytest.raises(InstallError, match="--rotate secrets-key first"):
            rotate(made.folder, what, NOW)
    rotate(made.folder, "secrets-key", NOW)
    with pytest.raises(InstallError, match="secrets-key-use first"):
        rotate(made.folder, "secrets-key-finish", NOW)
    rotate(made.folder, "secrets-key-use", NOW)
    with pytest.raises(InstallError, match="secrets-key-finish first"):
        rotate(made.folder, "secrets-key", NOW)


@pytest.mark.parametrize(
    ("what", "said"),
    [
        (
            "everything",
            (
                "--rotate: found everything; allowed: database-password, redis-password, scrape-key, certificates, ca, ca-issue, "
                "ca-finish, bus-signing, secrets-key, secrets-key-use, secrets-key-finish, bus:"
            ),
        ),
        ("bus:nobody", "--rotate: found bus:nobody; allowed:"),
        ("secret-key", "cannot be replaced yet"),
        ("admin-key", "headrace user key"),
    ],
)
def test_what_cannot_be_rotated_is_said_and_nothing_changes(made: Made, what: str, said: str) -> None:
    before = tree(made.folder)
    with pytest.raises(InstallError, match=re.escape(said)):
        rotate(made.folder, what, NOW)
    assert tree(made.folder) == before
