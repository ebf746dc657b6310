"""`headrace init` with several NATS servers: their files, certificates and names, and how one becomes three."""

from __future__ import annotations

import re
import tomllib
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from headrace.agent.settings import Settings as Agent
from headrace.appproxy.settings import Settings as AppProxy
from headrace.autoscaler.settings import Settings as Autoscaler
from headrace.install.errors import InstallError
from headrace.install.make import Made, make, rotate, show
from headrace.install.plan import Choices, Layout
from headrace.manager.settings import Settings as Manager

NOW = datetime(2026, 11, 30, 12, tzinfo=UTC)
ONE = Choices(url="https://ml.example.com", layout=Layout.HOST, nats="n1.example.com")
THREE = replace(ONE, nats="n1.example.com,n2.example.com:4300,[2001:db8::3]")
URLS = "tls://n1.example.com:4222,tls://n2.example.com:4300,tls://[2001:db8::3]:4222"
SETTINGS = {"manager": Manager, "agent-1": Agent, "proxy-1": AppProxy, "autoscaler": Autoscaler}


@pytest.fixture
def made(tmp_path: Path) -> Made:
    return make(tmp_path / "etc", THREE, NOW)


def certificate(folder: Path, name: str) -> tuple[set[str], set[x509.ObjectIdentifier]]:
    """Return the hosts in a certificate, and what it is for."""
    found = x509.load_pem_x509_certificate((folder / f"tls/{name}.crt").read_bytes()).extensions
    hosts = found.get_extension_for_class(x509.SubjectAlternativeName).value
    usages = set(found.get_extension_for_class(x509.ExtendedKeyUsage).value)
    return {
        *hosts.get_values_for_type(x509.DNSName),
        *map(str, hosts.get_values_for_type(x509.IPAddress)),
    }, usages


def config(folder: Path, name: str) -> str:
    return (folder / f"nats/{name}.conf").read_text()


def test_settings_of_all_services_name_all_servers_and_managers_keep_three_copies(made: Made) -> None:
    for name, cls in SETTINGS.items():
        settings = cls(**tomllib.loads((made.folder / f"settings/{name}.toml").read_text()))
        assert settings.nats_url == URLS
        if isinstance(settings, Manager):
            assert (settings.nats_replicas, settings.machines_nats_url) == (3, URLS)


def test_each_server_has_a_name_a_certificate_that_proves_it_to_the_others_and_their_routes(made: Made) -> None:
    routes = {"nats-1": "n1.example.com:6222", "nats-2": "n2.example.com:6300", "nats-3": "[2001:db8::3]:6222"}
    hosts = {"nats-1": "n1.example.com", "nats-2": "n2.example.com", "nats-3": "2001:db8::3"}
    keys = set()
    for name, own in routes.items():
        text = config(made.folder, name)
        assert f'server_name: "{name}"' in text
        assert f'advertise: "{own}"' in text
        assert set(re.findall(r'"tls://(\S+)"', text)) == {there for one, there in routes.items() if one != name}
        assert "verify: true" in text
        assert "no_advertise: true" in text
        found, usages = certificate(made.folder, name)
        assert hosts[name] in found
        assert not found & (set(hosts.values()) - {hosts[name]}), "of another server"
        assert usages == {ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH}
        keys.add((made.folder / f"tls/{name}.key").read_text())
    assert len(keys) == 3
    assert ExtendedKeyUsageOID.CLIENT_AUTH not in certificate(made.folder, "api")[1]
    listening = [re.findall(r"listen: (\S+)", config(made.folder, name)) for name in routes]
    assert listening[1:] == [['"0.0.0.0:4300"', '"0.0.0.0:6300"'], ['"[::]:4222"', '"[::]:6222"']]
    assert not (made.folder / "nats/nats.conf").exists()
    told = {entry.path: entry.what for entry in show(made.folder, NOW).entries}
    assert told["nats/nats-2.conf"] == "configuration of NATS server nats-2 at n2.example.com:4300"
    assert told["tls/nats-3.key"] == "private key of NATS server nats-3 at [2001:db8::3]:4222"


def test_again_it_changes_nothing_and_every_rotation_works(made: Made) -> None:
    assert (make(made.folder, Choices(), NOW).changed, make(made.folder, THREE, NOW).changed) == ((), ())
    for what in ("certificates", "ca", "ca-issue", "ca-finish", "bus:agent-1", "bus-signing"):
        before = config(made.folder, "nats-2"), certificate(made.folder, "nats-2")
        rotate(made.folder, what, NOW)
        assert certificate(made.folder, "nats-2") == before[1]
        assert (config(made.folder, "nats-2") != before[0]) == what.startswith("bus")


@pytest.mark.parametrize(
    ("what", "file", "then"),
    [
        ("certificates", "tls/nats-2.crt and tls/nats-2.key", "Let NATS (SIGHUP)"),
        ("bus-signing", "nats/nats-2.conf", "Stop NATS (all servers of a cluster)"),
        ("bus:manager", "nats/nats-2.conf", "Restart NATS (of a cluster one server after another)"),
    ],
)
def test_a_rotation_says_which_files_go_to_which_server_before_it_reads_them(
    made: Made, what: str, file: str, then: str
) -> None:
    """Each is on a machine of its own; with its former configuration it would trust the former keys."""
    said = "\n".join(rotate(made.folder, what, NOW).steps)
    assert 0 < said.index(f"{file} to n2.example.com") < said.index(then)


def test_one_server_becomes_three_the_new_ones_first(tmp_path: Path) -> None:
    folder = make(tmp_path / "etc", ONE, NOW).folder
    authority = (folder / "tls/ca.crt").read_text()
    steps = make(folder, Choices(nats=THREE.nats), NOW).steps
    assert [re.findall(r"nats/nats-\d.conf", step)[:1] for step in steps[:3]] == [
        ["nats/nats-2.conf"],
        ["nats/nats-3.conf"],
        ["nats/nats-1.conf"],
    ]
    assert "restart NATS there" in steps[2]
    assert "managers publish all of it anew" in steps[3]
    assert "Remove nats/nats.conf" in steps[-1]
    said = " ".join(steps[4:])
    for words in (
        "Restart the managers",
        "Restart app-proxy proxy-1",
        "Restart the autoscalers",
        "machines of agent-1",
    ):
        assert words in said
    assert (folder / "tls/ca.crt").read_text() == authority
    assert make(folder, Choices(), NOW).steps == ()


def test_a_server_in_another_s_place_takes_its_name_and_the_others_keep_theirs(made: Made) -> None:
    other = make(made.folder, Choices(nats="n4.example.com,[2001:db8::3],n2.example.com:4300"), NOW)
    assert 'advertise: "n4.example.com:6222"' in config(made.folder, "nats-1")
    assert 'advertise: "n2.example.com:6300"' in config(made.folder, "nats-2")
    assert 'advertise: "[2001:db8::3]:6222"' in config(made.folder, "nats-3")
    assert "start NATS there" in next(step for step in other.steps if "n4.example.com" in step)
    assert other.steps[-1] == "When all of them have read it, stop NATS at n1.example.com:4222."


@pytest.mark.parametrize(
    ("choices", "said"),
    [
        (replace(ONE, nats="a,b"), "--nats: found a,b; allowed: one server, or 3 or 5 different ones of a cluster"),
        (replace(ONE, nats="a,b,a"), "--nats: found a,b,a; allowed: one server, or 3 or 5 different ones"),
        (replace(ONE, nats="a,b,x:y"), "--nats: found x:y; allowed: HOST or HOST:PORT"),
        (replace(ONE, nats="a,,b"), "--nats: found nothing; allowed: HOST or HOST:PORT"),
        (replace(ONE, nats="a:63536,b,c"), "allowed: ports up to 63535"),
        (replace(THREE, layout=Layout.COMPOSE), "allowed: one with --layout compose"),
    ],
)
def test_what_is_no_cluster_is_said_and_makes_nothing(tmp_path: Path, choices: Choices, said: str) -> None:
    with pytest.raises(InstallError, match=re.escape(said)):
        make(tmp_path / "etc", choices, NOW)
    assert not (tmp_path / "etc").exists()


def test_a_cluster_does_not_become_one_server(made: Made) -> None:
    with pytest.raises(InstallError, match=r"found n1.example.com; allowed: 3 or 5 different ones of a cluster"):
        make(made.folder, Choices(nats="n1.example.com"), NOW)
