"""Groups and order of tests in a parallel run (`make test`).

Each worker has servers, ports and folders of its own, so a test needs a group only for what the machine has once, or
for what is expensive to start: the tests of a group run one after another in one worker.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FIRST = ("docker", "e2e-process", "systemd", "e2e-docker", "compose", "embeddings")
"""Groups that begin first, as they last longest. `compose` is not among the first four: CI still builds its images then."""
LONG = (
    "tests/e2e",
    "tests/integration/manager/test_api_schemathesis.py",
    "tests/integration/appproxy/test_fuzz_short.py",
    "tests/integration/appproxy/test_chaos.py",
    "tests/integration/manager/test_loops",
    "tests/integration/agent",
)
"""What comes next, so that no worker is alone with one of these at the end."""
STACKS = {"stack": "e2e-process", "docker_stack": "e2e-docker"}
"""Fixtures of which one serves all tests that ask for it."""
SHARED = {
    "tests/integration/embeddings": "embeddings",
    "tests/e2e/test_systemd.py": "systemd",
    "tests/e2e/test_compose.py": "compose",
    "tests/e2e/test_join_docker.py": "compose",
}
"""Folders and files that prepare one thing for all of their tests: a machine with systemd, which is a container that uses nothing else
of the engine; Headrace's images. They run beside the other tests of containers, which last longest of all groups, and not after them."""


def order(items: list[pytest.Item]) -> None:
    """Mark groups, and move the long ones to the front; the order is kept otherwise."""
    groups = {item: name for item in items if (name := group_of(item))}
    for item, name in groups.items():
        item.add_marker(pytest.mark.xdist_group(name))
    items.sort(key=lambda item: _rank(item, groups.get(item, "")))


@cache
def _name_of(path: Path) -> str:
    """Return the path relative to the repository; cached, since tests are many."""
    return path.relative_to(ROOT).as_posix()


def _rank(item: pytest.Item, group: str) -> int:
    if group in FIRST:
        return FIRST.index(group)
    name = _name_of(item.path)
    return len(FIRST) + next((at for at, path in enumerate(LONG) if name.startswith(path)), len(LONG))


def _stack_of(item: pytest.Item) -> str | None:
    """Return the group of the tests that share this one's stack; None when it shares none."""
    names = set(getattr(item, "fixturenames", ()))
    if "any_stack" in names:
        return STACKS["docker_stack" if item.get_closest_marker("docker") else "stack"]
    return next((group for fixture, group in STACKS.items() if fixture in names), None)


def group_of(item: pytest.Item) -> str:
    """Return the name of the item's group; empty when it may run anywhere."""
    name = _name_of(item.path)
    for shared in (name, name.rpartition("/")[0]):
        if shared in SHARED:
            return SHARED[shared]
    if (stack := _stack_of(item)) is not None:
        return stack
    if item.get_closest_marker("root"):
        return "hosts"  # each is a fleet of processes, or has firewall rules of its own
    if item.get_closest_marker("docker"):
        return "docker"  # one engine, and one set of firewall rules
    fixtures = getattr(item, "_fixtureinfo").name2fixturedefs.values()  # noqa: B009 - pytest has no public way
    if any(found.scope in {"module", "class"} for defs in fixtures for found in defs):
        return name
    return ""
