"""Contract tests: checked-in snapshots equal what the code generates, so that no contract changes unnoticed."""

from __future__ import annotations

import json

import pytest

from headrace.common.bus.permissions import BusUser, UserKind, permissions
from headrace.common.bus.subjects import STREAMS
from tests.contracts.snapshots import FOLDER, OPENAPI, ROOT, all_messages, snapshots

SNAPSHOTS = snapshots()
NAMES = sorted(SNAPSHOTS)


@pytest.mark.parametrize("name", NAMES)
def test_the_snapshot_is_current(name: str) -> None:
    path = ROOT / name
    assert path.exists(), f"{name} is missing; run `make contracts`"
    assert path.read_text() == SNAPSHOTS[name](), (
        f"{name} differs; if that is meant, run `make contracts` and commit it"
    )


def test_no_snapshot_is_left_over() -> None:
    assert sorted(str(path.relative_to(ROOT)) for path in (ROOT / FOLDER).rglob("*.json")) == [
        n for n in NAMES if n.endswith(".json")
    ]


def test_the_openapi_document_is_valid() -> None:
    from openapi_spec_validator import validate  # noqa: PLC0415 - a second of CPU, which each worker's collection of tests would take

    validate(json.loads((ROOT / OPENAPI).read_text()))  # current, says another test


def test_every_message_has_a_version_and_says_who_sends_it() -> None:
    kinds = all_messages()
    assert set(STREAMS.values()) <= set(kinds)
    for kind in kinds:
        assert "v" in kind.model_fields, kind
        assert kind.__doc__, kind
    assert len({kind.subject for kind in kinds if not kind.subject.startswith("_")}) == sum(
        not k.subject.startswith("_") for k in kinds
    )


def test_every_subject_is_allowed_to_somebody_besides_the_manager() -> None:
    """A message that no permission covers would be lost silently."""
    users = [
        BusUser("agent-1", UserKind.AGENT, "agent-1"),
        BusUser("appproxy", UserKind.APPPROXY, "proxy-1"),
        BusUser("autoscaler", UserKind.AUTOSCALER),
    ]
    allowed = [subject for user in users for subject in (*permissions(user).publish, *permissions(user).subscribe)]

    def covered(subject: str) -> bool:
        return any(_matches(pattern, subject) for pattern in allowed)

    for kind in all_messages():
        if not kind.subject.startswith("_"):
            concrete = kind.subject.format(
                agent_id="agent-1", proxy_id="proxy-1", autoscaler_id="a", service_id="s", reader="r"
            )
            assert covered(concrete), kind


def _matches(pattern: str, subject: str) -> bool:
    wanted, found = pattern.split("."), subject.split(".")
    for index, token in enumerate(wanted):
        if token == ">":
            return len(found) > index
        if index >= len(found) or token not in ("*", found[index]):
            return False
    return len(wanted) == len(found)
