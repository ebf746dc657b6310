"""Whatever can be set of a service can be taken away again by a command."""

from __future__ import annotations

from typing import Any

import pytest
import typer

from headrace.cli.app import ENTRIES, build
from headrace.cli.commands.service.unset import OF_THE_SERVICE, OF_THE_SPEC
from headrace.common.contracts.http.services import CreateService, UpdateService
from headrace.common.contracts.revision import RevisionSpec
from tests.support.fakes.manager_api import NOW, FakeManagerApi, service_view, uid
from tests.support.worlds.cli import Cli

ECHO = "/v1/services/echo"
SPEC: dict[str, Any] = {
    "folder": "chat",
    "model_uri": "hf://acme/tiny",
    "runtime": "vllm",
    "image": "img",
    "architecture": "x86_64",
    "definition_path": "other.yaml",
    "model": "second",
    "model_destination": "/weights",
    "command": "serve",
    "port": 80,
    "size": "large",
    "slots": {"cpu": "1", "mem": "1g"},
    "shm_size": 2**28,
    "environ": {"A": "1", "B": "2"},
    "masked": ["A", "B"],
    "secret_environ": {"S": "hub", "T": "hub@2"},
    "pull_secret": "robot",
    "model_secret": "hub",
    "extra_mounts": [{"folder": "corpus"}, {"folder": "cache", "read_only": False}],
}


@pytest.fixture
def served(there: FakeManagerApi) -> FakeManagerApi:
    """A service of which everything is set."""
    there.on("GET", ECHO, service_view())
    there.on("PATCH", ECHO, service_view())
    revision = {"number": 1, "spec": SPEC, "created_at": NOW, "created_by": "admin", "message": ""}
    there.on("GET", f"{ECHO}/revisions", {"items": [revision], "next": None})
    return there


def test_every_field_of_a_service_and_its_spec_has_a_name_to_be_taken_away_by() -> None:
    always = {"cluster_size"}  # has one value
    assert set(OF_THE_SPEC.values()) == set(RevisionSpec.model_fields) - always
    counted = {"spec", "replicas", "message", "refresh_secrets"}  # the spec field by field; a number that `scale` sets
    assert {name for name, _ in OF_THE_SERVICE.values()} == set(UpdateService.model_fields) - counted


@pytest.mark.parametrize("flag", OF_THE_SPEC)
def test_each_field_of_the_spec_goes_back_to_its_default_and_the_rest_stays(
    cli: Cli, served: FakeManagerApi, flag: str
) -> None:
    ran = cli("service", "update", "echo", "--unset", flag)
    assert ran.code == 0, ran.err
    sent = RevisionSpec.model_validate(served.bodies[-1]["spec"])
    field = OF_THE_SPEC[flag]
    whole = RevisionSpec.model_validate(SPEC)
    changed = {name for name in RevisionSpec.model_fields if getattr(sent, name) != getattr(whole, name)}
    assert changed == ({"environ", "masked"} if field == "environ" else {field}), "a mask goes with its variable"
    assert getattr(sent, field) == getattr(RevisionSpec(), field)


@pytest.mark.parametrize("flag", OF_THE_SERVICE)
def test_each_setting_of_a_service_goes_back_to_that_of_a_new_one(cli: Cli, served: FakeManagerApi, flag: str) -> None:
    ran = cli("service", "update", "echo", "--unset", flag)
    assert ran.code == 0, ran.err
    field, empty = OF_THE_SERVICE[flag]
    sent = served.bodies[-1]
    assert set(sent) - {"message"} == {field}
    assert UpdateService.model_validate(sent).model_dump()[field] == empty
    usual = CreateService(name="new").model_dump()[field]
    assert empty is None or empty in (0, usual), "null and 0 are what the API takes away by"


@pytest.mark.parametrize(
    ("item", "field", "left"),
    [
        ("slot=cpu", "slots", {"mem": "1g"}),
        ("env=A", "environ", {"B": "2"}),
        ("env=A", "masked", ["B"]),
        ("mask=A", "masked", ["B"]),
        ("env-secret=S", "secret_environ", {"T": "hub@2"}),
        ("mount=corpus", "extra_mounts", [{"folder": "cache", "read_only": False}]),
    ],
)
def test_one_of_several_is_taken_away(cli: Cli, served: FakeManagerApi, item: str, field: str, left: object) -> None:
    ran = cli("service", "update", "echo", "--unset", item)
    assert ran.code == 0, ran.err
    wanted = getattr(RevisionSpec.model_validate({**SPEC, field: left}), field)
    assert getattr(RevisionSpec.model_validate(served.bodies[-1]["spec"]), field) == wanted


def test_what_is_taken_away_may_be_set_in_the_same_command(cli: Cli, served: FakeManagerApi) -> None:
    ran = cli("service", "update", "echo", "--unset", "env", "--env", "C=3", "--unset", "tag", "--tag", "new")
    assert ran.code == 0, ran.err
    assert served.bodies[-1]["spec"]["environ"] == {"C": "3"}
    assert served.bodies[-1]["tags"] == ["new"]


@pytest.mark.parametrize(
    ("flags", "environ", "secrets"),
    [
        (("--env", "S=plain"), {"A": "1", "B": "2", "S": "plain"}, {"T": "hub@2"}),
        (("--env-secret", "A=hub"), {"B": "2"}, {"S": "hub", "T": "hub@2", "A": "hub"}),
        (("--env-secret", "T=hub"), {"A": "1", "B": "2"}, {"S": "hub", "T": "hub"}),
        (("--unset", "env-secret", "--env-secret", "U=hub"), {"A": "1", "B": "2"}, {"U": "hub"}),
    ],
)
def test_a_plain_value_replaces_the_secret_of_a_variable_and_the_other_way_round(
    cli: Cli, served: FakeManagerApi, flags: tuple[str, ...], environ: dict[str, str], secrets: dict[str, str]
) -> None:
    ran = cli("service", "update", "echo", *flags)
    assert ran.code == 0, ran.err
    sent = served.bodies[-1]["spec"]
    assert (sent["environ"], sent["secret_environ"]) == (environ, secrets)


@pytest.mark.parametrize("item", ["name", "tags", "image=x", "env=", "mount=other", "slot=gpu", "env=Z", "mask=Z"])
def test_what_is_not_there_cannot_be_taken_away(cli: Cli, served: FakeManagerApi, item: str) -> None:
    ran = cli("service", "update", "echo", "--unset", item)
    assert (ran.code, served.bodies) == (2, [])
    assert f"--unset {item}: " in ran.err
    assert "allowed: " in ran.err


def test_flags_that_may_be_repeated_say_whether_they_add_or_replace() -> None:
    root: Any = typer.main.get_command(build())
    said: dict[tuple[str, str, str], str] = {}
    for name in ENTRIES:
        group = root.get_command(None, name)
        for word in group.list_commands(None) if ENTRIES[name].is_group else ():
            command = group.get_command(None, word)
            if word in {"update", "traffic"}:
                said |= {
                    (name, command.name, option.name): option.help
                    for option in command.params
                    if getattr(option, "multiple", False) and not option.name.startswith("unset")
                }
    assert len(said) >= 8
    words = ("All of", "Replaces the whole list", "replaces all", "keeps the others", "the others stay")
    assert {where for where, text in said.items() if not any(word in text for word in words)} == set()


@pytest.mark.parametrize("item", ["quota=cuda.devcie", "quota=", "quotas", ""])
def test_what_a_project_does_not_have_cannot_be_taken_away(cli: Cli, there: FakeManagerApi, item: str) -> None:
    project = {"id": uid(1), "name": "blue", "description": "", "quota": {"cuda.device": "4"}, "created_at": NOW}
    there.on("GET", "/v1/projects/blue", project)
    there.on("PATCH", "/v1/projects/blue", project)
    ran = cli("project", "update", "blue", "--unset", item)
    assert (ran.code, there.bodies) == (2, [])
    assert f"--unset {item}: " in ran.err
    assert "allowed: " in ran.err
    assert cli("project", "update", "blue", "--unset", "quota=cuda.device").code == 0
    assert there.bodies == [{"quota": {"cuda.device": None}}]


def test_a_token_names_all_that_can_be_taken_away(cli: Cli, there: FakeManagerApi) -> None:
    ran = cli("token", "update", "echo", uid(1), "--unset", "expires")
    assert (ran.code, there.bodies) == (2, [])
    assert "allowed: name, limits, share, requests-per-second" in ran.err
