"""`headrace size`: sizes for all projects and of one, and what is typed wrongly."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.fakes.manager_api import NOW, FakeManagerApi, uid
from tests.support.worlds.cli import Cli

ALL = "/v1/resource-presets"
LARGE: dict[str, Any] = {
    "id": uid(3),
    "name": "large",
    "project_id": None,
    "project": None,
    "description": "",
    "slots": {"cpu": "8", "mem": "34359738368", "cuda.device": "1"},
    "created_by": "ada",
    "created_at": NOW,
    "updated_at": NOW,
}


@pytest.fixture
def sized(there: FakeManagerApi) -> FakeManagerApi:
    """A size for all projects."""
    there.on("GET", ALL, {"items": [LARGE, {**LARGE, "name": "own", "project": "vision"}], "next": None})
    there.on("GET", f"{ALL}/large", LARGE)
    there.on("PATCH", f"{ALL}/large", LARGE)
    return there


def test_sizes_are_listed_with_whose_they_are(cli: Cli, sized: FakeManagerApi) -> None:
    ran = cli("size", "ls", "-p", "vision")
    assert ran.code == 0
    lines = ran.out.splitlines()
    assert lines[1].split()[:4] == ["large", "cpu=8", "cuda.device=1", "mem=32GiB"]
    assert ("all projects" in lines[1], "vision" in lines[2]) == (True, True)


def test_slots_are_set_and_taken_away_one_by_one(cli: Cli, sized: FakeManagerApi) -> None:
    assert cli("size", "update", "large", "--slot", "cpu=4", "--unset", "slot=cuda.device").code == 0
    assert sized.bodies[-1] == {"slots": {"cpu": "4", "cuda.device": None}}
    for flags, said in (
        (("--unset", "slot=npu"), "allowed: cpu, cuda.device, mem"),
        (("--unset", "slots"), "--unset slots: allowed: description"),
        ((), "nothing to change; allowed: --slot, --description, --unset"),
    ):
        ran = cli("size", "update", "large", *flags)
        assert (ran.code, said in ran.err) == (2, True), ran.err
