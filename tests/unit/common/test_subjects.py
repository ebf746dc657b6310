"""Subjects of the bus are written in the messages alone: nobody else spells one, and SQL's are the same."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from headrace.common.bus.subjects import STREAMS, direct_get
from headrace.common.contracts.messages.logs import LogChunk
from headrace.common.contracts.messages.plans import NodePlan
from headrace.common.contracts.messages.scaling import ScaleRequest

ROOT = Path(__file__).parents[3]
WORDS = r"(plan\.agent|route|rules|report|metrics|held|rpc|logs\.agent|\$JS\.API)\."
SPELLED = re.compile(f"^{WORDS}")
MAY_SPELL = re.compile(f"[\"'}}]{WORDS}")
"""What is in the source of such a text, at its beginning or after a value in it: of few files, so that the others need no parser."""
IN_SQL = re.compile(r"'([a-z]+(?:\.[a-z]+)*\.)'")
HOME = ("contracts/messages/", "bus/subjects.py")


def texts(file: Path) -> Iterator[str]:
    """Yield every piece of text in a Python file that is no docstring."""
    tree = ast.parse(file.read_text())
    docstrings = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings:
            yield node.value


def test_no_subject_is_spelled_outside_the_messages() -> None:
    files = [file for folder in ("libs", "services") for file in (ROOT / folder).rglob("*.py")]
    assert len(files) > 300
    spelled = [
        (str(file.relative_to(ROOT)), text)
        for file in files
        if not any(home in str(file) for home in HOME)
        if MAY_SPELL.search(file.read_text())
        for text in texts(file)
        if SPELLED.match(text)
    ]
    assert spelled == []


def test_the_subjects_in_sql_are_those_of_the_messages() -> None:
    prefixes = {kind.prefix() for kind in STREAMS.values()}
    found = {
        (file.name, prefix)
        for file in (ROOT / "services").rglob("*.sql")
        for prefix in IN_SQL.findall(file.read_text())
    }
    assert {prefix for _, prefix in found} == prefixes


def test_a_message_says_its_subject_for_given_values() -> None:
    assert NodePlan.subject_for(agent_id="gpu-1") == "plan.agent.gpu-1"
    assert NodePlan.prefix() == "plan.agent."
    assert ScaleRequest.subject_for() == ScaleRequest.prefix() == ScaleRequest.wildcard() == "rpc.manager.scale"
    assert LogChunk.wildcard() == "logs.agent.*.*"
    assert direct_get("ROUTES", "route.*") == "$JS.API.DIRECT.GET.ROUTES.route.*"
