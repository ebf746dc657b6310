"""What is said of each part of an installation, by what was heard of it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.common.contracts.messages.instances import ServiceInstance
from headrace.common.contracts.messages.reports import Disk
from headrace.common.contracts.reasons.installation import InstallationReason
from headrace.common.contracts.vocabulary import InstanceKind
from headrace.manager.domain.installation import AWAY_AFTER, Assessment, PartState, assess
from headrace.manager.domain.records.instances import (
    BusState,
    DatabaseState,
    Facts,
    Instance,
    Machines,
    MachineState,
    StreamState,
)

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
START = NOW - timedelta(hours=1)
DATABASE = DatabaseState(NOW, "18.4", "db:5432", START, False, 1 << 20, 1, 7, 100)
BUS = BusState(None, "2.11.0", "n1:4222", ("n1:4222",), (StreamState("PLANS", 1),))
NO_BUS = BusState("not connected to NATS for 9 s: refused")
REDIS: Facts = {"redis_version": "9.1", "redis_role": "master", "redis_memory_bytes": 5, "redis_address": "r:6379"}


def instance(kind: InstanceKind, name: str, **changes: Any) -> Instance:
    facts: Facts = REDIS if kind == "autoscaler" else {}
    usual = Instance(kind, name, "1.0", "host", "", START, NOW, False, True, {}, START, facts)
    return replace(usual, **changes)


def whole() -> list[Instance]:
    return [
        instance("manager", "m1"),
        instance("manager", "m2"),
        instance("app-proxy", "p1"),
        instance("autoscaler", "a1"),
    ]


def machine(name: str, **changes: Any) -> MachineState:
    started = ServiceInstance(version="1.0", host="gpu", started_at=START)
    usual = MachineState(name, "1.0", "gpu", "10.0.0.1", NOW, None, None, None, False, None, None, started)
    return replace(usual, **changes)


def assessed(
    instances: list[Instance], *machines: MachineState, bus: BusState = BUS, database: DatabaseState = DATABASE
) -> Assessment:
    lost = sum(one.lost_at is not None for one in machines)
    return assess(database, bus, instances, Machines(machines, len(machines), lost), 0.001)


def part(found: Assessment, name: str) -> PartState:
    return next(one for one in found.parts if one.name == name)


def without(name: str, **changes: Any) -> list[Instance]:
    return [replace(one, **changes) if one.name == name else one for one in whole()]


def test_an_installation_in_which_all_works_is_healthy() -> None:
    found = assessed(whole(), machine("gpu-1"))
    assert not found.degraded
    assert found.reasons == ()
    assert {one.name: one.status for one in found.parts} == dict.fromkeys(
        ["m1", "m2", "p1", "a1", "gpu-1", "postgresql", "nats", "redis"], "up"
    )
    assert part(found, "m1").since == START
    assert (part(found, "redis").version, part(found, "redis").address) == ("9.1", "r:6379")
    assert part(found, "postgresql").facts == {
        "role": "primary",
        "standbys": 1,
        "size_bytes": 1 << 20,
        "latency_s": 0.001,
        "connections": 7,
        "max_connections": 100,
    }


@pytest.mark.parametrize("name", ["m2", "p1", "a1"])
def test_a_part_that_is_silent_is_away_since_it_was_last_heard_of(name: str) -> None:
    last = NOW - AWAY_AFTER - timedelta(seconds=1)
    found = assessed(without(name, last_seen_at=last))
    assert found.degraded
    seen = part(found, name)
    assert (seen.status, seen.since, seen.reasons[0].code) == ("away", last, InstallationReason.SILENT)
    assert "silent for 21 s" in seen.reasons[0].text
    assert part(found, "m1").status == "up"


def test_a_silent_part_s_work_is_done_by_others_only_where_there_are_some() -> None:
    last = NOW - AWAY_AFTER - timedelta(seconds=1)
    assert "the others do its work" in part(assessed(without("m2", last_seen_at=last)), "m2").reasons[0].text
    assert "another one takes over" not in part(assessed(without("a1", last_seen_at=last)), "a1").reasons[0].text


def test_a_part_that_said_that_it_stops_is_no_trouble_unless_it_was_the_last_one() -> None:
    found = assessed(without("m2", stopped=True, last_seen_at=START))
    assert not found.degraded
    assert (part(found, "m2").status, part(found, "m2").since) == ("stopped", START)
    last = assessed(without("p1", stopped=True, last_seen_at=START))
    assert last.degraded
    assert [reason.code for reason in last.reasons] == [InstallationReason.NO_APP_PROXY]


@pytest.mark.parametrize(("ready", "code"), [(True, InstallationReason.WARNING), (False, InstallationReason.NOT_READY)])
def test_a_part_that_says_itself_what_is_wrong_is_degraded_since_then(code: InstallationReason, *, ready: bool) -> None:
    since = NOW - timedelta(seconds=70)
    found = assessed(without("p1", ready=ready, checks={"listeners": "10001: in use"}, checks_since=since))
    seen = part(found, "p1")
    assert (found.degraded, seen.status, seen.since) == (True, "degraded", since)
    assert (seen.reasons[0].code, seen.reasons[0].text) == (code, "listeners: 10001: in use")


@pytest.mark.parametrize(("age_s", "status"), [(1, "starting"), (20, "starting"), (21, "degraded")])
def test_a_part_that_is_not_ready_yet_is_starting_for_a_while_and_no_trouble(age_s: int, status: str) -> None:
    began = NOW - timedelta(seconds=age_s)
    checks = {"traffic": "not listening yet"}
    found = assessed(without("p1", ready=False, checks=checks, checks_since=began, started_at=began))
    seen = part(found, "p1")
    assert (seen.status, seen.since, found.degraded) == (status, began, status == "degraded")
    assert seen.reasons[0].text == "traffic: not listening yet"


def test_a_warning_of_how_a_part_is_configured_is_shown_and_is_no_trouble() -> None:
    found = assessed(without("p1", checks={"open-files": "only 13163 connections fit"}))
    assert (found.degraded, part(found, "p1").status) == (False, "up")
    assert part(found, "p1").facts == {"open-files": "only 13163 connections fit"}


def test_without_the_bus_nothing_is_said_of_who_reports_over_it_but_that() -> None:
    old = NOW - timedelta(minutes=1)
    away = {"bus": "not connected to NATS for 60 s"}
    heard = [
        replace(one, checks=away, ready=False) if one.kind == "manager" else replace(one, last_seen_at=old)
        for one in whole()
    ]
    found = assessed(heard, machine("gpu-1", last_seen_at=old), bus=NO_BUS)
    assert {name: part(found, name).status for name in ("p1", "a1", "gpu-1", "redis")} == dict.fromkeys(
        ("p1", "a1", "gpu-1", "redis"), "unknown"
    )
    assert part(found, "p1").reasons[0].code == InstallationReason.CUT_OFF
    nats = part(found, "nats")
    assert (nats.status, nats.reasons[0].code) == ("away", InstallationReason.UNREACHABLE)
    assert "requests are served from the last tables" in nats.reasons[0].text
    assert found.degraded
    # another manager is connected, and hears nothing of them: they are away
    other = [replace(one, checks={}, ready=True) if one.name == "m2" else one for one in heard]
    assert part(assessed(other, bus=NO_BUS), "p1").status == "away"


def test_a_silence_since_before_the_managers_started_is_no_trouble_yet() -> None:
    old, young = NOW - timedelta(hours=9), NOW - timedelta(seconds=3)
    heard = [
        replace(one, started_at=young) if one.kind == "manager" else replace(one, last_seen_at=old) for one in whole()
    ]
    found = assessed(heard, machine("gpu-1", last_seen_at=old))
    assert not found.degraded
    assert {part(found, name).reasons[0].code for name in ("p1", "a1", "gpu-1", "redis")} == {
        InstallationReason.NOT_HEARD_YET
    }
    assert not assessed([one for one in heard if one.kind == "manager"]).degraded
    later = [replace(one, started_at=START) if one.name == "m1" else one for one in heard]
    assert part(assessed(later), "p1").status == "away"


def test_a_manager_that_does_not_reach_nats_is_said_of_nats_too() -> None:
    found = assessed(without("m2", checks={"bus": "refused"}, ready=False))
    nats = part(found, "nats")
    assert (nats.status, "m2: refused" in nats.reasons[0].text) == ("degraded", True)


@pytest.mark.parametrize(
    ("stream", "words"),
    [
        (StreamState("PLANS", 3, ("n2 is offline",), 3), "has not 3 current copies: n2 is offline"),
        (StreamState("PLANS", 3, (), 1), "is kept by 1 servers; wanted: 3"),
    ],
)
def test_a_stream_with_too_few_copies_degrades_nats(stream: StreamState, words: str) -> None:
    nats = part(assessed(whole(), bus=replace(BUS, streams=(stream,))), "nats")
    assert (nats.status, nats.reasons[0].code) == ("degraded", InstallationReason.COPIES_BEHIND)
    assert words in nats.reasons[0].text


def test_redis_is_as_autoscalers_find_it() -> None:
    failing: dict[str, Any] = {"checks": {"redis": "timed out"}, "ready": False, "facts": {}}
    found = assessed(without("a1", **failing))
    assert (part(found, "redis").status, part(found, "redis").since) == ("away", START)
    assert "replicas stay as many as they are" in part(found, "redis").reasons[0].text
    both = [*without("a1", **failing), instance("autoscaler", "a2")]
    assert (part(assessed(both), "redis").status, part(assessed(both), "redis").version) == ("degraded", "9.1")
    none = assessed([one for one in whole() if one.kind != "autoscaler"])
    assert part(none, "redis").status == "unknown"
    assert [reason.code for reason in none.reasons] == [InstallationReason.NO_AUTOSCALER]


def test_a_standby_takes_no_writes() -> None:
    found = assessed(whole(), database=replace(DATABASE, recovering=True))
    assert (part(found, "postgresql").status, part(found, "postgresql").reasons[0].code) == (
        "degraded",
        InstallationReason.NOT_WRITABLE,
    )


FULL = Disk(free_bytes=1, total_bytes=100, reserve_bytes=10)


@pytest.mark.parametrize(
    ("changes", "status", "code"),
    [
        ({"lost_at": NOW - timedelta(seconds=5)}, "away", InstallationReason.MACHINE_LOST),
        ({"disk": FULL}, "degraded", InstallationReason.MACHINE_DISK_LOW),
        ({"engine_disk": FULL}, "degraded", InstallationReason.MACHINE_DISK_LOW),
        ({"address_problem": "it is at 10.0.0.2"}, "degraded", InstallationReason.MACHINE_ADDRESS),
        ({"plan_problem": "it is too large"}, "degraded", InstallationReason.MACHINE_PLAN),
        ({"cordoned": True, "instance": None}, "up", None),
    ],
)
def test_a_machine_is_as_it_says_and_as_it_is_silent(
    changes: dict[str, Any], status: str, code: InstallationReason | None
) -> None:
    found = assessed(whole(), machine("gpu-1", **changes), machine("gpu-2"))
    seen = part(found, "gpu-1")
    assert (seen.status, found.degraded) == (status, status != "up")
    assert [reason.code for reason in seen.reasons] == ([] if code is None else [code])
    assert part(found, "gpu-2").status == "up"


def test_an_engine_that_does_not_answer_degrades_its_machine() -> None:
    told = ServiceInstance(
        version="1.0", host="gpu", started_at=START, ready=False, checks={"runtime": "Docker does not answer"}
    )
    seen = part(assessed(whole(), machine("gpu-1", instance=told)), "gpu-1")
    assert (seen.status, seen.reasons[0].text) == ("degraded", "runtime: Docker does not answer")


def test_versions_that_differ_are_said_and_are_no_trouble() -> None:
    found = assessed([*whole(), *(instance("app-proxy", f"q{n}", version="0.9") for n in range(7))])
    assert not found.degraded
    (reason,) = found.reasons
    assert reason.code == InstallationReason.VERSIONS_DIFFER
    assert "0.9: app-proxy q0" in reason.text
    assert "and 2 more" in reason.text


@given(
    st.lists(
        st.builds(
            instance,
            st.sampled_from(get_args(InstanceKind)),
            st.text("abc", min_size=1, max_size=2),
            last_seen_at=st.integers(0, 100).map(lambda age: NOW - timedelta(seconds=age)),
            stopped=st.booleans(),
            ready=st.booleans(),
            checks=st.dictionaries(st.sampled_from(["bus", "redis", "traffic"]), st.just("x")),
        ),
        max_size=8,
    ),
    st.sampled_from([BUS, NO_BUS]),
)
def test_every_part_has_a_state_and_what_is_not_up_says_why(instances: list[Instance], bus: BusState) -> None:
    found = assessed(instances, bus=bus)
    assert len(found.parts) == len(instances) + 3
    for one in found.parts:
        assert (one.status == "up") == (not one.reasons)
    if any(one.status in {"degraded", "away"} for one in found.parts):
        assert found.degraded
