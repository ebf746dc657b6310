"""`headrace store`: what can be run as its files say, whether it fits, and running it in one step."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.fakes.manager_api import FakeManagerApi, service_view, uid
from tests.support.worlds.cli import Cli

MODEL: dict[str, Any] = {
    "name": "owls",
    "folder_id": uid(5),
    "project": "red",
    "project_id": uid(2),
    "size_bytes": 2048,
    "files": 2,
    "models": ["owl"],
    "metadata": {"title": "Little Owl", "task": "text-generation", "license": "MIT", "label": ["a", "b"]},
    "runtime": "vllm",
    "image": "img:1",
    "architecture": "x86_64",
    "needs": {"cpu": "2", "mem": "2147483648"},
    "fit": {"fits": False, "reason": {"code": "insufficient-slots", "text": "no machine fits: a would need 2 cpu"}},
    "problem": None,
}
DETAIL: dict[str, Any] = {
    **MODEL,
    "entries": [{"name": "owl", "metadata": MODEL["metadata"]}],
    "sections": [{"runtime": "vllm", "image": "img:1", "architecture": "x86_64", "slots": {"cpu": "2"}}],
}
WRONG = dict.fromkeys(("runtime", "image", "architecture", "needs", "fit", "metadata"))


def row(printed: str, start: str) -> str:
    """Return the line that begins so, with single blanks."""
    return next(" ".join(line.split()) for line in printed.splitlines() if line.startswith(start))


def test_a_list_says_what_it_is_what_it_needs_and_whether_it_fits(cli: Cli, there: FakeManagerApi) -> None:
    wrong = {**MODEL, **WRONG, "name": "bad", "models": [], "problem": "it is wrong"}
    there.on(
        "GET", "/v1/models", {"items": [MODEL, {**MODEL, "name": "fits", "fit": {"fits": True}}, wrong], "next": None}
    )
    ran = cli("store", "ls", "-q", "owl", "--task", "chat", "--project", "red")
    assert ran.code == 0, ran.err
    assert "q=owl&task=chat&project=red" in there.seen[-1][1]
    assert row(ran.out, "owls") == "owls red Little Owl text-generation MIT 2 KiB vllm cpu=2 mem=2GiB no"
    assert row(ran.out, "fits").endswith(" yes")
    assert row(ran.out, "bad") == "bad red - - - 2 KiB - - files are wrong"


def test_show_prints_the_files_and_why_it_does_not_fit(cli: Cli, there: FakeManagerApi) -> None:
    there.on("GET", "/v1/models/owls", DETAIL)
    ran = cli("store", "show", "owls", "--resource-group", "gpu")
    assert ran.code == 0, ran.err
    assert "resource_group=gpu" in there.seen[-1][1]
    assert row(ran.out, "model ") == "model owl"
    assert row(ran.out, "  license") == "license MIT"
    assert row(ran.out, "  label") == "label a, b"
    assert row(ran.out, "section") == "section vllm: img:1, cpu=2"
    assert row(ran.out, "runs") == "runs vllm, img:1 (x86_64)"
    assert row(ran.out, "fits now") == "fits now no: no machine fits: a would need 2 cpu"
    there.on("GET", "/v1/models/owls", {**DETAIL, **WRONG, "entries": [], "sections": [], "problem": "it is wrong"})
    assert row(cli("store", "show", "owls").out, "problem") == "problem it is wrong"


@pytest.mark.parametrize(
    "flags", [[], ["--name", "echo", "--runtime", "custom", "--model", "owl", "-n", "2", "--public"]]
)
def test_run_creates_a_service_as_the_files_say_and_flags_win(
    cli: Cli, there: FakeManagerApi, flags: list[str]
) -> None:
    there.on("GET", "/v1/models/owls", DETAIL)
    there.on("POST", "/v1/services", service_view("echo"), status=201)
    ran = cli("store", "run", "owls", *flags)
    assert ran.code == 0, ran.err
    asked = {"name": "owls", "project": uid(2), "folder": uid(5), "runtime": "vllm"}
    more = {"name": "echo", "runtime": "custom", "model": "owl", "replicas": 2, "open_to_public": True}
    assert there.bodies == [{**asked, **(more if flags else {})}]


def test_a_dry_run_asks_what_it_would_come_to(cli: Cli, there: FakeManagerApi) -> None:
    there.on("GET", "/v1/models/owls", DETAIL)
    answer = {"service": "owls", "project": "red", "effect": "nothing", "revision": 1, "effective": None}
    there.on("POST", "/v1/resolutions", answer)
    ran = cli("store", "run", "owls", "--slot", "cpu=3", "--dry-run")
    assert ran.code == 0, ran.err
    assert there.bodies[0]["create"]["slots"] == {"cpu": "3"}
