"""The rooms of the app-proxy, by all of their imports: those that only annotations need are knowledge too."""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterator
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

ROOT = Path(__file__).parents[3] / "services/appproxy/headrace/appproxy"
PACKAGE = "headrace.appproxy."
TYPE_ONLY = {("wiring", "worker.inline")}
"""Imports from one room into another that stand below TYPE_CHECKING: a parent of workers does without what they work with."""


def room(module: str) -> str:
    """`dataplane.http1` for all in that folder, `control` for the parent's; a file outside them is a room of its own."""
    parts = module.split(".")
    return ".".join(parts[:2]) if parts[0] == "dataplane" else parts[0]


@cache
def imports() -> list[tuple[str, str, bool]]:
    """Every import within the app-proxy: from which module, which one, and whether for types only."""
    return list(_imports())


def _imports() -> Iterator[tuple[str, str, bool]]:
    for file in sorted(ROOT.rglob("*.py")):
        module = ".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        tree = ast.parse(file.read_text())
        for_types = {
            inner
            for node in ast.walk(tree)
            if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"
            for inner in ast.walk(node)
        }
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(PACKAGE):
                base = str(node.module).removeprefix(PACKAGE)
                for name in node.names:
                    below = ROOT / base.replace(".", "/") / name.name
                    found = f"{base}.{name.name}" if below.with_suffix(".py").is_file() or below.is_dir() else base
                    yield module, found, node in for_types


def test_no_rooms_know_each_other_in_a_circle() -> None:
    known: dict[str, set[str]] = defaultdict(set)
    for module, other, _ in imports():
        if room(module) != room(other):
            known[room(module)].add(room(other))
    order = list(TopologicalSorter(known).static_order())  # raises CycleError, which names the circle
    assert {"control", "worker", "ipc", "dataplane.request", "dataplane.http1"} <= set(order)
    assert order.index("dataplane.balancing") < order.index("dataplane.request") < order.index("dataplane.server")


def test_no_import_across_rooms_is_for_types_only() -> None:
    """What a room may not import, it may not know by its types either."""
    found = {(module, other) for module, other, for_types in imports() if for_types and room(module) != room(other)}
    assert found == TYPE_ONLY


def test_no_files_know_each_other_in_a_circle() -> None:
    """Of all files, whatever their rooms: each can be read after those that it imports, and before those that import it."""
    known: dict[str, set[str]] = defaultdict(set)
    for module, other, _ in imports():
        if module != other:
            known[module].add(other)
    order = list(TopologicalSorter(known).static_order())  # raises CycleError, which names the circle
    request = "dataplane.request."
    ladder = [
        f"{request}{name}" for name in ("states", "context", "downstream", "exchange", "relay", "attempt", "ingress")
    ]
    assert [module for module in order if module in ladder] == ladder
    assert order.index("dataplane.upstream.connection") < order.index("dataplane.upstream.replica")


def test_of_a_request_and_of_replicas_nothing_is_imported_for_types_only() -> None:
    found = {module for module, _, for_types in imports() if for_types}
    assert not {module for module in found if room(module) in ("dataplane.request", "dataplane.upstream")}
