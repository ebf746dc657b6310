"""Whatever fits the OpenAPI document, sent by each role: no server error, no undocumented answer, nothing of a project that is not the
caller's.

In a project that none of them is a member of, everything has a marker: its names, descriptions, values, files, logs. Half of the
requests mean things of that project, by their ids; no request has the marker, so no answer may have it.
"""

from __future__ import annotations

import asyncio
import itertools
import warnings
from collections import Counter
from collections.abc import Mapping
from typing import Any

import httpx
import pytest
from schemathesis.core.result import Ok

from tests.support.api import Api
from tests.support.effort import examples
from tests.support.worlds.manager_api import ManagerApi

with warnings.catch_warnings():  # its imports use what other libraries deprecate
    warnings.simplefilter("ignore")
    import schemathesis
    from hypothesis import HealthCheck, Phase, given, settings
    from hypothesis.errors import Unsatisfiable
    from schemathesis import GenerationMode

EXAMPLES = 6
MARKER = "zq7xplanted"
OWN: Mapping[str, str | int] = {
    "project": "blue",
    "folder": "blue-folder",
    "model": "blue-folder",
    "service": "blue-service",
    "revision": 1,
}
"""Names of the callers' own things."""


@schemathesis.serializer("application/offset+octet-stream", "application/x-tar")
def _octets(_: Any, value: Any) -> bytes:
    """Send whatever was generated as bytes."""
    return value if isinstance(value, bytes) else repr(value).encode()


@pytest.fixture
async def planted(api: ManagerApi) -> dict[str, str | int]:
    """Make the foreign project; return the ids of its things by the names of parameters."""
    admin = api.admin
    project = (await admin.call("POST", "/v1/projects", {"name": MARKER, "description": MARKER}))["id"]
    user = await api.user(f"{MARKER}-user", **{MARKER: "owner"})
    me = (await user.call("GET", "/v1/whoami"))["user"]["id"]
    files = {"model-definition.yaml": f"# {MARKER}", MARKER: MARKER}
    folder = await user.folder(f"{MARKER}-folder", dict(files), project=MARKER)
    await user.call("PUT", f"/v1/projects/{MARKER}/secrets/{MARKER}", {"value": MARKER})
    secret = (await user.call("GET", f"/v1/projects/{MARKER}/secrets/{MARKER}"))["id"]
    size = {"name": f"{MARKER}-size", "project": MARKER, "description": MARKER, "slots": {"cpu": 1}}
    preset = await user.call("POST", "/v1/resource-presets", size)
    service = await user.call(
        "POST",
        "/v1/services",
        {
            "name": f"{MARKER}-service",
            "project": MARKER,
            "runtime": "cmd",
            "image": MARKER,
            "folder": folder,
            "description": MARKER,
            "metadata": {MARKER: MARKER},
            "tags": [MARKER],
            "environ": {"A": MARKER},
            "models": [MARKER],
        },
    )
    own = f"/v1/services/{service['id']}"
    await user.call("PATCH", own, {"replicas": 1, "message": MARKER})
    replica, kernel = await api.runs(f"{MARKER}-service")
    await api.behind.say(kernel, f"2026-01-01T00:00:00Z {MARKER}")
    token = await user.call("POST", f"{own}/tokens", {"name": MARKER})
    client = await user.call("POST", f"{own}/clients", {"name": MARKER})
    rule = {"source": "inference-framework", "metric": MARKER, "comparator": "GREATER_THAN", "threshold": 1}
    rule_id = (await user.call("POST", f"{own}/rules", {**rule, "step": 1, "max_replicas": 2}))["id"]
    validation = (await user.call("POST", "/v1/validations", {"runtime": "cmd", "image": MARKER}))["id"]
    key = await user.call("POST", f"/v1/users/{me}/keys", {"name": MARKER})
    share = (await user.call("POST", f"/v1/folders/{folder}/shares", {"user": me}))["id"]
    return {
        "project": project,
        "folder": folder,
        "model": folder,
        "share": share,
        "invitation": share,
        "service": service["id"],
        "user": me,
        "secret": secret,
        "preset": preset["id"],
        "replica": str(replica),
        "token_id": token["id"],
        "client": client["id"],
        "rule_id": rule_id,
        "validation": validation,
        "key_id": key["id"],
        "revision": 1,
    }


@pytest.fixture
async def roles(api: ManagerApi) -> dict[str, str]:
    """Make a user of each role in the callers' project, and one of no project; return their keys. Without a key: ''."""
    await api.admin.call("POST", "/v1/projects", {"name": "blue"})
    users = {role: await api.user(f"a-{role}", blue=role) for role in ("owner", "member", "viewer")}
    return {role: user.key for role, user in users.items()} | {
        "stranger": (await api.user("a-stranger")).key,
        "nobody": "",
    }


@pytest.mark.filterwarnings("ignore")
async def test_no_role_gets_a_server_error_or_foreign_data(
    api: ManagerApi, planted: dict[str, str | int], roles: dict[str, str]
) -> None:
    explored = await asyncio.to_thread(_explore, api, planted, roles)
    assert not explored.wrong, "\n".join(explored.wrong)
    for role, key in roles.items():
        done = explored.seen[role, "done"], explored.seen[role, "refused"]
        assert done[1] > 50, (role, done)
        assert done[0] > {"owner": 25, "member": 20, "viewer": 10}.get(role, 3), (role, done)
        if key:
            caller = Api(api.url, key)
            assert (await caller.call("GET", "/v1/whoami"))["user"]["name"] == f"a-{role}"
            await caller.close()
    assert MARKER in (await api.admin.http.get(f"/v1/services/{planted['service']}/history")).text, "it was planted"


class _Explored:
    """What became of the requests: what was wrong, and how many of each role were done or refused."""

    def __init__(self) -> None:
        self.wrong: list[str] = []
        self.seen: Counter[tuple[str, str]] = Counter()


def _explore(api: ManagerApi, planted: Mapping[str, str | int], roles: Mapping[str, str]) -> _Explored:
    schema = schemathesis.openapi.from_url(f"{api.url}/v1/openapi.json", timeout=60)
    explored = _Explored()
    operator = {"Authorization": f"Bearer {api.admin.key}"}
    with httpx.Client(verify=False, timeout=60, base_url=api.url, headers=operator) as admin:
        for result in schema.get_all_operations():
            assert isinstance(result, Ok)
            _make_what_is_missing(admin)
            try:
                _each_role(result.ok(), planted, roles, explored)
            except Unsatisfiable:  # a request without parameters has no second form
                continue
    return explored


def _make_what_is_missing(admin: httpx.Client) -> None:
    admin.post("/v1/projects", json={"name": "blue"})
    for role in ("owner", "member", "viewer"):
        admin.put(f"/v1/projects/blue/members/a-{role}", json={"role": role})
    admin.post("/v1/folders", json={"name": "blue-folder", "project": "blue"})
    admin.post("/v1/services", json={"name": "blue-service", "runtime": "cmd", "image": "i", "project": "blue"})


def _each_role(operation: Any, planted: Mapping[str, str | int], roles: Mapping[str, str], explored: _Explored) -> None:
    """Send some requests of an operation, each by each role."""
    documented = set(operation.definition.raw["responses"])
    turn = itertools.count()

    @settings(
        max_examples=examples(EXAMPLES),
        deadline=None,
        database=None,
        derandomize=True,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.explicit, Phase.generate],
    )
    @given(case=operation.as_strategy(generation_mode=GenerationMode.POSITIVE))
    def run(case: Any) -> None:
        _aim(case, OWN if next(turn) % 2 else planted)
        for role, key in roles.items():
            answer = case.call(headers={"Authorization": f"Bearer {key}"} if key else {}, timeout=60)
            said = f"{role}: {case.method} {case.formatted_path} {case.query} {case.body!r:.200}: {answer.status_code}"
            explored.seen[role, "done" if answer.status_code < 400 else "refused"] += 1
            if answer.status_code >= 500:
                explored.wrong.append(f"{said} {answer.text[:300]}")
            elif str(answer.status_code) not in documented:
                explored.wrong.append(f"{said} is not documented")
            if MARKER.encode() in answer.content or MARKER in str(answer.headers):
                explored.wrong.append(f"{said} has foreign data: {answer.text[:300]}")
            if not key and answer.status_code < 400 and operation.definition.raw.get("security") != []:
                explored.wrong.append(f"{said} although there was no key")

    run()


def _aim(case: Any, at: Mapping[str, str | int]) -> None:
    """Have a request mean these things, wherever it names one."""
    for place in (case.path_parameters, case.query, case.body):
        if isinstance(place, dict):
            place |= {name: value for name, value in at.items() if name in place}
    if "follow" in (case.query or {}):
        case.query["follow"] = "false"  # it would not end
    if case.operation.path == "/v1/events" and isinstance(case.query, dict):
        case.query["follow"] = "false"
