"""docs/refusals.md: every refusal of the API in one table, with the text that a caller reads, as really answered.

`make refusals` writes it anew.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from headrace.common.contracts.problems import Problem
from tests.support.api import TUS, Api
from tests.support.worlds.manager_api import ManagerApi

PAGE = Path(__file__).parents[3] / "docs" / "refusals.md"
SERVICE: dict[str, Any] = {"name": "x", "runtime": "cmd", "image": "img"}
WRONG_SERVICES: tuple[dict[str, Any], ...] = (
    {"name": "No Name"},
    {"name": "v1"},
    {"name": "chat"},
    {"runtime": "custom"},
    {"runtime": "best"},
    {"extra": 1},
    {"slots": {"mem": "lots"}},
    {"slots": {"cpu": 0}},
    {"size": "absent"},
    {"replicas": -1},
    {"endpoint_port": 80},
    {"environ": {"1A": "x"}},
    {"environ": {"A": None}},
    {"environ": {"A": [1]}},
    {"secret_environ": {"A": "absent"}},
    {"secret_environ": {"A": "No Name"}},
    {"models": ["m", "m"]},
    {"folder": "absent"},
    {"project": "absent"},
    {"resource_group": "absent"},
    {"balance": {"policy": "best"}},
    {"limits": {"queue_timeout_s": 0}},
    {"caller_limits": {"in_flight": 0}},
    {"extra_mounts": [{"folder": "absent"}]},
    {"command": []},
    {"port": 70_000},
    {"metadata": {"": "x"}},
    {"tags": ["A"]},
    {"image": "a b"},
    {"rollout": {"max_unavailable": "150%"}},
    {"rollout": {"max_surge": 0, "max_unavailable": 0}},
    {"rollout": {"strategy": "canary"}},
    {"rollout": {"strategy": "canary", "steps": [{"replicas": 0}]}},
    {"cors": {"allow_origins": ["https://app.example.com/"]}},
    {"cors": {"allow_origins": ["*"], "allow_credentials": True}},
)
CASES: tuple[tuple[str, str, Any], ...] = (
    *(("POST", "/v1/services", {**SERVICE, **wrong}) for wrong in WRONG_SERVICES),
    ("POST", "/v1/services", {}),
    ("POST", "/v1/services", []),
    ("PATCH", "/v1/services/chat", {}),
    ("PATCH", "/v1/services/absent", {"replicas": 1}),
    ("POST", "/v1/services/chat/rollback", {"revision": 9}),
    ("GET", "/v1/services/chat/revisions/x", None),
    ("POST", "/v1/services/chat/rollout/pause", {}),
    ("POST", "/v1/services/chat/rollout/promote", {}),
    ("POST", "/v1/services/chat/replicas/x/replace", {}),
    ("POST", "/v1/services/chat/tokens", {"expires_in_s": 0}),
    ("POST", "/v1/services/chat/tokens", {"expires_in_s": 5, "expires_at": "2030-01-01T00:00:00Z"}),
    ("POST", "/v1/services/chat/rules", {}),
    ("POST", "/v1/services/chat/clients", {"name": ""}),
    ("GET", "/v1/services/chat/logs?tail=x", None),
    ("GET", "/v1/services?status=best", None),
    ("GET", "/v1/services?limit=0", None),
    ("GET", "/v1/services?sort=best", None),
    ("GET", "/v1/services?sort=name&cursor=c2VydmljZQ", None),
    ("GET", "/v1/services?folder=nowhere", None),
    ("GET", "/v1/search?q=", None),
    ("POST", "/v1/folders", {"name": "a", "usage_mode": "x"}),
    ("PATCH", "/v1/folders/weights", {"name": None}),
    ("POST", "/v1/folders/weights/moves", {"path": "model-definition.yaml", "to": "model-definition.yaml"}),
    ("POST", "/v1/trash/absent/restore", {}),
    ("POST", "/v1/projects", {"name": "p", "quota": {"cpu": -1}}),
    ("POST", "/v1/users", {"name": "admin"}),
    ("POST", "/v1/users/admin/keys", {"expires_at": "2020-01-01T00:00:00Z"}),
    ("POST", "/v1/users/admin/keys", {"expires_at": "2030-01-01"}),
    ("PUT", "/v1/projects/default/members/absent", {"role": "member"}),
    ("PUT", "/v1/projects/default/members/admin", {"role": "boss"}),
    ("DELETE", "/v1/projects/default", None),
    ("PUT", "/v1/projects/default/secrets/Hub", {"value": "hf_token"}),
    ("PUT", "/v1/projects/default/secrets/hub", {"value": ""}),
    ("DELETE", "/v1/projects/default/secrets/absent", None),
    ("POST", "/v1/resource-presets", {"name": "tiny", "slots": {"cpu": 0}}),
    ("POST", "/v1/resource-presets", {"name": "small", "slots": {"cpu": 1}}),
    ("PATCH", "/v1/resource-presets/small", {"slots": {"cpu": None}}),
    ("DELETE", "/v1/resource-presets/absent?project=default", None),
    ("POST", "/v1/validations", {"runtime": "cmd", "image": "img", "project": "absent"}),
    ("PATCH", "/v1/resource-groups/absent", {"projects": None}),
    ("POST", "/v1/resource-groups", {"name": "lab", "projects": []}),
    ("PATCH", "/v1/projects/default", {"resource_group": "absent"}),
    ("GET", "/v1/absent", None),
    ("PUT", "/v1/services", {}),
)


@dataclass(frozen=True)
class Odd:
    """A request that is refused for more than what a JSON body says. `shown`: on the page, after method and path."""

    method: str
    path: str
    shown: str
    headers: Mapping[str, str] = field(default_factory=dict)
    content: bytes | None = None
    of: str = "admin"
    """Who asks."""


def _metadata(**values: str) -> str:
    return ",".join(f"{name} {base64.b64encode(value.encode()).decode()}" for name, value in values.items())


_PART = {**TUS, "Content-Type": "application/offset+octet-stream", "Upload-Length": "3"}
_UPLOADS = "/v1/folders/weights/uploads"
ODD: tuple[Odd, ...] = (
    Odd("GET", "/v1/services", "without a key", {"Authorization": ""}),
    Odd("GET", "/v1/services", "with a key that is none", {"Authorization": "Bearer hr_none"}),
    Odd("POST", "/v1/projects", "by who is no operator", content=b'{"name": "mine"}', of="viewer"),
    Odd("DELETE", "/v1/resource-presets/small", "by who is no operator", of="viewer"),
    Odd("PATCH", "/v1/services/chat", "by a viewer of its project", content=b'{"replicas": 2}', of="viewer"),
    Odd("POST", "/v1/services/rests/restart", "of a stopped service"),
    Odd("POST", "/v1/services/chat/stop", "that was changed since", {"If-Match": f'"{"0" * 16}"'}),
    Odd(
        "POST",
        "/v1/services",
        "with 2 cpu in a project with a quota of 1",
        content=json.dumps({**SERVICE, "project": "small", "slots": {"cpu": 2}}).encode(),
    ),
    Odd("DELETE", "/v1/projects/small", "that has a folder"),
    Odd("DELETE", "/v1/projects/default/secrets/used", "that a service uses"),
    Odd(
        "POST",
        "/v1/services",
        "of a folder whose definition is wrong",
        content=json.dumps({"name": "x", "project": "default", "folder": "weights"}).encode(),
    ),
    Odd(
        "POST",
        "/v1/projects",
        "with an Idempotency-Key of two words",
        {"Idempotency-Key": "my key"},
        b'{"name": "keyed"}',
    ),
    Odd(
        "POST",
        "/v1/projects",
        "with the Idempotency-Key of another request",
        {"Idempotency-Key": "key-1"},
        b'{"name": "keyed"}',
    ),
    Odd(
        "POST",
        "/v1/services/rests/tokens",
        "again, with the same Idempotency-Key",
        {"Idempotency-Key": "key-1"},
        b"{}",
    ),
    Odd("POST", "/v1/services", "with a body that is no JSON", content=b'{"name": '),
    Odd("POST", "/v1/services", "with a compressed body", {"Content-Encoding": "gzip"}, b"x"),
    Odd("POST", "/v1/services", "with a body above 1 MiB", content=b" " * (1024 * 1024 + 1)),
    Odd("GET", "/v1/folders/weights/files/absent", ""),
    Odd("GET", "/v1/folders/weights/files/model-definition.yaml", "with Range: bytes=1000-", {"Range": "bytes=1000-"}),
    Odd(
        "POST",
        "/v1/folders/weights/directories",
        "below a file",
        content=b'{"path": "model-definition.yaml/below"}',
    ),
    Odd(
        "POST",
        "/v1/folders/weights/moves",
        "to a path where something is",
        content=b'{"path": "README.md", "to": "model-definition.yaml"}',
    ),
    Odd(
        "PUT",
        "/v1/folders/weights/files/README.md",
        'with If-Match: "0000"',
        {"If-Match": '"0000"'},
        content=b"lost",
    ),
    Odd(
        "PUT",
        "/v1/folders/weights/files/README.md",
        "with If-None-Match: *",
        {"If-None-Match": "*"},
        content=b"lost",
    ),
    Odd("POST", _UPLOADS, "without Tus-Resumable", {"Upload-Length": "3", "Upload-Metadata": _metadata(path="a")}),
    Odd("POST", _UPLOADS, "without a path", {**_PART, "Upload-Metadata": ""}, b"abc"),
    Odd("POST", _UPLOADS, "to a path that leads out", {**_PART, "Upload-Metadata": _metadata(path="../a")}, b"abc"),
    Odd(
        "POST",
        _UPLOADS,
        "with a digest that is none",
        {**_PART, "Upload-Metadata": _metadata(path="a", sha256="x")},
        b"abc",
    ),
    Odd(
        "POST",
        _UPLOADS,
        "with another content than its digest says",
        {**_PART, "Upload-Metadata": _metadata(path="a", sha256=hashlib.sha256(b"abd").hexdigest())},
        b"abc",
    ),
    Odd(
        "POST",
        "/v1/folders/weights/archive",
        "with a Content-Type of another kind",
        {"Content-Type": "text/plain"},
        b"abc",
    ),
)
_ID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
NEEDED = {
    "stale-revision": "callers never see it: the change is tried again",
    "malformed-request": "the app-proxy's",
    "request-timeout": "the app-proxy's",
    "upstream-failed": "the app-proxy's",
    "upstream-timeout": "the app-proxy's",
    "malformed-message": "of the message bus",
    "bus-unavailable": "needs a message bus that is away (test_logs.py)",
    "unavailable": "needs parts that are away or busy",
    "locked": "needs two requests at once (test_api_folders.py)",
    "too-many-requests": "needs many at once",
    "insufficient-storage": "needs a full disk (tests/e2e/test_full_disk.py)",
}
"""Types that this page shows no example of, and why."""


async def _prepared(api: ManagerApi) -> dict[str, Api]:
    """Make what the requests need, and return who asks."""
    admin = api.admin
    viewer = await api.user("viewer", default="viewer")
    await admin.call("POST", "/v1/services", {**SERVICE, "name": "rests", "replicas": 0})
    await admin.call("POST", "/v1/services/rests/stop")
    key = {"Idempotency-Key": "key-1"}
    assert (await admin.http.post("/v1/services/rests/tokens", content=b"{}", headers=key)).status_code == 201
    await admin.call("PUT", "/v1/projects/default/secrets/used", {"value": "hf_token"})
    spec = {"runtime": "cmd", "image": "img", "secret_environ": {"HF_TOKEN": "used"}}
    await admin.call("PATCH", "/v1/services/rests", {"spec": spec})
    await admin.call("POST", "/v1/projects", {"name": "small", "quota": {"cpu": 1}})
    await admin.folder("data", {}, project="small")
    wrong = "models:\n  - {name: m, model_path: relative}\n"
    await admin.folder("weights", {"model-definition.yaml": wrong, "README.md": "a model"})
    return {"admin": admin, "viewer": viewer}


def _kinds(of: type[Problem] = Problem) -> Iterator[type[Problem]]:
    for kind in of.__subclasses__():
        if kind.__module__ == Problem.__module__:
            yield kind
            yield from _kinds(kind)


def _page(examples: list[tuple[str, str, str, dict[str, Any]]]) -> str:
    kinds = sorted({(kind.status, kind.type, " ".join((kind.__doc__ or "").split())) for kind in _kinds()})
    return "\n".join(
        [
            "# Refusals",
            "",
            "Written by a test (`make refusals`). Every refusal is `application/problem+json` (RFC 9457) with `type`, `title`, `status`, `detail`",
            "and `request_id`; wrong fields are listed in `errors` with `field`, `found` and `allowed`.",
            "",
            "| status | type | when |",
            "|---|---|---|",
            *(f"| {status} | `{kind}` | {text} |" for status, kind, text in kinds),
            "",
            "## As callers read them",
            "",
            "| request | answer |",
            "|---|---|",
            *(
                f"| `{method} {path}{' ' + body if body[:1] in ('{', '[') else ''}`{'' if body[:1] in ('{', '[', '') else ' ' + body}"
                f" | {found['status']} `{found['type'].rpartition(':')[2]}`: {_ID.sub('<id>', found['detail'])} |"
                for method, path, body, found in examples
            ),
            "",
        ]
    )


async def test_the_page_of_refusals_is_what_the_api_answers(api: ManagerApi) -> None:
    await api.admin.call("POST", "/v1/services", {**SERVICE, "name": "chat"})
    await api.admin.call("POST", "/v1/resource-presets", {"name": "small", "slots": {"cpu": 1}})
    examples = []
    for method, path, body in CASES:
        content = None if body is None else json.dumps(body)
        answer = await api.admin.http.request(method, path, content=content)
        found = answer.json()
        assert answer.status_code >= 400, f"{method} {path} {body}"
        shown = content if not isinstance(body, dict) or path != "/v1/services" or not body else _wrong(body)
        examples.append((method, path, shown or "", found))
        if found["type"].endswith(":invalid-request"):
            for error in found["errors"]:
                assert all(str(error.get(name, "")) for name in ("field", "found", "allowed")), (
                    f"{method} {path} {body}: {error}"
                )
                assert ("pointer" in error) is (body is not None and error["field"] not in {"…", "secret"}), (
                    f"{path} {body}: {error}"
                )
            assert found["detail"].count("found ") >= 1
            assert found["detail"].count("allowed: ") >= 1
    callers = await _prepared(api)
    for odd in ODD:
        http = callers[odd.of].http
        answer = await http.request(odd.method, odd.path, headers=dict(odd.headers), content=odd.content)
        assert answer.status_code >= 400, odd
        examples.append((odd.method, odd.path, odd.shown, answer.json()))
    await callers["viewer"].close()
    told = {found["type"].rpartition(":")[2] for *_, found in examples}
    assert {kind.type for kind in _kinds()} - told == set(NEEDED)
    text = _page(examples)
    if os.environ.get("HEADRACE_WRITE_REFUSALS"):
        PAGE.write_text(text, encoding="utf-8")
    assert PAGE.read_text(encoding="utf-8") == text, "run: make refusals"


def _wrong(body: dict[str, Any]) -> str:
    return json.dumps({name: value for name, value in body.items() if SERVICE.get(name) != value})
