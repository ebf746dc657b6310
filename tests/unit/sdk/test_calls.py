from __future__ import annotations

import json
import socket
import ssl
import threading
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from aiohttp import web

from headrace.common.contracts.http.clients import CreateClient
from headrace.common.contracts.http.folders import CreateFolder
from headrace.common.contracts.http.keys import CreateKey
from headrace.common.contracts.http.projects import CreateProject
from headrace.common.contracts.http.services import CreateService, UpdateService
from headrace.common.contracts.http.tokens import CallerLimits, CreateToken, UpdateCaller, UpdateToken
from headrace.common.contracts.http.users import CreateUser
from headrace.common.contracts.http.validations import StartValidation
from headrace.common.contracts.revision import RevisionSpec
from headrace.common.contracts.rule import Comparator, MetricSource, RuleSpec
from headrace.sdk import (
    AnswerLostError,
    ApiError,
    ApiReason,
    Client,
    UnexpectedAnswerError,
    UnreachableError,
    transport,
)
from tests.support.fakes.manager_api import KEY, NOW, FakeManagerApi, problem, service_view, uid
from tests.support.ports import free_port

PROJECT = {"id": uid(2), "name": "p", "description": "", "quota": {"cpu": "4"}, "created_at": NOW}
USER = {"id": uid(3), "name": "ann", "operator": False, "created_at": NOW}
KEY_VIEW = {"id": uid(4), "name": "default", "created_at": NOW, "expires_at": None}
TOKEN = {"id": uid(5), "name": "", "created_by": "ann", "created_at": NOW, "expires_at": NOW, "revoked_at": None}
REVOCATION = {
    "id": uid(5),
    "in_force": False,
    "applied": [],
    "missing": [{"proxy_id": "proxy-1", "heard_s": 1, "reason": {"code": "a", "text": "b"}}],
    "reason": {"code": "a", "text": "b"},
}
FOLDER = {"id": uid(6), "name": "f", "project_id": uid(2), "usage_mode": "model", "created_at": NOW}
RULE = RuleSpec(
    source=MetricSource.KERNEL,
    metric="cpu_util",
    comparator=Comparator.GREATER_THAN,
    threshold=1,
    step=1,
    max_replicas=3,
)
RULE_VIEW = {"id": uid(7), "spec": RULE.model_dump(mode="json"), "created_at": NOW}
VALIDATION = {
    "id": uid(8),
    "kind": "validation",
    "status": "pending",
    "done": False,
    "verdict": None,
    "reason": {"code": "a", "text": "b"},
    "started_at": NOW,
}


def page(*items: Any, next_: str | None = None) -> dict[str, Any]:
    return {"items": list(items), "next": next_}


def test_projects_users_and_keys(there: FakeManagerApi, client: Client) -> None:
    there.on("POST", "/v1/projects", PROJECT, status=201)
    made = client.projects.create(CreateProject(name="p", quota={"cpu": Decimal(4)}))
    assert made.quota == {"cpu": Decimal(4)}
    assert there.bodies == [{"name": "p", "quota": {"cpu": "4"}}]
    there.on("GET", "/v1/projects", page(PROJECT))
    assert [p.name for p in client.projects.list()] == ["p"]
    there.on("PUT", "/v1/projects/p/members/ann", {"user": "ann", "role": "owner"})
    assert client.projects.put_member("p", "ann", "owner").role == "owner"
    there.on("GET", "/v1/projects/p/usage", {"used": {"cpu": "1.5"}})
    assert client.projects.usage("p").used == {"cpu": Decimal("1.5")}
    there.on("DELETE", "/v1/projects/p", lambda: web.Response(status=204))
    client.projects.delete("p")
    there.on("POST", "/v1/users", USER, status=201)
    assert client.users.create(CreateUser(name="ann")).name == "ann"
    there.on("POST", "/v1/users/ann/keys", {**KEY_VIEW, "key": "hr_x"}, status=201)
    assert client.users.create_key("ann", CreateKey(name="ci")).key == "hr_x"
    there.on("GET", "/v1/whoami", {"user": USER, "projects": {"p": "owner"}})
    assert client.whoami().projects == {"p": "owner"}


def test_services_send_only_what_was_set(there: FakeManagerApi, client: Client) -> None:
    there.on("POST", "/v1/services", service_view(), status=201)
    assert client.services.create(CreateService(name="echo", folder="f")).phase == "deploying"
    there.on("PATCH", "/v1/services/echo", service_view())
    client.services.update("echo", UpdateService(spec=RevisionSpec(folder="f", port=80), message="why"))
    client.services.scale("echo", 3)
    assert there.bodies == [
        {"name": "echo", "folder": "f"},
        {"spec": {"folder": "f", "port": 80}, "message": "why"},
        {"replicas": 3, "message": ""},
    ]
    for action in ("start", "stop", "retry"):
        there.on("POST", f"/v1/services/echo/{action}", service_view(phase="stopping"))
        assert getattr(client.services, action)("echo").phase == "stopping"
    there.on("POST", "/v1/services/echo/rollback", service_view())
    client.services.rollback("echo", 2, message="bad")
    assert there.bodies[-1] == {"revision": 2, "message": "bad"}


def test_delete_says_whether_it_is_gone_already(there: FakeManagerApi, client: Client) -> None:
    there.on(
        "DELETE",
        "/v1/services/echo",
        lambda: web.json_response(service_view(phase="stopping"), status=202),
        lambda: web.Response(status=204),
    )
    going = client.services.delete("echo")
    assert going is not None
    assert going.phase == "stopping"
    assert client.services.delete("echo") is None


def test_lists_filter_and_fetch_page_by_page(there: FakeManagerApi, client: Client) -> None:
    there.on("GET", "/v1/services", page(service_view("a"), service_view("b"), next_="c1"), page(service_view("c")))
    names = client.services.list(project="p", mine=True, phase="deployed")
    assert there.seen == []
    assert next(names).name == "a"
    assert len(there.seen) == 1
    assert [s.name for s in names] == ["b", "c"]
    assert [query for _, query in there.seen] == [
        "/v1/services?limit=200&project=p&phase=deployed&mine=true",
        "/v1/services?limit=200&project=p&phase=deployed&mine=true&cursor=c1",
    ]


def test_services_are_sorted_counted_and_searched(there: FakeManagerApi, client: Client) -> None:
    there.on("GET", "/v1/services", page(service_view("a")))
    chosen = client.services.list(tag="gpu", runtime="vllm", folder="f", agent="agent-1", sort="name", order="desc")
    assert [s.name for s in chosen] == ["a"]
    by_status = {"healthy": 1, "degraded": 0, "unhealthy": 0}
    by_phase = {"deploying": 0, "deployed": 1, "stopping": 0, "stopped": 0, "failed": 0}
    there.on(
        "GET",
        "/v1/services/counts",
        {"counted": 1, "complete": True, "by_status": by_status, "by_phase": by_phase},
    )
    assert client.services.counts(agent="agent-1").by_phase["deployed"] == 1
    there.on("GET", "/v1/search", {"items": [{"kind": "machine", "id": "agent-1", "name": "agent-1"}], "more": []})
    assert client.search("agent", kind="machine", limit=5).items[0].id == "agent-1"
    assert [query for _, query in there.seen] == [
        "/v1/services?limit=200&tag=gpu&runtime=vllm&folder=f&agent=agent-1&sort=name&order=desc",
        "/v1/services/counts?agent=agent-1",
        "/v1/search?q=agent&kind=machine&limit=5",
    ]


def test_a_list_that_does_not_end_is_noticed(there: FakeManagerApi, client: Client) -> None:
    there.on("GET", "/v1/agents", page(next_="same"))
    with pytest.raises(UnexpectedAnswerError, match="does not end"):
        list(client.agents.list())


def test_tokens_rules_history_validations(there: FakeManagerApi, client: Client) -> None:
    there.on("POST", "/v1/services/echo/tokens", {**TOKEN, "token": "ey"}, status=201)
    assert client.tokens.create("echo").token == "ey"
    client.tokens.create("echo", CreateToken(expires_at=datetime(2027, 1, 1, tzinfo=UTC)))
    assert there.bodies == [{}, {"expires_at": "2027-01-01T00:00:00Z"}]
    there.on("DELETE", f"/v1/services/echo/tokens/{uid(5)}", REVOCATION)
    assert client.tokens.revoke("echo", uid(5)).missing[0].proxy_id == "proxy-1"
    there.on("POST", "/v1/services/echo/rules", RULE_VIEW, status=201)
    assert client.rules.create("echo", RULE).spec == RULE
    there.on("PUT", f"/v1/services/echo/rules/{uid(7)}", RULE_VIEW)
    client.rules.replace("echo", uid(7), RULE)
    there.on("GET", "/v1/services/echo/rules", page(RULE_VIEW))
    assert len(list(client.rules.list("echo"))) == 1
    revision = {"number": 1, "spec": {"folder": "f"}, "created_at": NOW, "created_by": "ann", "message": ""}
    there.on("GET", "/v1/services/echo/revisions", page(revision))
    assert next(client.services.revisions("echo")).spec.folder == "f"
    effective = {
        "runtime": "custom",
        "model_name": "m",
        "image": "i",
        "architecture": None,
        "command": [],
        "port": 80,
        "model_path": "/models",
        "health_check": None,
        "slots": {"cpu": "1"},
        "later": 1,
        "pre_start_actions": [{"action": "of a later version", "args": {}}],
    }
    there.on("GET", "/v1/services/echo/revisions/1", {**revision, "effective": effective})
    assert client.services.revision("echo", 1).effective.port == 80, "parts that a later version knows do not matter"
    there.on("POST", "/v1/validations", VALIDATION, status=201)
    there.on("GET", f"/v1/validations/{uid(8)}", VALIDATION, {**VALIDATION, "done": True, "verdict": "failed"})
    started = client.validations.start(StartValidation(folder="f"))
    seen: list[bool] = []
    assert client.validations.wait(started.id, every_s=0, progress=lambda v: seen.append(v.done)).verdict == "failed"
    assert seen == [False, True]


def test_folders(there: FakeManagerApi, client: Client) -> None:
    there.on("POST", "/v1/folders", FOLDER, status=201)
    assert client.folders.create(CreateFolder(name="f")).name == "f"
    there.on("GET", "/v1/folders", page(FOLDER))
    assert len(list(client.folders.list(usage_mode="model"))) == 1
    entry = {"path": "a/b", "kind": "file", "size_bytes": 3, "modified_at": NOW}
    there.on("GET", "/v1/folders/f/files", page(entry))
    assert next(client.folders.files("f", "a", recursive=True, project="p")).size_bytes == 3
    assert there.seen[-1][1] == "/v1/folders/f/files?limit=200&path=a&recursive=true&project=p"


def test_a_refusal_carries_the_problem(there: FakeManagerApi, client: Client) -> None:
    wrong = [{"field": "replicas", "found": -1, "allowed": "0 or more"}]
    there.on("POST", "/v1/services/echo/start", lambda: problem("invalid-request", 400, errors=wrong))
    with pytest.raises(ApiError, match="it is invalid-request") as refused:
        client.services.start("echo")
    assert (refused.value.type, refused.value.status, refused.value.errors) == ("invalid-request", 400, tuple(wrong))
    assert refused.value.request_id == "r1"


@pytest.mark.parametrize(
    ("sent", "reason"),
    [
        ({"reason": "database-busy"}, ApiReason.DATABASE_BUSY),
        ({"reason": "of-a-newer-version"}, "of-a-newer-version"),
        ({"reason": {"code": 1}}, None),
        ({}, None),
    ],
)
def test_a_refusal_carries_the_reason_as_a_code_to_switch_on(
    there: FakeManagerApi, client: Client, sent: dict[str, object], reason: str | None
) -> None:
    there.on("GET", "/v1/whoami", lambda: problem("unavailable", 503, **sent))
    with pytest.raises(ApiError) as refused:
        client.whoami()
    assert refused.value.reason == reason
    assert isinstance(refused.value.reason, ApiReason) == isinstance(reason, ApiReason)


def test_when_to_come_back(there: FakeManagerApi, client: Client) -> None:
    def busy() -> web.Response:
        response = problem("too-many-requests", 429)
        response.headers["Retry-After"] = "7"
        return response

    there.on("GET", "/v1/whoami", busy)
    with pytest.raises(ApiError) as refused:
        client.whoami()
    assert refused.value.retry_after_s == 7


@pytest.mark.parametrize("body", [b"<html>Bad gateway</html>", b"[]", b"\xff\xfe", b""])
def test_a_refusal_without_a_problem(there: FakeManagerApi, client: Client, body: bytes) -> None:
    there.on("GET", "/v1/whoami", lambda: web.Response(status=502, body=body))
    with pytest.raises(ApiError, match="GET /v1/whoami: 502 Bad Gateway") as refused:
        client.whoami()
    assert refused.value.type == "http-502"


@pytest.mark.parametrize("body", [b"<html>hello</html>", b"{}", b""])
def test_an_answer_that_is_no_such_thing(there: FakeManagerApi, client: Client, body: bytes) -> None:
    there.on("GET", "/v1/whoami", lambda: web.Response(body=body))
    with pytest.raises(UnexpectedAnswerError, match="not a WhoAmI"):
        client.whoami()


def test_a_redirection_is_not_followed_with_the_key(there: FakeManagerApi, client: Client) -> None:
    there.on("GET", "/v1/whoami", lambda: web.Response(status=302, headers={"Location": "https://elsewhere.example"}))
    with pytest.raises(UnexpectedAnswerError, match="is this the manager's URL"):
        client.whoami()


def test_a_wrong_key(there: FakeManagerApi) -> None:
    with Client(there.url, "hr_wrong") as client, pytest.raises(ApiError) as refused:
        client.whoami()
    assert (refused.value.type, refused.value.status) == ("unauthenticated", 401)


@pytest.mark.parametrize("name", ["../users", "a/b", "..", ".", "", "a?b#c", "ü", "a%2Fb"])
def test_a_name_cannot_become_another_path(there: FakeManagerApi, client: Client, name: str) -> None:
    with pytest.raises(ApiError):
        client.services.get(name)
    ((_, path),) = there.seen
    assert path.startswith("/v1/services/")
    assert path.count("/") == 3
    assert "?" not in path


def test_a_server_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    with Client(f"http://127.0.0.1:{free_port()}", KEY, retries=2) as client:
        waits: list[float] = []
        monkeypatch.setattr(client._transport, "sleep", waits.append)
        with pytest.raises(UnreachableError, match=r"cannot reach http://127.0.0.1:\d+/v1/whoami"):
            client.whoami()
        assert waits == pytest.approx([0.1, 0.3])
        waits.clear()
        with pytest.raises(UnreachableError):
            client.services.start("echo")
        assert waits == []


def test_a_broken_answer_is_asked_for_again_only_if_that_is_safe() -> None:
    """A server that closes the first connection without a word."""
    asked: list[bytes] = []
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        Client(f"http://127.0.0.1:{server.getsockname()[1]}", KEY) as client,
    ):

        def serve() -> None:
            for number in range(3):
                connection, _ = server.accept()
                with connection:
                    asked.append(connection.recv(65536).split(b" ", 2)[0])
                    if number == 1:
                        body = b'{"version":"1"}'
                        connection.sendall(
                            b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)
                        )

        thread = threading.Thread(target=serve)
        thread.start()
        assert client.version().version == "1"
        with pytest.raises(AnswerLostError):
            client.services.start("echo")
        thread.join()
    assert asked == [b"GET", b"GET", b"POST"]


def test_a_creation_whose_answer_is_lost_is_sent_again_with_the_same_idempotency_key() -> None:
    """A server that closes the first connection without a word."""
    asked: list[bytes] = []
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        Client(f"http://127.0.0.1:{server.getsockname()[1]}", KEY) as client,
    ):

        def serve() -> None:
            for number in range(2):
                connection, _ = server.accept()
                with connection:
                    asked.append(connection.recv(65536))
                    if number:
                        body = json.dumps(PROJECT, default=str).encode()
                        head = b"HTTP/1.1 201 Created\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % len(body)
                        connection.sendall(head + body)

        thread = threading.Thread(target=serve)
        thread.start()
        assert client.projects.create(CreateProject(name="p")).name == PROJECT["name"]
        thread.join()
    keys = [next(line for line in head.split(b"\r\n") if line.startswith(b"Idempotency-Key: ")) for head in asked]
    assert keys[0] == keys[1]


def test_a_client_of_a_server_without_tls_reads_no_authorities(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[object] = []
    create = ssl.create_default_context

    def counted(**more: Any) -> ssl.SSLContext:
        asked.append(more)
        return create(**more)

    monkeypatch.setattr(ssl, "create_default_context", counted)
    Client("http://127.0.0.1:9", KEY).close()
    assert asked == []
    Client("https://127.0.0.1:9", KEY).close()
    assert len(asked) == 1


def test_a_silent_server_is_not_waited_for_ever() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}"
        with Client(url, KEY, timeout_s=0.2) as client, pytest.raises(AnswerLostError):
            client.whoami()


@pytest.mark.parametrize("url", ["", "localhost:8080", "ftp://x", "file:///etc"])
def test_what_is_no_url(url: str) -> None:
    with pytest.raises(ValueError, match="not a URL"):
        Client(url, KEY)


def test_clients_project_tokens_and_limits(there: FakeManagerApi, client: Client) -> None:
    view = {
        "id": uid(9),
        "name": "robot",
        "limits": {"in_flight": 3},
        "share": 2,
        "created_by": "ann",
        "created_at": NOW,
        "rotated_at": None,
    }
    at = "/v1/services/echo/clients"
    there.on("POST", at, {**view, "secret": "hrc_x"}, status=201)
    assert client.clients.create("echo", CreateClient(name="robot", limits=CallerLimits(in_flight=3))).secret == "hrc_x"
    there.on("GET", at, page(view))
    assert [c.limits.in_flight for c in client.clients.list("echo")] == [3]
    there.on("POST", f"{at}/robot/rotate", {**view, "secret": "hrc_y"})
    assert client.clients.rotate("echo", "robot").secret == "hrc_y"
    there.on("PATCH", f"{at}/robot", view)
    client.clients.update("echo", "robot", UpdateCaller(limits=CallerLimits(in_flight=None), share=3))
    there.on("DELETE", f"{at}/robot", REVOCATION)
    assert client.clients.revoke("echo", "robot").in_force is False
    there.on("PATCH", f"/v1/services/echo/tokens/{uid(5)}", TOKEN)
    client.tokens.update("echo", uid(5), UpdateToken(limits=None))
    there.on("POST", "/v1/projects/p/tokens", {**TOKEN, "token": "ey"}, status=201)
    assert client.project_tokens.create("p").token == "ey"
    there.on("DELETE", f"/v1/projects/p/tokens/{uid(5)}", REVOCATION)
    client.project_tokens.revoke("p", uid(5))
    assert there.bodies == [
        {"name": "robot", "limits": {"in_flight": 3}},
        {"limits": {"in_flight": None}, "share": 3},
        {"limits": None},
        {},
    ]


def test_an_older_manager_does_not_say_where_a_revocation_is_in_force(there: FakeManagerApi, client: Client) -> None:
    there.on("DELETE", f"/v1/services/echo/tokens/{uid(5)}", lambda: web.Response(status=204))
    there.on("DELETE", "/v1/services/echo/clients/robot", lambda: web.Response(status=204))
    seen = client.tokens.revoke("echo", uid(5))
    assert (str(seen.id), seen.in_force, seen.reason.code) == (uid(5), None, "not-told")
    assert client.clients.revoke("echo", "robot").in_force is None


def test_a_request_without_an_answer_is_said_once(there: FakeManagerApi, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "SLOW_S", 0.01)
    told: list[str] = []
    said = threading.Event()

    def tell(text: str) -> None:
        told.append(text)
        said.set()

    def late() -> web.Response:
        assert said.wait(20)
        return web.json_response(PROJECT)

    there.on("GET", "/v1/projects/p", late)
    with Client(there.url, KEY, on_wait=tell, timeout_s=25) as patient:
        assert patient.projects.get("p").name == "p"
        assert patient.projects.get("p").name == "p"
    assert told == [f"no answer from {there.url} yet, waiting up to 25 s"]


def test_dry_runs_and_checks_send_what_is_asked_and_nothing_else(there: FakeManagerApi, client: Client) -> None:
    answer = {"service": "echo", "project": "p", "effect": "nothing", "revision": 1, "effective": None}
    there.on("POST", "/v1/resolutions", answer, answer)
    assert client.services.resolve(CreateService(name="echo", folder="f")).effect == "nothing"
    assert client.services.resolve_update("echo", UpdateService(tags=("x",))).problems == ()
    checked = {"path": "a.yaml", "kind": "model-definition", "valid": True}
    there.on("POST", "/v1/folders/f/check", checked, checked)
    assert client.folders.check("f", "a.yaml").valid
    assert client.folders.check("f", "a.yaml", text="models: []").names == ()
    there.on("GET", "/v1/schemas/model-definition", {"title": "model-definition"})
    assert client.folders.schema("model-definition") == {"title": "model-definition"}
    assert there.bodies == [
        {"create": {"name": "echo", "folder": "f"}},
        {"service": "echo", "update": {"tags": ["x"]}},
        {"path": "a.yaml"},
        {"path": "a.yaml", "text": "models: []"},
    ]


def test_a_model_of_the_store_is_run_as_its_files_say(there: FakeManagerApi, client: Client) -> None:
    facts = {"name": "owls", "folder_id": uid(6), "project": "p", "project_id": uid(2), "size_bytes": 1, "files": 2}
    said = {"models": ["owl"], "metadata": None, "runtime": "vllm", "image": None, "architecture": None}
    model = {**facts, **said, "needs": {"cpu": "1"}, "fit": {"fits": True}, "problem": None}
    there.on("GET", "/v1/models", page(model))
    (found,) = client.models.list(task="chat", q="o")
    assert (found.runtime, found.fit and found.fit.fits) == ("vllm", True)
    there.on("GET", "/v1/models/owls", {**model, "entries": [], "sections": []})
    there.on("POST", "/v1/services", service_view("echo"), status=201)
    assert client.models.run("owls", project="p", name="echo", replicas=2).name == "echo"
    body = {"name": "echo", "project": uid(2), "folder": uid(6), "runtime": "vllm", "replicas": 2}
    assert there.bodies == [body]
