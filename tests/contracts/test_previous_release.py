"""Messages that the previous release sends (tests/golden) are read by this one, and nothing of them is lost."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.contracts.snapshots import ROOT, all_messages
from tests.golden.answers import lost

FILES = sorted((ROOT / "tests/golden/messages").glob("*.json"))


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_a_message_of_the_previous_release_is_read_whole(file: Path) -> None:
    kinds = {kind.__name__: kind for kind in all_messages()}
    assert file.stem in kinds, f"the previous release sends {file.stem}, which this one does not know any more"
    for example in json.loads(file.read_text()):
        read = kinds[file.stem].decode(json.dumps(example).encode())
        assert list(lost(example, json.loads(read.encode()))) == []


def test_there_are_examples_of_what_all_parts_say_to_each_other() -> None:
    wanted = {
        "NodePlan",
        "NodeReport",
        "RouteTable",
        "RuleTable",
        "RuleReport",
        "ProxyReport",
        "ScaleRequest",
        "ScaleReply",
    }
    assert wanted <= {file.stem for file in FILES}


def test_a_field_that_is_lost_is_found() -> None:
    assert list(lost({"a": [{"b": 1}], "c": 2}, {"a": [{}], "c": 2})) == [".a[0].b: 1 is missing"]
    assert list(lost({"a": 1, "c": [1]}, {"a": 2, "c": [1, 2], "new": 3})) == [".a: 1 is 2", ".c: [1] is [1, 2]"]
