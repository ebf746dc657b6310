"""`headrace service create|update --dry-run` and `show --effective`: values with their origins, quota, effect, problems."""

from __future__ import annotations

import json
from typing import Any

from tests.support.fakes.manager_api import NOW, FakeManagerApi, service_view, uid
from tests.support.worlds.cli import Cli

EFFECTIVE: dict[str, Any] = {
    "runtime": "custom",
    "model_name": "owl",
    "image": "img:1",
    "architecture": None,
    "command": ["serve", "a b"],
    "port": 9000,
    "model_path": "/models",
    "health_check": {"path": "/up"},
    "slots": {"cpu": "2", "mem": "1073741824"},
    "environ": {"A": "b"},
    "metadata": {"title": "Little Owl", "label": ["x", "y"], "min_resource": {"mem": "1g"}},
}
ORIGINS = {
    "port": {"source": "request", "path": "port"},
    "slots.cpu": {
        "source": "service-definition",
        "file": "service-definition.toml",
        "path": "custom.resource_slots.cpu",
    },
    "health_check.interval": {"source": "baseline"},
}
RESOLUTION: dict[str, Any] = {
    "service": "echo",
    "project": "default",
    "effect": "create",
    "revision": 1,
    "effective": EFFECTIVE,
    "origins": ORIGINS,
    "quota": [{"slot": "mem", "needed": "2147483648", "used": "0", "limit": None, "left": None}],
    "problems": [],
}


def row(printed: str, start: str) -> str:
    """Return the line of a table that begins so, with single blanks."""
    return next(" ".join(line.split()) for line in printed.splitlines() if line.startswith(start))


def test_a_dry_run_sends_the_request_as_it_is_and_prints_what_it_comes_to(cli: Cli, there: FakeManagerApi) -> None:
    there.on("POST", "/v1/resolutions", RESOLUTION)
    ran = cli("service", "create", "echo", "--folder", "owls", "--port", 9000, "--dry-run")
    assert ran.code == 0, ran.err
    assert there.bodies == [{"create": {"name": "echo", "folder": "owls", "port": 9000}}]
    assert "echo in project default would be created, with this as revision 1" in ran.out
    assert row(ran.out, "port ") == "port 9000 request: port"
    assert row(ran.out, "slots.cpu") == "slots.cpu 2 service-definition.toml: custom.resource_slots.cpu"
    assert row(ran.out, "health_check.interval") == "health_check.interval 10.0 the runtime's baseline"
    assert row(ran.out, "command") == "command serve 'a b' -"
    assert row(ran.out, "mem ") == "mem 2GiB 0B none -"


def test_a_dry_run_of_an_update_tells_what_rolls_out_from_what_takes_hold_at_once(
    cli: Cli, there: FakeManagerApi
) -> None:
    changes = {
        "effect": "rollout",
        "revision": 3,
        "rolls_out": [
            {"field": "environ.A", "before": None, "after": "b"},
            {
                "field": "secrets[0]",
                "before": {"use": "registry", "secret_id": uid(3), "name": "hub", "version": 1},
                "after": {"use": "variable", "variable": "TOKEN", "secret_id": uid(3), "name": "hub", "version": 2},
            },
            {
                "field": "mounts[1]",
                "before": None,
                "after": {"folder_id": uid(4), "folder": "corpus", "target": "/data", "read_only": True},
            },
        ],
        "live": [{"field": "tags", "before": [], "after": ["x"]}],
    }
    there.on("POST", "/v1/resolutions", RESOLUTION | changes)
    ran = cli("service", "update", "echo", "--tag", "x", "--dry-run")
    assert ran.code == 0, ran.err
    assert there.bodies == [{"service": "echo", "update": {"tags": ["x"], "message": ""}}]
    assert "would roll out revision 3, without downtime" in ran.out
    assert "environ.A - b" in [" ".join(line.split()) for line in ran.out.splitlines()]
    login, variable = "login at the image's registry from hub version 1", "TOKEN from hub version 2"
    assert row(ran.out, "secrets[0]") == f"secrets[0] {login} {variable}", "as in the table of effective values"
    assert row(ran.out, "mounts[1]") == "mounts[1] - corpus at /data, read only"
    assert row(ran.out, "tags") == 'tags [] ["x"]'


def test_a_dry_run_says_what_would_be_placed_now(cli: Cli, there: FakeManagerApi) -> None:
    reason = {"code": "insufficient-slots", "text": "m-1: 2 cpu of 8 are free, 4 are needed"}
    fits, few = {"replicas": 2, "placed": 2}, {"replicas": 3, "placed": 1, "reason": reason}
    there.on("POST", "/v1/resolutions", RESOLUTION | {"fit": fits}, RESOLUTION | {"fit": few})
    create = ("service", "create", "echo", "--folder", "owls", "--dry-run")
    assert "fits now: 2 replicas would be placed\n" in cli(*create).out
    assert f"fits now: 1 of 3 replicas would be placed; {reason['text']}\n" in cli(*create).out


def test_problems_are_printed_with_their_place_and_exit_with_1(cli: Cli, there: FakeManagerApi) -> None:
    problems = [
        {"type": "not-found", "status": 404, "detail": "there is no folder gone", "field": "folder"},
        {
            "type": "invalid-definition",
            "status": 422,
            "detail": "…",
            "field": "folder",
            "file": "model-definition.yaml",
            "path": "models[0].service.port",
            "line": 7,
            "column": 13,
            "found": "0",
            "allowed": "1 or more",
        },
    ]
    refused = RESOLUTION | {"effect": None, "revision": None, "effective": None, "quota": [], "problems": problems}
    there.on("POST", "/v1/resolutions", refused, refused)
    ran = cli("service", "create", "echo", "--folder", "gone", "--dry-run")
    assert ran.code == 1
    assert ran.out.splitlines() == [
        "echo in project default cannot be resolved",
        "2 problems, nothing was changed:",
        "  folder: there is no folder gone",
        "  model-definition.yaml line 7: models[0].service.port: found 0",
        "    allowed: 1 or more",
    ]
    ran = cli("service", "create", "echo", "--folder", "gone", "--dry-run", "--json")
    assert (ran.code, len(json.loads(ran.out)["problems"])) == (1, 2)


def test_effective_values_of_the_current_an_earlier_and_a_replicas_revision(cli: Cli, there: FakeManagerApi) -> None:
    echo = "/v1/services/echo"
    there.on("GET", echo, service_view())
    revision = {"spec": {}, "created_at": NOW, "created_by": "admin", "message": "", "effective": EFFECTIVE}
    there.on("GET", f"{echo}/revisions/1", revision | {"number": 1, "origins": ORIGINS}, revision | {"number": 1})
    there.on("GET", f"{echo}/revisions/2", revision | {"number": 2, "origins": ORIGINS})
    replica = {
        "id": uid(7),
        "kernel_id": None,
        "revision": 2,
        "status": "ended",
        "kernel_state": None,
        "health": "unhealthy",
        "reason": {"code": "ended", "text": "it is gone"},
        "agent_id": None,
        "address": None,
        "created_at": NOW,
    }
    there.on("GET", f"{echo}/replicas/{uid(7)}", replica)
    ran = cli("service", "show", "echo", "--effective")
    assert ran.code == 0, ran.err
    assert "revision 1" in ran.out
    assert row(ran.out, "port ") == "port 9000 request: port"
    older = cli("service", "show", "echo", "--effective", "--revision", 1)
    assert "it is not known where its values come from" in older.err
    ended = cli("service", "show", "echo", "--replica", uid(7))
    assert "revision 2" in ended.out, ended.err
    assert cli("service", "show", "echo", "--replica", uid(7), "--revision", 1).code == 2


def test_a_service_shows_what_its_model_says_of_itself(cli: Cli, there: FakeManagerApi) -> None:
    there.on("GET", "/v1/services/echo", service_view(effective=EFFECTIVE))
    shown = cli("service", "show", "echo").out
    assert row(shown, "model title") == "model title Little Owl"
    assert row(shown, "model label") == "model label x y"
    assert row(shown, "model needs") == "model needs mem=1GiB"
