"""Whatever can be set can be seen, changed and taken away: by REST, by the Python client and by the command line.

The fields are those of the request models: a new one fails here until it can be changed, or FIXED says why not.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from uuid import UUID

import pytest
from pydantic import BaseModel
from typer.testing import CliRunner

from headrace.cli.app import build
from headrace.cli.config import Config
from headrace.cli.session import Session
from headrace.common.contracts.http.agent_drains import StartDrain
from headrace.common.contracts.http.agents import ChangeLabels, CordonAgent, UpdateAgent
from headrace.common.contracts.http.clients import CreateClient
from headrace.common.contracts.http.definitions import CheckDefinition
from headrace.common.contracts.http.folder_shares import AcceptFolder, ShareFolder
from headrace.common.contracts.http.folders import (
    CreateDirectory,
    CreateFolder,
    Move,
    RestoreFolder,
    Selection,
    UpdateFolder,
)
from headrace.common.contracts.http.joining import CreateJoinToken, Join, RenewIdentity
from headrace.common.contracts.http.keys import CreateKey, UpdateKey
from headrace.common.contracts.http.logins import PutPassword, StartLogin
from headrace.common.contracts.http.projects import CreateProject, PutMember, UpdateProject
from headrace.common.contracts.http.replicas import PutWeight
from headrace.common.contracts.http.resolutions import Resolve
from headrace.common.contracts.http.resource_groups import CreateResourceGroup, UpdateResourceGroup
from headrace.common.contracts.http.resource_presets import CreateResourcePreset, UpdateResourcePreset
from headrace.common.contracts.http.revisions import Rollback
from headrace.common.contracts.http.rollouts import Promote, RolloutMessage
from headrace.common.contracts.http.rules import UpdateRule
from headrace.common.contracts.http.secrets import PutSecret
from headrace.common.contracts.http.services import CreateService, UpdateService
from headrace.common.contracts.http.tokens import CreateToken, UpdateCaller, UpdateToken
from headrace.common.contracts.http.users import CreateUser, UpdateUser
from headrace.common.contracts.http.validations import StartValidation
from headrace.common.contracts.http.webhooks import CreateWebhook, UpdateWebhook
from headrace.common.contracts.revision import RevisionSpec
from headrace.common.contracts.rule import RuleSpec
from headrace.common.db.pool import Pool
from headrace.manager.api.app import ENDPOINTS
from headrace.sdk import Client
from tests.support.fakes.model_source import serving_models
from tests.support.ports import free_port
from tests.support.worlds.imports import ANY_SOURCE
from tests.support.worlds.manager_api import ManagerApi, serving

FIXED: Final[Mapping[tuple[str, str], str]] = {
    ("project", "name"): "callers of other projects find public models by <project>/<service>",
    ("user", "name"): "histories tell who did what by it",
    ("token", "expires_at"): "it is signed into the token; revoke it and make another",
    ("token", "expires_in_s"): "as expires_at",
    ("client", "name"): "it is half of what the app sends, and what replicas are told",
    ("group", "name"): "services and machines name it; make another",
    ("size", "name"): "services name it; make another",
    ("size", "project"): "services of the project name it; make another",
    ("webhook", "name"): "its history tells of it by this name",
    ("service", "name"): "callers have its endpoint",
    ("service", "project"): "its folders, quota and members are the project's",
    ("spec", "cluster_size"): "it has one value",
    ("spec", "model"): "a file with several models needs one, and of one it changes nothing (test_api_definitions.py)",
}
"""What cannot be changed or taken away, and why."""

ONCE: Final[Mapping[type[BaseModel], str]] = {
    Rollback: "says what to do, and sets nothing",
    Promote: "says what to do, and sets nothing (test_rollouts.py)",
    RolloutMessage: "says why, and sets nothing (test_rollouts.py)",
    Selection: "says which files to send, and sets nothing",
    CreateJoinToken: "a token is for what it was made; revoke it and make another",
    Join: "what a machine says of itself once; it is removed, and joins again",
    RenewIdentity: "proves who asks, and sets nothing",
    CheckDefinition: "says which file is checked, and sets nothing",
    Resolve: "says what a creation or a change comes to, and sets nothing",
    StartValidation: "a trial run is over when it ends; another one is started",
    CreateFolder: "it gets another name by UpdateFolder; what it is for stays: revisions were checked against it",
    UpdateFolder: "a name is replaced by the same request (test_api_files.py)",
    ShareFolder: "a share is ended, and its permission replaced by the same request (test_api_folder_shares.py)",
    AcceptFolder: "names the project once (test_api_folder_shares.py)",
    RestoreFolder: "says how a deleted folder comes back once (test_api_trash.py)",
    CreateDirectory: "a directory has a path only, moves, and is taken away by DELETE (test_api_files.py)",
    Move: "says what moves where, and is taken back by the same request (test_api_files.py)",
    PutSecret: "a value is replaced by the same request, and taken away by DELETE (test_api_secrets.py)",
    StartLogin: "makes a login, which is ended by DELETE (test_api_logins.py)",
    PutPassword: "a password is replaced by the same request, and taken away by null (test_api_logins.py)",
    PutMember: "a role is replaced by the same request, and taken away by DELETE (test_api_access.py)",
    PutWeight: "a weight is replaced by the same request, and 100 is the usual one (test_api_traffic.py)",
    CordonAgent: "a cordon is replaced by the same request, and taken away by DELETE (test_api_agents.py)",
    ChangeLabels: "labels are set and taken away one by one (test_api_agents.py)",
    StartDrain: "a drain is cancelled with the cordon (test_loops_drains.py)",
}
"""Bodies of requests that make nothing with fields that could be changed, and why."""


ASKS: Final = {"message", "refresh_secrets"}
"""Members of a change that say why it is made, or what to do once, and set nothing."""


@dataclass(frozen=True)
class Field:
    """How one field is set and emptied, and what is then seen."""

    set: Any
    flags: tuple[str, ...]
    """That set it by the command line."""
    unset: tuple[str, ...]
    """That empty it."""
    empty: Any = None
    """What is seen then; Ellipsis: it always has a value, and null is refused."""
    seen: Any = ...
    """What is seen when it is set, if other than what was sent."""
    partly: bool = False
    """Compare only the names that were sent: the rest of the mapping has its defaults."""


@dataclass(frozen=True)
class Resource:
    """A thing with fields. `change` and `words` get what `make` returned for it."""

    creates: type[BaseModel]
    updates: type[BaseModel]
    make: Callable[[ManagerApi], Any]
    path: str
    """Of the PATCH; `{0}` is the id."""
    seen: str
    """Where it is read; a list is searched for the id."""
    change: Callable[[Client, str, Any], object]
    words: tuple[str, ...]
    fields: Mapping[str, Field]
    inside: str = ""
    """Member of the view that has the fields."""


def unset(name: str) -> tuple[str, ...]:
    return ("--unset", name)


LIMITS = {"requests_per_second": None, "in_flight": None, "tokens_per_minute": None, "tokens_per_day": None}
CALLER = {
    "limits": Field(
        {"in_flight": 3, "requests_per_second": 0.5},
        ("--in-flight", "3", "--requests-per-second", "0.5"),
        unset("limits"),
        LIMITS,
        {**LIMITS, "in_flight": 3, "requests_per_second": 0.5},
    ),
    "share": Field(4, ("--share", "4"), unset("share"), 1),
}
RULE = {
    "source": "kernel",
    "metric": "cpu_util",
    "comparator": "GREATER_THAN",
    "threshold": 50,
    "step": 1,
    "max_replicas": 4,
}


async def _project(api: ManagerApi) -> str:
    await api.admin.call("POST", "/v1/projects", {"name": "vision"})
    await _group(api)
    return "vision"


async def _user(api: ManagerApi) -> str:
    await api.admin.call("POST", "/v1/users", {"name": "ann"})
    return "ann"


async def _key(api: ManagerApi) -> str:
    await _user(api)
    return str((await api.admin.call("POST", "/v1/users/ann/keys", {}))["id"])


async def _service(api: ManagerApi) -> str:
    service = {"name": "chat", "project": "default", "runtime": "cmd", "image": "img", "replicas": 0}
    await api.admin.call("POST", "/v1/services", service)
    return "chat"


async def _service_and_group(api: ManagerApi) -> str:
    await _group(api)
    return await _service(api)


async def _token(api: ManagerApi) -> str:
    await _service(api)
    return str((await api.admin.token("chat"))["id"])


async def _project_token(api: ManagerApi) -> str:
    return str((await api.admin.call("POST", "/v1/projects/default/tokens", {}))["id"])


async def _client(api: ManagerApi) -> str:
    await _service(api)
    return str((await api.admin.call("POST", "/v1/services/chat/clients", {"name": "robot"}))["id"])


async def _rule(api: ManagerApi) -> str:
    await _service(api)
    return str((await api.admin.call("POST", "/v1/services/chat/rules", RULE))["id"])


async def _size(api: ManagerApi) -> str:
    await api.admin.call("POST", "/v1/resource-presets", {"name": "small", "slots": {"cpu": 2}})
    return "small"


async def _webhook(api: ManagerApi) -> str:
    for name in ("key", "other"):
        await api.admin.call("PUT", f"/v1/projects/default/secrets/{name}", {"value": "k" * 24})
    hook = {"name": "hook", "url": "https://a.example.com/", "secret": "key"}
    await api.admin.call("POST", "/v1/projects/default/webhooks", hook)
    return "hook"


TOKEN = {**CALLER, "name": Field("for the app", ("--name", "for the app"), unset("name"), "")}


async def _agent(api: ManagerApi) -> str:
    await api.machine("m-1")
    await _group(api)
    return "m-1"


async def _group(api: ManagerApi) -> str:
    await api.admin.call("POST", "/v1/resource-groups", {"name": "lab"})
    return "lab"


RESOURCES: Final[Mapping[str, Resource]] = {
    "agent": Resource(
        UpdateAgent,
        UpdateAgent,
        _agent,
        "/v1/agents/{0}",
        "/v1/agents/{0}",
        lambda client, name, body: client.agents.update(name, body),
        ("agent", "address", "{0}"),
        {
            "addresses": Field(["10.0.0.7", "gpu-1.lan"], ("10.0.0.7", "gpu-1.lan"), ("--unset",), None),
            "resource_group": Field("lab", ("move", "lab"), ("move", "default"), "default"),
        },
    ),
    "project": Resource(
        CreateProject,
        UpdateProject,
        _project,
        "/v1/projects/{0}",
        "/v1/projects/{0}",
        lambda client, name, body: client.projects.update(name, body),
        ("project", "update", "{0}"),
        {
            "description": Field("eyes", ("--description", "eyes"), unset("description"), ""),
            "resource_group": Field("lab", ("--resource-group", "lab"), unset("resource-group"), None),
            "quota": Field(
                {"cpu": 8, "mem": "1g"},
                ("--quota", "cpu=8", "--quota", "mem=1g"),
                unset("quota"),
                None,
                {"cpu": "8", "mem": "1073741824"},
            ),
            "features": Field(
                {"webhooks": False},
                ("--feature", "webhooks=off"),
                unset("features"),
                {"webhooks": True, "own-ports": True},
                partly=True,
            ),
        },
    ),
    "resource group": Resource(
        CreateResourceGroup,
        UpdateResourceGroup,
        _group,
        "/v1/resource-groups/{0}",
        "/v1/resource-groups",
        lambda client, name, body: client.resource_groups.update(name, body),
        ("resource-group", "update", "{0}"),
        {"projects": Field(["default"], ("--project", "default"), unset("projects"), None)},
    ),
    "size": Resource(
        CreateResourcePreset,
        UpdateResourcePreset,
        _size,
        "/v1/resource-presets/{0}",
        "/v1/resource-presets",
        lambda client, name, body: client.resource_presets.update(name, body),
        ("size", "update", "{0}"),
        {
            "description": Field("for tests", ("--description", "for tests"), unset("description"), ""),
            "slots": Field({"cpu": "4"}, ("--slot", "cpu=4"), unset("slot"), ...),
        },
    ),
    "webhook": Resource(
        CreateWebhook,
        UpdateWebhook,
        _webhook,
        "/v1/projects/default/webhooks/{0}",
        "/v1/projects/default/webhooks",
        lambda client, name, body: client.webhooks.update("default", name, body),
        ("webhook", "update", "-p", "default", "{0}"),
        {
            "url": Field("https://b.example.com/", ("--url", "https://b.example.com/"), unset("url"), ...),
            "secret": Field("other", ("--secret", "other"), unset("secret"), ...),
            "kinds": Field(["service.*"], ("--kind", "service.*"), unset("kinds"), ["*"]),
            "enabled": Field(False, ("--disabled",), unset("enabled"), True),
        },
    ),
    "user": Resource(
        CreateUser,
        UpdateUser,
        _user,
        "/v1/users/{0}",
        "/v1/users",
        lambda client, name, body: client.users.update(name, body),
        ("user", "update", "{0}"),
        {
            "operator": Field(True, ("--operator",), unset("operator"), False),
            "disabled": Field(True, ("disable", "--yes"), ("enable",), False),
        },
    ),
    "key": Resource(
        CreateKey,
        UpdateKey,
        _key,
        "/v1/users/ann/keys/{0}",
        "/v1/users/ann/keys",
        lambda client, key, body: client.users.update_key("ann", key, body),
        ("user", "update-key", "ann", "{0}"),
        {
            "name": Field("laptop", ("--name", "laptop"), unset("name"), "default"),
            "expires_in_s": Field(3600, ("--expires", "1h"), unset("expires"), None, "a time"),
            "expires_at": Field(
                "2035-01-01T10:00:00Z", ("--expires", "2035-01-01T12:00+02:00"), unset("expires"), None
            ),
            "read_only": Field(True, ("--read-only",), unset("read-only"), False),
            "projects": Field(["default"], ("--project", "default"), unset("projects"), None),
        },
    ),
    "token": Resource(
        CreateToken,
        UpdateToken,
        _token,
        "/v1/services/chat/tokens/{0}",
        "/v1/services/chat/tokens",
        lambda client, token, body: client.tokens.update("chat", token, body),
        ("token", "update", "chat", "{0}"),
        TOKEN,
    ),
    "project's token": Resource(
        CreateToken,
        UpdateToken,
        _project_token,
        "/v1/projects/default/tokens/{0}",
        "/v1/projects/default/tokens",
        lambda client, token, body: client.project_tokens.update("default", token, body),
        ("token", "update", "-p", "default", "{0}"),
        TOKEN,
    ),
    "client": Resource(
        CreateClient,
        UpdateCaller,
        _client,
        "/v1/services/chat/clients/{0}",
        "/v1/services/chat/clients",
        lambda client, name, body: client.clients.update("chat", name, body),
        ("client", "update", "chat", "{0}"),
        CALLER,
    ),
    "rule": Resource(
        RuleSpec,
        UpdateRule,
        _rule,
        "/v1/services/chat/rules/{0}",
        "/v1/services/chat/rules",
        lambda client, rule, body: client.rules.update("chat", rule, body),
        ("rule", "update", "chat", "{0}"),
        {
            "source": Field("inference-framework", ("--source", "inference-framework"), unset("source"), ...),
            "metric": Field("mem_util", ("--metric", "mem_util"), unset("metric"), ...),
            "comparator": Field("LESS_THAN", ("--comparator", "<"), unset("comparator"), ...),
            "threshold": Field(7.5, ("--threshold", "7.5"), unset("threshold"), ...),
            "step": Field(-2, ("--step", "-2"), unset("step"), ...),
            "max_replicas": Field(9, ("--max", "9"), unset("max"), ...),
            "min_replicas": Field(3, ("--min", "3"), unset("min"), 1),
            "cooldown_s": Field(60, ("--cooldown", "1m"), unset("cooldown"), 300),
            "enabled": Field(False, ("--disabled",), unset("disabled"), True),
        },
        inside="spec",
    ),
    "service": Resource(
        CreateService,
        UpdateService,
        _service_and_group,
        "/v1/services/{0}",
        "/v1/services/{0}",
        lambda client, name, body: client.services.update(name, body),
        ("service", "update", "{0}"),
        {
            "description": Field("talks", ("--description", "talks"), unset("description"), ""),
            "resource_group": Field("lab", ("--resource-group", "lab"), unset("resource-group"), "default"),
            "replicas": Field(2, ("--replicas", "2"), unset("replicas"), ...),
            "open_to_public": Field(True, ("--public",), unset("public"), False),
            "metadata": Field({"a": "b"}, ("--metadata", "a=b"), unset("metadata"), {}),
            "tags": Field(["x", "y"], ("--tag", "x", "--tag", "y"), unset("tag"), []),
            "drain_grace_s": Field(7, ("--drain-grace", "7"), unset("drain-grace"), 60),
            "endpoint_port": Field(10_500, ("--endpoint-port", "10500"), unset("endpoint-port"), None),
            "balance": Field(
                {"policy": "round-robin"},
                ("traffic", "--balance", "round-robin"),
                unset("balance"),
                {"policy": "least-in-flight"},
                partly=True,
            ),
            "limits": Field(
                {"max_queued": 3}, ("traffic", "--max-queued", "3"), unset("limits"), {"max_queued": 1000}, partly=True
            ),
            "caller_limits": Field(
                {"in_flight": 3},
                ("traffic", "--caller-in-flight", "3"),
                unset("caller-limits"),
                {"in_flight": None},
                partly=True,
            ),
            "models": Field(["org/m"], ("traffic", "--model-name", "org/m"), unset("models"), []),
            "cors": Field(
                {"allow_origins": ["https://a.test"]},
                ("traffic", "--cors-origin", "https://a.test"),
                unset("cors"),
                {"allow_origins": []},
                partly=True,
            ),
            "rollout": Field(
                {
                    "strategy": "canary",
                    "steps": [{"replicas": "25%", "pause_s": 30.0}, {"replicas": 2, "pause_s": None}],
                    "max_surge": 3,
                    "max_unavailable": "10%",
                    "min_ready_s": 5.0,
                    "progress_deadline_s": 90.0,
                    "on_failure": "keep",
                    "auto_promote": False,
                },
                (
                    *("--strategy", "canary", "--canary-step", "25%:30", "--canary-step", "2", "--max-surge", "3"),
                    *("--max-unavailable", "10%", "--min-ready", "5", "--progress-deadline", "90"),
                    *("--on-failed-rollout", "keep", "--manual-promote"),
                ),
                unset("rollout"),
                {"on_failure": "roll-back", "strategy": "rolling", "steps": [], "max_surge": "25%"},
                partly=True,
            ),
        },
    ),
}

FOLDER = {"folder": "weights"}
SPEC: Final[Mapping[str, tuple[dict[str, Any], Field]]] = {
    "folder": ({}, Field("weights", ("--folder", "weights"), unset("folder"))),
    "model_uri": ({}, Field("hf://acme/tiny", ("--model-uri", "hf://acme/tiny"), unset("model-uri"))),
    "runtime": (FOLDER, Field("vllm", ("--runtime", "vllm"), unset("runtime"), "custom")),
    "image": ({}, Field("other", ("--image", "other"), unset("image"))),
    "architecture": ({}, Field("aarch64", ("--architecture", "aarch64"), unset("architecture"))),
    "definition_path": (
        {**FOLDER, "runtime": "custom"},
        Field("other.yaml", ("--definition", "other.yaml"), unset("definition")),
    ),
    "model_destination": (FOLDER, Field("/weights", ("--model-destination", "/weights"), unset("model-destination"))),
    "command": ({}, Field("serve --x", ("--command", "serve --x"), unset("command"))),
    "port": ({}, Field(8001, ("--port", "8001"), unset("port"))),
    "size": ({}, Field("small", ("--size", "small"), unset("size"))),
    "slots": ({}, Field({"cpu": "2"}, ("--slot", "cpu=2"), unset("slot"))),
    "shm_size": ({}, Field("512m", ("--shm-size", "512m"), unset("shm-size"), None, 2**29)),
    "environ": ({}, Field({"A": "b"}, ("--env", "A=b"), unset("env"), {})),
    "masked": ({"environ": {"A": "b"}}, Field(["A"], ("--mask", "A"), unset("mask"), [])),
    "secret_environ": (
        {},
        Field({"TOKEN": "hf-token"}, ("--env-secret", "TOKEN=hf-token"), unset("env-secret"), {}),
    ),
    "model_secret": (
        {"model_uri": "hf://acme/tiny"},
        Field("hf-token", ("--model-secret", "hf-token"), unset("model-secret")),
    ),
    "pull_secret": ({}, Field("registry@1", ("--pull-secret", "registry@1"), unset("pull-secret"))),
    "extra_mounts": (
        {},
        Field(
            [{"folder": "corpus", "target": "/c"}],
            ("--mount", "corpus:/c"),
            unset("mount"),
            [],
            [{"folder": "corpus", "target": "/c", "read_only": True}],
        ),
    ),
}
"""Field of a spec, and what else the spec has while it is tried."""
DEFINITION = "models:\n  - {name: m, model_path: /models, service: {start_command: [serve], port: 8000}}\n"


@dataclass
class Person:
    """Somebody at each of the three ways in, all with the operator's key."""

    api: ManagerApi
    home: Path
    client: Client = field(init=False)

    def __post_init__(self) -> None:
        self.client = Client(self.api.url, self.api.admin.key)

    async def types(self, *words: str, code: int = 0) -> str:
        """Run a command and return what it printed."""
        environ = {"HOME": str(self.home), "HEADRACE_URL": self.api.url, "HEADRACE_API_KEY": self.api.admin.key}
        session = Session(Config(environ))
        ran = await asyncio.to_thread(CliRunner().invoke, build(), list(words), obj=session)
        session.close()
        failed = 2 if ran.exception is not None and ran.exit_code == 1 else ran.exit_code
        assert failed == code, f"{words}: {ran.output} {ran.exception!r}"
        return ran.output

    async def view(self, resource: Resource, thing: str) -> Any:
        """Return the fields as they are read."""
        found = await self.api.admin.call("GET", resource.seen.format(thing))
        if "items" in found:
            found = next(item for item in found["items"] if thing in (item.get("id"), item.get("name")))
        return found[resource.inside] if resource.inside else found


@pytest.fixture
async def api(pool: Pool, tmp_path: Path) -> AsyncIterator[ManagerApi]:
    """The API, beside the hub of its model URIs."""
    async with serving_models(free_port()) as source:
        source.commit("acme/tiny", "a" * 40, {"config.json": b"{}"})
        async with serving(pool, tmp_path, **ANY_SOURCE, hub_endpoint=source.url) as running:
            yield running


@pytest.fixture
async def person(api: ManagerApi, tmp_path: Path) -> Any:
    made = Person(api, tmp_path)
    yield made
    made.client.close()


def is_as(found: Any, wanted: Any, *, partly: bool) -> bool:
    if wanted == "a time":
        return isinstance(found, str)
    if partly:
        return all(found[name] == value for name, value in wanted.items())
    return bool(found == wanted)


def test_every_field_of_every_request_is_here() -> None:
    for name, resource in RESOURCES.items():
        of_spec = set(RevisionSpec.model_fields) | {"spec"} if resource.creates is CreateService else set()
        kind = name.rpartition(" ")[2]
        fields = (set(resource.creates.model_fields) | set(resource.updates.model_fields)) - ASKS - of_spec
        assert fields == set(resource.fields) | {of for what, of in FIXED if what == kind}, name
        assert set(resource.updates.model_fields) - ASKS - {"spec"} == set(resource.fields), name
    assert set(SPEC) | {of for what, of in FIXED if what == "spec"} == set(RevisionSpec.model_fields)
    bodies = {endpoint.body for endpoint in ENDPOINTS if endpoint.body is not None}
    assert bodies == {m for r in RESOURCES.values() for m in (r.creates, r.updates)} | set(ONCE)


@pytest.mark.parametrize("name", RESOURCES)
async def test_each_field_is_set_seen_and_emptied_by_rest_python_and_command_line(person: Person, name: str) -> None:
    resource = RESOURCES[name]
    thing = await resource.make(person.api)
    path, words = resource.path.format(thing), [word.format(thing) for word in resource.words]
    for field_name, how in resource.fields.items():
        await _walk(person, resource, thing, path, words, field_name, how)


async def _walk(
    person: Person, resource: Resource, thing: str, path: str, words: list[str], field_name: str, how: Field
) -> None:
    viewed = "expires_at" if field_name == "expires_in_s" else field_name

    async def holds(wanted: Any, when: str) -> None:
        found = (await person.view(resource, thing))[viewed]
        assert is_as(found, wanted, partly=how.partly), f"{field_name} {when}: {found}"

    async def through(value: object) -> None:
        body = resource.updates.model_validate({field_name: value})
        await asyncio.to_thread(resource.change, person.client, thing, body)

    always = how.empty is ...
    before = (await person.view(resource, thing))[viewed]
    wanted = how.set if how.seen is ... else how.seen
    empty, empties = (before, before) if always else (how.empty, None)
    await person.api.admin.call("PATCH", path, {field_name: how.set})
    await holds(wanted, "set by REST")
    if always:
        refused = await person.api.admin.call("PATCH", path, {field_name: None}, expect=400)
        assert refused["errors"][0]["field"] == field_name
        await person.types(*words, *how.unset, code=2)
        await holds(wanted, "after it could not be emptied")
    await person.api.admin.call("PATCH", path, {field_name: empties})
    await holds(empty, "emptied by REST")
    await through(how.set)
    await holds(wanted, "set by Python")
    await through(empties)
    await holds(empty, "emptied by Python")
    await person.types(*_typed(words, thing, how.flags))
    await holds(wanted, "set by the command line")
    if always:
        await person.api.admin.call("PATCH", path, {field_name: before})
    else:
        await person.types(*_typed(words, thing, how.unset))
        await holds(empty, "emptied by the command line")


def _typed(words: list[str], thing: str, flags: tuple[str, ...]) -> list[str]:
    """Return a command line; some fields have a command of their own."""
    if flags[0] in {"traffic", "move", "disable", "enable"}:
        return [words[0], flags[0], thing, *flags[1:]]
    return [*words, *flags]


@pytest.mark.parametrize("name", SPEC)
async def test_each_field_of_a_spec_is_set_seen_and_emptied_by_rest_python_and_command_line(
    person: Person, name: str
) -> None:
    admin = person.api.admin
    await admin.folder(
        "weights", {"model-definition.yaml": DEFINITION, "other.yaml": DEFINITION.replace("8000", "8001")}
    )
    await admin.folder("corpus", {}, usage_mode="data")
    await _size(person.api)
    for secret in ("hf-token", "registry"):
        await admin.call("PUT", f"/v1/projects/default/secrets/{secret}", {"value": "user:password"})
    more, how = SPEC[name]
    bare = {"runtime": "cmd", "image": "img", **more}
    bare = {field: value for field, value in bare.items() if field != name}
    bare = {"image": "img", **bare} if name == "runtime" else {"runtime": "cmd", **bare}
    full = bare | {name: how.set}
    await admin.call("POST", "/v1/services", {"name": "chat", "replicas": 0, **bare})

    async def holds(wanted: Any, when: str) -> None:
        number = (await admin.service("chat"))["revision"]
        found = (await admin.call("GET", f"/v1/services/chat/revisions/{number}"))["spec"][name]
        assert found == wanted, f"{name} {when}: {found}"

    def through(spec: object) -> object:
        return person.client.services.update("chat", UpdateService(spec=RevisionSpec.model_validate(spec)))

    wanted = how.set if how.seen is ... else how.seen
    await admin.call("PATCH", "/v1/services/chat", {"spec": full})
    await holds(wanted, "set by REST")
    await admin.call("PATCH", "/v1/services/chat", {"spec": bare})
    await holds(how.empty, "emptied by REST")
    await asyncio.to_thread(through, full)
    await holds(wanted, "set by Python")
    await asyncio.to_thread(through, bare)
    await holds(how.empty, "emptied by Python")
    await person.types("service", "update", "chat", *how.flags)
    await holds(wanted, "set by the command line")
    await person.types("service", "update", "chat", *how.unset)
    await holds(how.empty, "emptied by the command line")


async def test_one_limit_of_several_is_taken_away_and_the_others_stay(person: Person) -> None:
    await _project(person.api)
    await person.types("project", "update", "vision", "--quota", "cpu=8", "--quota", "cuda.device=2")
    await person.types("project", "update", "vision", "--unset", "quota=cpu")
    assert (await person.api.admin.call("GET", "/v1/projects/vision"))["quota"] == {"cuda.device": "2"}
    await person.types("project", "update", "vision", "--unset", "quota", "--quota", "mem=1g")
    assert (await person.api.admin.call("GET", "/v1/projects/vision"))["quota"] == {"mem": "1073741824"}
    token = await _token(person.api)
    await person.types("token", "update", "chat", token, "--in-flight", "3", "--tokens-per-day", "9")
    await person.types("token", "update", "chat", token, "--unset", "in-flight")
    (found,) = (await person.api.admin.call("GET", "/v1/services/chat/tokens"))["items"]
    assert found["limits"] == {**LIMITS, "tokens_per_day": 9}


async def test_a_changed_quota_holds_for_what_is_asked_for_next(person: Person) -> None:
    call = person.api.admin.call
    await _project(person.api)
    service = {
        "name": "seer",
        "project": "vision",
        "runtime": "cmd",
        "image": "img",
        "slots": {"cpu": 2},
        "replicas": 2,
    }
    await call("PATCH", "/v1/projects/vision", {"quota": {"cpu": 3}})
    assert (await call("POST", "/v1/services", service, expect=409))["type"].endswith("quota-exceeded")
    await call("PATCH", "/v1/projects/vision", {"quota": None})
    await call("POST", "/v1/services", service)
    await call("PATCH", "/v1/projects/vision", {"quota": {"cpu": 3}})
    assert (await call("PATCH", "/v1/services/seer", {"replicas": 3}, expect=409))["type"].endswith("quota-exceeded")
    assert (await call("GET", "/v1/services/seer"))["replicas"] == 2


async def test_an_owner_describes_a_project_and_only_operators_change_its_quota(api: ManagerApi) -> None:
    await _project(api)
    owner = await api.user("ann", vision="owner")
    member = await api.user("bob", vision="member")
    await owner.call("PATCH", "/v1/projects/vision", {"description": "hers"})
    for quota in (None, {"cpu": 1000}):
        body = {"description": "more", "quota": quota}
        assert "only operators" in (await owner.call("PATCH", "/v1/projects/vision", body, expect=403))["detail"]
    await member.call("PATCH", "/v1/projects/vision", {"description": "his"}, expect=403)
    await owner.call("PATCH", "/v1/users/ann", {"operator": True}, expect=403)
    found = await owner.call("GET", "/v1/projects/vision")
    assert (found["description"], found["quota"]) == ("hers", None)
    stranger = await api.user("eve")
    await stranger.call("PATCH", "/v1/projects/vision", {"description": "mine"}, expect=404)
    for caller in (owner, member, stranger):
        await caller.close()


async def test_the_last_operator_stays_one(api: ManagerApi) -> None:
    refused = await api.admin.call("PATCH", "/v1/users/admin", {"operator": False}, expect=409)
    assert "last operator" in refused["detail"]
    await _user(api)
    await api.admin.call("PATCH", "/v1/users/ann", {"operator": True})
    await api.admin.call("PATCH", "/v1/users/admin", {"operator": None})
    await api.admin.call("GET", "/v1/users", expect=403)


async def test_a_key_that_comes_to_life_again_counts(api: ManagerApi) -> None:
    key = await _key(api)
    await api.pool.execute("update api_keys set expires_at = now() where id = $1", UUID(key))
    for _ in range(100):
        await api.admin.call("POST", "/v1/users/ann/keys", {})
    refused = await api.admin.call("PATCH", f"/v1/users/ann/keys/{key}", {"expires_in_s": None}, expect=409)
    assert "at most 100" in json.dumps(refused)


async def test_a_quota_has_a_bounded_number_of_limits(api: ManagerApi) -> None:
    await _project(api)
    for part in range(2):
        slots = {f"npu{n}": 1 for n in range(40 * part, 40 * part + 40)}
        answer = await api.admin.http.patch("/v1/projects/vision", json={"quota": slots})
        assert answer.status_code == (200 if part == 0 else 400), answer.text
    error = {"field": "quota", "found": "80 slots", "allowed": "at most 64", "pointer": "#/quota"}
    assert answer.json()["errors"] == [error]


async def test_fields_of_a_rule_that_do_not_go_together_are_refused(api: ManagerApi) -> None:
    rule = await _rule(api)
    refused = await api.admin.call("PATCH", f"/v1/services/chat/rules/{rule}", {"min_replicas": 5}, expect=400)
    allowed = "at most max_replicas, which is 4"
    error = {"field": "min_replicas", "found": 5, "allowed": allowed, "pointer": "#/min_replicas"}
    assert refused["errors"][0] == error


async def test_a_change_of_nothing_is_refused(api: ManagerApi) -> None:
    for path in ("/v1/projects/default", "/v1/users/admin"):
        refused = await api.admin.call("PATCH", path, {}, expect=400)
        assert "one of " in refused["detail"]
