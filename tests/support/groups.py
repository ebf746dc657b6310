"""What runs in one worker of a parallel run (`make test`), and what begins first.

Each worker has servers, ports and folders of its own, so a test needs a group only for what the machine has once, or for what
is dear to start: the tests of a group run one after another in one worker.
"""

from __future__ import annotations

from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FIRST = ("docker", "e2e")
"""Groups that begin first, as they last longest."""
SHARED = {
    "tests/e2e": "e2e",  # one stack per runtime for all
    "tests/integration/embeddings": "embeddings",  # prepares one folder, and runs one server for most
}


def order(items: list[pytest.Item]) -> None:
    """Mark groups, and bring the long ones to the front; the order is kept otherwise."""
    groups = {item: name for item in items if (name := group_of(item))}
    for item, name in groups.items():
        item.add_marker(pytest.mark.xdist_group(name))
    ranks = {name: rank for rank, name in enumerate(FIRST)}
    items.sort(key=lambda item: ranks.get(groups.get(item, ""), len(ranks)))


def group_of(item: pytest.Item) -> str:
    """Return the name of the item's group; nothing where it may run anywhere."""
    folder = item.path.parent.relative_to(ROOT).as_posix()
    if folder in SHARED:
        return SHARED[folder]
    if item.get_closest_marker("docker"):
        return "docker"  # one engine, and one set of firewall rules
    fixtures = getattr(item, "_fixtureinfo").name2fixturedefs.values()  # noqa: B009 - pytest has no public way
    if any(found.scope in {"module", "class"} for defs in fixtures for found in defs):
        return item.path.relative_to(ROOT).as_posix()
    return ""
