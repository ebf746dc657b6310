"""Who may do what: no key, no answer; foreign projects do not exist; roles; keys that end; the first start."""

from __future__ import annotations

import asyncio
import re
from datetime import timedelta
from pathlib import Path

import httpx
import pytest

from headrace.common.contracts.ids import KeyId, new_uuid
from headrace.common.contracts.keyform import API_KEY
from headrace.common.db.pool import Pool
from headrace.common.runtime.clock import utc_now
from headrace.manager.api.app import ENDPOINTS
from headrace.manager.domain.console import BrowserRequest, ConsolePolicy
from headrace.manager.signing import Vault
from headrace.manager.usecases.auth import Authentication, Presented
from headrace.manager.usecases.bootstrap import bootstrap
from headrace.manager.usecases.tokens import SigningKeys
from tests.support.api import TUS, Api
from tests.support.worlds.manager_api import ManagerApi

PUBLIC = {("GET", "/v1/openapi.json"), ("GET", "/v1/version"), ("OPTIONS", "/v1/folders/{folder}/uploads")}
WITHOUT_PROJECT = {
    "/v1/users/{user}",
    "/v1/whoami",
    "/v1/projects",
    "/v1/users",
    "/v1/folders",
    "/v1/folder-invitations",
    "/v1/trash",
    "/v1/models",
    "/v1/resource-presets",
    "/v1/resource-groups",
    "/v1/services",
    "/v1/services/available",
    "/v1/services/counts",
    "/v1/search",
    "/v1/events",
    "/v1/usage",
    "/v1/usage.csv",
    "/v1/metrics/now",
    "/v1/validations",
    "/v1/users/{user}/keys",
    "/v1/users/{user}/keys/{key_id}",
    "/v1/login",
    "/v1/login-codes",
    "/v1/users/{user}/logins",
    "/v1/users/{user}/logins/{login_id}",
    "/v1/users/{user}/password",
}
JOINING = {"POST": (400,), "GET": (200, 404)}
"""Answers to a stranger below /v1/join: who sends no join token, or no proof of a key, joins and renews nothing."""
OF_OPERATORS = (
    "/v1/agents",
    "/v1/removed-agents",
    "/v1/join-tokens",
    "/v1/identities",
    "/v1/audit",
    "/v1/resource-groups/",
)
"""Beginnings of the paths that are refused to everybody else, whatever they name."""
USED = """
insert into request_usage select date_trunc('hour', now()), id, revision_id, 'public', id, project_id, null, 1, 0, 0, 1, 1, 0, 0, now() from services
"""
WINDOW = """
insert into metric_windows select id, date_trunc('minute', now()) - interval '10 seconds', 'proxy-1', '{"refused": {"queue-full": 1}}' from services
"""
BODIES = {
    "create_webhook": {"name": "x", "url": "https://hooks.example.com/in", "secret": "x"},
    "update_webhook": {"enabled": False},
    "put_secret": {"value": "x"},
    "resolve": {"service": "red-service", "update": {"replicas": 2}},
    "check_definition": {"path": "model-definition.yaml", "text": "models: []"},
    "update_resource_group": {"projects": None},
    "update_resource_preset": {"description": "x"},
    "start_login": {"key": "hr_x", "token": True},
    "put_password": {"password": "correct horse battery"},
    "update_rule": {"enabled": False},
    "update_agent": {"addresses": ["10.0.0.1"]},
    "cordon_agent": {},
    "label_agent": {"labels": {"rack": "r1"}},
    "drain_agent": {},
    "create_join_token": {"kind": "agent"},
    "send_selection": {"paths": ["a"]},
    "update_folder": {"name": "other"},
    "restore_folder": {},
    "share_folder": {"project": "blue"},
    "accept_folder_invitation": {},
    "create_directory": {"path": "a"},
    "move_file": {"path": "f", "to": "g"},
    "update_project": {"description": "x"},
    "put_member": {"role": "viewer"},
    "update_service": {"replicas": 2},
    "roll_back_service": {"revision": 1},
    "create_token": {},
    "create_project_token": {},
    "update_token": {"share": 2},
    "update_project_token": {"share": 2},
    "update_client": {"share": 2},
    "create_client": {"name": "a-robot"},
    "put_weight": {"weight": 1},
    "replace_replica": {},
    "pause_rollout": {},
    "promote_rollout": {},
    "abort_rollout": {},
    "add_rule": {
        "source": "kernel",
        "metric": "cpu_util",
        "comparator": "GREATER_THAN",
        "threshold": 1,
        "step": 1,
        "max_replicas": 2,
    },
    "call_service": {},
    "replace_rule": {
        "source": "kernel",
        "metric": "cpu_util",
        "comparator": "GREATER_THAN",
        "threshold": 1,
        "step": 1,
        "max_replicas": 2,
    },
}


async def ask(http: httpx.AsyncClient, method: str, path: str, name: str = "") -> httpx.Response:
    """Make a request of the declared kind with a body that would be right."""
    if "/uploads" in path:
        headers = {
            **TUS,
            "Upload-Length": "1",
            "Upload-Offset": "0",
            "Upload-Metadata": "path YQ==",
            "Content-Type": "application/offset+octet-stream",
        }
        return await http.request(method, path, headers=headers)
    if path.endswith("/archive"):
        return await http.request(method, path, headers={"Content-Type": "application/x-tar"}, content=b"\0" * 1024)
    return (
        await http.request(method, path, json=BODIES.get(name)) if name in BODIES else await http.request(method, path)
    )


async def test_every_route_but_the_public_ones_needs_a_key(api: ManagerApi) -> None:
    async with httpx.AsyncClient(verify=False, timeout=60, base_url=api.url) as stranger:
        for endpoint in ENDPOINTS:
            path = re.sub(r"\{[^}]*\}", str(new_uuid()), endpoint.path)
            answer = await ask(stranger, endpoint.method, path, endpoint.handler.__name__)
            if (endpoint.method, endpoint.shown_path) in PUBLIC:
                assert answer.status_code < 300
            elif endpoint.public and re.match("/v1/join(/|$)", path):
                assert answer.status_code in JOINING[endpoint.method], endpoint
            elif endpoint.shown_path == "/v1/schemas/{name}":
                assert answer.status_code == 404, "it asks for no schema that there is"
                assert (await stranger.get("/v1/schemas/model-definition")).status_code == 200
            else:
                assert answer.status_code == 401, endpoint
                assert answer.headers["WWW-Authenticate"].startswith("Bearer")
        for path in ("/livez", "/readyz", "/metrics"):
            assert (await stranger.get(path)).status_code == 200
        for header in (
            "",
            "Bearer",
            "Bearer x",
            f"Basic {api.admin.key}",
            f"Bearer {api.admin.key[:-1]}",
            f"Bearer {api.admin.key}x",
            "Bearer hr_" + "0" * 32 + "_" + "x" * 43,
            api.admin.key[:36] + "A" * 43,
        ):
            answer = await stranger.get("/v1/whoami", headers={"Authorization": header})
            assert answer.status_code == 401, header
            assert api.admin.key not in answer.text


async def test_two_projects_do_not_see_each_other_on_any_route(api: ManagerApi) -> None:
    for name in ("red", "blue"):
        await api.admin.call("POST", "/v1/projects", {"name": name})
    red, blue = await api.user("red-user", red="owner"), await api.user("blue-user", blue="owner")
    folder = await red.folder("secret", {"model-definition.yaml": "x", "f": "1"}, project="red")
    service = await red.call("POST", "/v1/services", {"name": "red-service", "runtime": "cmd", "folder": "secret"})
    replica, kernel = await api.runs("red-service")
    await api.behind.say(kernel, "2026-01-01T00:00:00Z a secret line")
    token = await red.call("POST", "/v1/services/red-service/tokens", {})
    client = await red.call("POST", "/v1/services/red-service/clients", {"name": "robot"})
    spent = await red.call("POST", "/v1/services/red-service/tokens", {})
    revocation = await red.call("DELETE", f"/v1/services/red-service/tokens/{spent['id']}")
    rule = await red.call("POST", "/v1/services/red-service/rules", BODIES["add_rule"])
    await red.call("PUT", "/v1/projects/red/secrets/hub-token", {"value": "a secret line"})
    await red.call("PUT", "/v1/projects/red/secrets/key", {"value": "k" * 24})
    hook = {"name": "red-hook", "url": "https://hooks.example.com/in", "secret": "key"}
    await red.call("POST", "/v1/projects/red/webhooks", hook)
    size = await red.call("POST", "/v1/resource-presets", {"name": "red-size", "project": "red", "slots": {"cpu": 1}})
    run = await red.call("POST", "/v1/validations", {"runtime": "cmd"})
    upload = (await ask(red.http, "POST", f"/v1/folders/{folder}/uploads")).headers["Location"].rpartition("/")[2]
    invitation = await red.call("POST", f"/v1/folders/{folder}/shares", {"user": "red-user"})
    project = (await red.call("GET", "/v1/projects/red"))["id"]
    entry = (await red.call("GET", "/v1/audit?project=red&action=folder.created"))["items"][0]["id"]
    places = {
        "project": ("red", project),
        "folder": ("secret", folder),
        "model": ("secret", folder),
        "service": ("red-service", service["id"]),
        "user": ("red-user",),
        "validation": (run["id"],),
        "path": ("f",),
        "audit_entry": (entry,),
        "replica": (str(replica),),
        "revision": (1,),
        "token_id": (token["id"],),
        "client": ("robot", client["id"]),
        "rule_id": (rule["id"],),
        "upload": (upload,),
        "share": (invitation["id"],),
        "invitation": (invitation["id"],),
        "id": (revocation["id"],),
        "agent": ("agent-1",),
        "name": ("agent-1",),
        "join_token": (str(replica),),
        "secret": ("hub-token",),
        "webhook": ("red-hook",),
        "preset": ("red-size", size["id"]),
        "group": ("default",),
    }
    key = await api.admin.call("POST", "/v1/users/admin/keys", {"projects": ["blue"]})
    limited = Api(api.url, key["key"])  # of an operator, who owns both
    looked_at = 0
    for endpoint in ENDPOINTS:
        if endpoint.shown_path in WITHOUT_PROJECT or endpoint.public:
            continue
        assert set(endpoint.places) <= set(places), endpoint
        for choice in (0, -1):
            path = endpoint.shown_path.format(**{name: places[name][choice] for name in endpoint.places})
            for stranger in (blue, limited):
                answer = await ask(stranger.http, endpoint.method, path, endpoint.handler.__name__)
                of_operators = path.startswith(OF_OPERATORS) and "audit_entry" not in endpoint.places
                expected = 403 if of_operators else 404
                assert answer.status_code == expected, (endpoint.method, path, answer.text)
                assert answer.headers["Content-Type"] == "application/problem+json" or endpoint.method == "HEAD"
                assert "a secret line" not in answer.text
                looked_at += 1
    assert looked_at > 100
    await blue.call("GET", "/v1/resource-presets?project=red", expect=404)
    for path in ("/v1/projects", "/v1/folders", "/v1/trash", "/v1/services", "/v1/resource-presets"):
        names = [item["name"] for item in (await blue.call("GET", path))["items"]]
        assert names in ([], ["blue"]), path
    assert (await blue.call("GET", "/v1/search?q=red"))["items"] == []
    assert (await blue.call("GET", "/v1/services/counts"))["counted"] == 0
    await api.pool.execute(USED)
    await api.pool.execute(WINDOW)
    for reader in (blue, limited):
        assert (await reader.call("GET", "/v1/usage?by=service"))["items"] == []
        assert (await reader.call("GET", "/v1/metrics/now"))["items"] == []
        await reader.call("GET", "/v1/usage?project=red", expect=404)
        await reader.call("GET", "/v1/usage.csv?service=red-service", expect=404)
    assert [one["name"] for one in (await red.call("GET", "/v1/metrics/now"))["items"]] == ["red-service"]
    await limited.close()
    await blue.call("GET", "/v1/users", expect=403)
    await blue.call("GET", "/v1/users/red-user", expect=404)
    await blue.call("GET", "/v1/users/red-user/keys", expect=404)
    await blue.call("POST", "/v1/users/red-user/keys", {}, expect=404)
    await blue.call("POST", "/v1/services", {"name": "x", "runtime": "cmd", "folder": folder}, expect=404)
    await blue.call("POST", "/v1/services", {"name": "x", "runtime": "cmd", "project": "red"}, expect=404)
    assert (await blue.call("GET", "/v1/services/available?name=red-service"))["available"] is False
    assert (await red.service("red-service"))["name"] == "red-service", "nothing was changed"
    await red.close()
    await blue.close()


async def test_roles(api: ManagerApi) -> None:
    owner, member, viewer = [await api.user(f"{role}-user", default=role) for role in ("owner", "member", "viewer")]
    problem = await viewer.call("POST", "/v1/services", {"name": "a", "runtime": "cmd"}, expect=403)
    assert "owners and members" in problem["detail"]
    await member.call("POST", "/v1/services", {"name": "a", "runtime": "cmd"})
    await viewer.call("GET", "/v1/services/a")
    for method, path, body in (
        ("PATCH", "/v1/services/a", {"replicas": 2}),
        ("DELETE", "/v1/services/a", None),
        ("POST", "/v1/services/a/stop", None),
        ("POST", "/v1/services/a/tokens", {}),
        ("POST", "/v1/folders", {"name": "f"}),
        ("POST", "/v1/validations", {"runtime": "cmd"}),
        ("POST", "/v1/projects/default/tokens", {}),
        ("POST", "/v1/services/a/clients", {"name": "robot"}),
        ("PUT", "/v1/projects/default/members/viewer-user", {"role": "owner"}),
        ("DELETE", "/v1/projects/default", None),
    ):
        await viewer.call(method, path, body, expect=403)
    await member.call("PUT", "/v1/projects/default/members/member-user", {"role": "owner"}, expect=403)
    await member.call("POST", "/v1/users", {"name": "x"}, expect=403)
    await owner.call("POST", "/v1/projects", {"name": "x"}, expect=403)
    await owner.call("PUT", "/v1/projects/default/members/viewer-user", {"role": "member"})
    await viewer.call("PATCH", "/v1/services/a", {"replicas": 2})
    assert (await viewer.call("GET", "/v1/whoami"))["projects"] == {"default": "member"}
    await owner.call("DELETE", "/v1/projects/default/members/viewer-user")
    await viewer.call("GET", "/v1/services/a", expect=404)
    members = (await owner.call("GET", "/v1/projects/default/members"))["items"]
    assert [(m["user"], m["role"]) for m in members] == [
        ("admin", "owner"),
        ("owner-user", "owner"),
        ("member-user", "member"),
    ]
    await owner.call("DELETE", "/v1/projects/default/members/admin")
    await owner.call("DELETE", "/v1/projects/default/members/owner-user", expect=409)
    await owner.call("PUT", "/v1/projects/default/members/owner-user", {"role": "viewer"}, expect=409)
    for caller in (owner, member, viewer):
        await caller.close()


async def test_keys_are_shown_once_expire_and_can_be_deleted(api: ManagerApi) -> None:
    someone = await api.user("someone")
    made = await someone.call("POST", "/v1/users/someone/keys", {"name": "ci", "expires_in_s": 60})
    assert re.fullmatch(r"hr_[0-9a-f]{32}_[A-Za-z0-9_-]{43}", made["key"])
    listed = (await someone.call("GET", "/v1/users/someone/keys"))["items"]
    assert [key["name"] for key in listed] == ["default", "ci"]
    assert all("key" not in key for key in listed)
    stored = await api.pool.fetchval("select secret_hash from api_keys where id = $1", made["id"])
    assert made["key"].encode() not in stored
    assert len(stored) == 32
    dated = await someone.call(
        "POST", "/v1/users/someone/keys", {"name": "d", "expires_at": "2035-01-01T12:00:00+02:00"}
    )
    assert dated["expires_at"] == "2035-01-01T10:00:00Z"
    for body in (
        {"expires_at": "2020-01-01T00:00:00Z"},
        {"expires_at": "2999-01-01T00:00:00Z"},
        {"expires_at": (utc_now() + timedelta(seconds=30)).isoformat()},
        {"expires_at": "2035-01-01T00:00:00"},
        {"expires_at": "2035-01-01T00:00:00Z", "expires_in_s": 3600},
    ):
        refused = await someone.call("POST", "/v1/users/someone/keys", body, expect=400)
        assert refused["errors"][0]["field"] == "expires_at"
    await someone.call("DELETE", f"/v1/users/someone/keys/{dated['id']}")
    other = Api(api.url, made["key"])
    await other.call("GET", "/v1/whoami")
    await api.pool.execute("update api_keys set expires_at = now() - interval '1 s' where id = $1", made["id"])
    problem = await other.call("GET", "/v1/whoami", expect=401)
    assert "expired" in problem["detail"]
    await someone.call("DELETE", f"/v1/users/someone/keys/{made['id']}")
    await other.call("GET", "/v1/whoami", expect=401)
    await someone.call("DELETE", f"/v1/users/someone/keys/{made['id']}", expect=404)
    await someone.call("GET", "/v1/users/admin/keys", expect=404)
    await other.close()
    await someone.close()


async def test_a_key_that_ends_makes_and_extends_no_key_beyond_its_end(api: ManagerApi) -> None:
    keys = "/v1/users/ann/keys"
    await api.admin.call("POST", "/v1/users", {"name": "ann"})
    hour = await api.admin.call("POST", keys, {"expires_in_s": 3600})
    longer = await api.admin.call("POST", keys, {"name": "longer", "expires_in_s": 7200})
    ann = Api(api.url, hour["key"])
    for body, found in (({}, "never"), ({"expires_in_s": 3700}, "3700 s")):
        refused = await ann.call("POST", keys, body, expect=400)
        (error,) = refused["errors"]
        assert (error["field"], error["found"]) == ("expires_in_s", found)
        assert error["allowed"].startswith("at most 3")
        assert "the API key that you use" in error["allowed"]
    short = await ann.call("POST", keys, {"expires_in_s": 60})
    for seconds in (3700, None):  # the key that is used, and others
        await ann.call("PATCH", f"{keys}/{hour['id']}", {"expires_in_s": seconds}, expect=400)
        await ann.call("PATCH", f"{keys}/{short['id']}", {"expires_in_s": seconds}, expect=400)
    await ann.call("PATCH", f"{keys}/{short['id']}", {"expires_in_s": 3000})
    await ann.call("PATCH", f"{keys}/{hour['id']}", {"name": "renamed"})
    await ann.call("PATCH", f"{keys}/{longer['id']}", {"expires_in_s": 7000})  # it lasted longer before
    await ann.call("PATCH", f"{keys}/{longer['id']}", {"expires_in_s": 8000}, expect=400)
    await ann.close()


async def test_an_operator_whose_key_ends_extends_others_keys_and_not_his_own(api: ManagerApi) -> None:
    await api.admin.call("POST", "/v1/users", {"name": "ann"})
    mine = await api.admin.call("POST", "/v1/users/admin/keys", {"expires_in_s": 3600})
    operator = Api(api.url, mine["key"])
    endless = await operator.call("POST", "/v1/users/ann/keys", {})
    assert endless["expires_at"] is None
    await operator.call("PATCH", f"/v1/users/admin/keys/{mine['id']}", {"expires_in_s": None}, expect=400)
    await operator.call("POST", "/v1/users/admin/keys", {}, expect=400)
    await api.admin.call(
        "PATCH", f"/v1/users/admin/keys/{mine['id']}", {"expires_in_s": None}
    )  # by a key without an end
    await operator.call("POST", "/v1/users/admin/keys", {})
    await operator.close()


async def test_keys_that_are_over_do_not_pile_up(api: ManagerApi) -> None:
    await api.admin.call("POST", "/v1/users", {"name": "ann"})
    for _ in range(3):
        for _ in range(100):
            await api.admin.call("POST", "/v1/users/ann/keys", {"expires_in_s": 60})
        await api.pool.execute("update api_keys set expires_at = now() where expires_at is not null")
    await api.admin.call("POST", "/v1/users/ann/keys", {})
    assert (
        await api.pool.fetchval("select count(*) from api_keys k join users u on u.id = k.user_id where u.name = 'ann'")
        == 101
    )


async def test_the_first_start_takes_the_key_that_lies_in_the_file(pool: Pool, tmp_path: Path) -> None:
    vault, file = Vault(bytes(32)), tmp_path / "admin.key"
    key, _ = API_KEY.new(KeyId(new_uuid()))
    file.write_text(f"{key}\n")
    await asyncio.gather(*(bootstrap(pool, vault, SigningKeys(vault), file) for _ in range(3)))
    assert file.read_text() == f"{key}\n"
    auth = Authentication(pool, vault, ConsolePolicy(), idle=timedelta(hours=1))
    presented = Presented("127.0.0.1", BrowserRequest("GET", "http", "127.0.0.1"), authorization=f"Bearer {key}")
    assert (await auth.actor(presented)).operator
    await pool.execute("delete from api_keys")
    await bootstrap(pool, vault, SigningKeys(vault), file)
    assert file.read_text() != f"{key}\n", "a key that was deleted does not come back"


async def test_a_first_start_by_many_managers_makes_one_of_everything(pool: Pool, tmp_path: Path) -> None:
    vault, file = Vault(bytes(32)), tmp_path / "private" / "admin.key"
    await asyncio.gather(*(bootstrap(pool, vault, SigningKeys(vault), file) for _ in range(4)))
    assert file.stat().st_mode & 0o777 == 0o600
    key = file.read_text()
    counts = "select (select count(*) from users), (select count(*) from projects), (select count(*) from signing_keys)"
    assert tuple(await pool.fetchrow(counts)) == (1, 1, 1)
    await bootstrap(pool, vault, SigningKeys(vault), file)
    assert file.read_text() == key
    file.write_text("hr_" + "0" * 32 + "_" + "x" * 43)
    await bootstrap(pool, vault, SigningKeys(vault), file)
    assert file.read_text() != key, "a key of another database is replaced"
    assert await pool.fetchval("select count(*) from api_keys") == 1
    await pool.execute("update projects set deleted_at = now()")
    await bootstrap(pool, vault, SigningKeys(vault), file)
    assert await pool.fetchval("select count(*) from projects") == 1, "a deleted default project stays deleted"


async def test_the_audit_log_says_who_what_and_from_where(api: ManagerApi) -> None:
    await api.admin.call("POST", "/v1/services", {"name": "a", "runtime": "cmd"})
    token = await api.admin.call("POST", "/v1/services/a/tokens", {})
    rows = await api.pool.fetch(
        "select actor, source_address, action, details::text as details from events order by id"
    )
    assert [row["action"] for row in rows] == [
        "installation.created",
        "key.created",
        "service.created",
        "token.created",
    ]
    assert (rows[-1]["actor"], rows[-1]["source_address"]) == ("admin", "127.0.0.1")
    assert not any(token["token"] in row["details"] or api.admin.key in row["details"] for row in rows)


@pytest.mark.parametrize("path", ["/v1/nothing", "/v1/services/a%00b", "/v1/folders/x/files/%ff"])
async def test_paths_that_are_none(api: ManagerApi, path: str) -> None:
    answer = await api.admin.http.get(path)
    assert (answer.status_code, answer.headers["Content-Type"]) == (404, "application/problem+json")
    assert answer.headers["X-Request-Id"]


async def test_bodies_that_cannot_be_read(api: ManagerApi) -> None:
    http = api.admin.http
    for content, kind, status in (
        (b"{", "application/json", 400),
        (b"\xff", "application/json", 400),
        (b"[]", "application/json", 400),
        (b"", "application/json", 400),
        (b'{"name": "a\\u0000"}', "application/json", 400),
        (b'{"name": "\\ud800"}', "application/json", 400),
        (b"name=a", "application/x-www-form-urlencoded", 415),
        (b" " * (4 * 1024 * 1024 + 1), "application/json", 413),
        (b"[" * 100_000, "application/json", 400),
    ):
        answer = await http.post("/v1/services", content=content, headers={"Content-Type": kind})
        assert answer.status_code == status, (content[:20], answer.text)
        assert answer.headers["Content-Type"] == "application/problem+json"
    answer = await http.put("/v1/services")
    assert (answer.status_code, answer.headers["Allow"]) == (405, "GET,POST") or answer.headers["Allow"] == "GET, POST"


async def test_a_quota_on_a_slot_that_no_machine_has_is_taken_and_said(api: ManagerApi) -> None:
    await api.machine("agent-1")
    quota = {"cpu": "4", "cuda.devcie": "2", "storage": "500g"}
    made = await api.admin.call("POST", "/v1/projects", {"name": "lab", "quota": quota})
    assert made["note"]["code"] == "slot-unknown"
    assert made["note"]["text"].startswith("no machine has cuda.devcie (did you mean cuda.device?); known: cpu")
    assert made["note"]["text"].endswith("The limit bounds nothing until a machine has it")
    assert (await api.admin.call("GET", "/v1/projects/lab"))["note"] is None
    away = await api.admin.call("PATCH", "/v1/projects/lab", {"quota": {"cuda.devcie": None}})
    assert away["note"] is None
    again = await api.admin.call("PATCH", "/v1/projects/lab", {"quota": {"npu.device": "1"}})
    assert "npu.device" in again["note"]["text"]


async def test_an_unknown_resource_group_is_refused_with_those_that_there_are(api: ManagerApi) -> None:
    await api.pool.execute("insert into resource_groups (name) values ('gpu-large')")
    spec = {"runtime": "cmd", "image": "img"}
    for path, body in (("/v1/services", {"name": "x", **spec}), ("/v1/validations", spec)):
        refused = await api.admin.call("POST", path, {**body, "resource_group": "gpu"}, expect=400)
        assert refused["errors"] == [
            {
                "field": "resource_group",
                "found": "gpu",
                "allowed": "one of default, gpu-large, the groups that project default may use",
                "pointer": "#/resource_group",
            }
        ]
