"""The loops that docs/architecture.md lists are the values of the label `loop` in metrics and log lines."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from typing import get_args

from headrace.manager.usecases.ports import LoopName
from tests.contracts.snapshots import ROOT

SERVICES = {"manager": "manager", "agent": "agent", "appproxy": "app-proxy", "autoscaler": "autoscaler"}


def constructed() -> Iterator[tuple[str, str]]:
    """Service and name of each loop that is constructed with a name of its own; the manager's are made from LoopName."""
    yield from (("manager", name) for name in get_args(LoopName))
    for folder, service in SERVICES.items():
        for path in (ROOT / "services" / folder).glob("headrace/**/*.py"):
            text = path.read_text()
            for node in ast.walk(ast.parse(text)) if "Loop(" in text else ():
                if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Loop":
                    name = node.args[0]
                    if isinstance(name, ast.Constant):
                        yield service, str(name.value)
                    else:
                        assert service == "manager", f"{path}: a loop's name is a literal"


def test_the_table_of_loops_has_the_names_of_metrics_and_logs() -> None:
    page = (ROOT / "docs/architecture.md").read_text()
    section = page.split("\n## Loops\n", 1)[1].split("\n## ", 1)[0]
    listed = re.findall(r"^\| ([a-z-]+) `([a-z-]+)` \|", section, flags=re.MULTILINE)
    assert sorted(listed) == sorted(constructed())
