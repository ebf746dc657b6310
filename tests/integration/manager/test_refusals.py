"""docs/refusals.md: every refusal of the API in one table, with the text that a caller reads, as really answered.

`make refusals` writes it anew.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from headrace.common.contracts.problems import Problem
from tests.support.manager_api import ManagerApi

PAGE = Path(__file__).parents[3] / "docs" / "refusals.md"
SERVICE: dict[str, Any] = {"name": "x", "runtime": "cmd", "image": "img"}
CASES: tuple[tuple[str, str, Any], ...] = (
    *(
        ("POST", "/v1/services", {**SERVICE, **wrong})
        for wrong in (
            {"name": "No Name"}, {"name": "v1"}, {"name": "chat"}, {"runtime": "custom"}, {"runtime": "best"}, {"extra": 1},
            {"slots": {"mem": "lots"}}, {"slots": {"cpu": 0}}, {"replicas": -1}, {"endpoint_port": 80}, {"environ": {"1A": "x"}},
            {"environ": {"A": None}}, {"environ": {"A": [1]}}, {"models": ["m", "m"]}, {"folder": "absent"}, {"project": "absent"},
            {"resource_group": "absent"}, {"balance": {"policy": "best"}}, {"limits": {"queue_timeout_s": 0}},
            {"caller_limits": {"in_flight": 0}}, {"extra_mounts": [{"folder": "absent"}]}, {"command": []}, {"port": 70_000},
            {"metadata": {"": "x"}}, {"tags": ["A"]}, {"image": "a b"}, {"rollout": {"max_unavailable": 2}},
            {"cors": {"allow_origins": ["https://app.example.com/"]}}, {"cors": {"allow_origins": ["*"], "allow_credentials": True}},
        )
    ),
    ("POST", "/v1/services", {}), ("POST", "/v1/services", []), ("PATCH", "/v1/services/chat", {}),
    ("PATCH", "/v1/services/absent", {"replicas": 1}), ("POST", "/v1/services/chat/rollback", {"revision": 9}),
    ("GET", "/v1/services/chat/revisions/x", None), ("POST", "/v1/services/chat/tokens", {"expires_in_s": 0}),
    ("POST", "/v1/services/chat/tokens", {"expires_in_s": 5, "expires_at": "2030-01-01T00:00:00Z"}),
    ("POST", "/v1/services/chat/rules", {}), ("POST", "/v1/services/chat/clients", {"name": ""}),
    ("GET", "/v1/services/chat/logs?tail=x", None), ("GET", "/v1/services?status=best", None), ("GET", "/v1/services?limit=0", None),
    ("POST", "/v1/folders", {"name": "a", "usage_mode": "x"}), ("POST", "/v1/projects", {"name": "p", "quota": {"cpu": -1}}),
    ("POST", "/v1/users", {"name": "admin"}), ("PUT", "/v1/projects/default/members/absent", {"role": "member"}),
    ("PUT", "/v1/projects/default/members/admin", {"role": "boss"}), ("DELETE", "/v1/projects/default", None),
    ("POST", "/v1/validations", {"runtime": "cmd", "image": "img", "project": "absent"}),
    ("GET", "/v1/absent", None), ("PUT", "/v1/services", {}),
)  # fmt: skip


def _kinds(of: type[Problem] = Problem) -> Iterator[type[Problem]]:
    for kind in of.__subclasses__():
        if kind.__module__ == Problem.__module__:
            yield kind
            yield from _kinds(kind)


def _page(examples: list[tuple[str, str, str, dict[str, Any]]]) -> str:
    kinds = sorted({(kind.status, kind.type, " ".join((kind.__doc__ or "").split())) for kind in _kinds()})
    return "\n".join([
        "# Refusals", "",
        "Written by a test (`make refusals`). Every refusal is `application/problem+json` (RFC 9457) with `type`, `title`, `status`, `detail`",
        "and `request_id`; wrong fields are listed in `errors` with `field`, `found` and `allowed`.", "",
        "| status | type | when |", "|---|---|---|", *(f"| {status} | `{kind}` | {text} |" for status, kind, text in kinds), "",
        "## As callers read them", "", "| request | answer |", "|---|---|",
        *(
            f"| `{method} {path}{' ' + body if body else ''}` | {found['status']} `{found['type'].rpartition(':')[2]}`: {found['detail']} |"
            for method, path, body, found in examples
        ),
        "",
    ])  # fmt: skip


async def test_the_page_of_refusals_is_what_the_api_answers(api: ManagerApi) -> None:
    await api.admin.call("POST", "/v1/services", {**SERVICE, "name": "chat"})
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
            assert found["detail"].count("found ") >= 1
            assert found["detail"].count("allowed: ") >= 1
    text = _page(examples)
    if os.environ.get("HEADRACE_WRITE_REFUSALS"):
        PAGE.write_text(text, encoding="utf-8")
    assert PAGE.read_text(encoding="utf-8") == text, "run: make refusals"


def _wrong(body: dict[str, Any]) -> str:
    return json.dumps({name: value for name, value in body.items() if SERVICE.get(name) != value})
